"""Finished tasks that memory does not hold are deleted when their time is over."""

import asyncio
from collections.abc import AsyncIterator
from itertools import groupby
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import NotFound
from flexcore.domain.limits import DAY, MINUTE, SECOND
from flexcore.domain.model import Reservation, Task, Workspace
from flexcore.domain.states import TaskStatus
from flexcore.engine import commands as c
from flexcore.engine.checks import check_account
from flexcore.store.sqlite import SqliteStore
from tests.engines import Running
from tests.faulty import FaultyStore
from tests.staff import (
    account_of,
    add_task,
    error_of,
    event_types,
    hire,
    log_of,
    offers_of,
    settle,
    state_of,
    until,
)

pytestmark = pytest.mark.usefixtures("small_memory")


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep ten aggregates of finished work in memory at most."""
    monkeypatch.setattr(limits, "CACHE_ENTRIES", 10)


class Site:
    """A data folder whose finished tasks are kept for days, and who runs on it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.clock = VirtualClock()
        self.running: Running

    async def start(self) -> None:
        """Let a process begin where the last one ended."""
        store = FaultyStore(SqliteStore(self._data))
        before = getattr(self, "running", None)
        # Timers of a process that ended ring no more.
        self.clock = VirtualClock(self.clock.now())
        self.running = await Running(self._data, self.clock, store).start()
        if before is not None:
            self.running.principal = before.principal

    async def keep(self, days: float) -> None:
        """Let tasks that end from now on be kept for so long."""
        workspace = next(state_of(self.running).of_kind(Workspace))
        seconds = int(days * 86_400)
        await self.running.submit(
            c.UpdateWorkspace(
                sid=workspace.sid, policies={"retention_seconds": seconds}
            )
        )

    async def kill(self) -> None:
        """End the process where it stands: what is not on disk is gone."""
        committer = self.running.engine._committer
        assert committer._task is not None
        committer._task.cancel()
        await asyncio.gather(committer._task, return_exceptions=True)
        committer._thread.shutdown()
        self.running.store.close()

    async def stay_away(self, microseconds: int) -> None:
        """Restart after a while."""
        await self.running.close()
        self.clock.advance(microseconds)
        await self.start()

    async def finish(self, count: int) -> list[Task]:
        """Return tasks that were canceled, a second after each other."""
        finished = []
        for _ in range(count):
            task = await add_task(self.running)
            canceled = await self.running.submit(c.CancelTask(sid=task.sid))
            finished.append(canceled.rows[0])
            self.clock.advance(SECOND)
        return finished

    async def pass_time(self, microseconds: int) -> None:
        """Let time pass, and what falls due be decided."""
        self.clock.advance(microseconds)
        await settle()
        await until(lambda: account_of(self.running).idle)

    @property
    def held(self) -> int:
        """How many tasks are in memory."""
        return state_of(self.running).count_of(Task)

    def purged(self) -> list[str]:
        """The sids of those that were deleted, in order."""
        return [
            event.sid
            for change_set in log_of(self.running)
            for event in change_set.events
            if event.type == "task.purged"
        ]

    async def stored(self) -> int:
        """How many tasks there are on disk."""
        found = await self.running.engine.list(
            self.running.principal, Task, {}, None, 1_000
        )
        return len(found.rows)

    def problems(self) -> list[str]:
        """What is wrong with what is on disk."""
        return check_account(self.running.store, self.running.principal.account_sid)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path / "data")
    await site.start()
    yield site
    await site.running.close()


async def test_task_kept_for_days_leaves_memory_and_goes_at_its_time(
    site: Site,
) -> None:
    await site.keep(days=30)
    tasks = await site.finish(40)
    first = tasks[0]

    assert site.held <= 10
    assert len(account_of(site.running).decider.deadlines) <= 10
    read = (await site.running.submit(c.Get(sid=first.sid))).rows[0]
    assert read == first
    assert read.purge_time == read.update_time + 30 * DAY
    assert await site.stored() == 40

    await site.pass_time(first.purge_time - site.clock.now() - 1)
    assert site.purged() == []
    await site.pass_time(1)
    assert site.purged() == [first.sid]
    await site.pass_time(MINUTE)
    assert site.purged() == [task.sid for task in tasks]
    assert await site.stored() == 0
    assert site.problems() == []


async def test_task_kept_for_days_survives_restarts_and_goes_at_its_time(
    site: Site,
) -> None:
    await site.keep(days=366)
    (task,) = await site.finish(1)
    for _ in range(3):
        await site.stay_away(100 * DAY)
        assert site.held == 0
        assert (await site.running.submit(c.Get(sid=task.sid))).rows == (task,)

    await site.pass_time(66 * DAY - 2 * SECOND)
    assert site.purged() == []
    await site.pass_time(SECOND)
    assert site.purged() == [task.sid]


