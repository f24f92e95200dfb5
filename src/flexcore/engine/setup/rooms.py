"""Rooms: the worker channel that every worker has on every task channel.

A task channel comes and goes with them, and there may be more workers than one decision
may touch; so may a batch of workers have more channels. The rest is due at once, by the
channel's own deadline: it is done before anything else is decided, and a crash does not
forget it.
"""

from collections.abc import Sequence
from itertools import islice

from flexcore.domain import limits
from flexcore.domain.model import TaskChannel, Worker, WorkerChannel
from flexcore.engine.decision import Decision
from flexcore.engine.routing.clocks import channel_of
from flexcore.engine.state import State


def add_room(decision: Decision, worker: Worker, channel: TaskChannel) -> WorkerChannel:
    """Give a worker room for one task of a channel."""
    return decision.create(
        WorkerChannel(
            sid=decision.ids.sid("WC"),
            workspace_sid=worker.workspace_sid,
            worker_sid=worker.sid,
            task_channel_sid=channel.sid,
            task_channel_unique_name=channel.unique_name,
        )
    )


def give_rooms(decision: Decision, workers: Sequence[Worker]) -> None:
    """Give new workers of a workspace their rooms: now, or by the channels' deadlines."""
    if not workers:
        return
    workspace_sid = workers[0].workspace_sid
    channels = decision.state.where(TaskChannel, "workspace_sid", workspace_sid)
    if len(workers) * (1 + len(channels)) <= limits.CHANGE_SET_RESOURCES:
        for worker in workers:
            for channel in channels:
                add_room(decision, worker, channel)
        return
    for channel in channels:
        decision.change(
            channel,
            "task-channel.updated",
            spread_time=decision.now,
            spread_order=workers[0].order - 1,
        )


def open_channel(decision: Decision, channel: TaskChannel) -> TaskChannel:
    """Add a task channel, and a room on it for the first few workers."""
    workers = _next(decision.state, channel)
    channel = decision.create(
        _reached(decision, channel, workers), "task-channel.created"
    )
    for worker in workers:
        add_room(decision, worker, channel)
    return channel


def close_channel(decision: Decision, channel: TaskChannel) -> TaskChannel:
    """Take their room on a channel from the next few workers; it goes with the last."""
    after = channel
    if not channel.leaving:
        after = channel.evolve(leaving=True, spread_order=-1)
    workers = _next(decision.state, after)
    for worker in workers:
        room = channel_of(decision.state, worker.sid, channel.sid)
        if room is not None:
            decision.delete(room)
    after = _reached(decision, after, workers)
    if after.spread_time:
        return decision.replace(channel, after, "task-channel.updated")
    decision.delete(channel, "task-channel.deleted")
    return channel


def go_on(decision: Decision, channel: TaskChannel) -> None:
    """Take up the next few workers of a channel that comes or goes."""
    if channel.leaving:
        close_channel(decision, channel)
        return
    workers = _next(decision.state, channel)
    for worker in workers:
        if channel_of(decision.state, worker.sid, channel.sid) is None:
            add_room(decision, worker, channel)
    decision.replace(
        channel, _reached(decision, channel, workers), "task-channel.updated"
    )


def _next(state: State, channel: TaskChannel) -> list[Worker]:
    line = state.line(
        Worker, "workspace_sid", channel.workspace_sid, channel.spread_order
    )
    return list(islice(line, limits.ROOMS_AT_ONCE))


def _reached(
    decision: Decision, channel: TaskChannel, workers: Sequence[Worker]
) -> TaskChannel:
    """Return the channel with how far it came; full hands mean that there may be more."""
    more = len(workers) == limits.ROOMS_AT_ONCE
    return channel.evolve(
        spread_time=decision.now if more else 0,
        spread_order=workers[-1].order if workers else channel.spread_order,
    )
