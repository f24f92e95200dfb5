"""What each event counts for, by change sets made by hand."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from flexcore.domain.buckets import Bucket, Cell, Durations, Place, covered
from flexcore.domain.fold import COUNTED, IGNORED, MEASURED, fold, known_types
from flexcore.domain.limits import SECOND
from flexcore.domain.log import ChangeSet, Event
from flexcore.domain.model import Reservation, Row
from flexcore.domain.states import ReservationStatus, TaskStatus
from tests.factories import (
    TASK_CHANNEL,
    TASK_QUEUE,
    TIME,
    WORKER,
    WORKFLOW,
    WORKSPACE,
    make_change_set,
    make_reservation,
    make_sid,
    make_task,
    make_worker,
)

ROOT = Path(__file__).parents[2]
PLACE = Place(WORKSPACE, TASK_QUEUE, WORKFLOW, TASK_CHANNEL)
OTHER = make_sid("WQ", 2)


def happened(
    row: Row, *types: str | tuple[str, str, int], after: int = 0, **changes: Any
) -> ChangeSet:
    """Events of one row, some with a place and a time; `after` seconds."""
    events = [
        Event(each, row.sid, row.version)
        if isinstance(each, str)
        else Event(each[0], row.sid, row.version, each[1], each[2])
        for each in types
    ]
    rows = changes.pop("rows", (row,))
    return make_change_set(
        0, *rows, events=tuple(events), time=TIME + after * SECOND, **changes
    )


def only_cell(bucket: Bucket) -> Cell:
    ((place, cell),) = bucket.cells.items()
    assert place == PLACE
    return cell


@pytest.mark.parametrize(
    ("event", "name"), [(e, n) for e, n in COUNTED.items() if e.startswith("task.")]
)
def test_what_becomes_of_tasks_is_counted(event: str, name: str) -> None:
    bucket = fold([happened(make_task(), event)] * 2)

    assert only_cell(bucket).counts == {name: 2}


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (e, n)
        for e, n in COUNTED.items()
        if e.startswith("reservation.") and e != "reservation.accepted"
    ],
)
def test_what_becomes_of_offers_is_counted(event: str, name: str) -> None:
    bucket = fold([happened(make_reservation(), event)])

    assert only_cell(bucket).counts == {name: 1}


def test_several_events_of_one_task_in_one_change_set_all_count() -> None:
    created = happened(
        make_task(),
        "task.created",
        "workflow.entered",
        ("task-queue.entered", TASK_QUEUE, TIME),
        "workflow.target-matched",
    )

    assert only_cell(fold([created])).counts == {
        "tasks_created": 1,
        "tasks_entered_workflow": 1,
        "tasks_entered": 1,
    }


def test_a_task_that_passes_through_queues_counts_in_each() -> None:
    task = make_task(task_queue_sid=OTHER)
    passed = happened(
        task,
        ("task-queue.entered", TASK_QUEUE, TIME),
        ("task-queue.timeout", TASK_QUEUE, TIME),
        ("task-queue.moved", TASK_QUEUE, TIME),
        ("task-queue.entered", OTHER, TIME),
    )
    cells = fold([passed]).cells

    assert cells[PLACE].counts == {"tasks_entered": 1, "tasks_moved": 1}
    assert cells[PLACE._replace(task_queue_sid=OTHER)].counts == {"tasks_entered": 1}


def test_the_next_step_in_the_same_queue_is_no_entry() -> None:
    task = make_task()
    steps = [
        happened(task, ("task-queue.entered", TASK_QUEUE, TIME)),
        happened(task, ("task-queue.entered", TASK_QUEUE, 0), after=5),
    ]

    assert only_cell(fold(steps)).counts == {"tasks_entered": 1}


def test_the_wait_of_an_accepted_task_counts_from_creation_and_from_entry() -> None:
    task = make_task(status=TaskStatus.ASSIGNED, queue_entered_time=TIME + 20 * SECOND)
    offer = make_reservation(
        task_sid=task.sid,
        status=ReservationStatus.ACCEPTED,
        accept_time=TIME + 30 * SECOND,
    )
    accepted = happened(offer, "reservation.accepted", after=30, rows=(offer, task))
    cell = only_cell(fold([accepted]))

    assert cell.counts == {"reservations_accepted": 1}
    wait, in_queue = 30 * SECOND, 10 * SECOND
    assert cell.durations == {
        "wait_duration_until_accepted": Durations(1, wait, wait, wait),
        "wait_duration_in_queue_until_accepted": Durations(
            1, in_queue, in_queue, in_queue
        ),
    }
    assert cell.accepted == {30: 1}


def test_the_wait_of_a_canceled_task_is_measured() -> None:
    canceled = make_task(status=TaskStatus.CANCELED)
    cell = only_cell(
        fold([happened(canceled, "task.canceled", after=n) for n in (2, 5, 5)])
    )

    assert cell.durations["wait_duration_until_canceled"] == Durations(
        3, 12 * SECOND, 2 * SECOND, 5 * SECOND
    )
    assert cell.canceled == {2: 1, 5: 2}


def let_go(row: Reservation, ending: str) -> ChangeSet:
    """The end of a task that somebody had for 90 seconds, and of its reservation."""
    task = make_task(sid=row.task_sid, status=TaskStatus.COMPLETED)
    events = (Event(ending, task.sid, 3), Event("reservation.completed", row.sid, 3))
    end = row.accept_time + 90 * SECOND
    return make_change_set(0, row, task, events=events, time=end)


def test_a_completed_task_says_how_long_it_was_handled_and_wrapped_up() -> None:
    row = make_reservation(
        status=ReservationStatus.COMPLETED,
        accept_time=TIME + 10 * SECOND,
        wrap_time=TIME + 70 * SECOND,
    )
    bucket = fold([let_go(row, "task.completed")])

    durations = only_cell(bucket).durations
    assert durations["handle_duration"].total == 90 * SECOND
    assert durations["wrap_duration"].total == 30 * SECOND
    (held,) = bucket.held
    assert held == (
        WORKER,
        WORKSPACE,
        TASK_CHANNEL,
        TIME + 10 * SECOND,
        TIME + 100 * SECOND,
    )


@pytest.mark.parametrize("deleted", ["task.deleted", "task.system-deleted"])
def test_a_deleted_task_was_not_handled_but_its_worker_was_busy(deleted: str) -> None:
    row = make_reservation(
        status=ReservationStatus.COMPLETED, accept_time=TIME, wrap_time=TIME + SECOND
    )
    bucket = fold([let_go(row, deleted)])

    cell = only_cell(bucket)
    assert (cell.counts, cell.durations) == ({"tasks_deleted": 1}, {})
    (held,) = bucket.held
    assert held == (WORKER, WORKSPACE, TASK_CHANNEL, TIME, TIME + 90 * SECOND)


def test_without_a_wrap_up_none_is_measured() -> None:
    row = make_reservation(accept_time=TIME)
    cell = only_cell(fold([let_go(row, "task.completed")]))

    assert cell.durations.keys() == {"handle_duration"}


def test_every_activity_a_worker_left_is_a_stay() -> None:
    first, second = make_sid("WA", 1), make_sid("WA", 2)
    worker = make_worker(sid=WORKER, activity_sid=make_sid("WA", 3))
    moved = happened(
        worker,
        ("worker.activity.update", first, TIME),
        ("worker.activity.update", second, TIME + 7 * SECOND),
        after=7,
    )
    until = TIME + 7 * SECOND

    assert fold([moved]).stays == [
        (WORKER, WORKSPACE, first, TIME, until),
        (WORKER, WORKSPACE, second, until, until),
    ]


def test_the_last_stay_ends_with_the_worker() -> None:
    worker = make_worker(activity_time=TIME + SECOND)
    gone = happened(worker, "worker.deleted", after=4, deleted=(worker.sid,))
    (stay,) = fold([gone]).stays

    assert (stay.what, stay.start, stay.end) == (
        worker.activity_sid,
        TIME + SECOND,
        TIME + 4 * SECOND,
    )


def test_with_a_worker_only_that_workers_offers_count() -> None:
    mine, other = make_reservation(), make_reservation(worker_sid=make_sid("WK", 2))
    task = make_task()
    events = tuple(
        Event(type_, row.sid, 1)
        for type_, row in (
            ("task.created", task),
            ("reservation.created", mine),
            ("reservation.created", other),
        )
    )
    change_set = make_change_set(0, task, mine, other, events=events)

    assert only_cell(fold([change_set], worker_sid=WORKER)).counts == {
        "reservations_created": 1
    }


def test_two_halves_of_a_log_merge_to_the_whole() -> None:
    task = make_task()
    row = make_reservation(accept_time=TIME)
    log = [
        happened(task, "task.created"),
        happened(task, "task.canceled", after=3),
        happened(row, "reservation.completed", after=8),
        happened(row, "reservation.completed", after=9),
        happened(make_worker(), ("worker.activity.update", "WA", TIME), after=1),
    ]
    whole = fold(log)
    for place in range(len(log) + 1):
        merged = fold(log[:place])
        merged.merge(fold(log[place:]))
        assert merged.cells == whole.cells
        assert (merged.stays, merged.held) == (whole.stays, whole.held)


def test_merging_changes_only_what_is_merged_into() -> None:
    one = fold([happened(make_task(), "task.canceled", after=1)])
    kept = fold([happened(make_task(), "task.canceled", after=1)])
    sums = Bucket()
    sums.merge(one)
    sums.merge(one)

    assert one.cells == kept.cells
    assert only_cell(sums).canceled == {1: 2}


def test_a_threshold_is_exact_to_the_microsecond() -> None:
    cell = Cell()
    bucket = Bucket()
    for wait in (5 * SECOND, 5 * SECOND + 1):
        task = make_task(status=TaskStatus.CANCELED)
        change_set = happened(task, "task.canceled")
        late = ChangeSet(
            **{
                name: getattr(change_set, name)
                for name in ChangeSet.__struct_fields__
                if name != "time"
            },
            time=TIME + wait,
        )
        fold([late], bucket)
    cell.merge(only_cell(bucket))

    assert cell.canceled == {5: 1, 6: 1}
    assert cell.service_level(20) == 0.0
    assert Cell().service_level(20) is None


def test_time_that_overlaps_counts_once() -> None:
    assert covered([]) == 0
    assert covered([(5, 9), (1, 3), (2, 4), (9, 9), (6, 8)]) == 3 + 4


# --- nothing is forgotten --------------------------------------------------------------

_TYPE = re.compile(r"[a-z-]+(?:\.[a-z_-]+)+")
#: calls that record an event, by where its type stands among the arguments
_RECORDERS = {"emit": 0, "create": 1, "change": 1, "replace": 2, "delete": 1}


def written_types() -> set[str]:
    """Return every type of event that stands in the engine's sources."""
    found: set[str] = set()
    for path in (ROOT / "src/flexcore/engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            ):
                continue
            place = _RECORDERS.get(node.func.attr, 99)
            for part in node.args[place : place + 1]:
                found |= {
                    each.value
                    for each in ast.walk(part)
                    if isinstance(each, ast.Constant)
                    and isinstance(each.value, str)
                    and _TYPE.fullmatch(each.value)
                }
    return found


def listed_types() -> set[str]:
    """Return the types of the reference."""
    text = (ROOT / "protos/flexcore/v1/event.proto").read_text()
    text = text[text.index("one of:") : text.index("More may come")]
    return set(_TYPE.findall(text))


def test_it_is_settled_what_every_event_of_the_engine_counts_for() -> None:
    written = written_types()

    assert {"task.created", "worker.activity.update", "task.canceled"} <= written
    assert written - known_types() == set()
    assert listed_types() - known_types() == set()


def test_the_reference_lists_every_event_of_an_account() -> None:
    unlisted = known_types() - listed_types()

    # The directory is a log of its own, which nobody streams.
    assert {each.partition(".")[0] for each in unlisted} == {
        "account",
        "key",
        "address",
    }


def test_no_event_counts_and_is_ignored() -> None:
    ignored = {f"{noun}.{verb}" for noun, vs in IGNORED.items() for verb in vs.split()}

    assert ignored & (COUNTED.keys() | MEASURED.keys()) == set()
