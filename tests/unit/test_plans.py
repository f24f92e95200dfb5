"""Facts about the walk of a task through a plan."""

import pytest

from flexcore.domain.attributes import JsonObject
from flexcore.domain.workflows import (
    DEFAULT_FILTER,
    DOCUMENT,
    EXHAUSTION,
    Exhaustion,
    Step,
    Target,
    after_exhaustion,
    after_skip,
    after_timeout,
    enter,
    exhaustion_of,
    known_of,
    seconds_before,
    step_at,
)
from tests.documents import EVERYONE, SALES, SUPPORT, one, place, plan

STEPS: list[JsonObject] = [{"queue": SALES, "timeout": 10}, {"timeout": 20}]


def test_first_true_filter_takes_the_task() -> None:
    found = plan(one("a == 0"), one("a == 1", *STEPS), one("a == 1"))

    assert enter(found, {"a": 1}) == Step(1, 0, Target(SALES, None, 10))


def test_default_filter_takes_a_task_no_filter_took() -> None:
    default: JsonObject = {"queue": SUPPORT, "priority": 3}

    step = enter(plan(one("a == 0"), default=default), {"a": 1})
    assert step == Step(DEFAULT_FILTER, 0, Target(SUPPORT, 3, None))


def test_task_without_match_and_default_filter_does_not_enter() -> None:
    assert enter(plan(one("a == 0")), {"a": 1}) is None


def test_timed_out_step_leads_to_the_next_target() -> None:
    targets: list[JsonObject] = [
        {"queue": SALES, "priority": 5, "timeout": 10},
        {"timeout": 20},
        {"queue": SUPPORT, "priority": 0},
    ]
    found = plan(one("a == 1", *targets))

    second = after_timeout(found, Step(0, 0, Target(SALES, 5, 10)), {"a": 1})
    assert second == Step(0, 1, Target(SALES, None, 20))
    assert after_timeout(found, second, {"a": 1}) == Step(
        0, 2, Target(SUPPORT, 0, None)
    )


def test_targets_are_not_left_when_the_filter_no_longer_matches() -> None:
    found = plan(one("a == 1", *STEPS))
    first = enter(found, {"a": 1})
    assert first is not None

    assert place(after_timeout(found, first, {"a": 2})) == (0, 1)


@pytest.mark.parametrize("default", [None, {"queue": EVERYONE}])
@pytest.mark.parametrize(
    ("next_filter", "expected"),
    [("a == 1", (2, 0)), ("a == 0", None)],
    ids=["next filter matches", "no filter matches"],
)
def test_timeout_of_the_last_target_leads_to_a_later_filter_or_exhausts(
    next_filter: str, expected: tuple[int, int] | None, default: JsonObject | None
) -> None:
    """`default_filter` makes no difference on this path."""
    filters = (one("a == 1", *STEPS), one("a == 0"), one(next_filter))
    found = plan(*filters, default=default)
    last = Step(0, 1, Target(SALES, None, 20))

    assert place(after_timeout(found, last, {"a": 1})) == expected


def test_earlier_filters_are_not_tried_again() -> None:
    found = plan(one("a == 1"), one("b == 1", *STEPS))
    last = Step(1, 1, Target(SALES, None, 20))

    assert after_timeout(found, last, {"a": 1, "b": 1}) is None


def test_default_filter_leads_nowhere() -> None:
    found = plan(one("a == 1"), default={"queue": EVERYONE})
    step = enter(found, {})
    assert step is not None

    assert after_timeout(found, step, {"a": 1}) is None


def test_step_past_the_end_of_a_shorter_document_is_exhausted() -> None:
    assert after_timeout(plan(one()), Step(4, 0, Target(SALES, None, 10)), {}) is None
    assert after_timeout(plan(one()), Step(0, 7, Target(SALES, None, 10)), {}) is None


# The end of a filter

SKIP = "workers.available == 0"


