"""The shared tail of an account's log, which every stream reads with a cursor of its own.

Streams have no queue: a slow one costs nothing, and when it falls behind the tail it
reads from the store. A narrow stream (one worker, one conversation) has an index here and
in the store, so that nobody scans what does not concern it.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable

import msgspec

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock
from flexcore.domain.errors import OutOfRange, Reason
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.engine.cursor import Cursor
from flexcore.engine.pages import Pages
from flexcore.engine.port import Known, TailBatch
from flexcore.engine.pulse import Pulse
from flexcore.store.interface import Reader


class _Held(msgspec.Struct, frozen=True, gc=False):
    """A change set, and the bytes of the log it stands for."""

    change_set: ChangeSet
    size: int


def _end_of(held: _Held) -> int:
    return held.change_set.last_sequence


class _Strand:
    """Change sets of one subject, oldest first.

    What is dropped from the front is forgotten once it is half of the list: O(1) each
    on average, and never more than twice what is held.
    """

    __slots__ = ("_gone", "_items", "readers")

    def __init__(self) -> None:
        self._items: list[_Held] = []
        self._gone = 0
        self.readers: dict[Cursor, None] = {}

    def append(self, held: _Held) -> None:
        self._items.append(held)
        for reader in self.readers:
            reader.wake()

    def drop_first(self) -> None:
        self._gone += 1
        if self._gone * 2 >= len(self._items):
            del self._items[: self._gone]
            self._gone = 0

    def after(self, sequence: int) -> tuple[list[ChangeSet], bool]:
        """Return what ends after `sequence`, and whether that is all there is.

        As much as is read from the store at once: whoever waits for its reader holds it
        meanwhile. O(log n) and what is returned.
        """
        start = bisect_right(self._items, sequence, self._gone, key=_end_of)
        end = start + limits.STREAM_MESSAGE_EVENTS
        found: list[ChangeSet] = []
        size = 0
        for held in self._items[start:end]:
            found.append(held.change_set)
            size += held.size
            if size >= limits.LOG_READ_BYTES:
                break
        return found, start + len(found) == len(self._items)

    def __bool__(self) -> bool:
        return len(self._items) > self._gone or bool(self.readers)


class Tail:
    """The newest change sets in memory, at most TAIL_BYTES of them."""

    def __init__(
        self, account_sid: str, head: int, store: Reader, clock: Clock, alarm: Alarm
    ) -> None:
        self._account_sid = account_sid
        self._store = store
        self._pages = Pages(account_sid, store, clock, alarm)
        self._pulse = Pulse(clock, alarm)
        #: everything after this sequence, up to the head, is in memory
        self.floor = head
        self.head = head
        self._bytes = 0
        self._held: deque[_Held] = deque()
        self._strands: dict[str, _Strand] = {"": _Strand()}
        #: in the order they were opened; those that were told to end are not among them
        self._open: dict[Cursor, None] = {}
        self._closed = False

    def publish(self, change_set: ChangeSet, size: int) -> None:
        """Show a durable change set to the streams."""
        self.head = change_set.last_sequence
        held = _Held(change_set, size)
        self._held.append(held)
        self._bytes += size
        self._strands[""].append(held)
        for subject in change_set.subjects:
            self._strands.setdefault(subject, _Strand()).append(held)
        while self._bytes > limits.TAIL_BYTES:
            self._drop_first()

    def find(self, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`, from memory or store."""
        if last_sequence > self.floor:
            found, _ = self._strands[""].after(last_sequence - 1)
            return found[0] if found else None
        return self._store.change_set(self._account_sid, last_sequence)

    async def follow(
        self,
        after: int | None,
        subjects: Iterable[str],
        log_filter: LogFilter | None = None,
        known: Known | None = None,
    ) -> AsyncIterator[TailBatch]:
        """Yield what comes after a position; an empty batch is a heartbeat.

        Ends only when the tail is closed, after everything up to then was given.
        """
        cursor = self.open(after, subjects, log_filter, known)
        try:
            while (batch := await cursor.next()) is not None:
                yield batch
        finally:
            cursor.close()

    def open(
        self,
        after: int | None,
        subjects: Iterable[str] = (),
        log_filter: LogFilter | None = None,
        known: Known | None = None,
    ) -> Cursor:
        """Return a cursor at a position, which must be closed; OutOfRange."""
        position = self.head if after is None else after
        self.check(position)
        cursor = Cursor(self, self._pulse, position, log_filter, known)
        for subject in subjects:
            cursor.watch(subject)
        if self._closed:
            cursor.end()
        else:
            self._open[cursor] = None
        return cursor

    def close(self, most: int | None = None) -> bool:
        """Let streams end at a position they can resume from; say whether some are left.

        Ends `most` of them, those that are open longest; new ones end at once.
        """
        self._closed = True
        for cursor in list(self._open)[:most]:
            del self._open[cursor]
            cursor.end()
        return bool(self._open)

    # what cursors ask for

    def read(
        self, position: int, subjects: Collection[str]
    ) -> tuple[list[ChangeSet], int]:
        """Return the next change sets of subjects, and up to where that is all."""
        if position < self.floor:
            pieces = [self._stored(position, subject) for subject in subjects]
            end = self.floor
        else:
            pieces = [self._kept(position, subject) for subject in subjects]
            end = max(position, self.head)
        lasts = [piece[-1].last_sequence for piece, whole in pieces if not whole]
        if len(pieces) == 1:
            return pieces[0][0], min(lasts, default=end)
        # Beyond the end a subject may have more that was committed since it was read.
        end = min(*lasts, end) if lasts else end
        found = {each.last_sequence: each for piece, _ in pieces for each in piece}
        return [found[last] for last in sorted(found) if last <= end], end

    def attach(self, cursor: Cursor, subject: str) -> None:
        """Wake a cursor when something happens to a subject."""
        self._strands.setdefault(subject, _Strand()).readers[cursor] = None

    def detach(self, cursor: Cursor, subject: str) -> None:
        """Wake it no more."""
        strand = self._strands[subject]
        strand.readers.pop(cursor, None)
        if subject and not strand:
            del self._strands[subject]

    def forget(self, cursor: Cursor) -> None:
        """Let go of a cursor that was closed."""
        self._open.pop(cursor, None)

    def check(self, position: int) -> None:
        """Raise OutOfRange when the log does not hold what comes after a position."""
        floor, head = self._store.bounds(self._account_sid)
        if position < floor:
            raise OutOfRange(
                f"position {position} is older than the log, which begins after {floor};"
                " start without a token",
                metadata={"floor": str(floor)},
            )
        if position > max(head, self.head):
            raise OutOfRange(
                f"position {position} is ahead of the log, which ends at {head}",
                reason=Reason.TOKEN_AHEAD,
                metadata={"head": str(head)},
            )

    def _kept(self, position: int, subject: str) -> tuple[list[ChangeSet], bool]:
        """Return what is in memory of a subject, and whether that is all."""
        strand = self._strands.get(subject)
        return strand.after(position) if strand is not None else ([], True)

    def _stored(self, position: int, subject: str) -> tuple[list[ChangeSet], bool]:
        """Return what is stored of a subject; it is all if there is nothing."""
        if not subject:
            found = self._pages.after(position)
        else:
            most = limits.LOG_READ_BYTES
            found = [*self._store.read_log(self._account_sid, position, subject, most)]
        return found, not found

    def _drop_first(self) -> None:
        held = self._held.popleft()
        self._bytes -= held.size
        self.floor = _end_of(held)
        for subject in ("", *held.change_set.subjects):
            strand = self._strands[subject]
            strand.drop_first()
            if subject and not strand:
                del self._strands[subject]
