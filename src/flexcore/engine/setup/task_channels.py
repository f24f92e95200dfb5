"""Task channels: capacity classes of tasks, and the room workers have on them."""

from flexcore.domain import limits
from flexcore.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    Reason,
)
from flexcore.domain.model import (
    Task,
    TaskChannel,
)
from flexcore.domain.objects import NAME
from flexcore.engine.commands import (
    CreateTaskChannel,
    DeleteTaskChannel,
    UpdateTaskChannel,
)
from flexcore.engine.decision import Decision
from flexcore.engine.setup.rooms import close_channel
from flexcore.engine.setup.workspaces import (
    Rows,
    add_channel,
    configured,
    refuse_full,
    refuse_used,
    required,
    resolve_workspace,
)

#: where tasks go that name no task channel
DEFAULT = "default"


def create_task_channel(decision: Decision, command: CreateTaskChannel) -> Rows:
    """Create a task channel, and its worker channel for every worker."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = command.unique_name
    if not NAME.fullmatch(name):
        raise InvalidArgument(
            "unique_name",
            f"{name!r} is not a name: letters, digits, _ and $, not starting with a digit",
        )
    channels = decision.state.where(TaskChannel, "workspace_sid", workspace.sid)
    for channel in channels:
        if channel.unique_name == name:
            raise AlreadyExists(
                f"unique_name {name!r} is taken by {channel.sid}",
                metadata={"sid": channel.sid, "field": "unique_name"},
            )
    refuse_full(len(channels), limits.TASK_CHANNELS_MAX, "task channels", workspace.sid)
    channel = add_channel(
        decision,
        workspace.sid,
        name,
        command.friendly_name or name,
        optimized=command.channel_optimized_routing,
    )
    return (channel,)


def update_task_channel(decision: Decision, command: UpdateTaskChannel) -> Rows:
    """Rename a task channel for people, or change how its candidates are compared."""
    channel = decision.get(command.sid, TaskChannel)
    decision.expect(channel, command.expected_version)
    after = channel
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        after = after.evolve(friendly_name=name)
    if command.channel_optimized_routing is not None:
        after = after.evolve(
            channel_optimized_routing=command.channel_optimized_routing
        )
    return (decision.update(channel, after, "task-channel.updated"),)


def delete_task_channel(decision: Decision, command: DeleteTaskChannel) -> Rows:
    """Delete a task channel no open task is on, with the workers' room on it."""
    channel = decision.get(command.sid, TaskChannel)
    decision.expect(channel, command.expected_version)
    if channel.unique_name == DEFAULT:
        raise FailedPrecondition(
            f"task channel {channel.sid} is `{DEFAULT}`, which every workspace has",
            reason=Reason.RESOURCE_REQUIRED,
            metadata={"sid": channel.sid},
        )
    refuse_used(
        decision,
        channel,
        [(Task, "open_channel_sid", channel.sid)],
        *configured(decision, "task_channel_sid", channel.sid),
    )
    return (close_channel(decision, channel),)
