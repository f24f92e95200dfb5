"""Which policies hold where: the queue's, else the workspace's, else the preset's."""

from flexcore.domain.expressions import Dialect
from flexcore.domain.model import TaskQueue, Workspace
from flexcore.domain.semantics import Policies, resolved
from flexcore.engine.state import State


def policies_of(state: State, workspace_sid: str, queue_sid: str = "") -> Policies:
    """Return the policies of a workspace, or those of one of its queues."""
    workspace, queue = state.rows[workspace_sid], state.rows.get(queue_sid)
    kept = state.policies.get((workspace_sid, queue_sid))
    # Rows never change in place: the same rows have the same policies.
    if kept is not None and kept[0] is workspace and kept[1] is queue:
        return kept[2]
    assert isinstance(workspace, Workspace), workspace_sid
    overrides = queue.policies if isinstance(queue, TaskQueue) else {}
    policies = resolved(workspace.semantics, workspace.policies, overrides)
    state.policies[workspace_sid, queue_sid] = workspace, queue, policies
    return policies


def dialect_of(policies: Policies) -> Dialect:
    """Return how expressions read values of the wrong kind."""
    return Dialect(policies.type_mismatch, policies.missing_array)


def told_of_tasks(workspace: Workspace) -> tuple[object, ...]:
    """Return what the matcher has to be told of every waiting task anew."""
    policies = resolved(workspace.semantics, workspace.policies)
    return (
        policies.type_mismatch,
        policies.missing_array,
        policies.priority_boost_seconds,
        workspace.prioritize_queue_order,
    )
