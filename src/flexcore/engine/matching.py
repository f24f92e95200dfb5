"""Between rows and the matcher: tells each Router what changed, and asks for offers.

Routers know integers. This file owns the maps between sids and their handles, and the
one rule of translation: `sync` compares a touched row with what it was and tells the
Router the difference. A Router rebuilt from rows equals the live one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flexcore._routing import Router
from flexcore.domain.expressions import Context, parse
from flexcore.domain.model import (
    Activity,
    Reservation,
    Row,
    Task,
    TaskQueue,
    Worker,
    WorkerChannel,
)
from flexcore.domain.states import OPEN_RESERVATION, TaskStatus
from flexcore.engine.decision import decoded
from flexcore.engine.state import State


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What the matcher decided: this task to this worker, out of so many."""

    task_sid: str
    worker_sid: str
    candidates: int


class Desk:
    """One workspace's Router and the names of its handles."""

    def __init__(self) -> None:
        self.router = Router()
        self._numbers: dict[str, int] = {}
        self._workers: dict[str, int] = {}
        self._worker_sids: dict[int, str] = {}
        self._tasks: dict[str, int] = {}
        self._task_sids: dict[int, str] = {}

    def number(self, sid: str) -> int:
        """Return the small integer that stands for a queue or a task channel."""
        return self._numbers.setdefault(sid, len(self._numbers))

    def worker(self, sid: str) -> int:
        """Return a worker's handle; KeyError while the Router does not know it."""
        return self._workers[sid]

    def knows(self, worker_sid: str) -> bool:
        """Say whether the Router was told of a worker."""
        return worker_sid in self._workers

    def add_worker(
        self, worker: Worker, attributes: Mapping[str, Any], **now: Any
    ) -> None:
        """Tell the Router of a new worker."""
        handle = self.router.add_worker(
            dict(attributes), now["available"], now["last_offered"], worker.order
        )
        self._workers[worker.sid] = handle
        self._worker_sids[handle] = worker.sid

    def wait(self, task: Task) -> None:
        """Put a task into its queue."""
        handle = self.router.add_task(
            self.number(task.task_queue_sid),
            self.number(task.task_channel_sid),
            task.priority,
            task.virtual_start_time,
            task.sequence,
        )
        self._tasks[task.sid] = handle
        self._task_sids[handle] = task.sid

    def leave(self, task_sid: str) -> None:
        """Take a waiting task out of its queue."""
        handle = self._tasks.pop(task_sid)
        del self._task_sids[handle]
        self.router.remove_task(handle)

    def reprioritize(self, task: Task) -> None:
        """Move a waiting task within its queue."""
        self.router.reprioritize(self._tasks[task.sid], task.priority)

    def match(self, now: int, limit: int) -> list[Offer]:
        """Return the offers that follow, and forget the handles of their tasks."""
        offers = []
        for task, worker, candidates in self.router.match(now, limit):
            task_sid = self._task_sids.pop(task)
            del self._tasks[task_sid]
            offers.append(Offer(task_sid, self._worker_sids[worker], candidates))
        return offers

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return what the Router knows by sid: numbers go by who was named first."""
        facts = self.router.dump()
        sids = {number: sid for sid, number in self._numbers.items()}
        queues: list[dict[str, Any]] = [
            queue | {"queue": sids[queue["queue"]]} for queue in facts["queues"]
        ]
        workers = [
            worker
            | {
                "channels": sorted((sids[c], *room) for c, *room in worker["channels"]),
                "queues": sorted(sids[queue] for queue in worker["queues"]),
            }
            for worker in facts["workers"]
        ]
        tasks = [
            task | {"queue": sids[task["queue"]], "channel": sids[task["channel"]]}
            for task in facts["tasks"]
        ]
        queues.sort(key=lambda queue: queue["queue"])
        return {"queues": queues, "workers": workers, "tasks": tasks}


class Matching:
    """The Routers of one account, by workspace."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._desks: dict[str, Desk] = {}
        self._dirty: dict[str, None] = {}

    @classmethod
    def rebuilt(cls, state: State) -> "Matching":
        """Return the matching that follows from the rows alone."""
        matching = cls(state)
        kinds: tuple[type[Row], ...] = (TaskQueue, Worker, Task)
        for kind in kinds:
            for row in state.of_kind(kind):
                matching._sync_row(None, row)
        return matching

    def desk(self, workspace_sid: str) -> Desk:
        """Return a workspace's desk, made at its first use."""
        self._dirty[workspace_sid] = None
        if workspace_sid not in self._desks:
            self._desks[workspace_sid] = Desk()
        return self._desks[workspace_sid]

    def sync(self, touched: Mapping[str, Row | None]) -> None:
        """Tell the Routers how the touched rows differ from what they were."""
        for sid, before in touched.items():
            self._sync_row(before, self._state.rows[sid])

    def match(self, now: int, limit: int) -> list[Offer]:
        """Return at most `limit` offers; `pending` says whether more follow."""
        offers: list[Offer] = []
        for workspace_sid in list(self._dirty):
            found = self._desks[workspace_sid].match(now, limit - len(offers))
            offers += found
            if len(offers) >= limit:
                return offers
            del self._dirty[workspace_sid]
        return offers

    @property
    def pending(self) -> bool:
        """Say whether offers may follow from what was told already."""
        return bool(self._dirty)

    def desks(self) -> Iterable[tuple[str, Desk]]:
        """Return every workspace with its desk."""
        return sorted(self._desks.items())

    def dump(self) -> list[Any]:
        """Return what the Routers know, equal for a live and a rebuilt matching."""
        return [
            (sid, desk.dump())
            for sid, desk in self.desks()
            if self._state.count(Worker, "workspace_sid", sid)
            or self._state.count(TaskQueue, "workspace_sid", sid)
        ]

    def _sync_row(self, before: Row | None, row: Row) -> None:
        if isinstance(row, Task):
            self._sync_task(before, row)
        elif isinstance(row, Reservation):
            self._sync_reservation(before, row)
        elif isinstance(row, WorkerChannel):
            self._sync_channel(before, row)
        elif isinstance(row, Worker):
            self._sync_worker(before, row)
        elif isinstance(row, TaskQueue):
            self._sync_queue(before, row)

    def _sync_task(self, before: Row | None, task: Task) -> None:
        waited = isinstance(before, Task) and before.status == TaskStatus.PENDING
        waits = task.status == TaskStatus.PENDING
        if not waited and not waits:
            return
        desk = self.desk(task.workspace_sid)
        if not waited:
            desk.wait(task)
        elif not waits:
            desk.leave(task.sid)
        else:
            assert isinstance(before, Task)
            if before.task_queue_sid != task.task_queue_sid:
                desk.leave(task.sid)
                desk.wait(task)
            elif before.priority != task.priority:
                desk.reprioritize(task)

    def _sync_reservation(self, before: Row | None, reservation: Reservation) -> None:
        held = isinstance(before, Reservation) and before.status in OPEN_RESERVATION
        if held and reservation.status not in OPEN_RESERVATION:
            desk = self.desk(reservation.workspace_sid)
            handle = desk.worker(reservation.worker_sid)
            desk.router.release(handle, desk.number(reservation.task_channel_sid))

    def _sync_worker(self, before: Row | None, worker: Worker) -> None:
        desk = self.desk(worker.workspace_sid)
        available = self._available(worker)
        if not isinstance(before, Worker):
            channels = self._state.where(WorkerChannel, "worker_sid", worker.sid)
            desk.add_worker(
                worker,
                self._attributes(worker),
                available=available,
                last_offered=max((c.last_offered for c in channels), default=0),
            )
            for channel in channels:
                self._set_channel(desk, channel)
            return
        handle = desk.worker(worker.sid)
        if before.attributes != worker.attributes or (
            before.activity_sid != worker.activity_sid
            or before.friendly_name != worker.friendly_name
        ):
            desk.router.set_attributes(handle, self._attributes(worker))
        if before.activity_sid != worker.activity_sid:
            desk.router.set_available(handle, available)

    def _sync_channel(self, before: Row | None, channel: WorkerChannel) -> None:
        desk = self.desk(channel.workspace_sid)
        if not desk.knows(channel.worker_sid):
            return  # its worker comes later in the same decision and brings it along
        if isinstance(before, WorkerChannel) and (
            before.configured_capacity == channel.configured_capacity
            and before.available == channel.available
        ):
            return
        self._set_channel(desk, channel)

    def _set_channel(self, desk: Desk, channel: WorkerChannel) -> None:
        desk.router.set_channel(
            desk.worker(channel.worker_sid),
            desk.number(channel.task_channel_sid),
            channel.configured_capacity if channel.available else 0,
            self.occupied(channel),
        )

    def _sync_queue(self, before: Row | None, queue: TaskQueue) -> None:
        was = before.target_workers if isinstance(before, TaskQueue) else None
        if was == queue.target_workers:
            return
        desk = self.desk(queue.workspace_sid)
        program = parse(queue.target_workers, Context.WORKER).program()
        desk.router.set_queue(desk.number(queue.sid), program)

    def occupied(self, channel: WorkerChannel) -> int:
        """Return how many open reservations a worker holds on a channel."""
        held = self._state.where(Reservation, "open_worker_sid", channel.worker_sid)
        return sum(r.task_channel_sid == channel.task_channel_sid for r in held)

    def _available(self, worker: Worker) -> bool:
        return self._state.need(worker.activity_sid, Activity).available

    def _attributes(self, worker: Worker) -> dict[str, Any]:
        """Return what queue expressions see of a worker."""
        activity = self._state.need(worker.activity_sid, Activity)
        return decoded(worker.attributes) | {
            "sid": worker.sid,
            "friendly_name": worker.friendly_name,
            "activity_sid": worker.activity_sid,
            "activity_name": activity.friendly_name,
        }
