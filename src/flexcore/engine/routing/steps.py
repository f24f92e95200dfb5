"""A task's way along its workflow: entering steps, leaving them, skipping, the end.

    enter_step <-- leave_step (timeout)      <-- expire, or the last offer ended too late
               <-- skip_step (skip_if)       <-- the decider, once nobody could take it
               <-- reenter (changed task or workflow)
    leave_step --> exhaust --> default | repeat | queue | cancel

What follows which step is domain/plans.py; this file does it to rows.
"""

import json
from typing import Any

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument, Reason
from flexcore.domain.model import (
    Task,
    TaskQueue,
    Worker,
    Workflow,
    WorkflowRevision,
)
from flexcore.domain.plans import (
    DOCUMENT,
    EXHAUSTION,
    Step,
    Target,
    WorkflowPlan,
    after_exhaustion,
    after_skip,
    after_timeout,
    enter,
    known_of,
    seconds_before,
    step_at,
)
from flexcore.domain.trees import REFUSED_BY
from flexcore.domain.workflows import saved_plan
from flexcore.engine.decision import Decision, decoded
from flexcore.engine.routing import refusals
from flexcore.engine.routing.endings import end_task
from flexcore.engine.routing.membership import belongs
from flexcore.engine.setup.policies import dialect_of, policies_of
from flexcore.engine.state import State


def plan_of(state: State, task: Task) -> WorkflowPlan:
    """Return the revision of its workflow that a task walks through."""
    revision = state.find(task.workflow_revision_sid, WorkflowRevision)
    found = revision or state.need(task.workflow_sid, Workflow)
    policies = policies_of(state, task.workspace_sid)
    return saved_plan(found.configuration, dialect_of(policies))


def step_of(state: State, task: Task) -> Step | None:
    """Return the step of its workflow a task waits in; None if it waits elsewhere."""
    if task.step_filter < EXHAUSTION:
        return None
    return step_at(plan_of(state, task), task.step_filter, task.step_target)


def may_be_skipped(state: State, task: Task) -> bool:
    """Say whether a task goes on when nobody can take it where it is and skip_if is true."""
    step = step_of(state, task)
    return step is not None and step.target.skip_if is not None


def known_worker(state: State, task: Task) -> str | None:
    """Return the sid of the one worker a step asks for; "" if there is none like that.

    None: the step asks for nobody in particular.
    """
    asked = known_value(state, task)
    if asked is None:
        return None
    by, value = asked
    if by == "friendly_name":
        found = state.where(Worker, "name_key", f"{task.workspace_sid}|{value}")
        return found[0].sid if found else ""
    worker = state.find(value, Worker)
    mine = worker is not None and worker.workspace_sid == task.workspace_sid
    return value if mine else ""


def known_value(state: State, task: Task) -> tuple[str, str] | None:
    """Return by what and by which value a step asks for a worker; "" names nobody."""
    step = step_of(state, task)
    if step is None or step.target.known is None:
        return None
    asked = known_of(step, task_values(task))
    if asked is None:
        return None
    by, value = asked
    if not isinstance(value, str):
        return by, ""
    return by, value.casefold() if by == "friendly_name" else value


def task_values(task: Task) -> dict[str, Any]:
    """Return what expressions see of a task."""
    refused_by = [row.worker_sid for row in task.refusals]
    return {**decoded(task.attributes), REFUSED_BY: refused_by}


# Entering


def first_step(plan: WorkflowPlan, task: Task) -> Step | None:
    """Return where a task enters its workflow; None when no filter takes it."""
    return enter(plan, task_values(task))


def required_step(state: State, task: Task) -> Step:
    """Return where a task enters its workflow; refused when no filter takes it."""
    step = first_step(plan_of(state, task), task)
    if step is None:
        raise InvalidArgument(
            "attributes",
            f"no filter of workflow {task.workflow_sid} matches and it has no default"
            " filter",
            reason=Reason.NO_FILTER_MATCHED,
            metadata={"sid": task.workflow_sid},
        )
    return step


def entered(state: State, task: Task, step: Step, now: int, start: int) -> Task:
    """Return the task as it is in a step; `start` is what the clock `age` counts from."""
    target = step.target
    moved = target.queue_sid != task.task_queue_sid
    policies = policies_of(state, task.workspace_sid, target.queue_sid)
    begin = start if policies.step_clock == "age" else now
    seconds = target.timeout_seconds or 0
    return task.evolve(
        task_queue_sid=target.queue_sid,
        queue_entered_time=now if moved else task.queue_entered_time,
        priority=task.priority if target.priority is None else target.priority,
        step_filter=step.filter_index,
        step_target=step.target_index,
        step_start=begin,
        step_deadline=begin + seconds * limits.SECOND if seconds else 0,
        skip_pending=target.skip_if is not None,
        refusals=refusals.kept(task, policies, moved=moved),
    )


def begun_anew(state: State, task: Task, now: int) -> Task:
    """Return the task with its step before it; the clock `age` runs on meanwhile."""
    step = step_of(state, task)
    seconds = 0 if step is None else step.target.timeout_seconds or 0
    policies = policies_of(state, task.workspace_sid, task.task_queue_sid)
    begin = task.step_start if policies.step_clock == "age" else now
    return task.evolve(
        step_start=begin,
        step_deadline=begin + seconds * limits.SECOND if seconds else 0,
        skip_pending=may_be_skipped(state, task),
    )


