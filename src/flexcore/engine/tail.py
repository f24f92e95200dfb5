"""The shared tail of an account's log, which every stream reads with a cursor of its own.

Streams have no queue: a slow one costs nothing, and when it falls behind the tail it
reads from the store. A narrow stream (one worker, one conversation) has an index here and
in the store, so that nobody scans what does not concern it.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock
from flexcore.domain.errors import OutOfRange, Reason
from flexcore.domain.log import ChangeSet
from flexcore.engine.port import TailBatch
from flexcore.store.interface import Reader


class _Strand:
    """Change sets of one subject, oldest first.

    What is dropped from the front is forgotten once it is half of the list: O(1) each
    on average, and never more than twice what is held.
    """

    __slots__ = ("_gone", "_items", "waiters")

    def __init__(self) -> None:
        self._items: list[ChangeSet] = []
        self._gone = 0
        self.waiters: set[asyncio.Future[None]] = set()

    def append(self, change_set: ChangeSet) -> None:
        self._items.append(change_set)
        self.wake()

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def drop_first(self) -> None:
        self._gone += 1
        if self._gone * 2 >= len(self._items):
            del self._items[: self._gone]
            self._gone = 0

    def after(self, sequence: int) -> list[ChangeSet]:
        """Return what ends after `sequence`; O(log n) and what is returned."""
        start = bisect_right(
            self._items, sequence, self._gone, key=lambda item: item.last_sequence
        )
        return self._items[start : start + limits.STREAM_MESSAGE_EVENTS]

    def __bool__(self) -> bool:
        return len(self._items) > self._gone or bool(self.waiters)


class Tail:
    """The newest change sets in memory, at most TAIL_BYTES of them."""

    def __init__(
        self, account_sid: str, head: int, store: Reader, clock: Clock, alarm: Alarm
    ) -> None:
        self._account_sid = account_sid
        self._store = store
        self._clock = clock
        self._alarm = alarm
        #: everything after this sequence, up to the head, is in memory
        self._floor = head
        self.head = head
        self._bytes = 0
        self._sizes: deque[tuple[ChangeSet, int]] = deque()
        self._strands: dict[str, _Strand] = {"": _Strand()}
        self._closed = False

    def publish(self, change_set: ChangeSet, size: int) -> None:
        """Show a durable change set to the streams."""
        self.head = change_set.last_sequence
        self._sizes.append((change_set, size))
        self._bytes += size
        self._strands[""].append(change_set)
        for subject in change_set.subjects:
            self._strands.setdefault(subject, _Strand()).append(change_set)
        while self._bytes > limits.TAIL_BYTES:
            self._drop_first()

    def find(self, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`, from memory or store."""
        if last_sequence > self._floor:
            found = self._strands[""].after(last_sequence - 1)
            return found[0] if found else None
        return self._store.change_set(self._account_sid, last_sequence)

    async def follow(self, after: int | None, subject: str) -> AsyncIterator[TailBatch]:
        """Yield what comes after a position; an empty batch is a heartbeat.

        Ends only when the tail is closed, after everything up to then was given.
        """
        position = self.head if after is None else after
        self._check(position)
        waited = False
        while True:
            found = self._read(position, subject)
            if found:
                position = found[-1].last_sequence
            elif self._closed:
                return
            else:
                position = max(position, self.head)
                if not waited:
                    # Read again also for a heartbeat: it says where the log is by then.
                    waited = not await self._wait(subject)
                    continue
            waited = False
            yield TailBatch(tuple(found), position)

    def close(self) -> None:
        """Let every stream end at a position it can resume from."""
        self._closed = True
        for strand in self._strands.values():
            strand.wake()

    def _read(self, position: int, subject: str) -> list[ChangeSet]:
        if position >= self._floor:
            strand = self._strands.get(subject)
            return strand.after(position) if strand is not None else []
        found = self._store.read_log(
            self._account_sid, position, subject, limits.LOG_READ_BYTES
        )
        return list(found) or self._read(self._floor, subject)

    async def _wait(self, subject: str) -> bool:
        """Wait for news of a subject; False when a heartbeat is due first."""
        waiter = asyncio.get_running_loop().create_future()
        strand = self._strands.setdefault(subject, _Strand())
        strand.waiters.add(waiter)

        def beat() -> None:
            if not waiter.done():
                waiter.cancel()

        due = self._clock.now() + limits.HEARTBEAT_INTERVAL
        handle = self._alarm.call_at(due, beat)
        try:
            await asyncio.wait((waiter,))
        finally:
            handle.cancel()
            strand.waiters.discard(waiter)
            if subject and not strand and self._strands.get(subject) is strand:
                del self._strands[subject]
        return not waiter.cancelled()

    def _check(self, position: int) -> None:
        floor, head = self._store.bounds(self._account_sid)
        if position < floor:
            raise OutOfRange(
                f"position {position} is older than the log, which begins after {floor};"
                " start without a token",
                metadata={"floor": str(floor)},
            )
        if position > max(head, self.head):
            raise OutOfRange(
                f"position {position} is ahead of the log, which ends at {head}",
                reason=Reason.TOKEN_AHEAD,
                metadata={"head": str(head)},
            )

    def _drop_first(self) -> None:
        change_set, size = self._sizes.popleft()
        self._bytes -= size
        self._floor = change_set.last_sequence
        for subject in ("", *change_set.subjects):
            strand = self._strands[subject]
            strand.drop_first()
            if subject and not strand:
                del self._strands[subject]
