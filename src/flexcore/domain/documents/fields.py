"""The fields of a workspace document: its sections, and what is dropped of TaskRouter's.

    {"workspace": {...}, "activities": [...], "task_channels": [...],
     "task_queues": [...], "workflows": [...], "workers": [{..., "channels": [...]}]}

Keys are TaskRouter's own where it has them. What its resources say besides means nothing
here and is dropped; whoever imports is told which fields and why. docs/migrating.md
explains the rest.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject, JsonValue, decode_object

WORKSPACE = "workspace"
ACTIVITIES = "activities"
TASK_CHANNELS = "task_channels"
TASK_QUEUES = "task_queues"
WORKFLOWS = "workflows"
WORKERS = "workers"
#: the target workers of a task queue that does not say
EVERYBODY = "1==1"
#: of a worker
CHANNELS = "channels"

_ANYWHERE = {
    "account_sid": "the account is that of the key",
    "date_created": "it is created when it is imported",
    "date_updated": "it is created when it is imported",
    "url": "resources are named by their sids",
    "links": "resources are named by their sids",
}
_WITHIN = {**_ANYWHERE, "workspace_sid": "the workspace is that of the document"}
_SINGLE_TASKING = "offers and tasks do not change what a worker is doing"
_UNITS = "there are no operating units"
_COUNTED = "it follows from what the worker holds"

#: what is dropped of an entry of each section, and why
DROPPED: Mapping[str, Mapping[str, str]] = {
    WORKSPACE: {
        **_ANYWHERE,
        "event_callback_url": "events are read with WatchEvents",
        "events_filter": "events are read with WatchEvents, which takes types",
        "multi_task_enabled": "every workspace is so",
    },
    ACTIVITIES: _WITHIN,
    TASK_CHANNELS: _WITHIN,
    TASK_QUEUES: {
        **_WITHIN,
        "reservation_activity_sid": _SINGLE_TASKING,
        "reservation_activity_name": _SINGLE_TASKING,
        "assignment_activity_sid": _SINGLE_TASKING,
        "assignment_activity_name": _SINGLE_TASKING,
        "operating_unit_sid": _UNITS,
    },
    WORKFLOWS: {
        **_WITHIN,
        "document_content_type": "a configuration is JSON",
    },
    WORKERS: {
        **_WITHIN,
        "available": "it follows from the activity",
        "date_status_changed": "the activity begins with the import",
        "operating_unit_sid": _UNITS,
    },
    CHANNELS: {
        **_WITHIN,
        "worker_sid": "it is the worker the channel is listed at",
        "assigned_tasks": _COUNTED,
        "available_capacity_percentage": _COUNTED,
    },
}


def decode_document(text: str) -> JsonObject:
    """Decode the text of a document; what it says is not checked."""
    return decode_object(
        text.removeprefix("\ufeff"),  # exported files may begin with a byte-order mark
        "document",
        size_max=limits.DOCUMENT_BYTES,
        keys_max=limits.DOCUMENT_KEYS,
        depth_max=limits.DOCUMENT_DEPTH,
    )


def dropped(document: JsonObject) -> Sequence[str]:
    """Return a line for each field that is dropped of a document that was taken."""
    counts = Counter(
        (section, place, key)
        for section, place, entry in _entries(document)
        for key in entry
        if key in DROPPED[section] and entry[key] is not None
    )
    return [
        f"{place}.{key} is dropped ({count}): {DROPPED[section][key]}"
        for (section, place, key), count in counts.items()
    ]


def _entries(document: JsonObject) -> Iterator[tuple[str, str, JsonObject]]:
    """Yield every entry with its section and where it stands."""
    for section in DROPPED:
        for entry in _objects(document.get(section)):
            place = section if section == WORKSPACE else f"{section}[]"
            yield section, place, entry
            for below in _objects(entry.get(CHANNELS)) if section == WORKERS else ():
                yield CHANNELS, f"{place}.{CHANNELS}[]", below


def _objects(value: JsonValue) -> Iterator[JsonObject]:
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, dict):
            yield each
