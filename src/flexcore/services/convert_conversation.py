"""Conversations and what is said in them, as protos."""

from collections.abc import Iterable

from flexcore.domain.parts import Media
from flexcore.domain.states import ConversationState, ReceiptStatus
from flexcore.services.convert import numbers, texts
from flexcore.services.layout import Layout
from flexcore.v1 import conversation_pb2

CONVERSATION_STATE = numbers(
    conversation_pb2.ConversationState, "CONVERSATION_STATE", ConversationState
)
CONVERSATION_STATE_TEXT = texts(
    conversation_pb2.ConversationState, "CONVERSATION_STATE"
)
RECEIPT_STATUS = numbers(
    conversation_pb2.ReceiptStatus, "RECEIPT_STATUS", ReceiptStatus
)


CONVERSATION = Layout(conversation_pb2.Conversation, state=CONVERSATION_STATE)
PARTICIPANT = Layout(conversation_pb2.Participant)
MESSAGE = Layout(conversation_pb2.Message, media=Layout(conversation_pb2.Media))
RECEIPT = Layout(
    conversation_pb2.Receipt,
    status=RECEIPT_STATUS,
    timeline=Layout(conversation_pb2.ReceiptEntry, status=RECEIPT_STATUS),
)


def media_from_proto(media: Iterable[conversation_pb2.Media]) -> tuple[Media, ...]:
    """Convert the files of a message."""
    return tuple(Media(url=one.url, content_type=one.content_type) for one in media)
