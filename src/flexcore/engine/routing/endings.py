"""How tasks end: canceled, wrapped up and completed, expired, deleted.

Whatever ends a task ends its open reservations in the same decision, and takes its invite
and agent along.
"""

from itertools import islice

from flexcore.domain import limits
from flexcore.domain.attributes import changed
from flexcore.domain.model import Reservation, Task
from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    WAITING_TASK,
    TaskStatus,
    next_state,
)
from flexcore.engine.decision import Decision
from flexcore.engine.messaging import invites
from flexcore.engine.routing import clocks
from flexcore.engine.setup.intent import work_ended
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.setup.workspaces import Rows
from flexcore.engine.state import State


def open_reservations(state: State, task_sid: str) -> list[Reservation]:
    """Return the reservations of a task that hold capacity, the oldest first."""
    rows = state.each(Reservation, "open_task_sid", task_sid)
    return sorted(rows, key=lambda row: row.order)


def turn(
    decision: Decision, row: Reservation, cause: str, event: str, reason: str = ""
) -> Reservation:
    """Move a reservation on; when it holds capacity no longer, its worker's clock runs."""
    status = next_state("reservation", row.sid, row.status, cause)
    row = decision.change(
        row,
        f"reservation.{event}",
        status=status,
        reason=reason or row.reason,
        wrap_time=decision.now if cause == "wrap" else row.wrap_time,
    )
    if status not in OPEN_RESERVATION:
        clocks.released(decision, row.worker_sid, row.task_channel_sid)
        work_ended(decision, row.worker_sid)
    return row


def end_task(decision: Decision, task: Task, cause: str, reason: str) -> Task:
    """Cancel a waiting or reserved task, whatever the cause."""
    task = decision.change(
        task,
        "task.canceled",
        status=next_state("task", task.sid, task.status, cause),
        reason=reason,
        step_deadline=0,
        skip_pending=False,
        refusals=(),
        hold_time=0,
        purge_time=_purge_time(decision, task),
    )
    for reservation in open_reservations(decision.state, task.sid):
        turn(decision, reservation, "cancel", "canceled")
    invites.follow(decision, task, cause)
    return task


def wrap(decision: Decision, task: Task, reason: str = "") -> Rows:
    """Move an assigned task and its reservation to wrapping."""
    policies = policies_of(decision.state, task.workspace_sid, task.task_queue_sid)
    seconds = policies.wrap_limit_seconds
    task = decision.change(
        task,
        "task.wrapup",
        status=next_state("task", task.sid, task.status, "wrap"),
        reason=reason or task.reason,
        limit_time=decision.now + seconds * limits.SECOND if seconds else 0,
    )
    rows = open_reservations(decision.state, task.sid)
    wrapped = [turn(decision, row, "wrap", "wrapup") for row in rows]
    invites.follow(decision, task, "wrap")
    return (task, *wrapped)


def complete(
    decision: Decision,
    task: Task,
    reason: str = "",
    disposition: str = "",
    attributes_patch: str | None = None,
) -> Rows:
    """Move a task and its reservation to completed, with what came of it."""
    task = decision.change(
        task,
        "task.completed",
        status=next_state("task", task.sid, task.status, "complete"),
        reason=reason or task.reason,
        disposition=disposition or task.disposition,
        attributes=changed(task.attributes, None, attributes_patch),
        limit_time=0,
        purge_time=_purge_time(decision, task),
    )
    rows = open_reservations(decision.state, task.sid)
    completed = [turn(decision, row, "complete", "completed") for row in rows]
    invites.follow(decision, task, "complete")
    return (task, *completed)


def reach_limit(decision: Decision, task: Task) -> None:
    """Act on the limit of being assigned, or of wrapping up."""
    if task.status == TaskStatus.ASSIGNED:
        remove(decision, task, "task.system-deleted")
        return
    policies = policies_of(decision.state, task.workspace_sid, task.task_queue_sid)
    if policies.auto_complete:
        complete(decision, task, "Wrap-up limit reached")
    else:
        decision.change(task, "task.wrapup-overdue", limit_time=0)


def remove(decision: Decision, task: Task, event: str) -> Task:
    """Remove a task with its reservations for good; what is open ends first.

    It is told as it ended. One that was offered to very many is finished and told as
    removed now, and what is left of it is due at once: it goes before anybody can ask.
    """
    waiting = task.status in WAITING_TASK
    cause, name = ("cancel", "canceled") if waiting else ("complete", "completed")
    for row in open_reservations(decision.state, task.sid):
        turn(decision, row, cause, name)
    if task.invite_sid and waiting:
        invites.follow(decision, task, "cancel")
    elif task.invite_sid and task.status in OPEN_TASK:
        invites.abandon(decision, task)
    if task.status in OPEN_TASK:
        task = decision.change(
            task,
            status=next_state("task", task.sid, task.status, cause),
            step_deadline=0,
            skip_pending=False,
            refusals=(),
            hold_time=0,
            limit_time=0,
        )
    if _empty(decision, task):
        decision.delete(task, event)
        return task
    return decision.change(task, event, purge_time=decision.now)


def purge(decision: Decision, task: Task) -> None:
    """Remove a finished task whose time of being kept is over, in steps if need be."""
    if _empty(decision, task):
        decision.delete(task, "task.purged")
    else:
        decision.change(task, "task.purging", purge_time=decision.now)


def _empty(decision: Decision, task: Task) -> bool:
    """Delete the next few reservations of a task; say whether there are no more."""
    sids = decision.state.sids(Reservation, "task_sid", task.sid)
    for sid in list(islice(sids, limits.REMOVED_AT_ONCE)):
        decision.delete(decision.state.need(sid, Reservation))
    return not decision.state.count(Reservation, "task_sid", task.sid)


def _purge_time(decision: Decision, task: Task) -> int:
    seconds = policies_of(decision.state, task.workspace_sid).retention_seconds
    return decision.now + seconds * limits.SECOND if seconds else 0
