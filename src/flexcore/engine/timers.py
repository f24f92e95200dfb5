"""The deadlines of open work, in the order they fall due.

A deadline is a hint: it acts only if the resource still has exactly that deadline, so
nothing here needs to be undone when a decision is.
"""

from sortedcontainers import SortedSet

from flexcore.domain.model import Reservation, Row, Task
from flexcore.domain.states import ReservationStatus, TaskStatus


def deadline_of(row: Row) -> int:
    """Return when something happens to a row by itself, or 0."""
    if isinstance(row, Reservation):
        return row.deadline if row.status == ReservationStatus.PENDING else 0
    if isinstance(row, Task):
        if row.status == TaskStatus.PENDING:
            dues = (row.deadline, row.step_deadline)
            return min((due for due in dues if due), default=0)
        if row.status == TaskStatus.RESERVED:
            return row.deadline
    return 0


class Deadlines:
    """A sorted set of (time, sid), one per row that has a deadline."""

    def __init__(self) -> None:
        self._due: SortedSet[tuple[int, str]] = SortedSet()
        self._by_sid: dict[str, int] = {}
        #: how many of them are offers waiting for an answer
        self.offers = 0

    def __len__(self) -> int:
        return len(self._due)

    def follow(self, row: Row) -> None:
        """Note the deadline a row has now; O(log n)."""
        after = deadline_of(row)
        before = self._by_sid.get(row.sid, 0)
        if before == after:
            return
        self.forget(row.sid)
        if after:
            self._due.add((after, row.sid))
            self._by_sid[row.sid] = after
            self.offers += row.sid.startswith("WR")

    def forget(self, sid: str) -> None:
        """Drop a deadline that turned out to mean nothing."""
        before = self._by_sid.pop(sid, 0)
        if before:
            self._due.remove((before, sid))
            self.offers -= sid.startswith("WR")

    def first(self) -> tuple[int, str] | None:
        """Return the earliest (time, sid); O(1)."""
        return self._due[0] if self._due else None
