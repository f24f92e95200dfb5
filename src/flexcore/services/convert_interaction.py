"""Interactions, their channels, participants and invites, as protos."""

from flexcore.domain.model import (
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
)
from flexcore.domain.states import ChannelStatus, InviteStatus, ParticipantStatus
from flexcore.services.convert import numbers, texts, time_to_proto
from flexcore.v1 import interaction_pb2

CHANNEL_STATUS = numbers(
    interaction_pb2.InteractionChannelStatus,
    "INTERACTION_CHANNEL_STATUS",
    ChannelStatus,
)
INVITE_STATUS = numbers(interaction_pb2.InviteStatus, "INVITE_STATUS", InviteStatus)
INVITE_STATUS_TEXT = texts(interaction_pb2.InviteStatus, "INVITE_STATUS")
PARTICIPANT_STATUS = numbers(
    interaction_pb2.InteractionParticipantStatus,
    "INTERACTION_PARTICIPANT_STATUS",
    ParticipantStatus,
)
PARTICIPANT_TYPE = {
    text: number
    for number, text in texts(
        interaction_pb2.InteractionParticipantType, "INTERACTION_PARTICIPANT_TYPE"
    ).items()
}


def interaction_to_proto(row: Interaction) -> interaction_pb2.Interaction:
    """Convert an interaction."""
    return interaction_pb2.Interaction(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        workflow_sid=row.workflow_sid,
        channel_sid=row.channel_sid,
        conversation_sid=row.conversation_sid,
        initiated_by=row.initiated_by,
        attributes=row.attributes,
    )


def interaction_channel_to_proto(
    row: InteractionChannel,
) -> interaction_pb2.InteractionChannel:
    """Convert an interaction channel."""
    return interaction_pb2.InteractionChannel(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        interaction_sid=row.interaction_sid,
        conversation_sid=row.conversation_sid,
        type=row.type,
        status=CHANNEL_STATUS[row.status],
        close_reason=row.close_reason,
    )


def interaction_participant_to_proto(
    row: InteractionParticipant,
) -> interaction_pb2.InteractionParticipant:
    """Convert a participant of an interaction channel."""
    return interaction_pb2.InteractionParticipant(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        interaction_sid=row.interaction_sid,
        channel_sid=row.channel_sid,
        type=PARTICIPANT_TYPE[row.type],
        participant_sid=row.participant_sid,
        status=PARTICIPANT_STATUS[row.status],
        task_sid=row.task_sid,
        worker_sid=row.worker_sid,
        reservation_sid=row.reservation_sid,
        leave_time=time_to_proto(row.leave_time),
    )


def invite_to_proto(row: Invite) -> interaction_pb2.Invite:
    """Convert an invite."""
    return interaction_pb2.Invite(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        interaction_sid=row.interaction_sid,
        channel_sid=row.channel_sid,
        task_sid=row.task_sid,
        status=INVITE_STATUS[row.status],
        reservation_sid=row.reservation_sid,
    )
