"""The sums that statistics are made of.

A bucket is what happened in a span of time, a cell what happened to the tasks of one
workspace, queue, workflow and task channel in it. Both are sums: merging those of two
spans gives that of both, so that minutes which are over are counted once. What each figure
means is docs/statistics.md; which event counts for what is domain/fold.py.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from flexcore.domain import limits

#: what is counted, by the name it has in statistics.proto
COUNTS = (
    "tasks_created",
    "tasks_entered",
    "tasks_entered_workflow",
    "tasks_moved",
    "tasks_timed_out_in_workflow",
    "tasks_canceled",
    "tasks_completed",
    "tasks_deleted",
    "reservations_created",
    "reservations_accepted",
    "reservations_rejected",
    "reservations_timed_out",
    "reservations_canceled",
    "reservations_rescinded",
)
#: what is measured, likewise
MEASURES = (
    "wait_duration_until_accepted",
    "wait_duration_until_canceled",
    "wait_duration_in_queue_until_accepted",
    "handle_duration",
    "wrap_duration",
)


class Durations(msgspec.Struct, gc=False):
    """How often something was measured, and what came out; microseconds."""

    count: int = 0
    total: int = 0
    least: int = 0
    greatest: int = 0

    def add(self, duration: int) -> None:
        """Take one more in."""
        self.least = min(self.least, duration) if self.count else duration
        self.greatest = max(self.greatest, duration)
        self.count += 1
        self.total += duration

    def merge(self, other: "Durations") -> None:
        """Take in what another measured."""
        if not other.count:
            return
        self.least = min(self.least, other.least) if self.count else other.least
        self.greatest = max(self.greatest, other.greatest)
        self.count += other.count
        self.total += other.total

    @property
    def average(self) -> int:
        """The mean, 0 without any."""
        return self.total // self.count if self.count else 0


#: how often something took so many seconds, begun ones counted whole
Histogram = dict[int, int]


def note(histogram: Histogram, duration: int) -> None:
    """Count one duration by its seconds, so that "at most n seconds" stays exact."""
    seconds = -(-duration // limits.SECOND)
    histogram[seconds] = histogram.get(seconds, 0) + 1


def within(histogram: Histogram, seconds: int) -> int:
    """Return how many took at most so many seconds."""
    return sum(n for length, n in histogram.items() if length <= seconds)


class Place(NamedTuple):
    """What a cell counts for."""

    workspace_sid: str
    task_queue_sid: str
    workflow_sid: str
    task_channel_sid: str


class Cell(msgspec.Struct):
    """What happened in one place: counts and durations by name, and waits by seconds."""

    counts: dict[str, int] = {}
    durations: dict[str, Durations] = {}
    #: waits, from creation, of tasks that were accepted and of those canceled
    accepted: Histogram = {}
    canceled: Histogram = {}

    def count(self, name: str) -> None:
        """Count one more."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def measure(self, name: str, duration: int) -> None:
        """Measure one more."""
        self.durations.setdefault(name, Durations()).add(duration)

    @property
    def size(self) -> int:
        """How many different waits it counts, which merging it goes through."""
        return len(self.accepted) + len(self.canceled)

    def merge(self, other: "Cell") -> None:
        """Take in what happened elsewhere, or at another time."""
        _add(self.counts, other.counts)
        _add(self.accepted, other.accepted)
        _add(self.canceled, other.canceled)
        for name, durations in other.durations.items():
            self.durations.setdefault(name, Durations()).merge(durations)

    def service_level(self, seconds: int) -> float | None:
        """Return the share of tasks accepted in time of those accepted or abandoned."""
        all_of_them = sum(self.accepted.values()) + sum(self.canceled.values())
        return within(self.accepted, seconds) / all_of_them if all_of_them else None


K = TypeVar("K")


def _add(into: dict[K, int], other: Mapping[K, int]) -> None:
    for key, number in other.items():
        into[key] = into.get(key, 0) + number


class Span(NamedTuple):
    """A time that a worker spent: in an activity, or holding a task.

    `what` is the activity, or the task channel; the end is not part of it.
    """

    worker_sid: str
    workspace_sid: str
    what: str
    start: int
    end: int

    def clipped(self, start: int, end: int) -> "Span":
        """Return what of it lies between two times; empty when nothing does."""
        start = max(self.start, start)
        return self._replace(start=start, end=max(start, min(self.end, end)))


class Bucket:
    """What happened in a span of time, by place; and what of workers' time ended in it."""

    __slots__ = ("cells", "held", "stays")

    def __init__(self) -> None:
        self.cells: dict[Place, Cell] = {}
        #: in activities that workers left
        self.stays: list[Span] = []
        #: with accepted tasks that were completed
        self.held: list[Span] = []

    def cell(self, place: Place) -> Cell:
        """Return what is counted for a place."""
        found = self.cells.get(place)
        if found is None:
            found = self.cells[place] = Cell()
        return found

    def merge(self, other: "Bucket") -> None:
        """Take in what happened in another span of time."""
        for place, cell in other.cells.items():
            self.cell(place).merge(cell)
        self.stays += other.stays
        self.held += other.held

    @property
    def size(self) -> int:
        """How much it keeps, for who has to bound that."""
        return 1 + len(self.cells) + len(self.stays) + len(self.held)


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return how long at least one of some spans lasted."""
    total = until = 0
    for start, end in sorted(spans):
        if end > until:
            total += end - max(start, until)
            until = end
    return total
