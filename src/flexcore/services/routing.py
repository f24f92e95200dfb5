"""RoutingService: tasks and reservations."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc

from flexcore.domain import limits
from flexcore.domain.errors import NotFound
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Reservation, Task
from flexcore.engine import commands
from flexcore.engine.port import Port, TailBatch
from flexcore.services import routing_commands as make
from flexcore.services import statistics
from flexcore.services.agent_session import AgentSession
from flexcore.services.convert import given, words
from flexcore.services.convert_event import (
    snapshot_to_proto,
    worker_events,
    workspace_of,
)
from flexcore.services.convert_explanation import explanation_to_proto
from flexcore.services.convert_routing import (
    RESERVATION_STATUS_TEXT,
    TASK_STATUS_TEXT,
)
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import list_page
from flexcore.services.resume_tokens import ResumeTokens, stream_hash
from flexcore.services.rules import Rules
from flexcore.services.session import caller, session
from flexcore.services.shown import Shown
from flexcore.services.statistics_streams import StatisticsStreams
from flexcore.services.streams import Stream, close_tail
from flexcore.services.workspace import WorkspaceService
from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import routing_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class RoutingService(routing_service_pb2_grpc.RoutingServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port, shown: Shown) -> None:
        self._port = port
        self._shown = shown
        self._statistics = StatisticsStreams(port)
        self._rules = Rules((pb.AgentSessionRequest.DESCRIPTOR,))
        #: what commands of an agent session are calls of
        self._calls: Mapping[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "update_worker": WorkspaceService(port).UpdateWorker,
            "accept_reservation": self.AcceptReservation,
            "reject_reservation": self.RejectReservation,
            "wrap_reservation": self.WrapReservation,
            "complete_reservation": self.CompleteReservation,
            "claim_task": self.ClaimTask,
        }

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        answer = await self._port.submit(caller(), make.create_task(request))
        return answer_to_proto(pb.CreateTaskResponse(), answer)

    async def BatchCreateTasks(
        self, request: pb.BatchCreateTasksRequest, context: Context
    ) -> pb.BatchCreateTasksResponse:
        answer = await self._port.submit(caller(), make.create_tasks(request))
        return answer_to_proto(pb.BatchCreateTasksResponse(), answer)

    async def GetTask(
        self, request: pb.GetTaskRequest, context: Context
    ) -> pb.GetTaskResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetTaskResponse(), answer)

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "workflow_sid": request.workflow_sid,
            "workflow_name": request.workflow_name,
            "task_queue_sid": request.task_queue_sid,
            "task_queue_name": request.task_queue_name,
            "status": words(TASK_STATUS_TEXT, request.statuses),
            "task_channel": request.task_channel,
            "priority": given(request, "priority"),
            "routing_target": request.routing_target,
            "attributes_expression": request.attributes_expression,
        }
        page, token = await list_page(
            self._port, request, Task, where, request.order_by
        )
        response = pb.ListTasksResponse(next_page_token=token)
        return rows_to_proto(response, page.rows, page.time, page.names)

    async def UpdateTask(
        self, request: pb.UpdateTaskRequest, context: Context
    ) -> pb.UpdateTaskResponse:
        answer = await self._port.submit(caller(), make.update_task(request))
        return answer_to_proto(pb.UpdateTaskResponse(), answer)

    async def CancelTask(
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.CancelTaskResponse:
        command = commands.CancelTask(
            request_id=request.request_id,
            sid=request.sid,
            reason=request.reason,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CancelTaskResponse(), answer)

    async def DeleteTask(
        self, request: pb.DeleteTaskRequest, context: Context
    ) -> pb.DeleteTaskResponse:
        command = commands.DeleteTask(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.DeleteTaskResponse(), answer)

    async def ClaimTask(
        self, request: pb.ClaimTaskRequest, context: Context
    ) -> pb.ClaimTaskResponse:
        command = commands.ClaimTask(
            request_id=request.request_id,
            sid=request.sid,
            worker_sid=request.worker_sid,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.ClaimTaskResponse(), answer)

    async def WrapTask(
        self, request: pb.WrapTaskRequest, context: Context
    ) -> pb.WrapTaskResponse:
        answer = await self._port.submit(caller(), make.wrap(request))
        return answer_to_proto(pb.WrapTaskResponse(), answer)

    async def CompleteTask(
        self, request: pb.CompleteTaskRequest, context: Context
    ) -> pb.CompleteTaskResponse:
        answer = await self._port.submit(caller(), make.complete(request))
        return answer_to_proto(pb.CompleteTaskResponse(), answer)

    async def WrapReservation(
        self, request: pb.WrapReservationRequest, context: Context
    ) -> pb.WrapReservationResponse:
        answer = await self._port.submit(caller(), make.wrap(request))
        return answer_to_proto(pb.WrapReservationResponse(), answer)

    async def CompleteReservation(
        self, request: pb.CompleteReservationRequest, context: Context
    ) -> pb.CompleteReservationResponse:
        answer = await self._port.submit(caller(), make.complete(request))
        return answer_to_proto(pb.CompleteReservationResponse(), answer)

    async def ExplainTask(
        self, request: pb.ExplainTaskRequest, context: Context
    ) -> pb.ExplainTaskResponse:
        found = await self._port.explain(caller(), request.sid)
        response = pb.ExplainTaskResponse(explanation=explanation_to_proto(found))
        return rows_to_proto(response, (found.task,), found.time, found.names)

    async def GetReservation(
        self, request: pb.GetReservationRequest, context: Context
    ) -> pb.GetReservationResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetReservationResponse(), answer)

    async def ListReservations(
        self, request: pb.ListReservationsRequest, context: Context
    ) -> pb.ListReservationsResponse:
        where: dict[str, commands.Filter | None] = {
            "workspace_sid": request.workspace_sid,
            "task_sid": request.task_sid,
            "worker_sid": request.worker_sid,
            "status": words(RESERVATION_STATUS_TEXT, request.statuses),
        }
        page, token = await list_page(
            self._port, request, Reservation, where, request.order_by
        )
        response = pb.ListReservationsResponse(next_page_token=token)
        return rows_to_proto(response, page.rows)

    async def AcceptReservation(
        self, request: pb.AcceptReservationRequest, context: Context
    ) -> pb.AcceptReservationResponse:
        command = commands.AcceptReservation(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.AcceptReservationResponse(), answer)

    async def RejectReservation(
        self, request: pb.RejectReservationRequest, context: Context
    ) -> pb.RejectReservationResponse:
        command = commands.RejectReservation(
            request_id=request.request_id,
            sid=request.sid,
            activity=request.activity,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.RejectReservationResponse(), answer)

    async def AgentSession(  # type: ignore[override]  # it writes itself
        self, requests: AsyncIterator[pb.AgentSessionRequest], context: Context
    ) -> None:
        served = AgentSession(
            self._port, self._shown, context, self._calls, self._rules
        )
        await served.serve(requests)

    async def GetWorkspaceStatistics(
        self, request: pb.GetWorkspaceStatisticsRequest, context: Context
    ) -> pb.GetWorkspaceStatisticsResponse:
        return await statistics.workspace_statistics(self._port, request)

    async def GetTaskQueueStatistics(
        self, request: pb.GetTaskQueueStatisticsRequest, context: Context
    ) -> pb.GetTaskQueueStatisticsResponse:
        return await statistics.task_queue_statistics(self._port, request)

    async def GetWorkflowStatistics(
        self, request: pb.GetWorkflowStatisticsRequest, context: Context
    ) -> pb.GetWorkflowStatisticsResponse:
        return await statistics.workflow_statistics(self._port, request)

    async def GetWorkerStatistics(
        self, request: pb.GetWorkerStatisticsRequest, context: Context
    ) -> pb.GetWorkerStatisticsResponse:
        return await statistics.worker_statistics(self._port, request)

    async def WatchStatistics(  # type: ignore[override]  # it writes itself
        self, request: pb.WatchStatisticsRequest, context: Context
    ) -> None:
        await self._statistics.watch(request, context)

    async def StreamReservations(  # type: ignore[override]  # it writes itself
        self, request: pb.StreamReservationsRequest, context: Context
    ) -> None:
        worker_sid, principal = request.worker_sid, caller()
        snapshot = await self._port.submit(principal, commands.Snapshot(sid=worker_sid))
        workspace_sid = workspace_of(snapshot)
        tokens = ResumeTokens(
            self._port, principal, stream_hash("StreamReservations", worker_sid)
        )
        start, resumes = snapshot.sequence, False
        if request.resume_token:
            at = tokens.read(request.resume_token)
            resumes = snapshot.sequence - at <= limits.STREAM_BEHIND_EVENTS
            self._port.check_place(principal, at)
            start = at if resumes else start

        def show(change_set: ChangeSet) -> Sequence[bytes]:
            encode = self._shown.encode
            events = worker_events(change_set, encode, (worker_sid,), (workspace_sid,))
            return [field for _, field in events]

        account = principal.account_sid
        telling = self._shown.telling(account, tokens.stream, show)
        stream = Stream(context, tokens, start, telling, pb.StreamReservationsResponse)
        if not resumes:
            first = pb.StreamReservationsResponse()
            first.snapshot.MergeFrom(snapshot_to_proto(snapshot))
            await stream.write(first, start)
        tail = self._port.tail(principal, start, (worker_sid, workspace_sid))
        await stream.follow(self._port, session(), _while_there(tail, worker_sid))


async def _while_there(
    tail: AsyncIterator[TailBatch], worker_sid: str
) -> AsyncIterator[TailBatch]:
    """Yield what happens to a worker; NotFound once it was told as deleted."""
    try:
        async for batch in tail:
            yield batch
            if any(worker_sid in each.deleted for each in batch.change_sets):
                raise NotFound("worker", worker_sid)
    finally:
        await close_tail(tail)
