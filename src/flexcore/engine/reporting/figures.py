"""Open tasks counted as they change, so that how things stand is never a scan.

Every open task is counted under its workspace, its queue and its workflow, by channel.
Who asks reads one of these standings: O(channels), however many tasks there are. Like the
matcher, the figures follow the rows a decision touched; built anew from the rows they are
the same.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from sortedcontainers import SortedList

from flexcore.domain.model import Row, Task
from flexcore.domain.states import OPEN_TASK, WAITING_TASK, TaskStatus

K = TypeVar("K")
#: when something began, and the sid of the task
Entry = tuple[int, str]


class Standing:
    """The open tasks of one workspace, queue or workflow on one channel."""

    __slots__ = ("by_priority", "by_status", "created", "entered", "queue")

    def __init__(self, *, queue: bool) -> None:
        self.queue = queue
        self.by_status: dict[TaskStatus, int] = {}
        self.by_priority: dict[int, int] = {}
        #: those that wait by creation, and in a queue by when they came into it
        self.created: SortedList[Entry] = SortedList()
        self.entered: SortedList[Entry] = SortedList()

    def count(self, task: Task, step: int) -> None:
        """Count a task in or out."""
        _count(self.by_status, task.status, step)
        _count(self.by_priority, task.priority, step)

    def recount(self, was: Task, now: Task) -> None:
        """Count a task as what it is now."""
        if was.status != now.status:
            _count(self.by_status, was.status, -1)
            _count(self.by_status, now.status, 1)
        if was.priority != now.priority:
            _count(self.by_priority, was.priority, -1)
            _count(self.by_priority, now.priority, 1)


def _count(numbers: dict[K, int], key: K, step: int) -> None:
    number = numbers.get(key, 0) + step
    if number:
        numbers[key] = number
    else:
        del numbers[key]


class Figures:
    """The standings of one account, by the sid they are of and the task channel."""

    def __init__(self) -> None:
        self._standings: dict[str, dict[str, Standing]] = {}

    @classmethod
    def rebuilt(cls, tasks: Iterable[Task]) -> "Figures":
        """Return what follows from the rows alone. O(n log n), and quick."""
        figures = cls()
        waiting: dict[int, tuple[Standing, list[Entry], list[Entry]]] = {}
        for task in tasks:
            if task.status not in OPEN_TASK:
                continue
            created, entered = _entries(task)
            for standing in figures._standings_of(task):
                standing.count(task, 1)
                if task.status in WAITING_TASK:
                    found = waiting.setdefault(id(standing), (standing, [], []))
                    found[1].append(created)
                    if standing.queue:
                        found[2].append(entered)
        for standing, by_creation, by_entry in waiting.values():
            standing.created.update(by_creation)
            standing.entered.update(by_entry)
        return figures

    def of(self, sid: str) -> Mapping[str, Standing]:
        """Return how things stand with a workspace, queue or workflow, by channel. O(1)."""
        return self._standings.get(sid, {})

    def follow(self, before: Row | None, after: Row | None) -> None:
        """Count what changed about a task; None is one that is not, or no more.

        O(log n) when it begins or ceases to wait, or waits elsewhere; else O(1).
        """
        was = before if isinstance(before, Task) and _open(before) else None
        now = after if isinstance(after, Task) and _open(after) else None
        if was is None and now is None:
            return
        if was is not None and now is not None and _waits_as(was) == _waits_as(now):
            self._recount(was, now)
            return
        if was is not None:
            self._take(was)
        if now is not None:
            self._put(now)

    def _recount(self, was: Task, now: Task) -> None:
        if (was.status, was.priority) == (now.status, now.priority):
            return
        for standing in self._standings_of(now):
            standing.recount(was, now)

    def _put(self, task: Task) -> None:
        created, entered = _entries(task)
        for standing in self._standings_of(task):
            standing.count(task, 1)
            if task.status in WAITING_TASK:
                standing.created.add(created)
                if standing.queue:
                    standing.entered.add(entered)

    def _take(self, task: Task) -> None:
        created, entered = _entries(task)
        for standing in self._standings_of(task):
            standing.count(task, -1)
            if task.status in WAITING_TASK:
                standing.created.remove(created)
                if standing.queue:
                    standing.entered.remove(entered)

        self._forget_empty(task)

    def _forget_empty(self, task: Task) -> None:
        """Drop what counts nothing any more: its queue may be gone for good."""
        for sid in (task.workspace_sid, task.task_queue_sid, task.workflow_sid):
            channels = self._standings.get(sid, {})
            standing = channels.get(task.task_channel_sid)
            if standing is not None and not standing.by_status:
                del channels[task.task_channel_sid]
                if not channels:
                    del self._standings[sid]

    def _standings_of(self, task: Task) -> list[Standing]:
        found = []
        for sid in (task.workspace_sid, task.task_queue_sid, task.workflow_sid):
            if sid:
                channels = self._standings.setdefault(sid, {})
                standing = channels.get(task.task_channel_sid)
                if standing is None:
                    standing = Standing(queue=sid == task.task_queue_sid)
                    channels[task.task_channel_sid] = standing
                found.append(standing)
        return found


def _open(task: Task) -> bool:
    return task.status in OPEN_TASK


def _entries(task: Task) -> tuple[Entry, Entry]:
    """Return a task by creation and by entry, one value while it never moved."""
    created = (task.create_time, task.sid)
    if task.queue_entered_time == task.create_time:
        return created, created
    return created, (task.queue_entered_time, task.sid)


def _waits_as(task: Task) -> tuple[object, ...]:
    """Return what decides where a task stands among those that wait, if it does."""
    return (
        task.status in WAITING_TASK,
        task.task_queue_sid,
        task.workflow_sid,
        task.task_channel_sid,
        task.queue_entered_time,
    )
