"""Streams of the log: ordered, without gaps or duplicates, resumable.

A stream is a cursor into the account's tail. Its token names the position up to which
everything was written; it lies at the end of a change set, and so does every message.
"""

import asyncio
import binascii
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Generic, TypeVar

import grpc
import msgspec
from google.protobuf.message import Message

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument, Reason, ResourceExhausted
from flexcore.domain.log import ChangeSet
from flexcore.engine.port import Port, TailBatch
from flexcore.services.paging import from_text, to_text
from flexcore.services.session import Session

E = TypeVar("E", bound=Message)
R = TypeVar("R", bound=Message)


class Position(msgspec.Struct, frozen=True, array_like=True):
    """What a resume token says: a sequence in one stream of one account."""

    rpc: str
    account_sid: str
    subject: str
    sequence: int

    def token(self) -> str:
        """Return the opaque, URL-safe text callers keep."""
        return to_text(_encode(self))

    def at(self, sequence: int) -> "Position":
        """Return the position `sequence` of the same stream."""
        return msgspec.structs.replace(self, sequence=sequence)

    def resumed(self, token: str) -> "Position":
        """Return where `token` says; InvalidArgument if it is not of this stream."""
        try:
            found = _decode(from_text(token))
        except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
            raise InvalidArgument("resume_token", "not a resume token") from error
        if found.at(0) != self.at(0):
            raise InvalidArgument("resume_token", "belongs to another stream")
        return found


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Position).decode


async def close_tail(tail: AsyncIterator[TailBatch]) -> None:
    """Let a tail go; left to the garbage collector, its cursor would stay a while."""
    close = getattr(tail, "aclose", None)
    if close is not None:
        await close()


class Stream(Generic[E, R]):
    """One open stream, from its position to its end.

    `show` converts what the caller sees of a change set, `respond` makes a message of
    events and a token.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, R],
        position: Position,
        show: Callable[[ChangeSet], Sequence[E]],
        respond: Callable[[Sequence[E], str], R],
    ) -> None:
        self._context = context
        self._show = show
        self._respond = respond
        #: up to here everything was written
        self._written = position
        self._pending: list[E] = []
        self._pending_bytes = 0
        self._skipped = 0

    async def write(self, response: R) -> None:
        """Write a message; ResourceExhausted with the token when nobody reads."""
        try:
            async with asyncio.timeout(limits.STREAM_WRITE_TIMEOUT / limits.SECOND):
                await self._context.write(response)
        except TimeoutError as error:
            seconds = limits.STREAM_WRITE_TIMEOUT // limits.SECOND
            raise ResourceExhausted(
                f"nothing was read for {seconds} seconds",
                reason=Reason.READER_BEHIND,
                metadata={"resume_token": self._written.token()},
            ) from error

    async def follow(
        self, port: Port, session: Session, tail: AsyncIterator[TailBatch]
    ) -> None:
        """Write what the tail gives until it, the caller or the key ends."""
        try:
            async for batch in tail:
                session.check(port)
                for change_set in batch.change_sets:
                    await self._add(change_set)
                await self._end_batch(batch)
        finally:
            await close_tail(tail)

    async def _add(self, change_set: ChangeSet) -> None:
        events = self._show(change_set)
        if not events:
            self._skipped += len(change_set.events)
            return
        size = sum(event.ByteSize() for event in events)
        if self._pending and self._full(len(events), size):
            await self._flush(change_set.first_sequence - 1)
        self._pending.extend(events)
        self._pending_bytes += size

    def _full(self, count: int, size: int) -> bool:
        return (
            len(self._pending) + count > limits.STREAM_MESSAGE_EVENTS
            or self._pending_bytes + size > limits.MESSAGE_BYTES
        )

    async def _end_batch(self, batch: TailBatch) -> None:
        # A heartbeat may be far away while others keep the tail busy, so a long run of
        # events that are not shown moves the token too.
        silent = not self._pending and self._skipped < limits.STREAM_MESSAGE_EVENTS
        if batch.change_sets and silent:
            return
        await self._flush(batch.position)

    async def _flush(self, sequence: int) -> None:
        position = self._written.at(sequence)
        await self.write(self._respond(self._pending, position.token()))
        self._written = position
        self._pending = []
        self._pending_bytes = 0
        self._skipped = 0
