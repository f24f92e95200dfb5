"""From the log to figures: what each event counts for.

`fold` looks at one change set after the other and remembers nothing between them: how
long a task waited, who held it since when and what a worker left stand in the rows and in
the events themselves. So it may begin anywhere, and two stretches of the log can be folded
apart and merged. Events not named here count for nothing.
"""

from collections.abc import Callable, Iterable, Mapping

from flexcore.domain.buckets import Bucket, Cell, Place, Span, note
from flexcore.domain.log import ChangeSet, Event
from flexcore.domain.model import Reservation, Row, Task, Worker

#: counted once each; who is counted is the resource of the event
COUNTED: Mapping[str, str] = {
    "task.created": "tasks_created",
    "task.canceled": "tasks_canceled",
    "task.completed": "tasks_completed",
    "task.deleted": "tasks_deleted",
    "task.system-deleted": "tasks_deleted",
    "workflow.entered": "tasks_entered_workflow",
    "workflow.timeout": "tasks_timed_out_in_workflow",
    "task-queue.moved": "tasks_moved",
    "reservation.created": "reservations_created",
    "reservation.accepted": "reservations_accepted",
    "reservation.rejected": "reservations_rejected",
    "reservation.timeout": "reservations_timed_out",
    "reservation.canceled": "reservations_canceled",
    "reservation.rescinded": "reservations_rescinded",
}

#: events that count for nothing, by the word before their first dot
IGNORED: Mapping[str, str] = {
    "account": "created",
    "key": "created revoked",
    "address": "claimed released",
    "workspace": "created updated deleted",
    "activity": "created updated deleted",
    "task-channel": "created updated deleted",
    "task-queue": "created updated deleted expression.updated timeout",
    "workflow": """
        created updated deleted revision.created revision.deleted target-matched skipped
        exhausted known-worker-missing step-kept re-evaluated
    """,
    "worker": """
        created updated attributes.update capacity.update channel.availability.update
        missed-offer connectivity.update
    """,
    "task": """
        updated routed wrapup wrapup-overdue refusal-expired hold-expired purging purged
        requeued
    """,
    "reservation": (
        "extended task-updated wrapup failed callback-failed callback-undecided"
    ),
    "conversation": "created closed",
    "participant": "added removed",
    "message": "added",
    "receipt": "added updated",
    "interaction": """
        created participant.joined participant.wrapping participant.left
    """,
    "channel": "created closed",
    "invite": "created pending offered accepted timed_out canceled",
    "address-configuration": "created updated",
    "sender": "created updated",
}


def fold(
    change_sets: Iterable[ChangeSet], bucket: Bucket | None = None, worker_sid: str = ""
) -> Bucket:
    """Count what happened in change sets, in a new bucket or on top of another.

    With a worker, only that worker's reservations and time.
    """
    bucket = Bucket() if bucket is None else bucket
    for change_set in change_sets:
        if any(event.type in _LOOKED_AT for event in change_set.events):
            _Folding(bucket, change_set, worker_sid).run()
    return bucket


class _Folding:
    """One change set on its way into a bucket."""

    def __init__(self, bucket: Bucket, change_set: ChangeSet, worker_sid: str) -> None:
        self._bucket = bucket
        self._time = change_set.time
        self._events = change_set.events
        self._rows = change_set.rows()
        #: tasks that were completed, not deleted
        self._completed = {
            event.sid for event in self._events if event.type == "task.completed"
        }
        self._worker_sid = worker_sid

    def run(self) -> None:
        for event in self._events:
            row = self._rows.get(event.sid)
            if row is None or not self._concerns(row):
                continue
            name = COUNTED.get(event.type)
            if name:
                self._cell(row, event).count(name)
            look = MEASURED.get(event.type)
            if look:
                look(self, event, row)

    def _concerns(self, row: Row) -> bool:
        if not self._worker_sid:
            return True
        if isinstance(row, Reservation):
            return row.worker_sid == self._worker_sid
        return row.sid == self._worker_sid

    def _cell(self, row: Row, event: Event) -> Cell:
        assert isinstance(row, Task | Reservation)
        return self._bucket.cell(
            Place(
                row.workspace_sid,
                event.place or row.task_queue_sid,
                row.workflow_sid,
                row.task_channel_sid,
            )
        )

    def entered(self, event: Event, row: Row) -> None:
        """Count a task that came into a queue, not one that enters its next step there."""
        if event.since:
            self._cell(row, event).count("tasks_entered")

    def canceled(self, event: Event, row: Row) -> None:
        """Measure how long a task waited in vain."""
        cell, wait = self._cell(row, event), self._time - row.create_time
        cell.measure("wait_duration_until_canceled", wait)
        note(cell.canceled, wait)

    def accepted(self, event: Event, row: Row) -> None:
        """Measure how long the task of a reservation waited, in all and in its queue."""
        assert isinstance(row, Reservation)
        task = self._rows[row.task_sid]  # which was assigned in the same decision
        assert isinstance(task, Task)
        cell, wait = self._cell(row, event), self._time - task.create_time
        cell.measure("wait_duration_until_accepted", wait)
        note(cell.accepted, wait)
        in_queue = self._time - task.queue_entered_time
        cell.measure("wait_duration_in_queue_until_accepted", in_queue)

    def completed(self, event: Event, row: Row) -> None:
        """Measure how long a worker had a task, and wrote it up.

        The worker of one that was deleted is done with it too, but nothing was handled.
        """
        assert isinstance(row, Reservation)
        if not row.accept_time:
            return
        if row.task_sid in self._completed:
            cell = self._cell(row, event)
            cell.measure("handle_duration", self._time - row.accept_time)
            if row.wrap_time:
                cell.measure("wrap_duration", self._time - row.wrap_time)
        self._bucket.held.append(
            Span(
                row.worker_sid,
                row.workspace_sid,
                row.task_channel_sid,
                row.accept_time,
                self._time,
            )
        )

    def left(self, event: Event, row: Row) -> None:
        """Note how long a worker was in an activity left, or was last in."""
        assert isinstance(row, Worker)
        activity_sid, since = event.place, event.since
        if event.type == "worker.deleted":
            activity_sid, since = row.activity_sid, row.activity_time
        span = Span(row.sid, row.workspace_sid, activity_sid, since, self._time)
        self._bucket.stays.append(span)


#: events of which more is looked at than that they happened
MEASURED: Mapping[str, Callable[[_Folding, Event, Row], None]] = {
    "task-queue.entered": _Folding.entered,
    "task.canceled": _Folding.canceled,
    "reservation.accepted": _Folding.accepted,
    "reservation.completed": _Folding.completed,
    "reservation.canceled": _Folding.completed,
    "worker.activity.update": _Folding.left,
    "worker.deleted": _Folding.left,
}
_LOOKED_AT = COUNTED.keys() | MEASURED.keys()


def known_types() -> frozenset[str]:
    """Return every type of event of which it is settled what it counts for."""
    ignored = {
        f"{noun}.{verb}" for noun, verbs in IGNORED.items() for verb in verbs.split()
    }
    return frozenset(_LOOKED_AT | ignored)
