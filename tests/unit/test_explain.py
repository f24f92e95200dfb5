"""Why a task is where it is: who fails on what, what follows, and how it is said."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.domain.limits import SECOND
from flexcore.domain.model import Task, Worker
from flexcore.domain.parts import Route
from flexcore.engine.routing.eligibility import failures
from flexcore.engine.routing.explain import explain, moved
from flexcore.engine.routing.explanation import Explanation, StepExplanation
from tests.looks import finished
from tests.vectors.floor import Floor, step

SPANISH = 'languages HAS "es"'


def looked(floor: Floor, task: Task) -> Explanation:
    return finished(explain(floor.state, task))


def explained(floor: Floor, name: str = "T") -> Explanation:
    found = looked(floor, floor.task(name))
    for text in words(found):
        assert text == text.strip(), "a sentence without its ends"
        assert not text.endswith(".") or text.endswith("..."), text
        assert text[:1] == text[:1].lower(), text
        assert len(text) < 300, text
    return found


def words(found: Explanation) -> Iterator[str]:
    yield from (found.text, found.next_text)
    for each in found.steps:
        yield from (row.text for row in each.failures)
        for near in each.nearest:
            yield from near.remedies


def counts(each: StepExplanation) -> dict[str, int]:
    return {f"{row.condition}: {row.text}": row.workers for row in each.failures}


def after(floor: Floor, found: Explanation) -> tuple[float, str]:
    """Return in how many seconds something happens, and what."""
    return (found.next_time - floor.clock.now()) / SECOND, found.next_text


@pytest.fixture
def floor() -> Floor:
    """A strict floor with three workers who are free: only C speaks no English."""
    floor = Floor("strict")
    floor.hire("A", languages=["en"], level=1)
    floor.hire("B", languages=["en"], level=2)
    floor.hire("C", level=3)
    return floor


# who fails on what


def test_summary_says_what_all_fail_on_and_what_the_nearest_needs(floor: Floor) -> None:
    floor.add_queue("spanish", SPANISH)
    floor.lead(step("spanish"))
    floor.add_task()

    found = explained(floor)

    assert found.text == (
        '0 of 3 workers: languages HAS "es" fails; A would match with es'
    )
    (now,) = found.steps
    assert now.current
    assert (now.task_queue_name, now.workers, now.eligible) == ("spanish", 3, 0)
    assert [near.worker_name for near in now.nearest] == ["A", "B", "C"]
    assert {near.remedies for near in now.nearest} == {("with es",)}
    assert {near.failures for near in now.nearest} == {('languages HAS "es" fails',)}


def test_summary_counts_what_is_not_the_same_for_all(floor: Floor) -> None:
    floor.add_queue("senior", f"level >= 2 AND {SPANISH}")
    floor.lead(step("senior"))
    floor.describe("C", languages=["es"], level=3)
    floor.go("C", "Offline")
    floor.add_task()

    found = explained(floor)

    assert found.text == (
        '0 of 3 workers: languages HAS "es" fails (1), level >= 2 fails (1),'
        " not available (1); B would match with es"
    )
    (now,) = found.steps
    assert counts(now) == {
        "queue: level >= 2 fails": 1,
        'queue: languages HAS "es" fails': 1,
        "activity: not available": 1,
    }
    assert (now.eligible, now.candidates) == (1, 0)
    assert [(near.worker_name, near.remedies) for near in now.nearest] == [
        ("B", ("with es",)),
        ("C", ("when available",)),
        ("A", ("with level >= 2", "with es")),
    ]


def test_conditions_come_one_after_the_other(floor: Floor) -> None:
    """A fails on everything there is, so that the order is seen."""
    floor.add_queue("spanish", SPANISH)
    floor.lead(
        step(
            "spanish",
            expression="worker.level >= task.least",
            known_worker_sid="task.agent",
        )
    )
    floor.add_task(attributes={"least": 5, "agent": floor.sid("B")})
    floor.go("A", "Offline")
    floor.update_channel("A", "voice", configured_capacity=0)

    found = list(failures(floor.state, floor.task(), floor.row("A", Worker)))

    assert [(row.condition, row.text) for row in found] == [
        ("queue", 'languages HAS "es" fails'),
        ("known_worker", "another worker is asked for"),
        ("step", "worker.level >= task.least fails"),
        ("activity", "is Offline"),
        ("capacity", "holds 0 of 0 on channel voice"),
    ]
    (now,) = explained(floor).steps
    assert counts(now) == {'queue: languages HAS "es" fails': 3}


def test_parts_of_a_step_are_told_apart_and_read_live_values(floor: Floor) -> None:
    live = "worker.channel.voice.available_capacity_percentage >= 100"
    floor.lead(step("Q", expression=f"worker.level >= 3 AND {live}"))
    floor.update_channel("C", "voice", configured_capacity=2)
    floor.add_task("first")
    floor.accept("C")
    floor.go("A", "Offline")
    floor.add_task()

    (now,) = explained(floor).steps

    assert now.expression == f"worker.level >= 3 AND {live}"
    assert counts(now) == {
        "step: worker.level >= 3 fails": 2,
        f"step: {live} fails": 1,
    }
    assert [(near.worker_name, near.remedies) for near in now.nearest] == [
        ("B", ("with level >= 3",)),
        ("C", ("with channel.voice.available_capacity_percentage >= 100",)),
        ("A", ("with level >= 3", "when available")),
    ]


def test_attribute_called_channel_is_read_by_queues(floor: Floor) -> None:
    """Only expressions of steps have `worker.channel` for something else."""
    floor.add_queue("phone", "channel == 'phone'")
    floor.describe("B", channel="phone")
    floor.go("B", "Offline")
    floor.lead(step("phone", expression="worker.level IS NULL"))
    floor.add_task()

    (now,) = explained(floor).steps

    assert counts(now)["activity: not available"] == 1
    assert now.eligible == 1


def test_queue_without_an_expression_serves_nobody(floor: Floor) -> None:
    floor.add_queue("shut", "")
    floor.lead(step("shut"))
    floor.add_task()

    assert explained(floor).text == (
        "0 of 3 workers: the queue has no expression, which matches nobody;"
        " A would match with another expression"
    )


@pytest.mark.parametrize("attributes", [{}, {"agent": "nobody"}, {"agent": 7}])
def test_a_known_worker_who_is_missing_is_said_to_be(
    floor: Floor, attributes: dict[str, Any]
) -> None:
    floor.lead(step("Q", known_worker_friendly_name="task.agent"))
    floor.add_task(attributes=attributes)

    assert explained(floor).text == (
        "0 of 3 workers: the worker asked for is not found; A would match if asked for"
    )


def test_worker_who_is_asked_for_comes_first(floor: Floor) -> None:
    """The others fail on less, and will never be who is asked for."""
    floor.lead(step("Q", known_worker_friendly_name="task.agent"))
    floor.go("B", "Offline")
    floor.update_channel("B", "voice", available=False)
    floor.add_task(attributes={"agent": "b"})

    found = explained(floor)

    assert found.text == (
        "0 of 3 workers: another worker is asked for (2), not available (1);"
        " B would match when available and with the channel open"
    )
    assert found.steps[0].nearest[0].failures == (
        "is Offline",
        "takes nothing on channel voice",
    )


def test_worker_who_refused_is_passed_over_until_it_is_over(floor: Floor) -> None:
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    floor.add_task()
    floor.reject("A")

    found = explained(floor)

    assert found.text == (
        "0 of 3 workers: not available (2), refused this task (1);"
        " A would match once the refusal is over"
    )
    assert after(floor, found) == (30, "it may be offered to A again")


def test_full_and_closed_channels_are_told_apart(floor: Floor) -> None:
    floor.go("C", "Offline")
    floor.update_channel("B", "voice", available=False)
    floor.add_task("first")
    floor.add_task()

    found = explained(floor)

    assert counts(found.steps[0]) == {
        "activity: not available": 1,
        "capacity: no room on the channel": 1,
        "channel: takes nothing on channel voice": 1,
    }
    texts = {near.worker_name: near.failures for near in found.steps[0].nearest}
    assert texts["A"] == ("holds 1 of 1 on channel voice",)


def test_workspace_without_workers() -> None:
    floor = Floor("strict")
    floor.add_task()

    found = explained(floor)

    assert found.text == "0 of 0 workers"
    assert found.steps[0].nearest == ()


def test_no_more_than_five_are_shown_and_the_rest_is_counted() -> None:
    floor = Floor("strict")
    names = [f"w{number}" for number in range(9)]
    for name in reversed(names):
        floor.hire(name, "Offline")
    floor.describe("w3", level=1)
    floor.go("w3", "Available")
    floor.update_channel("w3", "voice", available=False)
    floor.add_task()

    (now,) = explained(floor).steps

    assert sum(row.workers for row in now.failures) == now.workers == 9
    assert len(now.nearest) == limits.EXPLAIN_NEAREST
    assert [near.worker_name for near in now.nearest] == ["w8", "w7", "w6", "w5", "w4"]


def test_many_conditions_are_summed_up() -> None:
    floor = Floor("strict")
    floor.add_queue("odd", "a == 1 AND b == 1 AND c == 1 AND d == 1 AND e == 1")
    floor.lead(step("odd"))
    keys = "abcde"
    for number in range(5):
        floor.hire(f"w{number}", **dict.fromkeys(keys[:number], 1))
    floor.add_task()

    assert explained(floor).text == (
        "0 of 5 workers: a == 1 fails (1), b == 1 fails (1), c == 1 fails (1),"
        " other conditions (2); w4 would match with e 1"
    )


def test_long_expressions_are_cut() -> None:
    floor = Floor("strict")
    text = "skill == '" + "x" * 1000 + "'"
    floor.add_queue("long", text)
    floor.lead(step("long"))
    floor.hire("A")
    floor.add_task()

    cut = text[: limits.EXPLAIN_CHARS - 3]
    assert explained(floor).text.startswith(f"0 of 1 workers: {cut}... fails; A would")


# queues that offer nothing, and work that has its turn


def test_task_in_a_pull_queue_waits_to_be_claimed(floor: Floor) -> None:
    floor.add_queue("pull", "level >= 2", max_reserved_workers=0)
    floor.lead(step("pull"))
    floor.add_task()

    found = explained(floor)

    assert found.text == "waits to be claimed by 2 of 3 workers"
    assert found.steps[0].pull
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    assert explained(floor).text == (
        "waits to be claimed by 0 of 3 workers: not available (2),"
        " level >= 2 fails (1); A would match with level >= 2"
    )


def test_who_refused_a_task_may_claim_it(floor: Floor) -> None:
    floor.add_queue("pull", max_reserved_workers=0)
    floor.lead(step("Q", timeout=10), step("pull"))
    floor.update_queue("Q", policies={"refusal_scope": "task", "refusal_seconds": 0})
    floor.update_queue("pull", policies={"refusal_scope": "task"})
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    floor.add_task()
    floor.reject("A")
    floor.wait(10)

    assert floor.task().refusals
    assert explained(floor).text == "waits to be claimed by 1 of 3 workers"


def test_task_that_has_candidates_has_its_turn_to_come(floor: Floor) -> None:
    """As between a decision that could not make all offers and the next."""
    floor.go("A", "Offline")
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    floor.add_task()
    state = floor.state
    for name in ("A", "B"):
        row = floor.row(name, Worker)
        available = floor.sid("Available")
        state.put(row.evolve(activity_sid=available, available_time=1))

    found = explained(floor)

    assert found.text == "2 of 3 workers can be offered it, when it is its turn"


# steps that would follow


def queues(found: Explanation) -> list[str]:
    return [each.task_queue_name for each in found.steps]


def test_steps_that_follow_are_looked_at_too(floor: Floor) -> None:
    floor.add_queue("spanish", SPANISH)
    floor.add_queue("senior", "level >= 2")
    floor.lead(step("spanish", timeout=10), step("senior", timeout=20), step(timeout=5))
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    floor.add_task()

    found = explained(floor)

    assert queues(found) == ["spanish", "senior", "senior"]
    assert [each.current for each in found.steps] == [True, False, False]
    assert [each.eligible for each in found.steps] == [0, 2, 2]
    assert [each.target_index for each in found.steps] == [0, 1, 2]
    assert after(floor, found) == (10, "it goes on to the next step, in queue senior")
    floor.wait(10)
    assert after(floor, explained(floor)) == (20, "it goes on to the next step")


@pytest.mark.parametrize(
    ("action", "text", "follow"),
    [
        ("cancel", "its workflow is exhausted and it is canceled", ["shut"]),
        ("default", "it goes on to the default filter, in queue Q", ["shut", "Q"]),
        ("repeat", "it begins its workflow anew", ["shut"]),
        (
            {"action": "queue", "queue": "Q"},
            "its workflow is exhausted and it goes on, in queue Q",
            ["shut", "Q"],
        ),
    ],
)
def test_end_of_a_workflow(
    floor: Floor, action: str | dict[str, str], text: str, follow: list[str]
) -> None:
    floor.add_queue("shut", "")
    name = floor.lead(step("shut", timeout=10), default="Q")
    if isinstance(action, dict):
        action = {**action, "queue": floor.sid("Q")}
    floor.exhaust(name, action)
    floor.add_task()

    found = explained(floor)

    assert queues(found) == follow
    assert after(floor, found) == (10, text)
    floor.wait(10)
    ends = {"Q": "reserved", "shut": "pending"}
    status = "canceled" if action == "cancel" else ends[floor.queue()]
    assert floor.task().status == status


def test_steps_after_the_tasks_own_timeout_never_come(floor: Floor) -> None:
    floor.add_queue("shut", "")
    floor.lead(step("shut", timeout=100), step("Q"))
    floor.add_task(timeout_seconds=60)

    found = explained(floor)

    assert queues(found) == ["shut"]
    assert after(floor, found) == (60, "its timeout is up and it is canceled")


def test_timeout_of_the_task_comes_before_that_of_its_step(floor: Floor) -> None:
    floor.add_queue("shut", "")
    floor.lead(step("shut", timeout=60), step("Q"))
    floor.add_task(timeout_seconds=60)

    found = explained(floor)
    floor.wait(60)

    assert queues(found) == ["shut"]
    assert found.next_text == "its timeout is up and it is canceled"
    assert floor.status() == "canceled: Task TTL Exceeded"


def test_no_more_than_ten_steps_are_looked_at(floor: Floor) -> None:
    floor.add_queue("shut", "")
    floor.lead(*(step("shut", timeout=1) for _ in range(12)))
    floor.add_task()

    assert len(explained(floor).steps) == limits.EXPLAIN_STEPS


def test_steps_that_are_over_when_they_begin_are_left_out() -> None:
    """The clock `age` counts from the task's creation, routes or not."""
    floor = Floor("compat")
    floor.add_queue("shut", "")
    floor.hire("A", "Offline")
    workflow = floor.lead(step("shut", timeout=5), step("Q", timeout=60))
    links = (Route(floor.sid("A"), 30, False), Route(floor.sid(workflow)))
    floor.add_task(routes=links)

    found = explained(floor)

    assert queues(found) == ["", "Q"]
    floor.wait(30)
    assert floor.queue() == "Q"


