"""Task queues and workflows of a workspace document."""

from collections.abc import Callable, Iterator

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject, JsonValue
from flexcore.domain.documents.fields import (
    DROPPED,
    EVERYBODY,
    TASK_QUEUES,
    WORKFLOWS,
)
from flexcore.domain.documents.scope import ORDERS, Scope
from flexcore.domain.entries import Entry
from flexcore.domain.expressions import Context, parse
from flexcore.domain.model import TaskQueue, Workflow
from flexcore.domain.tokens import tokens
from flexcore.domain.urls import check_url
from flexcore.domain.workflows import decode_document, parse_workflow


def read_task_queue(scope: Scope, entry: Entry) -> TaskQueue:
    """Read a task queue; one that does not mention target workers is everybody's."""
    row = TaskQueue(
        sid=scope.sid(entry, "WQ"),
        workspace_sid=scope.workspace.sid,
        friendly_name=scope.name(entry, TaskQueue),
        target_workers=_expression(scope, entry),
        max_reserved_workers=entry.integer(
            "max_reserved_workers", 0, limits.RESERVED_WORKERS_MAX, 1
        ),
        task_order=entry.choice("task_order", ORDERS, "FIFO"),
        policies=scope.policies(entry, queue=True),
    )
    scope.queues[row.sid] = row.sid
    scope.queues.setdefault(row.friendly_name, row.sid)
    entry.close(DROPPED[TASK_QUEUES])
    return row


def _expression(scope: Scope, entry: Entry) -> str:
    # TaskRouter's null is an expression that is empty: nobody's queue, not everybody's.
    text = entry.text(
        "target_workers", "" if entry.has("target_workers") else EVERYBODY
    )
    at, dialect = entry.at("target_workers"), scope.dialect

    def read() -> None:
        parse(text, Context.WORKER, at, dialect)
        scope.spend(len(tokens(text)) - 1)

    scope.findings.read(read, None)
    return text


def read_workflow(scope: Scope, entry: Entry) -> Workflow:
    """Read a workflow; its queues may be named by their friendly names."""
    row = Workflow(
        sid=scope.sid(entry, "WW"),
        workspace_sid=scope.workspace.sid,
        friendly_name=scope.name(entry, Workflow),
        configuration=_configuration(scope, entry),
        task_reservation_timeout_seconds=entry.integer(
            "task_reservation_timeout",
            1,
            limits.RESERVATION_TIMEOUT_SECONDS_MAX,
            limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT,
        ),
        assignment_callback_url=_url(scope, entry, "assignment_callback_url"),
        fallback_assignment_callback_url=_url(
            scope, entry, "fallback_assignment_callback_url"
        ),
    )
    entry.close(DROPPED[WORKFLOWS])
    return row


def _url(scope: Scope, entry: Entry, key: str) -> str:
    text, loopback = entry.text(key), scope.allow_loopback
    return scope.findings.read(
        lambda: check_url(text, entry.at(key), allow_loopback=loopback), ""
    )


def _configuration(scope: Scope, entry: Entry) -> str:
    """Return a configuration as text, naming its queues by sid."""
    found = entry.raw("configuration")
    if not isinstance(found, str | dict):
        refusal = "must be given" if found is None else "an object is required"
        entry.note("configuration", refusal)
        return ""
    at, dialect, place = entry.at("configuration"), scope.dialect, scope.place

    def queue(text: str) -> str:
        return scope.queues.get(text) or (place.queue(text) if place else "")

    def read() -> str:
        text = _with_sids(found, at, queue)
        parse_workflow(text, lambda sid: queue(sid) == sid, at, dialect, scope.spend)
        return text

    return scope.findings.read(read, "")


def _with_sids(found: str | JsonObject, at: str, queue: Callable[[str], str]) -> str:
    """Put sids in place of names; a text that has none stays as it is."""
    value, text = found, ""
    if isinstance(value, str):
        text, value = value, decode_document(value, at)
    for holder in _naming_queues(value):
        name = holder.get("queue")
        sid = queue(name) if isinstance(name, str) else ""
        if sid and sid != name:
            holder["queue"], text = sid, ""
    return text or msgspec.json.encode(value).decode()


def _naming_queues(configuration: JsonObject) -> Iterator[JsonObject]:
    """Yield the objects of a configuration that may name a queue."""
    for routing in _objects(configuration.get("task_routing")):
        yield from _objects(routing.get("default_filter"))
        yield from _objects(routing.get("on_exhausted"))
        for each in _objects(routing.get("filters")):
            yield from _objects(each.get("targets"))
            yield from _objects(each.get("on_exhausted"))


def _objects(value: JsonValue) -> Iterator[JsonObject]:
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, dict):
            yield each
