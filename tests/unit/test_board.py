"""How things stand for those who watch: read once for all, and only when there is news."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import InvalidArgument, NotFound
from flexcore.domain.limits import HEARTBEAT_INTERVAL, MILLISECOND, SECOND
from flexcore.domain.model import TaskQueue, Workspace
from flexcore.domain.statistics import Query, Scope, Standings
from flexcore.engine import commands as c
from flexcore.engine.reporting import standing
from tests.engines import Running
from tests.factories import make_sid
from tests.staff import account_of, add_task, hire, settle, state_of


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    started = await Running(tmp_path / "data", clock).start()
    yield started
    await started.close()


class Watching:
    """Somebody who watches the first workspace."""

    def __init__(self, running: Running, *sids: str, workspace_sid: str = "") -> None:
        self.running = running
        workspace = workspace_sid or next(state_of(running).of_kind(Workspace)).sid
        self.given: Any = running.engine.watch_statistics(
            running.principal, workspace, sids
        )

    async def next(self) -> Standings:
        async with asyncio.timeout(5):
            found = await anext(self.given)
        assert isinstance(found, Standings)
        return found

    async def silent(self, microseconds: int) -> None:
        """Fail if anything is given while so much time passes."""
        waiting = asyncio.ensure_future(anext(self.given))
        await settle()
        self.running.clock.advance(microseconds)
        await settle()
        assert not waiting.done()
        self._waiting = waiting

    async def then(self) -> Standings:
        """Return what comes after a silence."""
        async with asyncio.timeout(5):
            return await self._waiting  # type: ignore[no-any-return]


async def second(running: Running) -> TaskQueue:
    made = c.CreateTaskQueue(
        workspace_sid="", friendly_name="second", target_workers="1==2"
    )
    return (await running.submit(made)).rows[0]


async def test_the_first_is_whole_and_then_comes_what_changed(running: Running) -> None:
    other = await second(running)
    watching = Watching(running)
    first = await watching.next()
    running.clock.advance(SECOND)
    task = await add_task(running)
    found = await watching.next()

    assert (first.whole, found.whole) == (True, False)
    assert first.task_queues.keys() == {task.task_queue_sid, other.sid}
    assert found.task_queues.keys() == {task.task_queue_sid}
    assert found.workspace is not None
    assert found.workspace.tasks is not None
    assert found.workspace.tasks.longest_waiting_sid == task.sid
    await watching.given.aclose()


async def test_changes_within_a_second_come_together_at_its_end(
    running: Running,
) -> None:
    watching = Watching(running)
    await watching.next()
    for _ in range(3):
        await add_task(running)
    await watching.silent(SECOND - MILLISECOND)
    running.clock.advance(MILLISECOND)
    found = await watching.then()

    assert found.workspace is not None
    assert found.workspace.tasks is not None
    assert found.workspace.tasks.by_status["pending"] == 3
    await watching.given.aclose()


async def test_nothing_but_a_heartbeat_comes_while_nothing_changes(
    running: Running,
) -> None:
    await add_task(running)
    watching = Watching(running)
    await watching.next()
    await watching.silent(HEARTBEAT_INTERVAL - MILLISECOND)
    running.clock.advance(MILLISECOND)
    beat = await watching.then()

    assert (beat.whole, beat.workspace, beat.task_queues) == (False, None, {})
    assert beat.time == running.clock.now()
    await watching.given.aclose()


async def test_what_concerns_no_figure_is_not_told(running: Running) -> None:
    watching = Watching(running)
    await watching.next()
    running.clock.advance(SECOND)
    await running.submit(c.CreateConversation())
    await watching.silent(SECOND)
    running.clock.advance(HEARTBEAT_INTERVAL)

    assert (await watching.then()).workspace is None
    await watching.given.aclose()


async def test_a_hundred_watchers_cost_one_reading_and_get_one_answer(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = standing.real_time

    def counted(decider: Any, scope: Scope, sid: str) -> Any:
        read.append(sid)
        return real(decider, scope, sid)

    monkeypatch.setattr(standing, "real_time", counted)
    crowd = [Watching(running) for _ in range(100)]
    assert len({id(await each.next()) for each in crowd}) == 1
    running.clock.advance(SECOND)
    read.clear()
    await hire(running)
    found = [await each.next() for each in crowd]

    assert len({id(each) for each in found}) == 1
    assert len(read) == len(set(read)) == 2  # the workspace and its queue
    for each in crowd:
        await each.given.aclose()


async def test_who_reads_slowly_gets_the_newest_at_once(running: Running) -> None:
    quick, slow = Watching(running), Watching(running)
    await quick.next()
    await slow.next()
    for _ in range(3):
        running.clock.advance(SECOND)
        await add_task(running)
        await quick.next()
    found = await slow.next()

    assert found.workspace is not None
    assert found.workspace.tasks is not None
    assert found.workspace.tasks.by_status["pending"] == 3
    await slow.silent(SECOND)
    slow._waiting.cancel()
    await settle()
    await quick.given.aclose()


async def test_a_deleted_queue_is_missing_from_a_new_whole(running: Running) -> None:
    other = await second(running)
    watching = Watching(running)
    assert other.sid in (await watching.next()).task_queues
    running.clock.advance(SECOND)
    await running.submit(c.DeleteTaskQueue(sid=other.sid))
    found = await watching.next()

    assert found.whole
    assert found.workspace is not None
    assert len(found.task_queues) == 1
    assert other.sid not in found.task_queues
    await watching.given.aclose()


async def test_who_names_queues_is_told_of_these_alone(running: Running) -> None:
    other = await second(running)
    watching = Watching(running, other.sid)
    first = await watching.next()
    running.clock.advance(SECOND)
    await add_task(running)
    found = await watching.next()

    assert first.task_queues.keys() == {other.sid}
    assert found.task_queues == {}
    assert found.workspace is not None
    await watching.given.aclose()


async def test_figures_are_those_of_the_calls(running: Running) -> None:
    watching = Watching(running)
    workspace = next(state_of(running).of_kind(Workspace))
    queue = next(state_of(running).of_kind(TaskQueue))
    told: dict[str, Any] = {}

    async def take() -> None:
        async for found in watching.given:
            told.update(found.task_queues)
            if found.workspace is not None:
                told[workspace.sid] = found.workspace

    taking = asyncio.create_task(take())
    for number in range(20):
        await add_task(running, priority=number % 3)
        if number % 4 == 0:
            await hire(running, f"worker {number}")
        running.clock.advance(SECOND)
    await running.submit(c.Get(sid=queue.sid))
    for _ in range(2):
        running.clock.advance(SECOND)
        await settle()

    for scope, sid in ((Scope.WORKSPACE, workspace.sid), (Scope.TASK_QUEUE, queue.sid)):
        report = await running.engine.statistics(
            running.principal, Query(scope=scope, sids=(sid,))
        )
        assert told[sid] == report.figures[0].real_time
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await watching.given.aclose()


async def test_nobody_watches_a_queue_of_another_workspace(running: Running) -> None:
    made = c.CreateWorkspace(friendly_name="other")
    other = (await running.submit(made)).rows[0]
    queue = next(state_of(running).of_kind(TaskQueue))

    with pytest.raises(InvalidArgument, match="is not in"):
        await Watching(running, queue.sid, workspace_sid=other.sid).next()
    with pytest.raises(NotFound):
        await Watching(running, make_sid("WQ", 1)).next()
    with pytest.raises(NotFound):
        await Watching(running, workspace_sid=make_sid("WS", 1)).next()


async def test_watching_ends_with_the_workspace(running: Running) -> None:
    made = c.CreateWorkspace(friendly_name="other")
    other = (await running.submit(made)).rows[0]
    watching = Watching(running, workspace_sid=other.sid)
    await watching.next()
    running.clock.advance(SECOND)
    await running.submit(c.DeleteWorkspace(sid=other.sid))

    with pytest.raises(NotFound):
        await watching.next()


async def test_nothing_is_read_when_nobody_watches_any_more(running: Running) -> None:
    watching = Watching(running)
    await watching.next()
    tail = account_of(running).tail
    assert len(tail._open) == 2  # the watcher's and the board's
    await watching.given.aclose()

    assert running.engine._boards._boards == {}
    assert len(tail._open) == 0
