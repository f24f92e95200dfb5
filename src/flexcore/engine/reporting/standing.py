"""How things stand with a workspace, a queue, a workflow or a worker, from memory.

Nothing here looks at tasks or workers one by one, but for the tasks one worker holds.
"""

from collections.abc import Callable
from heapq import nlargest

from flexcore.domain import limits
from flexcore.domain.model import (
    Activity,
    Reservation,
    TaskQueue,
    Worker,
    WorkerChannel,
)
from flexcore.domain.states import TaskStatus, work_state
from flexcore.domain.statistics import (
    ActivityWorkers,
    ChannelNow,
    RealTime,
    Scope,
    TasksNow,
    WorkerNow,
    WorkersNow,
)
from flexcore.engine.decider import Decider
from flexcore.engine.reporting.figures import Standing
from flexcore.engine.state import State

_OPEN = (
    TaskStatus.PENDING,
    TaskStatus.RESERVED,
    TaskStatus.ASSIGNED,
    TaskStatus.WRAPPING,
)


def real_time(
    decider: Decider, scope: Scope, sid: str, task_channel_sid: str = ""
) -> RealTime:
    """Return how things stand with one resource, on one channel if one is named."""
    state = decider.state
    if scope == Scope.WORKER:
        return RealTime(worker=_worker(state, sid, task_channel_sid))
    if scope == Scope.WORKERS:
        return RealTime(workers=_workers(state, sid))
    found = dict(decider.figures.of(sid))
    if task_channel_sid:
        found = {key: one for key, one in found.items() if key == task_channel_sid}
    workers = None
    if scope == Scope.WORKSPACE:
        workers = _workers(state, sid)
    elif scope == Scope.TASK_QUEUE:
        workers = _workers_of_queue(decider, sid)
    return RealTime(
        tasks=_tasks(list(found.values())),
        channels={key: _tasks([one]) for key, one in found.items()},
        workers=workers,
    )


def _tasks(standings: list[Standing]) -> TasksNow:
    waiting = min((s.created[0] for s in standings if s.created), default=None)
    entered = min((s.entered[0] for s in standings if s.entered), default=None)
    by_status = dict.fromkeys(map(str, _OPEN), 0)
    by_priority: dict[int, int] = {}
    for one in standings:
        for status, number in one.by_status.items():
            by_status[status.value] += number
        for priority, number in one.by_priority.items():
            by_priority[priority] = by_priority.get(priority, 0) + number
    return TasksNow(
        by_status=by_status,
        by_priority=_highest(by_priority),
        longest_waiting_since=waiting[0] if waiting else 0,
        longest_waiting_sid=waiting[1] if waiting else "",
        longest_in_queue_since=entered[0] if entered else 0,
        longest_in_queue_sid=entered[1] if entered else "",
    )


def _highest(by_priority: dict[int, int]) -> dict[int, int]:
    """Return as many priorities as are told; there may be as many as tasks."""
    if len(by_priority) <= limits.PRIORITIES_TOLD:
        return by_priority
    highest = nlargest(limits.PRIORITIES_TOLD, by_priority)
    return {priority: by_priority[priority] for priority in highest}


def _workers(state: State, workspace_sid: str) -> WorkersNow:
    def count(activity: Activity) -> int:
        return state.count(Worker, "activity_sid", activity.sid)

    total = state.count(Worker, "workspace_sid", workspace_sid)
    available = state.count(Worker, "available_workspace_sid", workspace_sid)
    return _by_activity(state, workspace_sid, total, available, count)


def _workers_of_queue(decider: Decider, queue_sid: str) -> WorkersNow:
    queue = decider.state.need(queue_sid, TaskQueue)
    total, available, count = decider.matching.members(queue)
    return _by_activity(decider.state, queue.workspace_sid, total, available, count)


def _by_activity(
    state: State,
    workspace_sid: str,
    total: int,
    available: int,
    count: Callable[[Activity], int],
) -> WorkersNow:
    rows = state.where(Activity, "workspace_sid", workspace_sid)
    return WorkersNow(
        activities=tuple(
            ActivityWorkers(row.sid, row.friendly_name, count(row)) for row in rows
        ),
        total=total,
        available=available,
    )


def _worker(state: State, worker_sid: str, task_channel_sid: str) -> WorkerNow:
    worker = state.need(worker_sid, Worker)
    activity = state.need(worker.activity_sid, Activity)
    held = state.where(Reservation, "open_worker_sid", worker_sid)
    channels = state.where(WorkerChannel, "worker_sid", worker_sid)
    return WorkerNow(
        activity_sid=activity.sid,
        activity_name=activity.friendly_name,
        available=worker.available,
        activity_time=worker.activity_time,
        channels=tuple(
            ChannelNow(
                task_channel_sid=row.task_channel_sid,
                task_channel_unique_name=row.task_channel_unique_name,
                configured_capacity=row.configured_capacity,
                available=row.available,
                reservations=_by_status(held, row.task_channel_sid),
            )
            for row in sorted(channels, key=lambda row: row.task_channel_unique_name)
            if task_channel_sid in ("", row.task_channel_sid)
        ),
        connectivity=worker.connectivity,
        work_state=work_state(row.status for row in held),
    )


def _by_status(held: list[Reservation], task_channel_sid: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in held:
        if row.task_channel_sid == task_channel_sid:
            found[row.status.value] = found.get(row.status.value, 0) + 1
    return found
