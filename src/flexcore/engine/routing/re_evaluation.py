"""Moving the tasks of a workflow to its current revision, a few at a time.

A workflow may have more waiting tasks than one decision may touch. UpdateWorkflow only
writes down that they are to move; the workflow's own deadline then takes some of those that
are in another revision, again and again until there are none. Where it stands follows
from the rows, so that a restart goes on.
"""

from heapq import merge
from itertools import islice

from flexcore.domain import limits
from flexcore.domain.model import Task, Workflow, WorkflowRevision
from flexcore.domain.plans import RESTART, ROUTED
from flexcore.domain.states import TaskStatus
from flexcore.engine.decision import Decision
from flexcore.engine.routing import steps
from flexcore.engine.state import State


def begin(decision: Decision, workflow: Workflow) -> Workflow:
    """Write down that the tasks of other revisions are to move."""
    left = count_left(decision.state, workflow)
    due = decision.now + limits.RE_EVALUATE_WAIT if left else 0
    return decision.change(workflow, re_evaluate_time=due, re_evaluate_left=left)


def go_on(decision: Decision, workflow: Workflow) -> None:
    """Move the oldest few; the workflow says how many are left.

    Fewer when they go a long way, through steps that are over or out of their channels:
    a step that is too large for one decision would never be taken.
    """
    for task in _oldest(decision.state, workflow):
        if decision.half_full:
            break
        _move(decision, task, workflow.revision_sid)
    left = count_left(decision.state, workflow)
    decision.change(
        workflow,
        "workflow.re-evaluated",
        re_evaluate_time=decision.now + limits.RE_EVALUATE_WAIT if left else 0,
        re_evaluate_left=left,
    )


def count_left(state: State, workflow: Workflow) -> int:
    """Return how many open tasks are in other revisions."""
    return sum(
        state.count(Task, "open_revision_sid", row.sid)
        for row in state.where(WorkflowRevision, "workflow_sid", workflow.sid)
        if row.sid != workflow.revision_sid
    )


def _oldest(state: State, workflow: Workflow) -> list[Task]:
    """Return the oldest tasks of other revisions; costs no more when there are many."""
    lines = [
        state.line(Task, "open_revision_sid", row.sid)
        for row in state.where(WorkflowRevision, "workflow_sid", workflow.sid)
        if row.sid != workflow.revision_sid
    ]
    oldest = merge(*lines, key=lambda task: task.sequence)
    return list(islice(oldest, limits.RE_EVALUATE_TASKS))


def _move(decision: Decision, task: Task, revision_sid: str) -> None:
    """Pin a task to a revision; one that waits enters it now, others if they come back."""
    taken = (TaskStatus.RESERVED, TaskStatus.ASSIGNED)
    later = task.status in taken and task.step_filter != ROUTED
    task = decision.change(
        task,
        workflow_revision_sid=revision_sid,
        step_filter=RESTART if later else task.step_filter,
    )
    if task.status == TaskStatus.PENDING and task.step_filter != ROUTED:
        steps.reenter(decision, task)
