"""Streams of the log: ordered, without gaps or duplicates, resumable.

A stream is a cursor into the account's tail. Its token names the position up to which
everything was written; it lies at the end of a change set, and so does every message
that is complete. One that is large is cut into messages; only the last of them says so.
So is what a stream begins with, a snapshot: until it is whole there is no place to go on
from.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import Message

from flexcore.domain import limits
from flexcore.domain.errors import Reason, ResourceExhausted
from flexcore.engine.port import TailBatch
from flexcore.services.resume_tokens import ResumeTokens
from flexcore.services.shown import Telling, Told


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

    `response` is the class of the messages, which has the fields resume_token, complete
    and go_away; `check` raises when the caller may be served no more.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        tokens: ResumeTokens,
        response: type[Message],
        check: Callable[[], None],
    ) -> None:
        self._context = context
        self._tokens = tokens
        self._response = response
        self._check = check
        #: up to here everything was written, and the token that says so; "" at no place
        self.written = 0
        self._token = ""

    def begin(self, start: int) -> None:
        """Begin after a position."""
        self.written = start
        self._token = self._tokens.write(start)

    async def write(
        self,
        response: Message,
        sequence: int,
        *,
        complete: bool = True,
        fields: bytes = b"",
    ) -> None:
        """Write a message with the token of a place; ResourceExhausted when nobody reads.

        `fields` are those of it that are encoded already.
        """
        token = self._tokens.write(sequence)
        await self._put(response, token, fields, complete=complete)
        self.written, self._token = sequence, token

    async def write_parts(self, parts: Iterable[bytes], sequence: int) -> None:
        """Write one message for each part; the token moves with the last."""
        rest = iter(parts)
        last = next(rest)
        for part in rest:
            await self._put(self._response(), self._token, last, complete=False)
            last = part
        await self.write(self._response(), sequence, fields=last)

    async def _put(
        self, response: Any, token: str, fields: bytes, *, complete: bool
    ) -> None:
        self._check()
        response.resume_token = token
        response.complete = complete
        try:
            await write_in_time(self._context, fields + response.SerializeToString())
        except ResourceExhausted as error:
            raise self.behind(error.text) from error

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

    `telling` encodes what the caller sees of change sets. It begins at a place, or with
    the parts of a snapshot.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        tokens: ResumeTokens,
        response: type[Message],
        check: Callable[[], None],
        telling: Telling,
    ) -> None:
        super().__init__(context, tokens, response, check)
        self._telling = telling
        #: what is to be written instead of reading the log
        self._known: Told | None = None

    def known(self, position: int) -> int | None:
        """Return up to where others told what comes next, if this stream can say it too."""
        if position != self.written:
            return None
        self._known = self._telling.known(position)
        return None if self._known is None else self._known.end

    async def follow(self, tail: AsyncIterator[TailBatch]) -> None:
        """Write what the tail gives until it, the caller or the key ends."""
        try:
            async for batch in tail:
                await self._write_batch(batch)
        finally:
            await close_tail(tail)
        await self.go_away()

    async def _write_batch(self, batch: TailBatch) -> None:
        known, self._known = self._known, None
        if known is not None:
            await self.write_parts(known.messages, known.end)
        elif not batch.change_sets:
            await self.write(self._response(), batch.position)
        rest = batch.change_sets
        while rest:
            told = self._telling.tell(self.written, rest, batch.position)
            rest = rest[told.taken :]
            end = rest[0].first_sequence - 1 if rest else batch.position
            await self.write_parts(told.messages, end)

    async def go_away(self) -> None:
        """Write the last message: the server stops, the token is good elsewhere."""
        last = self._response()
        last.go_away = True  # type: ignore[attr-defined]
        await self.write(last, self.written)
