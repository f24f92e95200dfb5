"""Between rows and the matcher: what a decision may touch, and what follows from it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.model import Reservation, Task, TaskQueue
from flexcore.engine import commands as c
from flexcore.engine.decider import OFFERS_PER_DECISION
from flexcore.engine.matching import Matching
from tests.engines import Running

PEOPLE = OFFERS_PER_DECISION * 2 + 10


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    engine = await Running(tmp_path / "data", clock).start()
    yield engine
    await engine.close()


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

    change_sets = []
    async for batch in account.tail.follow(before, ""):
        change_sets += batch.change_sets
        if change_sets and change_sets[-1].last_sequence == account.tail.head:
            break
    offered = [
        sum(event.type == "reservation.created" for event in change_set.events)
        for change_set in change_sets
    ]
    assert offered == [OFFERS_PER_DECISION, OFFERS_PER_DECISION, 10]
    assert {task.status for task in account.state.of_kind(Task)} == {"reserved"}
    workers = [row.worker_sid for row in account.state.of_kind(Reservation)]
    assert len(set(workers)) == PEOPLE
    rebuilt = Matching.rebuilt(account.state)
    assert account.decider.matching.dump() == rebuilt.dump()
