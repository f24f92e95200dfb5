"""Facts about pairs of task and worker, skip_if, order_by, dialects and conjuncts."""

import pytest

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.expressions import (
    Context,
    Dialect,
    ExpressionError,
    OrderClause,
    order_operands,
    parse,
    parse_order,
    parse_reference,
)

TASK: JsonObject = {"lang": "en", "langs": ["en", "fr"], "seen": ["WK2"], "level": 2}
WORKER: JsonObject = {
    "sid": "WK1",
    "activity_name": "Available",
    "languages": ["en", "de"],
    "levels": {"en": 3},
    "channel": {
        "voice": {
            "configured_capacity": 1,
            "assigned_tasks": 0,
            "available_capacity_percentage": 100,
        }
    },
}
ACTIVITY = "WA" + "0123456789abcdef" * 2
PERCENTAGE = "worker.channel.voice.available_capacity_percentage"


def refusal(text: str, context: Context) -> str:
    with pytest.raises(ExpressionError) as caught:
        parse(text, context)
    return str(caught.value).removeprefix("expression: ").removesuffix(f": {text}")


# Pairs


@pytest.mark.parametrize(
    "text",
    [
        "task.lang IN worker.languages",
        "worker.languages HAS task.lang",
        "worker.levels.en >= task.level",
        "worker['levels']['en'] = 3",
        "worker.sid NOT IN task.seen",
        "worker.sid == 'WK1' AND task.lang == \"en\"",
        "worker.activity_name in ['Available', 'Busy']",
        f"{PERCENTAGE} == 100",
        "worker.channel.voice.assigned_tasks <= task.level",
        "worker.channel.fax.assigned_tasks IS NULL",
        "worker.channel.`voice`['configured_capacity'] == 1",
        "task.channel IS NULL",
        "1 == 1",
    ],
)
def test_pair_expression_holds(text: str) -> None:
    assert parse(text, Context.PAIR).evaluate_pair(TASK, WORKER)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lang IN worker.languages", "task. or worker. expected before lang at character 1"),
        ("task.lang IN languages", "task. or worker. expected before languages at character 14"),
        ("task == 1", "task. or worker. expected before task at character 1"),
        ("task[0] == 1", "task. or worker. expected before task at character 1"),
        ("`task`.a == 1", "task. or worker. expected before task at character 1"),
        ("Worker.a == 1", "task. or worker. expected before Worker at character 1"),
        ("workers.available == 1", "task. or worker. expected before workers at character 1"),
    ],
)  # fmt: skip
def test_pair_needs_a_prefix_before_every_name(text: str, expected: str) -> None:
    assert refusal(text, Context.PAIR) == expected


@pytest.mark.parametrize(
    "path",
    [
        "worker.channel",
        "worker.channel.voice",
        "worker.channel.voice.capacity",
        "worker.channel.voice.assigned_tasks.more",
        "worker['channel'].voice",
        "worker.`channel`[0]",
    ],
)
def test_channel_is_reserved_for_live_values(path: str) -> None:
    assert refusal(f"{path} == 1", Context.PAIR) == (
        "worker.channel.<name>. is followed by one of configured_capacity,"
        " assigned_tasks, available_capacity_percentage at character 1"
    )


def test_live_value_alone_is_no_condition() -> None:
    found = refusal(PERCENTAGE, Context.PAIR)

    assert found == f"comparison expected at character {len(PERCENTAGE) + 1}"


def test_program_of_a_pair_names_its_sides_and_numbers_its_channels() -> None:
    text = f"task.a HAS worker.b AND {PERCENTAGE} > worker.channel.fax.assigned_tasks"

    assert parse(text, Context.PAIR).program({"voice": 3}) == (
        ("path", "task", ("a",)),
        ("path", "worker", ("b",)),
        ("has",),
        ("live", 3, "available_capacity_percentage"),
        ("const", None),
        (">",),
        ("and",),
    )


def test_paths_of_a_pair_have_their_roots() -> None:
    text = f"task.a HAS worker.b OR worker.b == 1 OR {PERCENTAGE} > 0"

    assert parse(text, Context.PAIR).paths == (
        ("task", ("a",)),
        ("worker", ("b",)),
        ("worker", ("channel", "voice", "available_capacity_percentage")),
    )


