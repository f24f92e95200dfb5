"""Presence: whether somebody vouches for a worker, and what follows when nobody does.

Who vouches is a signal, kept by engine/vouching.py and never stored; what it comes to is
`connectivity`, a column with a deadline. So a restart, which knows no session, lets the
grace period of everybody begin anew, and whoever does not come back is lost by a timer
like any other.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from flexcore.domain import limits
from flexcore.domain.model import Reservation, Task, TaskQueue, Worker, Workspace
from flexcore.domain.states import CONNECTIVITY, Connectivity, ReservationStatus
from flexcore.engine.commands import NotePresence
from flexcore.engine.decision import Decision
from flexcore.engine.routing import offer_endings
from flexcore.engine.routing.endings import turn
from flexcore.engine.setup.intent import available_time
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.setup.workspaces import Rows
from flexcore.engine.state import State

REASON = "Worker connection lost"
#: rules of the policy vanished_worker that take accepted tasks away
_MOVING = frozenset({"requeue", "queue"})


def note_presence(decision: Decision, command: NotePresence) -> Rows:
    """Write down what became of workers; those it means nothing to stay as they are."""
    changed = []
    for sid in command.worker_sids:
        worker = decision.state.find(sid, Worker)
        if worker is not None and command.cause in CONNECTIVITY[worker.connectivity]:
            changed.append(_turn(decision, worker, command.cause))
    return tuple(changed)


def _turn(decision: Decision, worker: Worker, cause: str) -> Worker:
    """Move a worker's connectivity; being taken out ends where it is not lost."""
    connectivity = CONNECTIVITY[worker.connectivity][cause]
    grace = 0
    if connectivity is Connectivity.GRACE:
        seconds = policies_of(decision.state, worker.workspace_sid).grace_seconds
        grace = decision.now + seconds * limits.SECOND
    after = worker.evolve(connectivity=connectivity, grace_time=grace, taken_out=False)
    after = after.evolve(available_time=available_time(decision, after))
    return decision.replace(worker, after, "worker.connectivity.update")


def expire(decision: Decision, worker: Worker) -> None:
    """Lose a worker whose grace period is over, or go on with the work of one lost."""
    rule = policies_of(decision.state, worker.workspace_sid).vanished_worker
    after = worker.evolve(grace_time=0)
    if worker.connectivity is Connectivity.GRACE:
        after = after.evolve(
            connectivity=CONNECTIVITY[Connectivity.GRACE]["expire"],
            taken_out=rule != "none",
        )
    after = after.evolve(available_time=available_time(decision, after))
    decision.replace(worker, after, "worker.connectivity.update")
    if rule != "none" and not _give_up_work(decision, worker.sid, rule):
        # Due already: the next few follow before anything else is decided.
        worker = decision.state.need(worker.sid, Worker)
        decision.change(worker, grace_time=decision.now)


def _give_up_work(decision: Decision, worker_sid: str, rule: str) -> bool:
    """End the oldest few offers, and what was accepted if it is to move; False: more."""
    held = decision.state.where(Reservation, "open_worker_sid", worker_sid)
    worker = decision.state.need(worker_sid, Worker)
    workspace = decision.state.need(worker.workspace_sid, Workspace)
    queue_sid = workspace.vanished_queue_sid if rule == "queue" else ""
    queue = decision.state.find(queue_sid, TaskQueue)
    ending = sorted((r for r in held if _ends(r, rule)), key=lambda row: row.order)
    for count, row in enumerate(ending):
        if count == limits.VANISHED_AT_ONCE or decision.half_full:
            return False
        accepted = row.status is ReservationStatus.ACCEPTED
        turn(decision, row, "vanish", "canceled", REASON)
        task = decision.state.need(row.task_sid, Task)
        if accepted:
            offer_endings.requeue(decision, task, queue)
        else:
            offer_endings.return_task(decision, task)
    return True


def _ends(row: Reservation, rule: str) -> bool:
    """Say whether a reservation ends with its worker: nobody waits for a wrap-up."""
    if row.status is ReservationStatus.ACCEPTED:
        return rule in _MOVING
    return row.status is ReservationStatus.PENDING


def unattended(
    state: State, *connectivities: Connectivity
) -> Iterator[tuple[str, ...]]:
    """Yield workers of some connectivity, so many as one decision may change."""
    rows = state.of_kind(Worker)
    return batches(state, [r.sid for r in rows if r.connectivity in connectivities])


def batches(state: State, worker_sids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Cut workers into as many as one decision may change, by number and by bytes."""
    sids = iter(worker_sids)
    while few := list(islice(sids, limits.PRESENCE_AT_ONCE)):
        start = size = 0
        for place, sid in enumerate(few):
            worker = state.find(sid, Worker)
            size += len(worker.attributes.encode()) if worker else 0
            if size > limits.CHANGE_SET_BYTES // 2 and place > start:
                yield tuple(few[start:place])
                start, size = place, len(worker.attributes.encode()) if worker else 0
        yield tuple(few[start:])
