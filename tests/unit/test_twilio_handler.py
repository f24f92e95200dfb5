"""The Twilio protocol: signatures, forms to commands, messages to requests."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import msgspec
import pytest

from flexcore.carrier import Fault
from flexcore.channels import signature
from flexcore.channels.handler import Webhook
from flexcore.channels.twilio import TwilioHandler
from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import InvalidArgument, Unauthenticated
from flexcore.domain.ids import Ids
from flexcore.domain.parts import Media
from flexcore.domain.states import ReceiptStatus
from flexcore.engine.commands import Principal, ReceiveMessage
from flexcore.engine.port import (
    CarrierAccount,
    Endpoint,
    OutboundMessage,
    Outcome,
    SendOutcome,
)
from flexcore.phone import Carrier

PUBLIC = "https://mycompany.com"
TARGET = "/myapp.php?foo=1&bar=2"
URL = PUBLIC + TARGET
CALL = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
CALL_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
BODY_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
RECEIPT = "DY" + "a" * 32
ACCOUNT = "AC" + "b" * 32
MESSAGE = "SM" + "c" * 32


def fields(form: list[tuple[str, str]]) -> signature.Fields:
    return signature.parse_form(urlencode(form).encode())


@pytest.mark.parametrize(
    ("url", "form", "expected"),
    [
        (URL, CALL, CALL_SIGNATURE),
        ("https://mycompany.com:443" + TARGET, CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com:80" + TARGET, CALL, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        (
            URL,
            [
                *(("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678")),
                *(("Digits", "1234"), ("Digits", "1234")),
            ],
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
        (f"{URL}&bodySHA256={BODY_HASH}", [], "a9nBmqA0ju/hNViExpshrM61xv4="),
    ],
)
def test_signature_equals_the_published_vector(
    url: str, form: list[tuple[str, str]], expected: str
) -> None:
    assert signature.sign(url, fields(form), "12345") == expected


@pytest.mark.parametrize(
    ("url", "given"),
    [
        (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("https://mycompany.com:443" + TARGET, CALL_SIGNATURE),
    ],
)
def test_default_port_may_or_may_not_be_signed(url: str, given: str) -> None:
    assert signature.verify(url, fields(CALL), "12345", given)


def test_other_port_is_signed_as_it_is() -> None:
    url = "http://127.0.0.1:8080/x"
    given = signature.sign(url, fields(CALL), "t")

    assert signature.verify(url, fields(CALL), "t", given)
    assert not signature.verify("http://127.0.0.1:80/x", fields(CALL), "t", given)


@pytest.mark.parametrize(
    ("url", "form", "token", "given"),
    [
        (URL, CALL, "12346", CALL_SIGNATURE),
        (URL + "&x=1", CALL, "12345", CALL_SIGNATURE),
        (URL, [*CALL, ("Extra", "")], "12345", CALL_SIGNATURE),
        (URL, CALL, "12345", ""),
        (URL, CALL, "12345", "\udcff"),
    ],
)
def test_signature_of_anything_else_does_not_fit(
    url: str, form: list[tuple[str, str]], token: str, given: str
) -> None:
    assert not signature.verify(url, fields(form), token, given)


def test_form_is_split_with_blanks_and_duplicates_on_raw_bytes() -> None:
    body = b"A=&B=1+2&B=%ff%2B&C&&D=a=b"

    expected = [
        (b"A", b""),
        (b"B", b"1 2"),
        (b"B", b"\xff+"),
        (b"C", b""),
        (b"D", b"a=b"),
    ]
    assert signature.parse_form(body) == expected


# --- in --------------------------------------------------------------------------------


def webhook(
    form: list[tuple[str, str]],
    *,
    token: str = "secret",
    query: dict[str, str] | None = None,
    body: bytes = b"",
) -> Webhook:
    """Make a webhook signed with `secret`, as a server configured with `token` sees it."""
    raw = body or urlencode(form).encode()
    url = f"{PUBLIC}/inbound/twilio/e1"
    signed = signature.sign(url, signature.parse_form(raw), "secret")
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        signature.HEADER: signed,
    }
    principal = Principal("AC" + "0" * 32, "endpoint")
    endpoint = Endpoint(principal, "XE" + "0" * 32, "twilio", PUBLIC, token)
    return Webhook("e1", endpoint, url, headers, query or {}, raw)


SMS = [
    *(("MessageSid", MESSAGE), ("From", "+1 (555) 000-1111"), ("To", "+15550002222")),
    ("Body", "hello"),
]


def received(form: list[tuple[str, str]]) -> ReceiveMessage:
    return TwilioHandler().parse_inbound(webhook(form))


def test_message_becomes_a_command_with_canonical_addresses_and_its_raw_form() -> None:
    command = received([*SMS, ("NumMedia", "0"), ("SomethingNew", "x")])

    assert command.endpoint_id == "e1"
    assert command.channel_message_sid == MESSAGE
    assert (command.address, command.proxy_address) == ("+15550001111", "+15550002222")
    assert (command.body, command.media, command.attributes) == ("hello", (), "{}")
    assert (
        command.form == webhook([*SMS, ("NumMedia", "0"), ("SomethingNew", "x")]).body
    )


def test_prefix_of_an_address_is_kept_and_allowed_fields_become_attributes() -> None:
    command = received(
        [
            *(("MessageSid", MESSAGE), ("From", "WhatsApp:+15550001111")),
            *(("To", "whatsapp:+15550002222"), ("Body", ""), ("ProfileName", "Ann")),
            *(("Latitude", "51.5"), ("Longitude", "0.1"), ("Label", "x" * 5_000)),
            *(("WaId", "15550001111"), ("ButtonPayload", "yes")),
        ]
    )

    assert command.address == "whatsapp:+15550001111"
    assert command.proxy_address == "whatsapp:+15550002222"
    assert msgspec.json.decode(command.attributes) == {
        "ProfileName": "Ann",
        "Latitude": "51.5",
        "Longitude": "0.1",
        "Label": "x" * limits.WEBHOOK_VALUE_CHARS,
        "ButtonPayload": "yes",
    }


def test_media_are_read_by_number() -> None:
    form = [*SMS, ("NumMedia", "2")]
    for index in (1, 0):
        form.append((f"MediaUrl{index}", f"https://media.example/{index}"))
        form.append((f"MediaContentType{index}", "image/png"))

    expected = tuple(Media(f"https://media.example/{n}", "image/png") for n in (0, 1))
    assert received(form).media == expected


def test_too_many_media_stay_too_many_for_the_engine_to_refuse() -> None:
    form = [*SMS, ("NumMedia", "999999999")]
    form += [(f"MediaUrl{index}", "https://media.example") for index in range(40)]

    assert len(received(form).media) == limits.MEDIA_COUNT + 1


def test_malformed_addresses_reach_the_engine_as_they_were_given() -> None:
    command = received([("SmsSid", MESSAGE), ("From", "nobody")])

    assert (command.channel_message_sid, command.address) == (MESSAGE, "nobody")
    assert (command.proxy_address, command.body) == ("", "")


def test_invalid_utf8_is_signed_as_bytes_and_read_with_replacements() -> None:
    body = f"MessageSid={MESSAGE}&Body=caf%E9".encode()

    assert TwilioHandler().parse_inbound(webhook([], body=body)).body == "caf\ufffd"


@pytest.mark.parametrize("sid", ["", "x" * 65, "SM 1", "SM\n"])
def test_form_that_names_no_message_is_invalid(sid: str) -> None:
    with pytest.raises(InvalidArgument, match="MessageSid"):
        received([("MessageSid", sid), ("From", "+15550001111")])


def test_unsigned_form_is_refused_and_says_what_to_check() -> None:
    with pytest.raises(Unauthenticated, match=r"auth_token.*public_url"):
        TwilioHandler().parse_inbound(webhook(SMS, token="other"))


def test_form_of_too_many_fields_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="form"):
        TwilioHandler().parse_inbound(webhook([], body=b"a=1&" * limits.WEBHOOK_FIELDS))


def test_body_that_is_no_form_is_refused() -> None:
    arrived = webhook(SMS)
    other = msgspec.structs.replace(arrived, headers={"Content-Type": "text/plain"})
    with pytest.raises(InvalidArgument, match="content-type"):
        TwilioHandler().parse_inbound(other)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("sent", ReceiptStatus.SENT),
        ("delivered", ReceiptStatus.DELIVERED),
        ("Read", ReceiptStatus.READ),
        ("undelivered", ReceiptStatus.UNDELIVERED),
        ("failed", ReceiptStatus.FAILED),
        ("queued", None),
        ("accepted", None),
        ("sending", None),
        ("", None),
    ],
)
def test_status_becomes_a_command_when_it_is_news(
    word: str, expected: ReceiptStatus | None
) -> None:
    form = [("MessageSid", MESSAGE), ("MessageStatus", word), ("ErrorCode", "30003")]
    command = TwilioHandler().parse_status(webhook(form, query={"receipt": RECEIPT}))

    if expected is None:
        assert command is None
    else:
        assert command is not None
        assert (command.status, command.error_code) == (expected, 30003)
        assert command.receipt_sid == RECEIPT
        assert command.channel_message_sid == MESSAGE


@pytest.mark.parametrize("receipt", ["", "IM" + "a" * 32, "DY123"])
def test_status_without_a_receipt_is_invalid(receipt: str) -> None:
    form = [("MessageSid", MESSAGE), ("MessageStatus", "sent")]
    with pytest.raises(InvalidArgument, match="receipt"):
        TwilioHandler().parse_status(webhook(form, query={"receipt": receipt}))


# --- out -------------------------------------------------------------------------------


class Bench:
    """A handler and a carrier on one virtual clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        ids = Ids(self.clock, random.Random(1))
        self.carrier = Carrier(ACCOUNT, "secret", clock=self.clock, ids=ids)
        self.handler = TwilioHandler(allow_http_loopback=True, timeout_seconds=5)
        self.reference = 0

    def account(self, **changes: object) -> CarrierAccount:
        account = CarrierAccount(
            provider="twilio",
            base_url=self.carrier.base_url,
            carrier_account_sid=ACCOUNT,
            auth_token="secret",
            # Answers 404, which ends the matter: callbacks are no part of these tests.
            status_url=f"{self.carrier.base_url}/status",
        )
        return msgspec.structs.replace(account, **changes)

    def message(self, body: str = "hello", **changes: object) -> OutboundMessage:
        self.reference += 1
        message = OutboundMessage(
            reference=f"OB{self.reference:032x}",
            receipt_sid=RECEIPT,
            to="+15550001111",
            sent_from="+15550002222",
            body=body,
            media=(),
            attempt_time=self.clock.now(),
        )
        return msgspec.structs.replace(message, **changes)

    async def send(self, body: str = "hello", **changes: object) -> SendOutcome:
        return await self.handler.send(self.account(), self.message(body, **changes))

    async def find(
        self, message: OutboundMessage, claimed: frozenset[str] = frozenset()
    ) -> SendOutcome:
        return await self.handler.find(self.account(), message, claimed)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.carrier.start()
    yield bench
    await bench.handler.close()
    await bench.carrier.close()


