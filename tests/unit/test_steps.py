"""How long a task may stay in the steps it comes into."""

import pytest

from tests.vectors.floor import Floor, step

NOBODY = "1 == 1"


@pytest.fixture
def floor() -> Floor:
    """A floor where steps are measured on the task's age, with a second queue."""
    floor = Floor("compat")
    floor.add_queue("Q2")
    return floor


def test_the_targets_of_a_skipped_filter_take_no_time_from_the_next(
    floor: Floor,
) -> None:
    skipped = step("Q", timeout=600, skip_if=NOBODY)
    floor.lead_by(
        ("1==1", (skipped, skipped)), ("1==1", (step("Q2", timeout=30), step()))
    )
    floor.add_task()

    assert (floor.queue(), floor.step(), floor.left()) == ("Q2", 1, 30)
    floor.wait(30)
    assert floor.step() == 2


def test_a_skipped_target_takes_its_time_from_those_behind_it(floor: Floor) -> None:
    floor.lead(step("Q", timeout=600, skip_if=NOBODY), step("Q2", timeout=30))
    floor.add_task()

    assert (floor.queue(), floor.step(), floor.left()) == ("Q2", 2, 630)


@pytest.mark.parametrize("semantics", ["compat", "strict"])
def test_a_known_worker_who_rejects_leaves_the_task_to_the_next_step(
    semantics: str,
) -> None:
    floor = Floor(semantics)
    floor.staff("A", "B")
    floor.lead(step("Q", known_worker_sid="task.agent", skip_if=NOBODY), step())
    floor.add_task(attributes={"agent": floor.sid("A")})
    floor.reject("A", activity="Unavailable")

    assert floor.step() == 2
    assert floor.offers() == ["A rejected", "B pending"]


def test_a_step_is_not_left_by_who_comes_back_and_finds_somebody(floor: Floor) -> None:
    floor.staff("A", "B")
    floor.lead(step("Q", skip_if=NOBODY), step("Q2"))
    floor.add_task()
    floor.reject("A", activity="Unavailable")

    assert (floor.step(), floor.offers()) == (1, ["A rejected", "B pending"])


def test_the_next_filter_begins_when_the_last_target_was_over(floor: Floor) -> None:
    away = step("Q", timeout=10, skip_if=NOBODY)
    floor.lead_by(
        ("1==1", (step("Q", timeout=20),)),
        ("1==1", (step("Q", timeout=5), away)),
        ("1==1", (step("Q2", timeout=30),)),
    )
    floor.add_task()
    floor.wait(25)

    assert (floor.queue(), floor.left()) == ("Q2", 25)
