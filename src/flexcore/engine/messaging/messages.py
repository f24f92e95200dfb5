"""Messages: appended with the next index, and handed to the outbox."""

from flexcore.domain import limits
from flexcore.domain.addresses import CAPABILITIES, parse_address
from flexcore.domain.attributes import canonical, check_attributes
from flexcore.domain.errors import (
    FailedPrecondition,
    InvalidArgument,
    Reason,
    ResourceExhausted,
)
from flexcore.domain.model import Conversation, Message, Participant, Receipt, Sender
from flexcore.domain.parts import Media, ReceiptEntry
from flexcore.domain.states import OutboxState, ReceiptStatus
from flexcore.engine.commands import SendMessage
from flexcore.engine.decision import Decision, outbox_key, pair_key
from flexcore.engine.messaging.conversations import need_open, participants_of
from flexcore.engine.setup.workspaces import Rows
from flexcore.store.interface import OutboxEntry


def send_message(decision: Decision, command: SendMessage) -> Rows:
    """Append a message and send it to every external participant but its author."""
    conversation = need_open(decision, command.conversation_sid)
    attributes = canonical(check_attributes(command.attributes))
    if not command.body and not command.media:
        raise InvalidArgument("body", "must not be empty without media")
    if not command.author:
        raise InvalidArgument("author", "must not be empty")
    present = participants_of(decision, conversation.sid)
    authors = [row for row in present if command.author in (row.identity, row.address)]
    outside = [row for row in present if row.address and row not in authors]
    senders = {row.sid: sender_of(decision, row) for row in outside}
    for row in outside:
        _check_body(command.body, row.address)
        _refuse_backlog(decision, row)
    _, message = append(
        decision,
        conversation,
        command.author,
        authors[0] if authors else None,
        body=command.body,
        media=command.media,
        attributes=attributes,
    )
    receipts = (_send(decision, message, row, senders[row.sid]) for row in outside)
    return (message, *receipts)


def append(
    decision: Decision,
    conversation: Conversation,
    author: str,
    participant: Participant | None,
    *,
    body: str,
    media: tuple[Media, ...],
    attributes: str,
    channel_message_sid: str = "",
) -> tuple[Conversation, Message]:
    """Add a message at the conversation's next index."""
    message = decision.create(
        Message(
            sid=decision.ids.sid("IM"),
            conversation_sid=conversation.sid,
            index=conversation.message_count,
            author=author,
            participant_sid=participant.sid if participant else "",
            body=body,
            media=media,
            attributes=attributes,
            channel_message_sid=channel_message_sid,
        ),
        "message.added",
    )
    conversation = decision.change(
        conversation,
        message_count=conversation.message_count + 1,
        last_message_time=decision.now,
    )
    return conversation, message


def sender_of(decision: Decision, participant: Participant) -> Sender:
    """Return the sender behind a participant's proxy address."""
    senders = decision.state.where(Sender, "address", participant.proxy_address)
    if not senders:
        raise FailedPrecondition(
            f"no sender is configured for {participant.proxy_address}",
            reason=Reason.SENDER_MISSING,
            metadata={"address": participant.proxy_address},
        )
    return senders[0]


def _refuse_backlog(decision: Decision, to: Participant) -> None:
    """Refuse to queue without end for a carrier that takes nothing."""
    most = limits.UNSENT_MAX
    if decision.state.unsent(pair_key(to.address, to.proxy_address)) >= most:
        raise ResourceExhausted(
            f"{most} messages from {to.proxy_address} to {to.address} wait for their "
            "carrier",
            metadata={
                "limit": str(most),
                "address": to.address,
                "proxy_address": to.proxy_address,
            },
        )


def _check_body(body: str, address: str) -> None:
    most = CAPABILITIES[parse_address(address, "address").kind].body_chars_max
    if len(body) > most:
        raise InvalidArgument(
            "body", f"is {len(body)} characters long, {address} takes {most}"
        )


def _send(
    decision: Decision, message: Message, to: Participant, sender: Sender
) -> Receipt:
    receipt = decision.create(
        Receipt(
            sid=decision.ids.sid("DY"),
            conversation_sid=message.conversation_sid,
            message_sid=message.sid,
            participant_sid=to.sid,
            sender_sid=sender.sid,
            status=ReceiptStatus.QUEUED,
            timeline=(ReceiptEntry(ReceiptStatus.QUEUED, decision.now),),
        ),
        "receipt.added",
    )
    put_entry(
        decision,
        OutboxEntry(
            sid=entry_sid(receipt.sid),
            pair=pair_key(to.address, to.proxy_address),
            sequence=decision.next_sequence,
            state=OutboxState.READY,
            sender_sid=sender.sid,
            receipt_sid=receipt.sid,
            to=to.address,
            sent_from=to.proxy_address,
            body=message.body,
            media=message.media,
            create_time=decision.now,
            due=decision.now,
        ),
    )
    return receipt


def entry_sid(receipt_sid: str) -> str:
    """Return the sid of the outbox entry that carries a receipt's message."""
    return "OB" + receipt_sid[2:]


def put_entry(decision: Decision, entry: OutboxEntry) -> OutboxEntry:
    """Write an outbox entry with the decision, in memory and on disk."""
    decision.outbox[entry.sid] = entry
    decision.remember(outbox_key(entry.sid), entry)
    return entry
