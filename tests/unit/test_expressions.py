"""Facts about the expression language: grammar, positions, limits, semantics."""

import pytest

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.errors import InvalidArgument, Reason
from flexcore.domain.expressions import Context, ExpressionError, parse

WORKER: JsonObject = {
    "sid": "WK1",
    "activity_name": "Available",
    "skills": ["en", "billing", 7, None],
    "level": 3,
    "score": 2.5,
    "vip": True,
    "name": "Ann",
    "routing": {"levels": {"en": 5}, "tags": [{"id": "x"}, "y"]},
    "customer-value": 9,
    "task": {"lang": "fr"},
    "in": 1,
}


def holds(text: str) -> bool:
    return parse(text, Context.WORKER).evaluate(WORKER)


def refusal(text: str, context: Context = Context.WORKER) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text, context)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "1==1",
        "1 = 1",
        "level == 3 AND score < 3",
        "level >= 3 and level <= 3.0",
        "name == 'Ann' AND name == \"Ann\"",
        "skills HAS 'en'",
        "skills has 7",
        "'en' IN skills",
        'activity_name in ["Available", "Busy"]',
        "name NOT IN ['Bob']",
        "name CONTAINS 'nn'",
        "name NOT CONTAINS 'x'",
        "NOT level == 4",
        "NOT NOT vip",
        "vip",
        "TRUE",
        "vip == true",
        "worker.level == 3",
        "worker['level'] == 3",
        "routing.levels.en == 5",
        "routing.tags[0].id == 'x'",
        "routing['tags'][1] == \"y\"",
        "`customer-value` == 9",
        "`task`.lang == 'fr'",
        "worker.in == 1",
        "`in` == 1",
        "gone IS NULL",
        "gone.deeper[3].still == null",
        "level IS NOT NULL",
        "level[0] IS NULL",
        "skills.en IS NULL",
        "skills[99] IS NULL",
        "skills has null",
        "3 > -2.5e0",
        "'b' > 'a'",
        "'Z' < 'a'",
        "(level == 3)",
        r"'it\'s' == " + '"it\'s"',
        r"'a\\b' == 'a\\b'",
    ],
)
def test_expression_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "1==0",
        "FALSE",
        "level == '3'",
        "vip == 1",
        "vip == 'true'",
        "vip > false",
        "'5' == 5",
        "'5' < 6",
        "gone < 1",
        "gone >= null",
        "skills == skills",
        "routing == routing",
        "routing == null",
        "skills HAS 'EN'",
        "name HAS 'A'",
        "skills HAS skills",
        "name IN 'Ann'",
        "name CONTAINS 'ann'",
        "skills CONTAINS 'en'",
        "level",
        "name",
        "gone",
        "level AND vip",
        "skills IS NULL",
        "Level == 3",
    ],
)
def test_expression_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A value of another type is not 'x', so the negations are true.
        ("skills != 'x'", True),
        ("level NOT IN name", True),
        ("name NOT IN gone", True),
        ("gone == null", True),
        ("null IN gone", False),
        # AND binds tighter than OR.
        ("skills HAS 'en' OR level == 0 AND score == 0", True),
        ("(skills HAS 'en' OR level == 0) AND score == 0", False),
    ],
)
def test_negation_is_exact_and_and_binds_tighter(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize("text", ["NOT name", "NOT skills", "NOT level", "NOT gone"])
def test_not_of_what_is_no_boolean_holds(text: str) -> None:
    assert holds(text)


def test_not_binds_tighter_than_and() -> None:
    assert not holds("NOT level == 3 AND gone")
    assert holds("NOT (level == 3 AND gone)")


def test_integers_beyond_the_reach_of_a_double_stay_exact() -> None:
    expression = parse("n == 9007199254740993", Context.TASK)

    assert expression.evaluate({"n": 9007199254740993})
    assert not expression.evaluate({"n": 9007199254740992})


def test_operand_missing_after_operator_names_the_position() -> None:
    error = refusal('skills HAS AND lang == "en"')

    assert str(error) == (
        'expression: operand expected at character 12: skills HAS AND lang == "en"'
    )
    assert error.position == 12
    assert error.expression[error.position - 1 :].startswith("AND")


def test_error_is_an_invalid_argument_under_the_given_field() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse("a ==", Context.WORKER, "target_workers")

    assert caught.value.reason is Reason.EXPRESSION_INVALID
    assert caught.value.metadata == {"position": "5"}
    assert caught.value.violations[0][0] == "target_workers"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a == ", "operand expected at character 6"),
        ("a AND", "operand expected at character 6"),
        ("(a == 1", "')' expected at character 8"),
        ("a == 1)", "unexpected ) at character 7"),
        ("a b", "unexpected b at character 3"),
        ("a == 1 == 1", "unexpected == at character 8"),
        ("5", "comparison expected at character 2"),
        ("'x'", "comparison expected at character 4"),
        ("null", "comparison expected at character 5"),
        ("[true]", "comparison expected at character 7"),
        ("a OR 1", "comparison expected at character 7"),
        ("NOT 'x'", "comparison expected at character 8"),
        ("a NOT == 1", "IN or CONTAINS expected at character 7"),
        ("a IS 1", "NULL expected at character 6"),
        ("a.", "name expected at character 3"),
        ("a.1", "name expected at character 3"),
        ("a[x]", "index or string expected at character 3"),
        ("a[-1] == 1", "index or string expected at character 3"),
        ("a[1.0] == 1", "index or string expected at character 3"),
        ("a[1", "']' expected at character 4"),
        ("a IN [1 2]", "',' or ']' expected at character 9"),
        ("a IN [b]", "TRUE, FALSE or NULL expected at character 7"),
        ("a IN [[1]]", "TRUE, FALSE or NULL expected at character 7"),
        ("a IN [1,]", "TRUE, FALSE or NULL expected at character 9"),
        ("a == 'x", "string is not closed at character 6"),
        ("`a == 1", "name is not closed at character 1"),
        (r"a == 'x\n'", "unknown escape at character 8"),
        ("customer-value == 1", "(`customer-value`) at character 9"),
        ("a.b-2 == 1", "hyphen in a name without backticks (`b-2`) at character 4"),
        ("a -2 == 1", "unexpected -2 at character 3"),
        ("a == 12x", "malformed number at character 6"),
        ("a == - 1", "malformed number at character 6"),
        ("a == 9223372036854775808", "integer of more than 64 bits at character 6"),
        ("a == 1e999", "number out of range at character 6"),
        ("a ~ 1", "unexpected character '~' at character 3"),
        ("é == 1", "unexpected character 'é' at character 1"),
    ],
)
def test_malformed_text_is_refused_with_its_position(text: str, found: str) -> None:
    assert f"{found}: {text}" in str(refusal(text))


