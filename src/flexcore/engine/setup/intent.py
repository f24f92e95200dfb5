"""What workers mean to do: their activity now, and the one after their present work.

Whether a worker is available follows from it, and from whether anybody vouches for the
worker where that counts (routing/presence.py). It is asked here alone.
"""

from flexcore.domain.model import Activity, Reservation, Worker
from flexcore.engine.decision import Decision


def move_to(
    decision: Decision, worker: Worker, activity: Activity, *, then: str = ""
) -> Worker:
    """Change what a worker is doing; no event when nothing changes.

    `then` is the activity that is to follow the present work, given up otherwise.
    """
    after = worker.evolve(
        activity_sid=activity.sid, return_activity_sid="", next_activity_sid=then
    )
    moved = activity.sid != worker.activity_sid
    if moved:
        after = after.evolve(activity_time=decision.now)
    after = after.evolve(available_time=available_time(decision, after))
    if after == worker:
        return worker
    return decision.replace(
        worker, after, "worker.activity.update" if moved else "worker.updated"
    )


def move_after_work(decision: Decision, worker: Worker, activity: Activity) -> Worker:
    """Let a worker finish what there is and get nothing new, then move on."""
    if not decision.state.count(Reservation, "open_worker_sid", worker.sid):
        return move_to(decision, worker, activity)
    here = decision.state.need(worker.activity_sid, Activity)
    return move_to(decision, worker, here, then=activity.sid)


def work_ended(decision: Decision, worker_sid: str) -> None:
    """Move a worker on whose last work has ended, if that was to follow."""
    worker = decision.state.need(worker_sid, Worker)
    held = decision.state.count(Reservation, "open_worker_sid", worker_sid)
    if worker.next_activity_sid and not held:
        activity = decision.state.need(worker.next_activity_sid, Activity)
        move_to(decision, worker, activity)


def available_time(decision: Decision, worker: Worker) -> int:
    """Return since when a worker has been available without a break; 0: is not."""
    activity = decision.state.need(worker.activity_sid, Activity)
    if not activity.available or worker.taken_out or worker.next_activity_sid:
        return 0
    return worker.available_time or decision.now
