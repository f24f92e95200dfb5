"""Interactions: a conversation bound to routing, by one channel and its invites."""

import msgspec

from flexcore.domain.addresses import parse_address
from flexcore.domain.attributes import canonical, changed, check_attributes
from flexcore.domain.errors import AlreadyExists, FailedPrecondition, Reason
from flexcore.domain.model import (
    Conversation,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Participant,
    Task,
    TaskChannel,
    Workflow,
    Workspace,
)
from flexcore.domain.states import ChannelStatus, TaskStatus, next_state
from flexcore.engine.commands import (
    CloseInteractionChannel,
    CreateInteraction,
    CreateInvite,
)
from flexcore.engine.decision import Decision, decoded
from flexcore.engine.messaging import invites
from flexcore.engine.messaging.conversations import (
    channel_open,
    need_open,
    participants_of,
)
from flexcore.engine.routing import endings, tasks
from flexcore.engine.setup.workflows import resolve_routing_workspace, resolve_workflow
from flexcore.engine.setup.workspaces import (
    Rows,
    resolve_task_channel,
)


class Routing(msgspec.Struct, frozen=True):
    """Where an invite's task goes."""

    workflow: Workflow
    channel: TaskChannel
    attributes: str
    priority: int
    timeout_seconds: int


def create_interaction(decision: Decision, command: CreateInteraction) -> Rows:
    """Bind an open conversation with a customer to routing, and invite an agent."""
    conversation = need_open(decision, command.conversation_sid)
    attributes = canonical(check_attributes(command.attributes))
    workspace = resolve_routing_workspace(
        decision, command.workspace_sid, command.workflow_sid
    )
    routing = Routing(
        resolve_workflow(decision, workspace.sid, command.workflow_sid),
        resolve_task_channel(decision, workspace.sid, command.task_channel),
        attributes,
        command.priority,
        command.timeout_seconds,
    )
    if channel_open(decision, conversation):
        raise AlreadyExists(
            f"conversation {conversation.sid} has the open interaction channel "
            f"{conversation.channel_sid}",
            metadata={"sid": conversation.channel_sid, "field": "conversation_sid"},
        )
    customers = participants_of(decision, conversation.sid)
    if not customers:
        raise FailedPrecondition(
            f"conversation {conversation.sid} has no participant",
            reason=Reason.CUSTOMER_MISSING,
            metadata={"sid": conversation.sid},
        )
    # Bots and colleagues have identities, so whoever has an address is the customer.
    customer = next((row for row in customers if row.address), customers[0])
    return bind(decision, conversation, customer, routing, initiated_by="api")


def bind(
    decision: Decision,
    conversation: Conversation,
    customer: Participant,
    routing: Routing,
    initiated_by: str,
) -> Rows:
    """Create interaction, channel, customer participant, invite and task at once."""
    interaction_sid = decision.ids.sid("KD")
    channel = InteractionChannel(
        sid=decision.ids.sid("UO"),
        interaction_sid=interaction_sid,
        conversation_sid=conversation.sid,
        type=_medium(customer),
    )
    interaction = decision.create(
        Interaction(
            sid=interaction_sid,
            workspace_sid=routing.workflow.workspace_sid,
            workflow_sid=routing.workflow.sid,
            channel_sid=channel.sid,
            conversation_sid=conversation.sid,
            initiated_by=initiated_by,
            attributes=routing.attributes,
        ),
        "interaction.created",
    )
    channel = decision.create(channel, "channel.created")
    decision.create(
        InteractionParticipant(
            sid=decision.ids.sid("UT"),
            interaction_sid=interaction.sid,
            channel_sid=channel.sid,
            type="customer",
            participant_sid=customer.sid,
        ),
        "interaction.participant.joined",
    )
    decision.change(conversation, channel_sid=channel.sid)
    invite, task = _invite(decision, interaction, channel, customer, routing)
    return (interaction, channel, invite, task)


def _invite(
    decision: Decision,
    interaction: Interaction,
    channel: InteractionChannel,
    customer: Participant,
    routing: Routing,
) -> tuple[Invite, Task]:
    task_sid = decision.ids.sid("WT")
    invite = decision.create(
        Invite(
            sid=decision.ids.sid("KG"),
            interaction_sid=interaction.sid,
            channel_sid=channel.sid,
            task_sid=task_sid,
        ),
        "invite.created",
    )
    task = tasks.add_task(
        decision,
        decision.state.need(routing.workflow.workspace_sid, Workspace),
        routing.workflow,
        routing.channel,
        decoded(routing.attributes)
        | {
            "flexInteractionSid": interaction.sid,
            "flexInteractionChannelSid": channel.sid,
            "flexChannelInviteSid": invite.sid,
            "conversationSid": interaction.conversation_sid,
            "channelType": channel.type,
            "customerAddress": customer.address or customer.identity,
            "initiatedBy": interaction.initiated_by,
            "direction": "inbound",
        },
        priority=routing.priority,
        timeout_seconds=routing.timeout_seconds,
        invite_sid=invite.sid,
        sid=task_sid,
    )
    return invite, task


def create_invite(decision: Decision, command: CreateInvite) -> Rows:
    """Invite one more agent into an open channel; attributes are inherited."""
    interaction = decision.get(command.interaction_sid, Interaction)
    channel = decision.state.need(interaction.channel_sid, InteractionChannel)
    if channel.status != ChannelStatus.ACTIVE:
        next_state("interaction channel", channel.sid, channel.status, "invite")
    invites.refuse_full(decision, interaction.sid)
    workflow_sid = command.workflow_sid or interaction.workflow_sid
    routing = Routing(
        resolve_workflow(decision, interaction.workspace_sid, workflow_sid),
        resolve_task_channel(decision, interaction.workspace_sid, command.task_channel),
        changed(interaction.attributes, None, command.attributes_patch),
        command.priority,
        command.timeout_seconds,
    )
    customer = invites.customer_of(decision, interaction.sid)
    return _invite(decision, interaction, channel, customer, routing)


def close_interaction_channel(
    decision: Decision, command: CloseInteractionChannel
) -> Rows:
    """End an interaction; a second call may complete what the first one wrapped."""
    interaction = decision.get(command.interaction_sid, Interaction)
    channel = decision.state.need(interaction.channel_sid, InteractionChannel)
    if channel.status == ChannelStatus.ACTIVE:
        _close(decision, interaction, channel)
    ended = []
    for invite in decision.state.where(Invite, "interaction_sid", interaction.sid):
        task = decision.state.find(invite.task_sid, Task)
        if task is None:
            continue
        if task.status == TaskStatus.WRAPPING and command.complete:
            endings.complete(decision, task)
        ended.append(decision.state.need(task.sid, Task))
    state = decision.state
    channel = state.need(channel.sid, InteractionChannel)
    conversation = state.need(channel.conversation_sid, Conversation)
    return (interaction, channel, conversation, *ended)


def _close(
    decision: Decision, interaction: Interaction, channel: InteractionChannel
) -> None:
    """Close the channel first, so that ending its tasks finds nobody to protect."""
    for agent in invites.agents_of(decision, interaction.sid):
        task = decision.state.need(agent.task_sid, Task)
        endings.wrap(decision, task)
    invites.close_channel(decision, channel, "ended")
    for invite in invites.pending_of(decision, interaction.sid):
        task = decision.state.need(invite.task_sid, Task)
        endings.end_task(decision, task, "cancel", "interaction ended")


def _medium(customer: Participant) -> str:
    if not customer.address:
        return "chat"
    return parse_address(customer.address, "address").kind.value
