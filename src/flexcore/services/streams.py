"""Streams of the log: ordered, without gaps or duplicates, resumable.

A stream is a cursor into the account's tail. Its token names the position up to which
everything was written; it lies at the end of a change set, and so does every message
that is complete. One that is large is cut into messages; only the last of them says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from flexcore.domain import limits
from flexcore.domain.errors import Reason, ResourceExhausted
from flexcore.domain.log import ChangeSet
from flexcore.engine.port import Port, TailBatch
from flexcore.services.resume_tokens import ResumeTokens
from flexcore.services.session import Session

E = TypeVar("E", bound=Message)
R = TypeVar("R", bound=Message)


async def close_tail(tail: AsyncIterator[object]) -> None:
    """Let a tail go; left to the garbage collector, its cursor would stay a while."""
    close = getattr(tail, "aclose", None)
    if close is not None:
        await close()


async def write_in_time(context: grpc.aio.ServicerContext[Any, R], response: R) -> None:
    """Write a message; ResourceExhausted when nobody reads."""
    try:
        async with asyncio.timeout(limits.STREAM_WRITE_TIMEOUT / limits.SECOND):
            await context.write(response)
    except TimeoutError as error:
        seconds = limits.STREAM_WRITE_TIMEOUT // limits.SECOND
        text = f"nothing was read for {seconds} seconds"
        raise ResourceExhausted(text, reason=Reason.READER_BEHIND) from error


class Writer(Generic[R]):
    """Writes responses with their tokens, and ends the stream when nobody reads.

    Every response has the fields resume_token and complete.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, R],
        tokens: ResumeTokens,
        start: int,
    ) -> None:
        self._context = context
        self._tokens = tokens
        #: up to here everything was written, and the token that says so
        self.written = start
        self._token = tokens.write(start)

    async def write(self, response: R, sequence: int, *, complete: bool = True) -> None:
        """Write a message with its token; ResourceExhausted when nobody reads."""
        token = self._tokens.write(sequence)
        response.resume_token = token  # type: ignore[attr-defined]
        response.complete = complete  # type: ignore[attr-defined]
        try:
            await write_in_time(self._context, response)
        except ResourceExhausted as error:
            raise self.behind(error.text) from error
        self.written, self._token = sequence, token

    def behind(self, text: str) -> ResourceExhausted:
        """Return what ends the stream of somebody who does not keep up.

        What is on its way may never arrive: the token is that of the message before it.
        """
        return ResourceExhausted(
            text,
            reason=Reason.READER_BEHIND,
            metadata={"resume_token": self._token},
        )


class Stream(Writer[R], Generic[E, R]):
    """One open stream, from its position to its end.

    `show` converts what the caller sees of a change set, in pieces that fit into a
    message; `respond` makes a message of pieces, which has a field go_away.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, R],
        tokens: ResumeTokens,
        start: int,
        show: Callable[[ChangeSet], Sequence[E]],
        respond: Callable[[Sequence[E]], R],
    ) -> None:
        super().__init__(context, tokens, start)
        self._show = show
        self._respond = respond
        self._pending: list[E] = []
        self._pending_bytes = 0

    async def follow(
        self, port: Port, session: Session, tail: AsyncIterator[TailBatch]
    ) -> None:
        """Write what the tail gives until it, the caller or the key ends."""
        try:
            async for batch in tail:
                session.check(port)
                for change_set in batch.change_sets:
                    await self.add(change_set)
                await self.flush(batch.position)
        finally:
            await close_tail(tail)
        await self.go_away()

    async def add(self, change_set: ChangeSet) -> None:
        """Take a change set; write what does not fit beside it."""
        pieces = self._show(change_set)
        sizes = [piece.ByteSize() for piece in pieces]
        if self._pending and self._full(len(pieces), sum(sizes)):
            await self.flush(change_set.first_sequence - 1)
        for piece, size in zip(pieces, sizes, strict=True):
            if self._pending and self._full(1, size):
                await self._flush(self.written, complete=False)
            self._pending.append(piece)
            self._pending_bytes += size

    async def flush(self, sequence: int) -> None:
        """Write what was taken, or a heartbeat: everything up to `sequence`."""
        await self._flush(sequence, complete=True)

    async def go_away(self) -> None:
        """Write the last message: the server stops, the token is good elsewhere."""
        last = self._respond(())
        last.go_away = True  # type: ignore[attr-defined]
        await self.write(last, self.written)

    def _full(self, count: int, size: int) -> bool:
        return (
            len(self._pending) + count > limits.STREAM_MESSAGE_EVENTS
            or self._pending_bytes + size > limits.STREAM_MESSAGE_BYTES
        )

    async def _flush(self, sequence: int, *, complete: bool) -> None:
        response = self._respond(self._pending)
        # A stalled stream holds the message alone, not what it was made of.
        self._pending = []
        self._pending_bytes = 0
        await self.write(response, sequence, complete=complete)
