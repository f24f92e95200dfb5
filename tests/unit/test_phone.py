"""The carrier on this machine, by HTTP alone: what it takes, hands on and reports."""

import asyncio
import random
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web

from flexcore.carrier import Fault
from flexcore.channels import signature
from flexcore.channels.egress import basic
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import FailedPrecondition, Unavailable
from flexcore.domain.ids import Ids
from flexcore.domain.limits import DAY
from flexcore.domain.parts import Media
from flexcore.phone import RETRY_SECONDS, Carrier

ACCOUNT = "AC" + "1" * 32
TOKEN = "secret"
ANN = "+15550001111"
BUSINESS = "+15550002222"


class Business:
    """The business's side of the wire: keeps every form whose signature fits."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.pauses: list[float] = []
        self.clock = VirtualClock()
        ids = Ids(self.clock, random.Random(1))
        self.carrier = Carrier(
            ACCOUNT, TOKEN, clock=self.clock, ids=ids, pause=self.pause
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{path}", self.receive)
        self.runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self.session = aiohttp.ClientSession()
        await self.carrier.start()
        self.carrier.connect(BUSINESS, f"{self.url}/in?a=b%20c")

    async def close(self) -> None:
        await self.session.close()
        await self.carrier.close()
        await self.runner.cleanup()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        url = self.url + request.raw_path
        fields = signature.parse_form(body)
        given = request.headers[signature.HEADER]
        assert signature.verify(url, fields, TOKEN, given)
        self.forms.append(dict(parse_qsl(body.decode(), keep_blank_values=True)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def post(
        self, token: str = TOKEN, reference: str = "", **fields: str
    ) -> tuple[int, dict[str, object]]:
        form = {"To": ANN, "From": BUSINESS, "Body": "hello", **fields}
        headers = {"Authorization": basic(ACCOUNT, token)}
        if reference:
            headers["I-Twilio-Idempotency-Token"] = reference
        url = f"{self.carrier.base_url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        async with self.session.post(
            url, data={k: v for k, v in form.items() if v}, headers=headers
        ) as response:
            return response.status, await response.json()

    async def get(self, path: str, **query: str) -> tuple[int, dict[str, object]]:
        url = f"{self.carrier.base_url}/2010-04-01/Accounts/{ACCOUNT}/{path}"
        headers = {"Authorization": basic(ACCOUNT, TOKEN)}
        async with self.session.get(url, params=query, headers=headers) as response:
            return response.status, await response.json()

    async def listed(self, **query: str) -> list[str]:
        _, page = await self.get("Messages.json", **query)
        return [message["body"] for message in page["messages"]]


@pytest.fixture
async def business() -> AsyncIterator[Business]:
    business = Business()
    await business.start()
    yield business
    await business.close()


async def test_message_reaches_its_phone_and_statuses_come_signed_and_in_order(
    business: Business,
) -> None:
    phone = business.carrier.phone(ANN)
    status, resource = await business.post(StatusCallback=f"{business.url}/status?r=1")
    await business.carrier.settle()

    assert (status, resource["status"], resource["to"]) == (201, "queued", ANN)
    assert phone.received.get_nowait().body == "hello"
    news = [(form["MessageSid"], form["MessageStatus"]) for form in business.forms]
    assert news == [(resource["sid"], "sent"), (resource["sid"], "delivered")]


async def test_whatsapp_message_is_read_and_unknown_number_is_not_reached(
    business: Business,
) -> None:
    business.carrier.phone(f"whatsapp:{ANN}")
    callback = f"{business.url}/status"
    await business.post(To=f"whatsapp:{ANN}", StatusCallback=callback)
    await business.carrier.settle()
    await business.post(To="+15559999999", StatusCallback=callback)
    await business.carrier.settle()

    news = [(form["MessageStatus"], form.get("ErrorCode")) for form in business.forms]
    read = [("sent", None), ("delivered", None), ("read", None)]
    assert news == [*read, ("sent", None), ("undelivered", "30003")]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.REPEAT_CALLBACKS, ["sent", "sent", "delivered", "delivered"]),
        (Fault.REORDER_CALLBACKS, ["delivered", "sent"]),
    ],
)
async def test_callbacks_misbehave_on_demand(
    business: Business, fault: Fault, expected: list[str]
) -> None:
    business.carrier.phone(ANN)
    business.carrier.inject(fault)
    await business.post(StatusCallback=f"{business.url}/status")
    await business.carrier.settle()

    assert [form["MessageStatus"] for form in business.forms] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"token": "wrong"}, (401, 20003)),
        ({"To": ""}, (400, 21604)),
        ({"From": ""}, (400, 21603)),
        ({"Body": ""}, (400, 21602)),
        ({"To": "Ann"}, (400, 21211)),
        ({"Body": "x" * 1_601}, (400, 21617)),
    ],
)
async def test_request_is_refused_with_the_code_of_the_field(
    business: Business, changes: dict[str, str], expected: tuple[int, int]
) -> None:
    status, error = await business.post(**changes)

    assert (status, error["code"]) == expected
    assert not business.carrier.sent


async def test_reference_that_was_seen_is_answered_and_not_sent_again(
    business: Business,
) -> None:
    phone = business.carrier.phone(ANN)
    first = await business.post(reference="r1")
    second = await business.post(reference="r1")
    other = await business.post(reference="r2")

    assert first == second
    assert first[1]["sid"] != other[1]["sid"]
    assert phone.received.qsize() == 2


async def test_list_filters_by_pair_and_day_newest_first(business: Business) -> None:
    business.carrier.phone(ANN)
    await business.post(Body="one")
    business.clock.advance(DAY)
    await business.post(Body="two")
    await business.post(Body="three", To="+15550003333")
    await business.carrier.settle()

    days = ("2023-11-14", "2023-11-15")
    assert await business.listed() == ["three", "two", "one"]
    assert await business.listed(To=ANN) == ["two", "one"]
    assert await business.listed(From=ANN) == []
    assert await business.listed(To=ANN, **{"DateSent>": days[1]}) == ["two"]
    assert await business.listed(To=ANN, **{"DateSent<": days[0]}) == ["one"]
    assert await business.listed(To=ANN, DateSent=days[0]) == ["one"]


async def test_list_has_pages_and_a_message_can_be_fetched(business: Business) -> None:
    sids = [(await business.post())[1]["sid"] for _ in range(3)]
    await business.carrier.settle()
    _, first = await business.get("Messages.json", PageSize="2")
    _, second = await business.get("Messages.json", PageSize="2", Page="1")

    assert [message["sid"] for message in first["messages"]] == [sids[2], sids[1]]
    assert "Page=1" in first["next_page_uri"]
    assert [message["sid"] for message in second["messages"]] == [sids[0]]
    assert second["next_page_uri"] is None
    status, fetched = await business.get(f"Messages/{sids[0]}.json")
    assert (status, fetched["status"], fetched["error_code"]) == (
        200,
        "undelivered",
        30003,
    )
    assert (await business.get("Messages/SM0.json"))[0] == 404


async def test_held_answer_comes_when_released(business: Business) -> None:
    phone = business.carrier.phone(ANN)
    business.carrier.inject(Fault.HOLD)
    held = asyncio.create_task(business.post())
    await phone.received.get()

    assert not held.done()
    business.carrier.release()
    assert (await held)[0] == 201


async def test_phone_posts_the_fields_of_the_protocol(business: Business) -> None:
    phone = business.carrier.phone(f"whatsapp:{ANN}")
    media = (Media("https://a.example/1", "image/png"),)
    sid = await phone.send(BUSINESS, "hé +", media=media, extra={"ProfileName": "Ann"})

    (form,) = business.forms
    expected = {
        "MessageSid": sid,
        "From": f"whatsapp:{ANN}",
        "To": BUSINESS,
        "Body": "hé +",
        "NumMedia": "1",
        "MediaUrl0": "https://a.example/1",
        "MediaContentType0": "image/png",
        "WaId": "15550001111",
        "ProfileName": "Ann",
        "AccountSid": ACCOUNT,
    }
    assert expected.items() <= form.items()


async def test_webhook_is_tried_again_on_5xx_with_the_same_sid(
    business: Business,
) -> None:
    business.statuses = [503, 500]
    sid = await business.carrier.phone(ANN).send(BUSINESS, "hello")

    assert [form["MessageSid"] for form in business.forms] == [sid] * 3
    assert business.pauses == list(RETRY_SECONDS[:2])


async def test_webhook_is_given_up_after_bounded_attempts(business: Business) -> None:
    business.statuses = [503] * 9
    with pytest.raises(Unavailable, match="503"):
        await business.carrier.phone(ANN).send(BUSINESS, "hello")

    assert len(business.forms) == len(RETRY_SECONDS) + 1


async def test_webhook_that_does_not_answer_is_said_to_be_out_of_reach(
    business: Business,
) -> None:
    business.carrier.connect(BUSINESS, "http://127.0.0.1:1/in")

    with pytest.raises(Unavailable, match="cannot be reached"):
        await business.carrier.phone(ANN).send(BUSINESS, "hello")


async def test_refused_webhook_is_not_tried_again(business: Business) -> None:
    business.statuses = [403]
    with pytest.raises(FailedPrecondition, match="403"):
        await business.carrier.phone(ANN).send(BUSINESS, "hello")

    assert len(business.forms) == 1


async def test_number_without_a_webhook_cannot_be_written_to(
    business: Business,
) -> None:
    with pytest.raises(FailedPrecondition, match="no webhook"):
        await business.carrier.phone(ANN).send("+15550009999", "hello")


async def test_same_seed_gives_the_same_sids() -> None:
    def sids() -> list[str]:
        clock = VirtualClock()
        carrier = Carrier(ACCOUNT, TOKEN, clock=clock, ids=Ids(clock, random.Random(5)))
        return [carrier.new_sid() for _ in range(3)]

    assert sids() == sids()
