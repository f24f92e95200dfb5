"""Whoever is asked about offers: a real HTTP server on loopback, told what to answer."""

import asyncio
import base64
import hmac
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web


class Call:
    """One callback as it arrived."""

    def __init__(self, headers: Mapping[str, str], body: bytes, form: Any) -> None:
        self.headers = headers
        self.body = body
        self.form: dict[str, str] = dict(form)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def signed_by(self, secret: str) -> list[bool]:
        """Say of each signature whether it was made with a `whsec_...` secret."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        time = self.headers["webhook-timestamp"]
        content = b".".join((self.id.encode(), time.encode(), self.body))
        digest = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        given = self.headers["webhook-signature"].split(" ")
        return [signature == f"v1,{digest}" for signature in given]


class Receiver:
    """Start it with `async with`; answers what `answers` says, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        #: what to answer: an object for JSON, or a response
        self.answers = list(answers)
        self.calls: list[Call] = []
        #: cleared, an answer waits until it is set
        self.open = asyncio.Event()
        self.open.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/offers", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/offers"
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.open.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append(Call(request.headers, body, await request.post()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await self.open.wait()
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer)
