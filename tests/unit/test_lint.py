"""Facts about what is allowed and rarely meant: warnings of expressions and plans."""

import pytest

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.expressions import Context, Dialect, parse, warnings_of
from flexcore.domain.plan_lint import warnings_of_plan
from tests.documents import EVERYONE, SALES, one, plan
from tests.factories import make_sid

COMPAT = Dialect("false", "false")
SKIP = "workers.available == 0"


def warned(
    text: str, context: Context = Context.WORKER, dialect: Dialect | None = None
) -> list[str]:
    return list(warnings_of(parse(text, context, dialect=dialect or Dialect())))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1==1", ["always true: 1==1"]),
        ("a OR TRUE", ["always true: a OR TRUE"]),
        ("NOT (1 == 2)", ["always true: NOT (1 == 2)"]),
        ("a AND 1 == 0", ["always false: a AND 1 == 0"]),
        # Kinds that never meet.
        ("skills == ['en']", ["always false: skills == ['en']"]),
        ("skills != ['en']", ["always true: skills != ['en']"]),
        ("lang IN 'en'", ["always false: lang IN 'en'"]),
        ("lang IN []", ["always false: lang IN []"]),
        ("lang NOT IN 'en'", ["always true: lang NOT IN 'en'"]),
        ("skills HAS ['en']", ["always false: skills HAS ['en']"]),
        ("name CONTAINS 5", ["always false: name CONTAINS 5"]),
        ("level > null", ["always false: level > null"]),
        ("level < true", ["always false: level < true"]),
        # Meant as OR, and as AND.
        ("t == 'a' AND t == 'b'", ["always false: t == 'a' AND t == 'b'"]),
        ("t != 'a' OR 'b' != t", ["always true: t != 'a' OR 'b' != t"]),
        # A part of many.
        ("a AND (b OR lang IN 'en')", ["always false: lang IN 'en'"]),
        # Nothing to say.
        ("skills HAS 'en' AND level >= 3", []),
        ("t == 'a' OR t == 'b'", []),
        ("t != 'a' AND t != 'b'", []),
        ("t == 1 AND t == 1.0", []),
        ("name CONTAINS ''", []),
        ("a == b AND a.c == null", []),
        ("a >= ''", []),
        ("a > 1e300 AND b < -1e300", []),
        ("a > 9223372036854775807", []),
        ("", []),
    ],
)
def test_what_is_always_true_or_false_is_named(text: str, expected: list[str]) -> None:
    assert warned(text) == expected


def test_counts_are_never_below_zero() -> None:
    assert warned("workers.available > 0", Context.SKIP) == []
    assert warned("workers.available < 0", Context.SKIP) == [
        "always false: workers.available < 0"
    ]
    assert warned("workers.available == 'none'", Context.SKIP) == [
        "always false: workers.available == 'none'"
    ]


def test_contradiction_of_arrays_is_none_in_a_dialect_that_refuses_arrays() -> None:
    assert warned("t != 'a' OR t != 'b'", dialect=COMPAT) == []


@pytest.mark.parametrize(
    ("dialect", "value"),
    [
        (Dialect("negate", "empty"), "true"),
        (Dialect("false", "empty"), "true"),
        (Dialect("negate", "false"), "false"),
        (Dialect("false", "false"), "false"),
    ],
)
def test_not_in_an_array_that_may_be_missing_is_named(
    dialect: Dialect, value: str
) -> None:
    text = "worker.a == 1 AND worker.sid NOT IN task.seen"

    assert warned(text, Context.PAIR, dialect) == [
        (
            f"{value} where task.seen is missing (IS NULL and IS NOT NULL tell):"
            " worker.sid NOT IN task.seen"
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        "task.seen IS NOT NULL AND worker.sid NOT IN task.seen",
        "task.seen IS NULL OR worker.sid NOT IN task.seen",
        "worker.sid NOT IN task.seen AND task.seen != null",
        "null == task.seen OR worker.sid NOT IN task.seen",
        "worker.sid NOT IN ['WK1']",
        "NOT worker.sid IN task.seen",
        # Of every task.
        "worker.sid NOT IN task.refused_by",
    ],
)
def test_not_in_an_array_that_is_tested_for_null_is_not_named(text: str) -> None:
    assert warned(text, Context.PAIR) == []


def test_an_attribute_of_a_worker_called_like_what_tasks_have_may_be_missing() -> None:
    (warning,) = warned("'WK1' NOT IN refused_by")

    assert warning.startswith("true where refused_by is missing")


def test_live_value_in_a_queue_expression_is_named() -> None:
    text = "worker.channel.voice.assigned_tasks == 0"

    assert warned(text) == [
        (
            "an attribute here, a live value in target expressions only:"
            " worker.channel.voice.assigned_tasks"
        )
    ]
    assert warned(text, Context.PAIR) == []


# Plans


