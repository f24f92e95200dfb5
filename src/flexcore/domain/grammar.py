"""The grammar of expressions: tokens to a tree.

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
    orders  := order ( "," order )*
    order   := path [ ASC | DESC ]

Keywords ignore case and are names after a dot. In a string a backslash stands before a
quote or a backslash. A bare operand is a condition only if it is a path that can be
true, TRUE or FALSE. What a path may begin with depends on the context.
"""

import re
from typing import Literal, NoReturn

from flexcore.domain import limits
from flexcore.domain.tokens import KEYWORDS, Refused, Token, number, tokens, unquoted
from flexcore.domain.trees import (
    LIVE_FIELDS,
    USUAL,
    Const,
    Constant,
    Context,
    Dialect,
    Node,
    Operation,
    Path,
    Scalar,
    Segments,
)

_ACTIVITY = re.compile(r"WA[0-9a-f]{32}")
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


class Parser:
    """Recursive descent over the grammar above; nothing is read twice.

    Each entry reads the whole text or raises Refused.
    """

    def __init__(self, text: str, context: Context, dialect: Dialect = USUAL) -> None:
        self._tokens = tokens(text)
        self._index = 0
        self._context = context
        self._dialect = dialect
        self._depth = 0
        #: operands and operators read so far
        self.size = 0
        #: those of them that are paths
        self.paths: list[Path] = []

    def expression(self) -> Node:
        """Read an expression."""
        node = self._or()
        self._end()
        return node

    def reference(self) -> Path:
        """Read a single path of a task."""
        path = self._side("task")
        self._end()
        return path

    def orders(self) -> list[tuple[Path, bool]]:
        """Read paths of a worker with their direction, True for DESC."""
        found: list[tuple[Path, bool]] = []
        while True:
            if len(found) == limits.ORDER_BY_CLAUSES:
                self._refuse(f"more than {limits.ORDER_BY_CLAUSES} clauses")
            found.append((self._side("worker"), self._direction()))
            if self._next.meaning == "end":
                return found
            self._expect(",", "ASC, DESC or ','")

    def _side(self, root: str) -> Path:
        token = self._next
        # Of both roots _path would say that either will do.
        if token.meaning == "name" and token.text not in ("task", "worker"):
            raise Refused(f"{root}. expected before {token.text}", token.position)
        path = self._path()
        if path.root != root:
            raise Refused(f"{root}. expected", token.position)
        return path

    def _direction(self) -> bool:
        word = self._next.text.lower() if self._next.meaning == "name" else ""
        if word in ("asc", "desc"):
            self._index += 1
        return word == "desc"

    def _or(self) -> Node:
        start = self._next.position - 1
        node = self._and()
        while token := self._take("or"):
            node = self._operation(token, start, "or", node, self._and())
        return node

    def _and(self) -> Node:
        start = self._next.position - 1
        node = self._unary()
        while token := self._take("and"):
            node = self._operation(token, start, "and", node, self._unary())
        return node

    def _unary(self) -> Node:
        token = self._next
        if token.meaning not in ("not", "("):
            return self._condition()
        self._index += 1
        self._depth += 1
        if self._depth > limits.EXPRESSION_DEPTH:
            raise Refused(
                f"nested deeper than {limits.EXPRESSION_DEPTH}", token.position
            )
        if token.meaning == "(":
            node = self._or()
            self._expect(")")
        else:
            start = token.position - 1
            node = self._operation(token, start, "not", self._unary())
        self._depth -= 1
        return node

    def _condition(self) -> Node:
        left = self._operand()
        token = self._next
        operator = self._operator()
        if operator is None:
            constant = isinstance(left, Const) and not isinstance(left.value, bool)
            if constant or (isinstance(left, Path) and left.counted):
                self._refuse("comparison expected")
            return left
        if operator in ("is_null", "is_not_null"):
            return self._operation(token, left.start, operator, left)
        return self._operation(token, left.start, operator, left, self._operand())

    def _operator(self) -> str | None:
        """Take a comparison operator; None if there is none here."""
        if operator := _COMPARISONS.get(self._next.meaning):
            self._index += 1
            return self._dialect.spelling("!=") if operator == "!=" else operator
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            return "is_not_null" if negated else "is_null"
        if self._take("not"):
            if self._take("in"):
                return self._dialect.spelling("not_in")
            self._expect("contains", "IN or CONTAINS")
            return self._dialect.spelling("not_contains")
        return None

    def _operand(self) -> Const | Path:
        token = self._next
        if token.meaning in ("name", "quoted"):
            return self._path()
        value: Constant
        value = self._items() if self._take("[") else self._literal("operand")
        self._count(token)
        return Const(value, token.position - 1, self._tokens[self._index - 1].end)

    def _literal(self, expected: str) -> Scalar:
        token = self._next
        if token.meaning == "string":
            self._index += 1
            return unquoted(token)
        if token.meaning == "number":
            self._index += 1
            return number(token)
        if token.meaning not in _LITERALS:
            self._refuse(f"{expected} expected")
        self._index += 1
        return _LITERALS[token.meaning]

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

    def _path(self) -> Path:
        first = self._next
        if first.meaning not in ("name", "quoted"):
            self._refuse("name expected")
        self._index += 1
        segments: list[str | int] = [first.text]
        while True:
            if self._take("."):
                token = self._next
                if token.meaning not in ("name", "quoted", *KEYWORDS):
                    self._refuse("name expected")
                self._index += 1
                segments.append(token.text)
            elif self._take("["):
                segments.append(self._subscript())
                self._expect("]")
            else:
                break
        self._count(first)
        start, end = first.position - 1, self._tokens[self._index - 1].end
        root, below, live = self._rooted(first, tuple(segments))
        self.paths.append(Path(root, below, live, start, end))
        return self.paths[-1]

    def _subscript(self) -> str | int:
        token = self._next
        if token.meaning == "string":
            self._index += 1
            return unquoted(token)
        if token.meaning != "number" or not token.text.isdigit():
            self._refuse("index or string expected")
        self._index += 1
        return int(number(token))

    def _rooted(
        self, first: Token, segments: Segments
    ) -> tuple[Literal["worker", "task", "workers"], Segments, bool]:
        """Tell whose value a path reads: (root, path below it, whether it is live).

        A backticked name is never a prefix, so an attribute called `task` stays within
        reach.
        """
        prefix = ""
        if first.meaning == "name" and len(segments) > 1:
            prefix = first.text if isinstance(segments[1], str) else ""
        if self._context is Context.PAIR:
            return _of_pair(first, prefix, segments)
        if self._context is Context.SKIP:
            if prefix != "workers" or len(segments) > 2 or not _countable(segments[1]):
                found = (
                    "workers.available, workers.unavailable or workers.WA... expected"
                )
                raise Refused(found, first.position)
            return "workers", segments[1:], False
        root: Literal["worker", "task"]
        root = "worker" if self._context is Context.WORKER else "task"
        if prefix not in ("worker", "task"):
            return root, segments, False
        if prefix != root:
            raise Refused(
                f"{prefix}.* is not known in a {root} expression"
                " (an attribute of that name needs backticks)",
                first.position,
            )
        return root, segments[1:], False

    def _operation(
        self, token: Token, start: int, operator: str, *operands: Node
    ) -> Node:
        self._count(token)
        return Operation(operator, operands, start, self._tokens[self._index - 1].end)

    def _count(self, token: Token) -> None:
        self.size += 1
        if self.size > limits.EXPRESSION_NODES:
            found = f"more than {limits.EXPRESSION_NODES} operands and operators"
            raise Refused(found, token.position)

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def _take(self, meaning: str) -> Token | None:
        token = self._tokens[self._index]
        if token.meaning != meaning:
            return None
        self._index += 1
        return token

    def _expect(self, meaning: str, shown: str = "") -> None:
        if not self._take(meaning):
            shown = shown or (meaning.upper() if meaning.isalpha() else f"'{meaning}'")
            self._refuse(f"{shown} expected")

    def _end(self) -> None:
        if self._next.meaning != "end":
            self._refuse(f"unexpected {self._next.text}")

    def _refuse(self, found: str) -> NoReturn:
        raise Refused(found, self._next.position)


def _of_pair(
    first: Token, prefix: str, segments: Segments
) -> tuple[Literal["worker", "task"], Segments, bool]:
    if prefix == "task":
        return "task", segments[1:], False
    if prefix != "worker":
        found = f"task. or worker. expected before {first.text}"
        raise Refused(found, first.position)
    if segments[1] != "channel":
        return "worker", segments[1:], False
    # Reserved however it is spelled: an attribute of that name would hide the channels.
    if len(segments) != 4 or segments[3] not in LIVE_FIELDS:
        found = f"worker.channel.<name>. is followed by one of {', '.join(LIVE_FIELDS)}"
        raise Refused(found, first.position)
    return "worker", segments[1:], True


def _countable(name: object) -> bool:
    return name in ("available", "unavailable") or (
        isinstance(name, str) and _ACTIVITY.fullmatch(name) is not None
    )