async def test_what_fell_due_while_nobody_was_there_goes_first(site: Site) -> None:
    await site.keep(days=1)
    tasks = await site.finish(20)
    await site.stay_away(2 * DAY)

    created = await add_task(site.running)

    told = [
        event.sid
        for change_set in log_of(site.running)[-21:]
        for event in change_set.events
        if event.type in ("task.purged", "task.created")
    ]
    assert told == [*(task.sid for task in tasks), created.sid]


async def test_stored_deadlines_come_in_order_with_all_others(site: Site) -> None:
    """Of those at the same time the older task comes first."""
    await site.keep(days=1)
    early, late = await site.finish(2)
    await site.stay_away(DAY - 20 * SECOND)
    left = (early.purge_time - site.clock.now()) // SECOND
    waiting = [
        await add_task(site.running, timeout_seconds=seconds)
        for seconds in (left - 1, left, left + 1, left + 2)
    ]
    site.clock.raise_floor(site.clock.now() + MINUTE)  # no timer rings meanwhile

    await site.running.submit(c.CreateTask())

    told = [change_set.events[0].sid for change_set in log_of(site.running)[-7:-1]]
    first, second, third, fourth = (task.sid for task in waiting)
    assert told == [first, early.sid, second, late.sid, third, fourth]


async def test_very_many_go_a_few_at_a_time_and_calls_between_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PURGED_AT_ONCE", 5)
    monkeypatch.setattr(limits, "TURN_COMMANDS", 3)
    await site.keep(days=1)
    tasks = await site.finish(40)
    await site.stay_away(2 * DAY)
    most, before = 0, len(tasks)

    calls = [asyncio.ensure_future(add_task(site.running)) for _ in range(12)]
    while len(site.purged()) < 40:
        most = max(most, site.held)
        await asyncio.sleep(0)
    await asyncio.gather(*calls)

    told = [
        event.type
        for change_set in log_of(site.running)
        for event in change_set.events
        if event.type in ("task.purged", "task.created")
    ][before:]
    assert site.purged() == [task.sid for task in tasks]
    assert most <= 12 + 2 * 5
    # Five go, then at least three calls are decided as long as there are any.
    runs = [len(list(run)) for _, run in groupby(told)]
    assert told[0] == "task.purged"
    assert max(runs[0:-1:2]) <= 5
    assert min(runs[1:-2:2], default=3) >= 3
    assert site.problems() == []


async def test_task_over_its_time_is_gone_for_whoever_asks_for_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are to go before it."""
    monkeypatch.setattr(limits, "PURGED_AT_ONCE", 1)
    monkeypatch.setattr(limits, "TURN_COMMANDS", 2)
    await site.keep(days=1)
    *_, last = await site.finish(9)
    await site.stay_away(2 * DAY)

    asked = asyncio.ensure_future(site.running.submit(c.Get(sid=last.sid)))
    error = await error_of(asked)

    assert isinstance(error, NotFound)
    assert last.sid in site.purged()[:3]
    await until(lambda: len(site.purged()) == 9)


async def test_task_that_was_forgotten_while_a_call_for_it_waited_is_gone_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the call came, and is over its time when it is decided."""
    monkeypatch.setattr(limits, "PURGED_AT_ONCE", 1)
    await site.keep(days=1)
    *_, last = await site.finish(3)
    await site.stay_away(MINUTE)
    await settle()
    store, account = site.running.store, account_of(site.running)
    assert isinstance(store, FaultyStore)
    store.delays_fetches = True
    create = c.CreateTask(request_id="r-1")
    head = asyncio.ensure_future(site.running.submit(create))
    await settle()
    store.delays_fetches = False
    asked = asyncio.ensure_future(site.running.submit(c.Get(sid=last.sid)))
    await settle()
    assert site.held == 1
    monkeypatch.setattr(limits, "CACHE_ENTRIES", 0)
    account._shrink()
    assert site.held == 0
    site.clock.raise_floor(site.clock.now() + 2 * DAY)  # no timer rings meanwhile

    store.deliver()

    assert isinstance(await error_of(asked), NotFound)
    assert (await head).rows


