"""What trees of expressions are worth.

A tree becomes one Python function per node when it is parsed, so that a filter costs the
look-ups and comparisons it consists of and no walk over the tree.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from flexcore.domain.attributes import JsonValue
from flexcore.domain.operators import OPERATORS
from flexcore.domain.trees import Const, Node, Operation, Path, Segments, parts

#: attributes by root: worker, task, workers
Scope: TypeAlias = Mapping[str, Mapping[str, JsonValue]]
Reading: TypeAlias = Callable[[Scope], object]


def reading(node: Node) -> Reading:
    """Return the function from attributes to the value of a node."""
    if isinstance(node, Const):
        value = node.value
        return lambda _: value
    if isinstance(node, Path):
        return _path_reading(node.root, node.segments)
    if node.operator in ("and", "or"):
        return _chain_reading(node, decided_by=node.operator == "or")
    operator = OPERATORS[node.operator]
    left, *rest = (reading(operand) for operand in node.operands)
    if not rest:
        return lambda scope: operator(left(scope))
    right = rest[0]
    return lambda scope: operator(left(scope), right(scope))


def _chain_reading(node: Operation, *, decided_by: bool) -> Reading:
    """Read parts from the left until one of them decides."""
    readings = tuple(reading(part) for part in parts(node, node.operator))

    def chain(scope: Scope) -> bool:
        for each in readings:
            if (each(scope) is True) is decided_by:
                return decided_by
        return not decided_by

    return chain


def _path_reading(root: str, segments: Segments) -> Reading:
    name = segments[0]
    if len(segments) == 1 and isinstance(name, str):
        return lambda scope: scope[root].get(name)
    return lambda scope: look_up(scope[root], segments)


def look_up(attributes: Mapping[str, JsonValue], segments: Segments) -> JsonValue:
    """Return the value at a path, None if it leads nowhere."""
    value: Any = attributes
    for segment in segments:
        if isinstance(segment, str):
            if not isinstance(value, dict):
                return None
            value = value.get(segment)
        elif isinstance(value, list) and segment < len(value):
            value = value[segment]
        else:
            return None
    return value  # type: ignore[no-any-return] # a JsonValue at every depth
