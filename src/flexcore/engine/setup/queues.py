"""Task queues: an expression over workers, and the tasks that wait for them."""

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import Context, parse
from flexcore.domain.model import Task, TaskQueue, Workspace
from flexcore.domain.semantics import check_overrides
from flexcore.engine.commands import (
    CreateTaskQueue,
    DeleteTaskQueue,
    UpdateTaskQueue,
)
from flexcore.engine.decision import Decision
from flexcore.engine.setup.policies import dialect_of, policies_of
from flexcore.engine.setup.workflows import leading_to
from flexcore.engine.setup.workspaces import (
    Rows,
    refuse_full,
    refuse_taken,
    refuse_used,
    required,
    resolve_workspace,
)


def create_task_queue(decision: Decision, command: CreateTaskQueue) -> Rows:
    """Create a queue; an empty expression matches nobody."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    _check_expression(decision, workspace.sid, command.target_workers)
    queues = decision.state.where(TaskQueue, "workspace_sid", workspace.sid)
    refuse_taken(queues, name)
    refuse_full(len(queues), limits.TASK_QUEUES_MAX, "task queues", workspace.sid)
    row = TaskQueue(
        sid=decision.ids.sid("WQ"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        target_workers=command.target_workers,
        max_reserved_workers=_checked_workers(command.max_reserved_workers),
        task_order=command.task_order or "FIFO",
        policies=check_overrides(command.policies or {}, queue=True),
    )
    return (decision.create(row, "task-queue.created"), workspace)


def update_task_queue(decision: Decision, command: UpdateTaskQueue) -> Rows:
    """Change a queue, or who serves it; waiting tasks and pending offers stay."""
    queue = decision.get(command.sid, TaskQueue)
    decision.expect(queue, command.expected_version)
    after = queue
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        queues = decision.state.where(TaskQueue, "workspace_sid", queue.workspace_sid)
        refuse_taken(queues, name, but=queue.sid)
        after = after.evolve(friendly_name=name)
    if command.target_workers is not None:
        _check_expression(decision, queue.workspace_sid, command.target_workers)
        after = after.evolve(target_workers=command.target_workers)
    if command.max_reserved_workers is not None:
        most = _checked_workers(command.max_reserved_workers)
        after = after.evolve(max_reserved_workers=most)
    if command.task_order is not None:
        after = after.evolve(task_order=command.task_order)
    if command.policies is not None:
        after = after.evolve(policies=check_overrides(command.policies, queue=True))
    changed = after.target_workers != queue.target_workers
    queue = decision.update(queue, after, "task-queue.updated")
    if changed:
        decision.emit("task-queue.expression.updated", queue)
    return (queue, decision.state.need(queue.workspace_sid, Workspace))


def delete_task_queue(decision: Decision, command: DeleteTaskQueue) -> Rows:
    """Delete a queue no open task is in, or could come into by what leads there."""
    queue = decision.get(command.sid, TaskQueue)
    decision.expect(queue, command.expected_version)
    workspace = decision.state.need(queue.workspace_sid, Workspace)
    refuse_used(
        decision,
        queue,
        [
            (Task, "open_queue_sid", queue.sid),
            (Task, "open_route_sids", queue.sid),
        ],
        *leading_to(decision, queue.workspace_sid, queue.sid),
        *((workspace,) if workspace.vanished_queue_sid == queue.sid else ()),
    )
    decision.delete(queue, "task-queue.deleted")
    return (queue,)


def _check_expression(decision: Decision, workspace_sid: str, text: str) -> None:
    dialect = dialect_of(policies_of(decision.state, workspace_sid))
    parse(text, Context.WORKER, "target_workers", dialect)


def _checked_workers(count: int) -> int:
    most = limits.RESERVED_WORKERS_MAX
    if not 0 <= count <= most:
        raise InvalidArgument("max_reserved_workers", f"must be 0 to {most}")
    return count