# routing targets


def test_way_along_routing_targets(floor: Floor) -> None:
    floor.add_queue("shut", "")
    workflow = floor.lead(step("shut", timeout=10))
    floor.go("A", "Offline")
    floor.add_task(
        routes=(
            Route(floor.sid("A"), 7, ignore_capacity=False),
            Route(floor.sid("shut"), 8),
            Route(floor.sid(workflow)),
        )
    )

    found = explained(floor)

    assert found.text == (
        "0 of 3 workers: another worker is asked for (2), not available (1);"
        " A would match when available"
    )
    assert queues(found) == ["", "shut", "shut"]
    assert [each.route for each in found.steps] == [0, 1, 2]
    assert [each.filter_index for each in found.steps] == [-3, -3, 0]
    assert after(floor, found) == (7, "it goes on to queue shut")
    floor.wait(7)
    assert after(floor, explained(floor)) == (8, f"it enters workflow {workflow}")
    floor.wait(8)
    assert after(floor, explained(floor)) == (
        10,
        "its workflow is exhausted and it is canceled",
    )


def test_routing_target_that_ends_or_asks_somebody_else(floor: Floor) -> None:
    for name in ("A", "B", "C"):
        floor.go(name, "Offline")
    links = [Route(floor.sid(name), 7, ignore_capacity=False) for name in ("A", "B")]
    at_once = Route(floor.sid("C"), ignore_capacity=True)
    floor.add_task(routes=(*links, at_once))

    found = explained(floor)

    assert [each.route for each in found.steps] == [0, 1]
    assert found.next_text == "it waits for B"
    floor.wait(7)
    assert explained(floor).next_text == "it is offered to C, whatever they do"
    floor.add_task("other", routes=tuple(links[:1]))
    assert explained(floor, "other").next_text == (
        "its routing targets are used up and it is canceled"
    )


