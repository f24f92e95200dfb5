"""Receipts and the outbox: how a message fares on its way out.

`attempting` is durable before a socket opens. What nobody knows stays `unknown` until the
carrier was asked; a receipt only ever moves to a higher rank.
"""

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import NotFound
from flexcore.domain.model import Receipt, Sender
from flexcore.domain.parts import ReceiptEntry
from flexcore.domain.states import (
    RECEIPT_RANK,
    OutboxState,
    ReceiptStatus,
    next_state,
)
from flexcore.engine.commands import (
    AttemptSend,
    ReceiveStatus,
    ReplayDeadLetter,
    ReportSend,
)
from flexcore.engine.decision import Decision, outbox_key
from flexcore.engine.messaging.messages import entry_sid, put_entry
from flexcore.engine.setup.workspaces import Rows
from flexcore.store.interface import OutboxEntry

#: outcome of an attempt -> cause in the outbox table
_CAUSES = {"sent": "done", "refused": "drop", "retry": "retry", "unknown": "lose"}


def receive_status(decision: Decision, command: ReceiveStatus) -> Rows:
    """Take a delivery status; late, repeated and reordered ones do no harm."""
    receipt = decision.state.find(command.receipt_sid, Receipt)
    if receipt is None or not _of_endpoint(decision, receipt, command.endpoint_id):
        return ()
    _settle_taken(decision, receipt, command.channel_message_sid)
    named = receipt.channel_message_sid
    if named and command.channel_message_sid and named != command.channel_message_sid:
        return ()
    return (
        _rise(
            decision,
            receipt,
            command.status,
            command.error_code,
            command.channel_message_sid,
        ),
    )


def _of_endpoint(decision: Decision, receipt: Receipt, endpoint_id: str) -> bool:
    """Say whether a webhook speaks for the sender that the message left by."""
    senders = decision.state.where(Sender, "endpoint_id", endpoint_id)
    return any(sender.sid == receipt.sender_sid for sender in senders)


def _settle_taken(decision: Decision, receipt: Receipt, named: str) -> None:
    """A status proves that the carrier took the message, whoever lost its answer.

    An attempt under way is left alone: its own report is coming.
    """
    entry = decision.state.lookup(outbox_key(entry_sid(receipt.sid)))
    if not isinstance(entry, OutboxEntry):
        return
    if entry.state == OutboxState.UNKNOWN:
        state = next_state("outbox entry", entry.sid, entry.state, "done")
        put_entry(decision, _evolve(entry, state=state, channel_message_sid=named))


def attempt_send(decision: Decision, command: AttemptSend) -> Rows:
    """Write down that an entry is about to be sent."""
    entry = _entry(decision, command.sid)
    put_entry(
        decision,
        _evolve(
            entry,
            state=next_state("outbox entry", entry.sid, entry.state, "attempt"),
            attempts=entry.attempts + 1,
            asks=0,
            attempt_time=decision.now,
        ),
    )
    return ()


def report_send(decision: Decision, command: ReportSend) -> Rows:
    """Take what became of an attempt, and plan the next one if there is to be one."""
    entry = _entry(decision, command.sid)
    receipt = decision.state.find(entry.receipt_sid, Receipt)
    cause, named = _CAUSES[command.outcome], command.channel_message_sid
    if cause == "lose" and receipt is not None and receipt.channel_message_sid:
        cause, named = "done", receipt.channel_message_sid
    reason = command.text
    asks = entry.asks + (cause == "lose")
    if cause == "retry" and entry.attempts >= limits.SEND_ATTEMPTS:
        cause, reason = "drop", f"given up after {entry.attempts} attempts: {reason}"
    if cause == "lose" and asks > limits.SEND_ATTEMPTS:
        cause, reason = "drop", f"fate unknown after {asks - 1} questions: {reason}"
    entry = _evolve(
        entry,
        asks=asks,
        state=next_state("outbox entry", entry.sid, entry.state, cause),
        due=_due(decision, entry, asks, cause, command.retry_after),
        reason=reason,
        channel_message_sid=named,
    )
    put_entry(decision, entry)
    if receipt is None:
        return ()
    if entry.state == OutboxState.DONE:
        return (_rise(decision, receipt, ReceiptStatus.SENT, 0, named),)
    if entry.state == OutboxState.DEAD:
        failed = ReceiptStatus.FAILED
        return (_rise(decision, receipt, failed, command.error_code, ""),)
    return (receipt,)


def replay_dead_letter(decision: Decision, command: ReplayDeadLetter) -> Rows:
    """Put a dead entry back on its way; its pair's later messages have gone before."""
    entry = _entry(decision, command.sid)
    put_entry(
        decision,
        _evolve(
            entry,
            state=next_state("outbox entry", entry.sid, entry.state, "replay"),
            attempts=0,
            due=decision.now,
            reason="",
        ),
    )
    receipt = decision.state.find(entry.receipt_sid, Receipt)
    if receipt is not None:
        queued = ReceiptEntry(ReceiptStatus.QUEUED, decision.now)
        decision.change(
            receipt,
            "receipt.updated",
            status=ReceiptStatus.QUEUED,
            error_code=0,
            channel_message_sid="",
            timeline=(*receipt.timeline, queued),
        )
    return ()


def _rise(
    decision: Decision,
    receipt: Receipt,
    status: ReceiptStatus,
    error_code: int,
    channel_message_sid: str,
) -> Receipt:
    """Add to the timeline; the status moves only to a higher rank."""
    sid = receipt.channel_message_sid or channel_message_sid
    known = any(
        entry.status == status and entry.error_code == error_code
        for entry in _present_life(receipt)
    )
    if known and sid == receipt.channel_message_sid:
        return receipt
    timeline = receipt.timeline
    if not known:
        timeline += (ReceiptEntry(status, decision.now, error_code),)
    if RECEIPT_RANK[status] <= RECEIPT_RANK[receipt.status]:
        status, error_code = receipt.status, receipt.error_code
    return decision.change(
        receipt,
        "receipt.updated",
        status=status,
        error_code=error_code,
        channel_message_sid=sid,
        timeline=timeline,
    )


def _present_life(receipt: Receipt) -> tuple[ReceiptEntry, ...]:
    """Return the timeline from its last `queued` on."""
    statuses = [entry.status for entry in receipt.timeline]
    begins = len(statuses) - statuses[::-1].index(ReceiptStatus.QUEUED) - 1
    return receipt.timeline[begins:]


def _due(
    decision: Decision, entry: OutboxEntry, asks: int, cause: str, retry_after: int
) -> int:
    """Return when the next attempt or question is due, later each time."""
    if cause not in ("lose", "retry"):
        return 0
    count = asks if cause == "lose" else entry.attempts
    wait = limits.SEND_BACKOFF[min(count, len(limits.SEND_BACKOFF)) - 1]
    if cause == "lose" and count == 1:
        wait = limits.UNKNOWN_WAIT
    return decision.now + max(wait, retry_after)


def _entry(decision: Decision, sid: str) -> OutboxEntry:
    entry = decision.state.lookup(outbox_key(sid))
    if not isinstance(entry, OutboxEntry):
        raise NotFound("outbox entry", sid)
    return entry


def _evolve(entry: OutboxEntry, **changes: object) -> OutboxEntry:
    return msgspec.structs.replace(entry, **changes)
