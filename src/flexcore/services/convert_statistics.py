"""Statistics as protos."""

from collections.abc import Sequence

import msgspec
from google.protobuf.duration_pb2 import Duration

from flexcore.domain.buckets import Cell, Durations, within
from flexcore.domain.statistics import Figures, Report, Scope
from flexcore.services.convert import duration_to_proto, time_to_proto
from flexcore.services.convert_real_time import (
    activities_now,
    by_name,
    channels_now,
    task_queue_now,
    tasks_now,
    worker_now,
    workspace_now,
)
from flexcore.v1 import statistics_pb2 as pb


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
    found = workspace_now(
        figures.sid, figures.real_time, report.channel_names, report.time
    )
    _add_cumulative(found, report, figures, Scope.WORKSPACE, thresholds)
    return found


def task_queue_to_proto(
    report: Report, figures: Figures, thresholds: Thresholds
) -> pb.TaskQueueStatistics:
    """Convert the figures of a task queue."""
    found = task_queue_now(
        figures.sid, figures.real_time, report.channel_names, report.time
    )
    _add_cumulative(found, report, figures, Scope.TASK_QUEUE, thresholds)
    return found


def workflow_to_proto(
    report: Report, figures: Figures, thresholds: Thresholds
) -> pb.WorkflowStatistics:
    """Convert the figures of a workflow."""
    now, names = figures.real_time, report.channel_names
    found = pb.WorkflowStatistics(
        sid=figures.sid,
        real_time=tasks_now(now.tasks, report.time),
        real_time_channels=channels_now(now, names, report.time),
    )
    _add_cumulative(found, report, figures, Scope.WORKFLOW, thresholds)
    return found


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
        real_time=worker_now(worker) if worker else None,
        activity_statistics=activities_now(workers) if workers else (),
        total_workers=workers.total if workers else 0,
        cumulative=_work(figures.total),
        cumulative_channels=[
            pb.CumulativeWorkChannelStatistics(
                task_channel_sid=sid, task_channel_unique_name=name, work=_work(cell)
            )
            for sid, name, cell in by_name(figures.channels, report.channel_names)
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


# --- cumulative ------------------------------------------------------------------------


def _add_cumulative(
    found: pb.WorkspaceStatistics | pb.TaskQueueStatistics | pb.WorkflowStatistics,
    report: Report,
    figures: Figures,
    scope: Scope,
    thresholds: Thresholds,
) -> None:
    found.cumulative.MergeFrom(_tasks(figures.total, scope, thresholds))
    found.cumulative_channels.extend(_channels(report, figures, scope, thresholds))


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
        for sid, name, cell in by_name(figures.channels, report.channel_names)
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
