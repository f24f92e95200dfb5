"""Conversations: who takes part, what was said, and what became of it."""

from flexcore.domain.model.row import Row
from flexcore.domain.parts import Media, ReceiptEntry
from flexcore.domain.states import ConversationState, ReceiptStatus


class Conversation(Row, frozen=True, gc=False, kw_only=True, tag="conversation"):
    """A thread; `message_count` is the index of its next message."""

    friendly_name: str = ""
    attributes: str = "{}"
    state: ConversationState = ConversationState.ACTIVE
    message_count: int = 0
    last_message_time: int = 0
    channel_sid: str = ""
    address_configuration_sid: str = ""


class Participant(Row, frozen=True, gc=False, kw_only=True, tag="participant"):
    """Who takes part: a chat identity, or an external address behind a proxy address.

    With a `remove_time` it took part once and is listed no more.
    """

    conversation_sid: str
    identity: str = ""
    address: str = ""
    proxy_address: str = ""
    attributes: str = "{}"
    remove_time: int = 0


class Message(Row, frozen=True, gc=False, kw_only=True, tag="message"):
    """What somebody said; `index` has no gaps within its conversation."""

    conversation_sid: str
    index: int
    author: str
    participant_sid: str
    body: str
    media: tuple[Media, ...] = ()
    attributes: str = "{}"
    channel_message_sid: str = ""


class Receipt(Row, frozen=True, gc=False, kw_only=True, tag="receipt"):
    """How one message fared on its way to one external participant.

    What stands after the last `queued` of its timeline is its present life: a dead
    letter that is replayed begins a new one.
    """

    conversation_sid: str
    message_sid: str
    participant_sid: str
    sender_sid: str
    status: ReceiptStatus
    error_code: int = 0
    channel_message_sid: str = ""
    timeline: tuple[ReceiptEntry, ...] = ()
