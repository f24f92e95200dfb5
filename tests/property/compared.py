"""What engine and oracle are compared by: rows as tuples that both sides can write."""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from flexcore.domain.model import Reservation, Task, TaskQueue, Worker, WorkerChannel
from tests.model import Model
from tests.model_rows import FINISHED
from tests.property.subject import Subject

#: an entry of something that was removed
GONE = ("gone",)


_SID = re.compile(r"WK\w{32}")

#: attributes by their text: few texts, each looked at after every step
parsed = cache(json.loads)


def expected_tasks(model: Model) -> list[Any]:
    return [
        GONE
        if row.gone
        else (
            row.status,
            row.queue,
            row.queue_entered,
            row.step if row.status not in FINISHED else (),
            row.step_start if waits(row.status) else 0,
            row.step_deadline,
            row.skip_pending,
            row.route,
            row.workflow,
            row.revision,
            row.channel,
            parsed(row.attributes),
            row.priority,
            row.start,
            row.assignments,
            row.reason,
            row.disposition,
            row.deadline,
            row.limit,
            row.purge,
            row.callback_failures,
            row.hold,
            sorted(
                (worker, refusal.count, refusal.passed_over, refusal.until)
                for worker, refusal in row.refusals.items()
                if waits(row.status)
            ),
        )
        for row in model.tasks
    ]


def found_tasks(subject: Subject) -> list[Any]:
    return [
        _task(subject, row) if isinstance(row, Task) else GONE
        for row in map(subject.find, subject.sids["WT"])
    ]


def _task(subject: Subject, row: Task) -> tuple[Any, ...]:
    numbers = subject.numbers
    revisions = subject.revisions.get(row.workflow_sid, [""])
    attributes = row.attributes
    if "WK" in attributes:
        attributes = _SID.sub(
            lambda found: f"WK#{numbers.get(found[0], 99)}", attributes
        )
    return (
        row.status.value,
        numbers[row.task_queue_sid],
        row.queue_entered_time,
        (row.step_filter, row.step_target) if row.status not in FINISHED else (),
        row.step_start if waits(row.status) else 0,
        row.step_deadline,
        row.skip_pending,
        row.route,
        numbers[row.workflow_sid],
        revisions.index(row.workflow_revision_sid),
        row.task_channel_unique_name,
        parsed(attributes),
        row.priority,
        row.virtual_start_time,
        row.assignment_count,
        row.reason,
        row.disposition,
        row.deadline,
        row.limit_time,
        row.purge_time,
        row.callback_failures,
        row.hold_time,
        sorted(
            (numbers[one.worker_sid], one.count, one.passed_over, one.until)
            for one in row.refusals
            if waits(row.status)
        ),
    )


def waits(status: str) -> bool:
    """Say whether a task is where steps and refusals mean something."""
    return status in ("pending", "reserved")


def expected_reservations(model: Model) -> list[Any]:
    return [
        GONE
        if row.gone
        else (
            row.task,
            row.worker,
            row.channel,
            row.queue,
            row.status,
            row.candidates,
            row.deadline,
        )
        for row in model.reservations
    ]


def found_reservations(subject: Subject) -> list[Any]:
    numbers = subject.numbers
    return [
        (
            numbers[row.task_sid],
            numbers[row.worker_sid],
            subject.channels[row.task_channel_sid],
            numbers[row.task_queue_sid],
            row.status.value,
            row.candidates,
            row.deadline,
        )
        if isinstance(row, Reservation)
        else GONE
        for row in map(subject.find, subject.sids["WR"])
    ]


def expected_workers(model: Model) -> list[Any]:
    return [
        GONE
        if row.gone
        else (
            row.name,
            row.activity,
            row.away_from,
            row.then,
            row.connectivity,
            row.grace,
            row.out,
            row.available_since,
            row.missed,
            {
                name: (
                    row.capacity[name],
                    name not in row.closed,
                    model.occupied(number, name),
                    row.offered.get(name, 0),
                    row.released.get(name, 0),
                )
                for name in model.channels
            },
        )
        for number, row in enumerate(model.workers)
    ]


def found_workers(subject: Subject) -> list[Any]:
    return [
        _worker(subject, row) if isinstance(row, Worker) else GONE
        for row in map(subject.rows.get, subject.sids["WK"])
    ]


def _worker(subject: Subject, row: Worker) -> tuple[Any, ...]:
    names = {sid: name for name, sid in subject.activities.items()}
    state = subject.decider.state
    held = state.where(Reservation, "open_worker_sid", row.sid)
    channels = {
        channel.task_channel_unique_name: (
            channel.configured_capacity,
            channel.available,
            sum(one.task_channel_sid == channel.task_channel_sid for one in held),
            channel.last_offered,
            channel.last_released,
        )
        for channel in state.where(WorkerChannel, "worker_sid", row.sid)
    }
    return (
        row.friendly_name,
        names[row.activity_sid],
        names.get(row.return_activity_sid, ""),
        names.get(row.next_activity_sid, ""),
        row.connectivity.value,
        row.grace_time,
        row.taken_out,
        row.available_time,
        row.missed_offers,
        channels,
    )


def expected_queues(model: Model) -> list[Any]:
    return [GONE if row.gone else (row.cursor,) for row in model.queues]


def found_queues(subject: Subject) -> list[Any]:
    return [
        (subject.orders[row.cursor],) if isinstance(row, TaskQueue) else GONE
        for row in map(subject.rows.get, subject.sids["WQ"])
    ]


SIDES: dict[str, tuple[Callable[[Model], Any], Callable[[Subject], Any]]] = {
    "tasks": (expected_tasks, found_tasks),
    "reservations": (expected_reservations, found_reservations),
    "workers": (expected_workers, found_workers),
    "queues": (expected_queues, found_queues),
}


def key_events(events: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those whose order is promised."""
    return [event for event in events if event[0].startswith(("task.", "reservation."))]


def differ(what: str, expected: Any, found: Any) -> None:
    """Raise AssertionError that names the first place at which two values differ."""
    if expected == found:
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys(), key=str):
            differ(f"{what} {key}", expected.get(key), found.get(key))
    alike = isinstance(expected, list | tuple) and isinstance(found, list | tuple)
    if alike and len(expected) == len(found):
        for number, pair in enumerate(zip(expected, found, strict=True)):
            differ(f"{what} {number}", *pair)
    raise AssertionError(f"{what} is {found}, not {expected}")
