"""Statistics as protos."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from google.protobuf.duration_pb2 import Duration

from flexcore.domain import limits
from flexcore.domain.buckets import Cell, Durations, within
from flexcore.domain.statistics import (
    Figures,
    Report,
    Scope,
    TasksNow,
    WorkerNow,
    WorkersNow,
)
from flexcore.services.convert import time_to_proto
from flexcore.services.convert_workspace import CONNECTIVITY, WORK_STATE
from flexcore.v1 import statistics_pb2 as pb

V = TypeVar("V")


class Thresholds(msgspec.Struct, frozen=True):
    """Seconds at which waits are split, are in time, and are short abandons."""

    splits: Sequence[int]
    service_level: int
    short_abandon: int


def window_to_proto(report: Report) -> pb.StatisticsWindow:
    """Convert the window that was counted."""
    return pb.StatisticsWindow(
        start_time=time_to_proto(report.start), end_time=time_to_proto(report.end)
    )


def workspace_to_proto(
    report: Report, figures: Figures, thresholds: Thresholds
) -> pb.WorkspaceStatistics:
    """Convert the figures of a workspace."""
    workers = figures.real_time.workers
    assert workers is not None
    return pb.WorkspaceStatistics(
        sid=figures.sid,
        real_time=_tasks_now(figures.real_time.tasks),
        real_time_channels=_channels_now(report, figures),
        activity_statistics=_activities_now(workers),
        total_workers=workers.total,
        cumulative=_tasks(figures.total, Scope.WORKSPACE, thresholds),
        cumulative_channels=_channels(report, figures, Scope.WORKSPACE, thresholds),
    )


def task_queue_to_proto(
    report: Report, figures: Figures, thresholds: Thresholds
) -> pb.TaskQueueStatistics:
    """Convert the figures of a task queue."""
    workers = figures.real_time.workers
    assert workers is not None
    return pb.TaskQueueStatistics(
        sid=figures.sid,
        real_time=_tasks_now(figures.real_time.tasks),
        real_time_channels=_channels_now(report, figures),
        activity_statistics=_activities_now(workers),
        total_eligible_workers=workers.total,
        total_available_workers=workers.available,
        cumulative=_tasks(figures.total, Scope.TASK_QUEUE, thresholds),
        cumulative_channels=_channels(report, figures, Scope.TASK_QUEUE, thresholds),
    )


def workflow_to_proto(
    report: Report, figures: Figures, thresholds: Thresholds
) -> pb.WorkflowStatistics:
    """Convert the figures of a workflow."""
    return pb.WorkflowStatistics(
        sid=figures.sid,
        real_time=_tasks_now(figures.real_time.tasks),
        real_time_channels=_channels_now(report, figures),
        cumulative=_tasks(figures.total, Scope.WORKFLOW, thresholds),
        cumulative_channels=_channels(report, figures, Scope.WORKFLOW, thresholds),
    )


def worker_to_proto(report: Report, figures: Figures) -> pb.WorkerStatistics:
    """Convert the figures of one worker or of all."""
    workers, worker, work = (
        figures.real_time.workers,
        figures.real_time.worker,
        figures.work,
    )
    assert work is not None
    return pb.WorkerStatistics(
        sid=figures.sid,
        real_time=_worker_now(worker) if worker else None,
        activity_statistics=_activities_now(workers) if workers else (),
        total_workers=workers.total if workers else 0,
        cumulative=_work(figures.total),
        cumulative_channels=[
            pb.CumulativeWorkChannelStatistics(
                task_channel_sid=sid, task_channel_unique_name=name, work=_work(cell)
            )
            for sid, name, cell in _named(report, figures.channels)
        ],
        activity_durations=[
            pb.ActivityDuration(
                sid=each.sid,
                friendly_name=each.friendly_name,
                available=each.available,
                durations=_durations(each.durations),
            )
            for each in work.activities
        ],
        busy_duration=duration_to_proto(work.held),
        available_duration=duration_to_proto(work.available),
        occupancy=work.occupancy,
    )


def duration_to_proto(microseconds: int) -> Duration | None:
    """Return a duration, or None for 0."""
    if not microseconds:
        return None
    seconds, rest = divmod(microseconds, limits.SECOND)
    return Duration(seconds=seconds, nanos=rest * 1_000)


# --- real time -------------------------------------------------------------------------


def _tasks_now(tasks: TasksNow | None) -> pb.RealTimeTaskStatistics:
    assert tasks is not None
    return pb.RealTimeTaskStatistics(
        total_tasks=sum(tasks.by_status.values()),
        tasks_by_status=pb.TasksByStatus(**tasks.by_status),
        tasks_by_priority=tasks.by_priority,
        longest_task_waiting_age=duration_to_proto(tasks.longest_waiting_age),
        longest_task_waiting_sid=tasks.longest_waiting_sid,
        longest_relative_task_age_in_queue=duration_to_proto(
            tasks.longest_in_queue_age
        ),
        longest_relative_task_sid_in_queue=tasks.longest_in_queue_sid,
    )


def _channels_now(
    report: Report, figures: Figures
) -> list[pb.RealTimeChannelStatistics]:
    return [
        pb.RealTimeChannelStatistics(
            task_channel_sid=sid,
            task_channel_unique_name=name,
            tasks=_tasks_now(tasks),
        )
        for sid, name, tasks in _named(report, figures.real_time.channels)
    ]


def _activities_now(workers: WorkersNow) -> list[pb.ActivityStatistics]:
    return [
        pb.ActivityStatistics(
            sid=each.sid, friendly_name=each.friendly_name, workers=each.workers
        )
        for each in workers.activities
    ]


def _worker_now(worker: WorkerNow) -> pb.RealTimeWorkerStatistics:
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


# --- cumulative ------------------------------------------------------------------------


def _tasks(
    cell: Cell, scope: Scope, thresholds: Thresholds
) -> pb.CumulativeTaskStatistics:
    count = cell.counts.get
    entered = {
        Scope.TASK_QUEUE: count("tasks_entered", 0),
        Scope.WORKFLOW: count("tasks_entered_workflow", 0),
    }
    of_workspace, of_queue = scope == Scope.WORKSPACE, scope == Scope.TASK_QUEUE
    waited = _durations_of(cell, "wait_duration_until_accepted")
    short = within(cell.canceled, thresholds.short_abandon)
    return pb.CumulativeTaskStatistics(
        reservations=_reservations(cell),
        avg_task_acceptance_time=waited.avg if waited.HasField("avg") else None,
        wait_duration_until_accepted=waited,
        wait_duration_until_canceled=_durations_of(
            cell, "wait_duration_until_canceled"
        ),
        wait_duration_in_queue_until_accepted=_durations_of(
            cell, "wait_duration_in_queue_until_accepted"
        ),
        split_by_wait_time=[_split(cell, each) for each in thresholds.splits],
        tasks_created=count("tasks_created", 0) if of_workspace else None,
        tasks_entered=entered.get(scope),
        tasks_canceled=count("tasks_canceled", 0),
        tasks_completed=count("tasks_completed", 0),
        tasks_deleted=count("tasks_deleted", 0),
        tasks_moved=count("tasks_moved", 0),
        tasks_timed_out_in_workflow=None
        if of_queue
        else count("tasks_timed_out_in_workflow", 0),
        handle_duration=_durations_of(cell, "handle_duration"),
        wrap_duration=_durations_of(cell, "wrap_duration"),
        service_level=cell.service_level(thresholds.service_level),
        service_level_threshold=Duration(seconds=thresholds.service_level),
        tasks_abandoned_short=short,
        tasks_abandoned_long=sum(cell.canceled.values()) - short,
        short_abandon_threshold=Duration(seconds=thresholds.short_abandon),
    )


def _channels(
    report: Report, figures: Figures, scope: Scope, thresholds: Thresholds
) -> list[pb.CumulativeChannelStatistics]:
    return [
        pb.CumulativeChannelStatistics(
            task_channel_sid=sid,
            task_channel_unique_name=name,
            tasks=_tasks(cell, scope, thresholds),
        )
        for sid, name, cell in _named(report, figures.channels)
    ]


def _split(cell: Cell, seconds: int) -> pb.WaitTimeSplit:
    accepted, canceled = within(cell.accepted, seconds), within(cell.canceled, seconds)
    return pb.WaitTimeSplit(
        seconds=seconds,
        below=pb.WaitTimeSide(tasks_canceled=canceled, reservations_accepted=accepted),
        above=pb.WaitTimeSide(
            tasks_canceled=sum(cell.canceled.values()) - canceled,
            reservations_accepted=sum(cell.accepted.values()) - accepted,
        ),
    )


def _work(cell: Cell) -> pb.CumulativeWorkStatistics:
    return pb.CumulativeWorkStatistics(
        reservations=_reservations(cell),
        handle_duration=_durations_of(cell, "handle_duration"),
        wrap_duration=_durations_of(cell, "wrap_duration"),
    )


def _reservations(cell: Cell) -> pb.ReservationCounts:
    names = (field.name for field in pb.ReservationCounts.DESCRIPTOR.fields)
    return pb.ReservationCounts(**{name: cell.counts.get(name, 0) for name in names})


def _durations_of(cell: Cell, name: str) -> pb.DurationStatistics:
    return _durations(cell.durations.get(name, Durations()))


def _durations(durations: Durations) -> pb.DurationStatistics:
    return pb.DurationStatistics(
        count=durations.count,
        avg=duration_to_proto(durations.average),
        min=duration_to_proto(durations.least),
        max=duration_to_proto(durations.greatest),
        total=duration_to_proto(durations.total),
    )


def _named(report: Report, channels: Mapping[str, V]) -> Iterator[tuple[str, str, V]]:
    """Yield what there is of each task channel, by name."""
    names = report.channel_names
    for sid in sorted(channels, key=lambda sid: (names.get(sid, ""), sid)):
        yield sid, names.get(sid, ""), channels[sid]
