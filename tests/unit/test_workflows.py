"""Facts about workflow documents and the walk through them."""

import json

import pytest

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.errors import InvalidArgument, Reason
from flexcore.domain.workflows import (
    DEFAULT_FILTER,
    Step,
    Target,
    WorkflowPlan,
    advance,
    enter,
    parse_workflow,
)

SALES, SUPPORT, EVERYONE = "WQ" + "1" * 32, "WQ" + "2" * 32, "WQ" + "3" * 32
QUEUES = {SALES, SUPPORT, EVERYONE}


def plan(*filters: JsonObject, default: JsonObject | None = None) -> WorkflowPlan:
    routing: JsonObject = {"filters": list(filters)}
    if default is not None:
        routing["default_filter"] = default
    return parse_workflow(json.dumps({"task_routing": routing}), QUEUES.__contains__)


def one(expression: str | None = None, *targets: JsonObject) -> JsonObject:
    found: JsonObject = {"targets": list(targets) or [{"queue": SALES}]}
    if expression is not None:
        found["expression"] = expression
    return found


def refusal(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(InvalidArgument) as caught:
        parse_workflow(text, QUEUES.__contains__)
    return str(caught.value)


def filter_refusal(*filters: JsonObject) -> str:
    document = {"task_routing": {"filters": list(filters)}}
    return refusal(document).removeprefix("configuration.task_routing.")


def place(step: Step | None) -> tuple[int, int] | None:
    return step and (step.filter_index, step.target_index)


# The document


def test_document_becomes_a_plan() -> None:
    found = plan(
        {
            "filter_friendly_name": "sales",
            "expression": "type == 'sales'",
            "targets": [
                {"queue": SALES, "priority": 5, "timeout": 30},
                {"priority": "10", "timeout": "60"},
                {"queue": EVERYONE},
            ],
        },
        {"friendly_name": "all", "targets": [{"queue": SUPPORT}]},
        default={"queue": EVERYONE, "priority": 1},
    )

    sales, everything = found.filters
    assert sales.name == "sales"
    assert sales.expression is not None
    assert sales.expression.paths == (("type",),)
    assert sales.targets == (
        Target(SALES, 5, 30),
        Target(SALES, 10, 60),
        Target(EVERYONE, None, None),
    )
    assert everything.name == "all"
    assert everything.expression is None
    assert found.default == Target(EVERYONE, 1, None)


@pytest.mark.parametrize(
    "document",
    [
        {"task_routing": {}},
        {"task_routing": {"filters": [], "default_filter": None}},
        {"task_routing": {"filters": None}},
    ],
)
def test_filters_and_default_filter_are_optional(document: JsonObject) -> None:
    found = parse_workflow(json.dumps(document), QUEUES.__contains__)

    assert found == WorkflowPlan((), None)
    assert enter(found, {}) is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{", "configuration: not valid JSON: input data was truncated (byte 1)"),
        ("[]", "configuration: a JSON object is expected, found: array"),
        ({}, "configuration.task_routing: an object is required"),
        ({"task_routing": []}, "configuration.task_routing: an object is required"),
        (
            '{"task_routing": {"filters": [], "filters": []}}',
            'configuration: key "filters" is given twice at character 34',
        ),
        (
            {"task_routing": {}, "extra": 1},
            "configuration.extra: unknown key, not supported by this version",
        ),
        (
            {"task_routing": {"filter": []}},
            (
                "configuration.task_routing.filter: "
                "unknown key, not supported by this version"
            ),
        ),
        (
            {"task_routing": {"filters": {}}},
            "configuration.task_routing.filters: an array is required",
        ),
        (
            {"task_routing": {"filters": [7]}},
            "configuration.task_routing.filters[0]: an object is required",
        ),
        (
            {"task_routing": {"default_filter": []}},
            "configuration.task_routing.default_filter: an object is required",
        ),
        (
            {"task_routing": {"default_filter": {}}},
            "configuration.task_routing.default_filter.queue: a task queue is required",
        ),
        (
            {"task_routing": {"default_filter": {"queue": SALES, "timeout": 9}}},
            (
                "configuration.task_routing.default_filter.timeout: "
                "unknown key, not supported by this version"
            ),
        ),
    ],
)
def test_malformed_document_is_refused(document: object, expected: str) -> None:
    assert refusal(document) == expected


def test_missing_queue_is_named_by_its_path() -> None:
    missing = "WQ" + "9" * 32

    assert refusal(
        {"task_routing": {"filters": [one("a", {"queue": SALES}, {"queue": missing})]}}
    ) == (
        "configuration.task_routing.filters[0].targets[1].queue: "
        f"task queue {missing} does not exist"
    )


@pytest.mark.parametrize(
    "key", ["order_by", "skip_if", "known_worker_sid", "known_worker_friendly_name"]
)
def test_keys_without_effect_yet_are_refused(key: str) -> None:
    target: JsonObject = {"queue": SALES, key: None}

    assert filter_refusal(one(), one("a", target)) == (
        f"filters[1].targets[0].{key}: not supported by this version"
    )


