"""A command and the offers that follow from it are not too much for one decision."""

from flexcore.domain import limits
from flexcore.engine import commands as c
from flexcore.engine.decider import Decided
from tests.vectors.floor import Floor


class Measured(Floor):
    """A floor that notes how many resources each decision changed."""

    sizes: tuple[int, ...] = ()

    def _follow(self, decided: Decided) -> Decided:
        if decided.commit is not None and decided.commit.change_set is not None:
            self.sizes += (len(decided.commit.change_set.resources),)
        return super()._follow(decided)


def test_offers_that_have_no_room_beside_their_command_follow_later() -> None:
    floor = Measured("strict")
    floor.add_channel("chat")
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
