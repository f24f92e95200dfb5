"""Change sets as protos: whole, or what one worker or one conversation sees of them."""

import itertools
from collections.abc import Container, Iterable, Sequence

from flexcore.domain.log import Cause, ChangeSet, Event, LogFilter
from flexcore.domain.model import (
    Conversation,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Worker,
    WorkerChannel,
)
from flexcore.engine.commands import Answer
from flexcore.services.convert import numbers, time_to_proto
from flexcore.services.convert_rows import rows_to_proto
from flexcore.services.convert_workspace import add_load
from flexcore.v1 import conversation_service_pb2, event_pb2, routing_service_pb2

_ALL = LogFilter()

CAUSE = numbers(event_pb2.ChangeSetCause, "CHANGE_SET_CAUSE", Cause)


def change_set_to_proto(
    change_set: ChangeSet, log_filter: LogFilter = _ALL
) -> event_pb2.ChangeSet | None:
    """Convert the part of a change set that a filter shows; None if that is nothing."""
    if log_filter == _ALL:
        every = itertools.repeat(True, len(change_set.events))
        return _shown(change_set, every, everything=True)
    rows = change_set.rows()
    shown = [log_filter.shows(event, rows) for event in change_set.events]
    return _shown(change_set, shown, everything=False)


def _shown(
    change_set: ChangeSet, choice: Iterable[bool], *, everything: bool
) -> event_pb2.ChangeSet | None:
    """Convert the events chosen, with their resources or with all there are."""
    numbered = enumerate(change_set.events, change_set.first_sequence)
    shown = [
        _event_to_proto(event, sequence)
        for sequence, event in itertools.compress(numbered, choice)
    ]
    if not shown:
        return None
    sids = {event.sid for event in shown}
    resources = (
        rows_to_proto(event_pb2.Resource(), (row,), change_set.time)
        for row in change_set.resources
        if everything or row.sid in sids
    )
    return event_pb2.ChangeSet(
        first_sequence=change_set.first_sequence,
        last_sequence=change_set.last_sequence,
        time=time_to_proto(change_set.time),
        command_id=change_set.command_id,
        actor=change_set.actor,
        cause=CAUSE[change_set.cause],
        events=shown,
        resources=[found for found in resources if found.WhichOneof("resource")],
        deleted=[sid for sid in change_set.deleted if everything or sid in sids],
    )


def change_set_parts(
    change_set: event_pb2.ChangeSet, most: int
) -> Sequence[event_pb2.ChangeSet]:
    """Cut a change set into parts of about `most` bytes.

    Each has its events with the resources they speak of, each resource once; the last
    ones hold the resources no event speaks of.
    """
    if change_set.ByteSize() <= most:
        return (change_set,)
    head = event_pb2.ChangeSet()
    head.CopyFrom(change_set)
    for field in ("events", "resources", "deleted"):
        head.ClearField(field)
    rest = {_sid_of(resource): resource for resource in change_set.resources}
    gone = set(change_set.deleted)
    parts: list[event_pb2.ChangeSet] = []
    full = most
    for events, sid in [
        *(((e,), e.sid) for e in change_set.events),
        *(((), s) for s in [*rest]),
    ]:
        told = [rest.pop(sid)] if sid in rest else []
        size = sum(each.ByteSize() for each in (*events, *told))
        if full + size > most:
            parts.append(event_pb2.ChangeSet())
            parts[-1].CopyFrom(head)
            full = 0
        full += size
        parts[-1].events.extend(events)
        parts[-1].resources.extend(told)
        if sid in gone:
            gone.discard(sid)
            parts[-1].deleted.append(sid)
    return parts


def _sid_of(resource: event_pb2.Resource) -> str:
    return str(getattr(resource, str(resource.WhichOneof("resource"))).sid)


def snapshot_to_proto(snapshot: Answer) -> routing_service_pb2.ReservationSnapshot:
    """Convert how things stand with a worker."""
    shown = routing_service_pb2.ReservationSnapshot()
    rows_to_proto(shown, snapshot.rows, snapshot.time, snapshot.names)
    add_load(shown.worker_channels, snapshot.rows, shown.worker)
    return shown


def worker_events(
    change_set: ChangeSet, worker_sids: Container[str]
) -> list[routing_service_pb2.ReservationEvent]:
    """Convert the events about workers, their channels and their reservations."""
    rows = change_set.rows()
    time = time_to_proto(change_set.time)
    found = []
    for sequence, event in enumerate(change_set.events, change_set.first_sequence):
        row = rows.get(event.sid)
        if row is None or not _of_worker(row, worker_sids):
            continue
        shown = routing_service_pb2.ReservationEvent(
            type=event.type, sequence=sequence, time=time
        )
        beside = rows.get(row.task_sid) if isinstance(row, Reservation) else None
        told = (row, beside) if beside else (row,)
        found.append(rows_to_proto(shown, told, change_set.time))
    return found


def conversation_events(
    change_set: ChangeSet, conversation_sid: str
) -> list[conversation_service_pb2.ConversationEvent]:
    """Convert the events about a conversation, who takes part and what is said."""
    rows = change_set.rows()
    time = time_to_proto(change_set.time)
    found = []
    for sequence, event in enumerate(change_set.events, change_set.first_sequence):
        row = rows.get(event.sid)
        if row is None or not _of_conversation(row, conversation_sid):
            continue
        shown = conversation_service_pb2.ConversationEvent(
            type=event.type, sequence=sequence, time=time
        )
        found.append(rows_to_proto(shown, (row,)))
    return found


def _of_worker(row: Row, sids: Container[str]) -> bool:
    if isinstance(row, Reservation | WorkerChannel):
        return row.worker_sid in sids
    return isinstance(row, Worker) and row.sid in sids


def _of_conversation(row: Row, sid: str) -> bool:
    if isinstance(row, Participant | Message | Receipt):
        return row.conversation_sid == sid
    return isinstance(row, Conversation) and row.sid == sid


def _event_to_proto(event: Event, sequence: int) -> event_pb2.Event:
    message = event_pb2.Event(
        type=event.type,
        sid=event.sid,
        version=event.version,
        sequence=sequence,
        place_sid=event.place,
        place_time=time_to_proto(event.since),
        reason=event.reason,
    )
    if event.type == "worker.capacity.update" and event.value:
        message.previous_capacity = int(event.value)
    elif event.value:
        message.known_worker = event.value
    return message
