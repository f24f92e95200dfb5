"""The oracle: what flexcore should do, written with lists, sorted() and full scans.

Part 1, NaiveRouter: the routing rule of flexcore._routing.Router behind the same API.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

# Part 1: NaiveRouter


@dataclass
class NaiveWorker:
    attributes: dict[str, Any]
    available: bool
    last_offered: int
    order: int
    #: channel -> [capacity, occupied]
    channels: dict[int, list[int]] = field(default_factory=dict)

    def free(self, channel: int) -> bool:
        capacity, occupied = self.channels.get(channel, (0, 0))
        return self.available and occupied < capacity


@dataclass
class NaiveTask:
    queue: int
    channel: int
    priority: int
    start: int
    sequence: int

    def place(self) -> tuple[int, int, int]:
        return (-self.priority, self.start, self.sequence)


class NaiveRouter:
    """Answers by looking at everything, every time; remembers facts only."""

    def __init__(self) -> None:
        self.queues: dict[int, tuple[Any, ...]] = {}
        self.workers: dict[int, NaiveWorker] = {}
        self.tasks: dict[int, NaiveTask] = {}
        self._handles = count(1)

    def set_queue(self, queue: int, program: tuple[Any, ...]) -> None:
        self.queues[queue] = program

    def remove_queue(self, queue: int) -> None:
        if self.waiting(queue):
            raise ValueError(f"{self.waiting(queue)} tasks wait in queue {queue}")
        del self.queues[queue]

    def add_worker(
        self, attributes: dict[str, Any], available: bool, last_offered: int, order: int
    ) -> int:
        handle = next(self._handles)
        self.workers[handle] = NaiveWorker(attributes, available, last_offered, order)
        return handle

    def set_attributes(self, worker: int, attributes: dict[str, Any]) -> None:
        self.workers[worker].attributes = attributes

    def set_available(self, worker: int, available: bool) -> None:
        self.workers[worker].available = available

    def set_channel(
        self, worker: int, channel: int, capacity: int, occupied: int
    ) -> None:
        self.workers[worker].channels[channel] = [capacity, occupied]

    def release(self, worker: int, channel: int) -> None:
        if self.workers[worker].channels.get(channel, [0, 0])[1] == 0:
            raise ValueError(f"the worker holds nothing on channel {channel}")
        self.workers[worker].channels[channel][1] -= 1

    def remove_worker(self, worker: int) -> None:
        del self.workers[worker]

    def add_task(
        self, queue: int, channel: int, priority: int, start: int, sequence: int
    ) -> int:
        handle = next(self._handles)
        assert queue in self.queues
        self.tasks[handle] = NaiveTask(queue, channel, priority, start, sequence)
        return handle

    def remove_task(self, task: int) -> None:
        del self.tasks[task]

    def reprioritize(self, task: int, priority: int) -> None:
        self.tasks[task].priority = priority

    def match(self, now: int) -> list[tuple[int, int, int]]:
        offers = []
        while decision := self._decide():
            task, candidates = decision
            worker = candidates[0]
            self.workers[worker].channels[self.tasks[task].channel][1] += 1
            self.workers[worker].last_offered = now
            del self.tasks[task]
            offers.append((task, worker, len(candidates)))
        return offers

    def _decide(self) -> tuple[int, list[int]] | None:
        """Return the first task that somebody can take, and who can, best first."""
        for task in sorted(self.tasks, key=lambda task: self.tasks[task].place()):
            if candidates := self._candidates(self.tasks[task]):
                return task, candidates
        return None

    def _candidates(self, task: NaiveTask) -> list[int]:
        free = [
            worker
            for worker in self.workers
            if self.workers[worker].free(task.channel)
            and self.eligible(task.queue, worker)
        ]
        return sorted(
            free,
            key=lambda worker: (
                self.workers[worker].last_offered,
                self.workers[worker].order,
            ),
        )

    def waiting(self, queue: int) -> int:
        assert queue in self.queues
        return sum(task.queue == queue for task in self.tasks.values())

    def members(self, queue: int) -> int:
        return sum(self.eligible(queue, worker) for worker in self.workers)

    def available(self, queue: int) -> int:
        return sum(
            self.eligible(queue, handle) and worker.available
            for handle, worker in self.workers.items()
        )

    def eligible(self, queue: int, worker: int) -> bool:
        return satisfies(self.queues[queue], self.workers[worker].attributes)

    def check(self) -> None:
        """Assert what the caller owes: numbers that make the orders total."""
        orders = {worker.order for worker in self.workers.values()}
        sequences = {task.sequence for task in self.tasks.values()}
        assert len(orders) == len(self.workers)
        assert len(sequences) == len(self.tasks)

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "queues": [
                {
                    "queue": queue,
                    "program": self.queues[queue],
                    "members": self.members(queue),
                    "available": self.available(queue),
                    "waiting": self.waiting(queue),
                }
                for queue in sorted(self.queues)
            ],
            "workers": [
                {
                    "order": worker.order,
                    "attributes": worker.attributes,
                    "available": worker.available,
                    "last_offered": worker.last_offered,
                    "channels": sorted(
                        (channel, capacity, occupied)
                        for channel, (capacity, occupied) in worker.channels.items()
                        if capacity or occupied
                    ),
                    "queues": [
                        queue
                        for queue, program in sorted(self.queues.items())
                        if satisfies(program, worker.attributes)
                    ],
                }
                for worker in sorted(
                    self.workers.values(), key=lambda worker: worker.order
                )
            ],
            "tasks": [
                vars(task)
                for task in sorted(
                    self.tasks.values(), key=lambda task: task.sequence
                )
            ],
        }


def satisfies(program: tuple[Any, ...], attributes: dict[str, Any]) -> bool:
    """Run a postfix program on plain Python values."""
    stack: list[Any] = []
    for operation, *arguments in program:
        if operation == "const":
            stack.append(arguments[0])
        elif operation == "path":
            stack.append(look_up(attributes, arguments[1]))
        elif operation in UNARY:
            stack.append(UNARY[operation](stack.pop()))
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(BINARY[operation](left, right))
    return bool(stack) and stack[-1] is True


def look_up(node: Any, segments: tuple[str | int, ...]) -> Any:
    for segment in segments:
        try:
            wanted = dict if isinstance(segment, str) else list | tuple
            node = node[segment] if isinstance(node, wanted) else None
        except (KeyError, IndexError):
            return None
    return node


def equal(left: Any, right: Any) -> bool:
    numbers = {int, float}
    alike = type(left) is type(right) or {type(left), type(right)} <= numbers
    compound = isinstance(left, list | tuple | dict)
    return alike and not compound and bool(left == right)


def comparable(left: Any, right: Any) -> bool:
    return all(
        isinstance(side, int | float) and not isinstance(side, bool)
        for side in (left, right)
    ) or (isinstance(left, str) and isinstance(right, str))


def has(left: Any, right: Any) -> bool:
    return isinstance(left, list | tuple) and any(equal(item, right) for item in left)


def contains(left: Any, right: Any) -> bool:
    return isinstance(left, str) and isinstance(right, str) and right in left


UNARY: dict[str, Callable[[Any], bool]] = {
    "is_null": lambda value: value is None,
    "is_not_null": lambda value: value is not None,
    "not": lambda value: value is not True,
}
BINARY: dict[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": lambda left, right: comparable(left, right) and left < right,
    "<=": lambda left, right: comparable(left, right) and left <= right,
    ">": lambda left, right: comparable(left, right) and left > right,
    ">=": lambda left, right: comparable(left, right) and left >= right,
    "contains": contains,
    "not_contains": lambda left, right: not contains(left, right),
    "has": has,
    "in": lambda left, right: has(right, left),
    "not_in": lambda left, right: not has(right, left),
    "and": lambda left, right: left is True and right is True,
    "or": lambda left, right: left is True or right is True,
}

# End of part 1
