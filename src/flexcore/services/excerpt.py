"""Excerpts: what WatchEvents and ListEvents show of a change set, in bytes."""

from collections.abc import Sequence
from itertools import chain

from flexcore import _wire
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.services.encoded import Encoded, encode
from flexcore.v1 import event_pb2

_ALL = LogFilter()
_CHANGE_SET = event_pb2.ChangeSet
#: the field of a resource by the kind of its row
_RESOURCES = {
    field.message_type.name: field.number
    for field in event_pb2.Resource.DESCRIPTOR.fields
    if field.message_type
}


class Excerpt:
    """The events of a change set that a filter shows, and the resources they speak of.

    Without a filter it is all there is, also the resources no event speaks of.
    """

    def __init__(
        self, change_set: ChangeSet, encoded: Encoded, log_filter: LogFilter = _ALL
    ) -> None:
        everything = log_filter == _ALL
        rows = {} if everything else change_set.rows()
        self._head = encoded.head
        #: the sid each is about, and the event as a field of a change set
        self._events = [
            (event.sid, field)
            for event, field in zip(change_set.events, encoded.events, strict=True)
            if everything or log_filter.shows(event, rows)
        ]
        sids = {sid for sid, _ in self._events}
        self._resources = {
            row.sid: _resource(number, encoded.resources[row.sid])
            for row in change_set.resources
            if (everything or row.sid in sids)
            and (number := _RESOURCES.get(type(row).__name__))
        }
        self._deleted = {
            sid: _wire.delimited(_CHANGE_SET.DELETED_FIELD_NUMBER, sid.encode())
            for sid in change_set.deleted
            if everything or sid in sids
        }

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def whole(self) -> bytes:
        """The change set, as one message."""
        events = (field for _, field in self._events)
        rest = chain(events, self._resources.values(), self._deleted.values())
        return self._head + b"".join(rest)

    def parts(self, most: int) -> Sequence[bytes]:
        """Return it whole, or cut into change sets of about `most` bytes; none if empty.

        Each has its events with the resources they speak of, each resource once; the last
        ones hold the resources no event speaks of.
        """
        if not self:
            return ()
        whole = self.whole
        if len(whole) <= most:
            return (whole,)
        parts: list[list[bytes]] = []
        full = most
        told = set[str]()
        silent = ((sid, b"") for sid in self._resources)
        for sid, event in chain(self._events, silent):
            piece = event
            if sid not in told:
                told.add(sid)
                piece += self._resources.get(sid, b"") + self._deleted.get(sid, b"")
            if full + len(piece) > most:
                parts.append([self._head])
                full = 0
            full += len(piece)
            parts[-1].append(piece)
        return [b"".join(part) for part in parts]


def change_set_to_proto(
    change_set: ChangeSet, log_filter: LogFilter = _ALL
) -> event_pb2.ChangeSet | None:
    """Convert the part of a change set that a filter shows; None if that is nothing."""
    excerpt = Excerpt(change_set, encode(change_set), log_filter)
    return _CHANGE_SET.FromString(excerpt.whole) if excerpt else None


def _resource(number: int, row: bytes) -> bytes:
    resource = _wire.delimited(number, row)
    return _wire.delimited(_CHANGE_SET.RESOURCES_FIELD_NUMBER, resource)
