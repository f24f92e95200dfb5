"""What becomes of tasks and reservations: who has them, and until when."""

from collections.abc import Iterator

from flexcore.domain.model import Reservation, Row, Task, TaskQueue, Worker
from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    Connectivity,
    ReservationStatus,
    TaskStatus,
)
from tests.checkers.fold import Moment, due_of

_ACCEPTED = (
    ReservationStatus.ACCEPTED,
    ReservationStatus.WRAPPING,
    ReservationStatus.COMPLETED,
)


def accepts(moment: Moment) -> Iterator[str]:
    """A reservation is accepted once, and one of a task's at most."""
    for sid in moment.events("reservation.accepted"):
        if moment.fold.accepted[sid] > 1:
            yield f"{moment.name} accepts {sid} once more"
        row = moment.change_set.rows()[sid]
        assert isinstance(row, Reservation)
        others = [
            other.sid
            for other in moment.fold.of_task(row.task_sid).values()
            if other.status in _ACCEPTED and other.sid != sid
        ]
        if others:
            yield f"{moment.name} accepts {sid}, its task was accepted by {others[0]}"


def offers_of_a_task(moment: Moment) -> Iterator[str]:
    """A task is offered to as many at once as its queue says, each of them once."""
    for task_sid in dict.fromkeys(o.reservation.task_sid for o in moment.offers):
        held = [
            row
            for row in moment.fold.of_task(task_sid).values()
            if row.status in OPEN_RESERVATION
        ]
        queue = moment.fold.rows.get(held[0].task_queue_sid) if held else None
        most = queue.max_reserved_workers if isinstance(queue, TaskQueue) else 1
        if len(held) > max(1, most):
            yield f"{moment.name} offers {task_sid} to {len(held)} at once, not to {most}"
        if len({row.worker_sid for row in held}) < len(held):
            yield f"{moment.name} offers {task_sid} to the same worker twice"


def status(moment: Moment) -> Iterator[str]:
    """The status of a task follows from its reservations; a finished one has none."""
    tasks = {row.sid for _, row in moment.changes(Task)}
    tasks |= {row.task_sid for _, row in moment.changes(Reservation)}
    for sid in sorted(tasks):
        held = {
            row.status
            for row in moment.fold.of_task(sid).values()
            if row.status in OPEN_RESERVATION
        }
        task = moment.fold.rows.get(sid)
        if not isinstance(task, Task) or task.status not in OPEN_TASK:
            if held:
                yield f"{moment.name} ends {sid}, whose reservation is {min(held)}"
        elif task.status != _status(held):
            found = ", ".join(sorted(held)) or "none"
            yield f"{moment.name} makes {sid} {task.status}, its reservations are {found}"
        elif len(held) > 1:
            found = ", ".join(sorted(held))
            yield f"{moment.name} leaves {sid} with reservations that are {found}"


def _status(held: set[ReservationStatus]) -> TaskStatus:
    if ReservationStatus.ACCEPTED in held:
        return TaskStatus.ASSIGNED
    if ReservationStatus.WRAPPING in held:
        return TaskStatus.WRAPPING
    return TaskStatus.RESERVED if held else TaskStatus.PENDING


def held(moment: Moment) -> Iterator[str]:
    """Whoever is not finished has a deadline or somebody who has it."""
    for _, task in moment.changes(Task):
        if task.sid not in moment.fold.rows or task.status not in OPEN_TASK:
            continue
        holder = any(
            row.status in OPEN_RESERVATION and row.status != ReservationStatus.PENDING
            for row in moment.fold.of_task(task.sid).values()
        )
        if not due_of(task) and not holder:
            yield f"{moment.name} leaves {task.sid} {task.status}, by nobody and for ever"
    for _, row in moment.changes(Reservation):
        if row.status == ReservationStatus.PENDING and not row.deadline:
            yield f"{moment.name} leaves {row.sid} pending for ever"


def deadlines(moment: Moment) -> Iterator[str]:
    """Nothing is accepted after its deadline, and nothing times out before it."""
    now = moment.change_set.time
    for sid, due in moment.overdue:
        late = (now - due) / 1_000_000
        yield f"{moment.name} comes {late:.3f} s after a deadline of {sid}"
    moved: set[str] = set()
    for event in moment.change_set.events:
        before = moment.before[event.sid]
        if isinstance(before, Reservation):
            if event.type == "reservation.accepted" and before.deadline <= now:
                yield f"{moment.name} accepts {before.sid} after its deadline"
            if event.type == "reservation.timeout" and before.deadline > now:
                yield f"{moment.name} times {before.sid} out before its deadline"
        elif isinstance(before, Task) and before.sid not in moved:
            # What a task enters, or comes back to, within a change set may be over at once.
            if event.type in ("task-queue.entered", "task.requeued"):
                moved.add(before.sid)
            due = _due_of_event(
                event.type, before, moment.change_set.rows()[before.sid]
            )
            if due is not None and not 0 < due <= now:
                yield f"{moment.name} has {event.type} of {before.sid} before it is due"


def _due_of_event(event: str, before: Task, row: Row) -> int | None:
    """Return the deadline that an event of a task waits for; None if for none."""
    if event == "task.canceled":
        expired = isinstance(row, Task) and row.reason == "Task TTL Exceeded"
        return before.deadline if expired else None
    if event == "task.completed":
        overdue = isinstance(row, Task) and row.reason == "Wrap-up limit reached"
        return before.limit_time if overdue else None
    if event == "task.refusal-expired":
        return min(row.until for row in before.refusals if row.until)
    field = {
        "task.hold-expired": "hold_time",
        "task-queue.timeout": "step_deadline",
        "task.wrapup-overdue": "limit_time",
        "task.system-deleted": "limit_time",
        "task.purged": "purge_time",
        "task.purging": "purge_time",
    }.get(event)
    return None if field is None else getattr(before, field)


def vanished(moment: Moment) -> Iterator[str]:
    """A worker is lost when the grace period is over, and then is offered nothing."""
    for before, worker in moment.changes(Worker):
        if before is None or worker.connectivity is not Connectivity.LOST:
            continue
        due = before.grace_time
        if before.connectivity is Connectivity.GRACE and due > moment.change_set.time:
            yield f"{moment.name} loses {worker.sid} before the grace period is over"
        held = moment.fold.held(worker.sid)
        pending = [row.sid for row in held if row.status == ReservationStatus.PENDING]
        if worker.taken_out and not worker.grace_time and due and pending:
            yield f"{moment.name} loses {worker.sid} and leaves {pending[0]} pending"


def places(moment: Moment) -> Iterator[str]:
    """A task keeps its place in the queue unless somebody changes it."""
    updated = set(moment.events("task.updated"))
    for before, task in moment.changes(Task):
        if before is None or task.sid in updated:
            continue
        if (before.virtual_start_time, before.sequence) != (
            task.virtual_start_time,
            task.sequence,
        ):
            yield f"{moment.name} gives {task.sid} another place"
