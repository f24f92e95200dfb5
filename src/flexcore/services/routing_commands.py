"""Requests of RoutingService as commands, side by side."""

from flexcore.engine import commands
from flexcore.services.convert import given, given_time
from flexcore.services.convert_routing import routes_from_proto
from flexcore.v1 import routing_service_pb2 as pb


def create_task(request: pb.CreateTaskRequest) -> commands.CreateTask:
    """Return the command of a CreateTask request."""
    return commands.CreateTask(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        workflow_sid=request.workflow_sid,
        task_channel=request.task_channel,
        attributes=request.attributes,
        priority=request.priority,
        timeout_seconds=request.timeout.seconds,
        virtual_start_time=given_time(request, "virtual_start_time"),
        routes=routes_from_proto(request.routing_targets),
    )


def create_tasks(request: pb.BatchCreateTasksRequest) -> commands.BatchCreateTasks:
    """Return the command of a BatchCreateTasks request."""
    tasks = (
        commands.CreateTask(
            workspace_sid=request.workspace_sid,
            workflow_sid=task.workflow_sid,
            task_channel=task.task_channel,
            attributes=task.attributes,
            priority=task.priority,
            timeout_seconds=task.timeout.seconds,
            virtual_start_time=given_time(task, "virtual_start_time"),
            routes=routes_from_proto(task.routing_targets),
        )
        for task in request.tasks
    )
    return commands.BatchCreateTasks(request_id=request.request_id, tasks=tuple(tasks))


def update_task(request: pb.UpdateTaskRequest) -> commands.UpdateTask:
    """Return the command of an UpdateTask request."""
    return commands.UpdateTask(
        request_id=request.request_id,
        sid=request.sid,
        attributes=given(request, "attributes"),
        attributes_patch=given(request, "attributes_patch"),
        priority=given(request, "priority"),
        task_channel=given(request, "task_channel"),
        virtual_start_time=given_time(request, "virtual_start_time"),
        expected_version=request.version,
    )


def wrap(
    request: pb.WrapTaskRequest | pb.WrapReservationRequest,
) -> commands.WrapTask:
    """Return the command that wraps up a task, or that of a reservation."""
    return commands.WrapTask(
        request_id=request.request_id,
        sid=request.sid,
        reason=request.reason,
        expected_version=request.version,
    )


def complete(
    request: pb.CompleteTaskRequest | pb.CompleteReservationRequest,
) -> commands.CompleteTask:
    """Return the command that completes a task, or that of a reservation."""
    return commands.CompleteTask(
        request_id=request.request_id,
        sid=request.sid,
        reason=request.reason,
        disposition=request.disposition,
        attributes_patch=given(request, "attributes_patch"),
        expected_version=request.version,
    )
