"""The oracle: what flexcore should do, written with lists, sorted() and full scans.

Part 1, NaiveRouter: the routing rule of flexcore._routing.Router behind the same API.
Part 2, Model: what a workspace does with commands and time.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import Context, parse

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

    def match(self, now: int, limit: int | None = None) -> list[tuple[int, int, int]]:
        offers: list[tuple[int, int, int]] = []
        while (limit is None or len(offers) < limit) and (decision := self._decide()):
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
                for task in sorted(self.tasks.values(), key=lambda task: task.sequence)
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


# Part 2: Model

OFFLINE = "Offline"
SECOND = 1_000_000
FINISHED = ("completed", "canceled")
HELD = ("pending", "accepted", "wrapping")


class Refused(Exception):
    """Nothing has changed; the argument is the kind of the error."""


@dataclass
class ModelWorker:
    attributes: str
    activity: str
    order: int
    last_offered: int = 0
    capacity: dict[str, int] = field(default_factory=dict)
    #: channels on which the worker takes nothing for now
    closed: set[str] = field(default_factory=set)


@dataclass
class ModelWorkflow:
    """`filters` are (expression or None, targets), `default` a target or None.

    A target is a dict of queue (of the one before if None), priority and timeout.
    """

    filters: list[tuple[str | None, list[dict[str, Any]]]]
    default: dict[str, Any] | None
    reservation_timeout: int


@dataclass
class ModelTask:
    workflow: int
    channel: str
    attributes: str
    priority: int
    start: int
    deadline: int
    sequence: int
    status: str = "pending"
    #: number of the filter, -1 for the default, and of the target
    step: tuple[int, int] = (0, 0)
    queue: int = 0
    step_deadline: int = 0
    assignments: int = 0
    reason: str = ""

    def due(self) -> int:
        """Step deadlines are for tasks that wait, the task's own until acceptance."""
        if self.status == "pending":
            return min(self.deadline, self.step_deadline or self.deadline)
        return self.deadline if self.status == "reserved" else 0


@dataclass
class ModelReservation:
    task: int
    worker: int
    deadline: int
    candidates: int
    sequence: int
    status: str = "pending"

    def due(self) -> int:
        return self.deadline if self.status == "pending" else 0


