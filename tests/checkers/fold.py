"""A log, folded change set by change set into the rows it comes to."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from flexcore.domain import limits
from flexcore.domain.log import Cause, ChangeSet
from flexcore.domain.model import (
    Activity,
    Reservation,
    Row,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    ReservationStatus,
    TaskStatus,
)
from flexcore.engine.decider import OFFERS_PER_DECISION
from tests.checkers.eligibility import Eligibility
from tests.checkers.waiting import Waiting

R = TypeVar("R", bound=Row)
#: a change of one of these concerns everybody, unless it is only one of this
_CONFIGURATION = (Activity, TaskChannel, TaskQueue, Workspace)
_COUNTING = ("cursor", "version", "update_time")
#: events of what the matcher did besides offers, which leaves it less room for them
_ASKED = ("workflow.step-kept", "workflow.target-matched")


#: what happens by itself besides work
_DUES: Mapping[type[Row], str] = {
    Workflow: "re_evaluate_time",
    TaskChannel: "spread_time",
    Worker: "grace_time",
}

_NOTHING: Counter[str] = Counter()


class Offer(NamedTuple):
    """A new reservation, and where among the events of its change set it was made."""

    position: int
    reservation: Reservation


class Moment(NamedTuple):
    """One change set: what its rows were, and the fold with what they are now."""

    change_set: ChangeSet
    before: Mapping[str, Row | None]
    fold: "Fold"
    #: what the matcher offered, in order
    offers: tuple[Offer, ...]
    #: what was reserved otherwise: claimed, or for a worker whatever he does
    others: tuple[Offer, ...]
    #: deadlines that had passed and were not acted upon: sid and time
    overdue: tuple[tuple[str, int], ...]
    #: the last thing the matcher had to say: nothing more follows at once
    settled: bool
    #: who changed since it last was: tasks that wait, and workers
    tasks: tuple[str, ...]
    workers: tuple[str, ...]

    @property
    def name(self) -> str:
        change_set = self.change_set
        return f"change set {change_set.first_sequence} to {change_set.last_sequence}"

    def changes(self, kind: type[R]) -> Iterator[tuple[R | None, R]]:
        """Yield what each touched row of a kind was and is, deleted ones included."""
        for row in self.change_set.resources:
            if isinstance(row, kind):
                before = self.before[row.sid]
                yield (before if isinstance(before, kind) else None), row

    def events(self, *types: str) -> Iterator[str]:
        """Yield the sids that events of these types tell of."""
        for event in self.change_set.events:
            if event.type in types:
                yield event.sid


class Fold:
    """The rows after a change set, with the look-ups that checkers need."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.waiting = Waiting(self)
        self.eligibility = Eligibility(self)
        #: how often each reservation was accepted, and each task
        self.accepted: Counter[str] = Counter()
        self._held: dict[str, dict[str, Reservation]] = {}
        self._load: dict[str, Counter[str]] = {}
        self._of_task: dict[str, dict[str, Reservation]] = {}
        self._channels: dict[str, dict[str, WorkerChannel]] = {}
        self._stamps: Counter[str] = Counter()
        #: all workers, and those in each activity
        self._workers: dict[str, Worker] = {}
        self._in_activity: dict[str, dict[str, None]] = {}
        self._sort = False
        #: how many tasks and workers the matcher may have still to be told of anew
        self._untold = 0
        self._due: list[tuple[int, str]] = []
        self._dirty_tasks: dict[str, None] = {}
        self._dirty_workers: dict[str, None] = {}

    def apply(self, change_set: ChangeSet) -> Moment:
        """Take one change set."""
        overdue = self._overdue(change_set)
        before: dict[str, Row | None] = {}
        rows = change_set.rows()
        untold = False
        for sid, row in rows.items():
            before[sid] = self.rows.get(sid)
            self._put(row)
            if isinstance(row, _CONFIGURATION) and not _alike(before[sid], row):
                self._sort = True
            untold |= _told_anew(before[sid], row)
        for sid in change_set.deleted:
            self._drop(self.rows.pop(sid))
        self._wait(rows)
        offers: list[Offer] = []
        others: list[Offer] = []
        for position, event in enumerate(change_set.events):
            row = rows[event.sid]
            if event.type == "reservation.accepted" and isinstance(row, Reservation):
                self.accepted.update((row.sid, row.task_sid))
            if event.type == "reservation.created" and isinstance(row, Reservation):
                offer = Offer(position, row)
                (offers if _matched(row) else others).append(offer)
        asked = sum(event.type in _ASKED for event in change_set.events)
        # There may have been less room for offers beside a large command.
        room = (limits.CHANGE_SET_RESOURCES - len(rows)) // 4
        settled = len(offers) + asked < min(OFFERS_PER_DECISION, room)
        settled = settled and self._caught_up(untold)
        tasks, workers = tuple(self._dirty_tasks), tuple(self._dirty_workers)
        if settled:
            self._dirty_tasks, self._dirty_workers = {}, {}
        return Moment(
            change_set,
            before,
            self,
            tuple(offers),
            tuple(others),
            overdue,
            settled,
            tasks,
            workers,
        )

    def _caught_up(self, untold: bool) -> bool:
        """Say whether the matcher surely knows of everybody what changed for all."""
        if untold:
            tasks = (row for row in self.rows.values() if isinstance(row, Task))
            # Assigned ones too: whether a task still waits it looks at when it comes to it.
            open_tasks = sum(row.status in OPEN_TASK for row in tasks)
            self._untold = open_tasks + len(self._workers)
        self._untold = max(0, self._untold - limits.TOLD_AT_ONCE)
        return not self._untold

    def _put(self, row: Row) -> None:
        self.rows[row.sid] = row
        due = due_of(row)
        if due:
            heapq.heappush(self._due, (due, row.sid))
        if isinstance(row, Reservation):
            self._dirty_workers[row.worker_sid] = None
            self._stamps[row.worker_sid] += 1
            self._of_task.setdefault(row.task_sid, {})[row.sid] = row
            self._hold(row, holds=row.status in OPEN_RESERVATION)
        elif isinstance(row, Worker):
            self._leave(row.sid)
            self._workers[row.sid] = row
            self._in_activity.setdefault(row.activity_sid, {})[row.sid] = None
            self._dirty_workers[row.sid] = None
        elif isinstance(row, WorkerChannel):
            self._channels.setdefault(row.worker_sid, {})[row.task_channel_sid] = row
            self._dirty_workers[row.worker_sid] = None
            self._stamps[row.worker_sid] += 1

    def _drop(self, row: Row) -> None:
        if isinstance(row, Reservation):
            self._of_task.get(row.task_sid, {}).pop(row.sid, None)
            self._hold(row, holds=False)
        elif isinstance(row, Worker):
            self._leave(row.sid)
            del self._workers[row.sid]
            self._dirty_workers.pop(row.sid, None)
        elif isinstance(row, WorkerChannel):
            self._channels.get(row.worker_sid, {}).pop(row.task_channel_sid, None)

    def _leave(self, worker_sid: str) -> None:
        before = self._workers.get(worker_sid)
        if before is not None:
            del self._in_activity[before.activity_sid][worker_sid]

    def _hold(self, row: Reservation, *, holds: bool) -> None:
        """Let a worker hold a reservation, or no more."""
        held = self._held.setdefault(row.worker_sid, {})
        load = self._load.setdefault(row.worker_sid, Counter())
        load[row.task_channel_sid] += holds - (row.sid in held)
        if holds:
            held[row.sid] = row
        else:
            held.pop(row.sid, None)

    def _wait(self, rows: Mapping[str, Row]) -> None:
        """Follow who waits, once all rows are as they are now."""
        for sid, row in rows.items():
            if isinstance(row, Task):
                self.waiting.drop(sid)
                self._dirty_tasks.pop(sid, None)
                if row.waits and sid in self.rows:
                    self.waiting.put(row)
                    self._dirty_tasks[sid] = None
        if self._sort:
            self._sort = False
            self.waiting.sort()
            self.eligibility.forget()
            self._dirty_workers.update(dict.fromkeys(self._workers))

    def _overdue(self, change_set: ChangeSet) -> tuple[tuple[str, int], ...]:
        """Return what should have been decided before this; time itself may be late."""
        found = []
        while self._due and self._due[0][0] <= change_set.time:
            due, sid = self._due[0]
            row = self.rows.get(sid)
            if row is not None and due_of(row) == due:
                if change_set.cause != Cause.REQUEST:
                    break
                found.append((sid, due))
            heapq.heappop(self._due)
        return tuple(found)

    # look-ups

    def present(self) -> Iterator[Worker]:
        """Yield the workers whose activity lets them work; nobody else is free."""
        for activity_sid, sids in self._in_activity.items():
            if self.waiting.need(activity_sid, Activity).available:
                for sid in sids:
                    yield self._workers[sid]

    def channel(self, worker_sid: str, task_channel_sid: str) -> WorkerChannel | None:
        """Return what a worker takes of a task channel."""
        return self._channels.get(worker_sid, {}).get(task_channel_sid)

    def channels(self, worker_sid: str) -> Iterable[WorkerChannel]:
        """Return the channels of a worker."""
        return self._channels.get(worker_sid, {}).values()

    def stamp(self, worker_sid: str) -> int:
        """Return a number that changes whenever live values of a worker may have."""
        return self._stamps[worker_sid]

    def assigned(self, worker_sid: str, task_channel_sid: str) -> int:
        """Count the accepted reservations of a worker on a task channel."""
        return sum(
            row.status == ReservationStatus.ACCEPTED
            and row.task_channel_sid == task_channel_sid
            for row in self._held.get(worker_sid, {}).values()
        )

    def load(self, worker_sid: str) -> Counter[str]:
        """Count the open reservations of a worker by task channel; not to be changed."""
        return self._load.get(worker_sid, _NOTHING)

    def held(self, worker_sid: str) -> Iterable[Reservation]:
        """Return the open reservations of a worker."""
        return self._held.get(worker_sid, {}).values()

    def of_task(self, task_sid: str) -> Mapping[str, Reservation]:
        """Return the reservations of a task."""
        return self._of_task.get(task_sid, {})


