"""Facts about workflow documents."""

import json

import pytest

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.errors import InvalidArgument, Reason
from flexcore.domain.expressions import (
    Context,
    Dialect,
    _parsed,
    parse,
    parse_order,
)
from flexcore.domain.plan_lint import warnings_of_plan
from flexcore.domain.tokens import tokens
from flexcore.domain.workflows import (
    Exhaustion,
    Known,
    Target,
    WorkflowPlan,
    enter,
    parse_workflow,
)
from tests.documents import EVERYONE, QUEUES, SALES, SUPPORT, document, one, plan
from tests.effort import effort

#: of functions, at most, to read what somebody sent: less than a tenth of a second
CALLS = 800_000


def refusal(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(InvalidArgument) as caught:
        parse_workflow(text, QUEUES.__contains__)
    return str(caught.value)


def filter_refusal(*filters: JsonObject) -> str:
    document = {"task_routing": {"filters": list(filters)}}
    return refusal(document).removeprefix("configuration.task_routing.")


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
    assert sales.expression.paths == (("task", ("type",)),)
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
            "configuration.extra: unknown key",
        ),
        (
            {"task_routing": {"filter": []}},
            ("configuration.task_routing.filter: unknown key"),
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
                "a task waits here until its own timeout"
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
    ("found", "expected"),
    [
        ({"targets": []}, "targets: at least one target is required"),
        ({}, "targets: at least one target is required"),
        ({"targets": [{"timeout": 5}]}, "targets[0].queue: a task queue is required"),
        (one("a", {"queue": 5}), "targets[0].queue: a string is required"),
        (one("a", {"queue": SALES, "color": 1}), "targets[0].color: unknown key"),
        ({**one(), "friendly_name": 1}, "friendly_name: a string is required"),
        ({**one(), "friendly_name": "a", "filter_friendly_name": "b"},
         "friendly_name: filter_friendly_name is another name"),
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


# Targets

EVERYTHING: JsonObject = {
    "queue": SALES,
    "priority": "10",
    "timeout": 15,
    "expression": "task.lang IN worker.languages",
    "order_by": "worker.level DESC",
    "skip_if": "workers.available == 0",
    "known_worker_sid": "task.agent.sid",
}


def test_every_key_of_a_target_is_read() -> None:
    (target,) = plan(one("a", EVERYTHING)).filters[0].targets

    assert target == Target(
        SALES,
        priority=10,
        timeout_seconds=15,
        expression=parse("task.lang IN worker.languages", Context.PAIR),
        order_by=parse_order("worker.level DESC"),
        skip_if=parse("workers.available == 0", Context.SKIP),
        known=Known("sid", ("agent", "sid")),
    )


def test_default_filter_is_a_target_without_timeout() -> None:
    default = {**EVERYTHING, "timeout": None}

    found = plan(default=default)
    assert found.default == plan(one("a", default)).filters[0].targets[0]


@pytest.mark.parametrize("key", sorted(EVERYTHING.keys() - {"queue"}))
def test_null_counts_as_a_key_left_out(key: str) -> None:
    found = plan(one("a", {**EVERYTHING, key: None}))
    without = plan(one("a", {k: v for k, v in EVERYTHING.items() if k != key}))

    assert found == without
    assert found != plan(one("a", EVERYTHING))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("expression", "lang == 1", "task. or worker. expected before lang at character 1"),
        ("expression", "", "operand expected at character 1"),
        ("expression", 5, "a string is required"),
        ("order_by", "task.level", "worker. expected at character 1"),
        ("order_by", ["worker.level"], "a string is required"),
        ("skip_if", "task.a == 1", "workers.available, workers.unavailable or workers.WA... expected"),
        ("skip_if", True, "a string is required"),
        ("known_worker_sid", "WK1", "task. expected before WK1 at character 1"),
        ("known_worker_friendly_name", "worker.name", "task. expected at character 1"),
    ],
)  # fmt: skip
def test_malformed_target_is_refused_with_its_path(
    key: str, value: object, expected: str
) -> None:
    found = filter_refusal(one("a"), one("a", {"queue": SALES}, {key: value}))

    assert found.startswith(f"filters[1].targets[1].{key}: {expected}")


def test_a_worker_is_known_by_one_key_only() -> None:
    both = {**EVERYTHING, "known_worker_friendly_name": "task.agent.name"}

    assert filter_refusal(one("a", both)) == (
        "filters[0].targets[0].known_worker_friendly_name:"
        " known_worker_sid is given as well"
    )


