"""Tasks: created, changed, canceled, wrapped up, completed, deleted."""

from typing import Any

from flexcore.domain import limits
from flexcore.domain.attributes import canonical, changed, check_attributes
from flexcore.domain.errors import (
    FailedPrecondition,
    FlexcoreError,
    InvalidArgument,
)
from flexcore.domain.model import Reservation, Task, TaskChannel, Workflow, Workspace
from flexcore.domain.parts import Route
from flexcore.domain.plans import RESTART, ROUTED
from flexcore.domain.states import OPEN_TASK, WAITING_TASK, TaskStatus, next_state
from flexcore.engine.commands import (
    BatchCreateTasks,
    CancelTask,
    CompleteTask,
    CreateTask,
    DeleteTask,
    UpdateTask,
    WrapTask,
)
from flexcore.engine.decision import Decision
from flexcore.engine.messaging import invites
from flexcore.engine.routing import (
    endings,
    missed_offers,
    offer_endings,
    refusals,
    routes,
    steps,
)
from flexcore.engine.setup.workflows import resolve_routing_workspace, resolve_workflow
from flexcore.engine.setup.workspaces import (
    Rows,
    refuse_full,
    resolve_task_channel,
)


def create_task(decision: Decision, command: CreateTask) -> Rows:
    """Create a task and put it into the first step of its workflow, or on its route."""
    workspace = resolve_routing_workspace(
        decision, command.workspace_sid, command.workflow_sid
    )
    routes.check_routes(decision, workspace.sid, command.routes)
    task = add_task(
        decision,
        workspace,
        _workflow(decision, workspace, command),
        resolve_task_channel(decision, workspace.sid, command.task_channel),
        check_attributes(command.attributes),
        priority=command.priority,
        timeout_seconds=command.timeout_seconds,
        virtual_start_time=_checked_start(decision, command.virtual_start_time),
        routes=routes.spelled_out(decision.state, workspace.sid, command.routes),
    )
    return (task,)


def _workflow(
    decision: Decision, workspace: Workspace, command: CreateTask
) -> Workflow | None:
    """Return the workflow of a task; one that is routed past it may do without."""
    if not command.routes or command.workflow_sid:
        return resolve_workflow(decision, workspace.sid, command.workflow_sid)
    rows = decision.state.where(Workflow, "workspace_sid", workspace.sid)
    return rows[0] if len(rows) == 1 else None


def create_tasks(decision: Decision, command: BatchCreateTasks) -> Rows:
    """Create tasks in order, all or none; an error says which one is at fault."""
    if len(command.tasks) > limits.BATCH_MAX:
        raise InvalidArgument("tasks", f"at most {limits.BATCH_MAX} at once")
    created: list[Task] = []
    for number, one in enumerate(command.tasks):
        try:
            created += create_task(decision, one)  # type: ignore[arg-type]  # (Task,)
        except InvalidArgument as error:
            beside = ("workspace_sid",)  # is that of all
            raise error.below(f"tasks[{number}]", beside) from error
        except FlexcoreError as error:
            error.metadata["index"] = str(number)
            raise
    return tuple(created)


def add_task(
    decision: Decision,
    workspace: Workspace,
    workflow: Workflow | None,
    channel: TaskChannel,
    attributes: dict[str, Any],
    *,
    priority: int,
    timeout_seconds: int,
    virtual_start_time: int | None = None,
    routes: tuple[Route, ...] = (),
    invite_sid: str = "",
    sid: str = "",
) -> Task:
    """Add a task that waits in the first step of `workflow`, or on its route."""
    count = decision.state.count(Task, "open_workspace_sid", workspace.sid)
    refuse_full(count, limits.OPEN_TASKS_MAX, "open tasks", workspace.sid)
    timeout_seconds = _checked_timeout(timeout_seconds)
    start = decision.now if virtual_start_time is None else virtual_start_time
    task = Task(
        sid=sid or decision.ids.sid("WT"),
        workspace_sid=workspace.sid,
        workflow_sid=workflow.sid if workflow else "",
        workflow_revision_sid=workflow.revision_sid if workflow else "",
        task_queue_sid="",
        task_channel_sid=channel.sid,
        task_channel_unique_name=channel.unique_name,
        attributes=canonical(attributes),
        priority=_checked_priority(priority),
        status=TaskStatus.PENDING,
        sequence=decision.next_sequence,
        virtual_start_time=start,
        timeout_seconds=timeout_seconds,
        deadline=decision.now + timeout_seconds * limits.SECOND,
        step_filter=ROUTED,
        step_target=0,
        step_deadline=0,
        queue_entered_time=decision.now,
        create_time=decision.now,
        invite_sid=invite_sid,
        routes=routes,
    )
    return _placed(decision, task)


