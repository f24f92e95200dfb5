"""Changing a task on its way through a workflow."""

import pytest

from flexcore.domain.errors import InvalidArgument, Reason
from tests.vectors.floor import Floor, step


def test_the_priority_of_a_step_stays_when_a_call_sets_another() -> None:
    floor = Floor("strict")
    floor.lead(step("Q", priority=5, timeout=10), step("Q"))
    floor.add_task(priority=1)

    floor.update_task(priority=9)
    assert floor.task().priority == 5

    floor.wait(10)
    floor.update_task(priority=9)
    assert floor.task().priority == 9


def test_a_priority_given_with_other_attributes_counts_in_a_step_that_sets_none() -> (
    None
):
    floor = Floor("strict")
    floor.lead_by(("vip == 1", (step("Q"),)), ("1==1", (step("Q", priority=5),)))
    floor.add_task()

    floor.update_task(priority=9, attributes='{"vip":1}')

    assert floor.task().priority == 9


@pytest.mark.parametrize("preset", ["compat", "strict"])
def test_attributes_changed_while_offered_route_the_task_when_it_comes_back(
    preset: str,
) -> None:
    floor = Floor(preset)
    floor.add_queue("V", "1==0")
    floor.lead_by(("vip == 1", (step("V"),)), ("1==1", (step("Q"),)))
    floor.hire("A")
    floor.add_task()
    floor.update_task(attributes='{"vip":1}')
    assert (floor.queue(), floor.offers()) == ("Q", ["A pending"])

    floor.reject("A")

    assert (floor.queue(), floor.offers()) == ("V", ["A rejected"])


def test_attributes_that_no_filter_takes_are_refused_while_offered_too() -> None:
    floor = Floor("strict")
    floor.lead_by(("vip == 1", (step("Q"),)))
    floor.hire("A")
    floor.add_task(attributes={"vip": 1})

    with pytest.raises(InvalidArgument) as caught:
        floor.update_task(attributes="{}")
    assert caught.value.reason is Reason.NO_FILTER_MATCHED
    assert floor.task().attributes == '{"vip":1}'
