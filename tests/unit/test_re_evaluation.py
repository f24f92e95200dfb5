"""Going a long way at once: many tasks to another revision, one through many steps."""

from flexcore.domain import limits
from flexcore.domain.model import Workflow
from flexcore.engine import commands as c
from tests.vectors.floor import Floor, MeasuredFloor, step


def test_tasks_that_go_through_many_steps_are_moved_fewer_at_a_time() -> None:
    floor = Floor("compat")
    workflow = floor.lead(step("Q"))
    names = [f"T{number}" for number in range(100)]
    for name in names:
        floor.add_task(name)
    floor.wait(60)
    over = (step("Q", timeout=1) for _ in range(49))
    floor.update_workflow(workflow, *over, step("Q"))
    floor.do(c.UpdateWorkflow(sid=floor.sid(workflow), re_evaluate_tasks=True))
    floor.wait(1)
    moved = floor.row(workflow, Workflow)
    assert moved.re_evaluate_left == moved.re_evaluate_time == 0
    assert {floor.task(name).step_target for name in names} == {49}
    revisions = {floor.task(name).workflow_revision_sid for name in names}
    assert revisions == {moved.revision_sid}


def test_a_task_passes_more_steps_that_are_over_than_calls_can_be_nested() -> None:
    floor = Floor("compat")
    over = tuple(step("Q", timeout=1) for _ in range(50))
    workflow = floor.lead_by(*[("1==1", over)] * 10, ("1==1", (step("Q"),)))
    floor.do(
        c.UpdateWorkflow(sid=floor.sid(workflow), task_reservation_timeout_seconds=900)
    )
    floor.hire("A")
    floor.add_task()
    floor.arrive(800)
    floor.reject("A")
    assert floor.task().step_filter == 10


def test_a_task_passes_more_steps_than_one_decision_may_tell_of() -> None:
    floor = MeasuredFloor("compat")
    floor.add_queue("R", "1==0")
    over = tuple(step("Q", timeout=1) for _ in range(50))
    workflow = floor.lead_by(*[("1==1", over)] * 40, ("1==1", (step("R"),)))
    floor.do(
        c.UpdateWorkflow(sid=floor.sid(workflow), task_reservation_timeout_seconds=3000)
    )
    floor.hire("A")
    floor.add_task()
    floor.arrive(2500)
    floor.lengths = ()
    floor.reject("A")

    assert floor.queue() == "R"
    assert floor.offers() == ["A rejected"]
    left = floor.events("task-queue.timeout", "task-queue.moved")
    assert left == ["task-queue.timeout"] * 2000 + ["task-queue.moved"]
    assert max(floor.lengths) <= 4 * limits.STEPS_AT_ONCE


def test_many_tasks_that_skip_a_step_pass_more_than_one_decision_may_tell_of() -> None:
    floor = MeasuredFloor("compat")
    floor.add_queue("R", "1==0")
    workflow = floor.lead(step("R"))
    names = [f"T{number}" for number in range(limits.RE_EVALUATE_TASKS)]
    for name in names:
        floor.add_task(name)
    floor.wait(100)
    over = (step("R", timeout=1) for _ in range(48))
    floor.update_workflow(workflow, step("R", skip_if="1==1"), *over, step("R"))
    floor.do(c.UpdateWorkflow(sid=floor.sid(workflow), re_evaluate_tasks=True))
    floor.lengths = ()
    floor.wait(1)

    assert {floor.step(name) for name in names} == {50}
    assert max(floor.lengths) <= limits.CHANGE_SET_EVENTS


def test_a_task_moved_to_a_revision_that_does_not_take_it_has_not_timed_out() -> None:
    floor = Floor("compat")
    workflow = floor.lead(step("Q"))
    floor.add_task()
    text = floor.row(workflow, Workflow).configuration
    configuration = text.replace("1==1", "vip == 1")
    floor.do(
        c.UpdateWorkflow(
            sid=floor.sid(workflow), configuration=configuration, re_evaluate_tasks=True
        )
    )
    floor.wait(1)

    assert floor.status() == "canceled: No filter matched"
    told = floor.events("workflow.timeout", "workflow.exhausted")
    assert told == ["workflow.exhausted"]
