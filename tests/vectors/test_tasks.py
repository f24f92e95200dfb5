"""What may be done to a task in which state, and how long it can be read."""

from flexcore.engine import commands as c
from tests.vectors.floor import Floor, Seen, refusal
from tests.vectors.registry import compat, vector


@vector(34)
def assigned_task_is_canceled(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.accept("A")
    return {"cancel": refusal(floor.cancel), "task": floor.status()}


def test_vector_34_an_assigned_task_cannot_be_canceled() -> None:
    assert compat(assigned_task_is_canceled) == {
        "cancel": "FAILED_PRECONDITION ILLEGAL_TRANSITION",
        "task": "assigned",
    }


@vector(35)
def waiting_task_is_completed(floor: Floor) -> Seen:
    floor.add_task()
    return {"complete": refusal(floor.complete), "task": floor.status()}


def test_vector_35_a_waiting_task_cannot_be_completed() -> None:
    assert compat(waiting_task_is_completed) == {
        "complete": "FAILED_PRECONDITION ILLEGAL_TRANSITION",
        "task": "pending",
    }


@vector(36)
def completed_task_is_read(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.accept("A")
    floor.complete()
    sid = floor.sid("T")
    floor.wait(299)
    seen: Seen = {"at 4:59": refusal(lambda: floor.do(c.Get(sid=sid)))}
    floor.wait(1)
    return seen | {"at 5:00": refusal(lambda: floor.do(c.Get(sid=sid)))}


def test_vector_36_a_completed_task_can_be_read_for_five_minutes() -> None:
    assert compat(completed_task_is_read) == {
        "at 4:59": "taken",
        "at 5:00": "NOT_FOUND RESOURCE_NOT_FOUND",
    }


@vector(48)
def stated_version_is_old(floor: Floor) -> Seen:
    floor.add_task(priority=1)
    floor.update_task(priority=2)
    before = floor.task()
    updates = refusal(
        lambda: floor.update_task(priority=3, expected_version=before.version - 1)
    )
    return {"update": updates, "changed": floor.task() != before}


def test_vector_48_an_update_of_an_old_version_is_aborted() -> None:
    assert compat(stated_version_is_old) == {
        "update": "ABORTED VERSION_MISMATCH",
        "changed": False,
    }


@vector(103)
def nobody_ends_the_wrap_up(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.accept("A")
    floor.wrap()
    floor.wait(86_400)
    return {"task": floor.status()}


def test_vector_103_a_wrap_up_ends_when_somebody_ends_it() -> None:
    assert compat(nobody_ends_the_wrap_up) == {"task": "wrapping"}


@vector(104)
def task_is_assigned_for_a_day(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.accept("A")
    floor.wait(86_399)
    seen: Seen = {"before": floor.status()}
    floor.wait(1)
    return seen | {
        "after a day": floor.status(),
        "events": floor.events("task.system-deleted"),
    }


def test_vector_104_a_task_that_is_assigned_for_a_day_is_deleted() -> None:
    assert compat(task_is_assigned_for_a_day) == {
        "before": "assigned",
        "after a day": "gone",
        "events": ["task.system-deleted"],
    }
