"""Conversations and what is said in them, as protos."""

from collections.abc import Iterable

from flexcore.domain.model import Conversation, Message, Participant, Receipt
from flexcore.domain.parts import Media, ReceiptEntry
from flexcore.domain.states import ConversationState, ReceiptStatus
from flexcore.services.convert import numbers, texts, time_to_proto
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


def conversation_to_proto(row: Conversation) -> conversation_pb2.Conversation:
    """Convert a conversation."""
    return conversation_pb2.Conversation(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        friendly_name=row.friendly_name,
        attributes=row.attributes,
        state=CONVERSATION_STATE[row.state],
        message_count=row.message_count,
        last_message_time=time_to_proto(row.last_message_time),
        channel_sid=row.channel_sid,
        address_configuration_sid=row.address_configuration_sid,
    )


def participant_to_proto(row: Participant) -> conversation_pb2.Participant:
    """Convert a participant."""
    return conversation_pb2.Participant(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        conversation_sid=row.conversation_sid,
        identity=row.identity,
        address=row.address,
        proxy_address=row.proxy_address,
        attributes=row.attributes,
        remove_time=time_to_proto(row.remove_time),
    )


def message_to_proto(row: Message) -> conversation_pb2.Message:
    """Convert a message."""
    return conversation_pb2.Message(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        conversation_sid=row.conversation_sid,
        index=row.index,
        author=row.author,
        participant_sid=row.participant_sid,
        body=row.body,
        media=[_media_to_proto(media) for media in row.media],
        attributes=row.attributes,
        channel_message_sid=row.channel_message_sid,
    )


def receipt_to_proto(row: Receipt) -> conversation_pb2.Receipt:
    """Convert a receipt and its timeline."""
    return conversation_pb2.Receipt(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        conversation_sid=row.conversation_sid,
        message_sid=row.message_sid,
        participant_sid=row.participant_sid,
        status=RECEIPT_STATUS[row.status],
        error_code=row.error_code,
        channel_message_sid=row.channel_message_sid,
        timeline=[_entry_to_proto(entry) for entry in row.timeline],
        sender_sid=row.sender_sid,
    )


def media_from_proto(media: Iterable[conversation_pb2.Media]) -> tuple[Media, ...]:
    """Convert the files of a message."""
    return tuple(Media(url=one.url, content_type=one.content_type) for one in media)


def _media_to_proto(media: Media) -> conversation_pb2.Media:
    return conversation_pb2.Media(url=media.url, content_type=media.content_type)


def _entry_to_proto(entry: ReceiptEntry) -> conversation_pb2.ReceiptEntry:
    return conversation_pb2.ReceiptEntry(
        status=RECEIPT_STATUS[entry.status],
        time=time_to_proto(entry.time),
        error_code=entry.error_code,
    )