@pytest.mark.parametrize("default", [None, {"queue": EVERYONE}])
@pytest.mark.parametrize("next_filter", ["a == 1", "a == 0"])
@pytest.mark.parametrize("ended", [after_timeout, after_skip])
def test_end_of_a_filter_is_that_of_the_truth_table(
    ended: object, next_filter: str, default: JsonObject | None
) -> None:
    targets: list[JsonObject] = [{"queue": SALES, "timeout": 10, "skip_if": SKIP}]
    found = plan(one("a == 1", *targets), one(next_filter), default=default)
    step = enter(found, {"a": 1})

    expected = None
    if next_filter == "a == 1":
        expected = (1, 0)
    elif ended is after_skip and default is not None:
        expected = (DEFAULT_FILTER, 0)
    assert place(ended(found, step, {"a": 1})) == expected


def test_skipped_step_leads_to_the_next_target() -> None:
    targets: list[JsonObject] = [{"queue": SALES, "skip_if": SKIP}, {}]
    found = plan(one("a == 1", *targets), default={"queue": EVERYONE})
    step = enter(found, {"a": 1})

    assert place(after_skip(found, step, {"a": 1})) == (0, 1)


def test_skipped_default_filter_leads_out_of_the_workflow() -> None:
    found = plan(one("a == 1"), default={"queue": EVERYONE, "skip_if": SKIP})
    step = enter(found, {})

    assert step == Step(DEFAULT_FILTER, 0, found.default)
    assert after_skip(found, step, {"a": 1}) is None


def test_entry_can_start_at_a_later_filter() -> None:
    found = plan(one("a == 1"), one("a == 1"), default={"queue": EVERYONE})

    assert place(enter(found, {"a": 1}, start=1)) == (1, 0)
    assert place(enter(found, {"a": 1}, start=2)) == (DEFAULT_FILTER, 0)


# Exhaustion


def end_of(found: object, action: str = "cancel") -> tuple[Exhaustion, object]:
    step = enter(found, {"a": 1})
    exhaustion = exhaustion_of(found, step, action)
    return exhaustion, place(after_exhaustion(found, step, {"a": 1}, action))


def test_exhaustion_is_the_filters_then_the_documents_then_the_fallback() -> None:
    default: JsonObject = {"queue": EVERYONE}
    own = plan(
        one("a == 1", on_exhausted="repeat"), default=default, on_exhausted="cancel"
    )
    whole = plan(one("a == 1"), default=default, on_exhausted="repeat")
    neither = plan(one("a == 1"), default=default)

    assert end_of(own) == (Exhaustion("repeat"), (0, 0))
    assert end_of(whole) == (Exhaustion("repeat"), (0, 0))
    assert end_of(neither) == (Exhaustion("cancel"), None)
    assert end_of(neither, "default") == (Exhaustion("default"), (DEFAULT_FILTER, 0))


def test_exhaustion_without_a_default_filter_to_go_to_cancels() -> None:
    assert end_of(plan(one("a == 1")), "default") == (Exhaustion("cancel"), None)


def test_queue_of_an_exhaustion_is_a_step_that_is_found_again_by_its_place() -> None:
    filters = [
        one("a == 1", on_exhausted={"action": "queue", "queue": SUPPORT}),
        one("a == 2"),
    ]
    found = plan(*filters, on_exhausted={"action": "queue", "queue": EVERYONE})

    own = after_exhaustion(found, enter(found, {"a": 1}), {"a": 1}, "cancel")
    assert own == Step(EXHAUSTION, 0, Target(SUPPORT))
    whole = after_exhaustion(found, enter(found, {"a": 2}), {"a": 2}, "cancel")
    assert whole == Step(EXHAUSTION, DOCUMENT, Target(EVERYONE))
    for step in (own, whole):
        assert step_at(found, step.filter_index, step.target_index) == step
        assert after_timeout(found, step, {"a": 1}) is None
        assert after_skip(found, step, {"a": 1}) is None


def test_repeat_enters_by_the_attributes_of_now() -> None:
    found = plan(one("a == 1"), one("a == 2"), on_exhausted="repeat")
    step = enter(found, {"a": 2})

    assert place(after_exhaustion(found, step, {"a": 1}, "cancel")) == (0, 0)
    assert after_exhaustion(found, step, {"a": 3}, "cancel") is None


