"""How things stand as protos: in answers of statistics, and in their stream.

With a time things have an age; without one only since when is told.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from flexcore.domain.statistics import RealTime, TasksNow, WorkerNow, WorkersNow
from flexcore.services.convert import duration_to_proto, time_to_proto
from flexcore.services.convert_workspace import CONNECTIVITY, WORK_STATE
from flexcore.v1 import statistics_pb2 as pb

V = TypeVar("V")


def workspace_now(
    sid: str, now: RealTime, channel_names: Mapping[str, str], time: int = 0
) -> pb.WorkspaceStatistics:
    """Convert how things stand with a workspace."""
    assert now.workers is not None
    return pb.WorkspaceStatistics(
        sid=sid,
        real_time=tasks_now(now.tasks, time),
        real_time_channels=channels_now(now, channel_names, time),
        activity_statistics=activities_now(now.workers),
        total_workers=now.workers.total,
    )


def task_queue_now(
    sid: str, now: RealTime, channel_names: Mapping[str, str], time: int = 0
) -> pb.TaskQueueStatistics:
    """Convert how things stand with a task queue."""
    assert now.workers is not None
    return pb.TaskQueueStatistics(
        sid=sid,
        real_time=tasks_now(now.tasks, time),
        real_time_channels=channels_now(now, channel_names, time),
        activity_statistics=activities_now(now.workers),
        total_eligible_workers=now.workers.total,
        total_available_workers=now.workers.available,
    )


def tasks_now(tasks: TasksNow | None, time: int) -> pb.RealTimeTaskStatistics:
    """Convert open tasks."""
    assert tasks is not None
    waiting, in_queue = tasks.longest_waiting_since, tasks.longest_in_queue_since
    return pb.RealTimeTaskStatistics(
        total_tasks=sum(tasks.by_status.values()),
        tasks_by_status=pb.TasksByStatus(**tasks.by_status),
        tasks_by_priority=tasks.by_priority,
        longest_task_waiting_age=duration_to_proto(time - waiting)
        if time and waiting
        else None,
        longest_task_waiting_sid=tasks.longest_waiting_sid,
        longest_relative_task_age_in_queue=duration_to_proto(time - in_queue)
        if time and in_queue
        else None,
        longest_relative_task_sid_in_queue=tasks.longest_in_queue_sid,
        longest_task_waiting_since_time=time_to_proto(waiting),
        longest_relative_task_since_time_in_queue=time_to_proto(in_queue),
    )


def channels_now(
    now: RealTime, channel_names: Mapping[str, str], time: int
) -> list[pb.RealTimeChannelStatistics]:
    """Convert the open tasks of each channel."""
    return [
        pb.RealTimeChannelStatistics(
            task_channel_sid=sid,
            task_channel_unique_name=name,
            tasks=tasks_now(tasks, time),
        )
        for sid, name, tasks in by_name(now.channels, channel_names)
    ]


def activities_now(workers: WorkersNow) -> list[pb.ActivityStatistics]:
    """Convert workers by activity."""
    return [
        pb.ActivityStatistics(
            sid=each.sid, friendly_name=each.friendly_name, workers=each.workers
        )
        for each in workers.activities
    ]


def worker_now(worker: WorkerNow) -> pb.RealTimeWorkerStatistics:
    """Convert what one worker is doing."""
    return pb.RealTimeWorkerStatistics(
        activity_sid=worker.activity_sid,
        activity_name=worker.activity_name,
        available=worker.available,
        activity_time=time_to_proto(worker.activity_time),
        connectivity=CONNECTIVITY[worker.connectivity],
        work_state=WORK_STATE[worker.work_state],
        channels=[
            pb.RealTimeWorkerChannelStatistics(
                task_channel_sid=each.task_channel_sid,
                task_channel_unique_name=each.task_channel_unique_name,
                configured_capacity=each.configured_capacity,
                available=each.available,
                reservations_pending=each.reservations.get("pending", 0),
                reservations_accepted=each.reservations.get("accepted", 0),
                reservations_wrapping=each.reservations.get("wrapping", 0),
            )
            for each in worker.channels
        ],
    )


def by_name(
    channels: Mapping[str, V], names: Mapping[str, str]
) -> Iterator[tuple[str, str, V]]:
    """Yield what there is of each task channel, by name."""
    for sid in sorted(channels, key=lambda sid: (names.get(sid, ""), sid)):
        yield sid, names.get(sid, ""), channels[sid]
