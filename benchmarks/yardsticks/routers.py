"""The routing rule of flexcore as one would write it in Python.

Both routers index what the rule asks for, as flexcore does: waiting tasks and free
workers by group (queue and channel), and they look at changed groups only. They do less
than flexcore: the queues of a worker are given, not found by programs.
"""

from collections import defaultdict
from heapq import heapify, heappop, heappush, heapreplace
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

    def release(self, order: int, channel: int) -> None:
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


class HeapqRouter:
    """Waiting tasks and idle workers in heapq heaps; the idle ones put right late."""

    def __init__(self) -> None:
        self._workers: dict[int, Worker] = {}
        self._waiting: defaultdict[Group, list[TaskEntry]] = defaultdict(list)
        self._idle: defaultdict[Group, list[tuple[int, int]]] = defaultdict(list)
        self._present: set[tuple[Group, int]] = set()
        self._free: defaultdict[Group, int] = defaultdict(int)
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
        heappush(self._waiting[group], (-priority, start, sequence))
        if self._free[group]:
            self._live.add(group)
        return sequence

    def release(self, order: int, channel: int) -> None:
        """Count one held less."""
        worker = self._workers[order]
        worker.room[channel] += 1
        if worker.room[channel] == 1:
            self._enter(worker, channel)

    def match(self, now: int) -> list[Offer]:
        """Make the offers that follow."""
        offers = []
        heads = [(self._waiting[group][0], group) for group in self._live]
        heapify(heads)
        while self._live:
            group = heads[0][1]
            if group not in self._live:
                heappop(heads)
                continue
            waiting = self._waiting[group]
            candidates = self._free[group]
            worker = self._best(group)
            _, _, sequence = heappop(waiting)
            worker.last_offered = now
            worker.room[group[1]] -= 1
            if not worker.room[group[1]]:
                self._leave(worker, group[1])
            offers.append((sequence, worker.order, candidates))
            if waiting:
                heapreplace(heads, (waiting[0], group))
            else:
                self._live.discard(group)
        return offers

    def _best(self, group: Group) -> Worker:
        idle, channel = self._idle[group], group[1]
        while True:
            last_offered, order = idle[0]
            worker = self._workers[order]
            if not worker.room[channel]:
                heappop(idle)
                self._present.discard((group, order))
            elif worker.last_offered != last_offered:
                heapreplace(idle, (worker.last_offered, order))
            else:
                return worker

    def _enter(self, worker: Worker, channel: int) -> None:
        for queue in worker.queues:
            group = (queue, channel)
            self._free[group] += 1
            if (group, worker.order) not in self._present:
                self._present.add((group, worker.order))
                heappush(self._idle[group], (worker.last_offered, worker.order))
            if self._waiting[group]:
                self._live.add(group)

    def _leave(self, worker: Worker, channel: int) -> None:
        for queue in worker.queues:
            group = (queue, channel)
            self._free[group] -= 1
            if not self._free[group]:
                self._live.discard(group)
