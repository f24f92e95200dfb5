"""What the operators of an expression mean; the semantics are strict.

A missing key is null. Values of different types are never equal; a boolean is no number;
integers and decimals compare by value, strings by code point and with regard to case.
`<` and its kin hold between two numbers or two strings only. An array or an object is
equal to nothing, itself included. The negative operators are exact negations of the
positive ones: NOT IN a missing array is true. What is not a boolean is false.
"""

from collections.abc import Callable
from typing import TypeGuard

_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
}


def equal(left: object, right: object) -> bool:
    """Say whether both are scalars of one type and of the same value."""
    kind = _TYPES.get(type(left))
    return kind is not None and kind == _TYPES.get(type(right)) and left == right


def order(left: object, right: object) -> int | None:
    """Compare two numbers or two strings: -1, 0 or 1; None for anything else."""
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if _is_number(left) and _is_number(right):
        return (left > right) - (left < right)
    return None


def has(left: object, right: object) -> bool:
    """Say whether the left one is an array with an element equal to the right one."""
    return isinstance(left, list | tuple) and any(equal(item, right) for item in left)


def contains(left: object, right: object) -> bool:
    """Say whether both are strings and the right one is part of the left one."""
    return isinstance(left, str) and isinstance(right, str) and right in left


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: by instruction; AND and OR are not here, they do not always read both sides
OPERATORS: dict[str, Callable[..., bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": lambda left, right: order(left, right) == -1,
    "<=": lambda left, right: order(left, right) in (-1, 0),
    ">": lambda left, right: order(left, right) == 1,
    ">=": lambda left, right: order(left, right) in (0, 1),
    "contains": contains,
    "not_contains": lambda left, right: not contains(left, right),
    "has": has,
    "in": lambda left, right: has(right, left),
    "not_in": lambda left, right: not has(right, left),
    "is_null": lambda value: value is None,
    "is_not_null": lambda value: value is not None,
    "not": lambda value: value is not True,
}