@pytest.mark.parametrize(
    ("text", "context"),
    [("task.lang == 'en'", Context.WORKER), ("worker.sid == 'WK1'", Context.TASK)],
)
def test_the_prefix_of_the_other_context_is_refused(
    text: str, context: Context
) -> None:
    error = refusal(text, context)

    assert f"is not known in a {context.value} expression" in str(error)
    assert error.position == 1


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_empty_text_matches_no_worker_and_is_no_task_expression(text: str) -> None:
    expression = parse(text, Context.WORKER)

    assert not expression.evaluate(WORKER)
    assert expression.program() == ()
    assert expression.paths == ()
    assert refusal(text, Context.TASK).position == len(text) + 1


def test_program_is_postfix_with_the_root_of_its_context() -> None:
    text = "NOT a.b[0] IN ['x', 1] AND task.lang IS NULL OR `a b` = 2.0"

    assert parse(text, Context.TASK).program() == (
        ("path", "task", ("a", "b", 0)),
        ("const", ("x", 1)),
        ("in",),
        ("not",),
        ("path", "task", ("lang",)),
        ("is_null",),
        ("and",),
        ("path", "task", ("a b",)),
        ("const", 2.0),
        ("==",),
        ("or",),
    )


def test_paths_are_listed_once_in_order_of_appearance() -> None:
    expression = parse("b.c == 1 AND worker.a HAS b.c OR a", Context.WORKER)

    assert expression.paths == (("worker", ("b", "c")), ("worker", ("a",)))


def test_every_operator_has_its_instruction() -> None:
    spellings = {
        "a == b": "==",
        "a = b": "==",
        "a != b": "!=",
        "a < b": "<",
        "a <= b": "<=",
        "a > b": ">",
        "a >= b": ">=",
        "a Contains b": "contains",
        "a NOT contains b": "not_contains",
        "a hAs b": "has",
        "a In b": "in",
        "a not IN b": "not_in",
        "a is null": "is_null",
        "a IS not NULL": "is_not_null",
    }

    programs = {text: parse(text, Context.TASK).program() for text in spellings}
    assert {text: steps[-1][0] for text, steps in programs.items()} == spellings


def test_constants_keep_their_type() -> None:
    program = parse("a IN [1, 1.0, true, '1', null]", Context.TASK).program()

    assert repr(program[1]) == "('const', (1, 1.0, True, '1', None))"


def test_text_of_4096_characters_is_the_longest() -> None:
    text = "a == '" + "x" * (limits.EXPRESSION_CHARS - 7) + "'"
    parse(text, Context.TASK)

    assert refusal(text + " ").position == limits.EXPRESSION_CHARS + 1


def test_nesting_of_32_is_the_deepest() -> None:
    depth = limits.EXPRESSION_DEPTH
    parse("(" * depth + "a" + ")" * depth, Context.TASK)
    parse("NOT " * depth + "a", Context.TASK)
    parse("(a) AND NOT a OR " * depth + "a", Context.TASK)

    assert refusal("(" * (depth + 1) + "a").position == depth + 1
    assert "nested deeper than 32" in str(refusal("NOT (" * depth + "a"))


def test_256_operands_and_operators_are_the_most() -> None:
    # A chain of n paths has n operands and n - 1 operators.
    widest = (limits.EXPRESSION_NODES + 1) // 2

    program = parse(" OR ".join(["a"] * widest), Context.TASK).program()
    assert len(program) == limits.EXPRESSION_NODES - 1
    error = refusal(" OR ".join(["a"] * (widest + 1)))
    assert "more than 256 operands and operators" in str(error)


def test_64_list_items_are_the_most() -> None:
    items = ",".join(["1"] * limits.EXPRESSION_LIST_ITEMS)
    parse(f"a IN [{items}]", Context.TASK)

    assert "more than 64 items" in str(refusal(f"a IN [{items},1]"))


def test_a_long_text_is_cut_around_the_position() -> None:
    text = "a == 1 OR " * 40 + "== OR " + "b == 1 OR " * 40 + "c"

    error = refusal(text)

    shown = str(error).partition("character 401: ")[2]
    assert len(shown) == 126
    assert shown.startswith("...")
    assert shown.endswith("...")
    assert "== OR b" in shown
    assert error.expression == text


def test_an_expression_is_parsed_once() -> None:
    first = parse("cached == 1", Context.TASK)

    assert parse("cached == 1", Context.TASK) is first
    assert parse("cached == 1", Context.WORKER) is not first