def test_links_to_what_was_deleted_are_passed(floor: Floor) -> None:
    floor.hire("gone", "Offline")
    floor.add_queue("shut", "")
    floor.add_task(routes=(Route(floor.sid("shut"), 5), Route(floor.sid("gone"), 5)))
    assert explained(floor).next_text == "it waits for gone"
    floor.dismiss("gone")

    found = explained(floor)

    assert queues(found) == ["shut"]
    assert after(floor, found) == (
        5,
        "its routing targets are used up and it is canceled",
    )
    floor.wait(5)
    assert floor.status() == "canceled: RoutingTarget not available"


def test_queue_of_a_routing_target_without_a_wait_has_the_tasks_timeout(
    floor: Floor,
) -> None:
    floor.add_queue("shut", "")
    floor.add_task(routes=(Route(floor.sid("shut")),), timeout_seconds=50)

    assert after(floor, explained(floor)) == (
        50,
        "its timeout is up and it is canceled",
    )


# refusals


def test_step_is_named_when_it_ends_together_with_a_refusal(floor: Floor) -> None:
    floor.lead(step("Q", timeout=30), step("Q"))
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    floor.add_task()
    floor.reject("A")

    found = explained(floor)

    assert after(floor, found) == (30, "it goes on to the next step")


def test_everybody_who_may_be_offered_it_again_at_once_is_named(floor: Floor) -> None:
    floor.update_queue("Q", max_reserved_workers=3)
    floor.add_task()
    for name in ("A", "B", "C"):
        floor.reject(name)

    found = explained(floor)

    assert after(floor, found) == (30, "it may be offered to A, B, C again")
    floor.wait(30)
    assert floor.task().status == "reserved"


