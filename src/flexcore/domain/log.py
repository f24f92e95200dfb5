"""The log: what a change set is, and how it is written down.

A change set is everything one command changed: its events in order, and each touched
resource once, as it is afterwards. Sequences count events and have no gaps within an
account, so a change set spans `first_sequence` to `last_sequence`. Streams, webhooks,
statistics, audit and replay all read this one log.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from flexcore.domain.model import Resource


class Cause(StrEnum):
    """What made a change set happen."""

    REQUEST = "request"
    TIMER = "timer"
    PROVIDER = "provider"
    POLICY = "policy"


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One fact: its type, the resource, and the resource's version afterwards.

    `place` is what rows do not tell when a change set takes a resource through several
    places: the queue of an event `task-queue.*` of a task, the one left if it is `moved`;
    the activity a worker left. `since` is when the resource had come there; 0 for an event
    `task-queue.entered` of a task that was there already and enters its next step.
    `reason` and `value` are why a known worker is missing and who was asked for; `value`
    is the capacity before a `worker.capacity.update`.
    """

    type: str
    sid: str
    version: int
    place: str = ""
    since: int = 0
    reason: str = ""
    value: str = ""


class ChangeSet(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One log row.

    `deleted` names the resources that are no more; they stand in `resources` once more,
    as they were last.
    `answer` names the resources that the caller was given, so that a repeated request
    is answered from here; `beside` are those among them that were not touched.
    `subjects` are the workers and conversations a narrow stream of which must see this
    change set; and the workspaces of changed activities, which all their workers must.
    """

    account_sid: str
    first_sequence: int
    last_sequence: int
    time: int
    command_id: str
    actor: str
    cause: Cause
    events: tuple[Event, ...]
    resources: tuple[Resource, ...]
    deleted: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    beside: tuple[Resource, ...] = ()
    subjects: tuple[str, ...] = ()

    def rows(self) -> dict[str, Resource]:
        """Return the touched resources by sid."""
        return {row.sid: row for row in self.resources}


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events somebody wants to see: those that match every field that is set.

    `types` are types, or their first word for all that begin with it.
    """

    types: frozenset[str] = frozenset()
    workspace_sid: str = ""
    workflow_sid: str = ""
    task_queue_sid: str = ""
    task_channel_sid: str = ""
    task_sid: str = ""
    reservation_sid: str = ""
    worker_sid: str = ""
    conversation_sid: str = ""
    interaction_sid: str = ""

    @property
    def subject(self) -> str:
        """The worker or conversation whose index holds all that is shown; "" if none."""
        return self.worker_sid or self.conversation_sid

    def finds(self, change_set: ChangeSet) -> bool:
        """Say whether any event of a change set is shown."""
        rows = change_set.rows()
        return any(self.shows(event, rows) for event in change_set.events)

    def shows(self, event: Event, rows: Mapping[str, Resource]) -> bool:
        """Say whether an event is shown, given the resources it came with."""
        if self.types and not (
            event.type in self.types or event.type.partition(".")[0] in self.types
        ):
            return False
        row = rows.get(event.sid)
        return all(
            wanted == _named(event, row, field)
            for field in _NAMING.values()
            if (wanted := getattr(self, field))
        )


#: the field of a filter by the prefix of the sids it names
_NAMING = {
    "WS": "workspace_sid",
    "WW": "workflow_sid",
    "WQ": "task_queue_sid",
    "TC": "task_channel_sid",
    "WT": "task_sid",
    "WR": "reservation_sid",
    "WK": "worker_sid",
    "CH": "conversation_sid",
    "KD": "interaction_sid",
}


def _named(event: Event, row: Resource | None, field: str) -> str:
    """Return what an event is about, in one respect."""
    if field == "task_queue_sid" and event.place.startswith("WQ"):
        return event.place
    if _NAMING.get(event.sid[:2]) == field:
        return event.sid
    return getattr(row, field, "")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ChangeSet)
_row_decoder = msgspec.msgpack.Decoder(Resource)

encode_change_set = _encoder.encode
decode_change_set = _decoder.decode
encode_row = _encoder.encode
decode_row = _row_decoder.decode
encode_rows = _encoder.encode
decode_rows = msgspec.msgpack.Decoder(tuple[Resource, ...]).decode
