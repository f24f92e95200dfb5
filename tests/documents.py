"""Workflow documents in few words; a test writes only what it is about."""

import json

from flexcore.domain.attributes import JsonObject
from flexcore.domain.expressions import Dialect
from flexcore.domain.workflows import Step, WorkflowPlan, parse_workflow

SALES, SUPPORT, EVERYONE = "WQ" + "1" * 32, "WQ" + "2" * 32, "WQ" + "3" * 32
QUEUES = {SALES, SUPPORT, EVERYONE}


def document(
    *filters: JsonObject, default: JsonObject | None = None, **keys: object
) -> str:
    """The text of a document; `keys` are further keys of task_routing."""
    routing: JsonObject = {"filters": list(filters), **keys}
    if default is not None:
        routing["default_filter"] = default
    return json.dumps({"task_routing": routing})


def plan(
    *filters: JsonObject,
    default: JsonObject | None = None,
    dialect: Dialect | None = None,
    **keys: object,
) -> WorkflowPlan:
    text = document(*filters, default=default, **keys)
    return parse_workflow(text, QUEUES.__contains__, dialect=dialect)


def one(
    expression: str | None = None, *targets: JsonObject, **keys: object
) -> JsonObject:
    """A filter; without targets it leads to SALES."""
    found: JsonObject = {"targets": list(targets) or [{"queue": SALES}], **keys}
    if expression is not None:
        found["expression"] = expression
    return found


def place(step: Step | None) -> tuple[int, int] | None:
    return step and (step.filter_index, step.target_index)
