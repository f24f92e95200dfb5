"""Explanations as protos."""

from flexcore.engine.port import Explanation, StepExplanation
from flexcore.services.convert import texts, time_to_proto
from flexcore.services.convert_routing import RESERVATION, place_to_proto
from flexcore.v1 import explanation_pb2

_CONDITIONS = {
    word: number
    for number, word in texts(explanation_pb2.Condition, "CONDITION").items()
}


def explanation_to_proto(found: Explanation) -> explanation_pb2.Explanation:
    """Convert an explanation."""
    return explanation_pb2.Explanation(
        text=found.text,
        next_time=time_to_proto(found.next_time),
        next_text=found.next_text,
        steps=map(_step_to_proto, found.steps),
        reservations=map(RESERVATION.message, found.reservations),
    )


def _step_to_proto(step: StepExplanation) -> explanation_pb2.StepExplanation:
    message = explanation_pb2.StepExplanation(
        **place_to_proto(step.filter_index, step.target_index),
        task_queue_sid=step.task_queue_sid,
        task_queue_name=step.task_queue_name,
        expression=step.expression,
        current=step.current,
        pull=step.pull,
        workers=step.workers,
        eligible=step.eligible,
        candidates=step.candidates,
        failures=[
            explanation_pb2.ConditionCount(
                condition=_CONDITIONS[row.condition], text=row.text, workers=row.workers
            )
            for row in step.failures
        ],
        nearest=[
            explanation_pb2.NearMiss(
                worker_sid=row.worker_sid,
                worker_name=row.worker_name,
                failures=row.failures,
                remedies=row.remedies,
            )
            for row in step.nearest
        ],
    )
    if step.route >= 0:
        message.routing_target_index = step.route
    return message
