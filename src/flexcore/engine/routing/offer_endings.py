"""How offers end without acceptance: rejected, timed out, rescinded, canceled.

When the last offer of a task has ended the task waits again, or goes on where it would
have gone meanwhile.
"""

from flexcore.domain import limits
from flexcore.domain.model import Reservation, Task, TaskQueue, Worker
from flexcore.domain.plans import RESTART, ROUTED
from flexcore.domain.states import ReservationStatus, next_state
from flexcore.engine.decision import Decision
from flexcore.engine.messaging import invites
from flexcore.engine.routing import missed_offers, refusals, routes, steps
from flexcore.engine.routing.endings import end_task, open_reservations, turn
from flexcore.engine.setup.policies import policies_of


def refuse(
    decision: Decision, reservation: Reservation, cause: str, event: str
) -> tuple[Reservation, Task]:
    """End an offer by its worker's no, or silence; both are remembered."""
    reservation = turn(decision, reservation, cause, event)
    task = decision.get(reservation.task_sid, Task)
    policies = policies_of(decision.state, task.workspace_sid, task.task_queue_sid)
    after = refusals.refused(task, reservation.worker_sid, policies, decision.now)
    if after is not task:
        task = decision.replace(task, after)
    return reservation, return_task(decision, task)


def expire(decision: Decision, reservation: Reservation) -> None:
    """Time an offer out; what its worker has to bear is the policy missed_offer."""
    queue_sid = reservation.task_queue_sid
    refuse(decision, reservation, "expire", "timeout")
    worker = decision.state.need(reservation.worker_sid, Worker)
    missed_offers.follow(decision, worker, queue_sid)


def rescind_others(decision: Decision, accepted: Reservation) -> None:
    """Take back what was offered to others at the same time."""
    for row in open_reservations(decision.state, accepted.task_sid):
        if row.status == ReservationStatus.PENDING:
            turn(decision, row, "rescind", "rescinded")


def return_task(decision: Decision, task: Task) -> Task:
    """Let a reserved task wait again when its last offer ended, or go on."""
    if decision.state.count(Reservation, "open_task_sid", task.sid):
        return task
    status = next_state("task", task.sid, task.status, "unoffered")
    counting = refusals.still_counting(task, decision.now)
    # Whoever comes back is looked at anew: if nobody else can take it, skip_if is asked.
    asks = steps.may_be_skipped(decision.state, task)
    task = decision.change(task, status=status, refusals=counting, skip_pending=asks)
    invites.follow(decision, task, "unoffered")
    return _wait_or_go_on(decision, task)


def requeue(decision: Decision, task: Task, queue: TaskQueue | None) -> Task:
    """Take a task from a worker who vanished; it waits where it was when it was taken.

    With a queue it waits there instead.

    Its place in line is that of its virtual start, which it kept. It has a whole time to
    be taken again, in its step and in all: a chat of hours would be over otherwise.
    """
    state = decision.state
    after = task.evolve(
        status=next_state("task", task.sid, task.status, "vanish"),
        deadline=decision.now + task.timeout_seconds * limits.SECOND,
        limit_time=0,
    )
    if task.step_filter == ROUTED:
        after = routes.begun_anew(after, decision.now)
    elif task.step_filter != RESTART:
        after = steps.begun_anew(state, after, decision.now)
    task = decision.replace(task, after, "task.requeued")
    invites.follow(decision, task, "vanish")
    if queue is not None and task.assignment_count < limits.ASSIGNMENTS_MAX:
        return routes.send_to(decision, task, queue)
    return _wait_or_go_on(decision, task)


def _wait_or_go_on(decision: Decision, task: Task) -> Task:
    """Let a task that waits again wait in its step, if it is still to be there."""
    if task.assignment_count >= limits.ASSIGNMENTS_MAX:
        return end_task(decision, task, "overrun", "Max assignment count exceeded")
    if routes.is_direct(task):
        return routes.go_on(decision, task)
    if task.step_filter == RESTART:
        return steps.reenter(decision, task)
    if 0 < task.step_deadline <= decision.now:
        return leave(decision, task)
    return task


def leave(decision: Decision, task: Task) -> Task:
    """Move a waiting task on whose time in its step, or on its route, is over."""
    if task.step_filter == ROUTED:
        decision.emit("task-queue.timeout", task)
        return routes.go_on(decision, task)
    return steps.leave_step(decision, task)
