"""Expressions: the language of queues, of workflow filters and of their targets.

`grammar.py` says how they are written, `operators.py` what the operators mean.
`Expression.evaluate` is the reference; the compiled matcher, which runs
`Expression.program`, has to agree with it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import JsonValue
from flexcore.domain.errors import InvalidArgument, Reason
from flexcore.domain.evaluation import Reading, look_up, reading
from flexcore.domain.grammar import Parser
from flexcore.domain.lint import Judgement, judge
from flexcore.domain.tokens import SPACE, Refused
from flexcore.domain.trees import (
    REFUSED_BY,
    USUAL,
    Const,
    Constant,
    Context,
    Dialect,
    Node,
    Operation,
    Segments,
    parts,
)

__all__ = [
    "Context",
    "Dialect",
    "Expression",
    "ExpressionError",
    "Instruction",
    "OrderClause",
    "Segments",
    "judgement_of",
    "look_up",
    "order_operands",
    "parse",
    "parse_order",
    "parse_reference",
    "reads_refusals",
    "warnings_of",
]

#: ("path", root, segments), or ("live", number of the channel, one of LIVE_FIELDS)
Operand: TypeAlias = (
    tuple[Literal["path"], str, Segments] | tuple[Literal["live"], int, str]
)
#: ("const", value), an operand, or (operator,) on what lies on the stack
Instruction: TypeAlias = tuple[str] | tuple[Literal["const"], Constant] | Operand


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


def _excerpt(text: str, position: int, width: int = 60) -> str:
    """Cut a long text around the position, so that an error stays readable."""
    if len(text) <= 2 * width:
        return text
    start, end = max(0, position - 1 - width), position - 1 + width
    left, right = "..." if start else "", "..." if end < len(text) else ""
    return f"{left}{text[start:end]}{right}"


class Expression(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A parsed expression; without a root it matches nobody.

    Everything else follows from text, context and dialect, so those make it equal.
    """

    text: str
    context: Context
    dialect: Dialect
    root: Node | None
    #: what it reads, each (root, segments) once, in order of appearance
    paths: tuple[tuple[str, Segments], ...]
    #: how many operands and operators it has
    size: int
    _reading: Reading

    def evaluate(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Say whether the attributes of one side satisfy the expression; not for PAIR.

        For SKIP the attributes are counts: available, unavailable, and each activity's
        by its sid.
        """
        return self._reading({_ROOTS[self.context]: attributes}) is True

    def evaluate_pair(
        self, task: Mapping[str, JsonValue], worker: Mapping[str, JsonValue]
    ) -> bool:
        """Say whether a task and a worker satisfy a PAIR expression together.

        The worker has under `channel`, by unique name, the objects live paths read.
        """
        return self._reading({"task": task, "worker": worker}) is True

    def program(
        self, channels: Mapping[str, int] | None = None
    ) -> tuple[Instruction, ...]:
        """List the postfix instructions, at most EXPRESSION_NODES of them.

        `channels` numbers the task channels by their unique names; a channel that is not
        there is null.
        """
        steps: list[Instruction] = []
        if self.root is not None:
            _append_instructions(steps, self.root, channels or {})
        return tuple(steps)

    def conjuncts(self) -> tuple["Expression", ...]:
        """Return the parts that must all hold, each with its own text."""
        if not isinstance(self.root, Operation) or self.root.operator != "and":
            return (self,)
        return tuple(
            _parsed(self.text[part.start : part.end], self.context, self.dialect)
            for part in parts(self.root, "and")
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, Context, Dialect]:
        return self.text, self.context, self.dialect


def _append_instructions(
    steps: list[Instruction], node: Node, channels: Mapping[str, int]
) -> None:
    if isinstance(node, Operation):
        for operand in node.operands:
            _append_instructions(steps, operand, channels)
        steps.append((node.operator,))
    elif isinstance(node, Const):
        steps.append(("const", node.value))
    elif not node.live:
        steps.append(("path", node.root, node.segments))
    else:
        steps.append(_live(node.segments, channels) or ("const", None))


def _live(segments: Segments, channels: Mapping[str, int]) -> Operand | None:
    _, name, wanted = segments
    number = channels.get(str(name))
    return None if number is None else ("live", number, str(wanted))


_ROOTS = {Context.WORKER: "worker", Context.TASK: "task", Context.SKIP: "workers"}


class OrderClause(msgspec.Struct, frozen=True, gc=False):
    """A number of the worker by which candidates are ordered."""

    segments: Segments
    descending: bool
    #: the number is one of LIVE_FIELDS, as in Path
    live: bool = False


def parse(
    text: str, context: Context, field: str = "expression", dialect: Dialect = USUAL
) -> Expression:
    """Parse an expression; raises ExpressionError under the name `field`.

    An empty text is allowed for workers only, and matches nobody.
    """
    try:
        return _parsed(text, context, dialect)
    except Refused as refused:
        raise ExpressionError(field, refused.found, refused.position, text) from refused


def parse_order(text: str, field: str = "order_by") -> tuple[OrderClause, ...]:
    """Parse `worker.<path> [ASC|DESC], ...`; raises ExpressionError."""
    try:
        _check_length(text)
        orders = Parser(text, Context.PAIR).orders()
    except Refused as refused:
        raise ExpressionError(field, refused.found, refused.position, text) from refused
    return tuple(
        OrderClause(path.segments, descending, path.live) for path, descending in orders
    )


def parse_reference(text: str, field: str) -> Segments:
    """Parse `task.<path>`, which names an attribute; raises ExpressionError."""
    try:
        _check_length(text)
        path = Parser(text, Context.PAIR).reference()
    except Refused as refused:
        raise ExpressionError(field, refused.found, refused.position, text) from refused
    return path.segments


def warnings_of(expression: Expression) -> tuple[str, ...]:
    """Say what is allowed and rarely meant: always true, always false, and so on."""
    return judgement_of(expression).warnings


def reads_refusals(expression: Expression) -> bool:
    """Say whether it reads who refused a task."""
    return any(
        root == "task" and segments[0] == REFUSED_BY
        for root, segments in expression.paths
    )


def counted_activities(expression: Expression) -> tuple[str, ...]:
    """Return the sids of the activities whose workers it counts."""
    return tuple(
        str(segments[0])
        for root, segments in expression.paths
        if root == "workers" and segments[0] not in ("available", "unavailable")
    )


def judgement_of(expression: Expression) -> Judgement:
    """Say what can be said without attributes: whether it is constant, and warnings."""
    if expression.root is None:
        return Judgement(constant=False)
    return judge(expression.text, expression.root, expression.context)


def order_operands(
    clauses: tuple[OrderClause, ...], channels: Mapping[str, int]
) -> tuple[tuple[Operand, bool], ...]:
    """Return clauses as the matcher reads them: (operand, descending).

    A channel that `channels` does not number orders nobody, and its clause is left out.
    """
    found: list[tuple[Operand, bool]] = []
    for clause in clauses:
        if not clause.live:
            found.append((("path", "worker", clause.segments), clause.descending))
        elif (operand := _live(clause.segments, channels)) is not None:
            found.append((operand, clause.descending))
    return tuple(found)


@lru_cache(maxsize=limits.EXPRESSION_CACHE)
def _parsed(text: str, context: Context, dialect: Dialect) -> Expression:
    _check_length(text)
    if context is Context.WORKER and not text.strip(SPACE):
        return Expression(text, context, dialect, None, (), 0, lambda _: False)
    parser = Parser(text, context, dialect)
    root = parser.expression()
    reads = ((path.root, path.segments) for path in parser.paths)
    return Expression(
        text,
        context,
        dialect,
        root,
        tuple(dict.fromkeys(reads)),
        parser.size,
        reading(root),
    )


def _check_length(text: str) -> None:
    longest = limits.EXPRESSION_CHARS
    if len(text) > longest:
        raise Refused(f"more than {longest} characters", longest + 1)
