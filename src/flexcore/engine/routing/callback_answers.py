"""What a callback was answered: done as if a call had said it, or why it was no answer.

After an answer that is none the other URL is asked. When that does not help either the
reservation is canceled, which is no refusal of its worker, and the task is held back for
a while, longer each time: a broken receiver must not make offers at full speed that all
come to nothing.
"""

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError, InvalidArgument
from flexcore.domain.model import Reservation, Task
from flexcore.domain.parts import CallbackProblem, CallbackReason
from flexcore.domain.states import next_state
from flexcore.engine.commands import (
    AcceptReservation,
    RejectReservation,
    ReportCallback,
)
from flexcore.engine.decision import Decision
from flexcore.engine.messaging.messages import put_entry
from flexcore.engine.routing import callbacks, offer_endings
from flexcore.engine.routing.endings import turn
from flexcore.engine.routing.reservations import accept_reservation, reject_reservation
from flexcore.engine.setup.workspaces import Rows
from flexcore.store.interface import Callback, OutboxEntry


def report_callback(decision: Decision, command: ReportCallback) -> Rows:
    """Do what the answer says, unless somebody else was first."""
    entry, callback = callbacks.entry_of(decision, command.sid)
    reservation = callbacks.pending(decision.state, callback)
    failed = command.problem not in (None, CallbackReason.INSTRUCTION_MISSING)
    if reservation is not None and failed:
        return _fail(decision, entry, callback, reservation, command)
    callbacks.finish(decision, entry)
    if reservation is None:
        return ()
    _forget_failures(decision, reservation)
    if command.instruction == "accept":
        return accept_reservation(decision, AcceptReservation(sid=reservation.sid))
    if command.instruction == "reject":
        reject = RejectReservation(sid=reservation.sid, activity=command.activity)
        return reject_reservation(decision, reject)
    if command.problem is not None:
        undecided = "reservation.callback-undecided"
        reservation = _note(decision, reservation, command, callback, undecided)
    return (reservation,)


def refuse_answer(
    decision: Decision, command: ReportCallback, error: FlexcoreError
) -> Rows:
    """Take an answer that cannot be done as none."""
    entry, callback = callbacks.entry_of(decision, command.sid)
    reservation = callbacks.pending(decision.state, callback)
    if reservation is None:
        raise error
    reason = CallbackReason.REFUSED
    if command.activity and isinstance(error, InvalidArgument):
        reason = CallbackReason.ACTIVITY_INVALID
    refused = ReportCallback(sid=command.sid, problem=reason, text=error.text)
    return _fail(decision, entry, callback, reservation, refused)


def _fail(
    decision: Decision,
    entry: OutboxEntry,
    callback: Callback,
    reservation: Reservation,
    command: ReportCallback,
) -> Rows:
    """Note what was wrong; ask the next one, or take the offer back."""
    failed = "reservation.callback-failed"
    reservation = _note(decision, reservation, command, callback, failed)
    if callback.urls[1:]:
        rest = Callback(reservation.sid, callback.urls[1:], fallback=True)
        state = next_state("outbox entry", entry.sid, entry.state, "retry")
        again = {"state": state, "due": decision.now, "callback": rest}
        put_entry(decision, callbacks.evolved(entry, **again))
        return (reservation,)
    callbacks.finish(decision, entry)
    reason = "Assignment callback failed"
    reservation = turn(decision, reservation, "cancel", "canceled", reason)
    return (reservation, _hold(decision, reservation))


def _hold(decision: Decision, reservation: Reservation) -> Task:
    """Let the task wait for some time before it is offered again."""
    task = decision.state.need(reservation.task_sid, Task)
    failures = task.callback_failures + 1
    wait = limits.CALLBACK_HOLDS[min(failures, len(limits.CALLBACK_HOLDS)) - 1]
    task = decision.change(
        task, callback_failures=failures, hold_time=decision.now + wait
    )
    return offer_endings.return_task(decision, task)


def _forget_failures(decision: Decision, reservation: Reservation) -> None:
    task = decision.state.need(reservation.task_sid, Task)
    if task.callback_failures:
        decision.change(task, "task.updated", callback_failures=0, hold_time=0)


def _note(
    decision: Decision,
    reservation: Reservation,
    command: ReportCallback,
    callback: Callback,
    event: str,
) -> Reservation:
    assert command.problem is not None
    text = command.text[: limits.REASON_CHARS]
    problem = CallbackProblem(command.problem, text, decision.now, callback.fallback)
    problems = (*reservation.callback_problems, problem)
    return decision.change(reservation, event, callback_problems=problems)