async def test_those_left_over_wait_for_those_before_and_for_some_calls(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PURGED_AT_ONCE", 1)
    await site.keep(days=1)
    await site.finish(3)
    await site.stay_away(2 * DAY)
    purges, now = account_of(site.running)._purges, site.clock.now()
    assert purges.come(busy=True, calls=True), "none were left over yet"

    purges.read(now)

    assert purges.due(now)
    assert not purges.come(busy=True, calls=False)
    assert purges.come(busy=False, calls=False)
    for _ in range(limits.TURN_COMMANDS):
        assert not purges.come(busy=False, calls=True)
        purges.called()
    assert purges.come(busy=False, calls=True)


async def test_what_was_read_and_not_decided_before_a_crash_goes_after_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PURGED_AT_ONCE", 5)
    monkeypatch.setattr(limits, "BATCH_COMMANDS", 5)
    await site.keep(days=1)
    tasks = await site.finish(30)
    await site.stay_away(2 * DAY)
    await until(lambda: 0 < len(site.purged()) < 30)

    await site.kill()
    await site.start()
    await until(lambda: len(site.purged()) == 30)

    assert site.purged() == [task.sid for task in tasks]
    assert await site.stored() == 0
    assert site.problems() == []


async def test_task_offered_very_often_is_purged_in_steps_from_the_store(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REMOVED_AT_ONCE", 2)
    monkeypatch.setattr(limits, "PURGED_ROWS", 4)
    workspace = next(state_of(site.running).of_kind(Workspace))
    policies = {"retention_seconds": 86_400, "refusal_scope": "none"}
    await site.running.submit(c.UpdateWorkspace(sid=workspace.sid, policies=policies))
    alice = await hire(site.running)
    for _ in range(3):
        task = await add_task(site.running)
        for _ in range(6):
            (held,) = offers_of(site.running, alice)
            await site.running.submit(c.RejectReservation(sid=held.sid))
        await site.running.submit(c.CancelTask(sid=task.sid))
    await site.stay_away(2 * DAY)
    account_of(site.running)._purges.read(site.clock.now())
    assert site.held == 1, "there are enough rows with the first"
    await until(lambda: len(site.purged()) == 3)

    told = event_types(log_of(site.running))
    assert told.count("task.purging") == 3 * 3
    found = await site.running.engine.list(
        site.running.principal, Reservation, {}, None, 100
    )
    assert found.rows == ()
    assert site.problems() == []


async def test_rest_of_a_deleted_task_goes_after_a_crash_before_anybody_asks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REMOVED_AT_ONCE", 1)
    workspace = next(state_of(site.running).of_kind(Workspace))
    await site.running.submit(
        c.UpdateWorkspace(sid=workspace.sid, policies={"refusal_scope": "none"})
    )
    alice = await hire(site.running)
    task = await add_task(site.running)
    for _ in range(3):
        (held,) = offers_of(site.running, alice)
        await site.running.submit(c.RejectReservation(sid=held.sid))
    # The process ends when the first step is on disk and no other.
    decider = account_of(site.running).decider
    monkeypatch.setattr(decider, "expire_next", decider.watermark)
    await site.running.submit(c.DeleteTask(sid=task.sid))
    await site.kill()
    await site.start()

    error = await error_of(
        asyncio.ensure_future(site.running.submit(c.Get(sid=held.sid)))
    )

    assert isinstance(error, NotFound)
    assert site.purged() == [task.sid]
    assert await site.stored() == 0


async def test_deleting_a_task_that_memory_does_not_hold_leaves_nothing_to_purge(
    site: Site,
) -> None:
    await site.keep(days=1)
    (task,) = await site.finish(1)
    await site.stay_away(MINUTE)

    await site.running.submit(c.DeleteTask(sid=task.sid))
    await site.pass_time(2 * DAY)

    assert site.purged() == []
    assert await site.stored() == 0


async def test_another_policy_changes_nothing_for_what_has_ended(site: Site) -> None:
    await site.keep(days=30)
    (kept,) = await site.finish(1)
    await site.stay_away(MINUTE)
    await site.keep(days=1)
    (other,) = await site.finish(1)

    await site.pass_time(2 * DAY)
    assert site.purged() == [other.sid]
    await site.pass_time(28 * DAY)
    assert site.purged() == [other.sid, kept.sid]


async def test_store_that_cannot_be_read_delays_purges_and_nothing_else(
    site: Site,
) -> None:
    await site.keep(days=1)
    tasks = await site.finish(3)
    await site.stay_away(MINUTE)
    store = site.running.store
    assert isinstance(store, FaultyStore)
    store.fetch_error = OSError("disk I/O error")
    await site.pass_time(2 * DAY)

    assert site.purged() == []
    assert (await site.running.submit(c.CreateTask())).rows
    store.fetch_error = None
    await site.pass_time(limits.FAILURE_WAIT)
    assert site.purged() == [task.sid for task in tasks]


async def test_nothing_wakes_an_account_that_has_nothing_to_delete(site: Site) -> None:
    (task,) = await site.finish(1)
    await site.stay_away(MINUTE)

    assert task.purge_time == 0
    assert account_of(site.running)._waking_at == 0
    assert (await site.running.submit(c.Get(sid=task.sid))).rows == (task,)
    assert task.status == TaskStatus.CANCELED
