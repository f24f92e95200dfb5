"""What would make a failed condition true, in words an operator can act on."""

from typing import Any

from flexcore.domain.expressions import Expression, look_up
from flexcore.domain.model import Task
from flexcore.domain.trees import Const, Node, Operation, Path, parts
from flexcore.engine.routing.eligibility import Failure, shortened
from flexcore.engine.routing.steps import task_values

#: comparisons as they read from the other side
_MIRRORED = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "==",
    "!=": "!=",
    "unequal": "unequal",
}
_UNEQUAL = ("!=", "unequal")
_NOT_IN = ("not_in", "not_in_array", "not_in_known", "not_in_or_missing")
_LACKING = ("not_contains", "lacks")
_CONDITIONS = {
    "activity": "when available",
    "presence": "when back",
    "channel": "with the channel open",
    "capacity": "with more room",
    "refused": "once the refusal is over",
    "known_worker": "if asked for",
}
#: values named of an array; more are left out
_NAMED_MAX = 3


def remedy_of(failure: Failure, task: Task) -> str:
    """Return the rest of a sentence that begins `ann would match`."""
    if failure.missing is None or failure.missing.root is None:
        return _CONDITIONS.get(failure.condition, "with another expression")
    # One true part of an OR is enough.
    ways = [_of_part(part, task) for part in parts(failure.missing.root, "or")]
    if all(ways):
        return shortened(" or ".join(dict.fromkeys(ways)))
    return f"if {_text(failure.missing)} were true"


def _text(expression: Expression) -> str:
    return shortened(expression.text)


def _of_part(node: Node, task: Task) -> str:
    """Return what a worker needs for a part to be true, or "" if that is not simple."""
    if isinstance(node, Path):
        return f"with {_name(node)} true" if _of_worker(node) else _of_task(node)
    if not isinstance(node, Operation):
        return ""
    if len(node.operands) == 1:
        return _of_single(node)
    return _of_double(node, task)


def _of_single(node: Operation) -> str:
    (operand,) = node.operands
    words = {"is_null": "without", "is_not_null": "with"}
    if node.operator not in words or not isinstance(operand, Path):
        return ""
    if _of_worker(operand):
        return f"{words[node.operator]} {_name(operand)}"
    return _of_task(operand) if node.operator == "is_not_null" else ""


def _of_double(node: Operation, task: Task) -> str:
    left, right = node.operands
    operator = node.operator
    if not _of_worker(left):
        left, right, operator = right, left, _turned(operator)
    if not (isinstance(left, Path) and _of_worker(left)) or _of_worker(right):
        return ""
    if isinstance(right, Operation) or not operator:
        return ""
    value = _value(right, task)
    if value is None:
        return _of_task(right)
    return _of_comparison(_name(left), operator, value)


def _of_task(node: Node) -> str:
    """Return what is to be said where the task lacks what is compared."""
    if isinstance(node, Path) and node.root == "task":
        return f"if the task had {_name(node)}"
    return ""


def _of_comparison(name: str, operator: str, value: Any) -> str:
    """Return what a worker's value has to be, compared to one that is given."""
    several = isinstance(value, list | tuple)
    if operator == "in":
        return f"with {name} one of {_listed(value)}" if several else ""
    if operator in _NOT_IN and several:
        return f"with {name} none of {_listed(value)}"
    if several or isinstance(value, dict):
        return ""
    shown = _shown(value)
    ways = {
        "has": f"with {shown}",
        "contains": f"with {shown} in {name}",
        "lacks_element": f"without {shown}",
        **dict.fromkeys(_LACKING, f"without {shown} in {name}"),
        **dict.fromkeys(_UNEQUAL, f"with {name} other than {shown}"),
        "==": f"with {name} {shown}",
    }
    if operator in _MIRRORED and operator not in ways:
        return f"with {name} {operator} {shown}"
    return ways.get(operator, "")


def _turned(operator: str) -> str:
    """Return the operator for swapped operands; "" if there is none."""
    if operator in _NOT_IN:
        return "lacks_element"
    return {"in": "has", "has": "in"}.get(operator) or _MIRRORED.get(operator, "")


def _of_worker(node: Node) -> bool:
    return isinstance(node, Path) and node.root == "worker"


def _name(path: Path) -> str:
    return ".".join(map(str, path.segments))


def _value(node: Node, task: Task) -> Any:
    if isinstance(node, Const):
        return node.value
    assert isinstance(node, Path)
    return look_up(task_values(task), node.segments)


def _listed(values: Any) -> str:
    named = [_shown(value) for value in values[:_NAMED_MAX]]
    return ", ".join((*named, "...") if len(values) > _NAMED_MAX else named)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower()
