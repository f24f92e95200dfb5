"""What the rules of worker order look at: clocks and loads, as they are stored.

The matcher keeps the same numbers; these functions say what it was told, for the reason
stored with an offer and for Explain.
"""

from flexcore.domain.model import Reservation, TaskChannel, Worker, WorkerChannel
from flexcore.domain.states import ReservationStatus
from flexcore.engine.decision import Decision
from flexcore.engine.state import State


def offered(decision: Decision, worker_sid: str, task_channel_sid: str) -> None:
    """Set a worker's clock of offers on a channel to now."""
    channel = channel_of(decision.state, worker_sid, task_channel_sid)
    if channel is not None:
        decision.change(channel, last_offered=decision.now)


def released(decision: Decision, worker_sid: str, task_channel_sid: str) -> None:
    """Set a worker's clock of ended offers on a channel to now."""
    channel = channel_of(decision.state, worker_sid, task_channel_sid)
    if channel is not None:
        decision.change(channel, last_released=decision.now)


def channel_of(
    state: State, worker_sid: str, task_channel_sid: str
) -> WorkerChannel | None:
    """Return a worker's channel."""
    for channel in state.each(WorkerChannel, "worker_sid", worker_sid):
        if channel.task_channel_sid == task_channel_sid:
            return channel
    return None


def held(state: State, channel: WorkerChannel) -> list[Reservation]:
    """Return the open reservations of a worker on one channel, in any order."""
    rows = state.each(Reservation, "open_worker_sid", channel.worker_sid)
    return [row for row in rows if row.task_channel_sid == channel.task_channel_sid]


def key_of(state: State, rule: str, worker: Worker, task_channel_sid: str) -> str:
    """Return what a rule of worker order looks at for a worker, as text."""
    channels = list(state.each(WorkerChannel, "worker_sid", worker.sid))
    task_channel = state.find(task_channel_sid, TaskChannel)
    if task_channel is not None and task_channel.channel_optimized_routing:
        channels = [row for row in channels if row.task_channel_sid == task_channel_sid]
    if rule == "round_robin":
        return str(worker.order)
    offered_last = max((row.last_offered for row in channels), default=0)
    if rule == "least_recently_offered":
        return str(offered_last)
    released_last = max((row.last_released for row in channels), default=0)
    idle = max(offered_last, released_last, worker.available_time)
    if rule == "longest_idle":
        return str(idle)
    taken = sum(len(held(state, row)) for row in channels)
    return f"{taken}/{sum(row.configured_capacity for row in channels)}, {idle}"


def live_values(state: State, worker: Worker) -> dict[str, dict[str, int]]:
    """Return what `worker.channel` stands for in a step, by unique name."""
    rows: dict[str, list[Reservation]] = {}
    for row in state.each(Reservation, "open_worker_sid", worker.sid):
        rows.setdefault(row.task_channel_sid, []).append(row)
    return {
        channel.task_channel_unique_name: _values_of(
            channel, rows.get(channel.task_channel_sid, [])
        )
        for channel in state.each(WorkerChannel, "worker_sid", worker.sid)
    }


def _values_of(channel: WorkerChannel, rows: list[Reservation]) -> dict[str, int]:
    capacity = channel.configured_capacity
    left = max(0, capacity - len(rows)) * 100 // capacity if capacity else 0
    accepted = sum(row.status == ReservationStatus.ACCEPTED for row in rows)
    return {
        "configured_capacity": capacity,
        "assigned_tasks": accepted,
        "available_capacity_percentage": left,
    }