def test_name_given_twice_is_one_name() -> None:
    names = {"friendly_name": "sales", "filter_friendly_name": "sales"}

    assert plan(one("a", **names)).filters[0].name == "sales"


def test_dialect_is_that_of_every_expression() -> None:
    compat = Dialect("false", "false")
    found = plan(
        one("a != 1", {"queue": SALES, "expression": "worker.a != 1"}), dialect=compat
    )

    assert found.filters[0].expression == parse("a != 1", Context.TASK, dialect=compat)
    assert found.filters[0].targets[0].expression == parse(
        "worker.a != 1", Context.PAIR, dialect=compat
    )


# Exhaustion


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("cancel", Exhaustion("cancel")),
        ("default", Exhaustion("default")),
        ({"action": "repeat"}, Exhaustion("repeat")),
        ({"action": "repeat", "queue": None}, Exhaustion("repeat")),
        ({"action": "queue", "queue": SUPPORT}, Exhaustion("queue", SUPPORT)),
        (None, None),
    ],
)
def test_exhaustion_is_that_of_a_filter_or_of_the_document(
    value: object, expected: Exhaustion | None
) -> None:
    found = plan(
        one("a", {"queue": SALES, "timeout": 1}, on_exhausted=value),
        default={"queue": EVERYONE},
        on_exhausted=value,
    )

    assert found.filters[0].on_exhausted == expected
    assert found.on_exhausted == expected
    assert warnings_of_plan(found) == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("drop", ": cancel, default, repeat or queue is required"),
        (5, ": cancel, default, repeat or queue is required"),
        ({}, ": cancel, default, repeat or queue is required"),
        ({"action": ["queue"]}, ": cancel, default, repeat or queue is required"),
        ("queue", ': an object with "action" and "queue" is required'),
        ({"action": "queue"}, ': an object with "action" and "queue" is required'),
        ({"action": "queue", "queue": "WQ9"}, ".queue: task queue WQ9 does not exist"),
        ({"action": "cancel", "queue": SALES}, ".queue: the action is not queue"),
        ({"action": "cancel", "after": 5}, ".after: unknown key"),
        ("default", ": there is no default_filter"),
    ],
)
def test_malformed_exhaustion_is_refused(value: object, expected: str) -> None:
    assert filter_refusal(one("a", on_exhausted=value)) == (
        f"filters[0].on_exhausted{expected}"
    )
    assert refusal(json.loads(document(on_exhausted=value))) == (
        f"configuration.task_routing.on_exhausted{expected}"
    )


# What a document may cost


TOO_MANY = (
    "more than 12000 filters, targets, and words and signs of different expressions"
)


def small_targets(filters: int) -> list[JsonObject]:
    """Filters of 49 targets, each 50 parts, and an expression of one."""
    targets: list[JsonObject] = [{"queue": SALES, "timeout": 1}, *[{"timeout": 1}] * 48]
    return [one("a", *targets)] * filters


def comparisons(filters: int, unit: str, joined: int, parts: int) -> list[JsonObject]:
    """Filters of different expressions, which have so many parts; two more by filter."""
    texts = [
        " AND ".join(unit.replace("#", f"a{n}x{place}") for place in range(joined))
        for n in range(filters)
    ]
    assert all(
        parse(text, Context.TASK) and len(tokens(text)) - 1 == parts
        for text in texts[:2]
    )
    return [one(text) for text in texts]


def test_12000_targets_and_filters_are_the_most() -> None:
    most = small_targets(239)
    rest = 12_000 - 239 * 50 - 1
    last = one("a", {"queue": SALES}, *[{"timeout": 1}] * (rest - 2))

    assert plan(*most, last)
    assert filter_refusal(*most, last, one()) == f"filters[240]: {TOO_MANY}"


def test_12000_words_and_signs_are_the_most() -> None:
    # 3 comparisons of 3 and the 2 operators between them, a filter and a target
    most = comparisons(923, "# < 1", 3, 11)

    assert plan(*most)
    assert filter_refusal(*most, one("b")) == f"filters[923].expression: {TOO_MANY}"


def letters(count: int) -> list[JsonObject]:
    text = ", ".join(f"'{chr(97 + n % 26)}'" for n in range(64))
    return comparisons(count, f"# NOT IN [{text}]", 1, 132)


