"""A carrier on this machine, and the phones of its customers: for consoles and tests.

`Carrier` speaks the other side of `channels/twilio.py`: it takes messages by HTTP, hands
them to its phones, reports their statuses by signed callbacks, and posts what a phone
says to the webhook of the business number. It knows flexcore by HTTP alone, and it can be
told to misbehave (`Fault`), since a carrier that never fails proves nothing.
"""

import asyncio
import hmac
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from flexcore.carrier import (
    API_VERSION,
    CALLBACK_FAULTS,
    Fault,
    Form,
    Refusal,
    Sent,
    Text,
    inbound_form,
    matches,
    refusal,
    resource,
    status_form,
    statuses,
)
from flexcore.channels import signature
from flexcore.channels.egress import basic
from flexcore.domain import limits
from flexcore.domain.clock import Clock, SystemClock
from flexcore.domain.errors import FailedPrecondition, Unavailable
from flexcore.domain.ids import Ids
from flexcore.domain.parts import Media

#: messages the carrier remembers (overflow: the oldest are forgotten)
MESSAGES_MAX = 100_000
#: messages a phone holds unread (overflow: undelivered, 30001)
UNREAD_MAX = 10_000
#: waits between the attempts of a webhook (overflow: given up)
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)

#: stands for the status of a webhook that did not answer; no server sends it
_NO_ANSWER = 600
_PAGE_SIZE_MAX = 1_000
_REFERENCE_HEADER = "I-Twilio-Idempotency-Token"
_FORM = "application/x-www-form-urlencoded"
_NOT_FOUND = Refusal(404, 20404, "The requested resource was not found")
_SERVER_ERROR = Refusal(500, 20500, "Internal Server Error")
_FAILURES: Mapping[Fault, Refusal] = {
    Fault.SLOW_DOWN: Refusal(429, 20429, "Too Many Requests"),
    Fault.REFUSE: Refusal(400, 21610, "Attempt to send to unsubscribed recipient"),
}
_NOT_TAKEN = frozenset(
    {Fault.SLOW_DOWN, Fault.REFUSE, Fault.FAIL_BEFORE, Fault.DROP_BEFORE}
)

Pause = Callable[[float], Awaitable[None]]


