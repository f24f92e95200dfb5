"""Each checker fails when it should: a good log, and one thing in it that is wrong."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from flexcore.domain.limits import HOUR
from flexcore.domain.log import ChangeSet, Event
from flexcore.domain.model import (
    Reservation,
    Row,
    Task,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workspace,
)
from flexcore.domain.states import ReservationStatus, TaskStatus
from flexcore.engine.routing.presence import REASON
from tests.checkers import (
    CHECKERS,
    accepts,
    candidates,
    capacity,
    choice,
    claims,
    conservation,
    deadlines,
    held,
    offers_of_a_task,
    order,
    places,
    status,
    vanished,
    violations,
)
from tests.simulation.company import Profile
from tests.simulation.work import Run

Log = list[ChangeSet]
Change = Callable[[Row], Row]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Half an hour of too few agents."""
    run = Run(
        tmp_path_factory.mktemp("work"), 22, Profile(agents=6, tasks=70, hours=0.5)
    )
    run.play()
    run.site.close()
    run.site.store.close()
    return run.site.log


def changed(change_set: ChangeSet, *changes: Change, **fields: object) -> ChangeSet:
    """The change set with each of its rows changed."""
    rows = change_set.resources
    for change in changes:
        rows = tuple(map(change, rows))
    return type(change_set)(
        **{
            **{name: getattr(change_set, name) for name in ChangeSet.__struct_fields__},
            "resources": rows,
            **fields,
        }
    )


def everywhere(log: Log, kind: type[Row], change: Change) -> Log:
    """The log with every row of a kind changed, from the beginning on."""
    return [
        changed(each, lambda row: change(row) if isinstance(row, kind) else row)
        for each in log
    ]


def upto(log: Log, event: str, then: Callable[[ChangeSet], ChangeSet]) -> Log:
    """The log as far as the last change set with such an event, which is changed."""
    last = max(
        number for number, change_set in enumerate(log) if has(change_set, event)
    )
    return [*log[:last], then(log[last])]


def has(change_set: ChangeSet, event: str) -> bool:
    return any(each.type == event for each in change_set.events)


def offers(change_set: ChangeSet) -> list[Reservation]:
    return [
        row
        for row in change_set.resources
        if isinstance(row, Reservation) and row.status == ReservationStatus.PENDING
    ]


def first(found: Iterator[str]) -> str:
    return next(found, "")


def test_a_good_log_has_no_violations(log: Log) -> None:
    assert list(violations(log)) == []
    assert len(log) > 300


def test_every_checker_has_a_case_it_fails_on() -> None:
    cases = Path(__file__).read_text()

    assert [each for each in CHECKERS if f"[{each.__name__}]" not in cases] == []


def test_one_too_many_is_noticed(log: Log) -> None:
    bad = everywhere(log, WorkerChannel, lambda row: row.evolve(configured_capacity=0))

    assert "which is more than 0" in first(violations(bad, [capacity]))


def test_what_is_held_may_stay_when_capacity_is_lowered(log: Log) -> None:
    good = upto(log, "reservation.accepted", lambda each: each)
    held_by = next(r for r in good[-1].resources if isinstance(r, Reservation))
    room = [
        row
        for change_set in good
        for row in change_set.resources
        if isinstance(row, WorkerChannel)
        and row.worker_sid == held_by.worker_sid
        and row.task_channel_sid == held_by.task_channel_sid
    ][-1]
    lowered = changed(
        good[-1],
        resources=(room.evolve(configured_capacity=0),),
        events=(Event("worker.capacity.update", room.sid, room.version + 1),),
    )

    assert list(violations([*good, lowered], [capacity])) == []


def test_offer_to_somebody_who_is_not_in_the_queue_is_noticed(log: Log) -> None:
    bad = everywhere(log, TaskQueue, lambda row: row.evolve(target_workers="1==0"))

    assert "who is no candidate" in first(violations(bad, [candidates]))