def _placed(decision: Decision, task: Task) -> Task:
    """Write a new task down where it begins to wait."""
    if task.routes:
        return routes.begin(decision, decision.create(task, "task.created"))
    step = steps.required_step(decision.state, task)
    now = decision.now
    task = decision.create(
        steps.entered(decision.state, task, step, now, now), "task.created"
    )
    decision.emit("workflow.entered", task)
    steps.emit_entered(decision, task)
    return task


def update_task(decision: Decision, command: UpdateTask) -> Rows:
    """Change an open task; one in its workflow is routed anew from the top.

    One that is offered enters it when its offers have ended.
    """
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    if task.status not in OPEN_TASK:
        next_state("task", task.sid, task.status, "update")
    after = task.evolve(
        attributes=changed(
            task.attributes, command.attributes, command.attributes_patch
        )
    )
    if command.virtual_start_time is not None:
        start = _checked_start(decision, command.virtual_start_time)
        after = after.evolve(virtual_start_time=start)
    if command.task_channel is not None:
        after = _on_channel(decision, after, command.task_channel)
    rerouted = (task.attributes, task.task_channel_sid) != (
        after.attributes,
        after.task_channel_sid,
    )
    rerouted = rerouted and _walks(task)
    if command.priority is not None:
        priority = _checked_priority(command.priority)
        if rerouted or not _ranked_by_step(decision, task):
            after = after.evolve(priority=priority)
    if rerouted:
        steps.required_step(decision.state, after)
    if rerouted and task.status == TaskStatus.RESERVED:
        after = after.evolve(step_filter=RESTART)
    updated = decision.update(task, after, "task.updated")
    if updated is not task:
        _tell_holders(decision, updated)
    if rerouted and updated.status == TaskStatus.PENDING:
        updated = steps.reenter(decision, updated)
    return (updated,)


def _tell_holders(decision: Decision, task: Task) -> None:
    """Tell who has a task that it changed; their reservations and versions stay."""
    for reservation in endings.open_reservations(decision.state, task.sid):
        decision.emit("reservation.task-updated", decision.keep(reservation))


def _walks(task: Task) -> bool:
    """Say whether a task nobody has taken is in a step of its workflow."""
    waits = task.status in WAITING_TASK
    return waits and task.step_filter != ROUTED


def _ranked_by_step(decision: Decision, task: Task) -> bool:
    """Say whether a task is in a step that sets its priority."""
    step = steps.step_of(decision.state, task) if _walks(task) else None
    return step is not None and step.target.priority is not None


def _on_channel(decision: Decision, task: Task, text: str) -> Task:
    channel = resolve_task_channel(decision, task.workspace_sid, text)
    if channel.sid != task.task_channel_sid and task.status != TaskStatus.PENDING:
        raise FailedPrecondition(
            f"task {task.sid} is {task.status}; its channel can change while it waits",
            metadata={"sid": task.sid, "state": task.status.value, "cause": "update"},
        )
    return task.evolve(
        task_channel_sid=channel.sid, task_channel_unique_name=channel.unique_name
    )