def test_worker_who_refused_and_is_gone(floor: Floor) -> None:
    floor.go("B", "Offline")
    floor.go("C", "Offline")
    floor.add_task()
    floor.reject("A", "Offline")
    floor.dismiss("A")

    found = explained(floor)

    assert found.next_text == "it may be offered to a worker who is gone again"
    assert found.steps[0].workers == 2


# tasks that do not wait


def test_offered_task_says_to_whom_and_until_when(floor: Floor) -> None:
    floor.update_queue("Q", max_reserved_workers=2)
    floor.add_task()

    found = explained(floor)

    assert found.text == "offered to A, B"
    assert [row.worker_name for row in found.reservations] == ["A", "B"]
    assert found.steps == ()
    assert after(floor, found) == (120, "the offer to A ends")


def test_offered_task_that_ends_before_the_offer(floor: Floor) -> None:
    floor.add_task(timeout_seconds=60)

    assert after(floor, explained(floor)) == (
        60,
        "its timeout is up and it is canceled",
    )


def test_assigned_and_wrapping_and_finished_tasks() -> None:
    floor = Floor("compat")
    floor.hire("A")
    floor.add_task()
    floor.accept("A")
    assigned = explained(floor)
    assert (assigned.text, assigned.next_text) == ("accepted by A", "it is deleted")
    assert after(floor, assigned)[0] == 86_400

    floor.wrap()
    wrapping = explained(floor)
    assert wrapping.text == "wrapped up by A"
    assert (wrapping.next_time, wrapping.next_text) == (0, "")

    floor.complete()
    completed = explained(floor)
    assert completed.text == "completed"
    assert completed.reservations == ()
    assert after(floor, completed) == (300, "it is deleted")


