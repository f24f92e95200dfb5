"""Who refused a task how often, and who is passed over for it.

A rejected and a missed offer are refusals; a canceled or rescinded one is none. All of it
follows from the row and three policies: refusal_scope, refusal_limit, refusal_seconds.
"""

from flexcore.domain import limits
from flexcore.domain.model import Task
from flexcore.domain.parts import Refusal
from flexcore.domain.semantics import Policies


def refused(task: Task, worker_sid: str, policies: Policies, now: int) -> Task:
    """Return the task with one more refusal by a worker; no change in scope `none`.

    The oldest of more than REFUSALS_MAX is forgotten.
    """
    if policies.refusal_scope == "none":
        return task
    others = [row for row in task.refusals if row.worker_sid != worker_sid]
    before = [row.count for row in task.refusals if row.worker_sid == worker_sid]
    count = sum(before) + 1
    refusal = Refusal(worker_sid, count)
    if count >= policies.refusal_limit:
        seconds = policies.refusal_seconds
        until = now + seconds * limits.SECOND if seconds else 0
        refusal = Refusal(worker_sid, count, passed_over=True, until=until)
    return task.evolve(refusals=(*others, refusal)[-limits.REFUSALS_MAX :])


def kept(task: Task, policies: Policies, *, moved: bool) -> tuple[Refusal, ...]:
    """Return the refusals that still count in the next step; `moved` to another queue."""
    if policies.refusal_scope == "task":
        return task.refusals
    if policies.refusal_scope == "queue" and not moved:
        return task.refusals
    return ()


def still_counting(task: Task, now: int) -> tuple[Refusal, ...]:
    """Return the refusals whose time is not over."""
    return tuple(row for row in task.refusals if not 0 < row.until <= now)


def retry_time(task: Task) -> int:
    """Return when the first passed over worker may be offered it again; 0 for never."""
    return min((row.until for row in task.refusals if row.until), default=0)


def passed_over(task: Task) -> tuple[str, ...]:
    """Return the workers who are not offered the task now."""
    return tuple(row.worker_sid for row in task.refusals if row.passed_over)
