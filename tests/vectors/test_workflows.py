"""How a task walks through its workflow."""

from tests.vectors.floor import Floor, Seen, step
from tests.vectors.registry import compat, vector


@vector(14)
def second_step_has_no_timeout(floor: Floor) -> Seen:
    floor.lead(step("Q", timeout=15), step())
    floor.add_task(timeout_seconds=100)
    seen: Seen = {}
    for age, seconds in ((14, 14), (15, 1), (99, 84)):
        floor.wait(seconds)
        seen[f"step at {age}"] = floor.step()
    seen["task at 99"] = floor.status()
    floor.wait(1)
    return seen | {"task at 100": floor.status()}


def test_vector_14_a_step_without_timeout_keeps_the_task_till_the_end() -> None:
    assert compat(second_step_has_no_timeout) == {
        "step at 14": 1,
        "step at 15": 2,
        "step at 99": 2,
        "task at 99": "pending",
        "task at 100": "canceled: Task TTL Exceeded",
    }


@vector(15)
def only_step_times_out(floor: Floor) -> Seen:
    floor.add_queue("D")
    floor.lead(step("Q", timeout=15), default="D")
    floor.add_task()
    floor.wait(15)
    return {
        "task": floor.status(),
        "queue": floor.queue(),
        "events": floor.events("workflow.timeout", "workflow.skipped"),
    }


def test_vector_15_the_default_filter_is_no_refuge_after_a_timeout() -> None:
    assert compat(only_step_times_out) == {
        "task": "canceled: Workflow timed out",
        "queue": "Q",
        "events": ["workflow.timeout"],
    }


NOBODY_THERE = "workers.available == 0"


@vector(16)
def skipped_step_has_a_default(floor: Floor) -> Seen:
    floor.add_queue("D")
    floor.hire("A", "Offline")
    floor.lead(step("Q", skip_if=NOBODY_THERE), default="D")
    floor.add_task()
    return {"task": floor.status(), "queue": floor.queue()}


def test_vector_16_the_default_filter_takes_what_was_skipped() -> None:
    assert compat(skipped_step_has_a_default) == {"task": "pending", "queue": "D"}


@vector(17)
def skipped_step_has_no_default(floor: Floor) -> Seen:
    floor.hire("A", "Offline")
    floor.lead(step("Q", skip_if=NOBODY_THERE))
    floor.add_task()
    return {
        "task": floor.status(),
        "events": floor.events("workflow.timeout", "workflow.skipped"),
    }


def test_vector_17_a_task_skipped_out_of_its_workflow_is_canceled() -> None:
    assert compat(skipped_step_has_no_default) == {
        "task": "canceled: Workflow skipped",
        "events": ["workflow.skipped"],
    }


@vector(18)
def step_could_be_skipped_and_somebody_is_free(floor: Floor) -> Seen:
    floor.add_queue("D")
    floor.staff("A")
    floor.lead(step("Q", skip_if="1==1"), default="D")
    floor.add_task()
    return {"offers": floor.offers(), "queue": floor.queue()}


def test_vector_18_no_step_is_skipped_where_somebody_is_free() -> None:
    assert compat(step_could_be_skipped_and_somebody_is_free) == {
        "offers": ["A pending"],
        "queue": "Q",
    }


@vector(19)
def everybody_there_is_busy(floor: Floor) -> Seen:
    floor.add_queue("D")
    floor.staff("A")
    floor.add_task("now")
    floor.lead(step("Q", skip_if=NOBODY_THERE), default="D")
    floor.add_task()
    return {"task": floor.status(), "queue": floor.queue()}


def test_vector_19_skip_if_counts_who_is_available_not_who_is_free() -> None:
    assert compat(everybody_there_is_busy) == {"task": "pending", "queue": "Q"}


MISSING = ("workflow.known-worker-missing",)


@vector(20)
def nobody_is_known(floor: Floor) -> Seen:
    floor.staff("A")
    floor.lead(step("Q", timeout=10, known_worker_sid="task.agent"), step())
    floor.add_task(attributes={"agent": None})
    floor.wait(9)
    seen: Seen = {
        "step at 9": floor.step(),
        "offers at 9": floor.offers(),
        "events": floor.events(*MISSING),
    }
    floor.wait(1)
    return seen | {"step at 10": floor.step(), "offers at 10": floor.offers()}


def test_vector_20_a_step_for_nobody_waits_its_timeout() -> None:
    assert compat(nobody_is_known) == {
        "step at 9": 1,
        "offers at 9": [],
        "events": [],
        "step at 10": 2,
        "offers at 10": ["A pending"],
    }


