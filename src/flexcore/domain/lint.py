"""What an expression allows and its author rarely means.

A warning is a text that quotes the part of the expression it is about. None of this
changes what an expression does.
"""

from collections.abc import Iterator
from math import inf

import msgspec

from flexcore.domain.evaluation import reading
from flexcore.domain.operators import OPERATORS, equal
from flexcore.domain.trees import (
    LIVE_FIELDS,
    REFUSED_BY,
    Const,
    Constant,
    Context,
    Node,
    Operation,
    Path,
    Segments,
    nodes,
    parts,
)

_NULL_TESTS = frozenset({"is_null", "is_not_null", "==", "!=", "unequal"})
_MISSING = {
    "not_in": "true",
    "not_in_or_missing": "true",
    "not_in_known": "false",
    "not_in_array": "false",
}


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """What can be said of a condition without knowing any attributes."""

    #: what it is worth for whatever it reads; None if that depends
    constant: bool | None
    #: from left to right
    warnings: tuple[str, ...] = ()


def judge(text: str, root: Node, context: Context) -> Judgement:
    """Return what to say about an expression."""
    constant, warnings = _judged(text, root)
    every = nodes(root)
    warnings += _missing_arrays(text, every)
    warnings += _misplaced_channels(text, every, context)
    return Judgement(constant, tuple(warnings))


def _judged(text: str, node: Node) -> tuple[bool | None, list[str]]:
    """Return what a condition is worth, and its largest parts that are constant."""
    value: bool | None = None
    below: list[str] = []
    if isinstance(node, Const):
        value = node.value is True
    elif isinstance(node, Path):
        pass
    elif node.operator in ("and", "or"):
        value, below = _judged_chain(text, node)
    elif node.operator == "not":
        value, below = _judged(text, node.operands[0])
        value = None if value is None else not value
    else:
        value = _constant_comparison(node)
    if value is None:
        return None, below
    return value, [f"always {str(value).lower()}: {text[node.start : node.end]}"]


def _judged_chain(text: str, node: Operation) -> tuple[bool | None, list[str]]:
    chain = parts(node, node.operator)
    deciding = node.operator == "or"
    judged = [_judged(text, part) for part in chain]
    values = [value for value, _ in judged]
    below = [warning for _, warnings in judged for warning in warnings]
    if deciding in values or _contradicts(chain, "!=" if deciding else "=="):
        return deciding, below
    return None if None in values else not deciding, below


def _contradicts(chain: list[Node], operator: str) -> bool:
    """Say whether two parts compare one path with different constants.

    `a == 1 AND a == 2` is never true, `a != 1 OR a != 2` always.
    """
    seen: dict[tuple[object, ...], Constant] = {}
    for part in chain:
        if not isinstance(part, Operation) or part.operator != operator:
            continue
        left, right = part.operands
        if isinstance(left, Const):
            left, right = right, left
        if isinstance(left, Path) and isinstance(right, Const):
            first = seen.setdefault((left.root, left.segments), right.value)
            if not equal(first, right.value):
                return True
    return False


def _constant_comparison(node: Operation) -> bool | None:
    """Try one value of each kind for a path, and the constant's neighbors."""
    if all(isinstance(operand, Const) for operand in node.operands):
        return bool(reading(node)({}))
    operands = [
        (each.value,) if isinstance(each, Const) else None for each in node.operands
    ]
    if len(operands) == 1 or operands == [None, None]:
        return None
    left, right = operands
    path = node.operands[left is not None]
    beside = (left or right or (None,))[0]
    operator = OPERATORS[node.operator]
    found: bool | None = None
    for sample in _samples(beside, counted=isinstance(path, Path) and path.counted):
        value = operator(left[0] if left else sample, right[0] if right else sample)
        if found is not None and value is not found:
            return None
        found = value
    return found


def _samples(beside: Constant, *, counted: bool) -> Iterator[object]:
    """Yield values that a comparison with `beside` can tell apart, the likely first."""
    scalars: list[object] = []
    for item in beside if isinstance(beside, tuple) else (beside,):
        scalars.append(item)
        if not counted:
            yield from (item, [], None)
        if isinstance(item, str):
            scalars += [item + "\0", item[:-1]]
        elif isinstance(item, int | float):
            scalars += [item - 1, item + 1]
    scalars += [None, 0, inf]
    if counted:
        yield from (each for each in scalars if _is_count(each))
        return
    scalars += [False, True, -inf, "", {}]
    yield from scalars
    yield from ([each] for each in scalars)


def _is_count(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int | float) and value >= 0)


def _missing_arrays(text: str, every: list[Node]) -> Iterator[str]:
    """Name the arrays of NOT IN that may be missing and are tested for null nowhere."""
    operations = [each for each in every if isinstance(each, Operation)]
    if _MISSING.keys().isdisjoint(each.operator for each in operations):
        return
    known = {key for each in operations for key in _tested_for_null(each)}
    known.add(("task", (REFUSED_BY,)))
    for each in operations:
        array = each.operands[-1]
        if each.operator not in _MISSING or not isinstance(array, Path):
            continue
        if (array.root, array.segments) not in known:
            name = text[array.start : array.end]
            part = text[each.start : each.end]
            yield (
                f"{_MISSING[each.operator]} where {name} is missing"
                f" (IS NULL and IS NOT NULL tell): {part}"
            )


def _tested_for_null(node: Operation) -> list[tuple[str, Segments]]:
    """Return what `path IS NULL`, `path == null` and their negations are about."""
    if node.operator not in _NULL_TESTS:
        return []
    constants = [each.value for each in node.operands if isinstance(each, Const)]
    if len(node.operands) == 2 and constants != [None]:
        return []
    found = [each for each in node.operands if isinstance(each, Path)]
    return [(each.root, each.segments) for each in found]


def _misplaced_channels(
    text: str, every: list[Node], context: Context
) -> Iterator[str]:
    """Name what looks like a live path where there are none."""
    if context is not Context.WORKER:
        return
    for path in every:
        if isinstance(path, Path) and (
            len(path.segments) == 3
            and path.segments[0] == "channel"
            and path.segments[2] in LIVE_FIELDS
        ):
            name = text[path.start : path.end]
            yield f"an attribute here, a live value in target expressions only: {name}"
