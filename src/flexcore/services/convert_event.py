"""What narrow streams show: snapshots, and events of some workers or a conversation.

Events are bytes, fields of a response, joined of what was encoded once for all streams.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TypeAlias

from google.protobuf.message import Message as AnyMessage

from flexcore import _wire
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import (
    Activity,
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
from flexcore.services.convert_rows import rows_to_proto
from flexcore.services.convert_workspace import add_load
from flexcore.services.encoded import Encoded
from flexcore.services.layout import Layout
from flexcore.v1 import conversation_service_pb2, routing_service_pb2

#: encodes a change set, or knows how others encoded it
Encode: TypeAlias = Callable[[ChangeSet], Encoded]


def snapshot_to_proto(snapshot: Answer) -> routing_service_pb2.ReservationSnapshot:
    """Convert how things stand with a worker."""
    shown = routing_service_pb2.ReservationSnapshot()
    rows_to_proto(shown, snapshot.rows, snapshot.time, snapshot.names)
    add_load(shown.worker_channels, snapshot.rows, shown.worker)
    return shown


def workspace_of(snapshot: Answer) -> str:
    """Return the sid of the workspace of the worker a snapshot is of."""
    return next(row.workspace_sid for row in snapshot.rows if isinstance(row, Worker))


class _Events:
    """Events of a narrow stream: type, sequence, time and the rows they speak of."""

    def __init__(self, event: type[AnyMessage], field: int) -> None:
        self._field = field
        self._rows: Mapping[str, int] = {
            each.message_type.name: each.number
            for each in event.DESCRIPTOR.fields
            if each.message_type and each.name != "time"
        }
        names = [each.name for each in event.DESCRIPTOR.fields]
        self._type = Layout(event, beside=set(names) - {"type"})
        self._time = Layout(event, beside=set(names) - {"time"})
        self._sequence = event.DESCRIPTOR.fields_by_name["sequence"].number

    def told(
        self,
        change_set: ChangeSet,
        encode: Encode,
        tells: Callable[[Row], bool],
    ) -> list[tuple[int, bytes]]:
        """Return events with their sequences, each as a field of a response."""
        rows = change_set.rows()
        found: list[tuple[int, bytes]] = []
        for sequence, event in enumerate(change_set.events, change_set.first_sequence):
            row = rows.get(event.sid)
            if row is None or not tells(row):
                continue
            resources = encode(change_set).resources
            fields = [
                self._type.encode(event),
                _wire.integer(self._sequence, sequence),
                self._time.encode(change_set),
                *(
                    _wire.delimited(
                        self._rows[type(each).__name__], resources[each.sid]
                    )
                    for each in _with_task(row, rows)
                ),
            ]
            found.append((sequence, _wire.delimited(self._field, b"".join(fields))))
        return found


#: both of a worker's streams have them in the same field
_OF_WORKERS = _Events(
    routing_service_pb2.ReservationEvent,
    routing_service_pb2.StreamReservationsResponse.EVENTS_FIELD_NUMBER,
)
_OF_CONVERSATIONS = _Events(
    conversation_service_pb2.ConversationEvent,
    conversation_service_pb2.WatchConversationResponse.EVENTS_FIELD_NUMBER,
)


def worker_events(
    change_set: ChangeSet,
    encode: Encode,
    worker_sids: Container[str],
    workspace_sids: Container[str],
) -> list[tuple[int, bytes]]:
    """Return the events about workers, their channels and their reservations.

    And those about the activities of their workspaces.
    """

    def tells(row: Row) -> bool:
        if isinstance(row, Reservation | WorkerChannel):
            return row.worker_sid in worker_sids
        if isinstance(row, Activity):
            return row.workspace_sid in workspace_sids
        return isinstance(row, Worker) and row.sid in worker_sids

    return _OF_WORKERS.told(change_set, encode, tells)


def conversation_events(
    change_set: ChangeSet, encode: Encode, conversation_sid: str
) -> list[tuple[int, bytes]]:
    """Return the events about a conversation, who takes part and what is said."""
    return _OF_CONVERSATIONS.told(
        change_set, encode, lambda row: _of_conversation(row, conversation_sid)
    )


def _with_task(row: Row, rows: Mapping[str, Row]) -> Iterable[Row]:
    """Return a row, and of a reservation its task too."""
    task = rows.get(row.task_sid) if isinstance(row, Reservation) else None
    return (row, task) if task else (row,)


def _of_conversation(row: Row, sid: str) -> bool:
    if isinstance(row, Participant | Message | Receipt):
        return row.conversation_sid == sid
    return isinstance(row, Conversation) and row.sid == sid
