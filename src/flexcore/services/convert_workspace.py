"""Workspaces and what they hold, as protos."""

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import msgspec

from flexcore.domain import limits
from flexcore.domain.documents.fields import (
    EVERYBODY,
    TASK_QUEUES,
    WORKFLOWS,
    decode_document,
    dropped,
)
from flexcore.domain.expressions import Context, Dialect, parse, warnings_of
from flexcore.domain.model import (
    Activity,
    Reservation,
    Row,
    TaskChannel,
    TaskQueue,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.plan_lint import warnings_of_plan
from flexcore.domain.semantics import Policies, resolved
from flexcore.domain.states import (
    OPEN_RESERVATION,
    Connectivity,
    ReservationStatus,
    WorkState,
    work_state,
)
from flexcore.domain.workflows import saved_plan
from flexcore.services.convert import numbers, seconds_to_proto, time_to_proto
from flexcore.services.convert_policy import SEMANTICS, TASK_ORDER, policies_to_proto
from flexcore.services.layout import Layout
from flexcore.v1 import workspace_pb2

R = TypeVar("R", bound=Row)

CONNECTIVITY = numbers(workspace_pb2.Connectivity, "CONNECTIVITY", Connectivity)
WORK_STATE = numbers(workspace_pb2.WorkState, "WORK_STATE", WorkState)


def workspace_to_proto(row: Workspace) -> workspace_pb2.Workspace:
    """Convert a workspace, with the policies it has and those that follow."""
    effective = msgspec.structs.asdict(resolved(row.semantics, row.policies))
    return workspace_pb2.Workspace(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        friendly_name=row.friendly_name,
        default_activity_sid=row.default_activity_sid,
        timeout_activity_sid=row.timeout_activity_sid,
        semantics=SEMANTICS[row.semantics],
        policies=policies_to_proto(row.policies),
        effective_policies=policies_to_proto(effective),
        prioritize_queue_order=TASK_ORDER[row.prioritize_queue_order],
        vanished_queue_sid=row.vanished_queue_sid,
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
        channel_optimized_routing=row.channel_optimized_routing,
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
        max_reserved_workers=row.max_reserved_workers,
        task_order=TASK_ORDER[row.task_order],
        policies=policies_to_proto(row.policies),
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
        revision_sid=row.revision_sid,
        re_evaluate_left=row.re_evaluate_left,
        assignment_callback_url=row.assignment_callback_url,
        fallback_assignment_callback_url=row.fallback_assignment_callback_url,
    )


def workflow_revision_to_proto(row: WorkflowRevision) -> workspace_pb2.WorkflowRevision:
    """Convert a revision of a workflow."""
    return workspace_pb2.WorkflowRevision(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        workspace_sid=row.workspace_sid,
        workflow_sid=row.workflow_sid,
        number=row.number,
        configuration=row.configuration,
    )


WORKER = Layout(
    workspace_pb2.Worker,
    beside=("activity_name", "work_state"),
    connectivity=CONNECTIVITY,
)
#: `add_load` says what the worker holds
WORKER_CHANNEL = Layout(
    workspace_pb2.WorkerChannel,
    beside=("assigned_tasks", "available_capacity_percentage", "work_state"),
    last_offered_time="last_offered",
    last_released_time="last_released",
)


def add_load(
    channels: Iterable[workspace_pb2.WorkerChannel],
    rows: Iterable[Row],
    worker: workspace_pb2.Worker | None = None,
) -> None:
    """Say what a worker has at hand, by the open reservations in `rows`."""
    held = [
        row
        for row in rows
        if isinstance(row, Reservation) and row.status in OPEN_RESERVATION
    ]
    for channel in channels:
        here = [r for r in held if r.task_channel_sid == channel.task_channel_sid]
        assigned = sum(row.status is ReservationStatus.ACCEPTED for row in here)
        channel.assigned_tasks = assigned
        channel.available_capacity_percentage = percentage_left(
            len(here), channel.configured_capacity
        )
        channel.work_state = WORK_STATE[work_state(row.status for row in here)]
    if worker is not None:
        worker.work_state = WORK_STATE[work_state(row.status for row in held)]


def percentage_left(occupied: int, capacity: int) -> int:
    """Return what of a capacity is left, rounded down; none of none."""
    return max(0, (capacity - occupied) * 100 // capacity) if capacity else 0


def queue_warnings(rows: Iterable[Row]) -> Sequence[str]:
    """Return what to say about the expression of a queue that was saved."""
    queue, policies = _saved(rows, TaskQueue)
    target = parse(queue.target_workers, Context.WORKER, dialect=_dialect(policies))
    return warnings_of(target)


def workflow_warnings(rows: Iterable[Row], names: Collection[str]) -> Sequence[str]:
    """Return what to say about the configuration of a workflow that was saved.

    `names` are the sids of what the answer names, among them the activities it counts in.
    """
    workflow, policies = _saved(rows, Workflow)
    plan = saved_plan(workflow.configuration, _dialect(policies))
    scope = policies.refusal_scope
    return warnings_of_plan(plan, refusal_scope=scope, activity_sids=names)


def import_warnings(
    document: str, rows: Sequence[Row], names: Collection[str]
) -> Sequence[str]:
    """Return what was dropped of a document, and what to say about the rest."""
    found = list(dropped(decode_document(document)))
    (workspace,) = (row for row in rows if isinstance(row, Workspace))
    queues = [row for row in rows if isinstance(row, TaskQueue)]
    for index, queue in enumerate(queues):
        if queue.target_workers == EVERYBODY:
            continue
        at = f"{TASK_QUEUES}[{index}].target_workers"
        found += [f"{at}: {text}" for text in queue_warnings([workspace, queue])]
    workflows = [row for row in rows if isinstance(row, Workflow)]
    for index, workflow in enumerate(workflows):
        at = f"{WORKFLOWS}[{index}]"
        warnings = workflow_warnings([workspace, workflow], names)
        found += [f"{at}.{text}" for text in warnings]
    return found[: limits.IMPORT_WARNINGS]


def _saved(rows: Iterable[Row], kind: type[R]) -> tuple[R, Policies]:
    """Return the saved row, and the policies of its workspace."""
    (saved,) = (row for row in rows if isinstance(row, kind))
    (workspace,) = (row for row in rows if isinstance(row, Workspace))
    return saved, resolved(workspace.semantics, workspace.policies)


def _dialect(policies: Policies) -> Dialect:
    return Dialect(policies.type_mismatch, policies.missing_array)
