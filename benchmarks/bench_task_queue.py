"""The task queue, operation by operation, against sortedcontainers and heapq.

A round is a thousand operations (a hundred on the short queue) with the queue at its size
before each round; what the operations took or added is put right between the rounds.
Priorities are 0 to 9, starts random, and what is removed or moved is picked at random.
"""

import random
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.yardsticks.task_queues import HeapqQueue, SortedKeyListQueue
from flexcore._routing import TaskQueue

ROUNDS = 10


class AnyQueue(Protocol):
    """What every candidate can do; items are sequences here."""

    def push(self, item: int, priority: int, start: int, sequence: int) -> int:
        """Add an item."""

    def pop(self) -> int:
        """Take the first item."""

    def remove(self, handle: int) -> None:
        """Take an item out."""

    def reprioritize(self, handle: int, priority: int) -> None:
        """Change the priority of an item."""

    def __len__(self) -> int: ...


Task: TypeAlias = tuple[int, int, int, int]
#: arguments of a round, as pytest-benchmark wants them
Setup: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


class Load:
    """A queue of a size, and what happens to it."""

    def __init__(self, queue: AnyQueue, size: int) -> None:
        self.queue = queue
        self.size = size
        self.operations = min(1_000, size // 10)
        self._rng = random.Random(1)
        self._sequence = 0
        #: sequence -> handle
        self._handles: dict[int, int] = {}
        self._fill()

    def _fill(self) -> None:
        while len(self.queue) < self.size:
            task = self._task()
            self._handles[task[0]] = self.queue.push(*task)

    def _task(self) -> Task:
        self._sequence += 1
        start = self._rng.randrange(3_600_000_000)
        return (self._sequence, self._rng.randrange(10), start, self._sequence)

    def _some(self) -> list[int]:
        return self._rng.sample(list(self._handles), self.operations)

    def before_push(self) -> Setup:
        """Take out what the last round pushed."""
        for handle in self._handles.values():
            if len(self.queue) > self.size:
                self.queue.remove(handle)
        return ([self._task() for _ in range(self.operations)],), {}

    def push(self, tasks: list[Task]) -> None:
        """Push tasks of any priority."""
        push = self.queue.push
        self._handles = {task[0]: push(*task) for task in tasks}

    def before_pop(self) -> Setup:
        """Put back as many as the last round took."""
        self._fill()
        return (), {}

    def pop(self) -> None:
        """Pop from the front."""
        pop = self.queue.pop
        for _ in range(self.operations):
            pop()

    def before_remove(self) -> Setup:
        """Put back as many as the last round took, and pick others."""
        self._fill()
        return ([self._handles.pop(sequence) for sequence in self._some()],), {}

    def remove(self, handles: list[int]) -> None:
        """Remove from anywhere."""
        remove = self.queue.remove
        for handle in handles:
            remove(handle)

    def before_reprioritize(self) -> Setup:
        """Pick tasks and priorities."""
        handles = [self._handles[sequence] for sequence in self._some()]
        return ([(handle, self._rng.randrange(10)) for handle in handles],), {}

    def reprioritize(self, changes: list[tuple[int, int]]) -> None:
        """Move to anywhere."""
        reprioritize = self.queue.reprioritize
        for handle, priority in changes:
            reprioritize(handle, priority)


CANDIDATES = {
    "flexcore": TaskQueue,
    "sortedcontainers": SortedKeyListQueue,
    "heapq": HeapqQueue,
}


@pytest.mark.parametrize("size", [1_000, 100_000])
@pytest.mark.parametrize("operation", ["push", "pop", "remove", "reprioritize"])
@pytest.mark.parametrize("queue", CANDIDATES.values(), ids=CANDIDATES)
def test_task_queue(
    benchmark: BenchmarkFixture,
    queue: Callable[[], AnyQueue],
    operation: str,
    size: int,
) -> None:
    """A round is the operations that the group names."""
    load = Load(queue(), size)
    benchmark.group = f"{operation}, {load.operations} times, {size} tasks"
    benchmark.pedantic(
        getattr(load, operation),
        setup=getattr(load, f"before_{operation}"),
        rounds=ROUNDS,
        warmup_rounds=1,
    )

    taken = {"push": 1, "pop": -1, "remove": -1, "reprioritize": 0}[operation]
    assert size + taken * load.operations == len(load.queue)