def enter_step(decision: Decision, task: Task, step: Step, start: int) -> Task:
    """Move a waiting task into a step, and on from those that are over already."""
    task = _enter(decision, task, step, start)
    return leave_step(decision, task) if _over(decision, task) else task


def _enter(decision: Decision, task: Task, step: Step, start: int) -> Task:
    after = entered(decision.state, task, step, decision.now, start)
    before, task = task, decision.replace(task, after)
    emit_moved(decision, before, task)
    emit_entered(decision, task)
    return task


def _over(decision: Decision, task: Task) -> bool:
    return 0 < task.step_deadline <= decision.now


def emit_moved(decision: Decision, before: Task, task: Task) -> None:
    """Say that a task left one queue for another; one for a worker is in no queue."""
    left, queue_sid = before.task_queue_sid, task.task_queue_sid
    if left and queue_sid and left != queue_sid:
        decision.emit("task-queue.moved", task)


def emit_entered(decision: Decision, task: Task) -> None:
    """Say that a task is in a step, and whether it asks for a worker in vain."""
    decision.emit("task-queue.entered", task)
    decision.emit("workflow.target-matched", task)
    step = step_of(decision.state, task)
    asked = None if step is None else known_of(step, task_values(task))
    # Null asks for nobody: so a workflow is told that there is nobody to ask for.
    if asked is None or asked[1] is None:
        return
    reason = _why_missing(decision.state, task)
    if reason:
        value = asked[1] if isinstance(asked[1], str) else json.dumps(asked[1])
        if asked[0] == "friendly_name":
            value = value.casefold()
        decision.emit(
            "workflow.known-worker-missing",
            task,
            reason,
            value[: limits.EVENT_VALUE_CHARS],
        )


def _why_missing(state: State, task: Task) -> str:
    """Say why nobody can have a task whose step asks for somebody; "" if they can."""
    by, value = known_value(state, task) or ("", "")
    worker = state.find(known_worker(state, task) or "", Worker)
    if worker is None:
        elsewhere = by == "sid" and state.find(value, Worker) is not None
        return "other_workspace" if elsewhere else "not_found"
    queue = state.need(task.task_queue_sid, TaskQueue)
    return "" if belongs(state, worker, queue) else "not_in_queue"


def reenter(decision: Decision, task: Task) -> Task:
    """Route a waiting task anew from the top; its age stays what it is."""
    step = first_step(plan_of(decision.state, task), task)
    if step is None:
        return exhaust(decision, task, Step(DOCUMENT, 0, Target("")), "unmatched")
    decision.emit("workflow.entered", task)
    return enter_step(decision, task, step, task.create_time)


# Leaving


def leave_step(decision: Decision, task: Task) -> Task:
    """Move a task on when its step timed out, past those that are over already.

    After so many it stays in one that is over. It does not wait there: that deadline is
    the first to be decided next, and leads on.
    """
    plan = plan_of(decision.state, task)
    for _ in range(limits.STEPS_AT_ONCE):
        if decision.half_full:
            break
        decision.emit("task-queue.timeout", task)
        here = _here(decision, task)
        step = after_timeout(plan, here, task_values(task))
        if step is None:
            return exhaust(decision, task, here)
        task = _enter(decision, task, step, task.step_deadline)
        if not _over(decision, task):
            break
    return task


def skip_step(decision: Decision, task: Task) -> Task:
    """Move a task on that nobody can take and that shall not wait here.

    By the clock `age` its timeout counts for the targets behind it all the same; a filter
    that was skipped counts as no match, and the next one begins when it did.
    """
    plan, here = plan_of(decision.state, task), _here(decision, task)
    step = after_skip(plan, here, task_values(task))
    if step is None:
        decision.emit("workflow.skipped", task)
        return end_task(decision, task, "skip", "Workflow skipped")
    start = task.step_deadline or task.step_start
    if step.filter_index != here.filter_index:
        start = task.step_start - seconds_before(plan, here) * limits.SECOND
    return enter_step(decision, task, step, start)


def exhaust(decision: Decision, task: Task, last: Step, cause: str = "exhaust") -> Task:
    """Do what the workflow or the policy says about a task that is through with it.

    By the cause `unmatched` it did not get into it, so nothing has timed out.
    """
    decision.emit("workflow.exhausted", task)
    plan = plan_of(decision.state, task)
    policy = policies_of(decision.state, task.workspace_sid).on_exhausted
    step = after_exhaustion(plan, last, task_values(task), policy)
    if step is None and cause == "unmatched":
        return end_task(decision, task, cause, "No filter matched")
    if step is None:
        decision.emit("workflow.timeout", task)
        return end_task(decision, task, cause, "Workflow timed out")
    return enter_step(decision, task, step, decision.now)


def _here(decision: Decision, task: Task) -> Step:
    step = step_of(decision.state, task)
    return step or Step(DOCUMENT, 0, Target(task.task_queue_sid))