def test_claim_without_a_right_is_noticed(log: Log) -> None:
    bad = everywhere(log, TaskQueue, lambda row: row.evolve(target_workers="1==0"))

    assert "without a right" in first(violations(bad, [claims]))


def test_offer_to_the_second_best_is_noticed(log: Log) -> None:
    bad = everywhere(log, Worker, lambda row: row.evolve(order=-row.order))
    bad = everywhere(bad, WorkerChannel, lambda row: row.evolve(last_offered=0))

    assert any("comes first by" in text for text in violations(bad, [choice]))


def test_wrong_count_of_candidates_is_noticed(log: Log) -> None:
    bad = everywhere(log, Reservation, lambda row: row.evolve(candidates=99))

    assert "counts 99 candidates" in first(violations(bad, [choice]))


def test_priority_inversion_is_noticed(log: Log) -> None:
    bad = everywhere(log, Task, lambda row: row.evolve(priority=99 - row.priority))

    assert any(text.startswith("order: inversion") for text in violations(bad, [order]))


def test_wrong_order_in_a_fifo_queue_is_noticed(log: Log) -> None:
    def late(row: Row) -> Row:
        return row.evolve(virtual_start_time=-row.virtual_start_time, priority=0)

    plain = {"priority_boost_seconds": 0}
    bad = everywhere(log, Workspace, lambda row: row.evolve(policies=plain))
    bad = everywhere(bad, TaskQueue, lambda row: row.evolve(task_order="FIFO"))
    found = list(violations(everywhere(bad, Task, late), [order]))

    assert any("earlier to a FIFO queue" in text for text in found)


def test_wrong_order_in_a_lifo_queue_is_noticed(log: Log) -> None:
    bad = everywhere(log, TaskQueue, lambda row: row.evolve(task_order="LIFO"))

    assert any(
        "came later to a LIFO queue" in text for text in violations(bad, [order])
    )


def test_queue_of_the_wrong_kind_first_is_noticed(log: Log) -> None:
    def some(row: Row) -> Row:
        lifo = row.friendly_name in ("english", "billing")
        return row.evolve(task_order="LIFO" if lifo else "FIFO")

    found = list(violations(everywhere(log, TaskQueue, some), [order]))

    assert any(text.startswith("order: preference") for text in found)


def test_overtaking_beyond_the_bound_is_noticed(log: Log) -> None:
    boost = {"priority_boost_seconds": 1}
    bad = everywhere(log, Workspace, lambda row: row.evolve(policies=boost))

    found = list(violations(bad, [order]))

    assert any(
        text.startswith("order: overtaking") and "points are worth" in text
        for text in found
    )


def test_idle_worker_beside_a_waiting_task_is_noticed(log: Log) -> None:
    def without_offer(change_set: ChangeSet) -> ChangeSet:
        kept = tuple(
            row for row in change_set.resources if not isinstance(row, Reservation)
        )
        offered = {event.sid for event in change_set.events if event.sid[:2] == "WR"}
        events = tuple(e for e in change_set.events if e.sid not in offered)
        waiting = tuple(
            row.evolve(status=TaskStatus.PENDING) if isinstance(row, Task) else row
            for row in kept
        )
        return changed(change_set, resources=waiting, events=events)

    bad = upto(log, "task.created", lambda each: each)
    bad = next(
        [*bad[:number], without_offer(change_set)]
        for number, change_set in enumerate(bad)
        if {e.type for e in change_set.events}
        >= {"task.created", "reservation.created"}
    )

    assert "idle while" in first(violations(bad, [conservation]))


def test_second_accept_of_a_reservation_is_noticed(log: Log) -> None:
    good = upto(log, "reservation.accepted", lambda each: each)

    assert "once more" in first(violations([*good, good[-1]], [accepts]))


