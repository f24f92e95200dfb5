"""Tasks: created, moved along their workflow, canceled, wrapped, completed."""

from typing import Any

from flexcore.domain import limits
from flexcore.domain.attributes import canonical, changed, check_attributes
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.model import (
    Reservation,
    Task,
    TaskChannel,
    Workflow,
)
from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    ReservationStatus,
    TaskStatus,
    next_state,
)
from flexcore.engine import invites
from flexcore.engine.commands import (
    CancelTask,
    CompleteTask,
    CreateTask,
    UpdateTask,
    WrapTask,
)
from flexcore.engine.decision import Decision
from flexcore.engine.workflows import (
    first_step,
    next_step,
    resolve_workflow,
    step_changes,
)
from flexcore.engine.workspaces import (
    Rows,
    refuse_full,
    resolve_task_channel,
    resolve_workspace,
)


def create_task(decision: Decision, command: CreateTask) -> Rows:
    """Create a task and put it into the first step of its workflow."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    workflow = resolve_workflow(decision, workspace.sid, command.workflow_sid)
    channel = resolve_task_channel(decision, workspace.sid, command.task_channel)
    start = command.virtual_start_time
    if start > decision.now:
        raise InvalidArgument("virtual_start_time", "must not lie in the future")
    attributes = check_attributes(command.attributes)
    task = add_task(
        decision,
        workflow,
        channel,
        attributes,
        priority=command.priority,
        timeout_seconds=command.timeout_seconds,
        virtual_start_time=start,
    )
    return (task,)


def add_task(
    decision: Decision,
    workflow: Workflow,
    channel: TaskChannel,
    attributes: dict[str, Any],
    *,
    priority: int,
    timeout_seconds: int,
    virtual_start_time: int = 0,
    invite_sid: str = "",
    sid: str = "",
) -> Task:
    """Add a task that waits in the first step of `workflow`."""
    priority = _checked_priority(priority)
    most = limits.TASK_TIMEOUT_SECONDS_MAX
    if not 0 <= timeout_seconds <= most:
        raise InvalidArgument(
            "timeout", f"must be 1 to {most} seconds, is {timeout_seconds}"
        )
    timeout_seconds = timeout_seconds or limits.TASK_TIMEOUT_SECONDS_DEFAULT
    count = decision.state.count(Task, "open_workspace_sid", workflow.workspace_sid)
    refuse_full(count, limits.OPEN_TASKS_MAX, "open tasks")
    step = first_step(workflow, attributes)
    task = decision.create(
        Task(
            sid=sid or decision.ids.sid("WT"),
            workspace_sid=workflow.workspace_sid,
            workflow_sid=workflow.sid,
            task_channel_sid=channel.sid,
            task_channel_unique_name=channel.unique_name,
            attributes=canonical(attributes),
            status=TaskStatus.PENDING,
            sequence=decision.next_sequence,
            virtual_start_time=virtual_start_time or decision.now,
            timeout_seconds=timeout_seconds,
            deadline=decision.now + timeout_seconds * limits.SECOND,
            invite_sid=invite_sid,
            **step_changes(decision, step, priority),
        ),
        "task.created",
    )
    for event in ("workflow.entered", "task-queue.entered", "workflow.target-matched"):
        decision.emit(event, task)
    return task


def update_task(decision: Decision, command: UpdateTask) -> Rows:
    """Change attributes or priority; the task keeps its step."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    if task.status not in OPEN_TASK:
        next_state("task", task.sid, task.status, "update")
    attributes = changed(task.attributes, command.attributes, command.attributes_patch)
    priority = task.priority
    if command.priority is not None:
        priority = _checked_priority(command.priority)
    task = decision.change(
        task, "task.updated", attributes=attributes, priority=priority
    )
    return (task,)


def _checked_priority(priority: int) -> int:
    if not 0 <= priority <= limits.PRIORITY_MAX:
        raise InvalidArgument(
            "priority", f"must be 0 to {limits.PRIORITY_MAX}, is {priority}"
        )
    return priority


