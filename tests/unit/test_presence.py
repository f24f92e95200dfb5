"""What follows when nobody vouches for a worker any more."""

import pytest

from flexcore.domain.errors import FailedPrecondition, InvalidArgument
from flexcore.domain.model import Worker
from flexcore.domain.parts import Route
from tests.vectors.floor import Floor, ForgetfulFloor, step


def floor(rule: str = "requeue", **policies: object) -> Floor:
    opened = Floor("strict", vanished_worker=rule, **policies)
    opened.staff("A")
    opened.note("connect", "A")
    return opened


def vanish(opened: Floor, name: str = "A", seconds: int = 60) -> None:
    opened.note("silence", name)
    opened.wait(seconds)


def worker(opened: Floor, name: str = "A") -> Worker:
    return opened.row(name, Worker)


def test_a_worker_nobody_declared_has_no_connectivity_and_stays() -> None:
    opened = Floor("strict")
    opened.staff("A")
    opened.note("silence", "A")
    opened.note("restart", "A")
    opened.wait(3600)

    assert worker(opened).connectivity == "untracked"
    assert worker(opened).available


def test_nothing_changes_during_the_grace_period() -> None:
    opened = floor()
    opened.add_task()
    vanish(opened, seconds=59)

    assert worker(opened).connectivity == "grace"
    assert worker(opened).available
    assert opened.offers() == ["A pending"]


def test_whoever_comes_back_in_time_was_never_away() -> None:
    opened = floor()
    since = worker(opened).available_time
    vanish(opened, seconds=59)
    opened.note("connect", "A")
    opened.wait(3600)

    assert worker(opened).connectivity == "connected"
    assert worker(opened).available_time == since


def test_a_lost_worker_keeps_the_activity_and_gets_no_offers() -> None:
    opened = floor()
    vanish(opened)
    opened.add_task()

    assert worker(opened).connectivity == "lost"
    assert opened.activity("A") == "Available"
    assert opened.offers() == []


def test_a_lost_worker_who_comes_back_is_offered_what_waits() -> None:
    opened = floor()
    vanish(opened)
    opened.add_task()
    opened.wait(10)
    opened.note("connect", "A")

    assert opened.offers() == ["A pending"]
    assert worker(opened).available_time == opened.clock.now()


def test_a_worker_who_is_forgotten_is_available_again() -> None:
    opened = floor()
    vanish(opened)
    opened.note("forget", "A")

    assert worker(opened).connectivity == "untracked"
    assert worker(opened).available


def test_a_lost_worker_stays_out_whatever_activity_is_chosen() -> None:
    opened = floor()
    vanish(opened)
    opened.go("A", "Offline")
    opened.go("A", "Available")

    assert not worker(opened).available


def test_a_lost_worker_cannot_claim() -> None:
    opened = floor()
    vanish(opened)
    opened.add_task()

    with pytest.raises(FailedPrecondition, match="is out of reach") as refusal:
        opened.claim("A")
    assert refusal.value.metadata["condition"] == "presence"


@pytest.mark.parametrize("rule", ["keep", "requeue"])
def test_a_pending_offer_of_a_lost_worker_is_taken_back(rule: str) -> None:
    opened = floor(rule)
    opened.add_task()
    opened.hire("B")
    vanish(opened)

    assert opened.offers() == ["A canceled", "B pending"]
    assert opened.task().refusals == ()
    assert worker(opened).missed_offers == 0


def test_nothing_follows_where_the_policy_says_so() -> None:
    opened = floor("none")
    opened.add_task()
    opened.accept("A")
    vanish(opened)
    opened.complete()
    opened.add_task("next")

    assert worker(opened).connectivity == "lost"
    assert opened.offers("next") == ["A pending"]


def test_accepted_work_stays_where_the_policy_keeps_it() -> None:
    opened = floor("keep")
    opened.add_task()
    opened.accept("A")
    vanish(opened)

    assert opened.offers() == ["A accepted"]


def test_accepted_work_goes_to_another_in_its_old_place() -> None:
    opened = floor()
    opened.add_task("first")
    opened.accept("A")
    opened.add_task("second")
    vanish(opened)
    opened.hire("B")

    assert opened.offers("first") == ["A canceled", "B pending"]
    assert opened.offers("second") == []
    assert opened.events("task.requeued", name="first") == ["task.requeued"]


def test_a_requeued_task_has_its_whole_time_again() -> None:
    opened = floor()
    opened.lead(step("Q", timeout=30), step("Q", timeout=30))
    opened.add_task(timeout_seconds=40)
    opened.accept("A")
    opened.wait(3600)
    vanish(opened)

    assert opened.status() == "pending"
    assert opened.left() == 30
    assert opened.task().deadline == opened.clock.now() + 40_000_000


def test_a_requeued_task_goes_on_from_a_step_that_is_over_by_the_age() -> None:
    opened = floor(step_clock="age")
    opened.add_queue("Q2")
    opened.lead(step("Q", timeout=30), step("Q2"))
    opened.add_task()
    opened.accept("A")
    vanish(opened)

    assert opened.queue() == "Q2"


def test_a_requeued_task_that_was_for_the_worker_alone_goes_on_to_its_next_link() -> (
    None
):
    opened = floor()
    opened.add_task(routes=(Route(opened.sid("A")), Route(opened.sid("Q"))))
    opened.accept("A")
    vanish(opened)

    assert opened.queue() == "Q"
    assert opened.status() == "pending"


