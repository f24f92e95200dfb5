"""Reservations: offered by the matcher, accepted, rejected, timed out.

Accept, reject and timeout are decided here and nowhere else, one after the other, so
there is one winner.
"""

from flexcore.domain import limits
from flexcore.domain.errors import FailedPrecondition, Reason
from flexcore.domain.model import (
    Reservation,
    Row,
    Task,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.domain.states import ReservationStatus, TaskStatus, next_state
from flexcore.engine import invites
from flexcore.engine.activities import move_to, resolve_activity
from flexcore.engine.commands import AcceptReservation, RejectReservation, ShiftOffers
from flexcore.engine.decision import Decision
from flexcore.engine.matching import Offer
from flexcore.engine.tasks import return_task
from flexcore.engine.workspaces import Rows


def offer(decision: Decision, found: Offer) -> Reservation:
    """Write down what the matcher decided: the worker holds the task until deadline."""
    task = decision.state.need(found.task_sid, Task)
    worker = decision.state.need(found.worker_sid, Worker)
    workflow = decision.state.need(task.workflow_sid, Workflow)
    task = decision.change(
        task,
        status=next_state("task", task.sid, task.status, "offer"),
        assignment_count=task.assignment_count + 1,
    )
    invites.follow(decision, task, "offer")
    for channel in decision.state.where(WorkerChannel, "worker_sid", worker.sid):
        if channel.task_channel_sid == task.task_channel_sid:
            decision.change(channel, last_offered=decision.now)
    seconds = workflow.task_reservation_timeout_seconds
    return decision.create(
        Reservation(
            sid=decision.ids.sid("WR"),
            workspace_sid=task.workspace_sid,
            workflow_sid=task.workflow_sid,
            task_queue_sid=task.task_queue_sid,
            task_channel_sid=task.task_channel_sid,
            task_sid=task.sid,
            worker_sid=worker.sid,
            worker_name=worker.friendly_name,
            status=ReservationStatus.PENDING,
            deadline=decision.now + seconds * limits.SECOND,
            candidates=found.candidates,
            order=decision.next_sequence,
        ),
        "reservation.created",
    )


def accept_reservation(decision: Decision, command: AcceptReservation) -> Rows:
    """Give the task to the worker; an agent of an interaction joins in the same step."""
    reservation = decision.get(command.sid, Reservation)
    decision.expect(reservation, command.expected_version)
    _refuse_late(decision, reservation)
    status = next_state("reservation", reservation.sid, reservation.status, "accept")
    task = decision.get(reservation.task_sid, Task)
    reservation = decision.change(reservation, "reservation.accepted", status=status)
    task = decision.change(
        task,
        status=next_state("task", task.sid, task.status, "accept"),
        step_deadline=0,
    )
    joined = invites.join(decision, task, reservation)
    return (reservation, task, *joined)


def reject_reservation(decision: Decision, command: RejectReservation) -> Rows:
    """Decline an offer; the task goes back to its queue, the worker may change activity."""
    reservation = decision.get(command.sid, Reservation)
    decision.expect(reservation, command.expected_version)
    _refuse_late(decision, reservation)
    next_state("reservation", reservation.sid, reservation.status, "reject")
    if command.activity:
        worker = decision.get(reservation.worker_sid, Worker)
        activity = resolve_activity(decision, worker.workspace_sid, command.activity)
        move_to(decision, worker, activity)
    reservation, task = end_offer(decision, reservation, "reject", "rejected")
    return (reservation, task)


def end_offer(
    decision: Decision, reservation: Reservation, cause: str, event: str
) -> tuple[Reservation, Task]:
    """End a pending reservation without acceptance and put its task back."""
    status = next_state("reservation", reservation.sid, reservation.status, cause)
    reservation = decision.change(reservation, f"reservation.{event}", status=status)
    task = return_task(decision, decision.get(reservation.task_sid, Task))
    return reservation, task


def expire_reservation(decision: Decision, reservation: Reservation) -> None:
    """Time an offer out: its worker goes to the workspace's timeout activity."""
    worker = decision.state.need(reservation.worker_sid, Worker)
    workspace = decision.state.need(worker.workspace_sid, Workspace)
    end_offer(decision, reservation, "expire", "timeout")
    activity = resolve_activity(decision, workspace.sid, workspace.timeout_activity_sid)
    move_to(decision, worker, activity)


def shift_offers(decision: Decision, command: ShiftOffers) -> Rows:
    """Give pending offers back the time in which nobody could answer."""
    offers = (decision.state.find(sid, Reservation) for sid in command.sids)
    return tuple(
        decision.change(
            row, "reservation.extended", deadline=row.deadline + command.gap
        )
        for row in offers
        if row is not None and row.status == ReservationStatus.PENDING
    )


def snapshot(decision: Decision, worker: Worker) -> Rows:
    """Return what an agent's stream starts from."""
    state = decision.state
    held = state.where(Reservation, "open_worker_sid", worker.sid)
    tasks: list[Row] = [state.need(row.task_sid, Task) for row in held]
    channels = state.where(WorkerChannel, "worker_sid", worker.sid)
    return (worker, *channels, *held, *tasks)


def _refuse_late(decision: Decision, reservation: Reservation) -> None:
    """Tell a caller who comes after the timeout how late, and where the task is."""
    if reservation.status != ReservationStatus.TIMEOUT:
        return
    late = (decision.now - reservation.deadline) / limits.SECOND
    text = f"reservation {reservation.sid} timed out {late:.1f} s before this call"
    task = decision.state.find(reservation.task_sid, Task)
    if task is not None and task.status == TaskStatus.PENDING:
        queue = decision.state.need(task.task_queue_sid, TaskQueue)
        text += f"; its task is back in queue {queue.friendly_name}"
    if task is not None and task.status == TaskStatus.RESERVED:
        text += "; its task is offered to another worker"
    raise FailedPrecondition(
        text,
        reason=Reason.RESERVATION_EXPIRED,
        metadata={"sid": reservation.sid, "task_sid": reservation.task_sid},
    )
