"""Tasks that go to one worker, past every workflow."""

from tests.vectors.floor import Floor, Seen
from tests.vectors.registry import compat, vector

FAILED = ("reservation.failed", "task.canceled")


@vector(45)
def worker_is_asked_whatever_they_do(floor: Floor) -> Seen:
    floor.hire("A", "Offline")
    floor.add_direct_task("A")
    return {"task": floor.status(), "offers": floor.offers()}


def test_vector_45_a_direct_task_is_offered_to_whoever_is_offline_unless_told() -> None:
    assert compat(worker_is_asked_whatever_they_do) == {
        "task": "reserved",
        "offers": ["A pending"],
    }


@vector(46)
def worker_is_asked_when_free(floor: Floor) -> Seen:
    floor.staff("B")
    floor.hire("A", "Offline")
    floor.add_direct_task("A", ignore_capacity=False)
    floor.wait(119)
    seen: Seen = {"task": floor.status(), "offers": floor.offers()}
    floor.wait(1)
    return seen | {"in the end": floor.status(), "events": floor.events(*FAILED)}


def test_vector_46_a_direct_task_that_heeds_capacity_waits_and_fails() -> None:
    assert compat(worker_is_asked_when_free) == {
        "task": "pending",
        "offers": [],
        "in the end": "canceled: RoutingTarget not available",
        "events": ["reservation.failed", "task.canceled"],
    }


@vector(47)
def worker_rejects_a_direct_task(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.add_direct_task("A")
    floor.reject("A")
    return {
        "task": floor.status(),
        "offers": floor.offers(),
        "events": floor.events(*FAILED),
    }


def test_vector_47_a_direct_task_is_canceled_when_it_is_rejected() -> None:
    assert compat(worker_rejects_a_direct_task) == {
        "task": "canceled: RoutingTarget not available",
        "offers": ["A rejected"],
        "events": ["reservation.failed", "task.canceled"],
    }
