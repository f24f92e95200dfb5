"""A desk: one workspace's Router, and the names of its numbers and handles.

Rows have sids, the Router has integers. What is told and when is matching.py.
"""

from collections import OrderedDict
from typing import Any

import msgspec

from flexcore._routing import Router
from flexcore.domain import limits
from flexcore.domain.expressions import order_operands
from flexcore.domain.model import Worker
from flexcore.domain.plans import Target

#: the queue of tasks that a routing target sends to a worker; everybody belongs to it
DIRECT = ""


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What the matcher decided: this task to this worker, out of so many."""

    task_sid: str
    worker_sid: str
    candidates: int
    runner_up_sid: str = ""


class Wait(msgspec.Struct, frozen=True, gc=False, eq=True):
    """All that the Router is told of a waiting task but its priority."""

    queue: int
    channel: int
    start: int
    sequence: int
    spec: int
    attributes: str
    refused_by: tuple[str, ...]
    known: int | None
    excluded: tuple[int, ...]


class Desk:
    """One workspace's Router and the names of its handles."""

    def __init__(self) -> None:
        self.router = Router()
        #: numbers of task channels by unique name, for live values in expressions
        self.channels: dict[str, int] = {}
        self._direct: bool | None = None
        self._numbers: dict[str, int] = {}
        self._workers: dict[str, int] = {}
        self._worker_sids: dict[int, str] = {}
        self._tasks: dict[str, tuple[int, Wait]] = {}
        self._task_sids: dict[int, str] = {}
        self._specs: OrderedDict[tuple[Any, ...], int] = OrderedDict()
        self._waiting: dict[int, int] = {}

    # numbers and handles

    def number(self, sid: str) -> int:
        """Return the small integer that stands for a queue, a channel or an activity."""
        return self._numbers.setdefault(sid, len(self._numbers))

    def worker(self, sid: str) -> int:
        """Return a worker's handle; KeyError while the Router does not know it."""
        return self._workers[sid]

    def knows(self, worker_sid: str) -> bool:
        """Say whether the Router was told of a worker."""
        return worker_sid in self._workers

    def handles(self, worker_sids: tuple[str, ...]) -> tuple[int, ...]:
        """Return the handles of those workers who are still there."""
        return tuple(self._workers[sid] for sid in worker_sids if sid in self._workers)

    def open_direct(self, *, preferred: bool) -> None:
        """Make the queue of tasks that are for one worker each; everybody is in it."""
        if self._direct != preferred:
            self.router.set_queue(
                self.number(DIRECT), (("const", True),), preferred=preferred
            )
            self._direct = preferred

    # workers

    def add_worker(
        self, worker: Worker, attributes: dict[str, Any], *, available: bool
    ) -> None:
        """Tell the Router of a new worker."""
        handle = self.router.add_worker(
            attributes,
            self.number(worker.activity_sid),
            available,
            worker.order,
            worker.available_time,
        )
        self._workers[worker.sid] = handle
        self._worker_sids[handle] = worker.sid

    def remove_worker(self, sid: str) -> None:
        """Tell the Router that a worker is gone."""
        handle = self._workers.pop(sid)
        del self._worker_sids[handle]
        self.router.remove_worker(handle)

    # tasks

    def wait(
        self, task_sid: str, wait: Wait, priority: int, values: dict[str, Any] | None
    ) -> None:
        """Put a task into its queue."""
        handle = self.router.add_task(
            wait.queue,
            wait.channel,
            priority,
            wait.start,
            wait.sequence,
            wait.spec,
            values,
            wait.known,
            wait.excluded,
        )
        self._tasks[task_sid] = handle, wait
        self._task_sids[handle] = task_sid
        self._waiting[wait.spec] = self._waiting.get(wait.spec, 0) + 1

    def waits(self, task_sid: str) -> Wait | None:
        """Return what the Router was told of a task; None if it does not wait."""
        found = self._tasks.get(task_sid)
        return None if found is None else found[1]

    @property
    def occupied(self) -> bool:
        """Say whether the Router knows of any waiting task."""
        return bool(self._tasks)

    def leave(self, task_sid: str) -> None:
        """Take a waiting task out of its queue."""
        self.router.remove_task(self._forget(task_sid))

    def reprioritize(self, task_sid: str, priority: int) -> None:
        """Move a waiting task within its queue."""
        self.router.reprioritize(self._tasks[task_sid][0], priority)

    def _forget(self, task_sid: str) -> int:
        handle, wait = self._tasks.pop(task_sid)
        del self._task_sids[handle]
        self._waiting[wait.spec] -= 1
        return handle

    def match(self, now: int, limit: int) -> list[Offer]:
        """Return the offers that follow, and forget the handles of their tasks."""
        found = self.router.match(now, limit)
        sids, workers = self._task_sids, self._worker_sids
        offers = [
            Offer(sids[task], workers[worker], candidates, workers.get(other, ""))
            for task, worker, candidates, other in found
        ]
        for sid in dict.fromkeys(offer.task_sid for offer in offers):
            self._forget(sid)
        return offers

    # specs

    def spec(self, target: Target | None) -> int:
        """Return the handle of a step's expression and order; 0 if it has neither."""
        if target is None or (target.expression is None and not target.order_by):
            return 0
        expression = target.expression
        pair = () if expression is None else expression.program(self.channels)
        order = order_operands(target.order_by, self.channels)
        key = (pair, order)
        if key not in self._specs:
            self._specs[key] = self.router.open_spec(pair, order)
            self._close_unused()
        self._specs.move_to_end(key)
        return self._specs[key]

    def _close_unused(self) -> None:
        """Keep the specs bounded: one that nobody waits with can be made again."""
        if len(self._specs) <= limits.SPECS_KEPT:
            return
        for key, spec in list(self._specs.items())[:-1]:
            if not self._waiting.get(spec):
                self.router.close_spec(spec)
                self._waiting.pop(spec, None)
                del self._specs[key]
                return

    # inspection

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return what the Router knows by sid: numbers go by who was named first."""
        return named(
            dict(self.router.dump()),
            {number: sid for sid, number in self._numbers.items()},
        )


def named(facts: dict[str, Any], sids: dict[int, str]) -> dict[str, Any]:
    """Return a Router's dump with sids for numbers, sorted by them."""
    # Opened with the first task that needs it, and kept.
    queues = [
        row | {"queue": sids[row["queue"]]}
        for row in facts["queues"]
        if sids[row["queue"]] != DIRECT
    ]
    workers = [
        row
        | {
            "activity": sids[row["activity"]],
            "channels": sorted((sids[c], *room) for c, *room in row["channels"]),
            "queues": sorted(sids[q] for q in row["queues"] if sids[q] != DIRECT),
        }
        for row in facts["workers"]
    ]
    tasks = [
        row
        | {
            "queue": sids[row["queue"]],
            "channel": sids[row["channel"]],
            "pair": tuple(_named_operand(step, sids) for step in row["pair"]),
            "order_by": tuple(
                (_named_operand(operand, sids), descending)
                for operand, descending in row["order_by"]
            ),
        }
        for row in facts["tasks"]
    ]
    queues.sort(key=lambda row: row["queue"])
    channels = sorted(sids[number] for number in facts["channels"])
    return {
        "channels": channels,
        "queues": queues,
        "workers": workers,
        "tasks": tasks,
    }


def _named_operand(step: tuple[Any, ...], sids: dict[int, str]) -> tuple[Any, ...]:
    """Return an instruction with a channel's sid for its number."""
    return ("live", sids[step[1]], *step[2:]) if step[0] == "live" else step
