"""Streams of the log: ordered, without gaps or duplicates, resumable.

A stream is a cursor into the account's tail. Its token names the position up to which
everything was written; it lies at the end of a change set, and so does every message
that is complete. One that is large is cut into messages; only the last of them says so.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from google.protobuf.message import Message

from flexcore.domain import limits
from flexcore.domain.errors import Reason, ResourceExhausted
from flexcore.domain.log import ChangeSet
from flexcore.engine.port import Port, TailBatch
from flexcore.services.resume_tokens import ResumeTokens
from flexcore.services.session import Session
from flexcore.services.shown import Show


def encoded(
    response: type[Message], field: str, items: Iterable[Message]
) -> list[bytes]:
    """Return the items of a repeated field, each as it stands in the bytes of a response.

    The bytes of several messages one after the other are those of one with the fields of
    all: so what many streams show is encoded once.
    """
    return [response(**{field: (item,)}).SerializeToString() for item in items]


async def close_tail(tail: AsyncIterator[object]) -> None:
    """Let a tail go; left to the garbage collector, its cursor would stay a while."""
    close = getattr(tail, "aclose", None)
    if close is not None:
        await close()


async def write_in_time(
    context: grpc.aio.ServicerContext[Any, Any], message: Message | bytes
) -> None:
    """Write a message, encoded or not; ResourceExhausted when nobody reads."""
    try:
        async with asyncio.timeout(limits.STREAM_WRITE_TIMEOUT / limits.SECOND):
            await context.write(message)
    except TimeoutError as error:
        seconds = limits.STREAM_WRITE_TIMEOUT // limits.SECOND
        text = f"nothing was read for {seconds} seconds"
        raise ResourceExhausted(text, reason=Reason.READER_BEHIND) from error


class Writer:
    """Writes responses with their tokens, and ends the stream when nobody reads.

    Every response has the fields resume_token and complete.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        tokens: ResumeTokens,
        start: int,
    ) -> None:
        self._context = context
        self._tokens = tokens
        #: up to here everything was written, and the token that says so
        self.written = start
        self._token = tokens.write(start)

    async def write(
        self,
        response: Message,
        sequence: int,
        *,
        complete: bool = True,
        pieces: list[bytes] | None = None,
    ) -> None:
        """Write a message with its token; ResourceExhausted when nobody reads.

        `pieces` are fields of it that are encoded already; the list is emptied, since a
        stalled stream is to hold the message alone, not what it was made of.
        """
        token = self._tokens.write(sequence)
        response.resume_token = token  # type: ignore[attr-defined]
        response.complete = complete  # type: ignore[attr-defined]
        message = response.SerializeToString()
        if pieces:
            message = b"".join((*pieces, message))
            pieces.clear()
        try:
            await write_in_time(self._context, message)
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


class Stream(Writer):
    """One open stream, from its position to its end.

    `show` encodes what the caller sees of a change set, in pieces that fit into a message;
    `response` is the class of the messages, which has a field go_away.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        tokens: ResumeTokens,
        start: int,
        show: Show,
        response: type[Message],
    ) -> None:
        super().__init__(context, tokens, start)
        self._show = show
        self._response = response
        self._pending: list[bytes] = []
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
        size = sum(map(len, pieces))
        if self._pending and self._full(len(pieces), size):
            await self.flush(change_set.first_sequence - 1)
        if not self._full(len(pieces), size):
            self._pending += pieces
            self._pending_bytes += size
            return
        for piece in pieces:
            if self._pending and self._full(1, len(piece)):
                await self._flush(self.written, complete=False)
            self._pending.append(piece)
            self._pending_bytes += len(piece)

    async def flush(self, sequence: int) -> None:
        """Write what was taken, or a heartbeat: everything up to `sequence`."""
        await self._flush(sequence, complete=True)

    async def go_away(self) -> None:
        """Write the last message: the server stops, the token is good elsewhere."""
        last = self._response()
        last.go_away = True  # type: ignore[attr-defined]
        await self.write(last, self.written)

    def _full(self, count: int, size: int) -> bool:
        return (
            len(self._pending) + count > limits.STREAM_MESSAGE_EVENTS
            or self._pending_bytes + size > limits.STREAM_MESSAGE_BYTES
        )

    async def _flush(self, sequence: int, *, complete: bool) -> None:
        self._pending_bytes = 0
        response, pieces = self._response(), self._pending
        await self.write(response, sequence, complete=complete, pieces=pieces)
