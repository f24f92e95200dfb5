"""Streams of the log: ordered, without gaps or duplicates, resumable.

A stream is a cursor into the account's tail. Its token names the position up to which
everything was written; it lies at the end of a change set, and so does every message
that is complete. One that is large is cut into messages; only the last of them says so.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from flexcore.domain import limits
from flexcore.domain.errors import Reason, ResourceExhausted
from flexcore.engine.port import Port, TailBatch
from flexcore.services.resume_tokens import ResumeTokens
from flexcore.services.session import Session
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
        self.begin(start)

    def begin(self, start: int) -> None:
        """Begin after a position."""
        #: up to here everything was written, and the token that says so
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
        """Write a message with its token; ResourceExhausted when nobody reads.

        `fields` are those of it that are encoded already.
        """
        token = self._tokens.write(sequence)
        response.resume_token = token  # type: ignore[attr-defined]
        response.complete = complete  # type: ignore[attr-defined]
        try:
            await write_in_time(self._context, fields + response.SerializeToString())
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

    `telling` encodes what the caller sees of change sets; `response` is the class of the
    messages, which has a field go_away.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        tokens: ResumeTokens,
        start: int,
        telling: Telling,
        response: type[Message],
    ) -> None:
        super().__init__(context, tokens, start)
        self._telling = telling
        self._response = response
        #: what is to be written instead of reading the log
        self._known: Told | None = None

    def known(self, position: int) -> int | None:
        """Return up to where others told what comes next, if this stream can say it too."""
        if position != self.written:
            return None
        self._known = self._telling.known(position)
        return None if self._known is None else self._known.end

    async def follow(
        self, port: Port, session: Session, tail: AsyncIterator[TailBatch]
    ) -> None:
        """Write what the tail gives until it, the caller or the key ends."""
        try:
            async for batch in tail:
                session.check(port)
                await self._write_batch(batch)
        finally:
            await close_tail(tail)
        await self.go_away()

    async def _write_batch(self, batch: TailBatch) -> None:
        known, self._known = self._known, None
        if known is not None:
            await self._write_told(known, known.end)
        elif not batch.change_sets:
            await self.write(self._response(), batch.position)
        rest = batch.change_sets
        while rest:
            told = self._telling.tell(self.written, rest, batch.position)
            rest = rest[told.taken :]
            end = rest[0].first_sequence - 1 if rest else batch.position
            await self._write_told(told, end)

    async def _write_told(self, told: Told, end: int) -> None:
        """Write messages; only the last one is at the end of a change set."""
        *before, last = told.messages
        for fields in before:
            response, at = self._response(), self.written
            await self.write(response, at, complete=False, fields=fields)
        await self.write(self._response(), end, fields=last)

    async def go_away(self) -> None:
        """Write the last message: the server stops, the token is good elsewhere."""
        last = self._response()
        last.go_away = True  # type: ignore[attr-defined]
        await self.write(last, self.written)
