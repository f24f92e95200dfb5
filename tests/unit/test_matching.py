"""Between rows and the matcher: what a decision may touch, and what follows from it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import ResourceExhausted
from flexcore.domain.log import ChangeSet, encode_change_set
from flexcore.domain.model import Activity, Reservation, Task, TaskQueue
from flexcore.engine import commands as c
from flexcore.engine.account import Account
from flexcore.engine.decider import OFFERS_PER_DECISION
from flexcore.engine.routing.matching import Matching
from tests.engines import Running

PEOPLE = OFFERS_PER_DECISION * 2 + 10


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    engine = await Running(tmp_path / "data", clock).start()
    yield engine
    await engine.close()


async def changes_after(account: Account, sequence: int) -> list[ChangeSet]:
    """Return the change sets after a position, up to the head."""
    found: list[ChangeSet] = []
    async for batch in account.tail.follow(sequence, ("",)):
        found += batch.change_sets
        if found and found[-1].last_sequence == account.tail.head:
            break
    return found


async def test_offers_beyond_the_limit_follow_in_change_sets_of_their_own(
    running: Running,
) -> None:
    account = running.engine.accounts()[running.principal.account_sid]
    (queue,) = account.state.of_kind(TaskQueue)
    closed = c.UpdateTaskQueue(sid=queue.sid, target_workers="1==0")
    await running.submit(closed)
    for number in range(PEOPLE):
        name = f"worker {number}"
        await running.submit(
            c.CreateWorker(workspace_sid="", friendly_name=name, activity="Available")
        )
        await running.submit(c.CreateTask())
    before = account.tail.head
    await running.submit(c.UpdateTaskQueue(sid=queue.sid, target_workers="1==1"))
    await running.submit(c.Tick())

    offered = [
        sum(event.type == "reservation.created" for event in change_set.events)
        for change_set in await changes_after(account, before)
    ]
    assert offered == [OFFERS_PER_DECISION, OFFERS_PER_DECISION, 10]
    assert {task.status for task in account.state.of_kind(Task)} == {"reserved"}
    workers = [row.worker_sid for row in account.state.of_kind(Reservation)]
    assert len(set(workers)) == PEOPLE
    rebuilt = Matching.rebuilt(account.state)
    assert account.decider.matching.dump() == rebuilt.dump()


async def test_offers_of_large_tasks_stay_within_the_bytes_of_a_change_set(
    running: Running,
) -> None:
    account = running.engine.accounts()[running.principal.account_sid]
    (queue,) = account.state.of_kind(TaskQueue)
    await running.submit(c.UpdateTaskQueue(sid=queue.sid, target_workers="1==0"))
    attributes = f'{{"text":"{"x" * 60_000}"}}'
    for number in range(40):
        name = f"worker {number}"
        await running.submit(
            c.CreateWorker(workspace_sid="", friendly_name=name, activity="Available")
        )
        await running.submit(c.CreateTask(attributes=attributes))
    before = account.tail.head
    await running.submit(c.UpdateTaskQueue(sid=queue.sid, target_workers="1==1"))
    await running.submit(c.Tick())

    change_sets = await changes_after(account, before)
    assert {task.status for task in account.state.of_kind(Task)} == {"reserved"}
    sizes = [len(encode_change_set(change_set)) for change_set in change_sets]
    assert max(sizes) <= limits.CHANGE_SET_BYTES


async def test_change_of_too_many_resources_is_refused_and_changes_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHANGE_SET_RESOURCES", limits.BATCH_MAX - 1)
    account = running.engine.accounts()[running.principal.account_sid]
    before = account.state.sequence, len(account.state.rows)
    workers = tuple(
        c.CreateWorker(workspace_sid="", friendly_name=f"worker {number}")
        for number in range(limits.BATCH_MAX)
    )

    with pytest.raises(ResourceExhausted, match="may change 199 resources"):
        await running.submit(c.BatchCreateWorkers(workers=workers))
    assert (account.state.sequence, len(account.state.rows)) == before


async def test_matcher_knows_when_the_worker_of_a_deleted_task_was_released(
    running: Running, clock: VirtualClock
) -> None:
    account = running.engine.accounts()[running.principal.account_sid]
    await running.submit(
        c.CreateWorker(workspace_sid="", friendly_name="ada", activity="Available")
    )
    await running.submit(c.CreateTask())
    clock.advance(limits.SECOND)
    (task,) = account.state.of_kind(Task)
    await running.submit(c.DeleteTask(sid=task.sid))

    live = account.decider.matching
    assert live.dump() == Matching.rebuilt(account.state).dump()


async def test_renamed_activity_brings_its_workers_into_the_queues_that_read_its_name(
    running: Running,
) -> None:
    account = running.engine.accounts()[running.principal.account_sid]
    (queue,) = account.state.of_kind(TaskQueue)
    on_duty = c.UpdateTaskQueue(
        sid=queue.sid, target_workers="activity_name == 'On duty'"
    )
    await running.submit(on_duty)
    await running.submit(
        c.CreateWorker(workspace_sid="", friendly_name="ada", activity="Available")
    )
    await running.submit(c.CreateTask())
    (available,) = (
        row
        for row in account.state.of_kind(Activity)
        if row.friendly_name == "Available"
    )
    before = list(account.state.of_kind(Reservation))
    await running.submit(c.UpdateActivity(sid=available.sid, friendly_name="On duty"))

    assert before == []
    assert len(list(account.state.of_kind(Reservation))) == 1
