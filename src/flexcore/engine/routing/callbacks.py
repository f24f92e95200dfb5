"""Assignment callbacks: an offer is told to the URL of its workflow, which may answer it.

The question is an outbox entry beside the reservation, and the answer a command of its
own (callback_answers.py). Between the two anybody may accept, reject or let it time out:
then the question is dropped, and an answer that is under way comes too late.
"""

import msgspec

from flexcore.domain.errors import NotFound
from flexcore.domain.model import Reservation, Row, Task, Worker, Workflow, Workspace
from flexcore.domain.states import OutboxState, ReservationStatus, next_state
from flexcore.engine.commands import AttemptCallback
from flexcore.engine.decision import Decision, outbox_key
from flexcore.engine.messaging.messages import put_entry
from flexcore.engine.setup.workspaces import Rows
from flexcore.engine.state import State
from flexcore.store.interface import Callback, OutboxEntry


def ask(decision: Decision, reservation: Reservation) -> None:
    """Put the question into the outbox if the workflow says whom to ask.

    The URLs are those of the workflow, not of a revision: one that is mended holds for the
    next offer of every task.
    """
    workflow = decision.state.find(reservation.workflow_sid, Workflow)
    if workflow is None:
        return
    urls = (workflow.assignment_callback_url, workflow.fallback_assignment_callback_url)
    if not any(urls):
        return
    put_entry(
        decision,
        OutboxEntry(
            sid=entry_sid(reservation.sid),
            pair=f"callback {reservation.sid}",
            sequence=reservation.order,
            state=OutboxState.READY,
            create_time=decision.now,
            due=decision.now,
            callback=Callback(reservation.sid, tuple(filter(None, urls))),
        ),
    )


def entry_sid(reservation_sid: str) -> str:
    """Return the sid of the outbox entry that asks about a reservation."""
    return "OB" + reservation_sid[2:]


def attempt_callback(decision: Decision, command: AttemptCallback) -> Rows:
    """Write down that somebody is about to be asked; answers what is told them.

    One that was attempting already was cut off: at least once is the promise.
    """
    entry, callback = entry_of(decision, command.sid)
    reservation = pending(decision.state, callback)
    if reservation is None:
        finish(decision, entry)
        return ()
    state = entry.state
    if state is OutboxState.ATTEMPTING:
        state = next_state("outbox entry", entry.sid, state, "retry")
    after = next_state("outbox entry", entry.sid, state, "attempt")
    attempts, now = entry.attempts + 1, decision.now
    put_entry(
        decision, evolved(entry, state=after, attempts=attempts, attempt_time=now)
    )
    return told(decision.state, reservation)


def told(state: State, reservation: Reservation) -> tuple[Row, ...]:
    """Return what somebody who is asked about a reservation is told of."""
    return (
        reservation,
        state.need(reservation.task_sid, Task),
        state.need(reservation.worker_sid, Worker),
        state.need(reservation.workspace_sid, Workspace),
    )


def entry_of(decision: Decision, sid: str) -> tuple[OutboxEntry, Callback]:
    """Return an outbox entry that is a callback and not answered yet."""
    entry = decision.state.lookup(outbox_key(sid))
    if not isinstance(entry, OutboxEntry) or entry.state is OutboxState.DONE:
        raise NotFound("outbox entry", sid)
    if entry.callback is None:
        raise NotFound("callback", sid)
    return entry, entry.callback


def pending(state: State, callback: Callback) -> Reservation | None:
    """Return the reservation if it still is to be answered."""
    row = state.find(callback.reservation_sid, Reservation)
    return row if row and row.status == ReservationStatus.PENDING else None


def finish(decision: Decision, entry: OutboxEntry) -> None:
    """Let nobody be asked any more."""
    state = next_state("outbox entry", entry.sid, entry.state, "done")
    put_entry(decision, evolved(entry, state=state))


def evolved(entry: OutboxEntry, **changes: object) -> OutboxEntry:
    """Return a copy with `changes`."""
    return msgspec.structs.replace(entry, **changes)