def plan_warnings(*filters: JsonObject, **keys: object) -> list[str]:
    found = warnings_of_plan(plan(*filters, **keys))
    assert all(text.startswith("configuration.task_routing.") for text in found)
    return [text.removeprefix("configuration.task_routing.") for text in found]


def test_targets_after_one_without_end_are_unreachable() -> None:
    targets: list[JsonObject] = [{"queue": SALES, "timeout": 5}, {}, {"timeout": 5}, {}]

    never_ends = "targets[1] has no timeout and is never skipped"
    assert plan_warnings(one("a", *targets)) == [
        f"filters[0].targets[2]: unreachable: {never_ends}",
        f"filters[0].targets[3]: unreachable: {never_ends}",
    ]


def test_target_ends_by_its_timeout_or_its_skip_if() -> None:
    targets: list[JsonObject] = [
        {"queue": SALES, "skip_if": "1==1"},
        {"timeout": 5},
        {"skip_if": SKIP},
        {},
    ]

    assert plan_warnings(one("a", *targets)) == []


def test_skip_if_that_is_never_true_ends_nothing() -> None:
    found = plan_warnings(one("a", {"queue": SALES, "skip_if": "1==0"}, {}))

    assert found == [
        "filters[0].targets[0].skip_if: always false: 1==0",
        (
            "filters[0].targets[1]: unreachable:"
            " targets[0] has no timeout and is never skipped"
        ),
    ]


@pytest.mark.parametrize("expression", ["1==1", None])
def test_filters_after_one_that_keeps_every_task_are_unreachable(
    expression: str | None,
) -> None:
    found = plan_warnings(one("a"), one(expression), one("b"), one("c"))

    keeps = (
        "filters[1] takes every task and targets[0] has no timeout and is never skipped"
    )
    assert [text for text in found if "always" not in text] == [
        f"filters[2]: unreachable: {keeps}",
        f"filters[3]: unreachable: {keeps}",
    ]


def test_filters_after_one_that_lets_go_are_reachable() -> None:
    assert plan_warnings(one(None, {"queue": SALES, "timeout": 5}), one("b")) == []
    assert plan_warnings(one(None, {"queue": SALES, "skip_if": SKIP}), one("b")) == []


def test_filter_that_is_always_true_is_named() -> None:
    assert plan_warnings(one("1==1")) == ["filters[0].expression: always true: 1==1"]


def test_exhaustion_of_a_filter_that_does_not_exhaust_is_named() -> None:
    assert plan_warnings(one("a", on_exhausted="cancel")) == [
        (
            "filters[0].on_exhausted: never used:"
            " targets[0] has no timeout and is never skipped"
        )
    ]


def test_warnings_of_targets_have_their_path() -> None:
    target: JsonObject = {
        "queue": SALES,
        "expression": "worker.sid NOT IN task.seen",
        "order_by": "worker.level DESC, worker.friendly_name",
    }

    assert plan_warnings(one("a", target), default={**target, "queue": EVERYONE}) == [
        f"{path}{text}"
        for path in ("filters[0].targets[0].", "default_filter.")
        for text in (
            (
                "expression: true where task.seen is missing"
                " (IS NULL and IS NOT NULL tell): worker.sid NOT IN task.seen"
            ),
            "order_by: never a number: worker.friendly_name",
        )
    ]


def test_who_reads_refusals_that_do_not_count_is_told() -> None:
    target = {"queue": SALES, "expression": "worker.sid NOT IN task.refused_by"}
    read = plan(one("'WK1' IN refused_by", target))

    assert warnings_of_plan(read, "at", refusal_scope="step") == ()
    said = "always empty where refusal_scope is none: task.refused_by"
    assert warnings_of_plan(read, "at", refusal_scope="none") == (
        f"at.filters[0].expression: {said}",
        f"at.filters[0].targets[0].expression: {said}",
    )


def test_who_counts_an_activity_there_is_none_of_is_told() -> None:
    here, gone = make_sid("WA", 1), make_sid("WA", 2)
    skip = f"workers.{here} > 0 OR workers.{gone} == 0 OR workers.available == 0"
    read = plan(one("a", {"queue": SALES, "skip_if": skip, "timeout": 1}))
    said = f"always 0, there is no such activity: workers.{gone}"

    assert warnings_of_plan(read, "at") == ()
    assert warnings_of_plan(read, "at", activity_sids={here, gone}) == ()
    assert warnings_of_plan(read, "at", activity_sids={here}) == (
        f"at.filters[0].targets[0].skip_if: {said}",
    )


def test_100_warnings_are_the_most() -> None:
    most = [one("1==0", {"queue": SALES, "timeout": 1})] * limits.WORKFLOW_WARNINGS

    assert len(warnings_of_plan(plan(*most))) == 100
    found = warnings_of_plan(plan(*most, *most))
    assert len(found) == 101
    assert found[-1] == "configuration.task_routing: more warnings"