def test_channel_is_an_ordinary_attribute_of_queue_expressions() -> None:
    expression = parse("channel.voice.assigned_tasks == 0", Context.WORKER)

    assert expression.evaluate(WORKER)
    assert expression.program({"voice": 3})[0][0] == "path"


# skip_if


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workers.available == 0", False),
        ("workers.available == 2 AND workers.unavailable > 0", True),
        (f"workers.{ACTIVITY} >= 1 OR 1==0", True),
        (f"workers.WA{'0' * 32} == 0", False),
        ("1==1", True),
        ("workers['available'] IN [1, 2]", True),
    ],
)
def test_skip_if_reads_how_many_workers_are_in_an_activity(
    text: str, expected: bool
) -> None:
    counts: JsonObject = {"available": 2, "unavailable": 1, ACTIVITY: 1}

    assert parse(text, Context.SKIP).evaluate(counts) is expected


@pytest.mark.parametrize(
    "name",
    [
        "available",
        "workers",
        "workers.busy",
        "workers.available.more",
        "workers.WA1",
        f"workers.{ACTIVITY}0",
        "workers[0]",
        "task.a",
        "`workers`.available",
    ],
)
def test_skip_if_reads_nothing_else(name: str) -> None:
    assert refusal(f"{name} == 0", Context.SKIP) == (
        "workers.available, workers.unavailable or workers.WA... expected"
        " at character 1"
    )


def test_count_alone_is_no_condition() -> None:
    found = refusal("workers.available", Context.SKIP)

    assert found == "comparison expected at character 18"


def test_empty_text_is_an_expression_of_workers_alone() -> None:
    for context in (Context.PAIR, Context.SKIP, Context.TASK):
        assert refusal("", context).startswith("operand expected at character 1")


# order_by


def test_order_by_is_a_list_of_workers_numbers() -> None:
    found = parse_order(f"worker.levels.en DESC, worker.a asc,worker.b, {PERCENTAGE}")

    assert found == (
        OrderClause(("levels", "en"), descending=True),
        OrderClause(("a",), descending=False),
        OrderClause(("b",), descending=False),
        OrderClause(
            ("channel", "voice", "available_capacity_percentage"),
            descending=False,
            live=True,
        ),
    )


def test_operands_of_an_order_leave_out_channels_without_a_number() -> None:
    clauses = parse_order(
        "worker.a, worker.channel.fax.assigned_tasks, worker.desc DESC,"
        "worker.channel.chat.assigned_tasks DESC"
    )

    assert order_operands(clauses, {"chat": 1}) == (
        (("path", "worker", ("a",)), False),
        (("path", "worker", ("desc",)), True),
        (("live", 1, "assigned_tasks"), True),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "name expected at character 1"),
        ("level DESC", "worker. expected before level at character 1"),
        ("worker.a, task.b", "worker. expected at character 11"),
        ("worker.a DOWN", "ASC, DESC or ',' expected at character 10"),
        ("worker.a DESC worker.b", "ASC, DESC or ',' expected at character 15"),
        ("worker.a,", "name expected at character 10"),
        ("worker.a == 1", "ASC, DESC or ',' expected at character 10"),
        ("worker.channel.a DESC", "worker.channel.<name>. is followed by one of"),
        ("worker.a" + " " * limits.EXPRESSION_CHARS, "more than 4096 characters"),
    ],
)
def test_malformed_order_is_refused_with_its_position(text: str, expected: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_order(text, "targets[0].order_by")

    assert str(caught.value).startswith(f"targets[0].order_by: {expected}")


def test_8_clauses_are_the_most() -> None:
    most = ",".join(["worker.a"] * limits.ORDER_BY_CLAUSES)
    assert len(parse_order(most)) == 8

    with pytest.raises(ExpressionError, match="more than 8 clauses at character 73"):
        parse_order(f"{most},worker.a")


# References


def test_reference_is_the_path_of_a_task_attribute() -> None:
    assert parse_reference("task.agents[0].sid", "known") == ("agents", 0, "sid")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agent", "task. expected before agent at character 1"),
        ("worker.sid", "task. expected at character 1"),
        ("task.a == 1", "unexpected == at character 8"),
        ("'WK1'", "name expected at character 1"),
        ("{{task.a}}", "unexpected character '{' at character 1"),
        ("", "name expected at character 1"),
    ],
)
def test_what_is_no_reference_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_reference(text, "known")

    assert str(caught.value) == f"known: {expected}: {text}"


