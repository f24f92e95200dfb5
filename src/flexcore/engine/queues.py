"""Task queues: an expression over workers, and the tasks that wait for them."""

from flexcore.domain import limits
from flexcore.domain.expressions import Context, parse
from flexcore.domain.model import TaskQueue
from flexcore.engine.commands import CreateTaskQueue, UpdateTaskQueue
from flexcore.engine.decision import Decision
from flexcore.engine.workspaces import (
    Rows,
    refuse_full,
    refuse_taken,
    required,
    resolve_workspace,
)


def create_task_queue(decision: Decision, command: CreateTaskQueue) -> Rows:
    """Create a queue; an empty expression matches nobody."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    parse(command.target_workers, Context.WORKER, "target_workers")
    queues = decision.state.where(TaskQueue, "workspace_sid", workspace.sid)
    refuse_taken(queues, name)
    refuse_full(len(queues), limits.TASK_QUEUES_MAX, "task queues")
    row = TaskQueue(
        sid=decision.ids.sid("WQ"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        target_workers=command.target_workers,
    )
    return (decision.create(row, "task-queue.created"),)


def update_task_queue(decision: Decision, command: UpdateTaskQueue) -> Rows:
    """Rename a queue, or change who serves it; waiting tasks stay."""
    queue = decision.get(command.sid, TaskQueue)
    decision.expect(queue, command.expected_version)
    name = queue.friendly_name
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        queues = decision.state.where(TaskQueue, "workspace_sid", queue.workspace_sid)
        refuse_taken(queues, name, but=queue.sid)
    target = queue.target_workers
    if command.target_workers is not None:
        target = command.target_workers
        parse(target, Context.WORKER, "target_workers")
    changed = target != queue.target_workers
    queue = decision.change(
        queue, "task-queue.updated", friendly_name=name, target_workers=target
    )
    if changed:
        decision.emit("task-queue.expression.updated", queue)
    return (queue,)
