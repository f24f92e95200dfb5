"""Explanations hold nobody up, rest on what is durable, and give up cleanly."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import NotFound, Unavailable
from flexcore.domain.model import Task, Worker, Workspace
from flexcore.engine import commands as c
from flexcore.engine.port import Explanation
from flexcore.engine.routing.eligibility import Conditions, Failure
from flexcore.store.interface import Commit, CommitUnknown
from flexcore.store.sqlite import SqliteStore
from tests.engines import Running
from tests.factories import make_sid
from tests.faulty import FaultyStore
from tests.staff import account_of, add_task, error_of, hire, settle, state_of, until

WORKERS = 130


class Slow(VirtualClock):
    """A clock on which every look at a worker takes so long."""

    look = 0


@pytest.fixture
def clock() -> Slow:
    return Slow()


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    return FaultyStore(SqliteStore(tmp_path / "data"))


@pytest.fixture
async def running(
    tmp_path: Path, clock: Slow, store: FaultyStore
) -> AsyncIterator[Running]:
    """An engine with workers who are all away."""
    running = await Running(tmp_path / "data", clock, store).start()
    await running.submit(
        c.BatchCreateWorkers(
            workers=tuple(
                c.CreateWorker(workspace_sid="", friendly_name=f"worker {number}")
                for number in range(WORKERS)
            )
        )
    )
    yield running
    await running.close()


def poisoned(commit: Commit) -> bool:
    """Say whether a commit holds a name that cannot be written."""
    rows = commit.change_set.resources if commit.change_set else ()
    return any(getattr(row, "friendly_name", "") == "poison" for row in rows)


class Looks:
    """Counts the looks at workers in each turn of the loop."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self._now = 0

    def count(self) -> None:
        self._now += 1

    @property
    def total(self) -> int:
        return sum(self.turns) + self._now

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turns.append(self._now)
            self._now = 0


@pytest.fixture
async def looks(monkeypatch: pytest.MonkeyPatch, clock: Slow) -> AsyncIterator[Looks]:
    looks, real = Looks(), Conditions.failures

    def failures(conditions: Conditions, worker: Worker) -> Iterator[Failure]:
        looks.count()
        clock._now += clock.look
        return real(conditions, worker)

    monkeypatch.setattr(Conditions, "failures", failures)
    watching = asyncio.create_task(looks.watch())
    yield looks
    watching.cancel()


def explain(running: Running, task: Task) -> asyncio.Task[Explanation]:
    return asyncio.create_task(running.engine.explain(running.principal, task.sid))


async def begun(looks: Looks) -> None:
    await until(lambda: looks.total > 0)


# nobody is held up


