"""What a carrier says on the wire: its forms, resources, refusals and faults.

The values and pure functions behind `flexcore.phone`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Any

import msgspec

from flexcore.domain import limits
from flexcore.domain.addresses import CAPABILITIES, AddressKind, parse_address
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.parts import Media

API_VERSION = "2010-04-01"

Form = list[tuple[str, str]]


class Fault(StrEnum):
    """One way in which the next request, or the next message, goes wrong."""

    #: 429 with Retry-After, not taken
    SLOW_DOWN = "slow_down"
    #: 400 with code 21610 (opted out), not taken
    REFUSE = "refuse"
    #: 500, not taken
    FAIL_BEFORE = "fail_before"
    #: 500, though taken
    FAIL_AFTER = "fail_after"
    #: the connection ends without an answer, not taken
    DROP_BEFORE = "drop_before"
    #: the connection ends without an answer, though taken
    DROP_AFTER = "drop_after"
    #: taken, and the answer waits for `release`
    HOLD = "hold"
    #: every callback comes twice
    REPEAT_CALLBACKS = "repeat_callbacks"
    #: no callback comes
    NO_CALLBACKS = "no_callbacks"
    #: callbacks come in reverse
    REORDER_CALLBACKS = "reorder_callbacks"


#: faults of a message's callbacks; the others are faults of the request
CALLBACK_FAULTS = frozenset(
    {Fault.NO_CALLBACKS, Fault.REPEAT_CALLBACKS, Fault.REORDER_CALLBACKS}
)


class Refusal(msgspec.Struct, frozen=True):
    """An error as the API words it."""

    status: int
    code: int
    message: str


class Text(msgspec.Struct, frozen=True):
    """One message as a phone shows it."""

    sid: str
    sent_from: str
    body: str
    media: tuple[str, ...] = ()


class Sent(msgspec.Struct):
    """One outbound message as the carrier remembers it."""

    sid: str
    to: str
    sent_from: str
    body: str
    media: tuple[str, ...]
    callback: str
    time: int
    status: str = "queued"
    error_code: int | None = None


def inbound_form(
    sid: str, number: str, to: str, body: str, media: Sequence[Media]
) -> Form:
    """Return the fields of a message on its way to a business."""
    form = [
        ("MessageSid", sid),
        ("SmsSid", sid),
        ("SmsMessageSid", sid),
        ("From", number),
        ("To", to),
        ("Body", body),
        ("NumMedia", str(len(media))),
        ("NumSegments", str(_segments(body))),
        ("SmsStatus", "received"),
        ("ApiVersion", API_VERSION),
    ]
    for index, file in enumerate(media):
        form.append((f"MediaUrl{index}", file.url))
        form.append((f"MediaContentType{index}", file.content_type))
    if _kind(number) is AddressKind.WHATSAPP:
        form.append(("WaId", number.rpartition("+")[2]))
    return form


def status_form(sent: Sent, status: str, account_sid: str) -> Form:
    """Return the fields of a status callback."""
    form = [
        ("MessageSid", sent.sid),
        ("SmsSid", sent.sid),
        ("MessageStatus", status),
        ("SmsStatus", status),
        ("To", sent.to),
        ("From", sent.sent_from),
        ("AccountSid", account_sid),
        ("ApiVersion", API_VERSION),
    ]
    if status == "undelivered":
        form.append(("ErrorCode", str(sent.error_code)))
    return form


def refusal(form: Form) -> Refusal | None:
    """Say what is wrong with a request to send, if anything is."""
    fields = dict(form)
    if not fields.get("To"):
        return Refusal(400, 21604, "A 'To' phone number is required")
    if not fields.get("From"):
        return Refusal(400, 21603, "A 'From' phone number is required")
    if not fields.get("Body") and not fields.get("MediaUrl"):
        return Refusal(400, 21602, "Message body is required")
    try:
        kind = _kind(fields["To"])
    except InvalidArgument:
        return Refusal(400, 21211, "The 'To' number is not a valid phone number")
    if len(fields.get("Body", "")) > CAPABILITIES[kind].body_chars_max:
        return Refusal(400, 21617, "The concatenated message body exceeds the limit")
    return None


def matches(sent: Sent, query: Mapping[str, str]) -> bool:
    """Tell whether a message passes the filters; a queued one has no date to pass by."""
    day = "" if sent.status == "queued" else _moment(sent.time).date().isoformat()
    return (
        query.get("To", sent.to) == sent.to
        and query.get("From", sent.sent_from) == sent.sent_from
        and query.get("DateSent", day) == day
        and query.get("DateSent>", day) <= day
        and (day or "DateSent<" not in query)
        and query.get("DateSent<", day) >= day
    )


def statuses(to: str) -> tuple[str, ...]:
    """Return what happens to a message that reaches its phone, in order."""
    reads = CAPABILITIES[_kind(to)].read_receipts
    return ("sent", "delivered", "read") if reads else ("sent", "delivered")


def resource(sent: Sent, status: str, account_sid: str) -> dict[str, Any]:
    """Return a message as the API shows it."""
    date = format_datetime(_moment(sent.time))
    return {
        "sid": sent.sid,
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "to": sent.to,
        "from": sent.sent_from,
        "body": sent.body,
        "direction": "outbound-api",
        "num_media": str(len(sent.media)),
        "num_segments": str(_segments(sent.body)),
        "status": status,
        "error_code": sent.error_code if status == "undelivered" else None,
        "error_message": None,
        "date_created": date,
        "date_updated": date,
        "date_sent": None if status == "queued" else date,
        "uri": f"/{API_VERSION}/Accounts/{account_sid}/Messages/{sent.sid}.json",
    }


def _kind(address: str) -> AddressKind:
    return parse_address(address, "To").kind


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time // limits.SECOND, UTC)


def _segments(body: str) -> int:
    """Count segments; letters beyond ASCII are taken to need two bytes each."""
    if body.isascii():
        units, single, part = len(body), 160, 153
    else:
        units, single, part = len(body.encode("utf-16-le")) // 2, 70, 67
    return 1 if units <= single else -(-units // part)