def test_second_accepted_reservation_of_a_task_is_noticed(log: Log) -> None:
    def twin(change_set: ChangeSet) -> ChangeSet:
        rows = tuple(
            row.evolve(sid="WR" + "f" * 32) if isinstance(row, Reservation) else row
            for row in change_set.resources
        )
        event = Event("reservation.accepted", "WR" + "f" * 32, 2)
        return changed(change_set, resources=rows, events=(event,))

    good = upto(log, "reservation.accepted", lambda each: each)

    assert "its task was accepted by" in first(
        violations([*good, twin(good[-1])], [accepts])
    )


def test_more_offers_at_once_than_the_queue_allows_are_noticed(log: Log) -> None:
    number, offered = next(
        (number, change_set)
        for number, change_set in enumerate(log)
        if has(change_set, "reservation.created") and offers(change_set)
    )
    twin = offers(offered)[0].evolve(sid="WR" + "f" * 32)
    bad = [*log[:number], changed(offered, resources=(*offered.resources, twin))]

    found = list(violations(bad, [offers_of_a_task]))

    assert any("to 2 at once" in text for text in found)
    assert any("to the same worker twice" in text for text in found)


def test_open_reservation_of_a_finished_task_is_noticed(log: Log) -> None:
    def still_open(change_set: ChangeSet) -> ChangeSet:
        return changed(
            change_set,
            lambda row: (
                row.evolve(status=ReservationStatus.WRAPPING)
                if isinstance(row, Reservation)
                else row
            ),
        )

    bad = upto(log, "task.completed", still_open)

    assert "whose reservation is wrapping" in first(violations(bad, [status]))


def test_task_without_deadline_and_holder_is_noticed(log: Log) -> None:
    bad = everywhere(log, Task, lambda row: row.evolve(deadline=0, step_deadline=0))

    assert "by nobody and for ever" in first(violations(bad, [held]))


def test_accept_after_the_deadline_is_noticed(log: Log) -> None:
    bad = moved(log, -HOUR)

    assert any("after its deadline" in text for text in violations(bad, [deadlines]))


def test_timeout_before_the_deadline_is_noticed(log: Log) -> None:
    bad = moved(log, HOUR)

    assert any("before its deadline" in text for text in violations(bad, [deadlines]))


def test_deadline_that_nobody_acts_on_is_noticed(log: Log) -> None:
    bad = moved(log, -HOUR)

    assert any(
        "after a deadline of WR" in text for text in violations(bad, [deadlines])
    )


def test_worker_who_is_lost_too_early_is_noticed(log: Log) -> None:
    bad = everywhere(log, Worker, lambda row: row.evolve(grace_time=2 * row.grace_time))

    assert "before the grace period is over" in first(violations(bad, [vanished]))


def test_offer_that_stays_with_somebody_lost_is_noticed(log: Log) -> None:
    bad = everywhere(
        log,
        Reservation,
        lambda row: (
            row.evolve(status=ReservationStatus.PENDING)
            if row.reason == REASON
            else row
        ),
    )

    assert " and leaves WR" in first(violations(bad, [vanished]))


def test_task_that_goes_to_the_end_of_its_queue_is_noticed(log: Log) -> None:
    bad = upto(
        log,
        "reservation.rejected",
        lambda each: changed(
            each,
            lambda row: (
                row.evolve(virtual_start_time=each.time)
                if isinstance(row, Task)
                else row
            ),
        ),
    )

    assert "another place" in first(violations(bad, [places]))


def moved(log: Iterable[ChangeSet], by: int) -> Log:
    """The log with the deadlines of all offers moved."""
    return everywhere(
        list(log), Reservation, lambda row: row.evolve(deadline=row.deadline + by)
    )


def test_task_that_waits_without_being_held_back_is_noticed(log: Log) -> None:
    bad = everywhere(log, Task, lambda row: row.evolve(hold_time=0))

    assert "waits" in first(violations(bad, [conservation]))