@vector(21)
def known_worker_is_not_in_the_queue(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.describe("B", team="q")
    floor.add_queue("team", "team == 'q'")
    floor.lead(step("team", known_worker_sid="task.agent"))
    floor.add_task(attributes={"agent": floor.sid("A")})
    seen: Seen = {
        "task": floor.status(),
        "offers": floor.offers(),
        "events": floor.events(*MISSING),
    }
    floor.describe("A", team="q")
    return seen | {"offers once A is": floor.offers()}


def test_vector_21_a_known_worker_who_is_not_in_the_queue_is_waited_for() -> None:
    assert compat(known_worker_is_not_in_the_queue) == {
        "task": "pending",
        "offers": [],
        "events": ["workflow.known-worker-missing"],
        "offers once A is": ["A pending"],
    }


@vector(22)
def second_step_has_no_priority(floor: Floor) -> Seen:
    floor.lead(step("Q", priority=5, timeout=10), step())
    floor.add_task()
    seen: Seen = {"first": floor.task().priority}
    floor.wait(10)
    return seen | {"step": floor.step(), "then": floor.task().priority}


def test_vector_22_a_step_without_priority_leaves_it_as_it_is() -> None:
    assert compat(second_step_has_no_priority) == {"first": 5, "step": 2, "then": 5}


@vector(23)
def both_state_a_priority(floor: Floor) -> Seen:
    floor.lead(step("Q", priority=3))
    floor.add_task(priority=7)
    return {"priority": floor.task().priority}


def test_vector_23_the_priority_of_the_step_beats_that_of_the_request() -> None:
    assert compat(both_state_a_priority) == {"priority": 3}


@vector(24)
def only_the_request_states_a_priority(floor: Floor) -> Seen:
    floor.lead(step("Q"))
    floor.add_task(priority=7)
    return {"priority": floor.task().priority}


def test_vector_24_the_priority_of_the_request_counts_where_the_step_has_none() -> None:
    assert compat(only_the_request_states_a_priority) == {"priority": 7}


@vector(25)
def second_step_has_no_expression(floor: Floor) -> Seen:
    floor.staff("A")
    floor.lead(step("Q", timeout=10, expression="worker.lvl > 3"), step())
    floor.add_task()
    seen: Seen = {"first": floor.offers()}
    floor.wait(10)
    return seen | {"then": floor.offers(), "queue": floor.queue()}


def test_vector_25_a_step_inherits_the_queue_and_not_the_expression() -> None:
    assert compat(second_step_has_no_expression) == {
        "first": [],
        "then": ["A pending"],
        "queue": "Q",
    }


def keep_an_offer_open(floor: Floor, until: int) -> Seen:
    """Three steps of 10 seconds; an offer is open from 3 on and then rejected."""
    floor.staff("A")
    floor.go("A", "Offline")
    floor.lead(step("Q", timeout=10), step(timeout=10), step(timeout=10))
    floor.add_task()
    floor.wait(3)
    floor.go("A", "Available")
    floor.wait(until - 3)
    floor.reject("A", activity="Offline")
    if floor.status() != "pending":
        return {"task": floor.status()}
    return {"task": "pending", "step": floor.step(), "left": floor.left()}


@vector(26)
def offer_outlasts_two_steps(floor: Floor) -> Seen:
    return keep_an_offer_open(floor, 25)


def test_vector_26_steps_pass_by_while_an_offer_is_open() -> None:
    assert compat(offer_outlasts_two_steps) == {
        "task": "pending",
        "step": 3,
        "left": 5,
    }


@vector(27)
def offer_outlasts_all_steps(floor: Floor) -> Seen:
    return keep_an_offer_open(floor, 35)


def test_vector_27_an_offer_that_outlasts_all_steps_costs_the_task() -> None:
    assert compat(offer_outlasts_all_steps) == {"task": "canceled: Workflow timed out"}


@vector(57)
def workflow_changes(floor: Floor) -> Seen:
    floor.add_queue("Q2")
    workflow = floor.lead(step("Q"))
    floor.add_task("before")
    floor.update_workflow(workflow, step("Q2"))
    floor.add_task("after")
    floor.wait(60)
    return {"before": floor.queue("before"), "after": floor.queue("after")}


def test_vector_57_a_changed_workflow_leaves_those_who_wait_where_they_are() -> None:
    assert compat(workflow_changes) == {"before": "Q", "after": "Q2"}


@vector(58)
def waiting_task_changes(floor: Floor) -> Seen:
    floor.add_queue("vip")
    floor.lead_by(("vip == true", (step("vip"),)), ("1==1", (step("Q"),)))
    floor.add_task()
    seen: Seen = {"before": floor.queue()}
    floor.update_task(attributes='{"vip": true}')
    return seen | {"after": floor.queue()}


def test_vector_58_a_waiting_task_is_routed_anew_when_its_attributes_change() -> None:
    assert compat(waiting_task_changes) == {"before": "Q", "after": "vip"}
