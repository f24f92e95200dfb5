"""WorkspaceService: what routing is set up from."""

from typing import Any

import grpc

from flexcore.domain import limits
from flexcore.domain.model import (
    Activity,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.engine import commands
from flexcore.engine.port import Port
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import list_page
from flexcore.services.session import caller
from flexcore.v1 import workspace_service_pb2 as pb
from flexcore.v1 import workspace_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class WorkspaceService(workspace_service_pb2_grpc.WorkspaceServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def CreateWorkspace(
        self, request: pb.CreateWorkspaceRequest, context: Context
    ) -> pb.CreateWorkspaceResponse:
        command = commands.CreateWorkspace(
            request_id=request.request_id,
            friendly_name=request.friendly_name,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateWorkspaceResponse(), answer)

    async def GetWorkspace(
        self, request: pb.GetWorkspaceRequest, context: Context
    ) -> pb.GetWorkspaceResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetWorkspaceResponse(), answer)

    async def ListWorkspaces(
        self, request: pb.ListWorkspacesRequest, context: Context
    ) -> pb.ListWorkspacesResponse:
        page, token = await list_page(self._port, request, Workspace, {})
        return rows_to_proto(
            pb.ListWorkspacesResponse(next_page_token=token), page.rows
        )

    async def CreateActivity(
        self, request: pb.CreateActivityRequest, context: Context
    ) -> pb.CreateActivityResponse:
        command = commands.CreateActivity(
            request_id=request.request_id,
            workspace_sid=request.workspace_sid,
            friendly_name=request.friendly_name,
            available=request.available,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateActivityResponse(), answer)

    async def ListActivities(
        self, request: pb.ListActivitiesRequest, context: Context
    ) -> pb.ListActivitiesResponse:
        where = {"workspace_sid": request.workspace_sid}
        page, token = await list_page(self._port, request, Activity, where)
        return rows_to_proto(
            pb.ListActivitiesResponse(next_page_token=token), page.rows
        )

    async def CreateTaskChannel(
        self, request: pb.CreateTaskChannelRequest, context: Context
    ) -> pb.CreateTaskChannelResponse:
        command = commands.CreateTaskChannel(
            request_id=request.request_id,
            workspace_sid=request.workspace_sid,
            unique_name=request.unique_name,
            friendly_name=request.friendly_name,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateTaskChannelResponse(), answer)

    async def ListTaskChannels(
        self, request: pb.ListTaskChannelsRequest, context: Context
    ) -> pb.ListTaskChannelsResponse:
        where = {"workspace_sid": request.workspace_sid}
        page, token = await list_page(self._port, request, TaskChannel, where)
        return rows_to_proto(
            pb.ListTaskChannelsResponse(next_page_token=token), page.rows
        )

    async def CreateTaskQueue(
        self, request: pb.CreateTaskQueueRequest, context: Context
    ) -> pb.CreateTaskQueueResponse:
        command = commands.CreateTaskQueue(
            request_id=request.request_id,
            workspace_sid=request.workspace_sid,
            friendly_name=request.friendly_name,
            target_workers=request.target_workers
            if request.HasField("target_workers")
            else "1==1",
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateTaskQueueResponse(), answer)

    async def GetTaskQueue(
        self, request: pb.GetTaskQueueRequest, context: Context
    ) -> pb.GetTaskQueueResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetTaskQueueResponse(), answer)

    async def ListTaskQueues(
        self, request: pb.ListTaskQueuesRequest, context: Context
    ) -> pb.ListTaskQueuesResponse:
        where = {"workspace_sid": request.workspace_sid}
        page, token = await list_page(self._port, request, TaskQueue, where)
        return rows_to_proto(
            pb.ListTaskQueuesResponse(next_page_token=token), page.rows
        )

    async def UpdateTaskQueue(
        self, request: pb.UpdateTaskQueueRequest, context: Context
    ) -> pb.UpdateTaskQueueResponse:
        given = request.HasField
        command = commands.UpdateTaskQueue(
            request_id=request.request_id,
            sid=request.sid,
            friendly_name=request.friendly_name if given("friendly_name") else None,
            target_workers=request.target_workers if given("target_workers") else None,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.UpdateTaskQueueResponse(), answer)

    async def CreateWorkflow(
        self, request: pb.CreateWorkflowRequest, context: Context
    ) -> pb.CreateWorkflowResponse:
        command = commands.CreateWorkflow(
            request_id=request.request_id,
            workspace_sid=request.workspace_sid,
            friendly_name=request.friendly_name,
            configuration=request.configuration,
            task_reservation_timeout_seconds=(
                request.task_reservation_timeout.seconds
                or limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT
            ),
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateWorkflowResponse(), answer)

    async def GetWorkflow(
        self, request: pb.GetWorkflowRequest, context: Context
    ) -> pb.GetWorkflowResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetWorkflowResponse(), answer)

    async def ListWorkflows(
        self, request: pb.ListWorkflowsRequest, context: Context
    ) -> pb.ListWorkflowsResponse:
        where = {"workspace_sid": request.workspace_sid}
        page, token = await list_page(self._port, request, Workflow, where)
        return rows_to_proto(pb.ListWorkflowsResponse(next_page_token=token), page.rows)

    async def UpdateWorkflow(
        self, request: pb.UpdateWorkflowRequest, context: Context
    ) -> pb.UpdateWorkflowResponse:
        given = request.HasField
        command = commands.UpdateWorkflow(
            request_id=request.request_id,
            sid=request.sid,
            friendly_name=request.friendly_name if given("friendly_name") else None,
            configuration=request.configuration if given("configuration") else None,
            task_reservation_timeout_seconds=request.task_reservation_timeout.seconds
            or None,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.UpdateWorkflowResponse(), answer)

    async def CreateWorker(
        self, request: pb.CreateWorkerRequest, context: Context
    ) -> pb.CreateWorkerResponse:
        command = commands.CreateWorker(
            request_id=request.request_id,
            workspace_sid=request.workspace_sid,
            friendly_name=request.friendly_name,
            attributes=request.attributes,
            activity=request.activity,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateWorkerResponse(), answer)

    async def GetWorker(
        self, request: pb.GetWorkerRequest, context: Context
    ) -> pb.GetWorkerResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetWorkerResponse(), answer)

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: Context
    ) -> pb.ListWorkersResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "activity_sid": request.activity_sid,
        }
        page, token = await list_page(self._port, request, Worker, where)
        return rows_to_proto(pb.ListWorkersResponse(next_page_token=token), page.rows)

    async def UpdateWorker(
        self, request: pb.UpdateWorkerRequest, context: Context
    ) -> pb.UpdateWorkerResponse:
        given = request.HasField
        command = commands.UpdateWorker(
            request_id=request.request_id,
            sid=request.sid,
            friendly_name=request.friendly_name if given("friendly_name") else None,
            attributes=request.attributes if given("attributes") else None,
            attributes_patch=request.attributes_patch
            if given("attributes_patch")
            else None,
            activity=request.activity if given("activity") else None,
            reject_pending_reservations=request.reject_pending_reservations,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.UpdateWorkerResponse(), answer)

    async def ListWorkerChannels(
        self, request: pb.ListWorkerChannelsRequest, context: Context
    ) -> pb.ListWorkerChannelsResponse:
        where = {"worker_sid": request.worker_sid}
        page, token = await list_page(self._port, request, WorkerChannel, where)
        return rows_to_proto(
            pb.ListWorkerChannelsResponse(next_page_token=token), page.rows
        )

    async def UpdateWorkerChannel(
        self, request: pb.UpdateWorkerChannelRequest, context: Context
    ) -> pb.UpdateWorkerChannelResponse:
        given = request.HasField
        command = commands.UpdateWorkerChannel(
            request_id=request.request_id,
            worker_sid=request.worker_sid,
            task_channel=request.task_channel,
            configured_capacity=request.configured_capacity
            if given("configured_capacity")
            else None,
            available=request.available if given("available") else None,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.UpdateWorkerChannelResponse(), answer)