class Model:
    """One workspace. Things are numbered as they come; every question is a full scan.

    A command is a method; `decide` calls it and lets the matcher follow. Before it, the
    caller lets time pass. `events` are those about tasks and reservations, by number.
    """

    def __init__(self, now: int, assignments_max: int) -> None:
        self.now = now
        self.assignments_max = assignments_max
        self.activities = {OFFLINE: False, "Available": True, "Unavailable": False}
        self.channels = ("default", "chat", "sms")
        self.queues = ["1==1"]
        self.workflows = [ModelWorkflow([], {"queue": 0}, 120)]
        self.workers: list[ModelWorker] = []
        self.tasks: list[ModelTask] = []
        self.reservations: list[ModelReservation] = []
        self.events: list[tuple[str, int]] = []
        #: (machine, status, cause) -> how often
        self.fired: Counter[tuple[str, str, str]] = Counter()
        self._sequence = count(1)

    def decide(self, command: str, arguments: dict[str, Any]) -> None:
        """Decide a command; Refused is raised before anything changes."""
        getattr(self, command)(**arguments)
        self._match()

    # Configuration

    def create_activity(self, name: str, available: bool) -> None:
        self.activities[name] = available

    def create_worker(self, activity: str, attributes: str) -> None:
        self._known("activity", activity in self.activities)
        worker = ModelWorker(attributes, activity, next(self._sequence))
        worker.capacity = dict.fromkeys(self.channels, 1)
        self.workers.append(worker)

    def update_worker(
        self,
        worker: int,
        activity: str | None = None,
        attributes: str | None = None,
        reject: bool = False,
    ) -> None:
        row = self._find(self.workers, worker)
        self._known("activity", activity is None or activity in self.activities)
        # Offers are taken back only from somebody who leaves.
        if reject and (activity is None or self.activities[activity]):
            raise Refused("invalid_argument")
        row.attributes = row.attributes if attributes is None else attributes
        row.activity = activity or row.activity
        for number, reservation in enumerate(self.reservations):
            mine = reservation.worker == worker and reservation.status == "pending"
            if reject and mine:
                self._end_offer(number, "reject", "rejected")

    def update_channel(
        self,
        worker: int,
        channel: str,
        capacity: int | None = None,
        available: bool | None = None,
    ) -> None:
        row = self._find(self.workers, worker)
        self._known("channel", channel in self.channels)
        self._known("capacity", capacity is None or 0 <= capacity <= 50)
        if capacity is not None:
            row.capacity[channel] = capacity
        if available is not None:
            row.closed = row.closed - {channel} if available else row.closed | {channel}

    def create_queue(self, expression: str) -> None:
        self._known("expression", readable(expression))
        self.queues.append(expression)

    def update_queue(self, queue: int, expression: str) -> None:
        self._find(self.queues, queue)
        self._known("expression", readable(expression))
        self.queues[queue] = expression

    def create_workflow(
        self,
        filters: list[tuple[str | None, list[dict[str, Any]]]],
        default: dict[str, Any] | None,
        reservation_timeout: int,
    ) -> None:
        self._check_targets(filters, default)
        self.workflows.append(ModelWorkflow(filters, default, reservation_timeout))

    def update_workflow(
        self,
        workflow: int,
        filters: list[tuple[str | None, list[dict[str, Any]]]],
        default: dict[str, Any] | None,
        reservation_timeout: int,
    ) -> None:
        """Who waits keeps the place, and goes on from there in what is new."""
        self._find(self.workflows, workflow)
        self._check_targets(filters, default)
        self.workflows[workflow] = ModelWorkflow(filters, default, reservation_timeout)

    def _check_targets(
        self,
        filters: list[tuple[str | None, list[dict[str, Any]]]],
        default: dict[str, Any] | None,
    ) -> None:
        targets = [target for _, targets in filters for target in targets]
        for target in [*targets, default or {}]:
            self._known("queue", (target.get("queue") or 0) < len(self.queues))

    # Work

    def create_task(
        self,
        workflow: int,
        channel: str,
        attributes: str,
        priority: int,
        timeout: int,
        start: int = 0,
    ) -> None:
        self._find(self.workflows, workflow)
        self._known("channel", channel in self.channels)
        self._known("start", start <= self.now)
        self._known("priority", 0 <= priority < 2**31)
        self._known("timeout", 0 <= timeout <= 14 * 86_400)
        task = ModelTask(
            workflow=workflow,
            channel=channel,
            attributes=attributes,
            priority=priority,
            start=start or self.now,
            deadline=self.now + (timeout or 86_400) * SECOND,
            sequence=next(self._sequence),
        )
        step = self._first_filter(task, 0)
        if step is None and self.workflows[workflow].default is not None:
            step = (-1, 0)
        if step is None:
            raise Refused("failed_precondition")
        self.tasks.append(task)
        self.events.append(("task.created", len(self.tasks) - 1))
        self.events.append(("workflow.entered", len(self.tasks) - 1))
        self._enter(len(self.tasks) - 1, step)

    def update_task(self, task: int, priority: int) -> None:
        row = self._find(self.tasks, task)
        if row.status in FINISHED:
            raise Refused("failed_precondition")
        self._known("priority", 0 <= priority < 2**31)
        row.priority = priority
        self.events.append(("task.updated", task))

    def cancel_task(self, task: int, reason: str = "") -> None:
        self._allow(self.tasks, task, "pending", "reserved")
        self._cancel(task, "cancel", reason)

    def wrap_task(self, task: int, reason: str = "") -> None:
        self._allow(self.tasks, task, "assigned")
        self._follow(task, "wrap", "wrapping", "wrapup")
        self.tasks[task].reason = reason or self.tasks[task].reason

    def complete_task(self, task: int, reason: str = "") -> None:
        self._allow(self.tasks, task, "assigned", "wrapping")
        self._follow(task, "complete", "completed", "completed")
        self.tasks[task].reason = reason or self.tasks[task].reason

    def accept(self, reservation: int) -> None:
        row = self._allow(self.reservations, reservation, "pending")
        self._turn("reservation", reservation, "accept", "accepted")
        self.events.append(("reservation.accepted", reservation))
        self._turn("task", row.task, "accept", "assigned")
        self.tasks[row.task].step_deadline = 0

    def reject(self, reservation: int, activity: str = "") -> None:
        row = self._allow(self.reservations, reservation, "pending")
        self._known("activity", not activity or activity in self.activities)
        self._end_offer(reservation, "reject", "rejected")
        worker = self.workers[row.worker]
        worker.activity = activity or worker.activity

    # Time

    def shift_offers(self, reservations: list[int], gap: int) -> None:
        for number in reservations:
            if self.reservations[number].status == "pending":
                self.reservations[number].deadline += gap
                self.events.append(("reservation.extended", number))

    def next_due(self) -> int:
        return min((row.due() for row in self._pending_rows()), default=0)

    def pass_time(self, now: int) -> None:
        """Decide whatever is due, the earliest first, of equals the older one."""
        self.now = now
        while rows := [row for row in self._pending_rows() if row.due() <= now]:
            row = min(rows, key=lambda row: (row.due(), row.sequence))
            if isinstance(row, ModelReservation):
                self._end_offer(self.reservations.index(row), "expire", "timeout")
                self.workers[row.worker].activity = OFFLINE
            elif row.deadline <= now:
                # Whatever became of the step while nobody looked.
                self._cancel(self.tasks.index(row), "expire", "Task TTL Exceeded")
            else:
                self._leave_step(self.tasks.index(row))
            self._match()

    def _pending_rows(self) -> list[ModelTask | ModelReservation]:
        return [row for row in (*self.tasks, *self.reservations) if row.due()]

    # Steps

    def _target(self, task: ModelTask, step: tuple[int, int]) -> dict[str, Any]:
        workflow, (number, place) = self.workflows[task.workflow], step
        if number == -1:
            return workflow.default or {}
        targets = workflow.filters[number][1]
        queues = [target["queue"] for target in targets[: place + 1]]
        named = [queue for queue in queues if queue is not None]
        return {**targets[place], "queue": named[-1]}

    def _first_filter(self, task: ModelTask, start: int) -> tuple[int, int] | None:
        for number, (expression, _) in enumerate(self.workflows[task.workflow].filters):
            if number >= start and (
                expression is None or holds(expression, Context.TASK, task.attributes)
            ):
                return number, 0
        return None

    def _enter(self, task: int, step: tuple[int, int]) -> None:
        row = self.tasks[task]
        target = self._target(row, step)
        row.step, row.queue = step, target["queue"]
        if target.get("priority") is not None:
            row.priority = target["priority"]
        timeout = target.get("timeout")
        row.step_deadline = self.now + timeout * SECOND if timeout else 0
        self.events.append(("task-queue.entered", task))
        self.events.append(("workflow.target-matched", task))

    def _leave_step(self, task: int) -> None:
        """To the next target, else to the next filter that takes it, else away."""
        row = self.tasks[task]
        self.events.append(("task-queue.timeout", task))
        number, place = row.step
        step: tuple[int, int] | None = None
        if number != -1:
            filters = self.workflows[row.workflow].filters
            targets = filters[number][1] if number < len(filters) else []
            step = self._first_filter(row, number + 1)
            step = (number, place + 1) if place + 1 < len(targets) else step
        if step is None:
            self.events.append(("workflow.timeout", task))
            self._cancel(task, "exhaust", "Workflow timed out")
            return
        before = row.queue
        self._enter(task, step)
        if row.queue != before:
            self.events.append(("task-queue.moved", task))

    # Endings

    def _end_offer(self, reservation: int, cause: str, status: str) -> None:
        self._turn("reservation", reservation, cause, status)
        self.events.append((f"reservation.{status}", reservation))
        task = self.reservations[reservation].task
        row = self.tasks[task]
        self._turn("task", task, "unoffered", "pending")
        if row.assignments >= self.assignments_max:
            self._cancel(task, "overrun", "Max assignment count exceeded")
        elif 0 < row.step_deadline <= self.now:
            self._leave_step(task)

    def _cancel(self, task: int, cause: str, reason: str) -> None:
        self._turn("task", task, cause, "canceled")
        self.tasks[task].reason, self.tasks[task].step_deadline = reason, 0
        self.events.append(("task.canceled", task))
        for number, row in enumerate(self.reservations):
            if (row.task, row.status) == (task, "pending"):
                self._turn("reservation", number, "cancel", "canceled")
                self.events.append(("reservation.canceled", number))

    def _follow(self, task: int, cause: str, status: str, event: str) -> None:
        self._turn("task", task, cause, status)
        self.events.append((f"task.{event}", task))
        for number, row in enumerate(self.reservations):
            if row.task == task and row.status in HELD:
                self._turn("reservation", number, cause, status)
                self.events.append((f"reservation.{event}", number))

    def _turn(self, machine: str, number: int, cause: str, status: str) -> None:
        rows: list[Any] = self.tasks if machine == "task" else self.reservations
        self.fired[machine, rows[number].status, cause] += 1
        rows[number].status = status

    # Matching

    def _match(self) -> None:
        """Offer as long as some waiting task has somebody to go to."""
        while offer := self._first_offer():
            task, candidates = offer
            row, worker = self.tasks[task], candidates[0]
            timeout = self.workflows[row.workflow].reservation_timeout
            self._turn("task", task, "offer", "reserved")
            row.assignments += 1
            self.workers[worker].last_offered = self.now
            self.events.append(("reservation.created", len(self.reservations)))
            self.reservations.append(
                ModelReservation(
                    task=task,
                    worker=worker,
                    deadline=self.now + timeout * SECOND,
                    candidates=len(candidates),
                    sequence=next(self._sequence),
                )
            )

    def _first_offer(self) -> tuple[int, list[int]] | None:
        waiting = [n for n, task in enumerate(self.tasks) if task.status == "pending"]
        for task in sorted(waiting, key=self._place):
            if candidates := self.candidates(self.tasks[task]):
                return task, candidates
        return None

    def _place(self, task: int) -> tuple[int, int, int]:
        row = self.tasks[task]
        return (-row.priority, row.start, row.sequence)

    def candidates(self, task: ModelTask) -> list[int]:
        """Who can take a task, longest without an offer first."""
        free = [
            number
            for number, worker in enumerate(self.workers)
            if self.activities[worker.activity]
            and task.channel not in worker.closed
            and self.occupied(number, task.channel) < worker.capacity[task.channel]
            and self.eligible(task.queue, worker)
        ]
        return sorted(
            free, key=lambda n: (self.workers[n].last_offered, self.workers[n].order)
        )

    def eligible(self, queue: int, worker: ModelWorker) -> bool:
        names = {"activity_name": worker.activity}
        return holds(self.queues[queue], Context.WORKER, worker.attributes, names)

    def occupied(self, worker: int, channel: str) -> int:
        return sum(
            row.worker == worker
            and row.status in HELD
            and self.tasks[row.task].channel == channel
            for row in self.reservations
        )

    # Refusing

    def _find(self, rows: list[Any], number: int) -> Any:
        if not 0 <= number < len(rows):
            raise Refused("not_found")
        return rows[number]

    def _allow(self, rows: list[Any], number: int, *statuses: str) -> Any:
        if self._find(rows, number).status not in statuses:
            raise Refused("failed_precondition")
        return rows[number]

    def _known(self, field: str, fine: bool) -> None:
        if not fine:
            raise Refused("invalid_argument", field)


def readable(expression: str) -> bool:
    try:
        parse(expression, Context.WORKER)
    except InvalidArgument:
        return False
    return True


def holds(
    expression: str,
    context: Context,
    attributes: str,
    more: dict[str, str] | None = None,
) -> bool:
    values = json.loads(attributes) | (more or {})
    return parse(expression, context).evaluate(values)