# Dialects

#: a and s are scalars, l and m arrays, o an object
VALUES: JsonObject = {"a": "x", "s": 7, "l": ["x"], "m": ["y"], "o": {"x": 1}}
DIALECTS = [
    Dialect("negate", "empty"),
    Dialect("negate", "false"),
    Dialect("false", "empty"),
    Dialect("false", "false"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # negate/empty, negate/false, false/empty, false/false
        ("a != 'y'", "TTTT"),
        ("a != 7", "TTTT"),
        ("gone != 'x'", "TTTT"),
        ("l != 'x'", "TTFF"),
        ("o != 'x'", "TTFF"),
        ("'x' != ['y']", "TTFF"),
        ("a NOT CONTAINS 'y'", "TTTT"),
        ("s NOT CONTAINS 'y'", "TTTT"),
        ("m NOT CONTAINS 'x'", "TTFF"),
        ("a NOT IN m", "TTTT"),
        ("a NOT IN l", "FFFF"),
        ("a NOT IN s", "TTFF"),
        ("a NOT IN o", "TTFF"),
        ("a NOT IN gone", "TFTF"),
        ("gone NOT IN m", "TTTT"),
        # The operator NOT is ours, and exact in every dialect.
        ("NOT l == 'x'", "TTTT"),
        ("NOT a IN gone", "TTTT"),
    ],
)
def test_dialect_chooses_the_reading_of_negative_operators(
    text: str, expected: str
) -> None:
    found = [
        parse(text, Context.TASK, dialect=dialect).evaluate(VALUES)
        for dialect in DIALECTS
    ]

    assert "".join("FT"[value] for value in found) == expected


def test_dialect_is_seen_in_the_program() -> None:
    text = "a != 1 AND a NOT IN b AND a NOT CONTAINS 'x'"

    def operators(dialect: Dialect) -> list[str]:
        steps = parse(text, Context.TASK, dialect=dialect).program()
        return [step[0] for step in steps if len(step) == 1 and step[0] != "and"]

    assert [operators(dialect) for dialect in DIALECTS] == [
        ["!=", "not_in", "not_contains"],
        ["!=", "not_in_known", "not_contains"],
        ["unequal", "not_in_or_missing", "lacks"],
        ["unequal", "not_in_array", "lacks"],
    ]


# Conjuncts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == 1", ["a == 1"]),
        ("a == 1 AND b", ["a == 1", "b"]),
        ("a == 1 and (b OR c) and d", ["a == 1", "b OR c", "d"]),
        ("(a AND (b  AND c))  AND NOT (d AND e)", ["a", "b", "c", "NOT (d AND e)"]),
        ("(a AND b) OR c", ["(a AND b) OR c"]),
        (" a   AND\n 'x' IN [ 'x' ] ", ["a", "'x' IN [ 'x' ]"]),
        ("a['x'] IS NOT NULL AND `b c` AND TRUE", ["a['x'] IS NOT NULL", "`b c`", "TRUE"]),
        ("", [""]),
    ],
)  # fmt: skip
def test_conjuncts_are_the_parts_that_must_all_hold(
    text: str, expected: list[str]
) -> None:
    conjuncts = parse(text, Context.WORKER).conjuncts()

    assert [conjunct.text for conjunct in conjuncts] == expected
    assert all(conjunct.context is Context.WORKER for conjunct in conjuncts)


def test_conjuncts_keep_their_dialect() -> None:
    expression = parse("a AND l != 'x'", Context.TASK, dialect=DIALECTS[3])

    assert not expression.conjuncts()[1].evaluate(VALUES)


def test_equal_expressions_have_the_same_text_context_and_dialect() -> None:
    one = parse("a == 1", Context.TASK)

    assert one == parse("a == 1", Context.TASK)
    assert one != parse("a == 1", Context.WORKER)
    assert one != parse("a == 1", Context.TASK, dialect=DIALECTS[3])
    assert one != parse("a ==  1", Context.TASK)
    assert len({one, parse("a == 1", Context.TASK, "field")}) == 1