@pytest.mark.parametrize(
    "filters",
    [
        small_targets(235),
        comparisons(923, "# < 1", 3, 11),
        comparisons(169, "NOT # == 1", 14, 69),
        comparisons(90, "# IN [" + ", ".join("1" * 64) + "]", 1, 131),
        letters(89),
        [
            one(f"a == {n}", *[{"queue": SALES, "timeout": "1", "priority": "1",
                               "skip_if": "workers.available == 0",
                               "order_by": "worker.a DESC, worker.b",
                               "expression": "task.a == worker.a"}] * 4)
            for n in range(1_000)
        ],
    ],
    ids=["targets", "comparisons", "negations", "numbers", "texts", "full"],
)  # fmt: skip
def test_the_largest_documents_are_read_in_a_bounded_number_of_calls(
    filters: list[JsonObject],
) -> None:
    text, found = document(*filters), []
    _parsed.cache_clear()

    assert effort(lambda: found.append(parse_workflow(text, lambda _: True))) < CALLS
    assert effort(lambda: warnings_of_plan(found[0])) < CALLS


@pytest.mark.parametrize(
    "inside",
    [
        "[]," * 340_000 + "[]",
        '"",' * 340_000 + '""',
        "1," * 510_000 + "1",
        ",".join(['{"targets":[{"timeout":1}]}'] * 35_000),
        "{" + ",".join(f'"k{n}":1' for n in range(80_000)) + "}",
    ],
    ids=["arrays", "texts", "numbers", "filters", "keys"],
)
def test_the_largest_garbage_is_refused_in_a_bounded_number_of_calls(
    inside: str,
) -> None:
    text = f'{{"task_routing":{{"filters":[{inside}]}}}}'
    assert len(text) <= limits.WORKFLOW_BYTES

    assert effort(lambda: refusal(text)) < CALLS


def test_expressions_of_131072_characters_are_the_longest() -> None:
    texts = [f"a{n}".ljust(limits.EXPRESSION_CHARS) for n in range(32)]

    assert plan(*map(one, texts))
    # Again, it costs nothing.
    assert plan(*map(one, texts + texts))
    assert filter_refusal(*map(one, [*texts, "b"])) == (
        "filters[32].expression: more than 131072 characters in all expressions"
    )


# Documents as TaskRouter users have them

REPOSITORY: list[JsonObject] = [
    # Skills, with a fallback by timeout.
    one(
        'type == "sales"',
        {
            "queue": SALES,
            "timeout": "10",
            "priority": "10",
            "expression": "task.language IN worker.languages",
        },
        {"queue": EVERYONE},
        filter_friendly_name="Sales",
    ),
    # A colleague that is asked for, then voicemail.
    one(
        "type == 'voice' AND direction = \"inbound\"",
        {
            "queue": SALES,
            "expression": "worker.extension == task.extension",
            "timeout": 1,
            "skip_if": "workers.available == 0",
        },
        {"queue": SUPPORT},
        friendly_name="Direct call",
    ),
    one(
        "transferTargetType == 'worker'",
        {"queue": SALES, "known_worker_sid": "task.transferTargetSid"},
    ),
    # Those who take part already are not asked again.
    one(
        "transferQueueName == 'Everyone'",
        {"queue": SALES, "expression": "worker.sid NOT IN task.workerSids"},
    ),
    # Nobody who is on a call gets a chat.
    one(
        "task.channel in ['chat', 'sms']",
        {
            "queue": SUPPORT,
            "expression": "worker.channel.voice.available_capacity_percentage == 100",
            "order_by": "worker.routing.level DESC, worker.cost ASC",
            "skip_if": "1==1",
        },
        {"timeout": 300},
    ),
    one(
        "1==1",
        {
            "queue": SALES,
            "expression": "task.targetWorkersArray HAS worker.sid AND"
            ' worker.activity_name in ["Available", "Backup"]',
            "timeout": 120,
        },
    ),
]


@pytest.mark.parametrize("dialect", [Dialect(), Dialect("false", "false")])
def test_documents_of_taskrouter_are_read_unchanged(dialect: Dialect) -> None:
    found = plan(*REPOSITORY, default={"queue": EVERYONE}, dialect=dialect)

    assert len(found.filters) == len(REPOSITORY)
    assert [
        text.split(": ", 1)[1].split(" ")[0] for text in warnings_of_plan(found)
    ] == [
        "true" if dialect == Dialect() else "false",
        "always",
    ]
