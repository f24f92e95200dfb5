"""The HTTP face: inbound webhooks of carriers, and a health check.

A webhook is answered 200 only after its command is durable, and 503 whenever the carrier
should come again. The unguessable endpoint id selects account, secret and public URL
before anything else is looked at; the signature is checked on the raw bytes against the
configured public URL, never against the Host header.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
import structlog
from aiohttp import web

from flexcore.channels.handler import Handler, Webhook
from flexcore.domain import limits
from flexcore.domain.errors import (
    FlexcoreError,
    InvalidArgument,
    Kind,
    NotFound,
    Unauthenticated,
)
from flexcore.engine.commands import Command
from flexcore.engine.port import Endpoint, Port

_LOG = structlog.get_logger(__name__)

#: what a refusal by the engine is to a carrier; anything not here is 500
_STATUSES: Mapping[Kind, int] = {
    Kind.NOT_FOUND: 404,
    Kind.INVALID_ARGUMENT: 400,
    Kind.FAILED_PRECONDITION: 409,
    Kind.ALREADY_EXISTS: 409,
    Kind.UNAVAILABLE: 503,
    Kind.ABORTED: 503,
    Kind.RESOURCE_EXHAUSTED: 503,
    Kind.DEADLINE_EXCEEDED: 503,
}

_TEXTS: Mapping[int, str] = {
    400: "the request is malformed",
    404: "nothing here",
    405: "method not allowed",
    408: "the body did not arrive in time",
    409: "the request was refused",
    413: f"the body has more than {limits.WEBHOOK_BYTES} bytes",
    500: "internal error",
    503: "not now; try again",
}

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Parse(Protocol):
    def __call__(self, handler: Handler, webhook: Webhook) -> Command | None: ...


def make_app(
    port: Port, handlers: Mapping[str, Handler], serving: Callable[[], bool]
) -> web.Application:
    """Build the application; `handlers` by provider name, the `channel` of the path."""
    faces = _Faces(port, handlers, serving)
    app = web.Application(
        middlewares=[_answer_errors], client_max_size=limits.WEBHOOK_BYTES
    )
    path = "/inbound/{channel}/{endpoint_id}"
    app.router.add_post(path, faces.receive_message)
    app.router.add_post(f"{path}/status", faces.receive_status)
    app.router.add_get("/healthz", faces.health, allow_head=True)
    return app


async def start(
    app: web.Application, host: str, port: int
) -> tuple[web.AppRunner, int]:
    """Serve `app`; return its runner, whose `cleanup` drains, and the port it got."""
    drain_seconds = limits.DRAIN_TIME / limits.SECOND
    runner = web.AppRunner(
        app, handle_signals=False, access_log=None, shutdown_timeout=drain_seconds
    )
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner, runner.addresses[0][1]


class _Faces:
    def __init__(
        self, port: Port, handlers: Mapping[str, Handler], serving: Callable[[], bool]
    ) -> None:
        self._port = port
        self._handlers = handlers
        self._serving = serving

    async def health(self, _request: web.Request) -> web.Response:
        if self._serving():
            return web.Response(text="serving\n")
        return web.Response(text="not serving\n", status=503)

    async def receive_message(self, request: web.Request) -> web.Response:
        return await self._receive(request, lambda h, w: h.parse_inbound(w))

    async def receive_status(self, request: web.Request) -> web.Response:
        return await self._receive(request, lambda h, w: h.parse_status(w))

    async def _receive(self, request: web.Request, parse: _Parse) -> web.Response:
        endpoint = self._port.endpoint(request.match_info["endpoint_id"])
        handler = self._handlers.get(request.match_info["channel"])
        if handler is None or endpoint.provider != request.match_info["channel"]:
            raise NotFound("endpoint", request.match_info["endpoint_id"])
        webhook = await _read(request, endpoint)
        try:
            command = parse(handler, webhook)
        except Unauthenticated as refusal:
            return _refusal(403, refusal.text)
        except InvalidArgument as refusal:
            return _refusal(400, refusal.text)
        if command is not None:
            await self._submit(endpoint, command)
        taken = handler.acknowledgement
        return web.Response(body=taken.body, content_type=taken.content_type)

    async def _submit(self, endpoint: Endpoint, command: Command) -> None:
        # A carrier hangs up after 15 s. Whatever was decided by then stays, and its
        # repeat is recognized, so telling it to come again is safe.
        async with asyncio.timeout(limits.CALL_DEADLINE_DEFAULT / limits.SECOND):
            await self._port.submit(endpoint.principal, command)


async def _read(request: web.Request, endpoint: Endpoint) -> Webhook:
    try:
        async with asyncio.timeout(limits.WEBHOOK_READ_TIMEOUT / limits.SECOND):
            body = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    return Webhook(
        endpoint_id=request.match_info["endpoint_id"],
        endpoint=endpoint,
        # As sent: a parsed and rebuilt path may be spelled otherwise than it was signed.
        url=endpoint.public_url.rstrip("/") + request.raw_path,
        headers=request.headers,
        query=request.query,
        body=body,
    )


@web.middleware
async def _answer_errors(request: web.Request, handler: _Next) -> web.StreamResponse:
    """Turn what was raised into a short answer that holds nothing of ours."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refusal(error.status, _TEXTS.get(error.status, "refused"))
    except TimeoutError:
        return _refusal(503, _TEXTS[503], limits.SECOND)
    except FlexcoreError as error:
        status = _STATUSES.get(error.kind, 500)
        if status == 500:
            _LOG.exception("webhook failed")
        return _refusal(status, _TEXTS[status], error.retry_after)
    except Exception:  # noqa: BLE001 - the last place that can keep it from a client
        _LOG.exception("webhook failed")
        return _refusal(500, _TEXTS[500])


def _refusal(status: int, text: str, retry_after: int | None = None) -> web.Response:
    headers = {}
    if status == 503:
        wait = retry_after or limits.SECOND
        headers["Retry-After"] = str(-(-wait // limits.SECOND))
    return web.Response(
        status=status,
        headers=headers,
        body=msgspec.json.encode({"error": text}),
        content_type="application/json",
    )
