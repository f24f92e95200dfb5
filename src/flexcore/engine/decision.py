"""One decision: what a command changes, collected until it is whole, or undone.

Handlers change rows only through a Decision. When a handler raises, `undo` puts every
row and look-up back; when it returns, `commit` makes the change set.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import Aborted, NotFound, ResourceExhausted
from flexcore.domain.ids import RESOURCES, Ids
from flexcore.domain.log import Cause, ChangeSet, Event, encode_change_set, encode_row
from flexcore.domain.model import (
    Activity,
    Conversation,
    Interaction,
    InteractionChannel,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Task,
    Worker,
    WorkerChannel,
)
from flexcore.engine.state import State
from flexcore.store.interface import (
    Commit,
    Found,
    InboxEntry,
    OutboxEntry,
    Pair,
    RequestEntry,
)

R = TypeVar("R", bound=Row)

#: where a row is and since when, by the fields that say so
_PLACES: dict[type[Row], tuple[str, str]] = {
    Task: ("task_queue_sid", "queue_entered_time"),
    Worker: ("activity_sid", "activity_time"),
}
#: rows that tell something about their conversation
_IN_CONVERSATION = (Participant, Message, Receipt, Interaction, InteractionChannel)
#: events of which the place left is told
_LEAVING = frozenset({"task-queue.moved", "worker.activity.update"})
#: attributes are the bulk of a row, and bounded
_ROWS_OF_ANY_SIZE = limits.CHANGE_SET_BYTES // (limits.ATTRIBUTES_BYTES + 4_096)


class Decision:
    """Rows, events and machinery of one command at one time."""

    def __init__(
        self,
        state: State,
        ids: Ids,
        now: int,
        actor: str = "",
        cause: Cause = Cause.REQUEST,
        command_id: str = "",
    ) -> None:
        self.state = state
        self.ids = ids
        self.now = now
        self.actor = actor
        self.cause = cause
        self.command_id = command_id
        #: rows as they were before, None for new ones, in the order first touched
        self.touched: dict[str, Row | None] = {}
        self._unsynced: dict[str, Row | None] = {}
        #: those among them that are no more, as they were last
        self.deleted: dict[str, Row] = {}
        self._events: list[Event] = []
        #: the place each row was in before the one it is in, and since when
        self._left: dict[str, tuple[str, int]] = {}
        #: rows that came into a place and no event has said so yet
        self._arrived: set[str] = set()
        self._lookups: list[tuple[str, tuple[Found, int] | None]] = []
        self.pairs: list[Pair] = []
        self.outbox: dict[str, OutboxEntry] = {}
        self.inbox: InboxEntry | None = None
        self.request: RequestEntry | None = None
        self.watermark = 0
        #: how many microseconds before `now` the next row counts as created
        self._before = 0
        state.stamp += 1

    # reading

    def get(self, sid: str, kind: type[R]) -> R:
        """Return the row `sid`; NotFound if this account has none of this kind."""
        row = self.state.find(sid, kind)
        if row is None:
            raise NotFound(RESOURCES.get(sid[:2], "resource"), sid)
        return row

    def expect(self, row: Row, version: int) -> None:
        """Raise Aborted unless `version` is the row's (0 = whatever it is)."""
        if version and version != row.version:
            raise Aborted(
                f"version {version} stated, {row.sid} is at version {row.version}",
                metadata={"sid": row.sid, "version": str(row.version)},
            )

    @property
    def next_sequence(self) -> int:
        """The sequence the next event will get."""
        return self.last_sequence + 1

    @property
    def has_events(self) -> bool:
        """Say whether there will be a change set."""
        return bool(self._events)

    @property
    def last_sequence(self) -> int:
        """The sequence of the last event recorded so far."""
        return self.state.sequence + len(self._events)

    # changing

    def create(self, row: R, event: str | None = None) -> R:
        """Add a new row, created now."""
        time = self.now - self._before
        self._before = max(0, self._before - 1)
        row = row.evolve(create_time=time, update_time=time)
        self._put(row)
        if event:
            self.emit(event, row)
        return row

    def line_up(self, count: int) -> None:
        """Let the next `count` rows be created a microsecond apart, the last one now.

        Lists go by the time of creation: they keep the order that one decision gave.
        """
        self._before = count - 1

    def change(self, row: R, event: str | None = None, **changes: Any) -> R:
        """Change fields of a row; its version grows by one."""
        after = row.evolve(**changes, version=row.version + 1, update_time=self.now)
        return self._replaced(after, event)

    def update(self, row: R, after: R, event: str) -> R:
        """Put `after` in place of `row`; what changes nothing is no event."""
        return row if after == row else self.replace(row, after, event)

    def replace(self, row: R, after: R, event: str | None = None) -> R:
        """Put a changed row in place of `row`; its version grows by one."""
        after = after.evolve(version=row.version + 1, update_time=self.now)
        return self._replaced(after, event)

    def _replaced(self, after: R, event: str | None) -> R:
        self._put(after)
        if event:
            self.emit(event, after)
        return after

    def keep(self, row: R, **changes: Any) -> R:
        """Change what is kept for the matcher; nobody's version grows by that."""
        after = row.evolve(**changes)
        self._put(after)
        return after

    def delete(self, row: Row, event: str | None = None) -> None:
        """Remove a row for good; whoever asks for it afterwards is told NOT_FOUND."""
        before = self.state.rows[row.sid]
        self.touched.setdefault(row.sid, before)
        self._unsynced.setdefault(row.sid, before)
        self.state.drop(row.sid)
        self.deleted[row.sid] = row
        self.remember(row.sid, None)
        if event:
            self.emit(event, row)

    def row_of(self, sid: str) -> Row:
        """Return a touched row as it is now, or as it was last."""
        return self.deleted.get(sid) or self.state.rows[sid]

    def emit(self, event: str, row: Row, reason: str = "", value: str = "") -> None:
        """Record a fact about a row as it is now."""
        place, since = self._place(event, row)
        self._events.append(
            Event(event, row.sid, row.version, place, since, reason, value)
        )

    def _place(self, event: str, row: Row) -> tuple[str, int]:
        """Return what the rows of a change set may not tell of an event."""
        if event in _LEAVING:
            return self._left.get(row.sid, ("", 0))
        if not isinstance(row, Task) or not event.startswith("task-queue."):
            return "", 0
        since = row.queue_entered_time
        if event == "task-queue.entered":
            since = since if row.sid in self._arrived else 0
            self._arrived.discard(row.sid)
        return row.task_queue_sid, since

    def remember(self, key: str, found: Found) -> None:
        """Write a look-up that the store will give the same way after the commit."""
        self._lookups.append((key, self.state.remember(key, found)))

    def bind(self, address: str, proxy_address: str, conversation_sid: str) -> None:
        """Bind a pair of addresses to a conversation; an empty sid releases it."""
        self.pairs.append(Pair(address, proxy_address, conversation_sid))
        self.remember(pair_key(address, proxy_address), conversation_sid or None)

    def _put(self, row: Row) -> None:
        before = self.state.put(row)
        if type(row) in _PLACES:
            self._note_place(before, row)
        self.touched.setdefault(row.sid, before)
        self._unsynced.setdefault(row.sid, before)
        self.state.note(row)

    def _note_place(self, before: Row | None, row: Row) -> None:
        place, since = _PLACES[type(row)]
        left = "" if before is None else getattr(before, place)
        if left != getattr(row, place):
            self._left[row.sid] = (
                left,
                0 if before is None else getattr(before, since),
            )
            self._arrived.add(row.sid)

    def unsynced(self) -> Mapping[str, Row | None]:
        """Return rows as they were when this was last asked, in the order touched."""
        rows, self._unsynced = self._unsynced, {}
        return rows

    # ending

    def undo(self) -> None:
        """Put everything back as it was."""
        for key, before in reversed(self._lookups):
            self.state.restore(key, before)
        for sid, row in reversed(self.touched.items()):
            if row is None:
                if sid not in self.deleted:
                    self.state.drop(sid)
            else:
                self.state.put(row)

    def empty(self) -> bool:
        """Say whether there is nothing to write."""
        return not (
            self._events
            or self.touched
            or self.outbox
            or self.inbox
            or self.pairs
            or self.watermark
        )

    @property
    def half_full(self) -> bool:
        """Say whether more should be left to a decision of its own."""
        return (
            2 * len(self._events) > limits.CHANGE_SET_EVENTS
            or 2 * len(self.touched) > limits.CHANGE_SET_RESOURCES
        )

    def check_limits(self) -> None:
        """Raise ResourceExhausted when one decision changes too much at once."""
        for count, most, what in (
            (len(self._events), limits.CHANGE_SET_EVENTS, "cause {} events"),
            (len(self.touched), limits.CHANGE_SET_RESOURCES, "change {} resources"),
            (self._size(), limits.CHANGE_SET_BYTES, "write {} bytes"),
        ):
            if count > most:
                raise ResourceExhausted(
                    f"one call may {what.format(most)}, this one would {what.format(count)}",
                    metadata={"limit": str(most)},
                )

    def _size(self) -> int:
        """Return the bytes of the touched rows; 0 when so few are surely small enough."""
        if len(self.touched) <= _ROWS_OF_ANY_SIZE:
            return 0
        return sum(len(encode_row(self.row_of(sid))) for sid in self.touched)

    def commit(self, answer: tuple[Row, ...]) -> Commit:
        """Close the decision: number its events and make what the store writes."""
        assert self._events or not self.touched, "a row was changed without an event"
        change_set = None
        body = b""
        if self._events:
            change_set = self._change_set(answer)
            body = encode_change_set(change_set)
            self.state.sequence = change_set.last_sequence
        return Commit(
            account_sid=self.state.account_sid,
            epoch=self.state.epoch,
            change_set=change_set,
            body=body,
            pairs=tuple(self.pairs),
            request=self.request,
            inbox=self.inbox,
            outbox=tuple(self.outbox.values()),
            watermark=self.watermark,
        )

    def _change_set(self, answer: tuple[Row, ...]) -> ChangeSet:
        rows = tuple(self.row_of(sid) for sid in self.touched)
        first = self.state.sequence + 1
        return ChangeSet(
            account_sid=self.state.account_sid,
            first_sequence=first,
            last_sequence=first + len(self._events) - 1,
            time=self.now,
            command_id=self.command_id,
            actor=self.actor,
            cause=self.cause,
            events=tuple(self._events),
            resources=rows,  # type: ignore[arg-type]  # every Row is a Resource
            deleted=tuple(self.deleted),
            answer=tuple(row.sid for row in answer),
            beside=tuple(
                row  # type: ignore[misc]  # likewise
                for row in answer
                if row.sid not in self.touched
            ),
            subjects=subjects_of(rows),
        )


