"""What all streams that resume share: silence, patience, and where they keep their token."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc

from flexcore.client.errors import error_reason
from flexcore.domain import limits

#: a stream that is silent for this long is dead: heartbeats come three times as often
SILENCE_SECONDS: Final = 3 * limits.HEARTBEAT_INTERVAL / limits.SECOND
#: a reconnect waits a random part of this, which doubles with each attempt in a row; a
#: stream that lasted longer than the most begins with the first again
BACKOFF_SECONDS: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 10.0


async def next_message(call: Any) -> Any:
    """Return the next message of a stream; None at its end or when it is silent."""
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            response = await call.read()
    except TimeoutError:
        return None
    return None if response is grpc.aio.EOF else response


async def stands(call: Any) -> bool:
    """Wait until a server took a stream; False when it is silent for too long."""
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            await call.wait_for_connection()
    except TimeoutError:
        return False
    return True


def goes_on(error: grpc.aio.AioRpcError) -> bool:
    """Say whether a stream that ended so goes on in another call.

    A server that stops cancels what it had not begun to serve. Whoever writes while the
    server ends the call, however it does, is told INTERNAL by gRPC's library; that of a
    server has a reason.
    """
    again = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    reason = error_reason(error)
    torn = error.code() is grpc.StatusCode.INTERNAL and not reason
    return error.code() in again or torn or reason == "READER_BEHIND"


class Backoff:
    """How long a stream waits before it is opened again.

    A random part of what doubles with each time in a row that it ends soon: whether nobody
    answers, or a server that is about to stop sends it away at once.
    """

    def __init__(self, fraction: Callable[[], float]) -> None:
        self._fraction = fraction
        self._soon = 0

    def after(self, seconds: float) -> float:
        """Return the seconds to wait after a stream that was open so long."""
        if seconds > BACKOFF_SECONDS_MAX:
            self._soon = 0
        most: float = min(BACKOFF_SECONDS * 2**self._soon, BACKOFF_SECONDS_MAX)
        self._soon = min(self._soon + 1, 10)
        return most * self._fraction()


def read_token(file: Path | None) -> str:
    """Return what was last written to a token file; "" if there is none."""
    if file is None or not file.exists():
        return ""
    return file.read_text()


def write_token(file: Path | None, token: str) -> None:
    """Replace a token file whole: a kill leaves the one before or this one."""
    if file is None:
        return
    new = file.with_name(f"{file.name}.new")
    new.write_text(token)
    new.replace(file)