@pytest.mark.parametrize(
    ("auto_complete", "text"),
    [(True, "it is completed"), (False, "its wrap-up is overdue")],
)
def test_limit_of_a_wrap_up(auto_complete: bool, text: str) -> None:
    floor = Floor("strict", auto_complete=auto_complete, wrap_limit_seconds=60)
    floor.hire("A")
    floor.add_task()
    floor.accept("A")
    assert (explained(floor).next_time, explained(floor).next_text) == (0, "")
    floor.wrap()

    assert after(floor, explained(floor)) == (60, text)


def test_canceled_task_says_why(floor: Floor) -> None:
    floor.add_task()
    floor.cancel()
    assert looked(floor, floor.task()).text == "canceled"
    floor.add_queue("shut", "")
    floor.lead(step("shut", timeout=1))
    floor.add_task("late")
    floor.update_workspace(policies={"on_exhausted": "cancel"})
    floor.wait(1)

    found = looked(floor, floor.task("late"))

    assert found.text == "canceled: Workflow timed out"
    assert (found.next_time, found.steps, found.reservations) == (0, (), ())


# looking takes time


def test_look_stops_after_every_worker_of_every_step(floor: Floor) -> None:
    floor.add_queue("shut", "")
    floor.lead(step("shut", timeout=10), step("shut", timeout=10), step("shut"))
    floor.add_task()

    assert sum(1 for _ in explain(floor.state, floor.task())) == 1 + 3 * 3


