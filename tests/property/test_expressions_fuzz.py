"""Expressions against random trees, a naive stack machine and garbage."""

import operator
from itertools import chain, product, starmap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexcore.domain.expressions import (
    Context,
    Dialect,
    Expression,
    ExpressionError,
    judgement_of,
    parse,
    warnings_of,
)
from flexcore.domain.trees import Const, Node, Operation, Path
from tests.property.trees import (
    ATTRIBUTES,
    BINARY,
    CASES,
    CHANNELS,
    DIALECTS,
    SCOPES,
    constant_text,
    text_of,
    trees,
)


def spelled(name: str, dialect: Dialect) -> str:
    """The instruction a negative operator stands for, by another table."""
    mismatch, missing = dialect.type_mismatch, dialect.missing_array
    if name == "not_in":
        return {
            "negate empty": "not_in",
            "false false": "not_in_array",
            "negate false": "not_in_known",
            "false empty": "not_in_or_missing",
        }[f"{mismatch} {missing}"]
    if mismatch == "false":
        return {"!=": "unequal", "not_contains": "lacks"}.get(name, name)
    return name


def postfix(node: Node, dialect: Dialect) -> list[tuple[object, ...]]:
    match node:
        case Const():
            return [("const", node.value)]
        case Path(live=True):
            _, channel, field = node.segments
            if channel in CHANNELS:
                return [("live", CHANNELS[channel], field)]
            return [("const", None)]
        case Path():
            return [("path", node.root, node.segments)]
        case Operation():
            below = (postfix(operand, dialect) for operand in node.operands)
            return [*chain.from_iterable(below), (spelled(node.operator, dialect),)]


# A second, naive reading of the semantics, sharing no code with the first.

TYPES = {"NoneType": "null", "bool": "bool", "int": "num", "float": "num", "str": "str"}
POSITIVE = {
    "==": lambda left, right: type_of(left) == type_of(right) and left == right,
    "<": lambda left, right: ordered(operator.lt, left, right),
    "<=": lambda left, right: ordered(operator.le, left, right),
    ">": lambda left, right: ordered(operator.gt, left, right),
    ">=": lambda left, right: ordered(operator.ge, left, right),
    "contains": lambda left, right: (
        type_of(left) == type_of(right) == "str" and left.find(right) >= 0
    ),
    "in": lambda left, right: (
        isinstance(right, list | tuple)
        and any(apply("==", left, item) for item in right)
    ),
    "has": lambda left, right: apply("in", right, left),
    "is_null": lambda value: value is None,
    "true": lambda value: value is True,
    "and": lambda left, right: (left is True, right is True) == (True, True),
    "or": lambda left, right: (left is True, right is True) != (False, False),
}
NEGATIVE = {
    "!=": "==",
    "not_in": "in",
    "not_contains": "contains",
    "is_not_null": "is_null",
    "not": "true",
}

NARROW = {
    "unequal": lambda left, right: scalars(left, right) and apply("!=", left, right),
    "lacks": lambda left, right: (
        scalars(left, right) and apply("not_contains", left, right)
    ),
    "not_in_array": lambda left, right: (
        type(right) in (list, tuple) and apply("not_in", left, right)
    ),
    "not_in_known": lambda left, right: (
        right is not None and apply("not_in", left, right)
    ),
    "not_in_or_missing": lambda left, right: (
        type(right) in (list, tuple, type(None)) and apply("not_in", left, right)
    ),
}


def scalars(*values: object) -> bool:
    return not any(isinstance(value, list | tuple | dict) for value in values)


def type_of(value: object) -> object:
    # What is no scalar is of a type of its own, and so equal to nothing.
    return TYPES.get(type(value).__name__, object())


def ordered(order: object, left: object, right: object) -> bool:
    return type_of(left) == type_of(right) in ("num", "str") and order(left, right)