def test_target_expression_is_refused() -> None:
    target: JsonObject = {"queue": SALES, "expression": "task.a == worker.b"}

    assert filter_refusal(one("a", target)) == (
        "filters[0].targets[0].expression: not supported by this version"
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"targets": []}, "targets: at least one target is required"),
        ({}, "targets: at least one target is required"),
        ({"targets": [{"timeout": 5}]}, "targets[0].queue: a task queue is required"),
        (one("a", {"queue": 5}), "targets[0].queue: a string is required"),
        (one("a", {"queue": SALES, "color": 1}), "targets[0].color: unknown key, not supported by this version"),
        ({**one(), "friendly_name": 1}, "friendly_name: a string is required"),
        ({**one(), "friendly_name": "a", "filter_friendly_name": "a"},
         "friendly_name: filter_friendly_name is given as well"),
        (one("a =="), "expression: operand expected at character 5: a =="),
        (one(""), "expression: operand expected at character 1: "),
    ],
)  # fmt: skip
def test_malformed_filter_is_refused(found: JsonObject, expected: str) -> None:
    assert filter_refusal(found) == f"filters[0].{expected}"


def test_refused_expression_keeps_its_reason() -> None:
    with pytest.raises(InvalidArgument) as caught:
        plan(one("worker.sid == 'WK'"))

    assert caught.value.reason is Reason.EXPRESSION_INVALID


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("timeout", 0, "0 is not between 1 and 1209600"),
        ("timeout", "0", "0 is not between 1 and 1209600"),
        ("timeout", 1_209_601, "1209601 is not between 1 and 1209600"),
        ("timeout", 1.5, "an integer is required"),
        ("timeout", True, "an integer is required"),
        ("timeout", "ten", "an integer is required"),
        ("timeout", " 10", "an integer is required"),
        ("timeout", [], "an integer is required"),
        ("priority", -1, "-1 is not between 0 and 2147483647"),
        ("priority", "2147483648", "2147483648 is not between 0 and 2147483647"),
    ],
)
def test_number_out_of_range_is_refused(key: str, value: object, expected: str) -> None:
    found = filter_refusal(one("a", {"queue": SALES, key: value}))

    assert found == f"filters[0].targets[0].{key}: {expected}"


def test_numbers_reach_to_their_limits() -> None:
    longest, largest = limits.STEP_TIMEOUT_SECONDS, limits.PRIORITY_MAX
    found = plan(
        one("a", {"queue": SALES, "timeout": longest, "priority": largest}),
        one("a", {"queue": SALES, "timeout": 1, "priority": 0}),
    )

    assert found.filters[0].targets == (Target(SALES, largest, longest),)
    assert found.filters[1].targets == (Target(SALES, 0, 1),)


def test_1000_filters_are_the_most() -> None:
    most = [one()] * limits.WORKFLOW_FILTERS

    assert len(plan(*most).filters) == 1_000
    expected = "filters: 1001 entries, at most 1000 are allowed"
    assert filter_refusal(*most, one()) == expected


def test_50_targets_are_the_most() -> None:
    most: list[JsonObject] = [{"queue": SALES}] * limits.WORKFLOW_TARGETS

    assert len(plan(one("a", *most)).filters[0].targets) == 50
    assert filter_refusal(one("a", *most, {})) == (
        "filters[0].targets: 51 entries, at most 50 are allowed"
    )


def test_document_of_1038576_bytes_is_the_largest() -> None:
    text = json.dumps({"task_routing": {}}).ljust(limits.WORKFLOW_BYTES)

    assert parse_workflow(text, QUEUES.__contains__) == WorkflowPlan()
    assert refusal(text + " ") == (
        "configuration: 1038577 bytes, at most 1038576 are allowed"
    )


# The walk

STEPS: list[JsonObject] = [{"queue": SALES, "timeout": 10}, {"timeout": 20}]


def test_first_true_filter_takes_the_task() -> None:
    found = plan(one("a == 0"), one("a == 1", *STEPS), one("a == 1"))

    assert enter(found, {"a": 1}) == Step(1, 0, SALES, None, 10)


def test_default_filter_takes_a_task_no_filter_took() -> None:
    default: JsonObject = {"queue": SUPPORT, "priority": 3}

    step = enter(plan(one("a == 0"), default=default), {"a": 1})
    assert step == Step(DEFAULT_FILTER, 0, SUPPORT, 3, None)


def test_task_without_match_and_default_filter_does_not_enter() -> None:
    assert enter(plan(one("a == 0")), {"a": 1}) is None


def test_timed_out_step_leads_to_the_next_target() -> None:
    targets: list[JsonObject] = [
        {"queue": SALES, "priority": 5, "timeout": 10},
        {"timeout": 20},
        {"queue": SUPPORT, "priority": 0},
    ]
    found = plan(one("a == 1", *targets))

    second = advance(found, Step(0, 0, SALES, 5, 10), {"a": 1})
    assert second == Step(0, 1, SALES, None, 20)
    assert advance(found, second, {"a": 1}) == Step(0, 2, SUPPORT, 0, None)


def test_targets_are_not_left_when_the_filter_no_longer_matches() -> None:
    found = plan(one("a == 1", *STEPS))
    first = enter(found, {"a": 1})
    assert first is not None

    assert place(advance(found, first, {"a": 2})) == (0, 1)


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
    last = Step(0, 1, SALES, None, 20)

    assert place(advance(found, last, {"a": 1})) == expected


def test_earlier_filters_are_not_tried_again() -> None:
    found = plan(one("a == 1"), one("b == 1", *STEPS))
    last = Step(1, 1, SALES, None, 20)

    assert advance(found, last, {"a": 1, "b": 1}) is None


def test_default_filter_leads_nowhere() -> None:
    found = plan(one("a == 1"), default={"queue": EVERYONE})
    step = enter(found, {})
    assert step is not None

    assert advance(found, step, {"a": 1}) is None


def test_step_past_the_end_of_a_shorter_document_is_exhausted() -> None:
    assert advance(plan(one()), Step(4, 0, SALES, None, 10), {}) is None
    assert advance(plan(one()), Step(0, 7, SALES, None, 10), {}) is None
