"""A command and the offers that follow from it are not too much for one decision."""

from flexcore.domain import limits
from flexcore.engine import commands as c
from tests.vectors.floor import MeasuredFloor


def test_offers_that_have_no_room_beside_their_command_follow_later() -> None:
    floor = MeasuredFloor("strict")
    floor.add_channel("video")
    names = [f"T{number}" for number in range(limits.BATCH_MAX)]
    for name in names:
        floor.add_task(name)
    workspace_sid = floor.task("T0").workspace_sid
    workers = tuple(
        c.CreateWorker(
            workspace_sid=workspace_sid,
            friendly_name=f"worker {number}",
            activity="Available",
        )
        for number in range(limits.BATCH_MAX)
    )
    floor.do(c.BatchCreateWorkers(workers=workers))
    assert {floor.status(name) for name in names} == {"reserved"}
    assert max(floor.sizes) <= limits.CHANGE_SET_RESOURCES