async def test_no_turn_looks_at_more_workers_than_allowed(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)

    found = await explain(running, task)

    assert found.steps[0].workers == looks.total == WORKERS
    assert max(looks.turns) == limits.EXPLAIN_WORKERS
    # The first stop of a look is before the first worker.
    assert sum(map(bool, looks.turns)) == -(-(WORKERS + 1) // limits.EXPLAIN_WORKERS)


async def test_explanations_asked_for_together_take_turns(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)

    found = await asyncio.gather(*(explain(running, task) for _ in range(10)))

    assert {each.text for each in found} == {
        "0 of 130 workers: not available; worker 0 would match when available"
    }
    assert looks.total == 10 * WORKERS
    assert max(looks.turns) == limits.EXPLAIN_WORKERS


async def test_turn_ends_when_workers_take_long_to_look_at(
    running: Running, looks: Looks, clock: Slow
) -> None:
    task = await add_task(running)
    clock.look = limits.EXPLAIN_TIME // 3 + 1

    await explain(running, task)

    assert max(looks.turns) == 3
    assert looks.total == WORKERS


async def test_others_are_answered_while_somebody_looks(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)

    for _ in range(3):
        await running.submit(c.Get(sid=task.sid))

    assert not explaining.done()
    assert (await explaining).steps[0].workers == WORKERS


# what it rests on


async def test_explanation_waits_for_what_it_rests_on(
    running: Running, store: FaultyStore
) -> None:
    worker = await hire(running)
    with store.held() as held:
        made = asyncio.create_task(running.submit(c.CreateTask()))
        await held.arrived()
        (task,) = state_of(running).of_kind(Task)
        explaining = explain(running, task)
        await settle()
        assert not explaining.done()

    assert (await made).rows[0].sid == task.sid
    assert (await explaining).text == f"offered to {worker.friendly_name}"


async def test_what_is_decided_meanwhile_is_waited_for_too(
    running: Running, store: FaultyStore, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)
    workers = list(state_of(running).of_kind(Worker))
    with store.held() as held:
        moving = asyncio.create_task(
            running.submit(c.UpdateWorker(sid=workers[-1].sid, friendly_name="zoe"))
        )
        await held.arrived()
        await until(lambda: looks.total == WORKERS)
        await settle()
        assert not explaining.done()

    await moving
    assert (await explaining).time == running.clock.now()


async def test_account_that_is_rebuilt_is_looked_at_anew(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)
    account, before = account_of(running), state_of(running)

    account.refused((), CommitUnknown("disk I/O error"))
    found = await explaining

    assert account.state is not before
    assert found.steps[0].workers == WORKERS
    assert WORKERS < looks.total < 2 * WORKERS


async def test_what_is_undone_after_the_look_is_looked_at_anew(
    running: Running, store: FaultyStore, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)
    worker = next(state_of(running).of_kind(Worker))
    store.refuses = poisoned
    with store.held() as held:
        renaming = asyncio.create_task(
            running.submit(c.UpdateWorker(sid=worker.sid, friendly_name="poison"))
        )
        await held.arrived()
        await until(lambda: looks.total == WORKERS)
        await settle()
        assert not explaining.done()

    assert await error_of(renaming)
    found = await explaining

    assert looks.total == 2 * WORKERS
    assert found.steps[0].workers == WORKERS


# giving up


async def test_look_ends_when_the_caller_goes_away(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)

    explaining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await explaining
    seen = looks.total
    await settle()

    assert looks.total == seen < WORKERS
    assert (await explain(running, task)).steps, "the next one has its turn"


async def test_task_that_moves_on_is_explained_where_it_is_then(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)

    await running.submit(c.CancelTask(sid=task.sid, reason="not needed"))

    assert (await explaining).text == "canceled: not needed"
    assert looks.total < WORKERS


async def test_task_that_is_deleted_meanwhile_is_not_found(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)

    await running.submit(c.DeleteTask(sid=task.sid))

    assert isinstance(await error_of(explaining), NotFound)


async def test_task_that_moves_on_all_the_time_is_given_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await add_task(running)
    tries: list[Any] = []

    def moved(before: Task, _: Task | None) -> bool:
        tries.append(before)
        return True

    monkeypatch.setattr("flexcore.engine.routing.explaining.moved", moved)
    error = await error_of(explain(running, task))

    assert isinstance(error, Unavailable)
    assert error.retry_after == limits.SECOND
    assert len(tries) == limits.EXPLAIN_ATTEMPTS


async def test_what_is_no_task_is_not_found(running: Running) -> None:
    (workspace,) = state_of(running).of_kind(Workspace)
    for sid in (workspace.sid, make_sid("WT")):
        with pytest.raises(NotFound):
            await running.engine.explain(running.principal, sid)


async def test_finished_task_that_memory_dropped_is_explained(
    running: Running,
) -> None:
    task = await add_task(running)
    await running.submit(c.CancelTask(sid=task.sid, reason="gone"))
    account = account_of(running)
    account.state.shrink(account._durable, 0)
    assert account.state.find(task.sid, Task) is None

    found = await running.engine.explain(running.principal, task.sid)

    assert found.text == "canceled: gone"


async def test_draining_engine_tells_who_is_looking(
    running: Running, looks: Looks
) -> None:
    task = await add_task(running)
    explaining = explain(running, task)
    await begun(looks)
    await running.engine.close()

    assert isinstance(await error_of(explaining), Unavailable)
