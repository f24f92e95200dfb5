"""Trees: what an expression is once it is read."""

from enum import Enum
from typing import Literal, TypeAlias

import msgspec

Scalar: TypeAlias = bool | int | float | str | None
Segments: TypeAlias = tuple[str | int, ...]
Constant: TypeAlias = Scalar | tuple[Scalar, ...]


class Context(Enum):
    """What an expression is about, and so what its paths may begin with.

    WORKER and TASK read the attributes of one, with or without its prefix. PAIR reads
    both, with `worker.` or `task.` before every path, and `worker.channel.*`. SKIP reads
    how many workers of a queue are in an activity, as `workers.*`.
    """

    WORKER = "worker"
    TASK = "task"
    PAIR = "pair"
    SKIP = "skip"


class Dialect(msgspec.Struct, frozen=True, gc=False):
    """How the negative operators are read; `operators.py` tells the readings apart."""

    #: what one of them is on an operand of the wrong kind: exactly negated, or false
    type_mismatch: Literal["negate", "false"] = "negate"
    #: what a missing array is to NOT IN: an empty one, or none, so that it is false
    missing_array: Literal["empty", "false"] = "empty"

    def spelling(self, operator: str) -> str:
        """Return the instruction that a negative operator stands for."""
        if operator == "not_in":
            return _NOT_IN[self.type_mismatch, self.missing_array]
        return operator if self.type_mismatch == "negate" else _NARROW[operator]


_NOT_IN = {
    ("negate", "empty"): "not_in",
    ("negate", "false"): "not_in_known",
    ("false", "empty"): "not_in_or_missing",
    ("false", "false"): "not_in_array",
}
_NARROW = {"!=": "unequal", "not_contains": "lacks"}
#: the reading of those who choose none
USUAL = Dialect()

#: what expressions read of every task besides its attributes, and instead of one of this
#: name: the sids of the workers whose refusals count, an array that is never missing
REFUSED_BY = "refused_by"

#: what `worker.channel.<unique name>.*` can be asked for, in target expressions
LIVE_FIELDS = (
    "configured_capacity",
    "assigned_tasks",
    "available_capacity_percentage",
)


class Const(msgspec.Struct, frozen=True, gc=False):
    """A literal; an array is a tuple of scalars. It stands at text[start:end]."""

    value: Constant
    start: int = 0
    end: int = 0


class Path(msgspec.Struct, frozen=True, gc=False):
    """A value to look up, without its prefix: that is the root."""

    root: Literal["worker", "task", "workers"]
    segments: Segments
    #: a number the matcher counts, ("channel", unique name, one of LIVE_FIELDS)
    live: bool = False
    start: int = 0
    end: int = 0

    @property
    def counted(self) -> bool:
        """Say whether this is a number, or null, and never anything else."""
        return self.live or self.root == "workers"


class Operation(msgspec.Struct, frozen=True, gc=False):
    """An operator and its one or two operands."""

    operator: str
    operands: tuple["Node", ...]
    start: int = 0
    end: int = 0


Node: TypeAlias = Const | Path | Operation


def parts(node: Node, operator: str) -> list[Node]:
    """Return the operands of a chain of ANDs, or of ORs, from left to right."""
    found: list[Node] = []
    ahead = [node]
    while ahead:
        node = ahead.pop()
        if isinstance(node, Operation) and node.operator == operator:
            ahead.extend(reversed(node.operands))
        else:
            found.append(node)
    return found


def nodes(node: Node) -> list[Node]:
    """Return a node and its operands at every depth; operands from left to right."""
    found: list[Node] = []
    ahead = [node]
    while ahead:
        node = ahead.pop()
        found.append(node)
        if isinstance(node, Operation):
            ahead.extend(reversed(node.operands))
    return found
