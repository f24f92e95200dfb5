"""Requests of WorkspaceService as commands, side by side."""

from typing import Any

from flexcore.domain import limits
from flexcore.domain.semantics import Value
from flexcore.engine import commands
from flexcore.services.convert import given
from flexcore.services.convert_policy import (
    SEMANTICS_TEXT,
    TASK_ORDER_TEXT,
    policies_from_proto,
)
from flexcore.v1 import task_queue_requests_pb2 as task_queue_pb
from flexcore.v1 import worker_requests_pb2 as worker_pb
from flexcore.v1 import workflow_requests_pb2 as workflow_pb
from flexcore.v1 import workspace_document_requests_pb2 as document_pb
from flexcore.v1 import workspace_requests_pb2 as workspace_pb


def _policies(request: Any) -> dict[str, Value] | None:
    found = given(request, "policies")
    return None if found is None else policies_from_proto(found)


# --- workspaces and activities ---------------------------------------------------------


def create_workspace(
    request: workspace_pb.CreateWorkspaceRequest,
) -> commands.CreateWorkspace:
    """Return the command of a CreateWorkspace request."""
    fifo = request.template == workspace_pb.WORKSPACE_TEMPLATE_FIFO
    return commands.CreateWorkspace(
        request_id=request.request_id,
        friendly_name=request.friendly_name,
        template="FIFO" if fifo else "NONE",
        default_activity=request.default_activity,
        timeout_activity=request.timeout_activity,
        semantics=SEMANTICS_TEXT[request.semantics],
        policies=_policies(request),
        prioritize_queue_order=TASK_ORDER_TEXT.get(request.prioritize_queue_order, ""),
    )


def update_workspace(
    request: workspace_pb.UpdateWorkspaceRequest,
) -> commands.UpdateWorkspace:
    """Return the command of an UpdateWorkspace request."""
    return commands.UpdateWorkspace(
        request_id=request.request_id,
        sid=request.sid,
        friendly_name=given(request, "friendly_name"),
        default_activity=given(request, "default_activity"),
        timeout_activity=given(request, "timeout_activity"),
        semantics=SEMANTICS_TEXT[request.semantics] or None,
        policies=_policies(request),
        prioritize_queue_order=TASK_ORDER_TEXT.get(request.prioritize_queue_order),
        rotate_callback_secret=request.rotate_callback_secret,
        vanished_queue=given(request, "vanished_queue"),
        expected_version=request.version,
    )


def import_workspace(
    request: document_pb.ImportWorkspaceRequest,
) -> commands.ImportWorkspace:
    """Return the command of an ImportWorkspace request."""
    return commands.ImportWorkspace(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        document=request.document,
    )


def create_activity(
    request: workspace_pb.CreateActivityRequest,
) -> commands.CreateActivity:
    """Return the command of a CreateActivity request."""
    return commands.CreateActivity(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        friendly_name=request.friendly_name,
        available=request.available,
    )


def update_activity(
    request: workspace_pb.UpdateActivityRequest,
) -> commands.UpdateActivity:
    """Return the command of an UpdateActivity request."""
    return commands.UpdateActivity(
        request_id=request.request_id,
        sid=request.sid,
        friendly_name=given(request, "friendly_name"),
        expected_version=request.version,
    )


# --- task channels ---------------------------------------------------------------------


def create_task_channel(
    request: workspace_pb.CreateTaskChannelRequest,
) -> commands.CreateTaskChannel:
    """Return the command of a CreateTaskChannel request."""
    return commands.CreateTaskChannel(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        unique_name=request.unique_name,
        friendly_name=request.friendly_name,
        channel_optimized_routing=request.channel_optimized_routing,
    )


def update_task_channel(
    request: workspace_pb.UpdateTaskChannelRequest,
) -> commands.UpdateTaskChannel:
    """Return the command of an UpdateTaskChannel request."""
    return commands.UpdateTaskChannel(
        request_id=request.request_id,
        sid=request.sid,
        friendly_name=given(request, "friendly_name"),
        channel_optimized_routing=given(request, "channel_optimized_routing"),
        expected_version=request.version,
    )


# --- task queues and workflows ---------------------------------------------------------


