"""Tasks and reservations as protos."""

from collections.abc import Iterable
from typing import TypedDict

from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain.model import Reservation, Task
from flexcore.domain.parts import (
    CallbackProblem,
    CallbackReason,
    Choice,
    Refusal,
    Route,
)
from flexcore.domain.plans import DEFAULT_FILTER, EXHAUSTION, RESTART, ROUTED
from flexcore.domain.states import WAITING_TASK, ReservationStatus, TaskStatus
from flexcore.services.convert import numbers, seconds_to_proto, texts, time_to_proto
from flexcore.v1 import routing_pb2

TASK_STATUS = numbers(routing_pb2.TaskStatus, "TASK_STATUS", TaskStatus)
TASK_STATUS_TEXT = texts(routing_pb2.TaskStatus, "TASK_STATUS")
RESERVATION_STATUS = numbers(
    routing_pb2.ReservationStatus, "RESERVATION_STATUS", ReservationStatus
)
CALLBACK_REASON = numbers(routing_pb2.CallbackReason, "CALLBACK_REASON", CallbackReason)
RESERVATION_STATUS_TEXT = texts(routing_pb2.ReservationStatus, "RESERVATION_STATUS")

_PLACES = {
    DEFAULT_FILTER: routing_pb2.ROUTING_PLACE_DEFAULT_FILTER,
    EXHAUSTION: routing_pb2.ROUTING_PLACE_EXHAUSTED,
    ROUTED: routing_pb2.ROUTING_PLACE_ROUTING_TARGET,
    RESTART: routing_pb2.ROUTING_PLACE_RESTART,
}


class Place(TypedDict):
    """The fields of a place that RoutingStep and StepExplanation share."""

    place: "routing_pb2.RoutingPlace.ValueType"
    filter_index: int | None
    target_index: int | None


def task_to_proto(row: Task) -> routing_pb2.Task:
    """Convert a task; only one that is not assigned has a deadline.

    Its age is not the row's; convert_rows adds it.
    """
    message = routing_pb2.Task(
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
        # Every task has one, and 1970 is not unset.
        virtual_start_time=time_to_proto(row.virtual_start_time) or Timestamp(),
        timeout=seconds_to_proto(row.timeout_seconds),
        deadline=time_to_proto(row.deadline if row.status in WAITING_TASK else 0),
        queue_entered_time=time_to_proto(row.queue_entered_time),
        assignment_count=row.assignment_count,
        sequence=row.sequence,
        invite_sid=row.invite_sid,
        workflow_revision_sid=row.workflow_revision_sid,
        disposition=row.disposition,
        routing_targets=map(_route_to_proto, row.routes),
        refusals=map(_refusal_to_proto, row.refusals),
        step=routing_pb2.RoutingStep(
            **place_to_proto(row.step_filter, row.step_target),
            start_time=time_to_proto(row.step_start),
            deadline=time_to_proto(row.step_deadline),
        ),
        limit_time=time_to_proto(row.limit_time),
        purge_time=time_to_proto(row.purge_time),
        callback_failures=row.callback_failures,
        hold_time=time_to_proto(row.hold_time),
    )
    if row.route >= 0:
        message.routing_target_index = row.route
    return message


def place_to_proto(filter_index: int, target_index: int) -> Place:
    """Return where a step is: what leads there, of which filter, which target of it.

    Indices that mean something else to the domain are left out.
    """
    if filter_index >= 0:
        return Place(
            place=routing_pb2.ROUTING_PLACE_FILTER,
            filter_index=filter_index,
            target_index=target_index,
        )
    # What a workflow's own exhaustion leads to is no filter's.
    of_filter = filter_index == EXHAUSTION and target_index >= 0
    owner = target_index if of_filter else None
    return Place(place=_PLACES[filter_index], filter_index=owner, target_index=None)


def _route_to_proto(route: Route) -> routing_pb2.RoutingTarget:
    return routing_pb2.RoutingTarget(
        sid=route.sid,
        wait=seconds_to_proto(route.wait_seconds),
        ignore_capacity=route.ignore_capacity,
    )


def _refusal_to_proto(refusal: Refusal) -> routing_pb2.Refusal:
    return routing_pb2.Refusal(
        worker_sid=refusal.worker_sid,
        count=refusal.count,
        passed_over=refusal.passed_over,
        until=time_to_proto(refusal.until),
    )


def routes_from_proto(
    targets: Iterable[routing_pb2.RoutingTarget],
) -> tuple[Route, ...]:
    """Return the chain a task is to be routed by."""
    return tuple(
        Route(
            target.sid,
            target.wait.seconds,
            target.ignore_capacity if target.HasField("ignore_capacity") else None,
        )
        for target in targets
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
        choice=_choice_to_proto(row.choice) if row.choice else None,
        accept_time=time_to_proto(row.accept_time),
        wrap_time=time_to_proto(row.wrap_time),
        callback_problems=map(_problem_to_proto, row.callback_problems),
    )


def _problem_to_proto(problem: CallbackProblem) -> routing_pb2.CallbackProblem:
    return routing_pb2.CallbackProblem(
        reason=CALLBACK_REASON[problem.reason],
        text=problem.text,
        time=time_to_proto(problem.time),
        fallback=problem.fallback,
    )


def _choice_to_proto(choice: Choice) -> routing_pb2.Choice:
    return routing_pb2.Choice(
        rule=choice.rule,
        key=choice.key,
        order_by=choice.order_by,
        runner_up_sid=choice.runner_up_sid,
        runner_up_key=choice.runner_up_key,
    )
