"""The feed of an agent session: what is written to it of many workers, in one order.

Events wait in the log and not here, until those before are acknowledged. A worker who
joins or leaves has a place among them, and the token changes with what it stands for.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import (
    FlexcoreError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from flexcore.engine.commands import Answer, Principal
from flexcore.engine.port import LogCursor, Port, Voucher
from flexcore.services.convert_event import (
    reservation_snapshot,
    worker_events,
    workspace_of,
)
from flexcore.services.credit import CreditWindow
from flexcore.services.resume_tokens import ResumeTokens, SetHash
from flexcore.services.shown import Shown
from flexcore.services.status import status_to_proto
from flexcore.services.streams import Writer
from flexcore.v1 import routing_service_pb2 as pb

_RPC = "AgentSession"


class _Told(msgspec.Struct, frozen=True):
    """An event that is to be written, as a field of a response.

    `end` is its change set's if it is the last of it.
    """

    sequence: int
    field: bytes
    end: int


class _Joined(msgspec.Struct, frozen=True):
    """A worker whose snapshot is to be written."""

    sid: str
    snapshot: Answer


class _Left(msgspec.Struct, frozen=True):
    """Workers who are not told of; those of `leaving` were until now."""

    leaving: Sequence[str]
    others: Sequence[str] = ()
    error: FlexcoreError | None = None


class AgentFeed:
    """Writes one session; `check` raises when it may be served no more."""

    def __init__(
        self,
        port: Port,
        principal: Principal,
        shown: Shown,
        cursor: LogCursor,
        context: grpc.aio.ServicerContext[Any, Any],
        voucher: Voucher,
        *,
        check: Callable[[], None],
    ) -> None:
        self._port = port
        self._principal = principal
        self._shown = shown
        self._cursor = cursor
        self._voucher = voucher
        #: who is told of, as read and as written, and of which workspace they are
        self.workers: dict[str, str] = {}
        self._workspaces: Counter[str] = Counter()
        self._hash = SetHash(_RPC)
        self._tokens = ResumeTokens(port, principal, self._hash.digest)
        self._writer = Writer(context, self._tokens, pb.AgentSessionResponse, check)
        self._writer.begin(cursor.position)
        self._window = CreditWindow(port.now)
        #: read from the log, and not yet written
        self._queue: deque[_Told | _Joined | _Left] = deque()
        #: whether a part of a change set was written and the rest was not
        self._torn = False

    # who is told of

    def join(self, sid: str, snapshot: Answer) -> None:
        """Tell of a worker from its snapshot on, put in its place among the events."""
        while (position := self._cursor.position) < snapshot.sequence:
            self._take_up(snapshot.sequence)
            assert self._cursor.position > position, "a snapshot ahead of the log"
        self._tell_of(sid, workspace_of(snapshot))
        self._queue.append(_Joined(sid, snapshot))

    def leave(self, sids: Sequence[str], error: FlexcoreError | None = None) -> None:
        """Let go of workers, and say so once everything before is written."""
        self._voucher.disconnect(sids)
        leaving = [sid for sid in sids if sid in self.workers]
        others = [sid for sid in sids if sid not in self.workers]
        for sid in sids:
            self._cursor.unwatch(sid)
        for workspace_sid in map(self.workers.pop, leaving):
            self._workspaces[workspace_sid] -= 1
            if not self._workspaces[workspace_sid]:
                del self._workspaces[workspace_sid]
                self._cursor.unwatch(workspace_sid)
        self._queue.append(_Left(leaving, others, error))

    def resume(self, token: str, sids: Sequence[str]) -> bool:
        """Go on after a token; False when that is too far behind."""
        whole = SetHash(_RPC)
        for sid in sids:
            whole.add(sid)
        tokens = ResumeTokens(self._port, self._principal, whole.digest)
        at = tokens.read(token)
        self._port.check_place(self._principal, at)
        head = self._port.log_end(self._principal).head
        if head - at > limits.STREAM_BEHIND_EVENTS:
            return False
        self._hash, self._tokens.stream = whole, whole.digest
        self._cursor.position = at
        self._writer.begin(at)
        for sid in sids:
            self._tell_of(sid, self._port.workspace_of(self._principal, sid))
        self._cursor.wake()
        return True

    def _tell_of(self, sid: str, workspace_sid: str) -> None:
        self.workers[sid] = workspace_sid
        self._workspaces[workspace_sid] += 1
        self._cursor.watch(sid)
        if workspace_sid:  # of one who was deleted since the token nobody knows it
            self._cursor.watch(workspace_sid)

    # what the backend took

    def acknowledge(self, sequence: int) -> None:
        """Make room for what comes after an event; InvalidArgument if there is none."""
        head = self._port.log_end(self._principal).head
        if sequence > head:
            text = f"{sequence} is no event's, the log ends at {head}"
            raise InvalidArgument("ack_events.sequence", text)
        self._window.acknowledge(sequence)

    def check(self) -> None:
        """Raise ResourceExhausted when there was no room for too long."""
        if self._window.stuck:
            raise self.behind("events were not acknowledged")

    def behind(self, text: str) -> ResourceExhausted:
        """Return what ends the session of a backend that does not keep up."""
        return self._writer.behind(text)

    # what is written

    @property
    def waiting(self) -> bool:
        """Say whether something that was read is not written yet."""
        return bool(self._queue)

    async def say(self, response: pb.AgentSessionResponse) -> None:
        """Write what is no event: the position stays, unless nothing is left before it."""
        await self._send(response, self._up_to(0), complete=not self._torn)

    async def beat(self) -> None:
        """Write that there is nothing, once there is."""
        # Nobody was woken for what concerns others; the token moves past it.
        if not await self.write_next():
            await self.say(pb.AgentSessionResponse())

    async def write_next(self) -> bool:
        """Write what comes next, as far as it may be written now; False if nothing may."""
        if not self._queue and self._cursor.behind:
            self._take_up(None)
            if not self._queue:
                # Much of the log is not wanted: others have their turn meanwhile. What they
                # woke the session for may be told before more is read.
                await asyncio.sleep(0)
                return True
        first = self._queue[0] if self._queue else None
        if isinstance(first, _Told):
            return await self._write_events()
        if isinstance(first, _Joined):
            self._queue.popleft()
            await self._write_snapshot(first)
        elif isinstance(first, _Left):
            self._queue.popleft()
            await self._write_left(first)
        return first is not None

    async def _write_snapshot(self, joined: _Joined) -> None:
        """Write how things stand with a worker, for whom the token stands from then on."""
        self._hash.add(joined.sid)
        self._tokens.stream = self._hash.digest
        parts = reservation_snapshot(joined.snapshot)
        await self._writer.write_parts(parts, joined.snapshot.sequence)
        self._cursor.beaten()

    async def _write_left(self, gone: _Left) -> None:
        """Write who is told of no more, for whom the token does not stand any longer."""
        for sid in gone.leaving:
            self._hash.remove(sid)
        self._tokens.stream = self._hash.digest
        left = pb.Unsubscribed(worker_sids=[*gone.leaving, *gone.others])
        if gone.error is not None:
            left.status = status_to_proto(gone.error).SerializeToString()
        response = pb.AgentSessionResponse(unsubscribed=left)
        await self._send(response, self._writer.written, complete=True)

    async def _write_events(self) -> bool:
        events: list[bytes] = []
        size = sequence = end = 0
        torn = False
        while self._queue and isinstance(told := self._queue[0], _Told):
            more = size + len(told.field)
            full = more > limits.STREAM_MESSAGE_BYTES and events
            if full or not self._window.room(len(events) + 1, more):
                break
            self._queue.popleft()
            events.append(told.field)
            size, sequence = more, told.sequence
            end, torn = told.end or end, not told.end
        if not events:
            return False
        self._torn = torn
        self._window.spend(sequence, len(events), size)
        await self._send(
            pb.AgentSessionResponse(),
            self._up_to(end),
            complete=not self._torn,
            fields=b"".join(events),
        )
        return True

    def _up_to(self, end: int) -> int:
        """Return up to where everything is written with a change set that ends there."""
        position = end or self._writer.written
        return position if self._queue else max(position, self._cursor.position)

    async def _send(
        self,
        response: pb.AgentSessionResponse,
        position: int,
        *,
        complete: bool,
        fields: bytes = b"",
    ) -> None:
        await self._writer.write(response, position, complete=complete, fields=fields)
        self._cursor.beaten()

    def _take_up(self, until: int | None) -> None:
        """Read a piece of the log into the queue."""
        for change_set in self._cursor.read(until):
            encode = self._shown.encode
            events = worker_events(change_set, encode, self.workers, self._workspaces)
            for number, (sequence, field) in enumerate(events, 1):
                end = change_set.last_sequence if number == len(events) else 0
                self._queue.append(_Told(sequence, field, end))
            for sid in change_set.deleted:
                if sid in self.workers or self._voucher.vouches(sid):
                    self.leave((sid,), NotFound("worker", sid))