def _checked_priority(priority: int) -> int:
    if not 0 <= priority <= limits.PRIORITY_MAX:
        raise InvalidArgument(
            "priority", f"must be 0 to {limits.PRIORITY_MAX}, is {priority}"
        )
    return priority


def _checked_timeout(seconds: int) -> int:
    most = limits.TASK_TIMEOUT_SECONDS_MAX
    if not 0 <= seconds <= most:
        raise InvalidArgument("timeout", f"must be 1 to {most} seconds, is {seconds}")
    return seconds or limits.TASK_TIMEOUT_SECONDS_DEFAULT


def _checked_start(decision: Decision, start: int | None) -> int | None:
    if start is not None and start > decision.now:
        raise InvalidArgument("virtual_start_time", "must not lie in the future")
    return start


# Endings


def cancel_task(decision: Decision, command: CancelTask) -> Rows:
    """Cancel a task nobody has accepted; its offers end as canceled."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    next_state("task", task.sid, task.status, "cancel")
    invites.refuse_while_open(decision, task)
    return (endings.end_task(decision, task, "cancel", command.reason),)


def delete_task(decision: Decision, command: DeleteTask) -> Rows:
    """Remove a task for good, whatever became of it."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    if task.status in WAITING_TASK:
        invites.refuse_while_open(decision, task)
    elif task.status == TaskStatus.ASSIGNED:
        invites.refuse_last_agent(decision, task)
    return (endings.remove(decision, task, "task.deleted"),)


def wrap_task(decision: Decision, command: WrapTask) -> Rows:
    """Begin wrap-up: the agent is done talking and still holds capacity."""
    task = _task_of(decision, command.sid, command.expected_version, "wrap")
    next_state("task", task.sid, task.status, "wrap")
    invites.refuse_last_agent(decision, task)
    _see_workers(decision, task)
    return endings.wrap(decision, task, command.reason)


def complete_task(decision: Decision, command: CompleteTask) -> Rows:
    """Complete an assigned or wrapping task, with what came of it."""
    task = _task_of(decision, command.sid, command.expected_version, "complete")
    next_state("task", task.sid, task.status, "complete")
    invites.refuse_last_agent(decision, task)
    _see_workers(decision, task)
    return endings.complete(
        decision,
        task,
        command.reason,
        command.disposition,
        command.attributes_patch,
    )


def _see_workers(decision: Decision, task: Task) -> None:
    for row in endings.open_reservations(decision.state, task.sid):
        missed_offers.seen(decision, row.worker_sid)


def _task_of(decision: Decision, sid: str, expected_version: int, cause: str) -> Task:
    """Return the task that a task or an open reservation stands for."""
    if not sid.startswith("WR"):
        task = decision.get(sid, Task)
        decision.expect(task, expected_version)
        return task
    reservation = decision.get(sid, Reservation)
    decision.expect(reservation, expected_version)
    if not reservation.open_worker_sid or reservation.status == "pending":
        next_state("reservation", sid, reservation.status, cause)
    return decision.get(reservation.task_sid, Task)


# Time


def expire_task(decision: Decision, task: Task) -> None:
    """Act on the earliest deadline of a task in its present status."""
    if task.status in WAITING_TASK:
        if task.deadline <= decision.now:
            endings.end_task(decision, task, "expire", "Task TTL Exceeded")
        elif task.status == TaskStatus.PENDING:
            _pass_time(decision, task)
    elif 0 < task.limit_time <= decision.now:
        endings.reach_limit(decision, task)
    elif 0 < task.purge_time <= decision.now:
        endings.purge(decision, task)


def _pass_time(decision: Decision, task: Task) -> None:
    if 0 < task.hold_time <= decision.now:
        task = decision.change(task, "task.hold-expired", hold_time=0)
    counting = refusals.still_counting(task, decision.now)
    if counting != task.refusals:
        task = decision.change(task, "task.refusal-expired", refusals=counting)
    if 0 < task.step_deadline <= decision.now:
        offer_endings.leave(decision, task)
