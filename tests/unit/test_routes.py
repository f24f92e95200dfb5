"""Tasks that go from one routing target to the next."""

import pytest

from flexcore.domain.errors import FailedPrecondition, Reason
from flexcore.domain.parts import Route
from tests.vectors.floor import Floor


def routed(*workers: tuple[str, bool]) -> Floor:
    """Return a floor with a task for these workers, whatever they do or when free."""
    floor = Floor("strict")
    for name, _ in workers:
        floor.hire(name, "Offline")
    links = (Route(floor.sid(name), 10, whatever) for name, whatever in workers)
    floor.add_task(routes=tuple(links))
    return floor


def test_a_task_goes_from_a_worker_who_is_not_free_to_the_next() -> None:
    floor = routed(("A", False), ("B", False))
    floor.wait(10)
    floor.go("A", "Available")
    floor.go("B", "Available")

    assert floor.offers() == ["B pending"]
    assert floor.events("task-queue.timeout") == ["task-queue.timeout"]


def test_an_answer_comes_too_late_when_the_task_waits_for_somebody_else() -> None:
    floor = routed(("A", True), ("B", False))
    floor.wait(120)

    with pytest.raises(FailedPrecondition, match="on its way to a worker") as caught:
        floor.accept("A")
    assert caught.value.reason is Reason.RESERVATION_EXPIRED
