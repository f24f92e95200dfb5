"""AgentSession: what happens to many workers, and what they do, over one stream.

One task reads what the backend says, the session itself is the only one who writes. It
writes, in this order: answers of commands, events as far as the backend acknowledges them,
snapshots of workers who are subscribed once everything before is written.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
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
from flexcore.engine import commands
from flexcore.engine.commands import Answer
from flexcore.engine.port import Port
from flexcore.services.agent_commands import AgentCommands, Calls
from flexcore.services.convert_event import snapshot_to_proto, worker_events
from flexcore.services.credit import CreditWindow
from flexcore.services.resume_tokens import ResumeTokens, SetHash
from flexcore.services.rules import Rules
from flexcore.services.session import session
from flexcore.services.shown import Shown
from flexcore.services.status import status_to_proto
from flexcore.services.streams import Writer
from flexcore.v1 import routing_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


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


class AgentSession:
    """One session, from its first message to its end."""

    def __init__(
        self, port: Port, shown: Shown, context: Context, calls: Calls, rules: Rules
    ) -> None:
        self._port = port
        self._shown = shown
        self._principal = session().principal
        self._rules = rules
        self._cursor = port.cursor(self._principal)
        self._commands = AgentCommands(port, session(), calls, self._cursor.wake)
        #: who is told of, as read and as written
        self._workers: set[str] = set()
        #: whether somebody was to be subscribed; afterwards there is no going back
        self._begun = False
        self._hash = SetHash("AgentSession")
        self._tokens = ResumeTokens(port, self._principal, self._hash.digest)
        self._writer = Writer(context, self._tokens, self._cursor.position)
        self._window = CreditWindow(port.now)
        #: read from the log, and not yet written
        self._queue: deque[_Told | _Joined | _Left] = deque()
        #: for whom it vouches
        self._voucher = port.vouch(self._principal, self._cursor.wake)
        #: who is to be told of, or no more, and how many workers these are
        self._asked: deque[pb.Subscribe | pb.Unsubscribe] = deque()
        self._asked_workers = 0
        #: workers the session does not vouch for though nobody asked, and why
        self._lost: deque[tuple[str, FlexcoreError]] = deque()
        #: whether a part of a change set was written and the rest was not
        self._torn = False

    async def serve(self, requests: AsyncIterator[pb.AgentSessionRequest]) -> None:
        """Serve until the backend, the key or the server ends it."""
        reader = asyncio.create_task(self._read(requests))
        reader.add_done_callback(lambda _: self._cursor.wake())
        try:
            await self._write(reader)
        finally:
            # Before anything is waited for: whoever is canceled twice does not come so far.
            self._cursor.close()
            self._voucher.close()
            reader.cancel()
            await self._commands.close()
            await asyncio.gather(reader, return_exceptions=True)

    # what the backend says

    async def _read(self, requests: AsyncIterator[pb.AgentSessionRequest]) -> None:
        async for request in requests:
            what = request.WhichOneof("request")
            if what is None:
                raise InvalidArgument("request", "must be given")
            try:
                self._rules.check(request)
            except InvalidArgument as error:
                if not request.command.command_id:
                    raise
                await self._commands.refuse(request.command, error)
                continue
            if what == "command":
                await self._commands.put(request.command)
            elif what == "ack_events":
                self._window.acknowledge(request.ack_events.sequence)
            elif what == "heartbeat":
                self._voucher.beat()
            elif what == "declare":
                self._declare(request.declare)
            else:
                self._ask(getattr(request, what))
            self._cursor.wake()

    def _declare(self, declare: pb.Declare) -> None:
        def own(sids: Iterable[str]) -> Sequence[str]:
            mine, others = self._own(sids)
            self._lost += ((sid, NotFound("worker", sid)) for sid in others)
            return mine

        self._voucher.disconnect(own(declare.disconnected_worker_sids))
        self._voucher.disconnect(own(declare.untracked_worker_sids), forget=True)
        self._voucher.connect(own(declare.connected_worker_sids))
        self._lost += self._voucher.take_lost()
        self._check_untold()

    def _ask(self, asked: pb.Subscribe | pb.Unsubscribe) -> None:
        self._asked.append(asked)
        self._asked_workers += max(1, len(asked.worker_sids))
        self._check_untold()

    def _next_asked(self) -> pb.Subscribe | pb.Unsubscribe:
        asked = self._asked.popleft()
        self._asked_workers -= max(1, len(asked.worker_sids))
        return asked

    def _check_untold(self) -> None:
        """End a session that says more than it is told; behind it waits what it says next.

        To wait instead would be to wait for an acknowledgment and not to read it.
        """
        if self._asked_workers + len(self._lost) > limits.SESSION_UNTOLD:
            most = limits.SESSION_UNTOLD
            raise self._writer.behind(f"more than {most} workers are to be told of")

    # what is written

    async def _write(self, reader: "asyncio.Task[None]") -> None:
        while True:
            self._commands.session.check(self._port)
            if self._window.stuck:
                raise self._writer.behind("events were not acknowledged")
            if reader.done():
                reader.result()
                due = self._queue or self._asked or self._lost
                if not (due or self._commands.waiting):
                    return
            if results := self._commands.take():
                await self._say(pb.AgentSessionResponse(results=results))
            elif await self._write_next() or self._drop_lost():
                pass
            elif self._may_subscribe():
                await self._change(self._next_asked())
            elif self._cursor.ended:
                # Everything was written, or nothing more may be: the token says which.
                await self._say(pb.AgentSessionResponse(go_away=True))
                return
            elif not await self._cursor.wait():
                await self._beat()

    async def _beat(self) -> None:
        if not self._queue:
            # Nobody was woken for what concerns others; the token moves past it.
            self._take_up(None)
        await self._say(pb.AgentSessionResponse())

    async def _say(self, response: pb.AgentSessionResponse) -> None:
        """Write what is no event: the position stays, unless nothing is left before it."""
        position = self._writer.written
        if not self._queue:
            position = max(position, self._cursor.position)
        await self._send(response, position, complete=not self._torn)

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

    async def _write_next(self) -> bool:
        """Write what comes next, as far as it may be written now; False if nothing may."""
        while not self._queue and self._cursor.behind:
            self._take_up(None)
            if not self._queue:
                # Much of the log is not wanted: others have their turn meanwhile.
                await asyncio.sleep(0)
        first = self._queue[0] if self._queue else None
        if isinstance(first, _Told):
            return await self._write_events()
        if isinstance(first, _Joined):
            self._queue.popleft()
            self._hash.add(first.sid)
            await self._write_change(
                pb.AgentSessionResponse(snapshot=snapshot_to_proto(first.snapshot)),
                first.snapshot.sequence,
            )
        elif isinstance(first, _Left):
            self._queue.popleft()
            for sid in first.leaving:
                self._hash.remove(sid)
            left = pb.Unsubscribed(worker_sids=[*first.leaving, *first.others])
            if first.error is not None:
                left.status = status_to_proto(first.error).SerializeToString()
            await self._write_change(
                pb.AgentSessionResponse(unsubscribed=left), self._writer.written
            )
        return first is not None

    async def _write_change(self, response: pb.AgentSessionResponse, at: int) -> None:
        """Write what changes whom the token stands for."""
        self._tokens.stream = self._hash.digest
        await self._send(response, at, complete=True)

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
        position = end or self._writer.written
        if not self._queue:
            position = max(position, self._cursor.position)
        self._window.spend(sequence, len(events), size)
        await self._send(
            pb.AgentSessionResponse(),
            position,
            complete=not self._torn,
            fields=b"".join(events),
        )
        return True

    def _take_up(self, until: int | None) -> None:
        """Read a piece of the log into the queue."""
        for change_set in self._cursor.read(until):
            events = worker_events(change_set, self._shown.encode, self._workers)
            for number, (sequence, field) in enumerate(events, 1):
                end = change_set.last_sequence if number == len(events) else 0
                self._queue.append(_Told(sequence, field, end))
            for sid in [s for s in change_set.deleted if s in self._workers]:
                self._voucher.disconnect((sid,))
                self._leave((sid,), NotFound("worker", sid))

    # who is told of

    def _may_subscribe(self) -> bool:
        near = self._cursor.behind <= limits.SESSION_SUBSCRIBE_BEHIND
        return bool(self._asked) and not self._queue and near

    async def _change(self, asked: pb.Subscribe | pb.Unsubscribe) -> None:
        if isinstance(asked, pb.Unsubscribe):
            sids = list(dict.fromkeys(asked.worker_sids))
            self._voucher.disconnect(sids)
            self._leave([sid for sid in sids if sid in self._workers])
            return
        wanted, others = self._own(
            sid for sid in dict.fromkeys(asked.worker_sids) if sid not in self._workers
        )
        for sid in others:
            self._queue.append(_Left((), (sid,), NotFound("worker", sid)))
        later, self._begun = self._begun, True
        if asked.resume_token and later:
            text = "only the first Subscribe of a session may have one"
            raise InvalidArgument("subscribe.resume_token", text)
        if asked.resume_token and self._resume(asked.resume_token, wanted):
            await self._say(pb.AgentSessionResponse())
            return
        room = limits.SESSION_WORKERS - len(self._workers)
        if wanted[room:]:
            text = f"{limits.SESSION_WORKERS} workers are subscribed, the most allowed"
            limit = {"limit": str(limits.SESSION_WORKERS)}
            error = ResourceExhausted(text, metadata=limit)
            self._queue.append(_Left((), wanted[room:], error))
        for first in range(0, len(wanted[:room]), limits.SESSION_SNAPSHOTS):
            await self._join(wanted[:room][first : first + limits.SESSION_SNAPSHOTS])
            while await self._write_next():
                pass

    def _own(self, wanted: Iterable[str]) -> tuple[list[str], list[str]]:
        """Tell apart for whom a worker's token is and is not: a place needs no snapshot."""
        wanted, mine = list(wanted), self._principal.worker_sid
        if not self._principal.is_worker:
            return wanted, []
        own = [sid for sid in wanted if sid == mine]
        return own, [sid for sid in wanted if sid != mine]

    def _drop_lost(self) -> bool:
        """Leave a worker that the session lost; say whether there was one."""
        if self._queue:
            return False
        self._lost += self._voucher.take_lost()
        if not self._lost:
            return False
        sid, error = self._lost.popleft()
        self._leave((sid,), error)
        return True

    def _leave(self, sids: Sequence[str], error: FlexcoreError | None = None) -> None:
        """Tell of workers no more, once everything before is written."""
        leaving = [sid for sid in sids if sid in self._workers]
        others = [sid for sid in sids if sid not in self._workers]
        for sid in leaving:
            self._workers.discard(sid)
            self._cursor.unwatch(sid)
        self._queue.append(_Left(leaving, others, error))

    def _resume(self, token: str, wanted: Sequence[str]) -> bool:
        """Go on after a token; False when that is too far behind."""
        whole = SetHash("AgentSession")
        for sid in wanted:
            whole.add(sid)
        tokens = ResumeTokens(self._port, self._principal, whole.digest)
        at = tokens.read(token)
        self._port.check_place(self._principal, at)
        head = self._port.log_end(self._principal).head
        if head - at > limits.STREAM_BEHIND_EVENTS:
            return False
        self._cursor.position = self._writer.written = at
        self._hash, self._tokens.stream = whole, whole.digest
        for sid in wanted:
            self._workers.add(sid)
            self._cursor.watch(sid)
        self._cursor.wake()
        return True

    async def _join(self, sids: Sequence[str]) -> None:
        """Take snapshots, and put each in its place among the events."""
        answers = await asyncio.gather(
            *(
                self._port.submit(self._principal, commands.Snapshot(sid=sid))
                for sid in sids
            ),
            return_exceptions=True,
        )
        for sid, answer in zip(sids, answers, strict=True):
            if isinstance(answer, NotFound):
                self._queue.append(_Left((), (sid,), answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                while (position := self._cursor.position) < answer.sequence:
                    self._take_up(answer.sequence)
                    assert self._cursor.position > position, (
                        "a snapshot ahead of the log"
                    )
                self._workers.add(sid)
                self._cursor.watch(sid)
                self._queue.append(_Joined(sid, answer))
