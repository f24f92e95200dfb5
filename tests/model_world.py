"""The oracle's questions: who may take what, and in which order, by full scans."""

import json
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from itertools import count
from typing import Any

from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import Context, Dialect, parse
from tests.model_rows import (
    ANEW,
    EVERYBODY,
    HELD,
    LIMITS,
    OFFLINE,
    POLICIES,
    ROUTE,
    ModelQueue,
    ModelReservation,
    ModelTask,
    ModelWorker,
    ModelWorkflow,
    ModelWorkspace,
    Plan,
    Refused,
)


class World:
    """One workspace. Things are numbered as they come; nothing derived is kept."""

    def __init__(self, now: int, limits: Mapping[str, int] = LIMITS) -> None:
        self.now = now
        self.limits = {**LIMITS, **limits}
        self.workspace = ModelWorkspace()
        self.activities = {OFFLINE: False, "Available": True, "Unavailable": False}
        #: the names that expressions read; everything else goes by the first one
        self.names = {name: name for name in self.activities}
        #: unique name -> whether the order of workers is that of this channel alone
        self.channels = {"default": False, "chat": False, "sms": False}
        self.queues = [ModelQueue("1==1")]
        self.workflows = [ModelWorkflow([Plan([], {"queue": 0}, written=False)], 120)]
        self.workers: list[ModelWorker] = []
        self.tasks: list[ModelTask] = []
        self.reservations: list[ModelReservation] = []
        #: what happened to tasks, reservations and workers, by number
        self.events: list[tuple[str, int]] = []
        #: (machine, status, cause) -> how often
        self.fired: Counter[tuple[str, str, str]] = Counter()
        #: (policy or branch, value) -> how often it decided something
        self.decided: Counter[tuple[str, Any]] = Counter()
        self.sequence = count(1)

    # Policies

    def policy(self, name: str, queue: int = EVERYBODY) -> Any:
        """Return a policy: the queue's, else the workspace's, else the preset's."""
        workspace = self.workspace
        value = POLICIES[name][0 if workspace.semantics == "strict" else 1]
        value = workspace.policies.get(name, value)
        own = self.queues[queue].policies if queue != EVERYBODY else {}
        return own.get(name, value)

    def ask(self, name: str, queue: int = EVERYBODY) -> Any:
        """Return a policy that decides something now, and count that."""
        value = self.policy(name, queue)
        shown = value if isinstance(value, str | bool) else "off" if not value else "on"
        self.decided[name, shown] += 1
        return value

    @property
    def dialect(self) -> Dialect:
        return Dialect(self.policy("type_mismatch"), self.policy("missing_array"))

    # Workers

    def occupied(self, worker: int, channel: str | None = None) -> int:
        """Count the open reservations of a worker, on one channel or on all."""
        return sum(
            row.worker == worker
            and row.status in HELD
            and not row.gone
            and channel in (None, row.channel)
            for row in self.reservations
        )

    def assigned(self, worker: int, channel: str) -> int:
        return sum(
            (row.worker, row.status, row.channel) == (worker, "accepted", channel)
            and not row.gone
            for row in self.reservations
        )

    def available(self, worker: int) -> bool:
        """Say whether a worker takes anything new at all."""
        row = self.workers[worker]
        return self.activities[row.activity] and not row.out and not row.then

    def free(self, worker: int, channel: str) -> bool:
        """Say whether a worker has room for an offer and is there to get it."""
        row = self.workers[worker]
        return (
            not row.gone
            and self.available(worker)
            and channel not in row.closed
            and self.occupied(worker, channel) < row.capacity.get(channel, 0)
        )

    def eligible(self, queue: int, worker: int) -> bool:
        row = self.workers[worker]
        if row.gone or queue == EVERYBODY:
            return not row.gone
        expression = parse(
            self.queues[queue].expression, Context.WORKER, dialect=self.dialect
        )
        return expression.evaluate(self.shown(worker))

    def shown(self, worker: int) -> dict[str, Any]:
        """Return what expressions see of a worker."""
        row = self.workers[worker]
        live = {
            channel: {
                "configured_capacity": row.capacity[channel],
                "assigned_tasks": self.assigned(worker, channel),
                "available_capacity_percentage": self._percentage(worker, channel),
            }
            for channel in row.capacity
        }
        return json.loads(row.attributes) | {
            "sid": f"WK#{worker}",
            "friendly_name": row.name,
            "activity_name": self.names[row.activity],
            "channel": live,
        }

    def _percentage(self, worker: int, channel: str) -> int:
        capacity = self.workers[worker].capacity[channel]
        left = capacity - self.occupied(worker, channel)
        return left * 100 // capacity if left > 0 else 0

    def idle_since(self, worker: int, channel: str) -> int:
        row = self.workers[worker]
        alone = {channel} if self.channels[channel] else set(self.channels)
        clocks = [
            moment
            for moments in (row.offered, row.released)
            for name, moment in moments.items()
            if name in alone
        ]
        return max([row.available_since, *clocks])

    def offered_last(self, worker: int, channel: str) -> int:
        offered = self.workers[worker].offered
        if self.channels[channel]:
            return offered.get(channel, 0)
        return max(offered.values(), default=0)

    def utilization(self, worker: int, channel: str) -> Fraction:
        """Return held over capacity, of all channels or of an optimized one alone."""
        capacity = self.workers[worker].capacity
        if self.channels[channel]:
            return Fraction(self.occupied(worker, channel), capacity[channel])
        return Fraction(self.occupied(worker), sum(capacity.values()))

    # Tasks

    def target(self, task: ModelTask) -> dict[str, Any]:
        """Return the target of a task's step; a step outside of the workflow has none."""
        number, place = task.step
        if number in (ROUTE, ANEW):
            return {}
        plan = self.workflows[task.workflow].revisions[task.revision]
        if number < 0:
            return (plan.default or {}) if number == -1 else {}
        return plan.filters[number]["targets"][place]

    def wanted(self, task: ModelTask) -> int | None:
        """Return the only worker a task may go to: None is anybody, -1 nobody."""
        if task.step[0] == ROUTE:
            link = task.routes[task.route]
            return link.number if link.kind == "worker" else None
        if not self.target(task).get("known"):
            return None
        by, path = self.target(task)["known"]
        value = self.values(task).get(path)
        for number, row in enumerate(self.workers):
            if row.gone or not isinstance(value, str):
                continue
            named = value.casefold() == row.name.casefold()
            if value == f"WK#{number}" if by == "sid" else named:
                return number
        return -1

    def wants_in_vain(self, task: ModelTask) -> bool:
        """Say whether a step names a worker who is not in its queue; null is no name."""
        worker = self.wanted(task)
        if (
            worker is None
            or self.values(task).get(self.target(task)["known"][1]) is None
        ):
            return False
        return worker == -1 or not self.eligible(task.queue, worker)

    def values(self, task: ModelTask) -> dict[str, Any]:
        """Return what expressions see of a task."""
        values: dict[str, Any] = json.loads(task.attributes)
        values["refused_by"] = [f"WK#{worker}" for worker in task.refusals]
        return values

    def able(self, task: ModelTask, worker: int) -> bool:
        """Say whether a worker may have a waiting task now, refused before or not."""
        wanted = self.wanted(task)
        return (
            (wanted is None or wanted == worker)
            and self.eligible(task.queue, worker)
            and self.free(worker, task.channel)
            and self._suits(task, worker)
        )

    def _suits(self, task: ModelTask, worker: int) -> bool:
        text = self.target(task).get("expression")
        if not text:
            return True
        expression = parse(text, Context.PAIR, dialect=self.dialect)
        return expression.evaluate_pair(self.values(task), self.shown(worker))

    def passed_over(self, task: ModelTask, worker: int) -> bool:
        refusal = task.refusals.get(worker)
        return refusal is not None and refusal.passed_over

    def candidates(self, task: int) -> list[int]:
        """Return who would get a waiting task, the best first."""
        row = self.tasks[task]
        free = [
            number
            for number in range(len(self.workers))
            if self.able(row, number) and not self.passed_over(row, number)
        ]
        return sorted(free, key=lambda worker: self._rank(row, worker))

    def _rank(self, task: ModelTask, worker: int) -> tuple[Any, ...]:
        clauses = (self.target(task).get("order_by") or "").split(",")
        by_step = tuple(self._clause(clause, worker) for clause in clauses if clause)
        return (*by_step, self._order(task, worker), worker)

    def _clause(self, clause: str, worker: int) -> tuple[bool, float]:
        """Return a key of `worker.path ASC`; what is no number comes last."""
        path, direction = clause.split()
        value: Any = self.shown(worker)
        for segment in path.split(".")[1:]:
            value = value.get(segment) if isinstance(value, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True, 0
        return False, -value if direction == "DESC" else value

    def _order(self, task: ModelTask, worker: int) -> Any:
        match self.policy("worker_order", task.queue):
            case "least_recently_offered":
                return self.offered_last(worker, task.channel)
            case "longest_idle":
                return self.idle_since(worker, task.channel)
            case "least_utilized":
                idle = self.idle_since(worker, task.channel)
                return self.utilization(worker, task.channel), idle
            case _:
                cursor = -1 if task.queue < 0 else self.queues[task.queue].cursor
                return worker <= cursor

    def in_line(self) -> list[int]:
        """Return the waiting tasks, whose turn it is first."""
        waiting = [
            number
            for number, row in enumerate(self.tasks)
            if row.status == "pending" and not row.gone
            if not row.passing and not row.hold
        ]
        return sorted(waiting, key=self._place)

    def _place(self, task: int) -> tuple[bool, int, int, int]:
        row = self.tasks[task]
        kind = "FIFO" if row.queue < 0 else self.queues[row.queue].order
        later = kind != self.workspace.prefers
        if kind == "LIFO":
            return later, 0, -row.start, -row.sequence
        boost = self.policy("priority_boost_seconds") * 1_000_000
        if boost:
            return later, row.start - row.priority * boost, row.start, row.sequence
        return later, -row.priority, row.start, row.sequence

    # Refusing

    def find(self, rows: list[Any], number: int) -> Any:
        if not 0 <= number < len(rows) or rows[number].gone:
            raise Refused("not_found")
        return rows[number]

    def allow(self, rows: list[Any], number: int, *statuses: str) -> Any:
        if self.find(rows, number).status not in statuses:
            raise Refused("failed_precondition")
        return rows[number]

    def need(self, name: str, fine: bool) -> None:
        """Refuse an argument that is not fine."""
        if not fine:
            raise Refused("invalid_argument", name)

    def hold(self, name: str, fine: bool) -> None:
        """Refuse what things as they are do not allow."""
        if not fine:
            raise Refused("failed_precondition", name)

    def readable(self, expression: str) -> bool:
        try:
            parse(expression, Context.WORKER, dialect=self.dialect)
        except InvalidArgument:
            return False
        return True
