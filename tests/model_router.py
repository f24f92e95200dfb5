"""The oracle of the matcher: lists, sorted() and full scans behind the API of Router."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

LEVELS = 1_000_000
OFFERED, IDLE, UTILIZATION, ROUND_ROBIN = range(4)
Program = tuple[Any, ...]


@dataclass
class NaiveRoom:
    capacity: int = 0
    occupied: int = 0
    assigned: int = 0
    open: bool = True
    offered: int = 0
    released: int = 0

    def facts(self) -> tuple[int, int, int, bool, int, int]:
        return (
            self.capacity,
            self.occupied,
            self.assigned,
            self.open,
            self.offered,
            self.released,
        )


@dataclass
class NaiveWorker:
    attributes: dict[str, Any]
    activity: int
    available: bool
    order: int
    available_since: int
    rooms: dict[int, NaiveRoom] = field(default_factory=dict)

    def room(self, channel: int) -> NaiveRoom:
        return self.rooms.get(channel, NaiveRoom())

    def free(self, channel: int) -> bool:
        room = self.room(channel)
        return self.available and room.open and room.occupied < room.capacity

    def live(self, channel: int, name: str) -> int:
        room = self.room(channel)
        if name == "configured_capacity":
            return room.capacity
        if name == "assigned_tasks":
            return room.assigned
        if room.capacity == 0:
            return 0
        return max(0, (room.capacity - room.occupied) * 100 // room.capacity)


@dataclass
class NaiveQueue:
    program: Program
    lifo: bool
    preferred: bool
    fan_out: int
    order: int
    cursor: int


@dataclass
class NaiveTask:
    queue: int
    channel: int
    priority: int
    start: int
    sequence: int
    pair: Program = ()
    order_by: tuple[Any, ...] = ()
    attributes: dict[str, Any] | None = None
    known: int | None = None
    excluded: tuple[int, ...] = ()


class NaiveRouter:
    """Answers by looking at everything, every time; remembers facts only."""

    def __init__(self) -> None:
        self.queues: dict[int, NaiveQueue] = {}
        self.optimized: set[int] = set()
        self.workers: dict[int, NaiveWorker] = {}
        self.specs: dict[int, tuple[Program, tuple[Any, ...]]] = {}
        self.tasks: dict[int, NaiveTask] = {}
        self._handles = count(1)

    # Queues

    def set_queue(
        self,
        queue: int,
        program: Program,
        *,
        lifo: bool = False,
        preferred: bool = True,
        fan_out: int = 1,
        order: int = OFFERED,
        cursor: int = -1,
    ) -> None:
        self.queues[queue] = NaiveQueue(
            program, lifo, preferred, fan_out, order, cursor
        )

    def remove_queue(self, queue: int) -> None:
        if self.waiting(queue):
            raise ValueError(f"{self.waiting(queue)} tasks wait in queue {queue}")
        del self.queues[queue]

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

    def in_activity(self, queue: int, activity: int) -> int:
        return sum(
            self.eligible(queue, handle) and worker.activity == activity
            for handle, worker in self.workers.items()
        )

    def eligible(self, queue: int, worker: int) -> bool:
        return satisfies(self.queues[queue].program, self.workers[worker].attributes)

    def cursor(self, queue: int) -> int:
        return self.queues[queue].cursor

    def set_channel_optimized(self, channel: int, *, optimized: bool) -> None:
        self.optimized = self.optimized - {channel} | (
            {channel} if optimized else set()
        )

    # Workers

    def add_worker(
        self,
        attributes: dict[str, Any],
        activity: int,
        available: bool,
        order: int,
        available_since: int = 0,
    ) -> int:
        handle = next(self._handles)
        self.workers[handle] = NaiveWorker(
            attributes, activity, available, order, available_since
        )
        return handle

    def set_attributes(self, worker: int, attributes: dict[str, Any]) -> None:
        self.workers[worker].attributes = attributes

    def set_activity(
        self, worker: int, activity: int, available: bool, available_since: int
    ) -> None:
        row = self.workers[worker]
        row.activity, row.available = activity, available
        row.available_since = available_since

    def set_channel(self, worker: int, channel: int, *facts: Any) -> None:
        self.workers[worker].rooms[channel] = NaiveRoom(*facts)

    def _room(self, worker: int, channel: int) -> NaiveRoom:
        return self.workers[worker].rooms.setdefault(channel, NaiveRoom())

    def take(self, worker: int, channel: int, now: int) -> None:
        self._room(worker, channel).occupied += 1
        self._room(worker, channel).offered = now

    def release(self, worker: int, channel: int, now: int) -> None:
        if self._room(worker, channel).occupied == 0:
            raise ValueError(f"the worker holds nothing on channel {channel}")
        self._room(worker, channel).occupied -= 1
        self._room(worker, channel).released = now

    def assign(self, worker: int, channel: int, step: int) -> None:
        if self._room(worker, channel).assigned + step < 0:
            raise ValueError("the worker is assigned less on the channel")
        self._room(worker, channel).assigned += step

    def remove_worker(self, worker: int) -> None:
        del self.workers[worker]

    # Tasks

    def open_spec(self, pair: Program, order_by: tuple[Any, ...] = ()) -> int:
        handle = next(self._handles)
        self.specs[handle] = (pair, order_by)
        return handle

    def add_task(
        self,
        queue: int,
        channel: int,
        priority: int,
        start: int,
        sequence: int,
        *,
        spec: int = 0,
        attributes: dict[str, Any] | None = None,
        known: int | None = None,
        excluded: tuple[int, ...] = (),
    ) -> int:
        handle = next(self._handles)
        assert queue in self.queues
        pair, order_by = self.specs[spec] if spec else ((), ())
        self.tasks[handle] = NaiveTask(
            queue,
            channel,
            priority,
            start,
            sequence,
            pair,
            order_by,
            attributes,
            known,
            excluded,
        )
        return handle

    def remove_task(self, task: int) -> None:
        del self.tasks[task]

    def reprioritize(self, task: int, priority: int) -> None:
        self.tasks[task].priority = priority

    # Decisions

    def match(self, now: int) -> list[tuple[int, int, int, int]]:
        offers: list[tuple[int, int, int, int]] = []
        while decision := self._decide():
            task, candidates = decision
            row = self.tasks.pop(task)
            queue = self.queues[row.queue]
            chosen = candidates[: queue.fan_out]
            runner_up = [*candidates[queue.fan_out :], 0][0]
            if queue.order == ROUND_ROBIN:
                queue.cursor = self.workers[chosen[-1]].order
            for worker in chosen:
                self.take(worker, row.channel, now)
                offers.append((task, worker, len(candidates), runner_up))
        return offers

    def _decide(self) -> tuple[int, list[int]] | None:
        """Return the first task that is to be offered, and who can take it."""
        for task in sorted(self.tasks, key=lambda task: self._place(self.tasks[task])):
            candidates = self.candidates(task)
            if candidates and self.queues[self.tasks[task].queue].fan_out:
                return task, candidates
        return None

    def _place(self, task: NaiveTask) -> tuple[int, ...]:
        queue = self.queues[task.queue]
        tier = 2 * (not queue.preferred) + queue.lifo
        if queue.lifo:
            return (tier, 0, -task.start, -task.sequence)
        return (tier, -task.priority, task.start, task.sequence)

    def candidates(self, task: int) -> list[int]:
        """Return who can take a task, best first."""
        row = self.tasks[task]
        able = [worker for worker in self.workers if self.candidate(task, worker)]
        return sorted(able, key=lambda worker: self._rank(row, self.workers[worker]))

    def candidate(self, task: int, worker: int) -> bool:
        row, person = self.tasks[task], self.workers[worker]
        return (
            person.free(row.channel)
            and self.eligible(row.queue, worker)
            and (not row.pair or holds(row.pair, row.attributes or {}, person))
            and row.known in (None, worker)
            and worker not in row.excluded
        )

    def count(self, task: int) -> int:
        return len(self.candidates(task))

    def _rank(self, task: NaiveTask, worker: NaiveWorker) -> tuple[Any, ...]:
        keys = []
        for operand, descending in task.order_by:
            value = operand_of(operand, {}, worker)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            key = (-value if descending else value) if number else 0
            keys.append((not number, key))
        return (*keys, *self._order(task, worker), worker.order)

    def _order(self, task: NaiveTask, worker: NaiveWorker) -> tuple[int, ...]:
        queue = self.queues[task.queue]
        own = task.channel in self.optimized
        rooms = [worker.room(task.channel)] if own else list(worker.rooms.values())
        offered = max([0, *[room.offered for room in rooms]])
        idle = max([offered, worker.available_since, *[r.released for r in rooms]])
        if queue.order == OFFERED:
            return (worker.room(task.channel).offered if own else offered,)
        if queue.order == IDLE:
            return (idle,)
        if queue.order == ROUND_ROBIN:
            return (worker.order <= queue.cursor,)
        occupied = sum(room.occupied for room in rooms)
        capacity = sum(room.capacity for room in rooms)
        return (occupied * LEVELS // capacity, idle)

    # Inspection

    def check(self) -> None:
        """Assert what the caller owes: numbers that make the orders total."""
        orders = {worker.order for worker in self.workers.values()}
        sequences = {task.sequence for task in self.tasks.values()}
        assert len(orders) == len(self.workers)
        assert len(sequences) == len(self.tasks)

    def dump(self) -> dict[str, list[Any]]:
        return {
            "channels": sorted(self.optimized),
            "queues": [
                {
                    "queue": number,
                    **vars(queue),
                    "members": self.members(number),
                    "available": self.available(number),
                    "waiting": self.waiting(number),
                }
                for number, queue in sorted(self.queues.items())
            ],
            "workers": [
                {
                    "order": worker.order,
                    "attributes": worker.attributes,
                    "activity": worker.activity,
                    "available": worker.available,
                    "available_since": worker.available_since,
                    "channels": sorted(
                        (channel, *room.facts())
                        for channel, room in worker.rooms.items()
                        if room != NaiveRoom()
                    ),
                    "queues": [
                        number
                        for number, queue in sorted(self.queues.items())
                        if satisfies(queue.program, worker.attributes)
                    ],
                }
                for worker in sorted(
                    self.workers.values(), key=lambda worker: worker.order
                )
            ],
            "tasks": [
                vars(task)
                | {
                    "known": self._known(task),
                    "excluded": sorted(
                        self.workers[worker].order
                        for worker in {*task.excluded}
                        if worker in self.workers
                    ),
                }
                for task in sorted(self.tasks.values(), key=lambda task: task.sequence)
            ],
        }

    def _known(self, task: NaiveTask) -> tuple[int, ...] | None:
        if task.known is None:
            return None
        worker = self.workers.get(task.known)
        return (worker.order,) if worker else ()


def satisfies(program: Program, attributes: dict[str, Any]) -> bool:
    """Run a postfix program over a worker's attributes on plain Python values."""
    return holds(program, {}, NaiveWorker(attributes, 0, False, 0, 0))


