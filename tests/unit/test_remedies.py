"""What would make an expression true, said so that somebody can do it."""

import json

import pytest

from flexcore.domain import limits
from flexcore.domain.expressions import Context, Dialect, parse
from flexcore.engine.routing.eligibility import Failure
from flexcore.engine.routing.remedies import remedy_of
from tests.factories import make_task

TASK = make_task(
    attributes=json.dumps({"lang": "es", "tags": ["a", "b", "c", "d"], "least": 2})
)


def remedy(text: str, context: Context = Context.WORKER, **dialect: str) -> str:
    expression = parse(text, context, dialect=Dialect(**dialect))  # type: ignore[arg-type]  # literals
    return remedy_of(Failure("queue", "", expression), TASK)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('languages HAS "es"', "with es"),
        ('"es" IN languages', "with es"),
        ("level HAS 3", "with 3"),
        ("level == 2", "with level 2"),
        ("2 == level", "with level 2"),
        ("level != 2", "with level other than 2"),
        ("level >= 2", "with level >= 2"),
        ("2 <= level", "with level >= 2"),
        ("level < 2", "with level < 2"),
        ("2 > level", "with level < 2"),
        ("vip == true", "with vip true"),
        ("vip", "with vip true"),
        ('team IN ["a", "b"]', "with team one of a, b"),
        ('team IN ["a", "b", "c", "d"]', "with team one of a, b, c, ..."),
        ('team NOT IN ["a", "b"]', "with team none of a, b"),
        ('"es" NOT IN languages', "without es"),
        ('name CONTAINS "nn"', "with nn in name"),
        ('name NOT CONTAINS "nn"', "without nn in name"),
        ("level IS NULL", "without level"),
        ("level IS NOT NULL", "with level"),
        ("routing.rank > 1", "with routing.rank > 1"),
        ('languages HAS "es" OR level == 3', "with es or with level 3"),
        ("level == 3 OR level == 3", "with level 3"),
        ("a == b", "if a == b were true"),
        ("a == 1 OR b == c", "if a == 1 OR b == c were true"),
        ("1 == 2", "if 1 == 2 were true"),
        ('"ann" CONTAINS name', 'if "ann" CONTAINS name were true'),
    ],
)
def test_remedy_of_a_workers_expression(text: str, expected: str) -> None:
    assert remedy(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task.lang IN worker.languages", "with es"),
        ("worker.languages HAS task.lang", "with es"),
        ("worker.level >= task.least", "with level >= 2"),
        ("worker.team IN task.tags", "with team one of a, b, c, ..."),
        ("worker.team NOT IN task.tags", "with team none of a, b, c, ..."),
        ("task.country IN worker.countries", "if the task had country"),
        ("worker.level >= task.most", "if the task had most"),
        ("task.vip", "if the task had vip"),
        ("task.vip IS NOT NULL", "if the task had vip"),
        ("task.lang IS NULL", "if task.lang IS NULL were true"),
        (
            "worker.channel.chat.assigned_tasks == 0",
            "with channel.chat.assigned_tasks 0",
        ),
        ("worker.a == worker.b", "if worker.a == worker.b were true"),
        ("worker.a == task.tags", "if worker.a == task.tags were true"),
        ("worker.a IN task.lang", "if worker.a IN task.lang were true"),
    ],
)
def test_remedy_of_a_steps_expression(text: str, expected: str) -> None:
    assert remedy(text, Context.PAIR) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"es" NOT IN languages', "without es"),
        ("level != 2", "with level other than 2"),
        ("2 != level", "with level other than 2"),
        ('name NOT CONTAINS "nn"', "without nn in name"),
    ],
)
def test_narrow_operators_read_the_same(text: str, expected: str) -> None:
    assert remedy(text, type_mismatch="false", missing_array="false") == expected
    assert remedy(text, type_mismatch="false", missing_array="empty") == expected
    assert remedy(text, type_mismatch="negate", missing_array="false") == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("queue", "with another expression"),
        ("known_worker", "if asked for"),
        ("refused", "once the refusal is over"),
        ("activity", "when available"),
        ("channel", "with the channel open"),
        ("capacity", "with more room"),
    ],
)
def test_remedy_of_what_is_no_expression(condition: str, expected: str) -> None:
    assert remedy_of(Failure(condition, ""), TASK) == expected


def test_long_remedies_are_cut() -> None:
    text = " OR ".join(f"level == {number}" for number in range(40))

    assert len(remedy(text)) == limits.EXPLAIN_CHARS
