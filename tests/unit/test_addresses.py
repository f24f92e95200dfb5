"""Facts about addresses: spellings, canonical form, capabilities."""

import pytest

from flexcore.domain.addresses import (
    CAPABILITIES,
    Address,
    AddressKind,
    parse_address,
)
from flexcore.domain.errors import InvalidArgument


def refusal(text: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        parse_address(text, "to")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "canonical"),
    [
        ("+15551234567", AddressKind.SMS, "+15551234567"),
        ("sms:+15551234567", AddressKind.SMS, "+15551234567"),
        ("SMS:+1 (555) 123-4567", AddressKind.SMS, "+15551234567"),
        (" +1.555.123.4567 ", AddressKind.SMS, "+15551234567"),
        ("whatsapp:+15551234567", AddressKind.WHATSAPP, "whatsapp:+15551234567"),
        ("WhatsApp: +49 30 1234", AddressKind.WHATSAPP, "whatsapp:+49301234"),
        ("+1", AddressKind.SMS, "+1"),
        ("+123456789012345", AddressKind.SMS, "+123456789012345"),
        ("messenger:1234567890", AddressKind.MESSENGER, "messenger:1234567890"),
        ("Messenger:Page:Ü", AddressKind.MESSENGER, "messenger:Page:Ü"),
        ("chat:ann@example.com", AddressKind.CHAT, "chat:ann@example.com"),
        ("chat:" + "x" * 256, AddressKind.CHAT, "chat:" + "x" * 256),
    ],
)
def test_spellings_have_one_canonical_form(
    text: str, kind: AddressKind, canonical: str
) -> None:
    address = parse_address(text, "to")

    assert address.kind is kind
    assert str(address) == canonical
    assert parse_address(canonical, "to") == address


def test_only_the_channel_part_ignores_case() -> None:
    lower, upper = parse_address("CHAT:ann", "to"), parse_address("chat:Ann", "to")

    assert lower == Address(AddressKind.CHAT, "ann")
    assert lower != upper
    assert len({lower, upper}) == 2


@pytest.mark.parametrize(
    "number",
    [
        "+1555abc",
        "",
        "+",
        "15551234567",
        "+05551234567",
        "+1234567890123456",
        "++1555",
        "+1555+1",
        "+1555/1234",
        "+44 (0)20 7946 0958",
        "+١٢٣",
        "+1555\n",
        "ann",
    ],
)
def test_malformed_number_is_refused(number: str) -> None:
    shape = "is not a phone number in E.164 form (+ and 1 to 15 digits)"

    assert refusal(number) == f"to: {number} {shape}"
    assert refusal(f"whatsapp:{number}") == f"to: {number} {shape}"


@pytest.mark.parametrize("kind", ["messenger", "chat"])
@pytest.mark.parametrize("identifier", ["", " ", "a b", "a\nb", "a\x00", "x" * 257])
def test_id_has_1_to_256_visible_characters(kind: str, identifier: str) -> None:
    assert "does not have an id of 1 to 256 visible characters" in refusal(
        f"{kind}:{identifier}"
    )


def test_unknown_channel_is_refused() -> None:
    expected = "to: fax is not one of sms, whatsapp, messenger, chat"

    assert refusal("fax:+15551234567") == expected


def test_refusal_repeats_at_most_64_characters() -> None:
    assert len(refusal("x" * 100_000)) < 200


def test_every_kind_has_its_capabilities() -> None:
    assert set(CAPABILITIES) == set(AddressKind)
    assert {kind: row.body_chars_max for kind, row in CAPABILITIES.items()} == {
        AddressKind.SMS: 1_600,
        AddressKind.WHATSAPP: 1_600,
        AddressKind.MESSENGER: 2_000,
        AddressKind.CHAT: 32_768,
    }
    external = {kind for kind, row in CAPABILITIES.items() if row.external}
    assert external == set(AddressKind) - {AddressKind.CHAT}
    receipts = {kind for kind, row in CAPABILITIES.items() if row.read_receipts}
    assert receipts == {AddressKind.WHATSAPP, AddressKind.MESSENGER}
