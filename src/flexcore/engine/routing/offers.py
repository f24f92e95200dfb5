"""Offers: one task to one worker, made by the matcher or by a routing target.

An offer is a pending reservation. How it ends without acceptance is offer_endings.py.
"""

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import JsonValue
from flexcore.domain.expressions import OrderClause, look_up
from flexcore.domain.model import Reservation, Task, TaskQueue, Worker, Workflow
from flexcore.domain.parts import Choice
from flexcore.domain.states import ReservationStatus, TaskStatus, next_state
from flexcore.engine.decision import Decision
from flexcore.engine.messaging import invites
from flexcore.engine.routing import callbacks, clocks, steps
from flexcore.engine.routing.desk import Offer
from flexcore.engine.routing.membership import attributes_of
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.state import State


def make_found(decision: Decision, found: Offer) -> Reservation:
    """Write down what the matcher decided, and why."""
    state = decision.state
    task = state.need(found.task_sid, Task)
    worker = state.need(found.worker_sid, Worker)
    rule = policies_of(state, task.workspace_sid, task.task_queue_sid).worker_order
    step = steps.step_of(state, task)
    clauses = () if step is None else step.target.order_by
    choice = Choice(rule, _key(state, task, worker, rule, clauses), _text(clauses))
    if found.runner_up_sid:
        other = state.need(found.runner_up_sid, Worker)
        choice = msgspec.structs.replace(
            choice,
            runner_up_sid=other.sid,
            runner_up_key=_key(state, task, other, rule, clauses),
        )
    queue = state.find(task.task_queue_sid, TaskQueue)
    if queue is not None and rule == "round_robin":
        decision.keep(queue, cursor=worker.order)
    return make(decision, task, worker, found.candidates, choice)


def _key(
    state: State,
    task: Task,
    worker: Worker,
    rule: str,
    clauses: tuple[OrderClause, ...],
) -> str:
    """Return what a candidate was compared by, first things first."""
    key = clocks.key_of(state, rule, worker, task.task_channel_sid)
    if not clauses:
        return key
    values = attributes_of(state, worker) | {
        "channel": clocks.live_values(state, worker)
    }
    found = (look_up(values, clause.segments) for clause in clauses)
    return ", ".join((*map(_number, found), key))


def _number(value: JsonValue) -> str:
    """Return a value that order_by compares; whatever is no number counts as missing."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number else "-"


def _text(clauses: tuple[OrderClause, ...]) -> str:
    return ", ".join(
        f"worker.{'.'.join(map(str, clause.segments))} "
        f"{'DESC' if clause.descending else 'ASC'}"
        for clause in clauses
    )


def make(
    decision: Decision, task: Task, worker: Worker, candidates: int, choice: Choice
) -> Reservation:
    """Offer a task; the worker holds it until the deadline. One batch counts once."""
    if task.status == TaskStatus.PENDING:
        task = decision.change(
            task,
            status=next_state("task", task.sid, task.status, "offer"),
            assignment_count=task.assignment_count + 1,
            skip_pending=False,
        )
        invites.follow(decision, task, "offer")
    clocks.offered(decision, worker.sid, task.task_channel_sid)
    reservation = decision.create(
        reservation_of(decision, task, worker, candidates, choice),
        "reservation.created",
    )
    callbacks.ask(decision, reservation)
    return reservation


def reservation_of(
    decision: Decision, task: Task, worker: Worker, candidates: int, choice: Choice
) -> Reservation:
    """Return a new reservation that begins now."""
    workflow = decision.state.find(task.workflow_sid, Workflow)
    seconds = limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT
    if workflow is not None:
        seconds = workflow.task_reservation_timeout_seconds
    return Reservation(
        sid=decision.ids.sid("WR"),
        workspace_sid=task.workspace_sid,
        workflow_sid=task.workflow_sid,
        task_queue_sid=task.task_queue_sid,
        task_channel_sid=task.task_channel_sid,
        task_sid=task.sid,
        worker_sid=worker.sid,
        worker_name=worker.friendly_name,
        status=ReservationStatus.PENDING,
        deadline=decision.now + seconds * limits.SECOND,
        candidates=candidates,
        order=decision.next_sequence,
        choice=choice,
    )