def test_worker_who_goes_meanwhile_does_not_count(floor: Floor) -> None:
    floor.add_queue("spanish", SPANISH)
    floor.lead(step("spanish"))
    floor.add_task()
    look = explain(floor.state, floor.task())
    for _ in range(2):
        next(look)
    floor.dismiss("C")
    floor.hire("D")

    assert finished(look).steps[0].workers == 2


@pytest.mark.parametrize("changes", [1, limits.EXPLAIN_ATTEMPTS + 1])
def test_staff_that_changes_while_it_is_noted_is_noted_anew(
    floor: Floor, changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EXPLAIN_SIDS", 1)
    floor.add_queue("shut", "")
    floor.lead(step("shut"))
    floor.add_task()
    look = explain(floor.state, floor.task())
    for number in range(changes):
        next(look)
        floor.hire(f"new {number}")

    expected = 3 + min(changes, limits.EXPLAIN_ATTEMPTS)
    assert finished(look).steps[0].workers >= expected


def test_task_that_is_elsewhere_has_moved(floor: Floor) -> None:
    floor.add_queue("shut", "")
    floor.lead(step("shut", timeout=10), step("shut"))
    floor.add_task()
    before = floor.task()

    floor.update_task(priority=3)
    assert not moved(before, floor.task())
    floor.wait(10)
    assert moved(before, floor.task())
    assert moved(before, None)


def test_texts_name_no_class_of_ours() -> None:
    source = re.compile(r"\b(?:None|Worker|Task|Failure)\b")
    floor = Floor("strict")
    floor.add_queue("odd", "a == 1 OR b IS NULL")
    floor.lead(step("odd"))
    floor.hire("A", b=1)
    floor.add_task()

    assert not [text for text in words(explained(floor)) if source.search(text)]
