"""`flexcore explain` of a task that is offered: who was compared with whom, by what."""

from datetime import UTC, datetime, timedelta

import pytest

from flexcore.domain.limits import SECOND
from tests.api.test_migration import FLEXCORE, run
from tests.serving import Serving

pytestmark = pytest.mark.slow


def _time(microseconds: int) -> str:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return time.isoformat(" ")


async def hire(serving: Serving, name: str) -> str:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity="Available"
    )
    return str(made.worker.sid)


async def shown(serving: Serving, task_sid: str) -> str:
    """Return what is said of the first reservation."""
    data = str(serving.data)
    code, printed, told = await run(FLEXCORE, "explain", task_sid, FLEXCORE_DATA=data)
    assert code == 0, told
    return printed.splitlines()[1].split("  ", 1)[1]


async def test_candidates_are_compared_by_name_and_time(serving: Serving) -> None:
    begin = serving.clock.now()
    await hire(serving, "ann")
    serving.clock.advance(SECOND)
    ben = await hire(serving, "ben")
    task = (await serving.client.routing.CreateTask()).task

    first, second = (_time(each) for each in (begin, begin + SECOND))
    expected = f"ann  longest idle of 2: since {first}, before {{}}: since {second}"
    assert await shown(serving, task.sid) == expected.format("ben")
    await serving.client.workspace.DeleteWorker(sid=ben)
    assert await shown(serving, task.sid) == expected.format(ben)


async def test_who_was_never_offered_anything_is_said_to_be(serving: Serving) -> None:
    setup = serving.client.workspace
    (place,) = (await setup.ListWorkspaces()).workspaces
    policies = {"worker_order": "WORKER_ORDER_LEAST_RECENTLY_OFFERED"}
    await setup.UpdateWorkspace(sid=place.sid, policies=policies)
    for name in ("ann", "ben"):
        await hire(serving, name)
    task = (await serving.client.routing.CreateTask()).task

    found = await shown(serving, task.sid)

    assert found == "ann  least recently offered of 2: never, before ben: never"
