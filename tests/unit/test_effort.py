"""A decision looks at what it is about, however much more there is."""

from collections.abc import Callable

import pytest

from flexcore.domain import limits
from flexcore.domain.model import Reservation
from flexcore.engine import commands as c
from flexcore.engine.routing.matching import Matching
from tests.effort import effort
from tests.vectors.floor import Floor, step


def test_a_rejection_looks_at_no_offers_that_have_ended() -> None:
    floor = Floor("compat")
    floor.hire("A")
    floor.add_task()

    def reject() -> None:
        (sid,) = floor.state.sids(Reservation, "open_worker_sid", floor.sid("A"))
        floor.do(c.RejectReservation(sid=sid))

    first = effort(reject)
    for _ in range(200):
        reject()

    assert effort(reject) < first * 1.1


def test_a_step_of_a_re_evaluation_looks_at_the_tasks_it_moves() -> None:
    efforts = []
    for count in (200, 800):
        floor = Floor("strict")
        workflow = floor.lead(step("Q"))
        for number in range(count):
            floor.add_task(f"T{number}")
        floor.update_workflow(workflow, step("Q", priority=1))
        floor.do(c.UpdateWorkflow(sid=floor.sid(workflow), re_evaluate_tasks=True))
        floor.arrive(1)
        efforts.append(effort(floor.expire))
        assert floor.task("T0").priority == 1
        assert floor.task("T199").priority == 0

    assert efforts[1] < efforts[0] * 1.1


def crowd(count: int) -> Floor:
    """A floor with so many workers, and tasks that wait for one of them by name."""
    floor = Floor("strict")
    for number in range(count):
        floor.hire(f"W{number}", "Unavailable")
    floor.lead(step("Q", known_worker_friendly_name="task.agent"))
    for number in range(count):
        floor.add_task(f"T{number}", attributes={"agent": "W0"})
    floor.lead(step("Q", expression="worker.channel.fax.assigned_tasks == 0"))
    for number in range(count):
        floor.add_task(f"U{number}")
    return floor


CHANGES: dict[str, Callable[[Floor], c.Command]] = {
    "rename a worker": lambda floor: c.UpdateWorker(
        sid=floor.sid("W0"), friendly_name="bob"
    ),
    "rename an activity": lambda floor: c.UpdateActivity(
        sid=floor.sid("Unavailable"), friendly_name="Away"
    ),
    "add a task channel": lambda floor: c.CreateTaskChannel(
        workspace_sid=floor.task("T0").workspace_sid,
        unique_name="fax",
        friendly_name="fax",
    ),
    "delete a task channel": lambda floor: c.DeleteTaskChannel(sid=floor.sid("video")),
    "boost": lambda floor: c.UpdateWorkspace(
        sid=floor.task("T0").workspace_sid, policies={"priority_boost_seconds": 10}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_concerns_everybody_is_done_a_few_at_a_time(
    change: Callable[[Floor], c.Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOLD_AT_ONCE", 20)
    monkeypatch.setattr(limits, "ROOMS_AT_ONCE", 20)
    efforts = []
    for count in (50, 200):
        floor = crowd(count)
        floor.add_channel("video")
        floor.add_queue("R", "activity_name == 'Away'")
        command = change(floor)
        decider, now = floor.decider, floor.clock.now()
        efforts.append(
            effort(lambda: decider.decide(floor.principal, command, now))  # noqa: B023
        )
        floor.do(c.Tick())
        floor.expire()
        matching = decider.matching
        assert not matching.behind
        assert matching.dump() == Matching.rebuilt(floor.state).dump()

    assert efforts[1] < efforts[0] * 1.2
