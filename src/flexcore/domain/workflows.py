"""Workflows: the configuration document, read into a plan.

    {"task_routing": {"filters": [Filter, ...], "default_filter": Target without timeout,
                      "on_exhausted": Exhaustion}}

    Filter:     filter_friendly_name or friendly_name, expression, targets, on_exhausted
    Target:     queue (the first one's; later ones inherit it), priority, timeout in
                seconds, expression, order_by, skip_if,
                known_worker_sid or known_worker_friendly_name
    Exhaustion: "cancel", "default", "repeat", or {"action": "queue", "queue": WQ...}

That is the document of TaskRouter with `on_exhausted` added. A null counts as a key left
out, a number may be given as a string. What a plan means says `plans.py`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject, JsonValue, decode_object
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import (
    Context,
    Dialect,
    Expression,
    parse,
    parse_order,
    parse_reference,
)
from flexcore.domain.objects import check_keys, integer, objects, string
from flexcore.domain.plans import (
    ACTIONS,
    DEFAULT_FILTER,
    DOCUMENT,
    EXHAUSTION,
    Exhaustion,
    Filter,
    Known,
    Step,
    Target,
    WorkflowPlan,
    after_exhaustion,
    after_skip,
    after_timeout,
    enter,
    exhaustion_of,
    known_of,
    seconds_before,
    step_at,
)
from flexcore.domain.tokens import tokens

__all__ = [
    "DEFAULT_FILTER",
    "DOCUMENT",
    "EXHAUSTION",
    "Exhaustion",
    "Filter",
    "Known",
    "Step",
    "Target",
    "WorkflowPlan",
    "after_exhaustion",
    "after_skip",
    "after_timeout",
    "decode_document",
    "enter",
    "exhaustion_of",
    "known_of",
    "may_name",
    "parse_workflow",
    "saved_plan",
    "seconds_before",
    "step_at",
]

Read = TypeVar("Read")

_FILTER_KEYS = frozenset(
    {"filter_friendly_name", "friendly_name", "expression", "targets", "on_exhausted"}
)
_TARGET_KEYS = frozenset(
    {
        "queue",
        "priority",
        "timeout",
        "expression",
        "order_by",
        "skip_if",
        "known_worker_sid",
        "known_worker_friendly_name",
    }
)


def decode_document(text: str, field: str) -> JsonObject:
    """Decode the JSON of a document; raises InvalidArgument beyond its limits."""
    return decode_object(
        text,
        field,
        size_max=limits.WORKFLOW_BYTES,
        keys_max=limits.WORKFLOW_KEYS,
        tokens_max=limits.WORKFLOW_TOKENS,
    )


def parse_workflow(
    text: str,
    queue_exists: Callable[[str], bool],
    field: str = "configuration",
    dialect: Dialect | None = None,
    spend: Callable[[int], None] = lambda _: None,
) -> WorkflowPlan:
    """Read a configuration document of at most WORKFLOW_BYTES.

    Raises InvalidArgument with the path of the value at fault. Unknown keys are refused,
    never ignored. `spend` is told of the parts as they are read, and may refuse more.
    """
    document = decode_document(text, field)
    check_keys(document, field, frozenset({"task_routing"}))
    path = f"{field}.task_routing"
    routing = document.get("task_routing")
    if not isinstance(routing, dict):
        raise InvalidArgument(path, "an object is required")
    return _Reader(queue_exists, dialect or Dialect(), spend).plan(routing, path)


@lru_cache(maxsize=limits.WORKFLOWS_MAX)
def saved_plan(text: str, dialect: Dialect) -> WorkflowPlan:
    """Return the plan of a document that was checked when it was saved."""
    return parse_workflow(text, lambda _: True, dialect=dialect)


def may_name(text: str, word: str) -> bool:
    """Say whether a document may name a channel: most need not be read."""
    return word in text or "\\u" in text


class _Reader:
    """Reads one document, and counts the text of its expressions."""

    def __init__(
        self,
        queue_exists: Callable[[str], bool],
        dialect: Dialect,
        spend: Callable[[int], None],
    ) -> None:
        self._queue_exists = queue_exists
        self._dialect = dialect
        self._spend = spend
        #: what was read, by key and text: documents repeat themselves
        self._read: dict[tuple[str, str], Any] = {}
        self._chars = 0
        self._parts = 0

    def plan(self, routing: JsonObject, path: str) -> WorkflowPlan:
        check_keys(
            routing, path, frozenset({"filters", "default_filter", "on_exhausted"})
        )
        filters = tuple(
            self._filter(below, at)
            for below, at in objects(routing, path, "filters", limits.WORKFLOW_FILTERS)
        )
        default = self._default(routing, path)
        plan = WorkflowPlan(filters, default, self._exhaustion(routing, path))
        _check_exhaustions(plan, path)
        return plan

    def _filter(self, value: JsonObject, path: str) -> Filter:
        self._count(1, path)
        check_keys(value, path, _FILTER_KEYS)
        expression = self._expression(value, path, "expression", Context.TASK)
        targets: list[Target] = []
        for below, at in objects(value, path, "targets", limits.WORKFLOW_TARGETS):
            self._count(1, at)
            check_keys(below, at, _TARGET_KEYS)
            inherited = targets[-1].queue_sid if targets else None
            targets.append(self._target(below, at, inherited))
        if not targets:
            raise InvalidArgument(f"{path}.targets", "at least one target is required")
        name = _filter_name(value, path)
        return Filter(name, expression, tuple(targets), self._exhaustion(value, path))

    def _count(self, parts: int, path: str) -> None:
        self._spend(parts)
        self._parts += parts
        most = limits.WORKFLOW_PARTS
        if self._parts > most:
            raise InvalidArgument(
                path,
                f"more than {most} filters, targets, and words and signs of different"
                " expressions",
            )

    def _default(self, routing: JsonObject, path: str) -> Target | None:
        value = routing.get("default_filter")
        path = f"{path}.default_filter"
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InvalidArgument(path, "an object is required")
        if value.get("timeout") is not None:
            raise InvalidArgument(
                f"{path}.timeout", "a task waits here until its own timeout"
            )
        check_keys(value, path, _TARGET_KEYS)
        return self._target(value, path, None)

    def _target(self, value: JsonObject, path: str, inherited: str | None) -> Target:
        queue_sid = self._queue(value, path) or inherited
        if queue_sid is None:
            raise InvalidArgument(f"{path}.queue", "a task queue is required")
        longest = limits.STEP_TIMEOUT_SECONDS
        return Target(
            queue_sid,
            integer(value, path, "priority", 0, limits.PRIORITY_MAX),
            integer(value, path, "timeout", 1, longest),
            self._expression(value, path, "expression", Context.PAIR),
            self._once(value, path, "order_by", parse_order) or (),
            self._expression(value, path, "skip_if", Context.SKIP),
            self._known(value, path),
        )

    def _known(self, value: JsonObject, path: str) -> Known | None:
        sid, name = "known_worker_sid", "known_worker_friendly_name"
        by_sid = self._once(value, path, sid, parse_reference)
        by_name = self._once(value, path, name, parse_reference)
        if by_sid is not None and by_name is not None:
            raise InvalidArgument(f"{path}.{name}", f"{sid} is given as well")
        if by_sid is not None:
            return Known("sid", by_sid)
        return None if by_name is None else Known("friendly_name", by_name)

    def _exhaustion(self, value: JsonObject, path: str) -> Exhaustion | None:
        found = value.get("on_exhausted")
        path = f"{path}.on_exhausted"
        if found is None:
            return None
        queue_sid = None
        action: JsonValue = found
        if isinstance(found, dict):
            check_keys(found, path, frozenset({"action", "queue"}))
            action, queue_sid = found.get("action"), self._queue(found, path)
            if action != "queue" and queue_sid is not None:
                raise InvalidArgument(f"{path}.queue", "the action is not queue")
        if not isinstance(action, str) or action not in ACTIONS:
            expected = "cancel, default, repeat or queue is required"
            raise InvalidArgument(path, expected)
        if action == "queue" and queue_sid is None:
            raise InvalidArgument(
                path, 'an object with "action" and "queue" is required'
            )
        return Exhaustion(action, queue_sid or "")

    def _queue(self, value: JsonObject, path: str) -> str | None:
        sid = string(value, path, "queue")
        if sid is not None and not self._queue_exists(sid):
            refusal = f"task queue {sid[:64]} does not exist"
            raise InvalidArgument(f"{path}.queue", refusal)
        return sid

    def _expression(
        self, value: JsonObject, path: str, key: str, context: Context
    ) -> Expression | None:
        def read(text: str, field: str) -> Expression:
            return parse(text, context, field, self._dialect)

        # Filters and targets have this key in common, and not its context.
        return self._once(value, path, key, read, context.value)

    def _once(
        self,
        value: JsonObject,
        path: str,
        key: str,
        read: Callable[[str, str], Read],
        context: str = "",
    ) -> Read | None:
        """Read a text in its own language, the first time it occurs."""
        text = string(value, path, key)
        if text is None:
            return None
        known = (context or key, text)
        if known not in self._read:
            self._chars += len(text)
            most = limits.WORKFLOW_EXPRESSION_CHARS
            if self._chars > most:
                refusal = f"more than {most} characters in all expressions"
                raise InvalidArgument(f"{path}.{key}", refusal)
            self._read[known] = read(text, f"{path}.{key}")
            self._count(len(tokens(text)) - 1, f"{path}.{key}")
        found: Read = self._read[known]
        return found


def _check_exhaustions(plan: WorkflowPlan, path: str) -> None:
    """Refuse to go to a default filter that is not there."""
    if plan.default is not None:
        return
    places = [(plan.on_exhausted, path)]
    places += [
        (found.on_exhausted, f"{path}.filters[{index}]")
        for index, found in enumerate(plan.filters)
    ]
    for exhaustion, at in places:
        if exhaustion is not None and exhaustion.action == "default":
            raise InvalidArgument(f"{at}.on_exhausted", "there is no default_filter")


def _filter_name(value: JsonObject, path: str) -> str:
    name = string(value, path, "filter_friendly_name")
    other = string(value, path, "friendly_name")
    if name is not None and other not in (None, name):
        raise InvalidArgument(
            f"{path}.friendly_name", "filter_friendly_name is another name"
        )
    return name or other or ""
