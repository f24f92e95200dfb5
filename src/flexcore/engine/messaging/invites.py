"""Invites: follow their task, let the agent in on accept, and leave no customer alone.

An invite makes one task. Whatever happens to the task happens to the invite in the same
decision; nobody outside has to clean up. When the last way to an agent is gone, the
channel and its conversation are closed, so that the next message of the customer starts
afresh instead of landing in a dead thread.
"""

from flexcore.domain import limits
from flexcore.domain.errors import FailedPrecondition, Reason
from flexcore.domain.model import (
    Conversation,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Participant,
    Reservation,
    Task,
    Worker,
)
from flexcore.domain.states import (
    OPEN_TASK,
    ChannelStatus,
    ConversationState,
    InviteStatus,
    ParticipantStatus,
    next_state,
)
from flexcore.engine.decision import Decision
from flexcore.engine.messaging import conversations, participants
from flexcore.engine.setup import workspaces
from flexcore.engine.setup.workspaces import Rows

#: causes of a task's change that the invite has no state for
_NOT_OURS = frozenset({"wrap", "complete"})
#: what ends an invite when it ends its task
_EXPIRES = frozenset(
    {"expire", "exhaust", "unmatched", "skip", "overrun", "unplaceable"}
)


def follow(decision: Decision, task: Task, cause: str) -> None:
    """Move a task's invite and agent along with it."""
    if not task.invite_sid:
        return
    invite = decision.state.need(task.invite_sid, Invite)
    if cause in _NOT_OURS:
        _follow_agent(decision, task, "wrap" if cause == "wrap" else "leave")
        return
    cause = "expire" if cause in _EXPIRES else cause
    status = next_state("invite", invite.sid, invite.status, cause)
    if cause == "vanish":
        _follow_agent(decision, task, "leave")
    invite = decision.change(
        invite, f"invite.{status.value}", status=status, reservation_sid=""
    )
    if status in (InviteStatus.CANCELED, InviteStatus.TIMED_OUT):
        _close_if_alone(decision, invite, task.reason)


def join(decision: Decision, task: Task, reservation: Reservation) -> Rows:
    """Let the agent who accepted take part; returns the participant, if there is one."""
    if not task.invite_sid:
        return ()
    invite = decision.state.need(task.invite_sid, Invite)
    decision.change(
        invite,
        "invite.accepted",
        status=next_state("invite", invite.sid, invite.status, "accept"),
        reservation_sid=reservation.sid,
    )
    channel = decision.state.need(invite.channel_sid, InteractionChannel)
    worker = decision.state.need(reservation.worker_sid, Worker)
    participant = participants.add_identity(
        decision, channel.conversation_sid, worker.friendly_name
    )
    agent = decision.create(
        InteractionParticipant(
            sid=decision.ids.sid("UT"),
            interaction_sid=invite.interaction_sid,
            channel_sid=channel.sid,
            type="agent",
            participant_sid=participant.sid,
            task_sid=task.sid,
            worker_sid=reservation.worker_sid,
            reservation_sid=reservation.sid,
        ),
        "interaction.participant.joined",
    )
    return (participant, agent)


def abandon(decision: Decision, task: Task) -> None:
    """Take out the agent whose task is deleted; a channel left alone is closed."""
    _follow_agent(decision, task, "leave")
    invite = decision.state.need(task.invite_sid, Invite)
    _close_if_alone(decision, invite, "task deleted")


def agents_of(decision: Decision, interaction_sid: str) -> list[InteractionParticipant]:
    """Return the agents talking in an interaction now."""
    rows = decision.state.where(
        InteractionParticipant, "interaction_sid", interaction_sid
    )
    joined = ParticipantStatus.JOINED
    return [row for row in rows if row.type == "agent" and row.status == joined]


def customer_of(decision: Decision, interaction_sid: str) -> Participant:
    """Return whom an interaction is about; stays as long as the channel is open."""
    rows = decision.state.where(
        InteractionParticipant, "interaction_sid", interaction_sid
    )
    customer = next(row for row in rows if row.type == "customer")
    return decision.state.need(customer.participant_sid, Participant)


def refuse_full(decision: Decision, interaction_sid: str) -> None:
    """Refuse an invite that would make its interaction too large to end at once."""
    rows = decision.state.where(Invite, "interaction_sid", interaction_sid)
    found = (decision.state.find(row.task_sid, Task) for row in rows)
    count = sum(task is not None and task.status in OPEN_TASK for task in found)
    workspaces.refuse_full(
        count, limits.OPEN_INVITES_MAX, "open invites", interaction_sid
    )