def test_a_requeued_task_enters_a_workflow_that_changed_meanwhile() -> None:
    opened = floor()
    opened.add_queue("Q2")
    workflow = opened.lead(step("Q", timeout=30), step("Q", timeout=30))
    opened.add_task()
    opened.accept("A")
    opened.update_workflow(workflow, step("Q2"), re_evaluate_tasks=True)
    opened.wait(1)
    vanish(opened)

    assert opened.queue() == "Q2"


def test_accepted_work_goes_to_the_queue_for_it_as_old_as_it_is() -> None:
    opened = floor("queue")
    opened.add_queue("rescue", "rescuer == true")
    opened.update_workspace(vanished_queue="rescue")
    opened.add_task()
    opened.accept("A")
    start = opened.task().virtual_start_time
    opened.hire("B")
    vanish(opened)
    assert (opened.queue(), opened.offers()) == ("rescue", ["A canceled"])
    assert opened.task().virtual_start_time == start

    opened.hire("C", rescuer=True)
    opened.note("connect", "C")
    opened.accept("C")
    vanish(opened, "C")

    assert opened.queue() == "rescue"
    assert [link.sid for link in opened.task().routes] == [opened.sid("rescue")]


def test_without_a_queue_for_it_accepted_work_goes_to_its_own() -> None:
    opened = floor("queue")
    opened.add_task()
    opened.accept("A")
    vanish(opened)

    assert (opened.queue(), opened.status()) == ("Q", "pending")


def test_the_queue_for_it_is_not_deleted_and_must_exist() -> None:
    opened = floor("queue")
    opened.add_queue("rescue")
    opened.update_workspace(vanished_queue="rescue")
    with pytest.raises(FailedPrecondition):
        opened.delete_queue("rescue")
    with pytest.raises(InvalidArgument, match="'nowhere' is no task queue"):
        opened.update_workspace(vanished_queue="nowhere")

    opened.update_workspace(vanished_queue="")
    opened.delete_queue("rescue")


def test_what_is_wrapped_up_stays() -> None:
    opened = floor()
    opened.add_task()
    opened.accept("A")
    opened.wrap()
    vanish(opened)

    assert opened.offers() == ["A wrapping"]


def test_more_work_than_one_decision_takes_goes_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flexcore.domain.limits.VANISHED_AT_ONCE", 2)
    opened = ForgetfulFloor("strict")
    opened.hire("A")
    opened.update_channel("A", "voice", configured_capacity=5)
    opened.note("connect", "A")
    names = [f"T{number}" for number in range(5)]
    for name in names:
        opened.add_task(name)
        opened.accept("A")
    vanish(opened)

    assert [opened.status(name) for name in names] == ["pending"] * 5
    assert worker(opened).grace_time == 0


def test_the_grace_period_is_the_policy() -> None:
    opened = floor(grace_seconds=5)
    vanish(opened, seconds=4)
    assert worker(opened).connectivity == "grace"

    opened.wait(1)
    assert worker(opened).connectivity == "lost"


def test_an_outage_begins_the_grace_period_anew() -> None:
    opened = floor()
    vanish(opened, seconds=50)
    opened.note("restart", "A")
    opened.wait(59)
    assert worker(opened).connectivity == "grace"

    opened.wait(1)
    assert worker(opened).connectivity == "lost"


# After the present work


def test_whoever_has_nothing_to_do_moves_at_once() -> None:
    opened = floor()
    opened.update_worker("A", activity="Unavailable", after_current_work=True)

    assert opened.activity("A") == "Unavailable"


def test_a_worker_finishes_the_present_work_and_gets_nothing_new() -> None:
    opened = floor()
    opened.update_channel("A", "voice", configured_capacity=2)
    opened.add_task()
    opened.accept("A")
    opened.update_worker("A", activity="Unavailable", after_current_work=True)
    opened.add_task("next")

    assert opened.activity("A") == "Available"
    assert opened.offers("next") == []

    opened.wrap()
    assert opened.activity("A") == "Available"

    opened.complete()
    assert opened.activity("A") == "Unavailable"
    assert worker(opened).next_activity_sid == ""


def test_another_choice_takes_the_place_of_what_was_to_follow() -> None:
    opened = floor()
    opened.update_channel("A", "voice", configured_capacity=2)
    opened.add_task()
    opened.update_worker("A", activity="Unavailable", after_current_work=True)
    opened.go("A", "Available")
    opened.add_task("next")

    assert opened.offers("next") == ["A pending"]


def test_a_missed_offer_does_not_change_what_is_to_follow() -> None:
    opened = floor(missed_offer="soft_away")
    opened.update_channel("A", "voice", configured_capacity=2)
    opened.add_task()
    opened.accept("A")
    opened.add_task("missed")
    opened.update_worker("A", activity="Unavailable", after_current_work=True)
    opened.wait(120)
    assert opened.activity("A") == "Offline"

    opened.complete()
    assert opened.activity("A") == "Unavailable"


def test_who_leaves_after_the_present_work_cannot_claim() -> None:
    opened = floor()
    opened.update_channel("A", "voice", configured_capacity=2)
    opened.add_task()
    opened.accept("A")
    opened.update_worker("A", activity="Unavailable", after_current_work=True)
    opened.add_task("next")

    with pytest.raises(FailedPrecondition, match="goes to Unavailable after"):
        opened.claim("A", "next")


def test_an_activity_somebody_goes_to_later_is_not_deleted() -> None:
    opened = floor()
    opened.add_activity("Lunch", available=False)
    opened.add_task()
    opened.accept("A")
    opened.update_worker("A", activity="Lunch", after_current_work=True)

    with pytest.raises(FailedPrecondition):
        opened.delete_activity("Lunch")
