"""Addresses: where a participant is reached, and what that kind of address can do.

The wire form is `<channel>:<id>`; a bare `+...` is an SMS number. Only the channel part
ignores case. A phone number is E.164 by shape alone: a number a carrier hands to us must
never be refused because a numbering plan in some library is older than the number.
"""

import re
from enum import Enum

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument


class AddressKind(Enum):
    """The channel an address belongs to; the value is its prefix on the wire."""

    SMS = "sms"
    WHATSAPP = "whatsapp"
    MESSENGER = "messenger"
    CHAT = "chat"


class Address(msgspec.Struct, frozen=True, gc=False):
    """One address in canonical form; `str()` is what the wire and the store carry."""

    kind: AddressKind
    id: str

    def __str__(self) -> str:
        if self.kind is AddressKind.SMS:
            return self.id
        return f"{self.kind.value}:{self.id}"


class Capability(msgspec.Struct, frozen=True, gc=False):
    """What one kind of address can do."""

    #: characters of one message body (overflow: the send is refused)
    body_chars_max: int
    #: the network reports that a message was read
    read_receipts: bool
    #: messages leave through a provider, and count as external participants
    external: bool


CAPABILITIES = {
    AddressKind.SMS: Capability(1_600, read_receipts=False, external=True),
    AddressKind.WHATSAPP: Capability(1_600, read_receipts=True, external=True),
    AddressKind.MESSENGER: Capability(2_000, read_receipts=True, external=True),
    # A chat participant has a read horizon, not receipts.
    AddressKind.CHAT: Capability(
        limits.BODY_CHARS, read_receipts=False, external=False
    ),
}

_KINDS = {kind.value: kind for kind in AddressKind}
_PHONE_KINDS = frozenset({AddressKind.SMS, AddressKind.WHATSAPP})
_PUNCTUATION = str.maketrans("", "", " ()-.")
_E164 = re.compile(r"\+[1-9][0-9]{0,14}")


def parse_address(text: str, field: str) -> Address:
    """Read an address in any accepted spelling; raises InvalidArgument for `field`."""
    prefix, colon, identifier = text.partition(":")
    if not colon:
        prefix, identifier = AddressKind.SMS.value, text
    kind = _KINDS.get(prefix.strip().lower())
    if kind is None:
        known = ", ".join(_KINDS)
        raise InvalidArgument(field, f"{_shown(prefix)} is not one of {known}")
    if kind in _PHONE_KINDS:
        return Address(kind, _phone_number(identifier, field))
    if not _visible(identifier):
        limit = f"1 to {limits.IDENTITY_CHARS} visible characters"
        raise InvalidArgument(field, f"{_shown(text)} does not have an id of {limit}")
    return Address(kind, identifier)


def _phone_number(text: str, field: str) -> str:
    number = text.translate(_PUNCTUATION)
    # In "+44 (0)20 ..." the zero is not part of the number: which digits are meant
    # depends on the country, so nothing is guessed.
    if "(0)" in text or not _E164.fullmatch(number):
        shape = "a phone number in E.164 form (+ and 1 to 15 digits)"
        raise InvalidArgument(field, f"{_shown(text)} is not {shape}")
    return number


def _visible(identifier: str) -> bool:
    sized = 1 <= len(identifier) <= limits.IDENTITY_CHARS
    return sized and identifier.isprintable() and " " not in identifier


def _shown(text: str) -> str:
    """Shorten what a caller sent before it is repeated in an error."""
    return text if len(text) <= 64 else f"{text[:64]}..."