def holds(program: Program, task: dict[str, Any], worker: NaiveWorker) -> bool:
    """Run a postfix program over a task and a worker on plain Python values."""
    stack: list[Any] = []
    for step in program:
        if step[0] == "const":
            stack.append(step[1])
        elif step[0] in ("path", "live"):
            stack.append(operand_of(step, task, worker))
        elif step[0] in UNARY:
            stack.append(UNARY[step[0]](stack.pop()))
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(BINARY[step[0]](left, right))
    return bool(stack) and stack[-1] is True


def operand_of(step: Program, task: dict[str, Any], worker: NaiveWorker) -> Any:
    if step[0] == "live":
        return worker.live(step[1], step[2])
    return look_up(worker.attributes if step[1] == "worker" else task, step[2])


def look_up(node: Any, segments: tuple[str | int, ...]) -> Any:
    for segment in segments:
        if isinstance(segment, str):
            node = node.get(segment) if isinstance(node, dict) else None
        elif isinstance(node, list | tuple) and segment < len(node):
            node = node[segment]
        else:
            return None
    return node


def equal(left: Any, right: Any) -> bool:
    numbers = {int, float}
    alike = type(left) is type(right) or {type(left), type(right)} <= numbers
    return alike and not compound(left) and bool(left == right)


def compound(value: Any) -> bool:
    return isinstance(value, list | tuple | dict)