def due_of(row: Row) -> int:
    """Return when something has to happen to a row, 0 for never."""
    if isinstance(row, Reservation):
        return row.deadline if row.status == ReservationStatus.PENDING else 0
    for kind, field in _DUES.items():
        if isinstance(row, kind):
            return int(getattr(row, field))
    if not isinstance(row, Task):
        return 0
    if row.status == TaskStatus.PENDING:
        untils = (refusal.until for refusal in row.refusals)
        dues = (row.deadline, row.step_deadline, row.hold_time, *untils)
        return min((due for due in dues if due), default=0)
    if row.status == TaskStatus.RESERVED:
        return row.deadline
    return row.limit_time if row.status in OPEN_TASK else row.purge_time


def _alike(before: Row | None, row: Row) -> bool:
    """Say whether a row is what it was, but for what only counts along."""
    if before is None:
        return False
    same = {name: getattr(row, name) for name in _COUNTING if hasattr(row, name)}
    return before.evolve(**same) == row


def _told_anew(before: Row | None, row: Row) -> bool:
    """Say whether the matcher may have to be told of many because of this row."""
    if isinstance(row, Worker) and isinstance(before, Worker):
        return before.friendly_name != row.friendly_name
    return isinstance(row, (*_CONFIGURATION, Worker)) and not _alike(before, row)


def _matched(reservation: Reservation) -> bool:
    """Say whether a new reservation was the matcher's choice."""
    rule = reservation.choice.rule if reservation.choice else ""
    return rule not in ("claim", "routing_target")
