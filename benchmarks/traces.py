"""What happens in a contact center, as a file that every router reads.

A step is two commands, as an engine gives them: a completion and the offers that follow,
an arrival and the offers that follow. Workers serve 1 to 20 of 200 queues, one call and
two chats each; arrivals go to any queue that somebody serves, with one of ten priorities.

*backlog*: everybody is busy and tasks wait, the hour after an outage. Nearly every
completion leads to an offer, and the arrival waits.
*idle*: nothing waits and about 60 % of the workers have nothing to do, a quiet
afternoon. Nearly every arrival leads to an offer.

Not in a trace: changes of attributes, queues and availability, and tasks that leave.

The file is a row of 64-bit numbers: how many queues, channels, workers, tasks, rounds and
steps a round; per worker the capacity on each channel, how many queues, and these; per
task, all of which arrive one by one before the first round, its queue, channel, priority
and start; per step the worker and the channel of the completion and such a task. Numbers
of queues, channels, workers and tasks count from zero. A task arrives at its start; its
sequence is its number.
"""

import random
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

QUEUES = 200
CAPACITIES = (1, 2)
PRIORITIES = 10
IDLE = 0.6

#: workers, and tasks that wait; None is a quiet afternoon
Size: TypeAlias = tuple[int, int | None]


class Worker(NamedTuple):
    """Capacities by channel, and the queues the worker belongs to."""

    capacities: tuple[int, ...]
    queues: list[int]


class Task(NamedTuple):
    """A task that arrives."""

    queue: int
    channel: int
    priority: int
    start: int


class Step(NamedTuple):
    """A completion and an arrival."""

    worker: int
    completed: int
    queue: int
    channel: int
    priority: int
    start: int


class Trace(NamedTuple):
    """Who works where, what has arrived, and what happens next."""

    queues: int
    channels: int
    workers: list[Worker]
    tasks: list[Task]
    rounds: list[list[Step]]

    def write(self, path: Path) -> None:
        """Store the trace."""
        length = len(self.rounds[0]) if self.rounds else 0
        sizes = (len(self.workers), len(self.tasks), len(self.rounds), length)
        numbers = array("q", (self.queues, self.channels, *sizes))
        for worker in self.workers:
            numbers.extend((*worker.capacities, len(worker.queues), *worker.queues))
        numbers.extend(chain.from_iterable(self.tasks))
        numbers.extend(chain.from_iterable(chain.from_iterable(self.rounds)))
        path.write_bytes(numbers.tobytes())

    @classmethod
    def read(cls, path: Path) -> "Trace":
        """Return a stored trace."""
        numbers = iter(array("q", path.read_bytes()))
        queues, channels, workers, tasks, rounds, length = taken(numbers, 6)
        return cls(
            queues,
            channels,
            [
                Worker(tuple(taken(numbers, channels)), taken(numbers, next(numbers)))
                for _ in range(workers)
            ],
            [Task(*taken(numbers, 4)) for _ in range(tasks)],
            [[Step(*taken(numbers, 6)) for _ in range(length)] for _ in range(rounds)],
        )


def taken(numbers: Iterator[int], count: int) -> list[int]:
    """Take so many of the numbers."""
    return [next(numbers) for _ in range(count)]


class Scout(Protocol):
    """Who finds out who holds what: a completion has to be of something held."""

    def arrive(self, task: Task) -> Iterable[tuple[int, int]]:
        """Return the offers that follow, as (task, worker) by number."""

    def complete(self, worker: int, channel: int) -> Iterable[tuple[int, int]]:
        """Return the offers that follow."""


class ContactCenter:
    """Draws who works where and what happens; the same for a seed."""

    def __init__(self, workers: int, waiting: int | None, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self.workers = [
            Worker(
                CAPACITIES, self._rng.sample(range(QUEUES), self._rng.randint(1, 20))
            )
            for _ in range(workers)
        ]
        # Tasks of a queue without workers would only pile up.
        self._staffed = sorted({queue for w in self.workers for queue in w.queues})
        self._now = 0
        held = round((1 - IDLE) * workers)
        if waiting is not None:
            held = workers * sum(CAPACITIES) + waiting
        self.tasks = [self._task() for _ in range(held)]

    def trace(self, scout: Scout, rounds: int, length: int) -> Trace:
        """Draw what happens next, by the decisions of the scout."""
        channels = [task.channel for task in self.tasks]
        held: list[tuple[int, int]] = []

        def hold(offers: Iterable[tuple[int, int]]) -> None:
            for task, worker in offers:
                held.append((worker, channels[task]))

        for task in self.tasks:
            hold(scout.arrive(task))
        steps = []
        for _ in range(rounds * length):
            place = self._rng.randrange(len(held))
            held[place], held[-1] = held[-1], held[place]
            worker, completed = held.pop()
            hold(scout.complete(worker, completed))
            task = self._task()
            channels.append(task.channel)
            hold(scout.arrive(task))
            steps.append(Step(worker, completed, *task))
        return Trace(
            QUEUES,
            len(CAPACITIES),
            self.workers,
            self.tasks,
            [steps[i * length : (i + 1) * length] for i in range(rounds)],
        )

    def _task(self) -> Task:
        self._now += 1
        return Task(
            self._rng.choice(self._staffed),
            self._rng.randrange(len(CAPACITIES)),
            self._rng.randrange(PRIORITIES),
            self._now,
        )
