"""Tasks and reservations as protos."""

from flexcore.domain.model import Reservation, Task
from flexcore.domain.states import ReservationStatus, TaskStatus
from flexcore.services.convert import numbers, seconds_to_proto, texts, time_to_proto
from flexcore.v1 import routing_pb2

TASK_STATUS = numbers(routing_pb2.TaskStatus, "TASK_STATUS", TaskStatus)
TASK_STATUS_TEXT = texts(routing_pb2.TaskStatus, "TASK_STATUS")
RESERVATION_STATUS = numbers(
    routing_pb2.ReservationStatus, "RESERVATION_STATUS", ReservationStatus
)
RESERVATION_STATUS_TEXT = texts(routing_pb2.ReservationStatus, "RESERVATION_STATUS")

_UNASSIGNED = frozenset({TaskStatus.PENDING, TaskStatus.RESERVED})


def task_to_proto(row: Task) -> routing_pb2.Task:
    """Convert a task; only one that is not assigned has a deadline."""
    return routing_pb2.Task(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        workflow_sid=row.workflow_sid,
        task_queue_sid=row.task_queue_sid,
        task_channel_sid=row.task_channel_sid,
        task_channel_unique_name=row.task_channel_unique_name,
        attributes=row.attributes,
        priority=row.priority,
        status=TASK_STATUS[row.status],
        reason=row.reason,
        virtual_start_time=time_to_proto(row.virtual_start_time),
        timeout=seconds_to_proto(row.timeout_seconds),
        deadline=time_to_proto(row.deadline if row.status in _UNASSIGNED else 0),
        queue_entered_time=time_to_proto(row.queue_entered_time),
        assignment_count=row.assignment_count,
        sequence=row.sequence,
        invite_sid=row.invite_sid,
    )


def reservation_to_proto(row: Reservation) -> routing_pb2.Reservation:
    """Convert a reservation; only a pending one has a deadline."""
    pending = row.status is ReservationStatus.PENDING
    return routing_pb2.Reservation(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        workflow_sid=row.workflow_sid,
        task_queue_sid=row.task_queue_sid,
        task_channel_sid=row.task_channel_sid,
        task_sid=row.task_sid,
        worker_sid=row.worker_sid,
        worker_name=row.worker_name,
        status=RESERVATION_STATUS[row.status],
        reason=row.reason,
        deadline=time_to_proto(row.deadline if pending else 0),
        candidates=row.candidates,
    )
