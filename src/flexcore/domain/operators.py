"""What the operators of an expression mean.

A missing key is null. Values of different types are never equal; a boolean is no number;
integers and decimals compare by value, strings by code point and with regard to case.
`<` and its kin hold between two numbers or two strings only. An array or an object is
equal to nothing, itself included. What is not a boolean is false.

The negative operators come in two readings, and a dialect (`trees.py`) chooses one for
each text. "!=", "not_contains" and "not_in" are exact negations: NOT IN a missing array
is true. The others are false on operands of a kind they are not made for: "unequal" and
"lacks" on arrays and objects, "not_in_array" and "not_in_or_missing" on what is no array.
A missing array is none to "not_in_array" and "not_in_known", and an empty one to
"not_in_or_missing".
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
    if type(left) is type(right):
        return type(left) in _TYPES and left == right
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
    if not is_array(left):
        return False
    for item in left:  # noqa: SIM110 # any() and its generator take twice as long
        if equal(item, right):
            return True
    return False


def contains(left: object, right: object) -> bool:
    """Say whether both are strings and the right one is part of the left one."""
    return isinstance(left, str) and isinstance(right, str) and right in left


def is_array(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Say whether the value is an array, of attributes or of an expression."""
    return isinstance(value, list | tuple)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_scalars(left: object, right: object) -> bool:
    return type(left) in _TYPES and type(right) in _TYPES


#: by instruction; AND and OR are not here, they do not always read both sides
OPERATORS: dict[str, Callable[..., bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "unequal": lambda left, right: _are_scalars(left, right) and not equal(left, right),
    "<": lambda left, right: order(left, right) == -1,
    "<=": lambda left, right: order(left, right) in (-1, 0),
    ">": lambda left, right: order(left, right) == 1,
    ">=": lambda left, right: order(left, right) in (0, 1),
    "contains": contains,
    "not_contains": lambda left, right: not contains(left, right),
    "lacks": lambda left, right: (
        _are_scalars(left, right) and not contains(left, right)
    ),
    "has": has,
    "in": lambda left, right: has(right, left),
    "not_in": lambda left, right: not has(right, left),
    "not_in_array": lambda left, right: is_array(right) and not has(right, left),
    "not_in_known": lambda left, right: right is not None and not has(right, left),
    "not_in_or_missing": lambda left, right: (
        right is None or (is_array(right) and not has(right, left))
    ),
    "is_null": lambda value: value is None,
    "is_not_null": lambda value: value is not None,
    "not": lambda value: value is not True,
}
