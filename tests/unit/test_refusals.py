"""How many refusals of a task are remembered."""

import pytest

from flexcore.domain import limits
from flexcore.engine import commands as c
from tests.vectors.floor import Floor, step


def refused_by_all(names: str) -> Floor:
    floor = Floor("strict", refusal_scope="task", refusal_seconds=0)
    for name in names:
        floor.hire(name)
    floor.add_task()
    for name in names:
        floor.reject(name)
    return floor


def test_the_oldest_of_too_many_refusals_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REFUSALS_MAX", 2)
    floor = refused_by_all("ABC")

    names = [floor.sid(name) for name in "BC"]
    assert [row.worker_sid for row in floor.task().refusals] == names
    assert floor.offered("A") == "T"


def test_who_refuses_again_is_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REFUSALS_MAX", 2)
    floor = refused_by_all("ABC")
    floor.reject("A")

    names = [floor.sid(name) for name in "CA"]
    assert [row.worker_sid for row in floor.task().refusals] == names
    assert floor.offered("B") == "T"


@pytest.mark.parametrize("missing_array", ["empty", "false"])
def test_expressions_read_who_refused_before_anybody_did(missing_array: str) -> None:
    floor = Floor("strict", missing_array=missing_array, refusal_limit=5)
    floor.lead(step("Q", expression="worker.sid NOT IN task.refused_by"))
    floor.hire("A")
    floor.add_task()

    assert floor.offered("A") == "T"
    floor.reject("A")
    assert floor.status() == "pending"
    floor.hire("B")
    assert floor.offered("B") == "T"


def test_an_attribute_called_refused_by_is_kept_and_not_read() -> None:
    floor = Floor("strict")
    floor.lead(step("Q", expression="worker.sid NOT IN task.refused_by"))
    floor.hire("A")
    floor.add_task(attributes={"refused_by": [floor.sid("A")]})

    assert floor.offered("A") == "T"
    assert floor.sid("A") in floor.task().attributes


def test_a_task_that_many_refuse_stays_small() -> None:
    floor = Floor("strict", refusal_scope="task", refusal_seconds=0)
    floor.update_queue("Q", max_reserved_workers=limits.RESERVED_WORKERS_MAX)
    names = [f"W{number}" for number in range(3 * limits.RESERVED_WORKERS_MAX)]
    for name in names:
        floor.hire(name)
    floor.add_task()
    for name in names:
        floor.do(
            c.UpdateWorker(
                sid=floor.sid(name),
                activity="Offline",
                reject_pending_reservations=True,
            )
        )

    assert len(floor.task().refusals) == limits.REFUSALS_MAX


def test_a_worker_softly_away_comes_back_when_their_channel_is_changed() -> None:
    floor = Floor("strict", missed_offer="soft_away")
    floor.staff("A")
    floor.add_task()
    floor.wait(120)
    assert floor.activity("A") == "Offline"

    floor.update_channel("A", "voice", configured_capacity=2)

    assert floor.activity("A") == "Available"
