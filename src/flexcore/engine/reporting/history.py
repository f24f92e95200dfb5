"""The log read back: buckets of a stretch of time, and pages of events.

All of it happens beside the writer: a thread reads and counts a small piece at a time, so
that the loop waits for the interpreter less than a millisecond, and then somebody else may
read. Minutes that are over never change and are counted once, as long as there is room to
keep them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec

from flexcore.domain import limits
from flexcore.domain.buckets import Bucket
from flexcore.domain.errors import OutOfRange, Reason
from flexcore.domain.fold import fold
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.engine.port import LogPage
from flexcore.store.interface import LogPlace, Reader

P = ParamSpec("P")
T = TypeVar("T")


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Change sets of a span of time, up to a sequence; of one worker, if one is named.

    What is older than `settled` cannot grow any more. `floor` is where the log began when
    it was found to reach back far enough.
    """

    account_sid: str
    start: int
    end: int
    until: int
    settled: int = 0
    floor: int = 0
    worker_sid: str = ""


class _Run:
    """One pass over a part of the log on its way into buckets by minute."""

    def __init__(self, stretch: Stretch, after: int) -> None:
        self.stretch = stretch
        self.after = after
        self.buckets: dict[int, Bucket] = {}
        #: nothing more is to be read for this run, and for no later one either
        self.ended = False
        self.exhausted = False

    def take(self, change_sets: list[ChangeSet]) -> None:
        """Count what belongs to the stretch; what does not ends it."""
        stretch = self.stretch
        self.exhausted = (
            not change_sets or change_sets[-1].last_sequence >= stretch.until
        )
        self.ended = self.exhausted
        for change_set in change_sets:
            late = change_set.time >= stretch.end
            if late or change_set.last_sequence > stretch.until:
                self.ended = True
                self.exhausted = self.exhausted and not late
                return
            bucket = self.buckets.setdefault(change_set.time // limits.MINUTE, Bucket())
            fold((change_set,), bucket, stretch.worker_sid)
            self.after = change_set.last_sequence


class History:
    """Reads the logs of all accounts; keeps what it counted of minutes that are over."""

    def __init__(self, store: Reader, readers: Executor) -> None:
        self._store = store
        self._readers = readers
        self._minutes: OrderedDict[tuple[str, int], Bucket] = OrderedDict()
        self._size = 0
        #: so that those who ask for the same do not count the same
        self._locks: dict[str, asyncio.Lock] = {}

    async def check(self, account_sid: str, start: int, now: int) -> int:
        """Return the sequence the log begins after.

        OutOfRange when a window begins before what the log still holds.
        """
        place = await self._find(account_sid, start)
        # What was given up was older than the retention when it was.
        kept = now - limits.LOG_RETENTION
        oldest = min(place.oldest, kept) if place.oldest else kept
        if place.floor and start < oldest:
            raise _too_old(oldest)
        return place.floor

    async def buckets(self, stretch: Stretch) -> AsyncIterator[Bucket]:
        """Yield buckets that together are what happened in a stretch.

        They may be those that are kept: nobody changes them.
        """
        if stretch.worker_sid:
            run = await self._read(stretch)
            for bucket in run.buckets.values():
                yield bucket
            return
        time = stretch.start
        while time < stretch.end:
            kept = self._kept(stretch, time)
            if kept is not None:
                yield kept
                time = (time // limits.MINUTE + 1) * limits.MINUTE
                continue
            async with self._locks.setdefault(stretch.account_sid, asyncio.Lock()):
                if self._kept(stretch, time) is not None:
                    continue  # somebody else has just counted it
                end = self._end_of_run(stretch, time)
                part = msgspec.structs.replace(stretch, start=time, end=end)
                run = await self._read(part)
                self._keep(part, run.buckets)
            for bucket in run.buckets.values():
                yield bucket
            if run.exhausted:
                return
            time = end

    async def _read(self, stretch: Stretch) -> _Run:
        place = await self._find(stretch.account_sid, stretch.start)
        if place.floor > stretch.floor and stretch.start < place.oldest:
            raise _too_old(place.oldest)  # given up while this was counted
        run = _Run(stretch, place.after)
        while not run.ended:
            await self._in_thread(self._step, run)
        return run

    def _step(self, run: _Run) -> None:
        stretch = run.stretch
        try:
            found = self._store.read_log(
                stretch.account_sid,
                run.after,
                stretch.worker_sid,
                limits.STATISTICS_READ_BYTES,
            )
        except OutOfRange as error:
            raise _too_old(stretch.start) from error
        run.take(list(found))

    # minutes that are over

    def _kept(self, stretch: Stretch, time: int) -> Bucket | None:
        """Return the minute that begins at `time` if it is whole and kept."""
        minute, rest = divmod(time, limits.MINUTE)
        if rest or time + limits.MINUTE > stretch.end:
            return None
        key = (stretch.account_sid, minute)
        found = self._minutes.get(key)
        if found is not None:
            self._minutes.move_to_end(key)
        return found

    def _end_of_run(self, stretch: Stretch, time: int) -> int:
        """Return up to where to read from `time` on: to a minute that is kept."""
        minute = time // limits.MINUTE
        for _ in range(limits.STATISTICS_RUN_MINUTES):
            minute += 1
            end = minute * limits.MINUTE
            if end >= stretch.end:
                return stretch.end
            if self._kept(stretch, end) is not None:
                break
        return minute * limits.MINUTE

    def _keep(self, stretch: Stretch, buckets: dict[int, Bucket]) -> None:
        first = -(-stretch.start // limits.MINUTE)
        last = min(stretch.end, stretch.settled) // limits.MINUTE
        for minute in range(first, last):
            bucket = buckets.get(minute) or Bucket()  # of a minute in which nothing was
            self._minutes[stretch.account_sid, minute] = bucket
            self._size += bucket.size
        while self._size > limits.STATISTICS_CACHE_ENTRIES:
            _, dropped = self._minutes.popitem(last=False)
            self._size -= dropped.size

    # pages of events

    async def events(
        self, stretch: Stretch, log_filter: LogFilter, after: int, limit: int
    ) -> LogPage:
        """Return change sets with an event the filter shows, in order of the log.

        `after` is where the page before ended; 0 begins with the stretch.
        """
        if not after:
            after = (await self._find(stretch.account_sid, stretch.start)).after
        found: list[ChangeSet] = []
        looked_at = 0
        while looked_at < limits.LIST_EVENTS_CHANGE_SETS:
            change_sets = await self._in_thread(
                self._store.read_log,
                stretch.account_sid,
                after,
                stretch.worker_sid,
                limits.STATISTICS_READ_BYTES,
            )
            if not change_sets:
                return LogPage(tuple(found), stretch.until, None)
            for change_set in change_sets:
                late = change_set.time >= stretch.end
                if late or change_set.last_sequence > stretch.until:
                    return LogPage(tuple(found), stretch.until, None)
                if log_filter.finds(change_set):
                    if len(found) == limit:
                        return LogPage(tuple(found), stretch.until, after)
                    found.append(change_set)
                after = change_set.last_sequence
            looked_at += len(change_sets)
        return LogPage(tuple(found), stretch.until, after)

    # the thread

    async def _find(self, account_sid: str, time: int) -> LogPlace:
        return await self._in_thread(self._store.find_time, account_sid, time)

    async def _in_thread(
        self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._readers, partial(call, *arguments, **named)
        )


def _too_old(floor: int) -> OutOfRange:
    seconds, rest = divmod(floor, limits.SECOND)
    time = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = f"{time}.{rest:06}Z"
    return OutOfRange(
        f"the log is held from {text} on; what was before is counted no more",
        reason=Reason.STATISTICS_TOO_OLD,
        metadata={"floor_time": text},
    )
