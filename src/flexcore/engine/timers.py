"""The deadlines of what is in memory, in the order they fall due.

A deadline is a hint: it acts only if the resource still has exactly that deadline, so
nothing here needs to be undone when a decision is.
"""

from sortedcontainers import SortedList

from flexcore.domain.model import (
    Reservation,
    Row,
    Task,
    TaskChannel,
    Worker,
    Workflow,
)
from flexcore.domain.states import OPEN_TASK, ReservationStatus, TaskStatus
from flexcore.engine.routing.refusals import retry_time


def deadline_of(row: Row) -> int:
    """Return when something happens to a row by itself, or 0."""
    if isinstance(row, Reservation):
        return row.deadline if row.status == ReservationStatus.PENDING else 0
    if isinstance(row, Task):
        return _deadline_of_task(row)
    if isinstance(row, Worker):
        return row.grace_time
    if isinstance(row, Workflow):
        return row.re_evaluate_time
    if isinstance(row, TaskChannel):
        return row.spread_time
    return 0


def _deadline_of_task(task: Task) -> int:
    if task.status == TaskStatus.PENDING:
        dues = (task.deadline, task.step_deadline, retry_time(task), task.hold_time)
        return min((due for due in dues if due), default=0)
    if task.status == TaskStatus.RESERVED:
        return task.deadline
    if task.status in OPEN_TASK:
        return task.limit_time
    return task.purge_time


class Deadlines:
    """A sorted list of (time, sequence, sid), one per row that has a deadline.

    The sequence is that of the row's creation: of two that fall due at the same time the
    older row comes first, a task before its offers.
    """

    def __init__(self) -> None:
        self._due: SortedList[tuple[int, int, str]] = SortedList()
        self._by_sid: dict[str, tuple[int, int, str]] = {}
        #: how many of them are offers waiting for an answer
        self.offers = 0

    def __len__(self) -> int:
        return len(self._due)

    def follow(self, row: Row) -> None:
        """Note the deadline a row has now; O(log n)."""
        after = deadline_of(row)
        before = self._by_sid.get(row.sid)
        if after == (before[0] if before else 0):
            return
        self.forget(row.sid)
        if after:
            entry = (after, _order_of(row), row.sid)
            self._due.add(entry)
            self._by_sid[row.sid] = entry
            self.offers += row.sid.startswith("WR")

    def forget(self, sid: str) -> None:
        """Drop a deadline that turned out to mean nothing."""
        before = self._by_sid.pop(sid, None)
        if before:
            self._due.remove(before)
            self.offers -= sid.startswith("WR")

    def postpone(self, sid: str, time: int) -> None:
        """Let a deadline that could not be decided fall due again, later."""
        _, order, _ = self._by_sid[sid]
        self.forget(sid)
        self._by_sid[sid] = (time, order, sid)
        self._due.add(self._by_sid[sid])
        self.offers += sid.startswith("WR")

    def offered(self) -> list[str]:
        """Return the sids of offers waiting for an answer, the most urgent first."""
        return [sid for _, _, sid in self._due if sid.startswith("WR")]

    def first(self) -> tuple[int, int, str] | None:
        """Return the earliest (time, sequence, sid); O(1)."""
        return self._due[0] if self._due else None


def _order_of(row: Row) -> int:
    """Return the sequence of a row's creation; configuration comes before all work."""
    if isinstance(row, Task):
        return row.sequence
    return row.order if isinstance(row, Reservation | Worker) else 0
