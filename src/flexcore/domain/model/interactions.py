"""Interactions: how a conversation becomes work."""

from flexcore.domain.model.row import Row
from flexcore.domain.states import ChannelStatus, InviteStatus, ParticipantStatus


class Interaction(Row, frozen=True, gc=False, kw_only=True, tag="interaction"):
    """Who works on a conversation; has one channel."""

    workspace_sid: str
    workflow_sid: str
    channel_sid: str
    conversation_sid: str
    initiated_by: str
    attributes: str


class InteractionChannel(
    Row, frozen=True, gc=False, kw_only=True, tag="interaction_channel"
):
    """Binds one interaction to one conversation; `type` is the kind of medium."""

    interaction_sid: str
    conversation_sid: str
    type: str
    status: ChannelStatus = ChannelStatus.ACTIVE
    close_reason: str = ""


class InteractionParticipant(
    Row, frozen=True, gc=False, kw_only=True, tag="interaction_participant"
):
    """A customer or an agent of a channel; an agent holds an open reservation."""

    interaction_sid: str
    channel_sid: str
    type: str
    participant_sid: str
    status: ParticipantStatus = ParticipantStatus.JOINED
    task_sid: str = ""
    worker_sid: str = ""
    reservation_sid: str = ""
    leave_time: int = 0


class Invite(Row, frozen=True, gc=False, kw_only=True, tag="invite"):
    """An invitation of an agent into a channel; makes exactly one task."""

    interaction_sid: str
    channel_sid: str
    task_sid: str
    status: InviteStatus = InviteStatus.PENDING
    reservation_sid: str = ""
