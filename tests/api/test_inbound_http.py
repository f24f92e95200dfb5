"""Webhooks by real HTTP: what a carrier is answered, and what is kept of it."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from flexcore.channels import signature
from flexcore.domain import limits
from flexcore.domain.model import Conversation, Message, Sender
from flexcore.domain.parts import Media
from flexcore.engine import commands as c
from flexcore.store.interface import InboxEntry, InboxState
from tests.house import ANN, BUSINESS, TOKEN, House

SID = "SM" + "1" * 32
FORM = {"MessageSid": SID, "From": ANN, "To": BUSINESS, "Body": "hello"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House(tmp_path) as house:
        await house.submit(c.CreateAddressConfiguration(address=BUSINESS))
        yield house


class Answer:
    """A reply, read."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = text


async def post(
    house: House,
    path: str,
    form: dict[str, str] | bytes,
    *,
    token: str = TOKEN,
    host: str = "",
) -> Answer:
    """Post a form, signed with `token` for the house's public URL."""
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    url = house.url + path
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        signature.HEADER: signature.sign(url, signature.parse_form(body), token),
    }
    if host:
        headers["Host"] = host
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as response,
    ):
        return Answer(response, await response.text())


def inbound(sender: Sender) -> str:
    return f"/inbound/twilio/{sender.endpoint_id}"


def inbox(house: House, sender: Sender, sid: str = SID) -> InboxEntry:
    entry = house.found(f"inbox|{sender.endpoint_id}|{sid}")
    assert isinstance(entry, InboxEntry)
    return entry


async def messages(house: House) -> list[Message]:
    page = await house.engine.list(house.principal, Conversation, {}, None, 10)
    found: list[Message] = []
    for conversation in page.rows:
        where = {"conversation_sid": conversation.sid}
        of = await house.engine.list(house.principal, Message, where, None, 100)
        found += of.rows
    return found


async def test_signed_message_is_kept_before_it_is_acknowledged(house: House) -> None:
    sender = await house.add_sender()
    answer = await post(house, inbound(sender), {**FORM, "ProfileName": "Ann"})

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert answer.text.endswith("<Response/>")
    (message,) = await messages(house)
    assert (message.author, message.body, message.index) == (ANN, "hello", 0)
    assert message.attributes == '{"ProfileName":"Ann"}'
    entry = inbox(house, sender)
    assert entry.state is InboxState.APPLIED
    assert entry.form == urlencode({**FORM, "ProfileName": "Ann"}).encode()


async def test_repeated_message_is_acknowledged_and_kept_once(house: House) -> None:
    sender = await house.add_sender()
    answers = [await post(house, inbound(sender), FORM) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len(await messages(house)) == 1


async def test_phone_writes_and_its_media_come_along(house: House) -> None:
    await house.add_sender()
    media = (Media("https://a.example/1", "image/png"),)
    phone = house.carrier.phone(ANN)
    first = await phone.send(BUSINESS, "hé +1", media=media)
    await phone.send(BUSINESS, "", media=media)

    one, two = await messages(house)
    assert (one.body, one.media, one.channel_message_sid) == ("hé +1", media, first)
    assert (two.body, two.media, two.index) == ("", media, 1)


async def test_whatsapp_address_keeps_its_prefix(house: House) -> None:
    address = f"whatsapp:{BUSINESS}"
    await house.submit(c.CreateAddressConfiguration(address=address))
    await house.add_sender(address)
    await house.carrier.phone(f"whatsapp:{ANN}").send(address, "hello")

    (message,) = await messages(house)
    assert message.author == f"whatsapp:{ANN}"


async def test_signature_is_checked_against_the_public_url_not_the_host_header(
    house: House,
) -> None:
    sender = await house.add_sender()
    answer = await post(house, inbound(sender), FORM, host="proxy.internal")

    assert answer.status == 200


async def test_forged_message_is_forbidden_and_leaves_no_trace(house: House) -> None:
    sender = await house.add_sender()
    answer = await post(house, inbound(sender), FORM, token="guess")

    assert answer.status == 403
    assert "public_url" in answer.text
    assert house.found(f"inbox|{sender.endpoint_id}|{SID}") is None
    assert await messages(house) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"From": "not a number"}, "From"),
        ({"From": ""}, "From"),
        ({"To": ""}, "To"),
        ({"To": "+15559999999"}, "+15559999999"),
        ({"Body": "x" * (limits.BODY_CHARS + 1)}, "Body"),
    ],
)
async def test_message_that_cannot_be_taken_is_a_dead_letter_and_acknowledged(
    house: House, change: dict[str, str], reason: str
) -> None:
    sender = await house.add_sender()
    answer = await post(house, inbound(sender), {**FORM, **change})

    entry = inbox(house, sender)
    assert answer.status == 200
    assert entry.state is InboxState.DEAD
    assert reason in entry.reason
    assert entry.form == urlencode({**FORM, **change}).encode()
    assert await messages(house) == []


async def test_message_without_a_sid_is_a_bad_request(house: House) -> None:
    sender = await house.add_sender()
    answer = await post(house, inbound(sender), {**FORM, "MessageSid": ""})

    assert answer.status == 400
    assert "MessageSid" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/inbound/twilio/unknown", 404),
        ("/inbound/twilio/unknown/status", 404),
        ("/elsewhere", 404),
        ("/healthz", 405),
    ],
)
async def test_unknown_path_is_answered_in_json(
    house: House, path: str, status: int
) -> None:
    answer = await post(house, path, FORM)

    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/json")


async def test_endpoint_answers_on_the_channel_of_its_provider_only(
    house: House,
) -> None:
    sender = await house.add_sender()

    assert (
        await post(house, f"/inbound/other/{sender.endpoint_id}", FORM)
    ).status == 404


async def test_body_above_the_limit_is_not_read(house: House) -> None:
    sender = await house.add_sender()
    answer = await post(house, inbound(sender), b"a" * (limits.WEBHOOK_BYTES + 1))

    assert answer.status == 413


async def test_carrier_is_told_to_come_again_when_nothing_can_be_kept(
    house: House,
) -> None:
    sender = await house.add_sender()
    await house.engine.accounts()[house.principal.account_sid].close()
    answer = await post(house, inbound(sender), FORM)

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_status_moves_the_receipt_and_late_ones_do_no_harm(house: House) -> None:
    sender = await house.add_sender()
    house.carrier.phone(ANN)
    receipt_sid = await house.say(await house.add_conversation(), "hello")
    receipt = await house.receipt(receipt_sid, "delivered")
    path = f"{inbound(sender)}/status?receipt={receipt_sid}"
    late = {"MessageSid": receipt.channel_message_sid, "MessageStatus": "sent"}

    assert (await post(house, path, late)).status == 200
    assert await house.receipt(receipt_sid, "delivered") == receipt


async def test_status_of_a_message_that_failed_carries_its_code(house: House) -> None:
    await house.add_sender()
    receipt_sid = await house.say(await house.add_conversation(), "to nobody's phone")

    assert (await house.receipt(receipt_sid, "undelivered")).error_code == 30003


async def test_status_without_a_receipt_is_a_bad_request(house: House) -> None:
    sender = await house.add_sender()
    form = {"MessageSid": SID, "MessageStatus": "sent"}

    assert (await post(house, f"{inbound(sender)}/status", form)).status == 400


async def test_health_follows_the_server(house: House) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{house.url}/healthz") as response:
            assert response.status == 200
        house.serving = False
        async with session.get(f"{house.url}/healthz") as response:
            assert response.status == 503
