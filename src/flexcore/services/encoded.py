"""Change sets encoded once: what streams of every kind are put together from.

The bytes of a message are those of its fields one after the other. So a row that is
encoded already is a part of whatever tells of it, and streams that show different things
of a change set differ in what they join.
"""

import msgspec

from flexcore import _wire
from flexcore.domain.log import Cause, ChangeSet, Event
from flexcore.services.convert import numbers
from flexcore.services.convert_rows import TO_PROTO, encode_row
from flexcore.services.layout import Layout
from flexcore.v1 import event_pb2

CAUSE = numbers(event_pb2.ChangeSetCause, "CHANGE_SET_CAUSE", Cause)
#: bytes an object of bytes takes besides what it holds, with its place in a collection
_PIECE_BYTES = 60

_CHANGE_SET = event_pb2.ChangeSet
_HEAD = Layout(_CHANGE_SET, beside=("events", "resources", "deleted"), cause=CAUSE)
_CAPACITY = "worker.capacity.update"
_EVENT = Layout(
    event_pb2.Event,
    beside=("sequence",),
    place_sid="place",
    place_time="since",
    known_worker=lambda event: "" if event.type == _CAPACITY else event.value,
    previous_capacity=lambda event: (
        int(event.value) if event.type == _CAPACITY and event.value else None
    ),
)
_SEQUENCE = event_pb2.Event.SEQUENCE_FIELD_NUMBER


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A change set: the head of its proto, its events, and its resources by sid.

    Events are fields of the proto; resources are not, since others tell of them too.
    """

    head: bytes
    events: tuple[bytes, ...]
    resources: dict[str, bytes]

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        pieces = (self.head, *self.events, *self.resources.values())
        return sum(map(len, pieces)) + len(pieces) * _PIECE_BYTES


def encode(change_set: ChangeSet) -> Encoded:
    """Encode a change set; of its resources those that have a proto."""
    time = change_set.time
    return Encoded(
        head=_HEAD.encode(change_set),
        events=tuple(
            _event(event, sequence)
            for sequence, event in enumerate(
                change_set.events, change_set.first_sequence
            )
        ),
        resources={
            row.sid: encode_row(row, time)
            for row in change_set.resources
            if type(row) in TO_PROTO
        },
    )


def _event(event: Event, sequence: int) -> bytes:
    fields = _EVENT.encode(event) + _wire.integer(_SEQUENCE, sequence)
    return _wire.delimited(_CHANGE_SET.EVENTS_FIELD_NUMBER, fields)
