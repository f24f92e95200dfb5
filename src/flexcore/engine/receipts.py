"""Receipts and the outbox: how a message fares on its way out.

`attempting` is durable before a socket opens. What nobody knows stays `unknown` until the
carrier was asked; a receipt only ever moves to a higher rank.
"""

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import NotFound
from flexcore.domain.model import Receipt, ReceiptEntry
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
from flexcore.engine.messages import put_entry
from flexcore.engine.workspaces import Rows
from flexcore.store.interface import OutboxEntry

#: outcome of an attempt -> cause in the outbox table
_CAUSES = {"sent": "done", "refused": "drop", "retry": "retry", "unknown": "lose"}


def receive_status(decision: Decision, command: ReceiveStatus) -> Rows:
    """Take a delivery status; late, repeated and reordered ones do no harm."""
    receipt = decision.state.find(command.receipt_sid, Receipt)
    if receipt is None:
        return ()
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


def attempt_send(decision: Decision, command: AttemptSend) -> Rows:
    """Write down that an entry is about to be sent."""
    entry = _entry(decision, command.sid)
    put_entry(
        decision,
        _evolve(
            entry,
            state=next_state("outbox entry", entry.sid, entry.state, "attempt"),
            attempts=entry.attempts + 1,
            attempt_time=decision.now,
        ),
    )
    return ()


def report_send(decision: Decision, command: ReportSend) -> Rows:
    """Take what became of an attempt, and plan the next one if there is to be one."""
    entry = _entry(decision, command.sid)
    cause = _CAUSES[command.outcome]
    reason = command.text
    if cause == "retry" and entry.attempts >= limits.SEND_ATTEMPTS:
        cause, reason = "drop", f"given up after {entry.attempts} attempts: {reason}"
    entry = _evolve(
        entry,
        state=next_state("outbox entry", entry.sid, entry.state, cause),
        due=_due(decision, entry, command.retry_after, cause),
        reason=reason,
        channel_message_sid=command.channel_message_sid,
    )
    put_entry(decision, entry)
    receipt = decision.state.find(entry.receipt_sid, Receipt)
    if receipt is None:
        return ()
    if entry.state == OutboxState.DONE:
        sid = command.channel_message_sid
        return (_rise(decision, receipt, ReceiptStatus.SENT, 0, sid),)
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
        for entry in receipt.timeline
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


def _due(decision: Decision, entry: OutboxEntry, retry_after: int, cause: str) -> int:
    if cause == "lose":
        return decision.now + limits.UNKNOWN_WAIT
    if cause != "retry":
        return 0
    waits = limits.SEND_BACKOFF
    wait = waits[min(entry.attempts, len(waits)) - 1] if entry.attempts else 0
    return decision.now + max(wait, retry_after)


def _entry(decision: Decision, sid: str) -> OutboxEntry:
    entry = decision.state.lookup(outbox_key(sid))
    if not isinstance(entry, OutboxEntry):
        raise NotFound("outbox entry", sid)
    return entry


def _evolve(entry: OutboxEntry, **changes: object) -> OutboxEntry:
    return msgspec.structs.replace(entry, **changes)
