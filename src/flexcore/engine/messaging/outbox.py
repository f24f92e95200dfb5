"""The outbox runner: moves what the account committed out into the world.

It decides nothing and remembers nothing that matters: every step is a command, and what
an entry is comes back through `put` once that command is durable. Entries of one pair of
addresses leave one at a time, in order; the one at the head is

- ready: `AttemptSend` is durable before the socket opens, then the carrier is asked, then
  `ReportSend` says what became of it (sending.py);
- attempting, though nobody here attempts it (the process that did is gone): unknown;
- unknown: found at the carrier, proven absent (or harmless to repeat), or still unknown.

An assignment callback (routing/calls.py) is harmless to repeat: `AttemptCallback` comes
first whatever its state is.

When each of these is due, and when an entry is given up, is the engine's decision.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, Handle
from flexcore.domain.errors import FlexcoreError, Kind
from flexcore.domain.states import OutboxState
from flexcore.engine.commands import (
    Answer,
    AttemptCallback,
    AttemptSend,
    Command,
    ReportCallback,
    ReportSend,
)
from flexcore.engine.messaging.sending import Sending
from flexcore.engine.routing.calls import Calls
from flexcore.store.interface import OutboxEntry

_LOG = structlog.get_logger(__name__)

Submit = Callable[[str, Command], Awaitable[Answer]]
Step = AttemptSend | ReportSend | AttemptCallback | ReportCallback

#: refusals of a step that say it is no longer to be taken; others say not now
_SETTLED = frozenset({Kind.NOT_FOUND, Kind.FAILED_PRECONDITION})


@dataclass(eq=False, slots=True)
class _Pair:
    """Entries of one pair of addresses of one account, by sequence."""

    account_sid: str
    name: str
    entries: list[OutboxEntry] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    queued: bool = False
    handle: Handle | None = None
    #: not before this time, whatever the head says
    held_until: int = 0


@dataclass(eq=False, slots=True)
class _Line:
    """Pairs of one account, and one URL, that are due and wait for a free place."""

    in_flight_max: int
    in_flight: int = 0
    waiting: deque[_Pair] = field(default_factory=deque)


class Outbox:
    """One runner for all accounts of a process.

    `put` must be called in the turn that releases the answers of the same commit, so
    that whoever awaits an answer finds the entry's new state here.
    """

    def __init__(
        self,
        submit: Submit,
        sending: Sending,
        calls: Calls,
        clock: Clock,
        alarm: Alarm,
    ) -> None:
        self._submit = submit
        self._sending = sending
        self._calls = calls
        self._clock = clock
        self._alarm = alarm
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._lines: dict[tuple[str, str], _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def put(self, account_sid: str, entries: Sequence[OutboxEntry]) -> None:
        """Take the durable state of every entry a commit touched, or recovery found."""
        for entry in entries:
            key = (account_sid, entry.pair)
            pair = self._pairs.get(key)
            if pair is None:
                pair = self._pairs[key] = _Pair(account_sid, entry.pair)
            _replace(pair, entry)
            self._sending.note(account_sid, entry)
            self._wake(pair)

    async def close(self) -> None:
        """Start nothing more, and give what is under way a bounded time to end.

        What is cut off stays `attempting` and is asked for after the next start. The
        engine must still take commands while this runs.
        """
        self._closing = True
        for pair in self._pairs.values():
            _disarm(pair)
        tasks = tuple(self._tasks)
        try:
            if tasks:
                drain_seconds = limits.DRAIN_TIME / limits.SECOND
                await asyncio.wait(tasks, timeout=drain_seconds)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- when --------------------------------------------------------------------------

    def _wake(self, pair: _Pair) -> None:
        """Start on the head of a pair if it is due, else be woken when it is."""
        if self._closing or pair.task is not None or pair.queued:
            return
        _disarm(pair)
        if not pair.entries:
            del self._pairs[pair.account_sid, pair.name]
            return
        due = _due(pair)
        if due > self._clock.now():
            pair.handle = self._alarm.call_at(due, lambda: self._wake(pair))
            return
        key = (pair.account_sid, _url(pair.entries[0]))
        line = self._lines.get(key)
        if line is None:
            most = limits.CALLBACKS_IN_FLIGHT if key[1] else limits.SENDS_IN_FLIGHT
            line = self._lines[key] = _Line(most)
        line.waiting.append(pair)
        pair.queued = True
        self._fill(key, line)

    def _fill(self, key: tuple[str, str], line: _Line) -> None:
        while line.waiting and line.in_flight < line.in_flight_max:
            pair = line.waiting.popleft()
            pair.queued = False
            if pair.entries and _due(pair) <= self._clock.now() and not self._closing:
                self._begin(pair, key, line)
            else:
                self._wake(pair)
        if not line.in_flight and not line.waiting and self._lines.get(key) is line:
            del self._lines[key]

    def _begin(self, pair: _Pair, key: tuple[str, str], line: _Line) -> None:
        entry = pair.entries[0]
        line.in_flight += 1
        pair.task = asyncio.create_task(self._move(pair, entry))
        self._tasks.add(pair.task)
        pair.task.add_done_callback(lambda task: self._finish(pair, key, entry, task))

    def _finish(
        self,
        pair: _Pair,
        key: tuple[str, str],
        entry: OutboxEntry,
        task: asyncio.Task[None],
    ) -> None:
        self._tasks.discard(task)
        pair.task = None
        line = self._lines[key]
        line.in_flight -= 1
        failed = not task.cancelled() and task.exception() is not None
        if failed:
            _LOG.error("outbox step failed", sid=entry.sid, exc_info=task.exception())
        if failed or (pair.entries and pair.entries[0] is entry):
            # Nothing came of it: without a pause this would be a loop at full speed.
            pair.held_until = self._clock.now() + limits.OUTBOX_WAIT
        self._wake(pair)
        self._fill(key, line)

    # --- what --------------------------------------------------------------------------

    async def _move(self, pair: _Pair, entry: OutboxEntry) -> None:
        """Take the one step that the state of an entry asks for."""
        if entry.callback is not None:
            await self._call(pair, entry)
            return
        if entry.state is OutboxState.READY:
            attempt = AttemptSend(sid=entry.sid)
            if await self._step(pair, attempt) is None or not _holds(pair, entry):
                return
        # The newest state knows when it was attempted.
        newest = next((e for e in pair.entries if e.sid == entry.sid), entry)
        time = newest.attempt_time
        await self._report(
            pair, await self._sending.send(pair.account_sid, entry, time)
        )

    async def _call(self, pair: _Pair, entry: OutboxEntry) -> None:
        attempted = await self._step(pair, AttemptCallback(sid=entry.sid))
        if attempted is None or not attempted.rows:
            return
        report = await self._calls.call(pair.account_sid, entry, attempted)
        await self._report(pair, report)

    async def _report(self, pair: _Pair, report: ReportSend | ReportCallback) -> None:
        """Say what came of it; lost, a known outcome would become an unknown one."""
        while await self._step(pair, report) is None:
            await self._pause()

    async def _step(self, pair: _Pair, command: Step) -> Answer | None:
        """Submit a command; None if the engine cannot take it now.

        A refusal because the entry is no longer what it was settles it: it is dropped
        here, and comes back through `put` if something is still to be done.
        """
        try:
            return await self._submit(pair.account_sid, command)
        except FlexcoreError as error:
            _LOG.warning("outbox step refused", sid=command.sid, text=error.text)
            if error.kind not in _SETTLED:
                return None
            pair.entries = [e for e in pair.entries if e.sid != command.sid]
        return Answer(0)

    async def _pause(self) -> None:
        over = asyncio.Event()
        when = self._clock.now() + limits.OUTBOX_WAIT
        handle = self._alarm.call_at(when, over.set)
        try:
            await over.wait()
        finally:
            handle.cancel()


def _replace(pair: _Pair, entry: OutboxEntry) -> None:
    """Put the new state of an entry where the old one was; O(entries of the pair)."""
    pair.entries = [e for e in pair.entries if e.sid != entry.sid]
    if entry.state not in (OutboxState.DONE, OutboxState.DEAD):
        insort(pair.entries, entry, key=lambda e: e.sequence)


def _url(entry: OutboxEntry) -> str:
    """Return whom a callback asks; nothing for a message."""
    return entry.callback.urls[0] if entry.callback is not None else ""


def _due(pair: _Pair) -> int:
    return max(pair.entries[0].due, pair.held_until)


def _holds(pair: _Pair, entry: OutboxEntry) -> bool:
    return any(e.sid == entry.sid for e in pair.entries)


def _disarm(pair: _Pair) -> None:
    if pair.handle is not None:
        pair.handle.cancel()
        pair.handle = None
