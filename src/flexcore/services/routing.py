"""RoutingService: tasks and reservations."""

from collections.abc import Sequence
from typing import Any

import grpc

from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Reservation, Task
from flexcore.engine import commands
from flexcore.engine.port import Port
from flexcore.services.convert import time_from_proto
from flexcore.services.convert_event import worker_events
from flexcore.services.convert_routing import RESERVATION_STATUS_TEXT, TASK_STATUS_TEXT
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import list_page
from flexcore.services.session import caller, session
from flexcore.services.streams import Position, Stream
from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import routing_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class RoutingService(routing_service_pb2_grpc.RoutingServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        command = commands.CreateTask(
            request_id=request.request_id,
            workspace_sid=request.workspace_sid,
            workflow_sid=request.workflow_sid,
            task_channel=request.task_channel,
            attributes=request.attributes,
            priority=request.priority,
            timeout_seconds=request.timeout.seconds,
            virtual_start_time=time_from_proto(request.virtual_start_time),
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateTaskResponse(), answer)

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
            "task_queue_sid": request.task_queue_sid,
            "status": TASK_STATUS_TEXT[request.status],
        }
        page, token = await list_page(self._port, request, Task, where)
        return rows_to_proto(pb.ListTasksResponse(next_page_token=token), page.rows)

    async def UpdateTask(
        self, request: pb.UpdateTaskRequest, context: Context
    ) -> pb.UpdateTaskResponse:
        given = request.HasField
        command = commands.UpdateTask(
            request_id=request.request_id,
            sid=request.sid,
            attributes=request.attributes if given("attributes") else None,
            attributes_patch=(
                request.attributes_patch if given("attributes_patch") else None
            ),
            priority=request.priority if given("priority") else None,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
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

    async def WrapTask(
        self, request: pb.WrapTaskRequest, context: Context
    ) -> pb.WrapTaskResponse:
        command = commands.WrapTask(
            request_id=request.request_id,
            sid=request.sid,
            reason=request.reason,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.WrapTaskResponse(), answer)

    async def CompleteTask(
        self, request: pb.CompleteTaskRequest, context: Context
    ) -> pb.CompleteTaskResponse:
        command = commands.CompleteTask(
            request_id=request.request_id,
            sid=request.sid,
            reason=request.reason,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CompleteTaskResponse(), answer)

    async def GetReservation(
        self, request: pb.GetReservationRequest, context: Context
    ) -> pb.GetReservationResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetReservationResponse(), answer)

    async def ListReservations(
        self, request: pb.ListReservationsRequest, context: Context
    ) -> pb.ListReservationsResponse:
        where = {
            "task_sid": request.task_sid,
            "worker_sid": request.worker_sid,
            "status": RESERVATION_STATUS_TEXT[request.status],
        }
        page, token = await list_page(self._port, request, Reservation, where)
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

    async def StreamReservations(  # type: ignore[override]  # it writes itself
        self, request: pb.StreamReservationsRequest, context: Context
    ) -> None:
        worker_sid, principal = request.worker_sid, caller()
        snapshot = await self._port.submit(principal, commands.Snapshot(sid=worker_sid))
        start = Position(
            "StreamReservations", principal.account_sid, worker_sid, snapshot.sequence
        )
        if request.resume_token:
            start = start.resumed(request.resume_token)

        def show(change_set: ChangeSet) -> Sequence[pb.ReservationEvent]:
            return worker_events(change_set, worker_sid)

        def respond(
            events: Sequence[pb.ReservationEvent], token: str
        ) -> pb.StreamReservationsResponse:
            return pb.StreamReservationsResponse(events=events, resume_token=token)

        stream = Stream(context, start, show, respond)
        if not request.resume_token:
            first = respond((), start.token())
            rows_to_proto(first.snapshot, snapshot.rows)
            await stream.write(first)
        tail = self._port.tail(principal, start.sequence, worker_sid)
        await stream.follow(self._port, session(), tail)