def apply(name: str, *operands: object) -> bool:
    if name in NEGATIVE:
        return not apply(NEGATIVE[name], *operands)
    if name in NARROW:
        return NARROW[name](*operands)
    return POSITIVE[name](*operands)


def run(program: tuple[tuple[object, ...], ...], scope: dict) -> bool:
    stack: list[object] = []
    for name, *arguments in program:
        if name == "const":
            stack.append(arguments[0])
        elif name == "path":
            stack.append(look_up(scope[arguments[0]], arguments[1]))
        elif name == "live":
            channel = sorted(CHANNELS, key=CHANNELS.get)[arguments[0]]
            path = ("channel", channel, arguments[1])
            stack.append(look_up(scope["worker"], path))
        elif name in ("not", "is_null", "is_not_null"):
            stack.append(apply(name, stack.pop()))
        else:
            right = stack.pop()
            stack.append(apply(name, stack.pop(), right))
    assert len(stack) == bool(program)
    return bool(program) and stack[0] is True


def evaluated(expression: Expression, scope: dict) -> bool:
    if expression.context is Context.PAIR:
        return expression.evaluate_pair(scope["task"], scope["worker"])
    root = "workers" if expression.context is Context.SKIP else expression.context.value
    return expression.evaluate(scope[root])


def look_up(value: object, segments: tuple[str | int, ...]) -> object:
    for segment in segments:
        wanted = dict if isinstance(segment, str) else list
        if not isinstance(value, wanted):
            return None
        try:
            value = value[segment]
        except LookupError:
            return None
    return value


@settings(max_examples=100, deadline=None)
@given(CASES, DIALECTS)
def test_a_printed_tree_parses_to_its_own_program(
    case: tuple[Context, Node], dialect: Dialect
) -> None:
    context, node = case
    program = parse(text_of(node), context, dialect=dialect).program(CHANNELS)

    # repr, since 1 == 1.0 == True.
    assert repr(list(program)) == repr(postfix(node, dialect))


@settings(max_examples=150, deadline=None)
@given(CASES, DIALECTS, SCOPES)
def test_the_program_agrees_with_the_tree(
    case: tuple[Context, Node], dialect: Dialect, scope: dict
) -> None:
    context, node = case
    expression = parse(text_of(node), context, dialect=dialect)
    program = expression.program({"voice": 0, "chat": 1})
    # A channel without a number is one nobody has.
    scope["worker"]["channel"].pop("fax", None)

    assert evaluated(expression, scope) is run(program, scope)


CLOSE = [None, False, True, 0, 1, 1.0, -1.5, "", "a", "ab", "1", "B", [], ["a"]]
CLOSE += [[1, None], ["ab", 1.0, True], {}, {"a": 1}]
EVERY_DIALECT = list(starmap(Dialect, product(["negate", "false"], ["empty", "false"])))


@pytest.mark.parametrize("name", sorted(BINARY))
@pytest.mark.parametrize("dialect", EVERY_DIALECT)
def test_the_program_agrees_with_the_tree_on_close_values(
    name: str, dialect: Dialect
) -> None:
    expression = parse(f"a {BINARY[name]} b", Context.TASK, dialect=dialect)

    for left, right in product(CLOSE, CLOSE):
        values = {"a": left, "b": right}
        expected = run(expression.program(), {"task": values})
        assert expression.evaluate(values) is expected


@settings(max_examples=100, deadline=None)
@given(trees(Context.TASK), ATTRIBUTES)
def test_only_the_listed_paths_matter(node: Node, attributes: dict) -> None:
    expression = parse(text_of(node), Context.TASK)
    read = {path[0] for _, path in expression.paths}

    kept = {key: value for key, value in attributes.items() if key in read}
    assert expression.evaluate(kept) is expression.evaluate(attributes)


