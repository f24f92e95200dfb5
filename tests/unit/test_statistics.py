"""Statistics of an engine on disk: windows, minutes that are kept, and what goes on."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.domain.buckets import Cell
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
)
from flexcore.domain.limits import MINUTE, SECOND
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.domain.model import (
    Activity,
    Reservation,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    Workflow,
)
from flexcore.domain.statistics import Figures, Query, Report, Scope
from flexcore.engine import commands as c
from flexcore.engine.reporting.history import History, Stretch
from flexcore.engine.reporting.statistics import Pace
from tests.engines import Running
from tests.factories import make_sid
from tests.recount import Recount, recounted, values
from tests.staff import (
    account_of,
    add_task,
    hire,
    log_of,
    offers_of,
    settle,
    state_of,
    until,
)


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    started = await Running(tmp_path / "data", clock).start()
    yield started
    await started.close()


async def ask(running: Running, scope: Scope, *sids: str, **fields: Any) -> Report:
    query = Query(scope=scope, sids=sids, **fields)
    return await running.engine.statistics(running.principal, query)


async def figures(running: Running, scope: Scope, sid: str, **fields: Any) -> Figures:
    (found,) = (await ask(running, scope, sid, **fields)).figures
    return found


async def wait(running: Running, seconds: float) -> None:
    """Let time pass, and what falls due become durable."""
    account = account_of(running)
    await until(lambda: not account._held)
    running.clock.advance(int(seconds * SECOND))
    await settle()
    await until(lambda: not account._held)


def workspace_of(running: Running) -> str:
    return next(sid for sid in state_of(running).rows if sid.startswith("WS"))


# --- a day at random -------------------------------------------------------------------


class Day:
    """Agents and customers who do this and that."""

    def __init__(self, running: Running, seed: int) -> None:
        self.running = running
        self.rng = random.Random(seed)
        #: how the reservations were whose tasks were deleted
        self.deleted: set[str] = set()

    def rows(self, kind: type[Any]) -> list[Any]:
        return list(state_of(self.running).of_kind(kind))

    async def open(self) -> None:
        for number in range(4):
            await hire(self.running, f"worker {number}")
        queue = c.CreateTaskQueue(
            workspace_sid="", friendly_name="second", target_workers="1==1"
        )
        second = (await self.running.submit(queue)).rows[0]
        first = next(q for q in self.rows(TaskQueue) if q.sid != second.sid)
        targets = (
            f'{{"queue":"{first.sid}","timeout":20}},'
            f'{{"queue":"{second.sid}","timeout":30}}'
        )
        await self.running.submit(
            c.CreateWorkflow(
                workspace_sid="",
                friendly_name="walk",
                configuration=f'{{"task_routing":{{"filters":[{{"targets":[{targets}]}}]}}}}',
                task_reservation_timeout_seconds=15,
            )
        )

    async def step(self) -> None:
        do = self.rng.choice(
            (self.create, self.accept, self.finish, self.idle) * 2
            + (self.reject, self.move, self.cancel, self.delete)
        )
        try:
            command = do()
        except IndexError:
            return  # nothing to do that to
        if command is not None:
            with suppress(FailedPrecondition):
                await self.running.submit(command)
        else:
            await wait(self.running, self.rng.choice((0.5, 1, 3, 10, 30, 75)))

    def idle(self) -> None:
        return None

    def create(self) -> c.Command:
        return c.CreateTask(
            workflow_sid=self.rng.choice(self.rows(Workflow)).sid,
            task_channel=self.rng.choice(("chat", "sms")),
            priority=self.rng.randrange(3),
        )

    def reservation(self, *statuses: str) -> Reservation:
        rows = [row for row in self.rows(Reservation) if row.status in statuses]
        return self.rng.choice(rows)

    def accept(self) -> c.Command:
        return c.AcceptReservation(sid=self.reservation("pending").sid)

    def reject(self) -> c.Command:
        return c.RejectReservation(sid=self.reservation("pending").sid)

    def finish(self) -> c.Command:
        row = self.reservation("accepted", "wrapping")
        if row.status == "accepted" and self.rng.random() < 0.5:
            return c.WrapTask(sid=row.task_sid)
        return c.CompleteTask(sid=row.task_sid)

    def move(self) -> c.Command:
        worker = self.rng.choice(self.rows(Worker))
        names = ("Available", "Available", "Unavailable", "Offline")
        return c.UpdateWorker(sid=worker.sid, activity=self.rng.choice(names))

    def cancel(self) -> c.Command:
        waiting = [t for t in self.rows(Task) if t.status in ("pending", "reserved")]
        return c.CancelTask(sid=self.rng.choice(waiting).sid)

    def delete(self) -> c.Command:
        row = self.reservation(self.rng.choice(("accepted", "wrapping")))
        self.deleted.add(row.status)
        return c.DeleteTask(sid=row.task_sid)


async def compare(running: Running, start: int, end: int) -> None:
    """Compare all that can be asked of a window with a recount."""
    state, log = state_of(running), log_of(running)
    recount = Recount(log)
    now = running.clock.now()
    # Up to now and that included.
    last = min(end or now + 1, now + 1)
    chat = next(c for c in state.of_kind(TaskChannel) if c.unique_name == "chat")
    fields = {"start": start, "end": end}
    asked = [(Scope.WORKSPACE, workspace_of(running))]
    asked += [(Scope.WORKFLOW, row.sid) for row in state.of_kind(Workflow)]
    queues = [row.sid for row in state.of_kind(TaskQueue)]
    for scope, sid in asked:
        found = await figures(running, scope, sid, **fields)
        assert values(found.total) == recounted(recount.values(start, last, sid))
    report = await ask(running, Scope.TASK_QUEUE, *queues, **fields)
    for sid, found in zip(queues, report.figures, strict=True):
        assert values(found.total) == recounted(recount.values(start, last, sid))
        narrow = await figures(
            running, Scope.TASK_QUEUE, sid, task_channel="chat", **fields
        )
        expected = recounted(recount.values(start, last, sid, chat.sid))
        assert values(narrow.total) == expected
        assert values(found.channels.get(chat.sid, Cell())) == expected
    everybody = (Scope.WORKERS, workspace_of(running))
    workers = [(Scope.WORKER, row.sid) for row in state.of_kind(Worker)]
    for scope, sid in (everybody, *workers):
        found = await figures(running, scope, sid, **fields)
        assert found.work is not None
        spent = {
            each.sid: (
                each.durations.count,
                each.durations.total,
                each.durations.least,
                each.durations.greatest,
            )
            for each in found.work.activities
        }
        until_now = min(last, now)
        assert spent == {
            name: (len(each), sum(each), each[0], each[-1])
            for name, each in recount.activities(start, until_now, sid).items()
        }
        assert found.work.held == recount.busy(start, until_now, sid)
        if scope == Scope.WORKER:
            assert values(found.total) == recounted(recount.values(start, last, sid))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_figures_are_those_of_a_recount(
    tmp_path: Path, clock: VirtualClock, seed: int
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    day = Day(running, seed)
    await day.open()
    first = clock.now()
    for number in range(160):
        await day.step()
        if number % 40 == 39:
            now = clock.now()
            start = day.rng.randint(first, now - 1)
            for end in (0, day.rng.randint(start + 1, now), now - now % MINUTE):
                if start < (end or now):
                    await compare(running, start, end)
    # A deleted task must not be taken for a completed one.
    while day.deleted != {"accepted", "wrapping"}:
        await day.step()
    # From minutes that are kept by now, and after a start without any.
    await compare(running, first, 0)
    await running.close()
    again = await Running(tmp_path / "data", clock).start()
    await compare(again, first, 0)
    await again.close()


# --- windows ---------------------------------------------------------------------------


async def test_without_a_window_the_last_quarter_of_an_hour_counts(
    running: Running,
) -> None:
    await add_task(running)
    await wait(running, 15 * 60)
    task = await add_task(running)
    now = running.clock.now()
    at_its_edge = await ask(running, Scope.WORKSPACE, task.workspace_sid)
    await wait(running, 0.000_001)
    later = await ask(running, Scope.WORKSPACE, task.workspace_sid)

    assert (at_its_edge.start, at_its_edge.end) == (now - 15 * MINUTE, now)
    assert at_its_edge.figures[0].total.counts["tasks_created"] == 2
    assert later.figures[0].total.counts["tasks_created"] == 1


async def test_a_window_without_its_end_leaves_no_event_to_two(
    running: Running,
) -> None:
    start = running.clock.now()
    task = await add_task(running)
    await wait(running, 90)
    middle = running.clock.now()
    await add_task(running)
    await wait(running, 30)

    async def created(**fields: int) -> int:
        found = await figures(running, Scope.WORKSPACE, task.workspace_sid, **fields)
        return found.total.counts.get("tasks_created", 0)

    assert await created(start=start, end=middle) == 1
    assert await created(start=middle) == 1
    assert await created(end=middle, minutes=2) == 1
    assert await created(minutes=1) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"start": 10, "end": 10}, "start_time"),
        ({"start": 20, "end": 10}, "start_time"),
        ({"start": 1 << 60}, "start_time"),
        ({"start": 10, "minutes": 5}, "minutes"),
        ({"task_channel": "pigeon"}, "task_channel"),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(
    running: Running, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await ask(running, Scope.WORKSPACE, workspace_of(running), **fields)

    assert refused.value.violations[0][0] == field


async def test_what_is_not_there_has_no_figures(running: Running) -> None:
    for scope, prefix in (
        (Scope.WORKSPACE, "WS"),
        (Scope.TASK_QUEUE, "WQ"),
        (Scope.WORKFLOW, "WW"),
        (Scope.WORKER, "WK"),
        (Scope.WORKERS, "WS"),
    ):
        with pytest.raises(NotFound):
            await ask(running, scope, make_sid(prefix, 9))


async def test_a_window_older_than_the_log_is_refused_with_where_it_begins(
    running: Running,
) -> None:
    workspace_sid = workspace_of(running)
    first = running.clock.now()
    await add_task(running)
    await wait(running, 1)
    await ask(running, Scope.WORKSPACE, workspace_sid, start=first - 100 * MINUTE)
    running.clock.advance(limits.LOG_RETENTION)
    await settle()
    # Upkeep forgets what is older.
    sid, epoch = running.principal.account_sid, state_of(running).epoch
    assert running.store.clean_up(sid, epoch, running.clock.now()) > 0
    kept = running.clock.now() - limits.LOG_RETENTION
    with pytest.raises(OutOfRange) as refused:
        await ask(running, Scope.WORKSPACE, workspace_sid, start=kept - 1)

    assert refused.value.reason.value == "STATISTICS_TOO_OLD"
    assert refused.value.metadata["floor_time"].endswith("Z")
    # Nothing is missing from then on: the task expired just now.
    found = await figures(running, Scope.WORKSPACE, workspace_sid, start=kept)
    assert found.total.counts == {"tasks_canceled": 1}
    await ask(running, Scope.WORKSPACE, workspace_sid)


async def test_what_is_given_up_while_it_is_counted_is_no_silent_gap(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace_sid, start = workspace_of(running), running.clock.now()
    await add_task(running)
    running.clock.advance(limits.LOG_RETENTION + SECOND)
    await wait(running, 1)
    find_time = running.store.find_time
    sid, epoch = running.principal.account_sid, state_of(running).epoch

    def found(*arguments: Any) -> Any:
        place = find_time(*arguments)
        running.store.clean_up(sid, epoch, running.clock.now())
        return place

    monkeypatch.setattr(running.store, "find_time", found)
    with pytest.raises(OutOfRange) as refused:
        await ask(running, Scope.WORKSPACE, workspace_sid, start=start)

    assert refused.value.reason.value == "STATISTICS_TOO_OLD"


# --- minutes that are kept -------------------------------------------------------------


async def test_a_minute_that_is_over_is_read_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await add_task(running)
    await wait(running, 10 * 60)
    first = await figures(running, Scope.WORKSPACE, task.workspace_sid)
    reads: list[int] = []
    read_log = running.store.read_log

    def counted(sid: str, after: int, *rest: Any) -> Any:
        reads.append(after)
        return read_log(sid, after, *rest)

    monkeypatch.setattr(running.store, "read_log", counted)
    again = await figures(running, Scope.WORKSPACE, task.workspace_sid)

    assert again.total == first.total
    # What is left are the begun minutes at both ends of the window.
    assert len(reads) == 2


async def test_what_is_kept_has_room_for_so_much(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STATISTICS_CACHE_ENTRIES", 5)
    for _ in range(8):
        task = await add_task(running)
        await wait(running, 60)
    first = await figures(running, Scope.WORKSPACE, task.workspace_sid)
    history = running.engine._statistics._history

    assert first.total.counts["tasks_created"] == 8
    assert 0 < len(history._minutes) <= 5
    assert history._size == sum(each.size for each in history._minutes.values()) <= 5
    again = await figures(running, Scope.WORKSPACE, task.workspace_sid)
    assert again.total == first.total


async def test_a_minute_that_is_not_over_is_not_kept(running: Running) -> None:
    for _ in range(4):
        task = await add_task(running)
        found = await figures(running, Scope.WORKSPACE, task.workspace_sid)
        await wait(running, 0.5)

    assert found.total.counts["tasks_created"] == 4


async def test_accounts_do_not_share_minutes(running: Running) -> None:
    task = await add_task(running)
    await wait(running, 120)
    found = await figures(running, Scope.WORKSPACE, task.workspace_sid)
    create = c.CreateAccount(friendly_name="other")
    other = (await running.submit(create)).rows[0]
    principal = c.Principal(other.sid, "SK1")
    theirs = running.engine.accounts()[other.sid].state
    sid = next(sid for sid in theirs.rows if sid.startswith("WS"))
    query = Query(scope=Scope.WORKSPACE, sids=(sid,))
    report = await running.engine.statistics(principal, query)

    assert found.total.counts["tasks_created"] == 1
    assert report.figures[0].total == Cell()
    with pytest.raises(NotFound):
        await running.engine.statistics(
            principal, Query(scope=Scope.WORKSPACE, sids=(task.workspace_sid,))
        )


async def test_the_log_is_read_in_small_pieces(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STATISTICS_READ_BYTES", 1)
    tasks = [await add_task(running) for _ in range(20)]
    sizes: list[int] = []
    read_log = running.store.read_log

    def counted(*arguments: Any) -> Any:
        found = read_log(*arguments)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(running.store, "read_log", counted)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(turn())
    found = await figures(running, Scope.WORKSPACE, tasks[0].workspace_sid)
    others.cancel()

    assert found.total.counts["tasks_created"] == 20
    assert max(sizes) == 1
    assert turns > len(sizes) >= 20


# --- how things stand ------------------------------------------------------------------


async def test_the_highest_priorities_are_told_where_there_are_many(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PRIORITIES_TOLD", 3)
    for priority in (4, 1, 7, 9, 1, 4):
        task = await add_task(running, priority=priority)
    found = (await figures(running, Scope.TASK_QUEUE, task.task_queue_sid)).real_time

    for tasks in (found.tasks, *found.channels.values()):
        assert tasks is not None
        assert tasks.by_priority == {9: 1, 7: 1, 4: 2}
        assert tasks.by_status["pending"] == 6


async def test_how_a_queue_stands(running: Running) -> None:
    worker = await hire(running)
    away = c.CreateWorker(workspace_sid="", friendly_name="bob", activity="Offline")
    await running.submit(away)
    first = await add_task(running, priority=3)
    await wait(running, 7)
    await add_task(running, task_channel="sms")
    third = await add_task(running)
    await wait(running, 5)
    (offer,) = (r for r in offers_of(running, worker) if r.task_sid == first.sid)
    await running.submit(c.AcceptReservation(sid=offer.sid))
    found = (await figures(running, Scope.TASK_QUEUE, third.task_queue_sid)).real_time
    since = running.clock.now() - 5 * SECOND

    assert found.tasks is not None
    assert found.workers is not None
    statuses = {"pending": 1, "reserved": 1, "assigned": 1, "wrapping": 0}
    assert found.tasks.by_status == statuses
    assert found.tasks.by_priority == {0: 2, 3: 1}
    assert found.tasks.longest_waiting_since == since
    assert found.tasks.longest_in_queue_since == since
    assert found.tasks.longest_waiting_sid == found.tasks.longest_in_queue_sid
    assert (found.workers.total, found.workers.available) == (2, 1)
    by_name = {each.friendly_name: each.workers for each in found.workers.activities}
    assert by_name == {"Available": 1, "Offline": 1, "Unavailable": 0}
    assert {each.by_status["pending"] for each in found.channels.values()} == {0, 1}
    narrow = await figures(
        running, Scope.TASK_QUEUE, third.task_queue_sid, task_channel="sms"
    )
    assert narrow.real_time.tasks is not None
    assert sum(narrow.real_time.tasks.by_status.values()) == 1


async def test_the_longest_in_its_queue_is_another_than_the_oldest(
    running: Running,
) -> None:
    queue = (
        await running.submit(
            c.CreateTaskQueue(
                workspace_sid="", friendly_name="late", target_workers="1==2"
            )
        )
    ).rows[0]
    everyone = next(
        q for q in state_of(running).of_kind(TaskQueue) if q.sid != queue.sid
    )
    targets = f'{{"queue":"{everyone.sid}","timeout":60}},{{"queue":"{queue.sid}"}}'
    walk = (
        await running.submit(
            c.CreateWorkflow(
                workspace_sid="",
                friendly_name="walk",
                configuration=f'{{"task_routing":{{"filters":[{{"targets":[{targets}]}}]}}}}',
                task_reservation_timeout_seconds=15,
            )
        )
    ).rows[0]
    straight = (
        await running.submit(
            c.CreateWorkflow(
                workspace_sid="",
                friendly_name="straight",
                configuration=f'{{"task_routing":{{"default_filter":{{"queue":"{queue.sid}"}}}}}}',
                task_reservation_timeout_seconds=15,
            )
        )
    ).rows[0]
    oldest = await add_task(running, workflow_sid=walk.sid)
    await wait(running, 10)
    longest = await add_task(running, workflow_sid=straight.sid)
    await wait(running, 80)
    moved = state_of(running).need(oldest.sid, Task)
    assert moved.task_queue_sid == queue.sid
    found = (await figures(running, Scope.TASK_QUEUE, queue.sid)).real_time.tasks

    assert found is not None
    now = running.clock.now()
    assert (found.longest_waiting_sid, found.longest_waiting_since) == (
        oldest.sid,
        now - 90 * SECOND,
    )
    assert (found.longest_in_queue_sid, found.longest_in_queue_since) == (
        longest.sid,
        now - 80 * SECOND,
    )


async def test_what_one_worker_is_doing(running: Running) -> None:
    worker = await hire(running)
    await add_task(running)
    await wait(running, 2)
    (offer,) = offers_of(running, worker)
    await running.submit(c.AcceptReservation(sid=offer.sid))
    found = (await figures(running, Scope.WORKER, worker.sid)).real_time.worker

    assert found is not None
    assert (found.activity_name, found.available) == ("Available", True)
    assert found.activity_time == worker.activity_time
    held = {each.task_channel_unique_name: each.reservations for each in found.channels}
    assert held == {"chat": {}, "default": {"accepted": 1}, "sms": {}}


async def test_work_that_goes_on_counts_up_to_now(running: Running) -> None:
    worker = await hire(running)
    await add_task(running)
    await wait(running, 10)
    (offer,) = offers_of(running, worker)
    await running.submit(c.AcceptReservation(sid=offer.sid))
    await wait(running, 30)
    work = (await figures(running, Scope.WORKER, worker.sid)).work

    assert work is not None
    assert (work.held, work.available) == (30 * SECOND, 40 * SECOND)
    assert work.occupancy == 0.75
    (stay,) = work.activities
    assert stay.friendly_name == "Available"


async def test_figures_wait_for_the_disk_like_every_answer(running: Running) -> None:
    """Else they would tell of what a refused commit takes back."""
    task = await add_task(running)
    account = running.engine.accounts()[running.principal.account_sid]
    created = running.engine.submit(running.principal, c.CreateTask())
    asked = asyncio.create_task(created)
    await until(lambda: bool(account._held))
    report = await ask(running, Scope.WORKSPACE, task.workspace_sid)

    assert asked.done()
    assert report.figures[0].total.counts["tasks_created"] == 2
    await asked


# --- events ----------------------------------------------------------------------------


async def listed(
    running: Running, log_filter: LogFilter, **fields: Any
) -> list[ChangeSet]:
    """Return all pages."""
    found: list[ChangeSet] = []
    after = None
    window = fields.get("start", 0), fields.get("end", 0)
    while True:
        page = await running.engine.events(
            running.principal, log_filter, window, after, fields.get("limit", 50)
        )
        found += page.change_sets
        if page.after is None:
            return found
        after = (page.after, page.until)


async def test_pages_of_events_go_on_where_they_ended(running: Running) -> None:
    tasks = [await add_task(running) for _ in range(7)]
    log_filter = LogFilter(types=frozenset({"task.created"}))
    found = await listed(running, log_filter, limit=2)

    assert [each.events[0].sid for each in found] == [task.sid for task in tasks]


async def test_a_page_looks_at_so_much_and_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIST_EVENTS_CHANGE_SETS", 3)
    monkeypatch.setattr(limits, "STATISTICS_READ_BYTES", 1)
    worker = await hire(running)
    for _ in range(10):
        await add_task(running, task_channel="sms")
    log_filter = LogFilter(types=frozenset({"worker.created"}))
    window = (0, 0)
    first = await running.engine.events(running.principal, log_filter, window, None, 50)

    assert first.after is not None
    found = await listed(running, log_filter)
    assert [each.resources[0].sid for each in found] == [worker.sid]


async def test_what_came_after_the_first_page_is_not_listed(running: Running) -> None:
    await add_task(running)
    await add_task(running)
    log_filter = LogFilter(types=frozenset({"task.created"}))
    window = (0, 0)
    first = await running.engine.events(running.principal, log_filter, window, None, 1)
    await add_task(running)
    assert first.after is not None
    rest = await running.engine.events(
        running.principal, log_filter, window, (first.after, first.until), 50
    )

    assert len(rest.change_sets) == 1
    assert rest.after is None


async def test_events_of_a_window(running: Running) -> None:
    first = await add_task(running)
    await wait(running, 60)
    second = await add_task(running)
    times = [each.create_time for each in (first, second)]
    created = frozenset({"task.created"})

    async def sids(**fields: int) -> list[str]:
        found = await listed(running, LogFilter(types=created), **fields)
        return [each.events[0].sid for each in found]

    assert await sids(start=times[0], end=times[1]) == [first.sid]
    assert await sids(start=times[1]) == [second.sid]
    assert await sids(start=times[0], end=times[1] + 1) == [first.sid, second.sid]
    await wait(running, 15 * 60 - 1)
    assert await sids() == [second.sid]


async def test_stretches_of_nothing_are_empty(running: Running) -> None:
    history: History = running.engine._statistics._history
    now = running.clock.now()
    stretch = Stretch(
        account_sid=running.principal.account_sid,
        start=now - 100 * MINUTE,
        end=now - 10 * MINUTE,
        until=1 << 60,
        settled=now,
    )

    for _ in range(2):
        assert [b.cells async for b in history.buckets(stretch) if b.cells] == []
    assert state_of(running).count_of(Activity) == 3


async def test_others_run_while_cells_of_many_different_waits_are_added() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    pace = Pace()
    cell = Cell(
        accepted=dict.fromkeys(range(700), 1), canceled=dict.fromkeys(range(300), 1)
    )
    for _ in range(20):
        await pace.step(cell.size)
    large = turns
    for _ in range(2 * limits.STATISTICS_AT_ONCE):
        await pace.step()
    running.cancel()

    assert large == 20
    assert turns == large + 2