def subjects_of(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """Return the workers and conversations that rows tell something about.

    An activity is told to every worker of its workspace, by one subject for all of them.
    """
    subjects: dict[str, None] = {}
    for row in rows:
        if isinstance(row, Reservation | WorkerChannel):
            subjects[row.worker_sid] = None
        elif isinstance(row, Worker | Conversation):
            subjects[row.sid] = None
        elif isinstance(row, _IN_CONVERSATION):
            subjects[row.conversation_sid] = None
        elif isinstance(row, Activity):
            subjects[row.workspace_sid] = None
    return tuple(subjects)


def pair_key(address: str, proxy_address: str) -> str:
    """Return the look-up key of a pair of addresses, which hold no spaces."""
    return f"pair|{address} {proxy_address}"


def request_key(actor: str, method: str, request_id: str) -> str:
    """Return the look-up key of a request."""
    return f"request|{actor}|{method}|{request_id}"


def inbox_key(endpoint_id: str, channel_message_sid: str) -> str:
    """Return the look-up key of an inbound webhook."""
    return f"inbox|{endpoint_id}|{channel_message_sid}"


def outbox_key(sid: str) -> str:
    """Return the look-up key of an outbox entry."""
    return f"outbox|{sid}"


def decoded(attributes: str) -> dict[str, Any]:
    """Return checked attributes as a dict."""
    return msgspec.json.decode(attributes)  # type: ignore[no-any-return]
