"""Writing a workspace document: rows become JSON text that `reader.py` reads.

The same rows give the same text. Keys have a fixed order; where an entry refers to
another it names its sid, but a task channel by its unique name, which never changes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from flexcore.domain.attributes import JsonObject
from flexcore.domain.documents.fields import (
    ACTIVITIES,
    CHANNELS,
    TASK_CHANNELS,
    TASK_QUEUES,
    WORKERS,
    WORKFLOWS,
    WORKSPACE,
)
from flexcore.domain.model import (
    Activity,
    Row,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)

#: what a document lists, in the order it does
SECTIONS: Mapping[type[Row], str] = {
    Activity: ACTIVITIES,
    TaskChannel: TASK_CHANNELS,
    TaskQueue: TASK_QUEUES,
    Workflow: WORKFLOWS,
    Worker: WORKERS,
}


def write_document(rows: Iterable[Row], rooms: Mapping[str, Sequence[Row]]) -> str:
    """Return a document of these rows; `rooms` are the channels of its workers."""
    document: dict[str, Any] = {}
    for row in rows:
        if isinstance(row, Workspace):
            document[WORKSPACE] = _workspace(row)
            continue
        entry = _ENTRIES[type(row)](row)
        if isinstance(row, Worker):
            here = (each for each in rooms[row.sid] if isinstance(each, WorkerChannel))
            entry[CHANNELS] = [_room(each) for each in sorted(here, key=_name)]
        document.setdefault(SECTIONS[type(row)], []).append(entry)
    return msgspec.json.encode(document).decode()


def _workspace(row: Workspace) -> JsonObject:
    return {
        "sid": row.sid,
        "friendly_name": row.friendly_name,
        "semantics": str(row.semantics),
        "policies": {**row.policies},
        "prioritize_queue_order": row.prioritize_queue_order,
        "default_activity_sid": row.default_activity_sid,
        "timeout_activity_sid": row.timeout_activity_sid,
        "vanished_queue_sid": row.vanished_queue_sid,
    }


def _activity(row: Activity) -> JsonObject:
    return {
        "sid": row.sid,
        "friendly_name": row.friendly_name,
        "available": row.available,
    }


def _task_channel(row: TaskChannel) -> JsonObject:
    return {
        "sid": row.sid,
        "unique_name": row.unique_name,
        "friendly_name": row.friendly_name,
        "channel_optimized_routing": row.channel_optimized_routing,
    }


def _task_queue(row: TaskQueue) -> JsonObject:
    return {
        "sid": row.sid,
        "friendly_name": row.friendly_name,
        "target_workers": row.target_workers,
        "max_reserved_workers": row.max_reserved_workers,
        "task_order": row.task_order,
        "policies": {**row.policies},
    }


def _workflow(row: Workflow) -> JsonObject:
    return {
        "sid": row.sid,
        "friendly_name": row.friendly_name,
        "task_reservation_timeout": row.task_reservation_timeout_seconds,
        "configuration": msgspec.json.decode(row.configuration),
        "assignment_callback_url": row.assignment_callback_url,
        "fallback_assignment_callback_url": row.fallback_assignment_callback_url,
    }


def _worker(row: Worker) -> JsonObject:
    return {
        "sid": row.sid,
        "friendly_name": row.friendly_name,
        "activity_sid": row.activity_sid,
        "attributes": msgspec.json.decode(row.attributes),
    }


def _room(row: WorkerChannel) -> JsonObject:
    return {
        "sid": row.sid,
        "task_channel_unique_name": row.task_channel_unique_name,
        "configured_capacity": row.configured_capacity,
        "available": row.available,
    }


def _name(row: WorkerChannel) -> str:
    return row.task_channel_unique_name


_ENTRIES: Mapping[type[Row], Callable[[Any], dict[str, Any]]] = {
    Activity: _activity,
    TaskChannel: _task_channel,
    TaskQueue: _task_queue,
    Workflow: _workflow,
    Worker: _worker,
}
