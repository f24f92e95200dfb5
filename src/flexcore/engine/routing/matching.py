"""Between rows and the matcher: tells each Router what changed, and asks for offers.

`sync` compares rows with what they were and tells the Router the difference, in an order
that never names what is not there: tasks that no longer wait leave first, tasks that wait
enter last. A Router rebuilt from rows equals the live one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flexcore.domain import limits
from flexcore.domain.model import (
    Activity,
    Reservation,
    Row,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.semantics import resolved
from flexcore.domain.states import OPEN_RESERVATION, ReservationStatus
from flexcore.domain.workflows import may_name
from flexcore.engine.routing import clocks, refusals, routes, steps
from flexcore.engine.routing.asked import Asked
from flexcore.engine.routing.desk import Desk, Offer, Wait
from flexcore.engine.routing.membership import attributes_of, target_of
from flexcore.engine.setup.policies import policies_of, told_of_tasks
from flexcore.engine.state import State

#: the rules of worker order as the Router numbers them
ORDERS: Mapping[str, int] = {
    "least_recently_offered": 0,
    "longest_idle": 1,
    "least_utilized": 2,
    "round_robin": 3,
}
Before = Mapping[str, Row | None]
Change = tuple[Row | None, Row | None]


class Matching:
    """The Routers of one account, by workspace."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._desks: dict[str, Desk] = {}
        self._dirty: dict[str, None] = {}
        #: waiting tasks whose step is to be skipped if nobody can take them
        self._asking: dict[str, None] = {}
        self._asked = Asked()
        #: waiting tasks and workers that the Routers have still to be told of anew
        self._untold: dict[str, None] = {}
        #: who tells the Router of what, in the order that names nothing too early
        self._telling: tuple[
            tuple[type[Row], Callable[[Row | None, Row | None], None]], ...
        ] = (
            (Workspace, self._sync_workspace),
            (TaskChannel, self._sync_task_channel),
            (TaskQueue, self._sync_queue),
            (Activity, self._sync_activity),
            (Worker, self._sync_worker),
            (Reservation, self._sync_reservation),
            (WorkerChannel, self._sync_channel),
        )

    @classmethod
    def rebuilt(cls, state: State) -> "Matching":
        """Return the matching that follows from the rows alone."""
        matching = cls(state)
        kinds: tuple[type[Row], ...] = (TaskChannel, TaskQueue, Worker, Task)
        matching.sync({row.sid: None for kind in kinds for row in state.of_kind(kind)})
        return matching

    def desk(self, workspace_sid: str) -> Desk:
        """Return a workspace's desk, made at its first use."""
        self._dirty[workspace_sid] = None
        if workspace_sid not in self._desks:
            self._desks[workspace_sid] = Desk()
        return self._desks[workspace_sid]

    def desks(self) -> Iterable[tuple[str, Desk]]:
        """Return every workspace with its desk."""
        return sorted(self._desks.items())

    # offers

    @property
    def pending(self) -> bool:
        """Say whether offers may follow from what was told already."""
        return bool(self._dirty or self._asking or self._untold)

    @property
    def behind(self) -> bool:
        """Say whether the Routers do not know yet what changed; then nothing is offered."""
        return bool(self._untold)

    def catch_up(self) -> None:
        """Tell of the next few tasks and workers that something read by them changed.

        All of them at once would take as long as there are many.
        """
        for _ in range(min(limits.TOLD_AT_ONCE, len(self._untold))):
            sid, _ = self._untold.popitem()
            row = self._state.rows.get(sid)
            if isinstance(row, Task) and row.waits:
                self._wait(row)
            elif isinstance(row, Worker):
                self._describe(row)

    def match(self, now: int, limit: int) -> list[Offer]:
        """Return at most `limit` offers, and what belongs to the last one's task."""
        offers: list[Offer] = []
        for workspace_sid in list(self._dirty):
            found = self._desks[workspace_sid].match(now, limit - len(offers))
            offers += found
            for offer in found:
                self._forget(offer.task_sid)
            if len(offers) >= limit:
                return offers
            del self._dirty[workspace_sid]
        return offers

    @property
    def unsettled(self) -> bool:
        """Say whether `match` has more to give."""
        return bool(self._dirty)

    def unplaced(self) -> list[Task]:
        """Return the tasks that nobody can take in a step they just entered, once."""
        asking, self._asking = self._asking, {}
        found = [self._state.find(sid, Task) for sid in asking]
        waiting = [task for task in found if task is not None]
        return sorted(waiting, key=lambda task: task.sequence)

    def counts(self, task: Task) -> dict[str, Any]:
        """Return what skip_if sees of a task's queue: workers by their activity."""
        desk = self._desks[task.workspace_sid]
        router, queue = desk.router, desk.number(task.task_queue_sid)
        available = router.available(queue)
        activities = self._state.where(Activity, "workspace_sid", task.workspace_sid)
        return {
            "available": available,
            "unavailable": router.members(queue) - available,
        } | {
            row.sid: router.in_activity(queue, desk.number(row.sid))
            for row in activities
        }

    def members(self, queue: TaskQueue) -> tuple[int, int, Callable[[Activity], int]]:
        """Return how many workers a queue has, are available, and are in an activity."""
        desk = self._desks[queue.workspace_sid]
        number = desk.number(queue.sid)

        def in_activity(activity: Activity) -> int:
            return desk.router.in_activity(number, desk.number(activity.sid))

        router = desk.router
        return router.members(number), router.available(number), in_activity

    # what changed

    def sync(self, before: Before) -> None:
        """Tell the Routers how rows differ from what they were."""
        changed = self._changed(before)
        for old, new in changed.get(Task, ()):
            if isinstance(old, Task) and not _waits(new):
                self._leave(old)
        for kind, tell in self._telling:
            for old, new in changed.get(kind, ()):
                tell(old, new)
        for _, new in changed.get(Task, ()):
            if isinstance(new, Task) and _waits(new):
                self._wait(new)
        for old, new in changed.get(TaskQueue, ()):
            if new is None and isinstance(old, TaskQueue):
                desk = self.desk(old.workspace_sid)
                desk.router.remove_queue(desk.number(old.sid))

    def _changed(self, before: Before) -> Mapping[type[Row], list[Change]]:
        """Return rows by kind as they were and as they are; None where there is none."""
        rows = self._state.rows
        changed: dict[type[Row], list[Change]] = {}
        for sid, old in before.items():
            new = rows.get(sid)
            if (row := new or old) is not None:
                changed.setdefault(type(row), []).append((old, new))
        return changed

    # tasks

    def _wait(self, task: Task) -> None:
        desk = self.desk(task.workspace_sid)
        if not task.task_queue_sid:
            workspace = self._state.need(task.workspace_sid, Workspace)
            desk.open_direct(preferred=workspace.prioritize_queue_order == "FIFO")
        wait, values = self._wait_of(desk, task)
        before = desk.waits(task.sid)
        priority = self._rank(task)
        if before == wait:
            desk.reprioritize(task.sid, priority)
        else:
            if before is not None:
                desk.leave(task.sid)
            desk.wait(task.sid, wait, priority, values)
        if task.skip_pending:
            self._asking[task.sid] = None
        asked = steps.known_value(self._state, task)
        wanted = None if asked is None else (task.workspace_sid, *asked)
        self._asked.note(task.sid, wanted)

    def _wait_of(self, desk: Desk, task: Task) -> tuple[Wait, dict[str, Any] | None]:
        step = steps.step_of(self._state, task)
        spec = desk.spec(None if step is None else step.target)
        asked = routes.asked_worker(self._state, task)
        known = None
        if asked is not None:
            known = desk.worker(asked) if desk.knows(asked) else 0
        wait = Wait(
            queue=desk.number(task.task_queue_sid),
            channel=desk.number(task.task_channel_sid),
            start=task.virtual_start_time,
            sequence=task.sequence,
            spec=spec,
            attributes=task.attributes if spec else "",
            refused_by=tuple(row.worker_sid for row in task.refusals) if spec else (),
            known=known,
            excluded=desk.handles(refusals.passed_over(task)),
        )
        return wait, steps.task_values(task) if spec else None

    def _rank(self, task: Task) -> int:
        """Return a task's priority, with what it is worth that it has waited.

        A point for every so many seconds makes the order of two tasks the same at any
        time, so that nothing has to be sorted anew as time goes by.
        """
        boost = policies_of(self._state, task.workspace_sid).priority_boost_seconds
        if not boost:
            return task.priority
        point = boost * limits.SECOND
        return min(task.priority, limits.RANK_MAX // point) * point - (
            task.virtual_start_time
        )

    def _leave(self, task: Task) -> None:
        desk = self._desks.get(task.workspace_sid)
        if desk is not None and desk.waits(task.sid) is not None:
            desk.leave(task.sid)
            self._forget(task.sid)

    def _forget(self, task_sid: str) -> None:
        self._asking.pop(task_sid, None)
        self._asked.forget(task_sid)

    def _tell_later(self, sids: Iterable[str]) -> None:
        more = dict.fromkeys(sids)
        if self._untold:
            more |= self._untold
        self._untold = more

    def _resolve(self, worker: Worker) -> None:
        """Look again at the tasks that ask for a worker by sid or by name."""
        for by in (("sid", worker.sid), ("friendly_name", worker.folded_name)):
            self._tell_later(self._asked.by((worker.workspace_sid, *by)))

    # workers

    def _sync_activity(self, before: Row | None, row: Row | None) -> None:
        """Tell of all workers in an activity that has another name now."""
        if not (isinstance(before, Activity) and isinstance(row, Activity)):
            return
        if before.friendly_name == row.friendly_name:
            return
        self._tell_later(self._state.sids(Worker, "activity_sid", row.sid))

    def _describe(self, worker: Worker) -> None:
        """Tell what expressions see of a worker."""
        desk = self.desk(worker.workspace_sid)
        values = attributes_of(self._state, worker)
        desk.router.set_attributes(desk.worker(worker.sid), values)

    def _sync_worker(self, before: Row | None, worker: Row | None) -> None:
        if isinstance(worker, Worker) and isinstance(before, Worker):
            self._change_worker(before, worker)
        elif isinstance(worker, Worker):
            desk = self.desk(worker.workspace_sid)
            desk.add_worker(
                worker,
                attributes_of(self._state, worker),
                available=worker.available,
            )
            for channel in self._state.where(WorkerChannel, "worker_sid", worker.sid):
                self._set_channel(desk, channel)
            self._resolve(worker)
        elif isinstance(before, Worker):
            self.desk(before.workspace_sid).remove_worker(before.sid)
            self._resolve(before)

    def _change_worker(self, before: Worker, worker: Worker) -> None:
        desk = self.desk(worker.workspace_sid)
        handle = desk.worker(worker.sid)
        moved = before.activity_sid != worker.activity_sid
        renamed = before.friendly_name != worker.friendly_name
        if moved or renamed or before.attributes != worker.attributes:
            self._describe(worker)
        if moved or before.available_time != worker.available_time:
            desk.router.set_activity(
                handle,
                desk.number(worker.activity_sid),
                worker.available,
                worker.available_time,
            )
        if renamed:
            self._resolve(before)
            self._resolve(worker)

    def _sync_reservation(self, before: Row | None, row: Row | None) -> None:
        reservation = row or before
        assert isinstance(reservation, Reservation)
        was, now = _status(before), _status(row)
        desk = self.desk(reservation.workspace_sid)
        if was == now or not desk.knows(reservation.worker_sid):
            return
        worker = desk.worker(reservation.worker_sid)
        channel = desk.number(reservation.task_channel_sid)
        if was is None and now is not None:
            desk.router.take(worker, channel, reservation.create_time)
        accepted = ReservationStatus.ACCEPTED
        if (was == accepted) != (now == accepted):
            desk.router.assign(worker, channel, 1 if now == accepted else -1)
        if was is not None and now is None:
            desk.router.release(worker, channel, self._release_time(reservation))

    def _release_time(self, reservation: Reservation) -> int:
        """Return when a reservation ended; one that was removed no longer says it."""
        if reservation.sid in self._state.rows:
            return reservation.update_time
        worker_sid, channel_sid = reservation.worker_sid, reservation.task_channel_sid
        channel = clocks.channel_of(self._state, worker_sid, channel_sid)
        return reservation.update_time if channel is None else channel.last_released

    def _sync_channel(self, before: Row | None, row: Row | None) -> None:
        if not isinstance(row, WorkerChannel):
            if isinstance(before, WorkerChannel):
                self._forget_channel(before)
            return
        desk = self.desk(row.workspace_sid)
        if not desk.knows(row.worker_sid):
            return  # its worker comes later in the same decision and brings it along
        if isinstance(before, WorkerChannel) and (
            before.configured_capacity == row.configured_capacity
            and before.available == row.available
        ):
            return
        self._set_channel(desk, row)

    def _forget_channel(self, channel: WorkerChannel) -> None:
        """Take back what was told of a worker's channel whose task channel is gone.

        Its clocks would go on counting among those of the worker until a restart.
        """
        desk = self.desk(channel.workspace_sid)
        if desk.knows(channel.worker_sid):
            worker = desk.worker(channel.worker_sid)
            number = desk.number(channel.task_channel_sid)
            desk.router.set_channel(worker, number, 0, 0, 0, True, 0, 0)

    def _set_channel(self, desk: Desk, channel: WorkerChannel) -> None:
        held = clocks.held(self._state, channel)
        desk.router.set_channel(
            desk.worker(channel.worker_sid),
            desk.number(channel.task_channel_sid),
            channel.configured_capacity,
            len(held),
            sum(row.status == ReservationStatus.ACCEPTED for row in held),
            channel.available,
            channel.last_offered,
            channel.last_released,
        )

    # queues and channels

    def _sync_workspace(self, before: Row | None, row: Row | None) -> None:
        """Tell everything anew that reads what changed of the policies.

        Most policies the matcher knows nothing of: however much waits costs nothing then.
        """
        if not (isinstance(before, Workspace) and isinstance(row, Workspace)):
            return
        old, new = told_of_tasks(before), told_of_tasks(row)
        orders = {
            resolved(each.semantics, each.policies).worker_order
            for each in (before, row)
        }
        if old != new or len(orders) > 1:
            for queue in self._state.where(TaskQueue, "workspace_sid", row.sid):
                self._set_queue(queue)
        if old != new:
            tasks = self._state.sids(Task, "open_workspace_sid", row.sid)
            self._tell_later(tasks)

    def _sync_task_channel(self, before: Row | None, row: Row | None) -> None:
        if not isinstance(row, TaskChannel):
            if isinstance(before, TaskChannel):
                self._forget_task_channel(before)
            return
        desk = self.desk(row.workspace_sid)
        number = desk.number(row.sid)
        fresh = row.unique_name not in desk.channels
        desk.channels[row.unique_name] = number
        desk.router.set_channel_optimized(number, row.channel_optimized_routing)
        if fresh and before is None:
            self._respecify(row)

    def _forget_task_channel(self, channel: TaskChannel) -> None:
        """Let its name mean nothing, or another channel that is made later."""
        desk = self.desk(channel.workspace_sid)
        number = desk.number(channel.sid)
        desk.router.set_channel_optimized(number, False)
        if desk.channels.get(channel.unique_name) == number:
            del desk.channels[channel.unique_name]
            self._respecify(channel)

    def _respecify(self, channel: TaskChannel) -> None:
        """Read expressions again that may name a channel which came or went."""
        state = self._state
        if not self.desk(channel.workspace_sid).occupied:
            return  # whoever waits is told later, and of the channel as it is
        for workflow in state.each(Workflow, "workspace_sid", channel.workspace_sid):
            for row in state.each(WorkflowRevision, "workflow_sid", workflow.sid):
                if may_name(row.configuration, channel.unique_name):
                    self._tell_later(state.sids(Task, "open_revision_sid", row.sid))

    def _sync_queue(self, before: Row | None, row: Row | None) -> None:
        if not isinstance(row, TaskQueue):
            return  # removed last, when no task can be in it
        if not isinstance(before, TaskQueue) or _facts(before) != _facts(row):
            self._set_queue(row)

    def _set_queue(self, queue: TaskQueue) -> None:
        desk = self.desk(queue.workspace_sid)
        policies = policies_of(self._state, queue.workspace_sid, queue.sid)
        workspace = self._state.need(queue.workspace_sid, Workspace)
        desk.router.set_queue(
            desk.number(queue.sid),
            target_of(self._state, queue).program(),
            queue.task_order == "LIFO",
            queue.task_order == workspace.prioritize_queue_order,
            queue.max_reserved_workers,
            ORDERS[policies.worker_order],
            queue.cursor,
        )

    # inspection

    def dump(self) -> list[Any]:
        """Return what the Routers know, equal for a live and a rebuilt matching."""
        return [
            (sid, desk.dump())
            for sid, desk in self.desks()
            if self._state.count(Worker, "workspace_sid", sid)
            or self._state.count(TaskQueue, "workspace_sid", sid)
        ]


def _waits(row: Row | None) -> bool:
    return isinstance(row, Task) and row.waits


def _status(row: Row | None) -> ReservationStatus | None:
    """Return the status of a reservation that holds capacity, else None."""
    if isinstance(row, Reservation) and row.status in OPEN_RESERVATION:
        return row.status
    return None


def _facts(queue: TaskQueue) -> tuple[object, ...]:
    return (
        queue.target_workers,
        queue.max_reserved_workers,
        queue.task_order,
        queue.policies,
        queue.cursor,
    )
