"""Statistics: the questions of RoutingService about figures, and their answers."""

from typing import Any

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.statistics import Query, Report, Scope
from flexcore.engine.port import Port
from flexcore.services.convert import time_from_proto, time_to_proto
from flexcore.services.convert_statistics import (
    Thresholds,
    task_queue_to_proto,
    window_to_proto,
    worker_to_proto,
    workflow_to_proto,
    workspace_to_proto,
)
from flexcore.services.session import caller
from flexcore.v1 import routing_service_pb2 as pb


async def workspace_statistics(
    port: Port, request: pb.GetWorkspaceStatisticsRequest
) -> pb.GetWorkspaceStatisticsResponse:
    """Answer GetWorkspaceStatistics."""
    report = await _ask(port, request, Scope.WORKSPACE, request.sid)
    (figures,) = report.figures
    return pb.GetWorkspaceStatisticsResponse(
        workspace_statistics=workspace_to_proto(report, figures, _thresholds(request)),
        window=window_to_proto(report),
        time=time_to_proto(report.time),
    )


async def task_queue_statistics(
    port: Port, request: pb.GetTaskQueueStatisticsRequest
) -> pb.GetTaskQueueStatisticsResponse:
    """Answer GetTaskQueueStatistics."""
    if not request.sids:
        raise InvalidArgument("sids", "must be given")
    report = await _ask(port, request, Scope.TASK_QUEUE, *dict.fromkeys(request.sids))
    thresholds = _thresholds(request)
    return pb.GetTaskQueueStatisticsResponse(
        task_queue_statistics=[
            task_queue_to_proto(report, figures, thresholds)
            for figures in report.figures
        ],
        window=window_to_proto(report),
        time=time_to_proto(report.time),
    )


async def workflow_statistics(
    port: Port, request: pb.GetWorkflowStatisticsRequest
) -> pb.GetWorkflowStatisticsResponse:
    """Answer GetWorkflowStatistics."""
    report = await _ask(port, request, Scope.WORKFLOW, request.sid)
    (figures,) = report.figures
    return pb.GetWorkflowStatisticsResponse(
        workflow_statistics=workflow_to_proto(report, figures, _thresholds(request)),
        window=window_to_proto(report),
        time=time_to_proto(report.time),
    )


async def worker_statistics(
    port: Port, request: pb.GetWorkerStatisticsRequest
) -> pb.GetWorkerStatisticsResponse:
    """Answer GetWorkerStatistics."""
    scope, sid = Scope.WORKERS, request.workspace_sid
    if request.worker_sid:
        scope, sid = Scope.WORKER, request.worker_sid
    report = await _ask(port, request, scope, sid, workspace_sid=request.workspace_sid)
    (figures,) = report.figures
    return pb.GetWorkerStatisticsResponse(
        worker_statistics=worker_to_proto(report, figures),
        window=window_to_proto(report),
        time=time_to_proto(report.time),
    )


async def _ask(
    port: Port, request: Any, scope: Scope, *sids: str, workspace_sid: str = ""
) -> Report:
    query = Query(
        scope=scope,
        sids=sids,
        start=time_from_proto(request.start_time),
        end=time_from_proto(request.end_time),
        minutes=request.minutes,
        task_channel=request.task_channel,
        workspace_sid=workspace_sid,
    )
    return await port.statistics(caller(), query)


def _thresholds(request: Any) -> Thresholds:
    return Thresholds(
        splits=tuple(dict.fromkeys(request.split_by_wait_time)),
        service_level=(
            request.service_level_threshold.seconds
            or limits.SERVICE_LEVEL_SECONDS_DEFAULT
        ),
        short_abandon=(
            request.short_abandon_threshold.seconds
            or limits.SHORT_ABANDON_SECONDS_DEFAULT
        ),
    )
