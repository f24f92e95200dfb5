"""Expressions: the language of `target_workers` and of workflow filters.

    expr    := or
    or      := and ( OR and )*
    and     := unary ( AND unary )*
    unary   := NOT unary | "(" expr ")" | cmp
    cmp     := operand ( scalarop operand | HAS operand | [NOT] IN operand
                       | [NOT] CONTAINS operand | IS [NOT] NULL )?
    scalarop:= "==" | "=" | "!=" | "<" | "<=" | ">" | ">="
    operand := literal | array | path
    path    := name ( "." name | "[" int "]" | "[" string "]" )*
    name    := [A-Za-z_$][A-Za-z0-9_$]* | "`" any but backtick "`"
    literal := string | number | TRUE | FALSE | NULL
    array   := "[" [ literal ("," literal)* ] "]"

Keywords ignore case and are names after a dot. In a string a backslash stands before a
quote or a backslash. A bare operand is a condition only if it is a path, TRUE or FALSE.

What the operators mean stands in `semantics.py`. `Expression.evaluate` is the reference;
the compiled matcher, which runs `Expression.program`, has to agree with it.
"""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple, NoReturn, TypeAlias

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import INT64_MAX, INT64_MIN, JsonValue
from flexcore.domain.errors import InvalidArgument, Reason
from flexcore.domain.semantics import OPERATORS

Scalar: TypeAlias = bool | int | float | str | None
Segments: TypeAlias = tuple[str | int, ...]
Constant: TypeAlias = Scalar | tuple[Scalar, ...]
#: ("const", value), ("path", root, segments), or (operator,) on what lies on the stack
Instruction: TypeAlias = (
    tuple[str]
    | tuple[Literal["const"], Constant]
    | tuple[Literal["path"], str, Segments]
)


class Context(Enum):
    """Whose attributes a bare name reads; the value is the optional prefix."""

    WORKER = "worker"
    TASK = "task"


class ExpressionError(InvalidArgument):
    """The text is no expression; `position` counts characters from one."""

    reason = Reason.EXPRESSION_INVALID

    def __init__(self, field: str, found: str, position: int, expression: str) -> None:
        excerpt = _excerpt(expression, position)
        super().__init__(
            field,
            f"{found} at character {position}: {excerpt}",
            metadata={"position": str(position)},
        )
        self.position = position
        self.expression = expression


class Const(msgspec.Struct, frozen=True, gc=False):
    """A literal; an array is a tuple of scalars."""

    value: Constant


class Path(msgspec.Struct, frozen=True, gc=False):
    """A value to look up, without the `worker.` or `task.` prefix."""

    segments: Segments


class Operation(msgspec.Struct, frozen=True, gc=False):
    """An operator and its one or two operands."""

    operator: str
    operands: tuple["Node", ...]


Node: TypeAlias = Const | Path | Operation