def pending_of(decision: Decision, interaction_sid: str) -> list[Invite]:
    """Return the invites nobody has accepted yet."""
    rows = decision.state.where(Invite, "interaction_sid", interaction_sid)
    waiting = (InviteStatus.PENDING, InviteStatus.OFFERED)
    return [row for row in rows if row.status in waiting]


def refuse_while_open(decision: Decision, task: Task) -> None:
    """Refuse to cancel the only way from a customer to an agent."""
    interaction = _open_interaction(decision, task)
    if interaction is None:
        return
    others = [
        row for row in pending_of(decision, interaction.sid) if row.task_sid != task.sid
    ]
    if not others and not agents_of(decision, interaction.sid):
        raise _channel_open(task, interaction, "is the only way to an agent for")


def refuse_last_agent(decision: Decision, task: Task) -> None:
    """Refuse to take the last agent out of an open channel."""
    interaction = _open_interaction(decision, task)
    if interaction is None:
        return
    agents = agents_of(decision, interaction.sid)
    others = [row for row in agents if row.task_sid != task.sid]
    if not others and not pending_of(decision, interaction.sid):
        raise _channel_open(task, interaction, "has the last agent of")


def leave(decision: Decision, agent: InteractionParticipant, cause: str) -> None:
    """Take a customer or an agent out of the channel, an agent out of the thread too."""
    status = next_state("interaction participant", agent.sid, agent.status, cause)
    if agent.type == "agent" and agent.status == ParticipantStatus.JOINED:
        participant = decision.state.need(agent.participant_sid, Participant)
        conversation = decision.state.need(participant.conversation_sid, Conversation)
        open_ = conversation.state == ConversationState.ACTIVE
        if open_ and not participant.remove_time and not _shared(decision, agent):
            participants.remove(decision, participant)
    left = decision.now if status == ParticipantStatus.LEFT else 0
    event = "left" if status == ParticipantStatus.LEFT else "wrapping"
    decision.change(
        agent, f"interaction.participant.{event}", status=status, leave_time=left
    )


def _shared(decision: Decision, agent: InteractionParticipant) -> bool:
    """Say whether somebody else in the channel takes part under the same name."""
    rows = decision.state.where(
        InteractionParticipant, "interaction_sid", agent.interaction_sid
    )
    return any(
        row.participant_sid == agent.participant_sid
        and row.status == ParticipantStatus.JOINED
        and row.sid != agent.sid
        for row in rows
    )


def close_channel(
    decision: Decision, channel: InteractionChannel, reason: str
) -> InteractionChannel:
    """Close a channel with its conversation; everybody still talking leaves."""
    rows = decision.state.where(
        InteractionParticipant, "interaction_sid", channel.interaction_sid
    )
    for row in rows:
        if row.type == "customer" and row.status == ParticipantStatus.JOINED:
            leave(decision, row, "leave")
    conversation = decision.state.need(channel.conversation_sid, Conversation)
    if conversation.state == ConversationState.ACTIVE:
        conversations.close(decision, conversation)
    return decision.change(
        channel,
        "channel.closed",
        status=next_state("interaction channel", channel.sid, channel.status, "close"),
        close_reason=reason,
    )


def _follow_agent(decision: Decision, task: Task, cause: str) -> None:
    interaction_sid = decision.state.need(task.invite_sid, Invite).interaction_sid
    rows = decision.state.where(
        InteractionParticipant, "interaction_sid", interaction_sid
    )
    for row in rows:
        if row.task_sid == task.sid and row.status != ParticipantStatus.LEFT:
            leave(decision, row, cause)


def _close_if_alone(decision: Decision, invite: Invite, reason: str) -> None:
    channel = decision.state.need(invite.channel_sid, InteractionChannel)
    if channel.status != ChannelStatus.ACTIVE:
        return
    if pending_of(decision, invite.interaction_sid):
        return
    if not agents_of(decision, invite.interaction_sid):
        close_channel(decision, channel, reason or "no agent")


def _open_interaction(decision: Decision, task: Task) -> Interaction | None:
    if not task.invite_sid:
        return None
    invite = decision.state.need(task.invite_sid, Invite)
    channel = decision.state.need(invite.channel_sid, InteractionChannel)
    if channel.status != ChannelStatus.ACTIVE:
        return None
    return decision.state.need(invite.interaction_sid, Interaction)


def _channel_open(task: Task, interaction: Interaction, what: str) -> Exception:
    return FailedPrecondition(
        f"task {task.sid} {what} interaction {interaction.sid}; close the interaction",
        reason=Reason.CHANNEL_OPEN,
        metadata={"sid": interaction.sid, "channel_sid": interaction.channel_sid},
    )
