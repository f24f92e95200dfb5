"""Interactions, their channels, participants and invites, as protos."""

from flexcore.domain.states import ChannelStatus, InviteStatus, ParticipantStatus
from flexcore.services.convert import numbers, texts
from flexcore.services.layout import Layout
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


INTERACTION = Layout(interaction_pb2.Interaction)
INTERACTION_CHANNEL = Layout(interaction_pb2.InteractionChannel, status=CHANNEL_STATUS)
INTERACTION_PARTICIPANT = Layout(
    interaction_pb2.InteractionParticipant,
    type=PARTICIPANT_TYPE,
    status=PARTICIPANT_STATUS,
)
INVITE = Layout(interaction_pb2.Invite, status=INVITE_STATUS)