def comparable(left: Any, right: Any) -> bool:
    return all(
        isinstance(side, int | float) and not isinstance(side, bool)
        for side in (left, right)
    ) or (isinstance(left, str) and isinstance(right, str))


def has(left: Any, right: Any) -> bool:
    return is_array(left) and any(equal(item, right) for item in left)


def is_array(value: Any) -> bool:
    return isinstance(value, list | tuple)


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
    "unequal": lambda left, right: (
        not (compound(left) or compound(right) or equal(left, right))
    ),
    "<": lambda left, right: comparable(left, right) and left < right,
    "<=": lambda left, right: comparable(left, right) and left <= right,
    ">": lambda left, right: comparable(left, right) and left > right,
    ">=": lambda left, right: comparable(left, right) and left >= right,
    "contains": contains,
    "not_contains": lambda left, right: not contains(left, right),
    "lacks": lambda left, right: (
        not (compound(left) or compound(right) or contains(left, right))
    ),
    "has": has,
    "in": lambda left, right: has(right, left),
    "not_in": lambda left, right: not has(right, left),
    "not_in_array": lambda left, right: is_array(right) and not has(right, left),
    "not_in_known": lambda left, right: right is not None and not has(right, left),
    "not_in_or_missing": lambda left, right: (
        right is None or (is_array(right) and not has(right, left))
    ),
    "and": lambda left, right: left is True and right is True,
    "or": lambda left, right: left is True or right is True,
}
