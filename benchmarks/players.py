"""The routers of the routing figures, each playing a trace.

All are told of the same workers, let the tasks of the trace arrive, and then play it round
by round. Each knows in the end which offers it made; `agree` holds them to one answer.

Seconds are those of the processor: a step waits for nothing, and what the clock on the wall
adds on a machine that others use too is how long they had it.
"""

import subprocess
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from time import thread_time
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from benchmarks import build
from benchmarks.harness import timed
from benchmarks.traces import Step, Task, Trace, Worker
from benchmarks.yardsticks.routers import SortedRouter
from flexcore._routing import Router

#: (task, worker), by number
Sequences: TypeAlias = Sequence[tuple[int, int]]


class SequencesDiffer(Exception):
    """Two routers decided differently: what either took is worth nothing."""

    def __init__(
        self, names: tuple[str, str], place: int, offers: Sequence[Any]
    ) -> None:
        (one, other), (this, that) = names, offers
        super().__init__(
            f"{one} and {other} agree in {place} offers, then decide differently:"
            f" (task, worker) is {this} and {that}"
        )


def agree(sequences: Mapping[str, Sequences]) -> int:
    """Return how many offers all made; raise SequencesDiffer if they did not."""
    (first, expected), *others = sequences.items()
    for name, found in others:
        if found == expected:
            continue
        for place, offers in enumerate(zip_longest(expected, found)):
            if offers[0] != offers[1]:
                raise SequencesDiffer((first, name), place, offers)
    return len(expected)


class Player(Protocol):
    """A router in a contact center."""

    def play(self, number: int) -> float:
        """Play a round, each once and in order; return the seconds it took."""


class Contestant(Player, Protocol):
    """A router that can be held to a trace."""

    def sequence(self) -> Sequences:
        """Return all offers, after the last round."""


class AnyRouter(Protocol):
    """What a router made for Python can do; handles are its own."""

    def release(self, worker: int, channel: int, now: int) -> None:
        """Count one held less."""

    def match(self, now: int) -> Sequence[tuple[int, ...]]:
        """Make the offers that follow; each begins with task and worker."""


class Staffed(NamedTuple):
    """A router with the workers of a contact center, and how tasks get into it."""

    router: AnyRouter
    workers: list[int]
    add_task: Callable[[int, int, int, int, int], int]


class CalledPlayer:
    """A router called from Python, command by command."""

    def __init__(self, staffed: Staffed, trace: Trace) -> None:
        self._router, self._workers, self._add_task = staffed
        self._trace = trace
        self._tasks: list[int] = []
        self._offers: list[tuple[int, ...]] = []
        self._now = 0
        for task in trace.tasks:
            self._now += 1
            self._tasks.append(self._add_task(*task, len(self._tasks)))
            self._offers += self._router.match(self._now)

    def play(self, number: int) -> float:
        """Play a round."""
        steps = self._trace.rounds[number]
        return timed(lambda: self._play(steps), thread_time)[0]

    def _play(self, steps: list[Step]) -> None:
        release, match = self._router.release, self._router.match
        add_task, workers = self._add_task, self._workers
        now, tasks, offers = self._now, self._tasks, self._offers
        sequence = len(tasks)
        for worker, completed, queue, channel, priority, start in steps:
            now += 1
            release(workers[worker], completed, now)
            offers += match(now)
            tasks.append(add_task(queue, channel, priority, start, sequence))
            sequence += 1
            now += 1
            offers += match(now)
        self._now = now

    def sequence(self) -> Sequences:
        """Return all offers."""
        tasks = {handle: number for number, handle in enumerate(self._tasks)}
        workers = {handle: number for number, handle in enumerate(self._workers)}
        return [(tasks[offer[0]], workers[offer[1]]) for offer in self._offers]


