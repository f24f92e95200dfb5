"""Who was offered what: room, candidates, the order of tasks, and nobody left idle."""

from collections import Counter
from collections.abc import Iterator

from flexcore.domain.model import Task, TaskQueue, Worker, Workspace
from flexcore.domain.states import TaskStatus
from tests.checkers.fold import Moment, Offer
from tests.checkers.waiting import Rank, Spec

#: events after which a task waits where it did not before
_ENTERING = ("task.created", "task-queue.entered", "workflow.target-matched")


def capacity(moment: Moment) -> Iterator[str]:
    """Nobody is offered more than there is room for; what is held may stay."""
    checked = {
        (offer.reservation.worker_sid, offer.reservation.task_channel_sid)
        for offer in (*moment.offers, *filter(_is_claim, moment.others))
    }
    for worker_sid, channel_sid in sorted(checked):
        held = moment.fold.load(worker_sid)[channel_sid]
        beyond = sum(
            other.reservation.worker_sid == worker_sid
            and other.reservation.task_channel_sid == channel_sid
            for other in moment.others
            if not _is_claim(other)
        )
        channel = moment.fold.channel(worker_sid, channel_sid)
        room = channel.configured_capacity if channel else 0
        if held - beyond > room:
            yield (
                f"{moment.name} lets {worker_sid} hold {held} on {channel_sid}, which is"
                f" more than {room}"
            )


def candidates(moment: Moment) -> Iterator[str]:
    """Whoever is offered a task may have it: queue, step, activity, room."""
    waiting = moment.fold.waiting
    for number, offer in enumerate(moment.offers):
        task = waiting.need(offer.reservation.task_sid, Task)
        worker = waiting.need(offer.reservation.worker_sid, Worker)
        load = load_before(moment, number, worker.sid)
        if not moment.fold.eligibility.candidate(waiting.spec(task), worker, load):
            yield f"{moment.name} offers {task.sid} to {worker.sid}, who is no candidate"


def claims(moment: Moment) -> Iterator[str]:
    """Whoever claims a task could have been offered it, had they not refused it."""
    waiting = moment.fold.waiting
    for offer in filter(_is_claim, moment.others):
        before = moment.before[offer.reservation.task_sid]
        worker = waiting.need(offer.reservation.worker_sid, Worker)
        channel_sid = offer.reservation.task_channel_sid
        load = load_before(moment, 0, worker.sid) - Counter([channel_sid])
        if not isinstance(before, Task) or before.status != TaskStatus.PENDING:
            yield f"{moment.name} lets {worker.sid} claim what does not wait"
        elif not (
            moment.fold.eligibility.free(worker, channel_sid, load)
            and moment.fold.eligibility.eligible(waiting.spec(before), worker, load)
        ):
            yield f"{moment.name} lets {worker.sid} claim {before.sid}, without a right"


def order(moment: Moment) -> Iterator[str]:
    """No task is passed over that should have been offered to the same worker first."""
    waiting = moment.fold.waiting
    entered = {
        event.sid: position
        for position, event in enumerate(moment.change_set.events)
        if event.type in _ENTERING
    }
    for number, offer in enumerate(moment.offers):
        task = waiting.need(offer.reservation.task_sid, Task)
        worker = waiting.need(offer.reservation.worker_sid, Worker)
        load = load_before(moment, number, worker.sid)
        rank = waiting.rank(task)
        for spec, rest in waiting.classes.items():
            if rest[0][0] < rank and moment.fold.eligibility.candidate(
                spec, worker, load
            ):
                first = _first(rest, rank, offer.position, entered)
                if first is not None:
                    yield _overtaken(moment, first, task, worker)
        for later in moment.offers[number + 1 :]:
            other = waiting.need(later.reservation.task_sid, Task)
            if (
                other.sid != task.sid
                and entered.get(other.sid, -1) < offer.position
                and waiting.rank(other) < rank
                and moment.fold.eligibility.candidate(waiting.spec(other), worker, load)
            ):
                yield _overtaken(moment, other.sid, task, worker)


def _first(
    rest: "list[tuple[Rank, str]]", rank: Rank, position: int, entered: dict[str, int]
) -> str | None:
    """Return who waited at `position` and comes before `rank`, if anybody."""
    for before, sid in rest:
        if before >= rank:
            return None
        if entered.get(sid, -1) < position:
            return sid
    return None


def _overtaken(moment: Moment, sid: str, task: Task, worker: Worker) -> str:
    waiting = moment.fold.waiting
    other = waiting.need(sid, Task)
    what = f"{moment.name} offers {task.sid} to {worker.sid} while {other.sid} waits"
    queue, ours = (
        waiting.need(each.task_queue_sid, TaskQueue).task_order
        if each.task_queue_sid
        else "FIFO"
        for each in (other, task)
    )
    if queue != ours:
        return f"preference: {what} in a {queue} queue"
    if queue == "LIFO":
        return f"order: {what}, which came later to a LIFO queue"
    workspace = waiting.need(task.workspace_sid, Workspace)
    boost = waiting.policies(workspace).priority_boost_seconds
    points = task.priority - other.priority
    waited = (task.virtual_start_time - other.virtual_start_time) / 1_000_000
    if boost and points >= 0:
        return (
            f"overtaking: {what}, which came {waited:.1f} s earlier;"
            f" {points} points are worth {points * boost} s"
        )
    if points:
        return f"inversion: {what} with priority {other.priority} over {task.priority}"
    return f"order: {what}, which came {waited:.1f} s earlier to a FIFO queue"


def conservation(moment: Moment) -> Iterator[str]:
    """When all is decided, nobody waits for whom somebody is free."""
    if not moment.settled:
        return
    waiting, fold = moment.fold.waiting, moment.fold
    seen: set[str] = set()
    for sid in moment.workers:
        worker = waiting.need(sid, Worker)
        load = fold.load(sid)
        for spec, tasks in waiting.classes.items():
            if moment.fold.eligibility.candidate(spec, worker, load):
                seen.add(tasks[0][1])
                yield _idle(moment, worker, tasks[0][1])
    specs: dict[Spec, str] = {}
    for sid in moment.tasks:
        specs.setdefault(waiting.spec(waiting.need(sid, Task)), sid)
    for spec, task_sid in specs.items():
        for worker in fold.present() if task_sid not in seen else ():
            load = fold.load(worker.sid)
            if moment.fold.eligibility.candidate(spec, worker, load):
                yield _idle(moment, worker, task_sid)
                break


def _idle(moment: Moment, worker: Worker, task_sid: str) -> str:
    return f"{moment.name} leaves {worker.sid} idle while {task_sid} waits for somebody"


def _is_claim(offer: Offer) -> bool:
    choice = offer.reservation.choice
    return choice is not None and choice.rule == "claim"


def load_before(moment: Moment, number: int, worker_sid: str) -> Counter[str]:
    """Return what a worker held just before an offer of this change set."""
    load = moment.fold.load(worker_sid)
    made_since = [
        offer.reservation.task_channel_sid
        for offer in moment.offers[number:]
        if offer.reservation.worker_sid == worker_sid
    ]
    return load - Counter(made_since) if made_since else load
