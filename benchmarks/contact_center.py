"""The load of the routing benchmarks: a large contact center with a backlog.

Workers serve 1 to 20 of 200 queues, one call and two chats each. All of them are busy and
as many tasks wait as the size says, twenty per worker: the hour after an outage. A step is
one completion and one arrival, each of a random worker and queue; an offer follows from
nearly every step. Not measured: changes of attributes, queues and availability, and quiet
hours, when workers wait and not tasks.
"""

import random
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple, Protocol

from benchmarks.yardsticks.routers import HeapqRouter, Offer, SortedRouter
from flexcore._routing import Router

QUEUES = 200
CAPACITIES = {1: 1, 2: 2}


class Task(NamedTuple):
    """The arguments of add_task."""

    queue: int
    channel: int
    priority: int
    start: int
    sequence: int


class Step(NamedTuple):
    """One completion and one arrival."""

    order: int
    channel: int
    task: Task


class AnyRouter(Protocol):
    """What every candidate can do; handles are its own."""

    def add_task(
        self, queue: int, channel: int, priority: int, start: int, sequence: int
    ) -> int:
        """Let a task wait."""

    def release(self, worker: int, channel: int) -> None:
        """Count one held less."""

    def match(self, now: int) -> list[Offer]:
        """Make the offers that follow."""


class ContactCenter:
    """Who works where, what waits, and what happens next; the same for a seed."""

    def __init__(self, size: int, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._sequence = 0
        self._channels: dict[int, int] = {}
        self.rosters = [
            self._rng.sample(range(QUEUES), self._rng.randint(1, 20))
            for _ in range(size // 20)
        ]
        # Tasks of a queue without workers would only pile up.
        self._staffed = sorted(set(chain.from_iterable(self.rosters)))
        held = len(self.rosters) * sum(CAPACITIES.values())
        self.tasks = [self._task() for _ in range(size + held)]
        # Somebody has to find out who holds what when the next one completes.
        self._scout = open_plain(HeapqRouter(), self)
        self._held: list[tuple[int, int]] = []
        self._hold(self._scout.opening)

    def steps(self, count: int) -> list[Step]:
        """Return what happens next; the next call goes on from there."""
        steps = []
        for _ in range(count):
            order, channel = self._held.pop(self._rng.randrange(len(self._held)))
            steps.append(Step(order, channel, self._task()))
            self._hold(self._scout.replay(steps[-1:])[0])
        return steps

    def _hold(self, offers: list[Offer]) -> None:
        self._held += [(order, self._channels[task]) for task, order, _ in offers]

    def _task(self) -> Task:
        self._sequence += 1
        channel = self._rng.choice(list(CAPACITIES))
        self._channels[self._sequence] = channel
        return Task(
            self._rng.choice(self._staffed),
            channel,
            self._rng.randrange(10),
            self._rng.randrange(3_600_000_000),
            self._sequence,
        )


class Replay:
    """A router in that contact center."""

    def __init__(
        self, router: AnyRouter, workers: list[int], center: ContactCenter
    ) -> None:
        self.router = router
        self._workers = workers
        self._orders = {worker: order for order, worker in enumerate(workers)}
        self._sequences = {
            router.add_task(*task): task.sequence for task in center.tasks
        }
        self._recent: list[int] = []
        self._now = 0
        self.opening = router.match(0)

    def replay(self, steps: list[Step]) -> list[list[Offer]]:
        """Run the steps and return the offers that followed from each: this is timed."""
        release, add_task = self.router.release, self.router.add_task
        match, workers, now = self.router.match, self._workers, self._now
        handles, offers = [], []
        for order, channel, task in steps:
            now += 1
            release(workers[order], channel)
            handles.append(add_task(*task))
            offers.append(match(now))
        self._now = now
        self._recent = handles
        return offers

    def readable(self, steps: list[Step], offers: list[list[Offer]]) -> list[Offer]:
        """Return the offers of the last replay as (sequence, order, candidates)."""
        recent = self._recent if steps else []
        for handle, step in zip(recent, steps, strict=True):
            self._sequences[handle] = step.task.sequence
        return [
            (self._sequences.pop(task), self._orders[worker], candidates)
            for task, worker, candidates in chain.from_iterable(offers)
        ]


def open_matcher(center: ContactCenter) -> Replay:
    """Put flexcore's router into the contact center."""
    router = Router()
    for queue in range(QUEUES):
        path = ("path", "worker", ("queues",))
        router.set_queue(queue, (path, ("const", f"queue {queue}"), ("has",)))
    workers = []
    for order, roster in enumerate(center.rosters):
        attributes = {"queues": [f"queue {queue}" for queue in roster]}
        workers.append(router.add_worker(attributes, True, 0, order))
        for channel, capacity in CAPACITIES.items():
            router.set_channel(workers[order], channel, capacity, 0)
    return Replay(router, workers, center)


def open_plain(router: SortedRouter | HeapqRouter, center: ContactCenter) -> Replay:
    """Put a yardstick into the contact center."""
    workers = [
        router.add_worker(roster, order, CAPACITIES)
        for order, roster in enumerate(center.rosters)
    ]
    return Replay(router, workers, center)


def open_sorted(center: ContactCenter) -> Replay:
    """Put the yardstick made of sortedcontainers into the contact center."""
    return open_plain(SortedRouter(), center)


def open_heapq(center: ContactCenter) -> Replay:
    """Put the yardstick made of heapq into the contact center."""
    return open_plain(HeapqRouter(), center)


ROUTERS: dict[str, Callable[[ContactCenter], Replay]] = {
    "flexcore": open_matcher,
    "sortedcontainers": open_sorted,
    "heapq": open_heapq,
}
