"""Tasks and reservations as protos."""

import functools
from collections.abc import Iterable
from typing import TypedDict

from flexcore.domain.model import Task
from flexcore.domain.parts import CallbackReason, Route
from flexcore.domain.plans import DEFAULT_FILTER, EXHAUSTION, RESTART, ROUTED
from flexcore.domain.states import WAITING_TASK, ReservationStatus, TaskStatus
from flexcore.services.convert import numbers, texts
from flexcore.services.layout import Layout
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


@functools.lru_cache(1024)  # a workflow has few
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


def _place(row: Task) -> Place:
    return place_to_proto(row.step_filter, row.step_target)


_STEP = Layout(
    routing_pb2.RoutingStep,
    place=lambda row: _place(row)["place"],
    filter_index=lambda row: _place(row)["filter_index"],
    target_index=lambda row: _place(row)["target_index"],
    start_time="step_start",
    deadline="step_deadline",
)
#: only one that is not assigned has a deadline; its age is told beside it
TASK = Layout(
    routing_pb2.Task,
    beside=("age", "task_queue_friendly_name", "workflow_friendly_name"),
    # Every task has one, and 1970 is not unset.
    always=("virtual_start_time",),
    status=TASK_STATUS,
    timeout="timeout_seconds",
    deadline=lambda row: row.deadline if row.status in WAITING_TASK else 0,
    routing_targets=("routes", Layout(routing_pb2.RoutingTarget, wait="wait_seconds")),
    routing_target_index=lambda row: row.route if row.route >= 0 else None,
    refusals=Layout(routing_pb2.Refusal),
    step=(lambda row: row, _STEP),
)
#: only a pending one has a deadline
RESERVATION = Layout(
    routing_pb2.Reservation,
    status=RESERVATION_STATUS,
    deadline=lambda row: row.deadline if row.status is ReservationStatus.PENDING else 0,
    choice=Layout(routing_pb2.Choice),
    callback_problems=Layout(routing_pb2.CallbackProblem, reason=CALLBACK_REASON),
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