class CompiledPlayer:
    """flexcore's router, driven from C."""

    def __init__(self, trace: Trace) -> None:
        router, workers, _ = staffed_router(trace.queues, trace.workers)
        self._drive = build.drive().Drive(
            router, workers, range(trace.queues), range(trace.channels)
        )
        self._drive.open(array("q", chain.from_iterable(trace.tasks)))
        self._rounds = [array("q", chain.from_iterable(r)) for r in trace.rounds]

    def play(self, number: int) -> float:
        """Play a round."""
        steps = self._rounds[number]
        return timed(lambda: self._drive.play(steps), thread_time)[0]

    def sequence(self) -> Sequences:
        """Return all offers."""
        offers: Sequences = self._drive.sequence()
        return offers


class ProgramPlayer:
    """The program of yardsticks/router.cc; leaving the context ends it."""

    def __init__(self, path: Path) -> None:
        self._written = path.with_suffix(".sequence")
        self._program = subprocess.Popen(  # noqa: S603 the command is ours
            [str(build.yardstick()), str(path), str(self._written)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._ask, self._answers = self._program.stdin, self._program.stdout
        self._answers.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._program.communicate()

    def play(self, number: int) -> float:
        """Play the next round."""
        print(number, file=self._ask)
        return float(self._answers.readline())

    def sequence(self) -> Sequences:
        """Return all offers."""
        self._program.communicate()
        numbers = array("q", self._written.read_bytes())
        return list(zip(numbers[::2], numbers[1::2], strict=True))


def open_router(
    queues: int, workers: Sequence[Worker], traits: Callable[[int], dict[str, Any]]
) -> tuple[Router, list[int]]:
    """Return flexcore's router with these workers, and their handles."""
    router = Router()
    for queue in range(queues):
        path = ("path", "worker", ("queues",))
        router.set_queue(queue, (path, ("const", queue), ("has",)))
    handles = []
    for order, worker in enumerate(workers):
        attributes = {"queues": worker.queues, **traits(order)}
        handles.append(router.add_worker(attributes, 0, True, order))
        for channel, capacity in enumerate(worker.capacities):
            router.set_channel(handles[order], channel, capacity, 0)
    return router, handles


def staffed_router(queues: int, workers: Sequence[Worker]) -> Staffed:
    """Return flexcore's router for tasks that go by their queue alone."""
    router, handles = open_router(queues, workers, lambda _: {})
    return Staffed(router, handles, router.add_task)


def called(trace: Trace) -> CalledPlayer:
    """Put flexcore's router into the contact center."""
    return CalledPlayer(staffed_router(trace.queues, trace.workers), trace)


def plain(trace: Trace) -> CalledPlayer:
    """Put the yardstick made of sortedcontainers into the contact center."""
    router = SortedRouter()
    handles = [
        router.add_worker(worker.queues, order, dict(enumerate(worker.capacities)))
        for order, worker in enumerate(trace.workers)
    ]
    return CalledPlayer(Staffed(router, handles, router.add_task), trace)


class MatcherScout:
    """The matcher finds out who holds what; if it were wrong, the others would differ."""

    def __init__(self, staffed: Staffed) -> None:
        self._router, self._workers, self._add_task = staffed
        self._numbers = {handle: number for number, handle in enumerate(self._workers)}
        self._tasks: dict[int, int] = {}
        self._arrived = 0
        self._now = 0

    def arrive(self, task: Task) -> list[tuple[int, int]]:
        """Return the offers that follow."""
        self._now += 1
        self._tasks[self._add_task(*task, self._arrived)] = self._arrived
        self._arrived += 1
        return self._match()

    def complete(self, worker: int, channel: int) -> list[tuple[int, int]]:
        """Return the offers that follow."""
        self._now += 1
        self._router.release(self._workers[worker], channel, self._now)
        return self._match()

    def _match(self) -> list[tuple[int, int]]:
        return [
            (self._tasks.pop(offer[0]), self._numbers[offer[1]])
            for offer in self._router.match(self._now)
        ]