async def test_taken_message_is_sent_with_the_sid_of_the_carrier(bench: Bench) -> None:
    phone = bench.carrier.phone("+15550001111")
    media = (
        Media("https://a.example/1", "image/png"),
        Media("https://a.example/2", ""),
    )
    outcome = await bench.send("hé & +1", media=media)

    text = phone.received.get_nowait()
    assert outcome == SendOutcome(Outcome.SENT, channel_message_sid=text.sid)
    assert (text.sent_from, text.body) == ("+15550002222", "hé & +1")
    assert text.media == ("https://a.example/1", "https://a.example/2")


async def test_status_callback_names_the_receipt(bench: Bench) -> None:
    await bench.send()

    (sent,) = bench.carrier.sent.values()
    assert sent.callback == f"{bench.carrier.base_url}/status?receipt={RECEIPT}"


async def test_same_reference_is_taken_once(bench: Bench) -> None:
    message = bench.message()
    first = await bench.handler.send(bench.account(), message)

    assert await bench.handler.send(bench.account(), message) == first
    assert len(bench.carrier.sent) == 1


@pytest.mark.parametrize(
    ("fault", "outcome", "code", "retry_after", "taken"),
    [
        (Fault.SLOW_DOWN, Outcome.RETRY, 0, 2 * limits.SECOND, 0),
        (Fault.REFUSE, Outcome.REFUSED, 21610, 0, 0),
        (Fault.FAIL_BEFORE, Outcome.UNKNOWN, 0, 0, 0),
        (Fault.FAIL_AFTER, Outcome.UNKNOWN, 0, 0, 1),
        (Fault.DROP_BEFORE, Outcome.UNKNOWN, 0, 0, 0),
        (Fault.DROP_AFTER, Outcome.UNKNOWN, 0, 0, 1),
    ],
)
async def test_fault_of_the_carrier_becomes_what_is_known_of_the_message(
    bench: Bench,
    fault: Fault,
    outcome: Outcome,
    code: int,
    retry_after: int,
    taken: int,
) -> None:
    bench.carrier.inject(fault)
    got = await bench.send()

    assert (got.outcome, got.error_code, got.retry_after) == (
        outcome,
        code,
        retry_after,
    )
    assert len(bench.carrier.sent) == taken


