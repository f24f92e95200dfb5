"""The routing rule of flexcore as one would write it in Python.

It indexes what the rule asks for, as flexcore does: waiting tasks and free workers by
group (queue and channel), and it looks at changed groups only. It does less than
flexcore: the queues of a worker are given, not found by programs.
"""

from collections import defaultdict
from typing import TypeAlias

from sortedcontainers import SortedList

Group: TypeAlias = tuple[int, int]
#: (sequence, order, candidates)
Offer: TypeAlias = tuple[int, int, int]
TaskEntry: TypeAlias = tuple[int, int, int]


class Worker:
    """A worker; room is capacity less what is occupied, by channel."""

    __slots__ = ("last_offered", "order", "queues", "room")

    def __init__(
        self, queues: list[int], order: int, capacities: dict[int, int]
    ) -> None:
        self.queues = queues
        self.order = order
        self.last_offered = 0
        self.room = dict(capacities)


class SortedRouter:
    """Waiting tasks and free workers in sortedcontainers.SortedList, always exact."""

    def __init__(self) -> None:
        self._workers: dict[int, Worker] = {}
        self._waiting: defaultdict[Group, SortedList[TaskEntry]] = defaultdict(
            SortedList
        )
        self._idle: defaultdict[Group, SortedList[tuple[int, int]]] = defaultdict(
            SortedList
        )
        self._live: set[Group] = set()

    def add_worker(
        self, queues: list[int], order: int, capacities: dict[int, int]
    ) -> int:
        """Add a worker with room; the order is the handle."""
        worker = self._workers[order] = Worker(queues, order, capacities)
        for channel in capacities:
            self._enter(worker, channel)
        return order

    def add_task(
        self, queue: int, channel: int, priority: int, start: int, sequence: int
    ) -> int:
        """Let a task wait; the sequence is the handle."""
        group = (queue, channel)
        self._waiting[group].add((-priority, start, sequence))
        if self._idle[group]:
            self._live.add(group)
        return sequence

    def release(self, order: int, channel: int, _now: int) -> None:
        """Count one held less."""
        worker = self._workers[order]
        worker.room[channel] += 1
        if worker.room[channel] == 1:
            self._enter(worker, channel)

    def match(self, now: int) -> list[Offer]:
        """Make the offers that follow."""
        offers = []
        live, waiting, idle = self._live, self._waiting, self._idle
        while live:
            group = min(live, key=lambda group: waiting[group][0])
            candidates = len(idle[group])
            worker = self._workers[idle[group][0][1]]
            _, _, sequence = waiting[group].pop(0)
            if not waiting[group]:
                live.discard(group)
            self._offer(worker, group[1], now)
            offers.append((sequence, worker.order, candidates))
        return offers

    def _offer(self, worker: Worker, channel: int, now: int) -> None:
        free = [other for other, room in worker.room.items() if room]
        for other in free:
            self._leave(worker, other)
        worker.last_offered = now
        worker.room[channel] -= 1
        for other in free:
            if worker.room[other]:
                self._enter(worker, other)

    def _enter(self, worker: Worker, channel: int) -> None:
        entry = (worker.last_offered, worker.order)
        for queue in worker.queues:
            group = (queue, channel)
            self._idle[group].add(entry)
            if self._waiting[group]:
                self._live.add(group)

    def _leave(self, worker: Worker, channel: int) -> None:
        entry = (worker.last_offered, worker.order)
        for queue in worker.queues:
            group = (queue, channel)
            idle = self._idle[group]
            idle.remove(entry)
            if not idle:
                self._live.discard(group)