class Phone:
    """One customer; `received` holds what has come, in order."""

    def __init__(self, carrier: "Carrier", number: str) -> None:
        self.number = number
        self.received: asyncio.Queue[Text] = asyncio.Queue(UNREAD_MAX)
        self._carrier = carrier

    async def send(
        self,
        to: str,
        body: str,
        *,
        media: Sequence[Media] = (),
        message_sid: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Say something to a business number; return the message's sid at the carrier.

        A `message_sid` given again is the same message again. `extra` are further
        fields of the form. Raises Unavailable when the webhook could not be reached,
        FailedPrecondition when it refused.
        """
        sid = message_sid or self._carrier.new_sid()
        form = inbound_form(sid, self.number, to, body, media)
        form += [("AccountSid", self._carrier.account_sid), *(extra or {}).items()]
        await self._carrier.post_inbound(to, form)
        return sid


class Carrier:
    """The server side of the protocol, on loopback."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.account_sid = account_sid
        self.base_url = ""
        self.sent: OrderedDict[str, Sent] = OrderedDict()
        self._auth_token = auth_token
        self._clock = clock or SystemClock()
        self._ids = ids or Ids(self._clock)
        self._pause = pause
        self._phones: dict[str, Phone] = {}
        self._webhooks: dict[str, str] = {}
        self._references: OrderedDict[str, str] = OrderedDict()
        self._faults: deque[Fault] = deque()
        self._callback_faults: deque[Fault] = deque()
        self._released = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; return the base URL."""
        app = web.Application(client_max_size=limits.WEBHOOK_BYTES)
        path = f"/{API_VERSION}/Accounts/{{account_sid}}/Messages"
        app.router.add_post(f"{path}.json", self._create)
        app.router.add_get(f"{path}.json", self._list)
        app.router.add_get(f"{path}/{{sid}}.json", self._fetch)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=limits.SEND_TIMEOUT / limits.SECOND)
        )
        self._runner = web.AppRunner(
            app, handle_signals=False, access_log=None, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.base_url

    async def close(self) -> None:
        """Stop listening, and drop callbacks that are still being tried."""
        self._released.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def connect(self, business: str, inbound_url: str) -> None:
        """Post what is said to `business` to `inbound_url` from now on."""
        self._webhooks[business] = inbound_url

    def phone(self, number: str) -> Phone:
        """Return the phone with this number (`whatsapp:+...` for WhatsApp)."""
        return self._phones.setdefault(number, Phone(self, number))

    def inject(self, fault: Fault, count: int = 1) -> None:
        """Make the next `count` requests (or messages' callbacks) go wrong."""
        ours = self._callback_faults if fault in CALLBACK_FAULTS else self._faults
        ours.extend([fault] * count)

    def release(self) -> None:
        """Answer what HOLD holds."""
        self._released.set()
        self._released = asyncio.Event()

    def new_sid(self) -> str:
        """Return a fresh message sid."""
        return self._ids.sid("SM")

    async def settle(self) -> None:
        """Wait until every callback so far was answered or given up."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def post_inbound(self, business: str, form: Form) -> None:
        """Post a signed form to the webhook of a business number, with retries."""
        url = self._webhooks.get(business)
        if url is None:
            raise FailedPrecondition(f"{business} has no webhook")
        status = await self._post(url, form)
        if status == _NO_ANSWER:
            raise Unavailable(f"the webhook of {business} cannot be reached")
        if status >= 500:
            raise Unavailable(f"the webhook of {business} answered {status} every time")
        if status >= 300:
            raise FailedPrecondition(f"the webhook of {business} answered {status}")

    # --- the API -----------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.StreamResponse:
        if refused := self._unauthorized(request):
            return _error(refused)
        form = parse_qsl(await request.text(), keep_blank_values=True)
        fault = self._faults.popleft() if self._faults else None
        if fault in _NOT_TAKEN:
            return _failure(request, fault)
        if refused := refusal(form):
            return _error(refused)
        sent = self._take(form, request.headers.get(_REFERENCE_HEADER, ""))
        if fault is Fault.HOLD:
            await self._released.wait()
        elif fault is not None:
            return _failure(request, fault)
        return _json(resource(sent, "queued", self.account_sid), status=201)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if refused := self._unauthorized(request):
            return _error(refused)
        size = min(int(request.query.get("PageSize", "50")), _PAGE_SIZE_MAX)
        page = int(request.query.get("Page", "0"))
        found = [
            sent
            for sent in reversed(self.sent.values())
            if matches(sent, request.query)
        ]
        rest = found[page * size :]
        following = request.rel_url.update_query({"Page": str(page + 1)})
        return _json(
            {
                "page": page,
                "page_size": size,
                "uri": str(request.rel_url),
                "next_page_uri": str(following) if len(rest) > size else None,
                "messages": [
                    resource(sent, sent.status, self.account_sid)
                    for sent in rest[:size]
                ],
            }
        )

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        if refused := self._unauthorized(request):
            return _error(refused)
        sent = self.sent.get(request.match_info["sid"])
        if sent is None:
            return _error(_NOT_FOUND)
        return _json(resource(sent, sent.status, self.account_sid))

    def _unauthorized(self, request: web.Request) -> Refusal | None:
        expected = basic(self.account_sid, self._auth_token)
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            return Refusal(401, 20003, "Authenticate")
        if request.match_info["account_sid"] != self.account_sid:
            return _NOT_FOUND
        return None

    def _take(self, form: Form, reference: str) -> Sent:
        """Accept a message once per reference, and pass it on."""
        if reference and reference in self._references:
            return self.sent[self._references[reference]]
        fields = dict(form)
        sent = Sent(
            sid=self.new_sid(),
            to=fields["To"],
            sent_from=fields["From"],
            body=fields.get("Body", ""),
            media=tuple(value for key, value in form if key == "MediaUrl"),
            callback=fields.get("StatusCallback", ""),
            time=self._clock.now(),
        )
        self.sent[sent.sid] = sent
        if reference:
            self._references[reference] = sent.sid
        if len(self.sent) > MESSAGES_MAX:
            forgotten, _ = self.sent.popitem(last=False)
            while self._references and forgotten in self._references.values():
                self._references.popitem(last=False)
        task = asyncio.create_task(self._report(sent, self._deliver(sent)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return sent

    def _deliver(self, sent: Sent) -> Sequence[str]:
        """Put a message on its phone; return the statuses to report."""
        phone = self._phones.get(sent.to)
        text = Text(sent.sid, sent.sent_from, sent.body, sent.media)
        if phone is None:
            sent.error_code = 30003
        elif phone.received.full():
            sent.error_code = 30001
        else:
            phone.received.put_nowait(text)
            return statuses(sent.to)
        return "sent", "undelivered"

    async def _report(self, sent: Sent, news: Sequence[str]) -> None:
        fault = self._callback_faults.popleft() if self._callback_faults else None
        sent.status = news[-1]
        if not sent.callback or fault is Fault.NO_CALLBACKS:
            return
        if fault is Fault.REORDER_CALLBACKS:
            news = news[::-1]
        repeats = 2 if fault is Fault.REPEAT_CALLBACKS else 1
        for status in news:
            form = status_form(sent, status, self.account_sid)
            for _ in range(repeats):
                await self._post(sent.callback, form)

    async def _post(self, url: str, form: Form) -> int:
        """Post a signed form until it is answered below 500; return the last status.

        No answer at all counts as `_NO_ANSWER`.
        """
        assert self._session is not None, "the carrier was not started"
        body = urlencode(form).encode()
        signed = signature.sign(url, signature.parse_form(body), self._auth_token)
        headers = {"Content-Type": _FORM, signature.HEADER: signed}
        for wait in (*RETRY_SECONDS, None):
            try:
                async with self._session.post(
                    URL(url, encoded=True),
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                ) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError):
                status = _NO_ANSWER
            if status < 500 or wait is None:
                break
            await self._pause(wait)
        return status


def _failure(request: web.Request, fault: Fault) -> web.Response:
    """Fail as told; a dropped connection ends before anything is written."""
    if fault in (Fault.DROP_BEFORE, Fault.DROP_AFTER) and request.transport is not None:
        request.transport.abort()
    return _error(_FAILURES.get(fault, _SERVER_ERROR), retry_after="2")


def _error(refused: Refusal, retry_after: str = "") -> web.Response:
    headers = {"Retry-After": retry_after} if refused.status == 429 else None
    return _json(msgspec.structs.asdict(refused), refused.status, headers)


def _json(
    value: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
    )
