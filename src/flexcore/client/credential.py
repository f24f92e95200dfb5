"""What a client shows with its calls, and how it comes by the next before one expires.

A key, a worker's token, or something that returns a fresh token whenever it is called: then
the client asks it again in time, and calls and streams go on with what it returned.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable
from typing import Final, TypeAlias

import grpc

from flexcore.client.errors import error_reason
from flexcore.domain import limits
from flexcore.domain.access_tokens import lifetime_of, write_token
from flexcore.domain.clock import SystemClock
from flexcore.domain.ids import SID_PATTERN

#: a key or a token, or what returns one, at once or when it is awaited
Source: TypeAlias = str | Callable[[], str | Awaitable[str]]
Metadata: TypeAlias = tuple[tuple[str, str], ...]

#: the part of a token's life after which another one is asked for
RENEW_AFTER: Final = 0.75
#: the wait until it is asked for again when that failed; the token in hand is still good
RETRY_SECONDS: Final = 5.0


def worker_token(key: str, worker_sid: str, minutes: float = 15) -> str:
    """Return a token with which its holder is one worker for a while; asks no server.

    `key` is `<key sid>.<secret>`; the token ends with it. At most 24 hours. ValueError.
    """
    key_sid, _, secret = key.partition(".")
    if not SID_PATTERN.match(key_sid) or not secret or "." in secret:
        raise ValueError("key: not <key sid>.<secret>")
    if not (SID_PATTERN.match(worker_sid) and worker_sid.startswith("WK")):
        raise ValueError(f"worker_sid: {worker_sid!r} is not a sid of a worker")
    most = limits.TOKEN_LIFETIME_MAX // limits.MINUTE
    if not 0 < minutes <= most:
        raise ValueError(f"minutes: {minutes} is not above 0 and at most {most}")
    lifetime = int(minutes * limits.MINUTE)
    return write_token(key_sid, secret, worker_sid, SystemClock().now(), lifetime)


class Credential:
    """One credential after the other; `text` is the one to show now."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.text = source if isinstance(source, str) else ""
        self._renewing = asyncio.Lock()
        self._news = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def metadata(self) -> Metadata:
        """What a call carries."""
        return (("authorization", f"Bearer {self.text}"),)

    async def begin(self) -> None:
        """Get the first one, and see to it that there is always a good one."""
        await self.renew(self.text)
        if self.renewable and lifetime_of(self.text):
            self._keeper = asyncio.create_task(self._keep())

    @property
    def renewable(self) -> bool:
        """Say whether there is one after this one."""
        return not isinstance(self._source, str)

    async def renew(self, used: str) -> None:
        """Get another one unless `used` was replaced already; raises what the source does."""
        async with self._renewing:
            if isinstance(self._source, str) or self.text != used:
                return
            found = self._source()
            self.text = await found if isawaitable(found) else found
        self._news.set()
        self._news = asyncio.Event()

    async def changed(self, since: str) -> str:
        """Return the next one after `since`."""
        while self.text == since:
            await self._news.wait()
        return self.text

    async def replaced(self, error: grpc.aio.AioRpcError, used: str) -> bool:
        """Say whether there is another one than that with which a stream expired."""
        if error_reason(error) != "CREDENTIAL_EXPIRED":
            return False
        await self.renew(used)
        return self.text != used

    async def close(self) -> None:
        """Ask for no further one."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        while seconds := lifetime_of(self.text):
            used = self.text
            await asyncio.sleep(seconds * RENEW_AFTER)
            while self.text == used:
                # Whatever a stranger's code raises: the next attempt may go well.
                with suppress(Exception):
                    await self.renew(used)
                if self.text == used:
                    await asyncio.sleep(RETRY_SECONDS)
