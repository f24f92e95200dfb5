"""Workflows: the configuration document as a plan, and the only walk through it.

A task enters at the first filter whose expression is true, waits in its targets one after
the other, and goes on with the next later filter that is true when the last target timed
out. `default_filter` is for tasks no filter took on entry; a timeout never leads there.

    enter --> filters[i].targets[0] --timeout--> ... --timeout--> filters[j > i] --> ...
      `-----> default_filter (no timeout)              `--------> None: exhausted
"""

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject, JsonValue, decode_object
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import Context, Expression, parse

#: the filter_index of the step that `default_filter` stands for
DEFAULT_FILTER = -1


class Target(msgspec.Struct, frozen=True, gc=False):
    """One routing step of a filter, with the queue inherited where none is given."""

    queue_sid: str
    #: None keeps the priority the task has
    priority: int | None = None
    #: None waits until the task itself times out
    timeout_seconds: int | None = None


class Filter(msgspec.Struct, frozen=True, gc=False):
    """Targets for the tasks an expression is true for; without one, for all tasks."""

    name: str
    expression: Expression | None
    targets: tuple[Target, ...]

    def matches(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Say whether a task with these attributes belongs here."""
        return self.expression is None or self.expression.evaluate(attributes)


class WorkflowPlan(msgspec.Struct, frozen=True, gc=False):
    """A checked configuration document."""

    filters: tuple[Filter, ...] = ()
    default: Target | None = None


class Step(msgspec.Struct, frozen=True, gc=False):
    """Where in the plan a task waits."""

    filter_index: int
    target_index: int
    queue_sid: str
    priority: int | None
    timeout_seconds: int | None


# The walk


def enter(plan: WorkflowPlan, attributes: Mapping[str, JsonValue]) -> Step | None:
    """Find the step a task enters; None if nothing takes it."""
    step = _first_match(plan, 0, attributes)
    if step is None and plan.default is not None:
        return _step(plan.default, DEFAULT_FILTER, 0)
    return step


def advance(
    plan: WorkflowPlan, step: Step, attributes: Mapping[str, JsonValue]
) -> Step | None:
    """Find the step after one that timed out; None if the workflow is exhausted.

    A step of an earlier document is taken by its place; past the end it is exhausted.
    """
    if step.filter_index == DEFAULT_FILTER:
        return None
    here = plan.filters[step.filter_index : step.filter_index + 1]
    targets = here[0].targets if here else ()
    following = step.target_index + 1
    if following < len(targets):
        return _step(targets[following], step.filter_index, following)
    return _first_match(plan, step.filter_index + 1, attributes)


def _first_match(
    plan: WorkflowPlan, start: int, attributes: Mapping[str, JsonValue]
) -> Step | None:
    for index in range(start, len(plan.filters)):
        if plan.filters[index].matches(attributes):
            return _step(plan.filters[index].targets[0], index, 0)
    return None


def _step(target: Target, filter_index: int, target_index: int) -> Step:
    return Step(
        filter_index,
        target_index,
        target.queue_sid,
        target.priority,
        target.timeout_seconds,
    )


# The document

_UNSUPPORTED = frozenset(
    {
        "expression",
        "order_by",
        "skip_if",
        "known_worker_sid",
        "known_worker_friendly_name",
    }
)
_NUMERAL = re.compile(r"[0-9]{1,10}")


def parse_workflow(
    text: str, queue_exists: Callable[[str], bool], field: str = "configuration"
) -> WorkflowPlan:
    """Read a configuration document of at most WORKFLOW_BYTES.

    Raises InvalidArgument with the path of the value at fault. Keys this version does
    not act on are refused, never ignored; a null counts as a key left out.
    """
    document = decode_object(
        text, field, size_max=limits.WORKFLOW_BYTES, keys_max=limits.WORKFLOW_KEYS
    )
    _check_keys(document, field, {"task_routing"})
    routing = document.get("task_routing")
    path = f"{field}.task_routing"
    if not isinstance(routing, dict):
        raise InvalidArgument(path, "an object is required")
    _check_keys(routing, path, {"filters", "default_filter"})
    reader = _Reader(queue_exists)
    filters = tuple(
        reader.filter(below, at)
        for below, at in _objects(routing, path, "filters", limits.WORKFLOW_FILTERS)
    )
    return WorkflowPlan(filters, reader.default(routing, path))


class _Reader:
    """Reads filters and targets; all it holds is the way to look up a queue."""

    def __init__(self, queue_exists: Callable[[str], bool]) -> None:
        self._queue_exists = queue_exists

    def filter(self, value: JsonObject, path: str) -> Filter:
        known = {"filter_friendly_name", "friendly_name", "expression", "targets"}
        _check_keys(value, path, known)
        expression = _string(value, path, "expression")
        parsed = None
        if expression is not None:
            parsed = parse(expression, Context.TASK, f"{path}.expression")
        targets: list[Target] = []
        for below, at in _objects(value, path, "targets", limits.WORKFLOW_TARGETS):
            targets.append(self._target(below, at, targets[-1:]))
        if not targets:
            raise InvalidArgument(f"{path}.targets", "at least one target is required")
        return Filter(_filter_name(value, path), parsed, tuple(targets))

    def default(self, routing: JsonObject, path: str) -> Target | None:
        value = routing.get("default_filter")
        path = f"{path}.default_filter"
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InvalidArgument(path, "an object is required")
        _check_keys(value, path, {"queue", "priority"})
        return self._target(value, path, [])

    def _target(self, value: JsonObject, path: str, previous: list[Target]) -> Target:
        _check_keys(value, path, {"queue", "priority", "timeout"})
        queue_sid = _string(value, path, "queue")
        if queue_sid is None:
            if not previous:
                raise InvalidArgument(f"{path}.queue", "a task queue is required")
            queue_sid = previous[0].queue_sid
        elif not self._queue_exists(queue_sid):
            refusal = f"task queue {queue_sid[:64]} does not exist"
            raise InvalidArgument(f"{path}.queue", refusal)
        priority = _integer(value, path, "priority", 0, limits.PRIORITY_MAX)
        longest = limits.STEP_TIMEOUT_SECONDS
        return Target(queue_sid, priority, _integer(value, path, "timeout", 1, longest))


def _check_keys(value: JsonObject, path: str, known: set[str]) -> None:
    for key in value:
        if key not in known:
            refusal = "not supported by this version"
            if key not in _UNSUPPORTED:
                refusal = f"unknown key, {refusal}"
            raise InvalidArgument(f"{path}.{key}", refusal)


def _objects(
    value: JsonObject, path: str, key: str, count_max: int
) -> Iterator[tuple[JsonObject, str]]:
    """Yield the objects of an array of at most `count_max`, each with its path."""
    items = value.get(key)
    if items is None:
        return
    if not isinstance(items, list):
        raise InvalidArgument(f"{path}.{key}", "an array is required")
    if len(items) > count_max:
        refusal = f"{len(items)} entries, at most {count_max} are allowed"
        raise InvalidArgument(f"{path}.{key}", refusal)
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise InvalidArgument(f"{path}.{key}[{index}]", "an object is required")
        yield item, f"{path}.{key}[{index}]"


def _filter_name(value: JsonObject, path: str) -> str:
    name = _string(value, path, "filter_friendly_name")
    other = _string(value, path, "friendly_name")
    if name is not None and other is not None:
        raise InvalidArgument(
            f"{path}.friendly_name", "filter_friendly_name is given as well"
        )
    return name or other or ""


def _string(value: JsonObject, path: str, key: str) -> str | None:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise InvalidArgument(f"{path}.{key}", "a string is required")
    return found


def _integer(
    value: JsonObject, path: str, key: str, least: int, most: int
) -> int | None:
    """Read an integer, given as a number or as its digits in a string."""
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, str) and _NUMERAL.fullmatch(found):
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        raise InvalidArgument(f"{path}.{key}", "an integer is required")
    if not least <= found <= most:
        refusal = f"{found} is not between {least} and {most}"
        raise InvalidArgument(f"{path}.{key}", refusal)
    return found