def cancel_task(decision: Decision, command: CancelTask) -> Rows:
    """Cancel a task nobody has accepted; its offers end as canceled."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    next_state("task", task.sid, task.status, "cancel")
    invites.refuse_while_open(decision, task)
    return (end_task(decision, task, "cancel", command.reason),)


def end_task(decision: Decision, task: Task, cause: str, reason: str) -> Task:
    """Cancel a waiting or reserved task, whatever the cause."""
    status = next_state("task", task.sid, task.status, cause)
    task = decision.change(
        task, "task.canceled", status=status, reason=reason, step_deadline=0
    )
    for reservation in open_reservations(decision, task):
        decision.change(
            reservation,
            "reservation.canceled",
            status=next_state(
                "reservation", reservation.sid, reservation.status, "cancel"
            ),
        )
    invites.follow(decision, task, cause)
    return task


def wrap_task(decision: Decision, command: WrapTask) -> Rows:
    """Begin wrap-up: the agent is done talking and still holds capacity."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    next_state("task", task.sid, task.status, "wrap")
    invites.refuse_last_agent(decision, task)
    return wrap(decision, task, command.reason)


def wrap(decision: Decision, task: Task, reason: str = "") -> Rows:
    """Move an assigned task and its reservation to wrapping."""
    status = next_state("task", task.sid, task.status, "wrap")
    reason = reason or task.reason
    task = decision.change(task, "task.wrapup", status=status, reason=reason)
    reservations = [
        decision.change(
            row,
            "reservation.wrapup",
            status=next_state("reservation", row.sid, row.status, "wrap"),
        )
        for row in open_reservations(decision, task)
    ]
    invites.follow(decision, task, "wrap")
    return (task, *reservations)


def complete_task(decision: Decision, command: CompleteTask) -> Rows:
    """Complete a task; its worker has room again."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    next_state("task", task.sid, task.status, "complete")
    invites.refuse_last_agent(decision, task)
    return complete(decision, task, command.reason)


def complete(decision: Decision, task: Task, reason: str = "") -> Rows:
    """Move a task and its reservation to completed."""
    status = next_state("task", task.sid, task.status, "complete")
    reason = reason or task.reason
    task = decision.change(task, "task.completed", status=status, reason=reason)
    reservations = [
        decision.change(
            row,
            "reservation.completed",
            status=next_state("reservation", row.sid, row.status, "complete"),
        )
        for row in open_reservations(decision, task)
    ]
    invites.follow(decision, task, "complete")
    return (task, *reservations)


def open_reservations(decision: Decision, task: Task) -> list[Reservation]:
    """Return the reservations of a task that hold capacity."""
    rows = decision.state.where(Reservation, "task_sid", task.sid)
    return [row for row in rows if row.status in OPEN_RESERVATION]


def return_task(decision: Decision, task: Task) -> Task:
    """Put a reserved task back into its queue when its last offer ended."""
    rows = decision.state.where(Reservation, "task_sid", task.sid)
    if any(row.status == ReservationStatus.PENDING for row in rows):
        return task
    status = next_state("task", task.sid, task.status, "unoffered")
    task = decision.change(task, status=status)
    invites.follow(decision, task, "unoffered")
    if task.assignment_count >= limits.ASSIGNMENTS_MAX:
        return end_task(decision, task, "overrun", "Max assignment count exceeded")
    if task.step_deadline and task.step_deadline <= decision.now:
        return leave_step(decision, task)
    return task


def expire_task(decision: Decision, task: Task) -> None:
    """Act on a task's earliest deadline: its own, or that of its step."""
    if task.deadline <= decision.now:
        end_task(decision, task, "expire", "Task TTL Exceeded")
    elif task.status == TaskStatus.PENDING and 0 < task.step_deadline <= decision.now:
        leave_step(decision, task)


def leave_step(decision: Decision, task: Task) -> Task:
    """Move a task on when its step timed out; cancel it at the workflow's end."""
    decision.emit("task-queue.timeout", task)
    step = next_step(decision, task)
    if step is None:
        decision.emit("workflow.timeout", task)
        return end_task(decision, task, "exhaust", "Workflow timed out")
    moved = step.queue_sid != task.task_queue_sid
    task = decision.change(task, **step_changes(decision, step, task.priority))
    if moved:
        decision.emit("task-queue.moved", task)
    decision.emit("task-queue.entered", task)
    decision.emit("workflow.target-matched", task)
    return task
