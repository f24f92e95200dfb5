"""Expressions against random trees, a naive stack machine and garbage."""

import operator
import re
from itertools import chain, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexcore.domain.expressions import (
    Const,
    Context,
    Expression,
    ExpressionError,
    Node,
    Operation,
    Path,
    parse,
)

KEYS = ["a", "b", "skills", "in", "x-y", "", "wor ker", "back`tick", "worker", "task"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1e300]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "b", "ab", "it's", 'say "x"', "back\\slash", "é"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), below, max_size=3)
    ),
    max_leaves=6,
)
#: most paths start at one of these, so that they find something
FREQUENT = ["a", "b", "skills"]
ATTRIBUTES = st.fixed_dictionaries(
    dict.fromkeys(FREQUENT, VALUES),
    optional={key: VALUES for key in KEYS if key not in FREQUENT},
)

PATHS = st.builds(
    lambda first, rest: Path((first, *rest)),
    st.sampled_from(FREQUENT) | st.sampled_from(KEYS),
    st.just([]) | st.lists(st.sampled_from(KEYS) | st.integers(0, 3), max_size=2),
)
OPERANDS = PATHS | st.builds(Const, SCALARS | st.lists(SCALARS, max_size=4).map(tuple))
BINARY = {
    "==": "==",
    "!=": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "contains": "CONTAINS",
    "not_contains": "NOT CONTAINS",
    "has": "HAS",
    "in": "IN",
    "not_in": "NOT IN",
}
UNARY = {"is_null": "IS NULL", "is_not_null": "IS NOT NULL"}
CONDITIONS = st.one_of(
    PATHS,
    st.builds(Const, st.booleans()),
    st.builds(
        lambda name, left, right: Operation(name, (left, right)),
        st.sampled_from(sorted(BINARY)),
        OPERANDS,
        OPERANDS,
    ),
    st.builds(
        lambda name, operand: Operation(name, (operand,)),
        st.sampled_from(sorted(UNARY)),
        OPERANDS,
    ),
)
TREES = st.recursive(
    CONDITIONS,
    lambda below: (
        st.builds(lambda operand: Operation("not", (operand,)), below)
        | st.builds(
            lambda name, left, right: Operation(name, (left, right)),
            st.sampled_from(["and", "or"]),
            below,
            below,
        )
    ),
    max_leaves=8,
)
CONTEXTS = st.sampled_from(list(Context))


def text_of(node: Node, context: Context) -> str:
    match node:
        case Const():
            return constant_text(node.value)
        case Path():
            return path_text(node.segments, context)
        case Operation(operator=("and" | "or") as name):
            left, right = (text_of(operand, context) for operand in node.operands)
            return f"({left}) {name.upper()} ({right})"
        case Operation(operator="not"):
            return f"NOT ({text_of(node.operands[0], context)})"
        case Operation(operator=name) if name in UNARY:
            return f"{text_of(node.operands[0], context)} {UNARY[name]}"
        case Operation(operator=name):
            left, right = (text_of(operand, context) for operand in node.operands)
            return f"{left} {BINARY[name]} {right}"


def constant_text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(constant_text, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return {None: "null"}.get(value, str(value))


def path_text(segments: tuple[str | int, ...], context: Context) -> str:
    text = context.value
    for segment in segments:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif "`" in segment:
            text += f"[{constant_text(segment)}]"
        elif re.fullmatch(r"[a-z]+", segment):
            text += f".{segment}"
        else:
            text += f".`{segment}`"
    return text


def postfix(node: Node, context: Context) -> list[tuple[object, ...]]:
    match node:
        case Const():
            return [("const", node.value)]
        case Path():
            return [("path", context.value, node.segments)]
        case Operation():
            below = (postfix(operand, context) for operand in node.operands)
            return [*chain.from_iterable(below), (node.operator,)]


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


def type_of(value: object) -> object:
    # What is no scalar is of a type of its own, and so equal to nothing.
    return TYPES.get(type(value).__name__, object())


def ordered(order: object, left: object, right: object) -> bool:
    return type_of(left) == type_of(right) in ("num", "str") and order(left, right)


def apply(name: str, *operands: object) -> bool:
    if name in NEGATIVE:
        return not apply(NEGATIVE[name], *operands)
    return POSITIVE[name](*operands)


def run(program: tuple[tuple[object, ...], ...], attributes: object) -> bool:
    stack: list[object] = []
    for name, *arguments in program:
        if name == "const":
            stack.append(arguments[0])
        elif name == "path":
            stack.append(look_up(attributes, arguments[1]))
        elif name in ("not", "is_null", "is_not_null"):
            stack.append(apply(name, stack.pop()))
        else:
            right = stack.pop()
            stack.append(apply(name, stack.pop(), right))
    assert len(stack) == bool(program)
    return bool(program) and stack[0] is True


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


@settings(max_examples=300, deadline=None)
@given(TREES, CONTEXTS)
def test_a_printed_tree_parses_to_its_own_program(node: Node, context: Context) -> None:
    program = parse(text_of(node, context), context).program()

    # repr, since 1 == 1.0 == True.
    assert repr(list(program)) == repr(postfix(node, context))


@settings(max_examples=500, deadline=None)
@given(TREES, ATTRIBUTES)
def test_the_program_agrees_with_the_tree(node: Node, attributes: dict) -> None:
    expression = parse(text_of(node, Context.WORKER), Context.WORKER)

    assert expression.evaluate(attributes) is run(expression.program(), attributes)


CLOSE = [None, False, True, 0, 1, 1.0, -1.5, "", "a", "ab", "1", "B", [], ["a"]]
CLOSE += [[1, None], ["ab", 1.0, True], {}, {"a": 1}]


@pytest.mark.parametrize("name", sorted(BINARY))
def test_the_program_agrees_with_the_tree_on_close_values(name: str) -> None:
    expression = parse(f"a {BINARY[name]} b", Context.TASK)

    for left, right in product(CLOSE, CLOSE):
        expected = run(expression.program(), {"a": left, "b": right})
        assert expression.evaluate({"a": left, "b": right}) is expected


@settings(max_examples=200, deadline=None)
@given(TREES, ATTRIBUTES)
def test_only_the_listed_paths_matter(node: Node, attributes: dict) -> None:
    expression = parse(text_of(node, Context.TASK), Context.TASK)
    read = {path[0] for path in expression.paths}

    kept = {key: value for key, value in attributes.items() if key in read}
    assert expression.evaluate(kept) is expression.evaluate(attributes)


def attempt(text: str, context: Context) -> Expression | ExpressionError:
    try:
        return parse(text, context)
    except ExpressionError as error:
        return error


TOKENS = [
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
    CONTEXTS,
)
def test_garbage_is_an_expression_or_an_expression_error(
    text: str, context: Context
) -> None:
    found = attempt(text, context)

    if isinstance(found, ExpressionError):
        assert 1 <= found.position <= len(text) + 1
    else:
        assert found.evaluate({}) is run(found.program(), {})


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
