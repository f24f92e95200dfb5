"""Workspaces and what they hold, as protos."""

from flexcore.domain.model import (
    Activity,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.services.convert import seconds_to_proto, time_to_proto
from flexcore.v1 import workspace_pb2


def workspace_to_proto(row: Workspace) -> workspace_pb2.Workspace:
    """Convert a workspace."""
    return workspace_pb2.Workspace(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        friendly_name=row.friendly_name,
        default_activity_sid=row.default_activity_sid,
        timeout_activity_sid=row.timeout_activity_sid,
    )


def activity_to_proto(row: Activity) -> workspace_pb2.Activity:
    """Convert an activity."""
    return workspace_pb2.Activity(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        friendly_name=row.friendly_name,
        available=row.available,
    )


def task_channel_to_proto(row: TaskChannel) -> workspace_pb2.TaskChannel:
    """Convert a task channel."""
    return workspace_pb2.TaskChannel(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        unique_name=row.unique_name,
        friendly_name=row.friendly_name,
    )


def task_queue_to_proto(row: TaskQueue) -> workspace_pb2.TaskQueue:
    """Convert a task queue."""
    return workspace_pb2.TaskQueue(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        friendly_name=row.friendly_name,
        target_workers=row.target_workers,
    )


def workflow_to_proto(row: Workflow) -> workspace_pb2.Workflow:
    """Convert a workflow."""
    return workspace_pb2.Workflow(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        friendly_name=row.friendly_name,
        configuration=row.configuration,
        task_reservation_timeout=seconds_to_proto(row.task_reservation_timeout_seconds),
    )


def worker_to_proto(row: Worker) -> workspace_pb2.Worker:
    """Convert a worker."""
    return workspace_pb2.Worker(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        friendly_name=row.friendly_name,
        attributes=row.attributes,
        activity_sid=row.activity_sid,
        activity_time=time_to_proto(row.activity_time),
    )


def worker_channel_to_proto(row: WorkerChannel) -> workspace_pb2.WorkerChannel:
    """Convert a worker channel."""
    return workspace_pb2.WorkerChannel(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        worker_sid=row.worker_sid,
        task_channel_sid=row.task_channel_sid,
        task_channel_unique_name=row.task_channel_unique_name,
        configured_capacity=row.configured_capacity,
        available=row.available,
        last_offered_time=time_to_proto(row.last_offered),
    )
