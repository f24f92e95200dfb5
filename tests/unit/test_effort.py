"""A decision looks at what it is about, however much more there is."""

from flexcore.domain.model import Reservation
from flexcore.engine import commands as c
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