# Places


def test_step_is_found_by_its_place() -> None:
    found = plan(one("a == 1", *STEPS), default={"queue": SUPPORT})

    assert step_at(found, 0, 1) == Step(0, 1, Target(SALES, None, 20))
    assert step_at(found, DEFAULT_FILTER, 0) == Step(DEFAULT_FILTER, 0, Target(SUPPORT))


@pytest.mark.parametrize(
    ("filter_index", "target_index"),
    [(0, 2), (0, -1), (1, 0), (-3, 0), (-1, 0), (-1, 1), (-2, -1), (-2, 0), (-2, 1)],
)
def test_place_the_document_does_not_have_is_no_step(
    filter_index: int, target_index: int
) -> None:
    assert step_at(plan(one("a == 1", *STEPS)), filter_index, target_index) is None


# Facts of the conformance vectors


def test_second_target_without_timeout_is_the_last_that_is_reached() -> None:
    found = plan(one("a == 1", {"queue": SALES, "timeout": 15}, {}), one("a == 1"))

    second = after_timeout(found, enter(found, {"a": 1}), {"a": 1})
    assert second == Step(0, 1, Target(SALES))


def test_default_filter_is_not_used_when_the_only_target_timed_out() -> None:
    only: JsonObject = {"queue": SALES, "timeout": 15}
    found = plan(one("a == 1", only), default={"queue": EVERYONE})
    step = enter(found, {"a": 1})

    assert after_timeout(found, step, {"a": 1}) is None
    assert exhaustion_of(found, step, "cancel") == Exhaustion("cancel")


def test_skip_if_is_true_when_all_workers_are_offline() -> None:
    found = plan(one("a == 1", {"queue": SALES, "skip_if": SKIP}))
    skip_if = found.filters[0].targets[0].skip_if

    assert skip_if.evaluate({"available": 0, "unavailable": 3})
    # Available and full counts as available.
    assert not skip_if.evaluate({"available": 1, "unavailable": 2})


def test_skip_if_of_a_constant_is_always_true() -> None:
    found = plan(one("a == 1", {"queue": SALES, "skip_if": "1==1"}))

    assert found.filters[0].targets[0].skip_if.evaluate({"available": 5})


@pytest.mark.parametrize(
    ("key", "by"),
    [("known_worker_sid", "sid"), ("known_worker_friendly_name", "friendly_name")],
)
def test_known_worker_is_the_value_of_a_task_attribute(key: str, by: str) -> None:
    found = plan(one("a == 1", {"queue": SALES, key: "task.agent['id']"}))
    step = enter(found, {"a": 1})

    assert known_of(step, {"agent": {"id": "WK1"}}) == (by, "WK1")
    assert known_of(step, {"agent": {"id": 7}}) == (by, 7)
    # Nobody, which is not the same as anybody.
    assert known_of(step, {"agent": None}) == (by, None)
    assert known_of(enter(plan(one()), {}), {}) is None


def test_nothing_but_the_queue_is_inherited() -> None:
    first: JsonObject = {
        "queue": SALES,
        "priority": 5,
        "timeout": 10,
        "expression": "worker.a == 1",
        "order_by": "worker.a DESC",
        "skip_if": SKIP,
        "known_worker_sid": "task.agent",
    }
    found = plan(one("a == 1", first, {}))

    second = after_timeout(found, enter(found, {"a": 1}), {"a": 1})
    assert second == Step(0, 1, Target(SALES))


def test_a_step_begins_after_the_timeouts_of_the_targets_before_it() -> None:
    tens: JsonObject = {"queue": SALES, "timeout": 10}
    found = plan(one("a == 1", tens, {}, tens, {}), default={"queue": SALES})

    assert [seconds_before(found, step_at(found, 0, n)) for n in range(4)] == [
        *(0, 10, 10, 20)
    ]
    assert seconds_before(found, step_at(found, DEFAULT_FILTER, 0)) == 0
