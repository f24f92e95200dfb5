"""Tasks that go from one routing target to the next."""

import pytest

from flexcore.domain import limits
from flexcore.domain.errors import FailedPrecondition, InvalidArgument, Reason
from flexcore.domain.parts import Route
from tests.vectors.floor import Floor, step


def routed(*workers: tuple[str, bool]) -> Floor:
    """Return a floor with a task for these workers, whatever they do or when free."""
    floor = Floor("strict")
    for name, _ in workers:
        floor.hire(name, "Offline")
    links = (
        Route(floor.sid(name), 0 if whatever else 10, whatever)
        for name, whatever in workers
    )
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


def test_the_last_queue_keeps_a_task_as_long_as_its_link_says() -> None:
    floor = Floor("strict")
    floor.add_queue("shut", "")
    floor.add_task(routes=(Route(floor.sid("shut"), 10),))
    floor.wait(9)
    assert floor.status() == "pending"

    floor.wait(1)

    assert floor.status() == "canceled: RoutingTarget not available"


@pytest.mark.parametrize(
    ("to", "wait", "at_once", "field"),
    [
        ("A", 10, True, "wait"),
        ("Q", 0, True, "ignore_capacity"),
        ("flow", 0, True, "ignore_capacity"),
        ("flow", 10, False, "wait"),
    ],
)
def test_what_means_nothing_at_a_link_is_refused(
    to: str, wait: int, at_once: bool, field: str
) -> None:
    floor = Floor("strict")
    floor.hire("A", "Offline")
    sid = floor.sid(floor.lead(step("Q")) if to == "flow" else to)

    with pytest.raises(InvalidArgument) as caught:
        floor.add_task(routes=(Route(sid, wait, at_once),))
    assert f"routing_targets[0].{field}" in str(caught.value)


@pytest.mark.parametrize("ignored", [True, False])
def test_a_link_that_does_not_say_ignores_capacity_as_the_policy_says(
    ignored: bool,
) -> None:
    floor = Floor("strict", direct_ignore_capacity=ignored)
    for name in "AB":
        floor.hire(name, "Offline")
    links = (Route(floor.sid("A")), Route(floor.sid("B"), 10), Route(floor.sid("Q")))
    floor.add_task(routes=links)

    # A wait says that it waits; a queue has no capacity to ignore.
    assert [link.ignore_capacity for link in floor.task().routes] == [
        ignored,
        False,
        False,
    ]
    assert floor.status() == ("reserved" if ignored else "pending")


def test_a_task_goes_on_at_once_when_the_worker_it_waits_for_is_deleted() -> None:
    floor = routed(("A", False), ("B", True))

    floor.dismiss("A")

    assert floor.offers() == ["B pending"]


def test_a_task_ends_at_once_when_the_last_worker_it_waits_for_is_deleted() -> None:
    floor = routed(("A", False))

    floor.dismiss("A")

    assert floor.status() == "canceled: RoutingTarget not available"
    assert floor.events("reservation.failed") == ["reservation.failed"]


def test_a_worker_is_not_deleted_while_too_many_tasks_wait_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SENT_ON_MAX", 1)
    floor = routed(("A", False))
    floor.add_task("other", routes=(Route(floor.sid("A")),))

    with pytest.raises(FailedPrecondition) as caught:
        floor.dismiss("A")
    assert caught.value.reason is Reason.RESOURCE_IN_USE
    assert caught.value.metadata["count"] == "2"
    floor.cancel("other")
    floor.dismiss("A")


@pytest.mark.parametrize("kind", ["queue", "workflow"])
def test_what_a_task_may_still_come_to_is_not_deleted(kind: str) -> None:
    floor = Floor("strict")
    floor.hire("A", "Offline")
    floor.add_queue("later")
    if kind == "workflow":
        name = floor.lead(step("Q"))
        floor.lead(step("Q"))
        delete = floor.delete_workflow
    else:
        name, delete = "later", floor.delete_queue
    links = (Route(floor.sid("A"), 10), Route(floor.sid(name)))
    floor.add_task(routes=links)

    with pytest.raises(FailedPrecondition) as caught:
        delete(name)
    assert caught.value.reason is Reason.RESOURCE_IN_USE
    assert caught.value.metadata["sids"] == floor.task().sid

    floor.cancel()
    delete(name)