def create_task_queue(
    request: task_queue_pb.CreateTaskQueueRequest,
) -> commands.CreateTaskQueue:
    """Return the command of a CreateTaskQueue request."""
    target_workers = given(request, "target_workers")
    most = given(request, "max_reserved_workers")
    return commands.CreateTaskQueue(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        friendly_name=request.friendly_name,
        target_workers="1==1" if target_workers is None else target_workers,
        max_reserved_workers=1 if most is None else most,
        task_order=TASK_ORDER_TEXT.get(request.task_order, ""),
        policies=_policies(request),
    )


def update_task_queue(
    request: task_queue_pb.UpdateTaskQueueRequest,
) -> commands.UpdateTaskQueue:
    """Return the command of an UpdateTaskQueue request."""
    return commands.UpdateTaskQueue(
        request_id=request.request_id,
        sid=request.sid,
        friendly_name=given(request, "friendly_name"),
        target_workers=given(request, "target_workers"),
        max_reserved_workers=given(request, "max_reserved_workers"),
        task_order=TASK_ORDER_TEXT.get(request.task_order),
        policies=_policies(request),
        expected_version=request.version,
    )


def create_workflow(
    request: workflow_pb.CreateWorkflowRequest,
) -> commands.CreateWorkflow:
    """Return the command of a CreateWorkflow request."""
    return commands.CreateWorkflow(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        friendly_name=request.friendly_name,
        configuration=request.configuration,
        task_reservation_timeout_seconds=(
            request.task_reservation_timeout.seconds
            or limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT
        ),
        assignment_callback_url=request.assignment_callback_url,
        fallback_assignment_callback_url=request.fallback_assignment_callback_url,
    )


def update_workflow(
    request: workflow_pb.UpdateWorkflowRequest,
) -> commands.UpdateWorkflow:
    """Return the command of an UpdateWorkflow request."""
    seconds = request.task_reservation_timeout.seconds
    return commands.UpdateWorkflow(
        request_id=request.request_id,
        sid=request.sid,
        friendly_name=given(request, "friendly_name"),
        configuration=given(request, "configuration"),
        task_reservation_timeout_seconds=seconds or None,
        assignment_callback_url=given(request, "assignment_callback_url"),
        fallback_assignment_callback_url=given(
            request, "fallback_assignment_callback_url"
        ),
        re_evaluate_tasks=request.re_evaluate_tasks,
        expected_version=request.version,
    )


# --- workers ---------------------------------------------------------------------------


def create_worker(request: worker_pb.CreateWorkerRequest) -> commands.CreateWorker:
    """Return the command of a CreateWorker request."""
    return commands.CreateWorker(
        request_id=request.request_id,
        workspace_sid=request.workspace_sid,
        friendly_name=request.friendly_name,
        attributes=request.attributes,
        activity=request.activity,
    )


def create_workers(
    request: worker_pb.BatchCreateWorkersRequest,
) -> commands.BatchCreateWorkers:
    """Return the command of a BatchCreateWorkers request."""
    workers = (
        commands.CreateWorker(
            workspace_sid=request.workspace_sid,
            friendly_name=worker.friendly_name,
            attributes=worker.attributes,
            activity=worker.activity,
        )
        for worker in request.workers
    )
    return commands.BatchCreateWorkers(
        request_id=request.request_id, workers=tuple(workers)
    )


def update_worker(request: worker_pb.UpdateWorkerRequest) -> commands.UpdateWorker:
    """Return the command of an UpdateWorker request."""
    return commands.UpdateWorker(
        request_id=request.request_id,
        sid=request.sid,
        friendly_name=given(request, "friendly_name"),
        attributes=given(request, "attributes"),
        attributes_patch=given(request, "attributes_patch"),
        activity=given(request, "activity"),
        after_current_work=request.after_current_work,
        reject_pending_reservations=request.reject_pending_reservations,
        expected_version=request.version,
    )


def update_worker_channel(
    request: worker_pb.UpdateWorkerChannelRequest,
) -> commands.UpdateWorkerChannel:
    """Return the command of an UpdateWorkerChannel request."""
    return commands.UpdateWorkerChannel(
        request_id=request.request_id,
        worker_sid=request.worker_sid,
        task_channel=request.task_channel,
        configured_capacity=given(request, "configured_capacity"),
        available=given(request, "available"),
        expected_version=request.version,
    )
