"""A task is removed with all its reservations, however often it was offered."""

import pytest

from flexcore.domain import limits
from flexcore.domain.model import Reservation, Task
from flexcore.engine import commands as c
from tests.vectors.floor import MeasuredFloor


class Refusing(MeasuredFloor):
    """A floor on which A declines what A is offered."""

    def refuse(self, times: int) -> None:
        """Let A reject what A is offered, again and again."""
        for _ in range(times):
            (sid,) = self.state.sids(Reservation, "open_worker_sid", self.sid("A"))
            self.do(c.RejectReservation(sid=sid))

    def told(self) -> list[str]:
        return self.events("task.deleted", "task.purging", "task.purged")


@pytest.fixture
def floor() -> Refusing:
    """A floor with a task that was offered as often as may be."""
    floor = Refusing("compat")
    floor.hire("A")
    floor.add_task()
    floor.refuse(limits.ASSIGNMENTS_MAX - 1)
    floor.sizes = ()
    return floor


def test_a_task_that_was_offered_a_thousand_times_is_deleted(floor: Refusing) -> None:
    floor.do(c.DeleteTask(sid=floor.sid("T")))

    assert floor.status() == "gone"
    assert floor.offers() == []
    assert max(floor.sizes) < limits.CHANGE_SET_RESOURCES / 4
    told = floor.told()
    assert (told[0], told[-1]) == ("task.deleted", "task.purged")
    assert set(told[1:-1]) == {"task.purging"}


@pytest.mark.parametrize("at_once", [1, limits.REMOVED_AT_ONCE])
@pytest.mark.parametrize(
    ("taken", "status"), [(False, "canceled"), (True, "completed")]
)
def test_a_deleted_task_is_told_as_it_ended_however_often_it_was_offered(
    monkeypatch: pytest.MonkeyPatch, at_once: int, taken: bool, status: str
) -> None:
    monkeypatch.setattr(limits, "REMOVED_AT_ONCE", at_once)
    floor = Refusing("compat")
    floor.hire("A")
    floor.add_task()
    floor.refuse(2)
    if taken:
        floor.accept("A")
    (task,) = floor.do(c.DeleteTask(sid=floor.sid("T")))

    assert isinstance(task, Task)
    assert (task.status, task.refusals, task.step_deadline) == (status, (), 0)
    assert floor.status() == "gone"


def test_a_task_that_was_offered_a_thousand_times_is_purged(floor: Refusing) -> None:
    floor.accept("A")
    floor.complete()
    assert len(floor.offers()) == limits.ASSIGNMENTS_MAX
    floor.wait(300)

    assert floor.status() == "gone"
    assert floor.offers() == []
    assert max(floor.sizes) < limits.CHANGE_SET_RESOURCES / 4
    assert set(floor.told()[:-1]) == {"task.purging"}


def test_nobody_is_offered_a_task_of_which_something_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REMOVED_AT_ONCE", 1)
    floor = Refusing("compat")
    floor.hire("A")
    floor.add_task()
    floor.refuse(2)
    floor.add_task("U")
    now = floor.clock.now()
    decider, principal = floor.decider, floor.principal
    delete = c.DeleteTask(sid=floor.sid("T"))
    decided = floor._follow(decider.decide(principal, delete, now))

    assert floor.status() == "canceled"
    assert [row.status for row in decided.rows] == ["canceled"]
    assert floor.offers("U") == ["A pending"]
    assert decider.deadlines.first()[0] <= now
    floor.expire()
    assert floor.status() == "gone"
    floor.accept("A")
    assert floor.status("U") == "assigned"
