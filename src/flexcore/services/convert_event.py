"""Change sets as protos: whole, or what one worker or one conversation sees of them."""

import itertools
from collections.abc import Collection, Sequence

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
from flexcore.services.convert import numbers, time_to_proto
from flexcore.services.convert_rows import rows_to_proto
from flexcore.v1 import conversation_service_pb2, event_pb2, routing_service_pb2

CAUSE = numbers(event_pb2.ChangeSetCause, "CHANGE_SET_CAUSE", Cause)


def change_set_to_proto(
    change_set: ChangeSet, types: Collection[str] = ()
) -> event_pb2.ChangeSet | None:
    """Convert a change set, or the part of it with events of `types`; None if empty."""
    return _shown(
        change_set,
        [
            not types or event.type in types or event.type.partition(".")[0] in types
            for event in change_set.events
        ],
        everything=not types,
    )


def found_to_proto(
    change_set: ChangeSet, log_filter: LogFilter
) -> event_pb2.ChangeSet | None:
    """Convert the part of a change set that a filter shows; None if that is nothing."""
    rows = change_set.rows()
    shown = [log_filter.shows(event, rows) for event in change_set.events]
    return _shown(change_set, shown, everything=log_filter == LogFilter())


def _shown(
    change_set: ChangeSet, choice: Sequence[bool], *, everything: bool
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


def worker_events(
    change_set: ChangeSet, worker_sid: str
) -> list[routing_service_pb2.ReservationEvent]:
    """Convert the events about a worker, its channels and its reservations."""
    rows = change_set.rows()
    time = time_to_proto(change_set.time)
    found = []
    for sequence, event in enumerate(change_set.events, change_set.first_sequence):
        row = rows.get(event.sid)
        if row is None or not _of_worker(row, worker_sid):
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


def _of_worker(row: Row, sid: str) -> bool:
    if isinstance(row, Reservation | WorkerChannel):
        return row.worker_sid == sid
    return isinstance(row, Worker) and row.sid == sid


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
