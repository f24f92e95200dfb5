"""Reservations: accepted, rejected, claimed, timed out.

Accept, reject and timeout are decided one after the other in the account's one writer, so
there is one winner; what follows a no is offer_endings.py.
"""

from flexcore.domain import limits
from flexcore.domain.errors import FailedPrecondition, InvalidArgument, Reason
from flexcore.domain.model import (
    Activity,
    Reservation,
    Row,
    Task,
    TaskQueue,
    Worker,
    WorkerChannel,
)
from flexcore.domain.parts import Choice
from flexcore.domain.states import ReservationStatus, TaskStatus, next_state
from flexcore.engine.commands import (
    AcceptReservation,
    ClaimTask,
    RejectReservation,
    ShiftOffers,
)
from flexcore.engine.decision import Decision
from flexcore.engine.messaging import invites
from flexcore.engine.routing import clocks, missed_offers, offer_endings, offers
from flexcore.engine.routing.eligibility import failures
from flexcore.engine.setup.activities import resolve_activity
from flexcore.engine.setup.intent import move_to
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.setup.workspaces import Rows


def accept_reservation(decision: Decision, command: AcceptReservation) -> Rows:
    """Give the task to the worker; an agent of an interaction joins in the same step."""
    reservation = decision.get(command.sid, Reservation)
    decision.expect(reservation, command.expected_version)
    _refuse_late(decision, reservation)
    status = next_state("reservation", reservation.sid, reservation.status, "accept")
    task = decision.get(reservation.task_sid, Task)
    reservation = decision.change(
        reservation, "reservation.accepted", status=status, accept_time=decision.now
    )
    offer_endings.rescind_others(decision, reservation)
    return _assigned(decision, task, reservation, "accept")


def claim_task(decision: Decision, command: ClaimTask) -> Rows:
    """Give a waiting task to a worker who asks for it and could be offered it."""
    task = decision.get(command.sid, Task)
    decision.expect(task, command.expected_version)
    next_state("task", task.sid, task.status, "claim")
    worker = decision.get(command.worker_sid, Worker)
    if worker.workspace_sid != task.workspace_sid:
        text = f"{worker.sid} belongs to workspace {worker.workspace_sid}"
        raise InvalidArgument("worker_sid", text)
    worker = missed_offers.seen(decision, worker.sid)
    _refuse_ineligible(decision, task, worker)
    clocks.offered(decision, worker.sid, task.task_channel_sid)
    row = offers.reservation_of(decision, task, worker, 1, Choice(rule="claim"))
    row = decision.create(row, "reservation.created")
    status = next_state("reservation", row.sid, row.status, "accept")
    row = decision.change(
        row, "reservation.accepted", status=status, accept_time=decision.now
    )
    task = task.evolve(assignment_count=task.assignment_count + 1)
    return _assigned(decision, task, row, "claim")


def _refuse_ineligible(decision: Decision, task: Task, worker: Worker) -> None:
    for failure in failures(decision.state, task, worker):
        if failure.condition != "refused":
            raise FailedPrecondition(
                f"worker {worker.sid} cannot take task {task.sid}: {failure.text}",
                reason=Reason.NOT_ELIGIBLE,
                metadata={"sid": worker.sid, "condition": failure.condition},
            )


def _assigned(
    decision: Decision, task: Task, reservation: Reservation, cause: str
) -> Rows:
    seconds = policies_of(decision.state, task.workspace_sid).assigned_limit_seconds
    task = decision.change(
        task,
        status=next_state("task", task.sid, task.status, cause),
        step_deadline=0,
        skip_pending=False,
        refusals=(),
        limit_time=decision.now + seconds * limits.SECOND if seconds else 0,
        callback_failures=0,
        hold_time=0,
    )
    missed_offers.answered(decision, reservation.worker_sid)
    if cause == "claim":
        invites.follow(decision, task, "offer")
    joined = invites.join(decision, task, reservation)
    return (reservation, task, *joined)


def reject_reservation(decision: Decision, command: RejectReservation) -> Rows:
    """Decline an offer; the task goes back to its queue, the worker may change activity."""
    reservation = decision.get(command.sid, Reservation)
    decision.expect(reservation, command.expected_version)
    _refuse_late(decision, reservation)
    next_state("reservation", reservation.sid, reservation.status, "reject")
    worker = missed_offers.seen(decision, reservation.worker_sid)
    if command.activity:
        activity = resolve_activity(decision, worker.workspace_sid, command.activity)
        move_to(decision, worker, activity)
    reservation, task = offer_endings.refuse(
        decision, reservation, "reject", "rejected"
    )
    return (reservation, task)


def shift_offers(decision: Decision, command: ShiftOffers) -> Rows:
    """Give pending offers back the time in which nobody could answer."""
    offered = (decision.state.find(sid, Reservation) for sid in command.sids)
    return tuple(
        decision.change(
            row, "reservation.extended", deadline=row.deadline + command.gap
        )
        for row in offered
        if row is not None and row.status == ReservationStatus.PENDING
    )


def snapshot(decision: Decision, worker: Worker) -> Rows:
    """Return what an agent's stream starts from."""
    state = decision.state
    held = state.where(Reservation, "open_worker_sid", worker.sid)
    tasks: list[Row] = [state.need(row.task_sid, Task) for row in held]
    channels = state.where(WorkerChannel, "worker_sid", worker.sid)
    activities = state.where(Activity, "workspace_sid", worker.workspace_sid)
    return (worker, *channels, *activities, *held, *tasks)


def _refuse_late(decision: Decision, reservation: Reservation) -> None:
    """Tell a caller who comes after the timeout how late, and where the task is."""
    if reservation.status != ReservationStatus.TIMEOUT:
        return
    late = (decision.now - reservation.deadline) / limits.SECOND
    text = f"reservation {reservation.sid} timed out {late:.1f} s before this call"
    task = decision.state.find(reservation.task_sid, Task)
    if task is not None and task.status == TaskStatus.PENDING:
        queue = decision.state.find(task.task_queue_sid, TaskQueue)
        place = f"in queue {queue.friendly_name}" if queue else "on its way to a worker"
        text += f"; its task is back {place}"
    if task is not None and task.status == TaskStatus.RESERVED:
        text += "; its task is offered to another worker"
    raise FailedPrecondition(
        text,
        reason=Reason.RESERVATION_EXPIRED,
        metadata={"sid": reservation.sid, "task_sid": reservation.task_sid},
    )
