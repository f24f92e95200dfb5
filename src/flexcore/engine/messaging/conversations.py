"""Conversations: created, looked at, closed. Closing releases every address pair."""

from flexcore.domain.attributes import canonical, check_attributes
from flexcore.domain.errors import FailedPrecondition, InvalidArgument, Reason
from flexcore.domain.limits import CONVERSATION_NAME_CHARS
from flexcore.domain.model import Conversation, InteractionChannel, Participant
from flexcore.domain.states import ChannelStatus, ConversationState, next_state
from flexcore.engine.commands import CloseConversation, CreateConversation
from flexcore.engine.decision import Decision
from flexcore.engine.setup.workspaces import Rows


def create_conversation(decision: Decision, command: CreateConversation) -> Rows:
    """Create an empty conversation."""
    if len(command.friendly_name) > CONVERSATION_NAME_CHARS:
        raise InvalidArgument(
            "friendly_name", f"is longer than {CONVERSATION_NAME_CHARS} characters"
        )
    attributes = canonical(check_attributes(command.attributes))
    return (add_conversation(decision, command.friendly_name, attributes),)


def add_conversation(
    decision: Decision,
    friendly_name: str = "",
    attributes: str = "{}",
    address_configuration_sid: str = "",
) -> Conversation:
    """Add a conversation without participants."""
    return decision.create(
        Conversation(
            sid=decision.ids.sid("CH"),
            friendly_name=friendly_name,
            attributes=attributes,
            address_configuration_sid=address_configuration_sid,
        ),
        "conversation.created",
    )


def close_conversation(decision: Decision, command: CloseConversation) -> Rows:
    """Close a conversation nobody works on; its interaction is ended otherwise."""
    conversation = decision.get(command.sid, Conversation)
    decision.expect(conversation, command.expected_version)
    if channel_open(decision, conversation):
        raise FailedPrecondition(
            f"conversation {conversation.sid} belongs to the open interaction channel "
            f"{conversation.channel_sid}; close that",
            reason=Reason.CHANNEL_OPEN,
            metadata={"sid": conversation.channel_sid},
        )
    next_state("conversation", conversation.sid, conversation.state, "close")
    return (close(decision, conversation),)


def close(decision: Decision, conversation: Conversation) -> Conversation:
    """Close an open conversation and release its pairs."""
    state = next_state("conversation", conversation.sid, conversation.state, "close")
    for participant in participants_of(decision, conversation.sid):
        if participant.address:
            decision.bind(participant.address, participant.proxy_address, "")
    return decision.change(conversation, "conversation.closed", state=state)


def channel_open(decision: Decision, conversation: Conversation) -> bool:
    """Say whether an interaction is going on in a conversation."""
    channel = decision.state.find(conversation.channel_sid, InteractionChannel)
    return channel is not None and channel.status == ChannelStatus.ACTIVE


def need_open(decision: Decision, sid: str) -> Conversation:
    """Return a conversation that can be written to."""
    conversation = decision.get(sid, Conversation)
    if conversation.state == ConversationState.CLOSED:
        raise FailedPrecondition(
            f"conversation {sid} is closed",
            reason=Reason.CONVERSATION_CLOSED,
            metadata={"sid": sid},
        )
    return conversation


def participants_of(decision: Decision, conversation_sid: str) -> list[Participant]:
    """Return who takes part now, in the order they came."""
    rows = decision.state.where(Participant, "conversation_sid", conversation_sid)
    present = [row for row in rows if not row.remove_time]
    return sorted(present, key=lambda row: (row.create_time, row.sid))


def snapshot(decision: Decision, conversation: Conversation) -> Rows:
    """Return what a conversation's stream starts from."""
    return (conversation, *participants_of(decision, conversation.sid))
