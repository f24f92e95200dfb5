"""WorkspaceService: what routing is set up from."""

import base64
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from flexcore.domain.model import (
    Activity,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.engine import commands
from flexcore.engine.port import Port
from flexcore.services import workspace_commands as make
from flexcore.services.convert import given
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.convert_workspace import (
    add_load,
    import_warnings,
    queue_warnings,
    workflow_warnings,
)
from flexcore.services.paging import list_page, page_of
from flexcore.services.session import caller
from flexcore.services.workspace_export import export_page
from flexcore.v1 import task_queue_requests_pb2 as task_queue_pb
from flexcore.v1 import worker_requests_pb2 as worker_pb
from flexcore.v1 import workflow_requests_pb2 as workflow_pb
from flexcore.v1 import workspace_document_requests_pb2 as document_pb
from flexcore.v1 import workspace_requests_pb2 as workspace_pb
from flexcore.v1 import workspace_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
M = TypeVar("M", bound=Message)


class WorkspaceService(workspace_service_pb2_grpc.WorkspaceServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def _answer(self, command: commands.Command, response: M) -> M:
        return answer_to_proto(response, await self._port.submit(caller(), command))

    # workspaces and activities

    async def CreateWorkspace(
        self, request: workspace_pb.CreateWorkspaceRequest, context: Context
    ) -> workspace_pb.CreateWorkspaceResponse:
        command = make.create_workspace(request)
        return await self._answer(command, workspace_pb.CreateWorkspaceResponse())

    async def GetWorkspace(
        self, request: workspace_pb.GetWorkspaceRequest, context: Context
    ) -> workspace_pb.GetWorkspaceResponse:
        command = commands.Get(sid=request.sid)
        return await self._answer(command, workspace_pb.GetWorkspaceResponse())

    async def ListWorkspaces(
        self, request: workspace_pb.ListWorkspacesRequest, context: Context
    ) -> workspace_pb.ListWorkspacesResponse:
        where = {
            "friendly_name": request.friendly_name,
        }
        page, token = await list_page(
            self._port, request, Workspace, where, request.order_by
        )
        response = workspace_pb.ListWorkspacesResponse(next_page_token=token)
        return rows_to_proto(response, page.rows, names=page.names)

    async def UpdateWorkspace(
        self, request: workspace_pb.UpdateWorkspaceRequest, context: Context
    ) -> workspace_pb.UpdateWorkspaceResponse:
        command = make.update_workspace(request)
        return await self._answer(command, workspace_pb.UpdateWorkspaceResponse())

    async def DeleteWorkspace(
        self, request: workspace_pb.DeleteWorkspaceRequest, context: Context
    ) -> workspace_pb.DeleteWorkspaceResponse:
        command = commands.DeleteWorkspace(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        return await self._answer(command, workspace_pb.DeleteWorkspaceResponse())

    async def GetCallbackSecret(
        self, request: workspace_pb.GetCallbackSecretRequest, context: Context
    ) -> workspace_pb.GetCallbackSecretResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        account_sid = caller().account_sid
        newest = self._port.callback_secrets(account_sid, answer.rows[0])[0]
        text = base64.b64encode(newest).decode()
        return workspace_pb.GetCallbackSecretResponse(secret=f"whsec_{text}")

    async def ImportWorkspace(
        self, request: document_pb.ImportWorkspaceRequest, context: Context
    ) -> document_pb.ImportWorkspaceResponse:
        answer = await self._port.submit(caller(), make.import_workspace(request))
        response = document_pb.ImportWorkspaceResponse(
            warnings=import_warnings(request.document, answer.rows, answer.names)
        )
        return answer_to_proto(response, answer)

    async def ExportWorkspace(
        self, request: document_pb.ExportWorkspaceRequest, context: Context
    ) -> document_pb.ExportWorkspaceResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        (workspace,) = answer.rows
        assert isinstance(workspace, Workspace)
        size, token = request.page_size, request.page_token
        document, after = await export_page(self._port, workspace, size, token)
        return document_pb.ExportWorkspaceResponse(
            document=document, next_page_token=after
        )

    async def CreateActivity(
        self, request: workspace_pb.CreateActivityRequest, context: Context
    ) -> workspace_pb.CreateActivityResponse:
        command = make.create_activity(request)
        return await self._answer(command, workspace_pb.CreateActivityResponse())

    async def GetActivity(
        self, request: workspace_pb.GetActivityRequest, context: Context
    ) -> workspace_pb.GetActivityResponse:
        command = commands.Get(sid=request.sid)
        return await self._answer(command, workspace_pb.GetActivityResponse())

    async def ListActivities(
        self, request: workspace_pb.ListActivitiesRequest, context: Context
    ) -> workspace_pb.ListActivitiesResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "friendly_name": request.friendly_name,
            "available": given(request, "available"),
        }
        page, token = await list_page(
            self._port, request, Activity, where, request.order_by
        )
        response = workspace_pb.ListActivitiesResponse(next_page_token=token)
        return rows_to_proto(response, page.rows)

    async def UpdateActivity(
        self, request: workspace_pb.UpdateActivityRequest, context: Context
    ) -> workspace_pb.UpdateActivityResponse:
        command = make.update_activity(request)
        return await self._answer(command, workspace_pb.UpdateActivityResponse())

    async def DeleteActivity(
        self, request: workspace_pb.DeleteActivityRequest, context: Context
    ) -> workspace_pb.DeleteActivityResponse:
        command = commands.DeleteActivity(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        return await self._answer(command, workspace_pb.DeleteActivityResponse())

    # task channels

    async def CreateTaskChannel(
        self, request: workspace_pb.CreateTaskChannelRequest, context: Context
    ) -> workspace_pb.CreateTaskChannelResponse:
        command = make.create_task_channel(request)
        return await self._answer(command, workspace_pb.CreateTaskChannelResponse())

    async def GetTaskChannel(
        self, request: workspace_pb.GetTaskChannelRequest, context: Context
    ) -> workspace_pb.GetTaskChannelResponse:
        command = commands.Get(sid=request.sid)
        return await self._answer(command, workspace_pb.GetTaskChannelResponse())

    async def ListTaskChannels(
        self, request: workspace_pb.ListTaskChannelsRequest, context: Context
    ) -> workspace_pb.ListTaskChannelsResponse:
        where = {
            "workspace_sid": request.workspace_sid,
        }
        page, token = await list_page(
            self._port, request, TaskChannel, where, request.order_by
        )
        response = workspace_pb.ListTaskChannelsResponse(next_page_token=token)
        return rows_to_proto(response, page.rows)

    async def UpdateTaskChannel(
        self, request: workspace_pb.UpdateTaskChannelRequest, context: Context
    ) -> workspace_pb.UpdateTaskChannelResponse:
        command = make.update_task_channel(request)
        return await self._answer(command, workspace_pb.UpdateTaskChannelResponse())

    async def DeleteTaskChannel(
        self, request: workspace_pb.DeleteTaskChannelRequest, context: Context
    ) -> workspace_pb.DeleteTaskChannelResponse:
        command = commands.DeleteTaskChannel(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        return await self._answer(command, workspace_pb.DeleteTaskChannelResponse())

    # task queues and workflows

    async def CreateTaskQueue(
        self, request: task_queue_pb.CreateTaskQueueRequest, context: Context
    ) -> task_queue_pb.CreateTaskQueueResponse:
        answer = await self._port.submit(caller(), make.create_task_queue(request))
        response = task_queue_pb.CreateTaskQueueResponse(
            warnings=queue_warnings(answer.rows)
        )
        return answer_to_proto(response, answer)

    async def GetTaskQueue(
        self, request: task_queue_pb.GetTaskQueueRequest, context: Context
    ) -> task_queue_pb.GetTaskQueueResponse:
        command = commands.Get(sid=request.sid)
        return await self._answer(command, task_queue_pb.GetTaskQueueResponse())

    async def ListTaskQueues(
        self, request: task_queue_pb.ListTaskQueuesRequest, context: Context
    ) -> task_queue_pb.ListTaskQueuesResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "friendly_name": request.friendly_name,
            "worker_sid": request.worker_sid,
            "worker_attributes": request.worker_attributes,
        }
        page, token = await list_page(
            self._port, request, TaskQueue, where, request.order_by
        )
        response = task_queue_pb.ListTaskQueuesResponse(next_page_token=token)
        return rows_to_proto(response, page.rows)

    async def UpdateTaskQueue(
        self, request: task_queue_pb.UpdateTaskQueueRequest, context: Context
    ) -> task_queue_pb.UpdateTaskQueueResponse:
        answer = await self._port.submit(caller(), make.update_task_queue(request))
        response = task_queue_pb.UpdateTaskQueueResponse(
            warnings=queue_warnings(answer.rows)
        )
        return answer_to_proto(response, answer)

    async def DeleteTaskQueue(
        self, request: task_queue_pb.DeleteTaskQueueRequest, context: Context
    ) -> task_queue_pb.DeleteTaskQueueResponse:
        command = commands.DeleteTaskQueue(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        return await self._answer(command, task_queue_pb.DeleteTaskQueueResponse())

    async def CreateWorkflow(
        self, request: workflow_pb.CreateWorkflowRequest, context: Context
    ) -> workflow_pb.CreateWorkflowResponse:
        answer = await self._port.submit(caller(), make.create_workflow(request))
        response = workflow_pb.CreateWorkflowResponse(
            warnings=workflow_warnings(answer.rows, answer.names)
        )
        return answer_to_proto(response, answer)

    async def GetWorkflow(
        self, request: workflow_pb.GetWorkflowRequest, context: Context
    ) -> workflow_pb.GetWorkflowResponse:
        command = commands.Get(sid=request.sid)
        return await self._answer(command, workflow_pb.GetWorkflowResponse())

    async def ListWorkflows(
        self, request: workflow_pb.ListWorkflowsRequest, context: Context
    ) -> workflow_pb.ListWorkflowsResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "friendly_name": request.friendly_name,
        }
        page, token = await list_page(
            self._port, request, Workflow, where, request.order_by
        )
        response = workflow_pb.ListWorkflowsResponse(next_page_token=token)
        return rows_to_proto(response, page.rows)

    async def UpdateWorkflow(
        self, request: workflow_pb.UpdateWorkflowRequest, context: Context
    ) -> workflow_pb.UpdateWorkflowResponse:
        answer = await self._port.submit(caller(), make.update_workflow(request))
        response = workflow_pb.UpdateWorkflowResponse(
            warnings=workflow_warnings(answer.rows, answer.names)
        )
        return answer_to_proto(response, answer)

    async def DeleteWorkflow(
        self, request: workflow_pb.DeleteWorkflowRequest, context: Context
    ) -> workflow_pb.DeleteWorkflowResponse:
        command = commands.DeleteWorkflow(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        return await self._answer(command, workflow_pb.DeleteWorkflowResponse())

    async def GetWorkflowRevision(
        self, request: workflow_pb.GetWorkflowRevisionRequest, context: Context
    ) -> workflow_pb.GetWorkflowRevisionResponse:
        command = commands.Get(sid=request.sid)
        return await self._answer(command, workflow_pb.GetWorkflowRevisionResponse())

    async def ListWorkflowRevisions(
        self, request: workflow_pb.ListWorkflowRevisionsRequest, context: Context
    ) -> workflow_pb.ListWorkflowRevisionsResponse:
        where = {
            "workflow_sid": request.workflow_sid,
        }
        page, token = await list_page(
            self._port, request, WorkflowRevision, where, request.order_by
        )
        response = workflow_pb.ListWorkflowRevisionsResponse(next_page_token=token)
        return rows_to_proto(response, page.rows)

    # workers

    async def CreateWorker(
        self, request: worker_pb.CreateWorkerRequest, context: Context
    ) -> worker_pb.CreateWorkerResponse:
        command = make.create_worker(request)
        return await self._answer(command, worker_pb.CreateWorkerResponse())

    async def BatchCreateWorkers(
        self, request: worker_pb.BatchCreateWorkersRequest, context: Context
    ) -> worker_pb.BatchCreateWorkersResponse:
        command = make.create_workers(request)
        return await self._answer(command, worker_pb.BatchCreateWorkersResponse())

    async def GetWorker(
        self, request: worker_pb.GetWorkerRequest, context: Context
    ) -> worker_pb.GetWorkerResponse:
        command = commands.GetWorker(sid=request.sid)
        answer = await self._port.submit(caller(), command)
        response = answer_to_proto(worker_pb.GetWorkerResponse(), answer)
        add_load(response.worker_channels, answer.rows, response.worker)
        return response

    async def ListWorkers(
        self, request: worker_pb.ListWorkersRequest, context: Context
    ) -> worker_pb.ListWorkersResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "activity_sid": request.activity_sid,
            "activity_name": request.activity_name,
            "available": given(request, "available"),
            "friendly_name": request.friendly_name,
            "task_queue_sid": request.task_queue_sid,
            "task_queue_name": request.task_queue_name,
            "target_workers_expression": request.target_workers_expression,
        }
        page, token = await list_page(
            self._port, request, Worker, where, request.order_by
        )
        response = worker_pb.ListWorkersResponse(next_page_token=token)
        return rows_to_proto(response, page.rows, names=page.names)

    async def UpdateWorker(
        self, request: worker_pb.UpdateWorkerRequest, context: Context
    ) -> worker_pb.UpdateWorkerResponse:
        command = make.update_worker(request)
        return await self._answer(command, worker_pb.UpdateWorkerResponse())

    async def DeleteWorker(
        self, request: worker_pb.DeleteWorkerRequest, context: Context
    ) -> worker_pb.DeleteWorkerResponse:
        command = commands.DeleteWorker(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        return await self._answer(command, worker_pb.DeleteWorkerResponse())

    async def GetWorkerChannel(
        self, request: worker_pb.GetWorkerChannelRequest, context: Context
    ) -> worker_pb.GetWorkerChannelResponse:
        command = commands.GetWorkerChannel(
            worker_sid=request.worker_sid, task_channel=request.task_channel
        )
        answer = await self._port.submit(caller(), command)
        response = answer_to_proto(worker_pb.GetWorkerChannelResponse(), answer)
        add_load((response.worker_channel,), answer.rows)
        return response

    async def ListWorkerChannels(
        self, request: worker_pb.ListWorkerChannelsRequest, context: Context
    ) -> worker_pb.ListWorkerChannelsResponse:
        command = commands.GetWorker(sid=request.worker_sid)
        answer = await self._port.submit(caller(), command)
        rows = [row for row in answer.rows if isinstance(row, WorkerChannel)]
        page, token = page_of(rows, request, request.worker_sid)
        response = worker_pb.ListWorkerChannelsResponse(next_page_token=token)
        add_load(rows_to_proto(response, page).worker_channels, answer.rows)
        return response

    async def UpdateWorkerChannel(
        self, request: worker_pb.UpdateWorkerChannelRequest, context: Context
    ) -> worker_pb.UpdateWorkerChannelResponse:
        command = make.update_worker_channel(request)
        return await self._answer(command, worker_pb.UpdateWorkerChannelResponse())
