"""Statistics: how things stand from memory, what happened from the log, put together.

What is read from memory is decided but perhaps not durable; it is given away when it is,
like every answer. A window ends where memory was read, so that what a worker has not
finished yet follows on what the log says of it, without a gap and without an overlap.
"""

import asyncio

from flexcore.domain import limits
from flexcore.domain.buckets import Bucket, Cell, Durations, Span, covered
from flexcore.domain.clock import Clock
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.log import LogFilter
from flexcore.domain.model import Activity, Reservation, TaskChannel, Worker
from flexcore.domain.statistics import (
    ActivityTime,
    Figures,
    Query,
    RealTime,
    Report,
    Scope,
    WorkTime,
)
from flexcore.engine import commands as c
from flexcore.engine.account import Account
from flexcore.engine.port import LogPage
from flexcore.engine.reporting import standing
from flexcore.engine.reporting.history import History, Stretch

#: the place in a cell's key by which a scope is found
_KEY = {
    Scope.WORKSPACE: 0,
    Scope.TASK_QUEUE: 1,
    Scope.WORKFLOW: 2,
    Scope.WORKERS: 0,
}
_FOR_EVER = 1 << 62


class Statistics:
    """Answers questions about the accounts of a process."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    async def report(
        self, account: Account, principal: c.Principal, query: Query
    ) -> Report:
        """Return figures; NotFound, or OutOfRange for what the log no longer holds."""
        now = self._clock.now()
        start, end = window(query.start, query.end, query.minutes, now)
        floor = await self._history.check(account.sid, start, now)
        inquiry = _Inquiry(self._history, account, query, (start, end), floor)
        return await inquiry.answer(principal, self._clock)

    async def events(
        self,
        account: Account,
        log_filter: LogFilter,
        times: tuple[int, int],
        after: tuple[int, int] | None,
        limit: int,
    ) -> LogPage:
        """Return a page of events that are durable."""
        now = self._clock.now()
        position, until = after or (0, account.tail.head)
        start, end = times
        if not after:
            start, end = window(start, end, 0, now)
        stretch = Stretch(
            account_sid=account.sid,
            start=start,
            end=end if times[1] else _FOR_EVER,
            until=until,
            worker_sid=log_filter.worker_sid,
        )
        return await self._history.events(stretch, log_filter, position, limit)


def window(start: int, end: int, minutes: int, now: int) -> tuple[int, int]:
    """Return a window as (first, first no more); up to now and that included by default.

    InvalidArgument when it makes no sense.
    """
    if start and minutes:
        raise InvalidArgument("minutes", "must not be given with start_time")
    length = (minutes or limits.STATISTICS_MINUTES_DEFAULT) * limits.MINUTE
    last = end if 0 < end <= now else now + 1
    first = start or max(min(last, now) - length, 0)
    if first >= last:
        raise InvalidArgument("start_time", "must lie before end_time, and in the past")
    return first, last


class Pace:
    """Lets others run every now and then."""

    def __init__(self) -> None:
        self._count = 0

    async def step(self, entries: int = 0) -> None:
        """Count one thing looked at, and of those in it a tenth each."""
        self._count += 1 + entries // 10
        if self._count >= limits.STATISTICS_AT_ONCE:
            self._count = 0
            await asyncio.sleep(0)


class _Inquiry:
    """One question on its way to its answer."""

    def __init__(
        self,
        history: History,
        account: Account,
        query: Query,
        times: tuple[int, int],
        floor: int,
    ) -> None:
        self._history = history
        self._account = account
        self._query = query
        self._start, self._end = times
        self._floor = floor
        #: of durations, which end now at the latest
        self._last = self._end
        self._channel_sid = ""
        self._pace = Pace()
        self._cells: dict[str, dict[str, Cell]] = {sid: {} for sid in query.sids}
        self._stays: dict[str, Durations] = {}
        self._held: dict[str, list[tuple[int, int]]] = {}
        #: worker and start of what memory says goes on
        self._open: set[tuple[str, int]] = set()

    async def answer(self, principal: c.Principal, clock: Clock) -> Report:
        """Read memory, wait until that is durable, then read the log up to there."""
        query, state, now = self._query, self._account.state, clock.now()
        self._last = min(self._end, now)
        known = all(sid in state.rows for sid in query.sids)
        times: list[RealTime] = []
        refusal = None
        if known:
            try:
                times = self._read_memory()
            except InvalidArgument as error:
                refusal = error
            else:
                await self._read_workers()
        until = self._account.state.sequence
        # Each is answered when all of the above is durable, or says what is not there.
        gets = (c.Get(sid=sid) for sid in query.sids)
        await asyncio.gather(*(self._account.submit(principal, get) for get in gets))
        if refusal is not None:
            raise refusal
        if not known:  # it was just being created
            return await self.answer(principal, clock)
        stretch = Stretch(
            account_sid=self._account.sid,
            start=self._start,
            end=self._end,
            until=until,
            settled=now,
            floor=self._floor,
            worker_sid=query.sids[0] if query.scope == Scope.WORKER else "",
        )
        await self._read_log(stretch)
        return await self._report(times, now)

    # memory

    def _read_memory(self) -> list[RealTime]:
        query, decider = self._query, self._account.decider
        if query.scope == Scope.WORKER and query.workspace_sid:
            worker = decider.state.need(query.sids[0], Worker)
            if worker.workspace_sid != query.workspace_sid:
                text = f"{worker.sid} is not in {query.workspace_sid}"
                raise InvalidArgument("worker_sid", text)
        self._channel_sid = self._resolve_channel()
        return [
            standing.real_time(decider, query.scope, sid, self._channel_sid)
            for sid in query.sids
        ]

    def _resolve_channel(self) -> str:
        """Return the sid of the one task channel that counts, "" for all."""
        text = self._query.task_channel
        if not text:
            return ""
        for row in self._channels():
            if text in (row.sid, row.unique_name):
                return row.sid
        raise InvalidArgument("task_channel", f"{text!r} is no task channel there")

    def _channels(self) -> list[TaskChannel]:
        """Return the task channels of the workspace that is asked about."""
        state, sid = self._account.state, self._query.sids[0]
        workspace_sid = getattr(state.rows.get(sid), "workspace_sid", sid)
        return state.where(TaskChannel, "workspace_sid", workspace_sid)

    async def _read_workers(self) -> None:
        """Note what workers are doing now and what they hold, which is not over."""
        state, sids = self._account.state, self._query.sids
        if self._query.scope not in (Scope.WORKER, Scope.WORKERS):
            return
        if self._query.scope == Scope.WORKERS:
            sids = tuple(state.sids(Worker, "workspace_sid", self._query.sids[0]))
        for sid in sids:
            await self._pace.step()
            worker = state.find(sid, Worker)
            if worker is None:
                continue  # deleted meanwhile, which the log will say
            where = (sid, worker.workspace_sid)
            stay = Span(*where, worker.activity_sid, worker.activity_time, _FOR_EVER)
            self._take_stay(stay)
            self._open.add((sid, worker.activity_time))
            for row in state.where(Reservation, "open_worker_sid", sid):
                if row.accept_time:
                    channel_sid = row.task_channel_sid
                    span = Span(*where, channel_sid, row.accept_time, _FOR_EVER)
                    self._take_held(span)

    # the log

    async def _read_log(self, stretch: Stretch) -> None:
        async for bucket in self._history.buckets(stretch):
            await self._take_cells(bucket)
            await self._take_spans(bucket)
        if self._query.scope not in (Scope.WORKER, Scope.WORKERS):
            return
        # What ended since the window says what went on in it.
        after = Stretch(
            account_sid=stretch.account_sid,
            start=stretch.end,
            end=_FOR_EVER,
            until=stretch.until,
            settled=stretch.settled,
            floor=stretch.floor,
            worker_sid=stretch.worker_sid,
        )
        async for bucket in self._history.buckets(after):
            await self._take_spans(bucket)

    async def _take_cells(self, bucket: Bucket) -> None:
        scope, channel_sid = self._query.scope, self._channel_sid
        await self._pace.step()
        for place, cell in bucket.cells.items():
            sid = self._query.sids[0] if scope == Scope.WORKER else place[_KEY[scope]]
            channels = self._cells.get(sid)
            if channels is None or channel_sid not in ("", place.task_channel_sid):
                continue
            await self._pace.step(cell.size)
            channels.setdefault(place.task_channel_sid, Cell()).merge(cell)

    async def _take_spans(self, bucket: Bucket) -> None:
        if self._query.scope not in (Scope.WORKER, Scope.WORKERS):
            return
        for span in bucket.stays:
            await self._pace.step()
            if (span.worker_sid, span.start) not in self._open:
                self._take_stay(span)
        for span in bucket.held:
            await self._pace.step()
            self._take_held(span)

    def _take_stay(self, span: Span) -> None:
        found = span.clipped(self._start, self._last)
        if found.end > found.start and self._asked_for(span):
            durations = self._stays.setdefault(span.what, Durations())
            durations.add(found.end - found.start)

    def _take_held(self, span: Span) -> None:
        found = span.clipped(self._start, self._last)
        counts = self._channel_sid in ("", span.what)
        if found.end > found.start and counts and self._asked_for(span):
            held = self._held.setdefault(span.worker_sid, [])
            held.append((found.start, found.end))

    def _asked_for(self, span: Span) -> bool:
        return self._query.sids[0] in (span.worker_sid, span.workspace_sid)

    # the answer

    async def _report(self, times: list[RealTime], now: int) -> Report:
        work = None
        if self._query.scope in (Scope.WORKER, Scope.WORKERS):
            work = await self._work()
        figures = []
        for sid, real_time in zip(self._query.sids, times, strict=True):
            total = Cell()
            for cell in self._cells[sid].values():
                await self._pace.step(cell.size)
                total.merge(cell)
            figures.append(
                Figures(
                    sid=sid,
                    real_time=real_time,
                    total=total,
                    channels=self._cells[sid],
                    work=work,
                )
            )
        return Report(
            start=self._start,
            end=self._last,
            time=now,
            figures=tuple(figures),
            channel_names={row.sid: row.unique_name for row in self._channels()},
        )

    async def _work(self) -> WorkTime:
        state = self._account.state
        activities = []
        for sid, durations in sorted(self._stays.items()):
            row = state.find(sid, Activity)
            name, available = ("", False)
            if row is not None:
                name, available = row.friendly_name, row.available
            activities.append(ActivityTime(sid, name, available, durations))
        held = 0
        for spans in self._held.values():
            await self._pace.step()
            held += covered(spans)
        return WorkTime(
            activities=tuple(activities),
            held=held,
            available=sum(a.durations.total for a in activities if a.available),
        )