class Expression(msgspec.Struct, frozen=True, gc=False):
    """A parsed expression; without a root it matches nobody."""

    text: str
    context: Context
    root: Node | None
    #: what it reads, each once, in order of appearance
    paths: tuple[Segments, ...]

    def evaluate(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Say whether the attributes satisfy the expression."""
        return self.root is not None and _value(self.root, attributes) is True

    def program(self) -> tuple[Instruction, ...]:
        """List the postfix instructions, at most EXPRESSION_NODES of them."""
        if self.root is None:
            return ()
        return tuple(_instructions(self.root, self.context.value))


def parse(text: str, context: Context, field: str = "expression") -> Expression:
    """Parse an expression; raises ExpressionError under the name `field`.

    An empty text is allowed for workers only, and matches nobody.
    """
    try:
        return _parse(text, context)
    except _Refused as refused:
        raise ExpressionError(field, refused.found, refused.position, text) from refused


@lru_cache(maxsize=limits.EXPRESSION_CACHE)
def _parse(text: str, context: Context) -> Expression:
    if len(text) > limits.EXPRESSION_CHARS:
        found = f"more than {limits.EXPRESSION_CHARS} characters"
        raise _Refused(found, limits.EXPRESSION_CHARS + 1)
    if context is Context.WORKER and not text.strip(_SPACE):
        return Expression(text, context, None, ())
    root = _Parser(text, context).parse()
    reads = (step[2] for step in _instructions(root, "") if len(step) == 3)
    return Expression(text, context, root, tuple(dict.fromkeys(reads)))


def _instructions(node: Node, root: str) -> Iterator[Instruction]:
    match node:
        case Const():
            yield ("const", node.value)
        case Path():
            yield ("path", root, node.segments)
        case Operation():
            for operand in node.operands:
                yield from _instructions(operand, root)
            yield (node.operator,)


# Evaluation


def _value(node: Node, attributes: Mapping[str, JsonValue]) -> object:
    if isinstance(node, Const):
        return node.value
    if isinstance(node, Path):
        return _look_up(attributes, node.segments)
    operator, operands = node.operator, node.operands
    if operator == "and":
        return all(_value(operand, attributes) is True for operand in operands)
    if operator == "or":
        return any(_value(operand, attributes) is True for operand in operands)
    return OPERATORS[operator](*(_value(operand, attributes) for operand in operands))


def _look_up(attributes: Mapping[str, JsonValue], segments: Segments) -> object:
    value: object = attributes
    for segment in segments:
        if isinstance(segment, str):
            if not isinstance(value, Mapping):
                return None
            value = value.get(segment)
        elif isinstance(value, list) and segment < len(value):
            value = value[segment]
        else:
            return None
    return value


# Text to tokens


class _Refused(Exception):
    """What was found and where, before it is known which field the text came from."""

    def __init__(self, found: str, position: int) -> None:
        super().__init__(found)
        self.found = found
        self.position = position


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


_SPACE = " \t\r\n"
#: Every quantifier that could give characters back is possessive: lexing is linear.
_LEXER = re.compile(
    r"""[ \t\r\n]++
    |(?P<number>-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![A-Za-z0-9_$]))
    |(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+')
    |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*+)
    |`(?P<quoted>[^`]*+)`
    |(?P<symbol>==|!=|<=|>=|[=<>()\[\].,])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset(
    {"and", "or", "not", "has", "in", "contains", "is", "null", "true", "false"}
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    start = 0
    while start < len(text):
        match = _LEXER.match(text, start)
        if match is None:
            raise _unreadable(text, start, tokens)
        if kind := match.lastgroup:
            tokens.append(_Token(kind, match[kind], start + 1))
        start = match.end()
    tokens.append(_Token("end", "", len(text) + 1))
    return tokens


def _unreadable(text: str, start: int, tokens: list[_Token]) -> _Refused:
    character = text[start]
    if character in "\"'":
        return _Refused("string is not closed", start + 1)
    if character == "`":
        return _Refused("name is not closed", start + 1)
    if character == "-" and tokens and tokens[-1].kind == "word":
        return _Refused("hyphen in a name without backticks", start + 1)
    if character in "-0123456789":
        return _Refused("malformed number", start + 1)
    return _Refused(f"unexpected character {character!r}", start + 1)


def _unquoted(token: _Token) -> str:
    body = token.text[1:-1]
    for escape in _ESCAPE.finditer(body):
        if escape[1] not in "\\\"'":
            raise _Refused("unknown escape", token.position + 1 + escape.start())
    return _ESCAPE.sub(r"\1", body)


def _number(token: _Token) -> int | float:
    if token.text.removeprefix("-").isdigit():
        integer = int(token.text)
        if not INT64_MIN <= integer <= INT64_MAX:
            raise _Refused("integer of more than 64 bits", token.position)
        return integer
    number = float(token.text)
    if number in (float("inf"), float("-inf")):
        raise _Refused("number out of range", token.position)
    return number


def _excerpt(text: str, position: int, width: int = 60) -> str:
    """Cut a long text around the position, so that an error stays readable."""
    if len(text) <= 2 * width:
        return text
    start, end = max(0, position - 1 - width), position - 1 + width
    left, right = "..." if start else "", "..." if end < len(text) else ""
    return f"{left}{text[start:end]}{right}"


# Tokens to nodes