async def test_silence_after_the_request_was_written_is_unknown(bench: Bench) -> None:
    await bench.handler.close()
    bench.handler = TwilioHandler(allow_http_loopback=True, timeout_seconds=0.1)
    bench.carrier.inject(Fault.HOLD)

    assert (await bench.send()).outcome is Outcome.UNKNOWN
    assert len(bench.carrier.sent) == 1


@pytest.mark.parametrize("fault", [Fault.FAIL_AFTER, Fault.DROP_AFTER])
async def test_carrier_that_deduplicates_may_simply_be_asked_again(
    bench: Bench, fault: Fault
) -> None:
    bench.carrier.inject(fault)
    account = bench.account(deduplicates=True)
    message = bench.message()

    assert (await bench.handler.send(account, message)).outcome is Outcome.RETRY
    assert (await bench.handler.send(account, message)).outcome is Outcome.SENT
    assert len(bench.carrier.sent) == 1


async def test_carrier_that_is_not_there_has_not_taken_anything(bench: Bench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    account = bench.account(base_url=f"http://127.0.0.1:{port}")

    got = await bench.handler.send(account, bench.message())
    assert got.outcome is Outcome.RETRY


async def test_wrong_credentials_are_a_refusal(bench: Bench) -> None:
    got = await bench.handler.send(bench.account(auth_token="old"), bench.message())

    assert (got.outcome, got.error_code) == (Outcome.REFUSED, 20003)


async def test_base_url_inside_is_refused_unless_for_development(bench: Bench) -> None:
    handler = TwilioHandler()
    got = await handler.send(bench.account(), bench.message())
    await handler.close()

    assert got.outcome is Outcome.REFUSED
    assert "base_url" in got.text


async def test_body_longer_than_the_kind_of_address_allows_is_refused(
    bench: Bench,
) -> None:
    sms = await bench.send("x" * 1_601)
    messenger = await bench.send("x" * 1_601, to="messenger:7")

    assert (sms.outcome, sms.error_code) == (Outcome.REFUSED, 21617)
    assert messenger.outcome is Outcome.SENT


async def test_unknown_send_is_found_though_its_answer_was_lost(bench: Bench) -> None:
    await bench.send("an earlier one", attempt_time=0)
    bench.clock.advance(limits.HOUR)
    message = bench.message("hello")
    bench.carrier.inject(Fault.DROP_AFTER)
    await bench.handler.send(bench.account(), message)
    sid = list(bench.carrier.sent)[-1]

    expected = SendOutcome(Outcome.SENT, channel_message_sid=sid)
    assert await bench.find(message) == expected


async def test_unknown_send_that_never_arrived_is_proven_absent(bench: Bench) -> None:
    await bench.send("hello")
    bench.clock.advance(limits.HOUR)
    message = bench.message("hello")
    bench.carrier.inject(Fault.DROP_BEFORE)
    await bench.handler.send(bench.account(), message)

    assert (await bench.find(message)).outcome is Outcome.RETRY


async def test_message_known_to_be_another_is_not_the_lost_one(bench: Bench) -> None:
    first = await bench.send("ok")
    lost = bench.message("ok")
    claimed = frozenset({first.channel_message_sid})

    assert (await bench.find(lost, claimed)).outcome is Outcome.RETRY


async def test_two_candidates_leave_a_send_unknown(bench: Bench) -> None:
    await bench.send("ok")
    await bench.send("ok")

    assert (await bench.find(bench.message("ok"))).outcome is Outcome.UNKNOWN


async def test_message_with_an_altered_body_is_no_proof_of_absence(
    bench: Bench,
) -> None:
    await bench.send("Sent from a trial account - ok")

    assert (await bench.find(bench.message("ok"))).outcome is Outcome.UNKNOWN


async def test_long_history_does_not_hide_what_is_new(bench: Bench) -> None:
    for _ in range(25):
        await bench.send("ok")
    bench.clock.advance(limits.HOUR)
    lost = bench.message("ok")

    assert (await bench.find(lost)).outcome is Outcome.RETRY


async def test_list_that_ends_too_early_proves_nothing(bench: Bench) -> None:
    lost = bench.message("other")
    claimed = set()
    for _ in range(25):
        claimed.add((await bench.send("ok")).channel_message_sid)

    got = await bench.find(lost, frozenset(claimed))
    assert got.outcome is Outcome.UNKNOWN


async def test_carrier_that_does_not_answer_leaves_a_send_unknown(bench: Bench) -> None:
    account = bench.account(auth_token="old")
    got = await bench.handler.find(account, bench.message(), frozenset())

    assert got.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{}",
        b'{"sid": 1}',
        b'{"sid": "\xff"}',
        b'{"sid": ""}',
        b'{"x": ' + b"[" * 60_000,
    ],
)
async def test_acceptance_that_cannot_be_read_is_unknown(reply: bytes) -> None:
    assert (await send_to("201 Created", reply)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("21610", (21610, "no")),
        ("999999999", (999_999_999, "no")),
        ("1000000000", (0, "the carrier answered 400")),
        ("-1", (0, "the carrier answered 400")),
    ],
)
async def test_code_of_a_refusal_that_a_receipt_cannot_hold_is_none(
    code: str, expected: tuple[int, str]
) -> None:
    reply = f'{{"code": {code}, "message": "no"}}'.encode()
    got = await send_to("400 Bad Request", reply)

    assert got.outcome is Outcome.REFUSED
    assert (got.error_code, got.text) == expected


async def send_to(status: str, reply: bytes) -> SendOutcome:
    """Send a message to a carrier that has one answer for everything."""

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(reply)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    bench = Bench()
    account = bench.account(base_url=f"http://127.0.0.1:{port}")
    got = await bench.handler.send(account, bench.message())
    await bench.handler.close()
    server.close()
    return got
