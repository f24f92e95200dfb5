"""Statistics counted again from the whole log, by plain loops and with a long memory.

Knows rows as they were before and after each change set. Of events it reads only the
queues a task went through within one change set, which no row tells.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from flexcore.domain.buckets import MEASURES, Cell
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Reservation, Row, Task, Worker

RESERVATION = {
    "accepted": "reservations_accepted",
    "rejected": "reservations_rejected",
    "timeout": "reservations_timed_out",
    "canceled": "reservations_canceled",
    "rescinded": "reservations_rescinded",
}
DELETED = ("task.deleted", "task.system-deleted")


class Fact(NamedTuple):
    """Something that happened once, or took so long, and what it is counted under."""

    time: int
    name: str
    value: int
    keys: frozenset[str]


class Time(NamedTuple):
    """A time a worker spent; without an end it goes on."""

    worker_sid: str
    workspace_sid: str
    what: str
    start: int
    end: int | None


class Recount:
    """Everything that ever happened, one by one."""

    def __init__(self, log: list[ChangeSet]) -> None:
        self.facts: list[Fact] = []
        self.stays: list[Time] = []
        self.held: list[Time] = []
        self._rows: dict[str, Row] = {}
        self._queues: dict[str, str] = {}
        self._accepted: dict[str, int] = {}
        self._wrapped: dict[str, int] = {}
        for change_set in log:
            self._look(change_set)
        for row in self._rows.values():
            if isinstance(row, Worker):
                self._stay(row, None)
            if isinstance(row, Reservation) and row.sid in self._accepted:
                self._hold(row, None)

    def _look(self, change_set: ChangeSet) -> None:
        self._time = change_set.time
        rows = change_set.rows()
        # What is left of a task that was deleted is finished; it was neither done nor not.
        deleted = {each.sid for each in change_set.events if each.type in DELETED}
        for row in change_set.resources:
            before = self._rows.get(row.sid)
            if isinstance(row, Task):
                if row.sid not in deleted:
                    self._look_at_task(before, row)
            elif isinstance(row, Reservation):
                task = rows.get(row.task_sid) or self._rows[row.task_sid]
                assert isinstance(task, Task)
                self._look_at_reservation(
                    before, row, task, done=task.sid not in deleted
                )
            elif (
                isinstance(row, Worker)
                and isinstance(before, Worker)
                and before.activity_sid != row.activity_sid
            ):
                self._stay(before, self._time)
        self._walk(change_set, rows)
        self._rows |= rows
        for sid in change_set.deleted:
            gone = self._rows.pop(sid)
            if isinstance(gone, Worker):
                self._stay(gone, self._time)

    def _walk(self, change_set: ChangeSet, rows: Mapping[str, Row]) -> None:
        for event in change_set.events:
            row = rows.get(event.sid)
            if isinstance(row, Task):
                self._look_at_walk(event.type, event.place, row)
        for row in rows.values():
            if isinstance(row, Task):
                self._queues[row.sid] = row.task_queue_sid

    def _note(self, row: Any, name: str, value: int = 1, **other: str) -> None:
        keys = {
            "workspace_sid": row.workspace_sid,
            "task_queue_sid": row.task_queue_sid,
            "workflow_sid": row.workflow_sid,
            "task_channel_sid": row.task_channel_sid,
            "worker_sid": getattr(row, "worker_sid", ""),
            **other,
        }
        self.facts.append(Fact(self._time, name, value, frozenset(keys.values())))

    def _look_at_task(self, before: Row | None, row: Task) -> None:
        if before is None:
            self._note(row, "tasks_created")
        was = before.status.value if isinstance(before, Task) else ""
        if was == row.status:
            return
        if row.status == "canceled":
            self._note(row, "tasks_canceled")
            wait = self._time - row.create_time
            self._note(row, "wait_duration_until_canceled", wait)
        if row.status == "completed":
            self._note(row, "tasks_completed")

    def _look_at_walk(self, event: str, place: str, row: Task) -> None:
        here = self._queues.get(row.sid, "")
        if event == "task-queue.entered" and here != place:
            self._note(row, "tasks_entered", task_queue_sid=place)
            self._queues[row.sid] = place
        if event == "task-queue.moved":
            self._note(row, "tasks_moved", task_queue_sid=here)
        if event == "workflow.entered":
            self._note(row, "tasks_entered_workflow")
        if event == "workflow.timeout":
            self._note(row, "tasks_timed_out_in_workflow")
        if event in DELETED:
            self._note(row, "tasks_deleted")

    def _look_at_reservation(
        self, before: Row | None, row: Reservation, task: Task, *, done: bool
    ) -> None:
        was = before.status.value if isinstance(before, Reservation) else ""
        if before is None:
            self._note(row, "reservations_created")
        if was == row.status:
            return
        if row.status in RESERVATION:
            self._note(row, RESERVATION[row.status])
        if row.status == "accepted":
            self._accepted[row.sid] = self._time
            wait = self._time - task.create_time
            in_queue = self._time - task.queue_entered_time
            self._note(row, "wait_duration_until_accepted", wait)
            self._note(row, "wait_duration_in_queue_until_accepted", in_queue)
        if row.status == "wrapping":
            self._wrapped[row.sid] = self._time
        if row.status == "completed" or (
            row.status == "canceled" and row.sid in self._accepted
        ):
            handled = done and row.status == "completed"
            if handled:
                taken = self._time - self._accepted[row.sid]
                self._note(row, "handle_duration", taken)
            if handled and row.sid in self._wrapped:
                self._note(row, "wrap_duration", self._time - self._wrapped[row.sid])
            self._hold(row, self._time)

    def _stay(self, row: Worker, end: int | None) -> None:
        self.stays.append(
            Time(row.sid, row.workspace_sid, row.activity_sid, row.activity_time, end)
        )

    def _hold(self, row: Reservation, end: int | None) -> None:
        start = self._accepted.pop(row.sid)
        where = (row.worker_sid, row.workspace_sid, row.task_channel_sid)
        self.held.append(Time(*where, start, end))

    # questions

    def values(self, start: int, end: int, *keys: str) -> dict[str, list[int]]:
        """Return what happened from a time to before another, of all these sids."""
        found: dict[str, list[int]] = {}
        for fact in self.facts:
            if start <= fact.time < end and fact.keys.issuperset(keys):
                found.setdefault(fact.name, []).append(fact.value)
        return {name: sorted(values) for name, values in found.items()}

    def activities(self, start: int, end: int, sid: str) -> dict[str, list[int]]:
        """Return the lengths of a worker's stays in each activity, or all workers'."""
        found: dict[str, list[int]] = {}
        for stay in self.stays:
            first = max(start, stay.start)
            last = end if stay.end is None else min(end, stay.end)
            if last > first and sid in (stay.worker_sid, stay.workspace_sid):
                found.setdefault(stay.what, []).append(last - first)
        return {name: sorted(lengths) for name, lengths in found.items()}

    def busy(self, start: int, end: int, sid: str, channel_sid: str = "") -> int:
        """Return how long workers held something, moment by moment."""
        held = [
            each
            for each in self.held
            if sid in (each.worker_sid, each.workspace_sid)
            and channel_sid in ("", each.what)
        ]
        moments = {start, end} | {each.start for each in held}
        moments |= {each.end for each in held if each.end is not None}
        inside = sorted(moment for moment in moments if start <= moment <= end)
        total = 0
        for first, last in pairwise(inside):
            workers = Counter(
                each.worker_sid
                for each in held
                if each.start <= first and (each.end is None or each.end >= last)
            )
            total += len(workers) * (last - first)
        return total


def values(cell: Cell) -> dict[str, Any]:
    """Return counts as they are, and durations by count, total, least and greatest."""
    durations = {
        name: (each.count, each.total, each.least, each.greatest)
        for name, each in cell.durations.items()
    }
    return cell.counts | durations


def recounted(found: dict[str, list[int]]) -> dict[str, Any]:
    """Return what a recount found in the form of `values`."""
    return {
        name: (len(each), sum(each), each[0], each[-1])
        if name in MEASURES
        else sum(each)
        for name, each in found.items()
    }