_COMPARISONS = {
    "==": "==",
    "=": "==",
    "!=": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "has": "has",
    "in": "in",
    "contains": "contains",
}
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class _Parser:
    """Recursive descent over the grammar above; nothing is read twice."""

    def __init__(self, text: str, context: Context) -> None:
        self._tokens = _tokens(text)
        self._index = 0
        self._context = context
        self._depth = 0
        self._nodes = 0

    def parse(self) -> Node:
        node = self._or()
        if self._next.kind != "end":
            self._refuse(f"unexpected {self._next.text}")
        return node

    def _or(self) -> Node:
        node = self._and()
        while token := self._take("or"):
            node = self._operation(token, "or", node, self._and())
        return node

    def _and(self) -> Node:
        node = self._unary()
        while token := self._take("and"):
            node = self._operation(token, "and", node, self._unary())
        return node

    def _unary(self) -> Node:
        if not (token := self._take("not") or self._take("(")):
            return self._condition()
        self._depth += 1
        if self._depth > limits.EXPRESSION_DEPTH:
            raise _Refused(
                f"nested deeper than {limits.EXPRESSION_DEPTH}", token.position
            )
        if token.kind == "symbol":
            node = self._or()
            self._expect(")")
        else:
            node = self._operation(token, "not", self._unary())
        self._depth -= 1
        return node

    def _condition(self) -> Node:
        left = self._operand()
        operator = self._next
        name = self._operator()
        if name is None:
            if isinstance(left, Const) and not isinstance(left.value, bool):
                self._refuse("comparison expected")
            return left
        if name in ("is_null", "is_not_null"):
            return self._operation(operator, name, left)
        return self._operation(operator, name, left, self._operand())

    def _operator(self) -> str | None:
        """Take a comparison operator; None if there is none here."""
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            return "is_not_null" if negated else "is_null"
        if self._take("not"):
            if self._take("in"):
                return "not_in"
            self._expect("contains", "IN or CONTAINS")
            return "not_contains"
        name = _COMPARISONS.get(_meaning(self._next))
        if name:
            self._index += 1
        return name

    def _operand(self) -> Node:
        token = self._next
        if token.kind == "quoted" or _meaning(token) == "name":
            return self._path()
        if self._take("["):
            return self._node(token, Const(self._items()))
        return self._node(token, Const(self._literal("operand")))

    def _literal(self, expected: str) -> Scalar:
        token = self._next
        meaning = _meaning(token)
        if token.kind not in ("string", "number") and meaning not in _LITERALS:
            self._refuse(f"{expected} expected")
        self._index += 1
        if token.kind == "string":
            return _unquoted(token)
        return _number(token) if token.kind == "number" else _LITERALS[meaning]

    def _items(self) -> tuple[Scalar, ...]:
        items: list[Scalar] = []
        if self._take("]"):
            return ()
        while True:
            if len(items) == limits.EXPRESSION_LIST_ITEMS:
                self._refuse(f"more than {limits.EXPRESSION_LIST_ITEMS} items")
            items.append(self._literal("string, number, TRUE, FALSE or NULL"))
            if self._take("]"):
                return tuple(items)
            self._expect(",", "',' or ']'")

    def _path(self) -> Node:
        first = self._advance()
        segments: list[str | int] = [first.text]
        while True:
            if self._take("."):
                if self._next.kind not in ("word", "quoted"):
                    self._refuse("name expected")
                segments.append(self._advance().text)
            elif self._take("["):
                segments.append(self._subscript())
                self._expect("]")
            else:
                return self._node(first, Path(self._without_prefix(first, segments)))

    def _subscript(self) -> str | int:
        token = self._next
        if token.kind == "string":
            self._index += 1
            return _unquoted(token)
        if token.kind != "number" or not token.text.isdigit():
            self._refuse("index or string expected")
        self._index += 1
        return int(_number(token))

    def _without_prefix(self, first: _Token, segments: list[str | int]) -> Segments:
        """Strip `worker.` or `task.`; the other one of the two is refused.

        A backticked name is never a prefix, so an attribute called `task` stays within
        reach.
        """
        prefixes = {context.value for context in Context}
        prefixed = len(segments) > 1 and isinstance(segments[1], str)
        if first.kind == "quoted" or first.text not in prefixes or not prefixed:
            return tuple(segments)
        if first.text != self._context.value:
            own = self._context.value
            found = f"{first.text}.* is not known in a {own} expression"
            raise _Refused(
                f"{found} (an attribute of that name needs backticks)", first.position
            )
        return tuple(segments[1:])

    def _operation(self, token: _Token, operator: str, *operands: Node) -> Node:
        return self._node(token, Operation(operator, operands))

    def _node(self, token: _Token, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > limits.EXPRESSION_NODES:
            found = f"more than {limits.EXPRESSION_NODES} operands and operators"
            raise _Refused(found, token.position)
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _advance(self) -> _Token:
        self._index += 1
        return self._tokens[self._index - 1]

    def _take(self, meaning: str) -> _Token | None:
        return self._advance() if _meaning(self._next) == meaning else None

    def _expect(self, meaning: str, shown: str = "") -> None:
        if not self._take(meaning):
            shown = shown or (meaning.upper() if meaning.isalpha() else f"'{meaning}'")
            self._refuse(f"{shown} expected")

    def _refuse(self, found: str) -> NoReturn:
        raise _Refused(found, self._next.position)


def _meaning(token: _Token) -> str:
    """Name what the grammar sees: a keyword, a symbol, or the kind of the token."""
    if token.kind == "word":
        word = token.text.lower()
        return word if word in _KEYWORDS else "name"
    return token.text if token.kind == "symbol" else token.kind
