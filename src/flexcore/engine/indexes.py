"""Rows of an account by kind and a field: who is in a queue, who is free of what.

A field may hold several values, and its row stands under each.

Some of them stand in a line besides, so that the first few cost no look at the others.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from operator import attrgetter

from sortedcontainers import SortedList

from flexcore.domain.model import (
    Activity,
    AddressConfiguration,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Key,
    Participant,
    Reservation,
    Row,
    Sender,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    WorkflowRevision,
    Workspace,
)

#: the rows of a kind whose field has a value
LookUp = tuple[type[Row], str, str]

#: the fields by which rows of a kind are looked up
INDEXES: Mapping[type[Row], tuple[str, ...]] = {
    Activity: ("workspace_sid",),
    TaskChannel: ("workspace_sid",),
    TaskQueue: ("workspace_sid",),
    Workflow: ("workspace_sid",),
    WorkflowRevision: ("workflow_sid",),
    Worker: (
        "workspace_sid",
        "name_key",
        "activity_sid",
        "return_activity_sid",
        "next_activity_sid",
        "available_workspace_sid",
    ),
    WorkerChannel: ("worker_sid",),
    # What Task.open_sids gives, in its order.
    Task: (
        "open_workspace_sid",
        "open_queue_sid",
        "open_workflow_sid",
        "open_revision_sid",
        "open_channel_sid",
        "open_route_sids",
    ),
    Reservation: ("task_sid", "open_task_sid", "open_worker_sid"),
    Participant: ("conversation_sid",),
    Interaction: ("workflow_sid",),
    InteractionChannel: ("interaction_sid",),
    InteractionParticipant: ("interaction_sid",),
    Invite: ("interaction_sid",),
    AddressConfiguration: ("address",),
    Sender: ("address", "endpoint_id"),
    Key: ("account_sid",),
    Workspace: (),
}
#: those whose rows also stand in a line, by a field that never changes
ORDERS: Mapping[tuple[type[Row], str], str] = {
    (Task, "open_revision_sid"): "sequence",
    (Worker, "workspace_sid"): "order",
}


#: what a row has in a field: one value or several
Value = str | tuple[str, ...]


def _values(kind: type[Row]) -> Callable[[Row], tuple[Value, ...]]:
    """Return what reads all indexed fields of a row at once."""
    if kind is Task:
        return attrgetter("open_sids")
    fields = INDEXES[kind]
    if len(fields) > 1:
        return attrgetter(*fields)
    return lambda row: (getattr(row, fields[0]),)


_VALUES: Mapping[type[Row], Callable[[Row], tuple[Value, ...]]] = {
    kind: _values(kind) for kind, fields in INDEXES.items() if fields
}
#: the values of a row that was not there
_NONE = ("",) * max(map(len, INDEXES.values()))


def _each(value: Value) -> tuple[str, ...]:
    """Return the values by which a row is found; an empty one is none."""
    if isinstance(value, tuple):
        return value
    return (value,) if value else ()


class Indexes:
    """Sids by kind, field and value; an empty value stands in none."""

    def __init__(self) -> None:
        self._sids: dict[LookUp, dict[str, None]] = {}
        self._lines: dict[LookUp, SortedList[tuple[int, str]]] = {}

    def sids(self, kind: type[Row], field: str, value: str) -> Collection[str]:
        """Return the sids of rows whose field has a value; not to be changed."""
        return self._sids.get((kind, field, value), ())

    def line(
        self, kind: type[Row], field: str, value: str, after: int
    ) -> Iterator[str]:
        """Yield those sids in their order, behind a place in it; O(log n) and one each."""
        line = self._lines.get((kind, field, value))
        if line is not None:
            for _, sid in line.irange(minimum=(after + 1, "")):
                yield sid

    def follow(self, before: Row | None, row: Row) -> None:
        """Note the values a row has now; O(fields) unless one stands in a line."""
        kind = type(row)
        values = _VALUES.get(kind)
        if values is None:
            return
        after, was = values(row), _NONE if before is None else values(before)
        if after == was:
            return
        for field, value, old in zip(INDEXES[kind], after, was, strict=False):
            if old != value:
                for each in _each(old):
                    self._remove((kind, field, each), row)
                for each in _each(value):
                    self._add((kind, field, each), row)

    def forget(self, row: Row) -> None:
        """Take a row out of all it is in."""
        kind = type(row)
        if kind in _VALUES:
            for field, value in zip(INDEXES[kind], _VALUES[kind](row), strict=True):
                for each in _each(value):
                    self._remove((kind, field, each), row)

    def _add(self, key: LookUp, row: Row) -> None:
        kind, field, _ = key
        self._sids.setdefault(key, {})[row.sid] = None
        order = ORDERS.get((kind, field))
        if order is not None:
            line = self._lines.setdefault(key, SortedList())
            line.add((getattr(row, order), row.sid))

    def _remove(self, key: LookUp, row: Row) -> None:
        kind, field, _ = key
        sids = self._sids[key]
        del sids[row.sid]
        order = ORDERS.get((kind, field))
        if order is not None:
            self._lines[key].remove((getattr(row, order), row.sid))
        if not sids:
            del self._sids[key]
            self._lines.pop(key, None)