@settings(max_examples=100, deadline=None)
@given(CASES, DIALECTS, SCOPES)
def test_an_expression_holds_when_all_its_conjuncts_do(
    case: tuple[Context, Node], dialect: Dialect, scope: dict
) -> None:
    context, node = case
    expression = parse(text_of(node), context, dialect=dialect)
    conjuncts = expression.conjuncts()

    every = all(evaluated(conjunct, scope) for conjunct in conjuncts)
    assert evaluated(expression, scope) is every
    assert all(conjunct.text in expression.text for conjunct in conjuncts)
    assert all(conjunct.conjuncts() == (conjunct,) for conjunct in conjuncts)


@settings(max_examples=150, deadline=None)
@given(CASES, DIALECTS, SCOPES)
def test_what_is_called_constant_is_that_for_every_value(
    case: tuple[Context, Node], dialect: Dialect, scope: dict
) -> None:
    context, node = case
    expression = parse(text_of(node), context, dialect=dialect)
    found = judgement_of(expression).constant

    assert found is None or evaluated(expression, scope) is found
    if found is not None:
        wanted = f"always {str(found).lower()}: {expression.text}"
        assert warnings_of(expression)[0] == wanted


@pytest.mark.parametrize("name", sorted(BINARY))
@pytest.mark.parametrize("dialect", EVERY_DIALECT)
def test_a_comparison_is_called_constant_exactly_when_no_close_value_changes_it(
    name: str, dialect: Dialect
) -> None:
    """`CLOSE` and its scalars in arrays hold a value for every way to differ."""
    values = CLOSE + [[value] for value in CLOSE] + ["\0", 2, -10, 10, "zz", "aB"]
    for beside in [value for value in CLOSE if not isinstance(value, dict)]:
        written = constant_text(tuple(beside) if isinstance(beside, list) else beside)
        for text in (f"a {BINARY[name]} {written}", f"{written} {BINARY[name]} a"):
            expression = parse(text, Context.TASK, dialect=dialect)
            found = {expression.evaluate({"a": value}) for value in values}
            expected = found.pop() if len(found) == 1 else None
            assert judgement_of(expression).constant is expected, text


def attempt(text: str, context: Context) -> Expression | ExpressionError:
    try:
        return parse(text, context)
    except ExpressionError as error:
        return error


TOKENS = [
    *["worker.a", "task.b", "workers.available", "worker.channel.chat.assigned_tasks"],
    *["a", "worker", ".", "[", "]", "(", ")", ",", "`", "`x`", "'", '"', "'s'", "\\"],
    *["==", "=", "!=", "<", ">=", "AND", "or", "NOT", "in", "HAS", "CONTAINS", "is"],
    *["NULL", "true", "0", "-1", "1.5", "1e9", "9" * 30, "1e999", "\x00", "-", "é"],
]


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(st.sampled_from(TOKENS), max_size=30).map(" ".join),
        st.lists(st.sampled_from(TOKENS), max_size=30).map("".join),
        st.sampled_from(TOKENS).map(lambda token: token * 3000),
        st.sampled_from(TOKENS).map(lambda token: f"{token} " * 1500),
    ),
    st.sampled_from(list(Context)),
)
def test_garbage_is_an_expression_or_an_expression_error(
    text: str, context: Context
) -> None:
    found = attempt(text, context)

    if isinstance(found, ExpressionError):
        assert 1 <= found.position <= len(text) + 1
    else:
        scope: dict = {"worker": {}, "task": {}, "workers": {}}
        assert evaluated(found, scope) is run(found.program(), scope)
        warnings_of(found)


@pytest.mark.parametrize(
    ("text", "position"),
    [("'\ud800' == 'x'", None), ("`\udfff` == 1", None), ("a == \ud800", 6)],
)
def test_lone_surrogates_do_no_harm(text: str, position: int | None) -> None:
    found = attempt(text, Context.TASK)

    if isinstance(found, ExpressionError):
        assert found.position == position
    else:
        assert position is None
        assert not found.evaluate({})
