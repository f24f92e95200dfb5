"""What events say besides their rows, and who wants to see them."""

import random
from typing import Any

import msgspec
import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.ids import Ids
from flexcore.domain.log import (
    ChangeSet,
    Event,
    LogFilter,
    decode_change_set,
    encode_change_set,
)
from flexcore.domain.model import Row
from flexcore.engine.decision import Decision
from flexcore.engine.state import State
from tests.factories import (
    ACCOUNT,
    TASK,
    TASK_CHANNEL,
    TASK_QUEUE,
    WORKER,
    WORKFLOW,
    WORKSPACE,
    make_change_set,
    make_conversation,
    make_reservation,
    make_sid,
    make_task,
    make_worker,
)

FIRST, SECOND, THIRD = (make_sid("WQ", number) for number in (1, 2, 3))


@pytest.fixture
def decision(clock: VirtualClock) -> Decision:
    return Decision(State(ACCOUNT), Ids(clock, random.Random(1)), clock.now())


def events(decision: Decision) -> list[tuple[str, str, int]]:
    change_set = decision.commit(()).change_set
    assert change_set is not None
    return [(each.type, each.place, each.since) for each in change_set.events]


def test_events_name_each_queue_a_task_went_through(decision: Decision) -> None:
    task = make_task(task_queue_sid=FIRST, queue_entered_time=5)
    task = decision.create(task, "task.created")
    decision.emit("task-queue.entered", task)
    decision.emit("task-queue.timeout", task)
    for queue, time in ((SECOND, 6), (THIRD, 7)):
        task = decision.change(task, task_queue_sid=queue, queue_entered_time=time)
        decision.emit("task-queue.moved", task)
        decision.emit("task-queue.entered", task)

    assert events(decision) == [
        ("task.created", "", 0),
        ("task-queue.entered", FIRST, 5),
        ("task-queue.timeout", FIRST, 5),
        ("task-queue.moved", FIRST, 5),
        ("task-queue.entered", SECOND, 6),
        ("task-queue.moved", SECOND, 6),
        ("task-queue.entered", THIRD, 7),
    ]


def test_a_task_that_stays_in_its_queue_did_not_come_there(decision: Decision) -> None:
    task = decision.create(make_task(queue_entered_time=5), "task.created")
    decision.emit("task-queue.entered", task)
    task = decision.change(task, step_target=1)
    decision.emit("task-queue.entered", task)

    assert events(decision)[1:] == [
        ("task-queue.entered", TASK_QUEUE, 5),
        ("task-queue.entered", TASK_QUEUE, 0),
    ]


def test_events_name_each_activity_a_worker_left(decision: Decision) -> None:
    first, second, third = (make_sid("WA", number) for number in (1, 2, 3))
    worker = make_worker(activity_sid=first, activity_time=5)
    worker = decision.create(worker, "worker.created")
    for activity, time in ((second, 8), (third, 9)):
        worker = decision.change(
            worker,
            "worker.activity.update",
            activity_sid=activity,
            activity_time=time,
        )
    decision.change(worker, "worker.updated", friendly_name="x")

    assert events(decision) == [
        ("worker.created", "", 0),
        ("worker.activity.update", first, 5),
        ("worker.activity.update", second, 8),
        ("worker.updated", "", 0),
    ]


@pytest.mark.parametrize("fields", [3, 5], ids=["before places", "before reasons"])
def test_what_was_written_when_events_had_fewer_fields_is_read(fields: int) -> None:
    change_set = make_change_set(0, make_task())
    body = encode_change_set(change_set)
    (event,) = change_set.events
    whole = msgspec.to_builtins(event)
    encode = msgspec.msgpack.encode
    old = body.replace(encode(whole), encode(whole[:fields]))

    assert len(old) < len(body)
    assert decode_change_set(old) == change_set


def shows(row: Row, event: str = "x.y", place: str = "", **wanted: Any) -> bool:
    found = Event(event, row.sid, 1, place, 0)
    change_set: ChangeSet = make_change_set(0, row, events=(found,))
    return LogFilter(**wanted).finds(change_set)


@pytest.mark.parametrize(
    ("row", "field", "sid"),
    [
        (make_task(sid=TASK), "task_sid", TASK),
        (make_task(), "workspace_sid", WORKSPACE),
        (make_task(), "workflow_sid", WORKFLOW),
        (make_task(), "task_queue_sid", TASK_QUEUE),
        (make_task(), "task_channel_sid", TASK_CHANNEL),
        (make_reservation(), "task_sid", TASK),
        (make_reservation(), "worker_sid", WORKER),
        (make_worker(sid=WORKER), "worker_sid", WORKER),
        (make_worker(), "workspace_sid", WORKSPACE),
    ],
)
def test_an_event_is_about_its_row_and_what_that_names(
    row: Row, field: str, sid: str
) -> None:
    assert shows(row, **{field: sid})
    assert not shows(row, **{field: make_sid(sid[:2], 77)})
    assert not shows(make_conversation(), **{field: sid})


def test_an_event_of_a_queue_is_about_that_queue_and_not_the_next() -> None:
    task = make_task(task_queue_sid=SECOND)
    left = {"event": "task-queue.timeout", "place": FIRST}

    assert shows(task, task_queue_sid=FIRST, **left)
    assert not shows(task, task_queue_sid=SECOND, **left)


def test_types_are_types_or_their_first_word() -> None:
    task = make_task()
    for types, shown in (
        ({"task.created"}, True),
        ({"task"}, True),
        ({"worker", "task"}, True),
        ({"task.canceled"}, False),
        ({"tas"}, False),
    ):
        assert shows(task, "task.created", types=frozenset(types)) is shown


def test_an_empty_filter_shows_everything() -> None:
    assert shows(make_task())
    assert shows(make_conversation())
