"""What becomes of a task if nobody does anything: when, what, and where it goes then.

Follows what steps.py and routes.py would do, without doing it.
"""

from collections.abc import Iterator

from flexcore.domain import limits
from flexcore.domain.model import Reservation, Task, TaskQueue, Worker, Workflow
from flexcore.domain.plans import (
    DOCUMENT,
    RESTART,
    ROUTED,
    Step,
    Target,
    after_exhaustion,
    after_timeout,
    exhaustion_of,
)
from flexcore.domain.states import TaskStatus
from flexcore.engine.routing import refusals, routes, steps
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.state import State


def way(state: State, task: Task) -> Iterator[Task]:
    """Yield a waiting task as it is, and as it would be in the steps that follow.

    Ends where the task would, where a step has no timeout, where a link is offered
    whatever its worker does, and where the way begins again.
    """
    seen: set[tuple[int, int, int]] = set()
    entered = 0
    while _place(task) not in seen and len(seen) < limits.EXPLAIN_STEPS:
        seen.add(_place(task))
        if not entered or not 0 < task.step_deadline <= entered:
            yield task
        if not 0 < task.step_deadline < task.deadline:
            return
        entered = max(entered, task.step_deadline)
        after, _ = _following(state, task, entered)
        if after is None:
            return
        task = after


def _place(task: Task) -> tuple[int, int, int]:
    return task.route, task.step_filter, task.step_target


def _following(state: State, task: Task, now: int) -> tuple[Task | None, str]:
    """Return what a task becomes when its step is over, and say it; None ends the way."""
    if task.step_filter == ROUTED:
        return _next_link(state, task, now)
    here = steps.step_of(state, task) or Step(DOCUMENT, 0, Target(task.task_queue_sid))
    values = steps.task_values(task)
    step = after_timeout(steps.plan_of(state, task), here, values)
    if step is None:
        return _exhausted(state, task, here, now)
    after = steps.entered(state, task, step, now, task.step_deadline)
    return after, f"it goes on to the next step{_where(state, task, after)}"


def _exhausted(
    state: State, task: Task, last: Step, now: int
) -> tuple[Task | None, str]:
    plan, values = steps.plan_of(state, task), steps.task_values(task)
    policy = policies_of(state, task.workspace_sid).on_exhausted
    step = after_exhaustion(plan, last, values, policy)
    if step is None:
        return None, "its workflow is exhausted and it is canceled"
    after = steps.entered(state, task, step, now, now)
    ways = {
        "default": "it goes on to the default filter",
        "repeat": "it begins its workflow anew",
        "queue": "its workflow is exhausted and it goes on",
    }
    action = exhaustion_of(plan, last, policy).action
    return after, f"{ways[action]}{_where(state, task, after)}"


def _next_link(state: State, task: Task, now: int) -> tuple[Task | None, str]:
    found = routes.link_from(state, task, task.route + 1)
    if found is None:
        return None, "its routing targets are used up and it is canceled"
    number, row = found
    if isinstance(row, Workflow):
        return _to_workflow(state, task, number, row, now)
    after = routes.placed(state, task, number, row, now)
    if isinstance(row, TaskQueue):
        return after, f"it goes on to queue {row.friendly_name}"
    if task.routes[number].ignore_capacity:
        return None, f"it is offered to {row.friendly_name}, whatever they do"
    return after, f"it waits for {row.friendly_name}"


def _to_workflow(
    state: State, task: Task, number: int, workflow: Workflow, now: int
) -> tuple[Task | None, str]:
    task = task.evolve(
        route=number,
        workflow_sid=workflow.sid,
        workflow_revision_sid=workflow.revision_sid,
        step_filter=RESTART,
    )
    step = steps.first_step(steps.plan_of(state, task), task)
    if step is None:
        return _exhausted(state, task, Step(DOCUMENT, 0, Target("")), now)
    after = steps.entered(state, task, step, now, task.create_time)
    return after, f"it enters workflow {workflow.friendly_name}"


def _where(state: State, task: Task, after: Task) -> str:
    queue = state.find(after.task_queue_sid, TaskQueue)
    if queue is None or after.task_queue_sid == task.task_queue_sid:
        return ""
    return f", in queue {queue.friendly_name}"


# when


def next_of(state: State, task: Task, held: tuple[Reservation, ...]) -> tuple[int, str]:
    """Return when something happens to a task by itself next, and what; 0 for never."""
    if task.status == TaskStatus.PENDING:
        return _next_of_waiting(state, task)
    canceled = (task.deadline, "its timeout is up and it is canceled")
    if task.status == TaskStatus.RESERVED:
        ends = ((row.deadline, f"the offer to {row.worker_name} ends") for row in held)
        return min(canceled, *ends, key=lambda due: due[0])
    if task.status == TaskStatus.ASSIGNED:
        return task.limit_time, "it is deleted" if task.limit_time else ""
    if task.status == TaskStatus.WRAPPING:
        return task.limit_time, _after_wrap(state, task) if task.limit_time else ""
    return task.purge_time, "it is deleted" if task.purge_time else ""


def _next_of_waiting(state: State, task: Task) -> tuple[int, str]:
    """Return the first of its deadlines; of equals, the one that is acted upon."""
    dues = [(task.deadline, "its timeout is up and it is canceled")]
    if task.step_deadline:
        _, text = _following(state, task, task.step_deadline)
        dues.append((task.step_deadline, text))
    if task.hold_time:
        dues.append((task.hold_time, "it may be offered again"))
    retry = refusals.retry_time(task)
    if retry:
        dues.append(
            (retry, f"it may be offered to {_refused(state, task, retry)} again")
        )
    return min(dues, key=lambda due: due[0])


def _refused(state: State, task: Task, until: int) -> str:
    """Return the names of those whose refusal is over at a time."""
    sids = (row.worker_sid for row in task.refusals if row.until == until)
    workers = (state.find(sid, Worker) for sid in sids)
    names = [worker.friendly_name for worker in workers if worker is not None]
    return ", ".join(names) or "a worker who is gone"


def _after_wrap(state: State, task: Task) -> str:
    policies = policies_of(state, task.workspace_sid, task.task_queue_sid)
    return "it is completed" if policies.auto_complete else "its wrap-up is overdue"
