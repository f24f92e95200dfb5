"""Which of the candidates was offered a task: the first by the rules in force."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from flexcore.domain.expressions import OrderClause
from flexcore.domain.model import (
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workspace,
)
from flexcore.domain.plans import Step
from flexcore.domain.semantics import resolved
from tests.checkers.eligibility import Load
from tests.checkers.fold import Moment, Offer
from tests.checkers.order import load_before

Key = tuple[Any, ...]


def choice(moment: Moment) -> Iterator[str]:
    """Each offer goes to the first candidate who has none of the same task yet."""
    waiting, eligibility = moment.fold.waiting, moment.fold.eligibility
    for number, offer in enumerate(moment.offers):
        task = waiting.need(offer.reservation.task_sid, Task)
        queue = waiting.queue(task.task_queue_sid)
        if queue is None:
            continue  # it is for one worker
        spec = waiting.spec(task)
        batch = {
            earlier.reservation.worker_sid
            for earlier in moment.offers[:number]
            if earlier.reservation.task_sid == task.sid
        }
        at = _At(moment, number, queue, eligibility.step(spec))
        found: list[tuple[Key, str]] = []
        for worker in moment.fold.present():
            load = load_before(moment, number, worker.sid)
            if worker.sid not in batch and eligibility.candidate(spec, worker, load):
                found.append((at.key(worker, spec.task_channel_sid, load), worker.sid))
        if not found:
            continue  # said by `candidates`
        first = min(found)[1]
        if first != offer.reservation.worker_sid:
            yield (
                f"{moment.name} offers {task.sid} to {offer.reservation.worker_sid},"
                f" {first} comes first by {at.rule}"
            )
        if not batch and offer.reservation.candidates != len(found):
            yield (
                f"{moment.name} counts {offer.reservation.candidates} candidates for"
                f" {task.sid}, there are {len(found)}"
            )


class _At:
    """What the rules look at just before one of the offers of a change set."""

    def __init__(
        self, moment: Moment, number: int, queue: TaskQueue, step: Step | None
    ) -> None:
        self._moment = moment
        waiting = moment.fold.waiting
        workspace = waiting.need(queue.workspace_sid, Workspace)
        policies = resolved(workspace.semantics, workspace.policies, queue.policies)
        self.rule = policies.worker_order
        self._cursor = _cursor(moment, number, queue)
        self._clauses = () if step is None else step.target.order_by
        self._live = any(clause.live for clause in self._clauses)
        #: who was offered something on which channel, before and since
        self._until = {_place(offer) for offer in moment.offers[:number]}
        self._until |= {_place(offer) for offer in moment.others}
        self._since = {_place(offer) for offer in moment.offers[number:]}

    def key(self, worker: Worker, task_channel_sid: str, load: Load) -> Key:
        """Return what a candidate is ranked by, low first."""
        by_rule = (*self._by_rule(worker, task_channel_sid, load), worker.order)
        if not self._clauses:
            return by_rule
        eligibility = self._moment.fold.eligibility
        facts = eligibility.facts(worker, load if self._live else None)
        return (*(_rank(facts, clause) for clause in self._clauses), *by_rule)

    def _by_rule(self, worker: Worker, task_channel_sid: str, load: Load) -> Key:
        if self.rule == "round_robin":
            return (worker.order <= self._cursor,)
        channel = self._moment.fold.waiting.need(task_channel_sid, TaskChannel)
        rows = [
            row
            for row in self._moment.fold.channels(worker.sid)
            if not channel.channel_optimized_routing
            or row.task_channel_sid == task_channel_sid
        ]
        offered = max(self._offered(row) for row in rows)
        if self.rule == "least_recently_offered":
            return (offered,)
        released = max(row.last_released for row in rows)
        idle = max(worker.available_time, offered, released)
        if self.rule == "longest_idle":
            return (idle,)
        capacity = sum(row.configured_capacity for row in rows)
        held = sum(load.get(row.task_channel_sid, 0) for row in rows)
        return (Fraction(held, capacity), idle)

    def _offered(self, row: WorkerChannel) -> int:
        """Return when a worker was last offered something on a channel, by then."""
        place = (row.worker_sid, row.task_channel_sid)
        if place not in self._since or place in self._until:
            return row.last_offered
        before = self._moment.before.get(row.sid)
        return before.last_offered if isinstance(before, WorkerChannel) else 0


def _place(offer: Offer) -> tuple[str, str]:
    return offer.reservation.worker_sid, offer.reservation.task_channel_sid


def _cursor(moment: Moment, number: int, queue: TaskQueue) -> int:
    """Return the order of the worker last offered another task of a queue, by then.

    The offers of one task at once go to the best as they were before the first of them.
    """
    task_sid = moment.offers[number].reservation.task_sid
    for offer in reversed(moment.offers[:number]):
        if (
            offer.reservation.task_queue_sid == queue.sid
            and offer.reservation.task_sid != task_sid
        ):
            worker = moment.fold.waiting.need(offer.reservation.worker_sid, Worker)
            return worker.order
    before = moment.before.get(queue.sid, queue)
    return before.cursor if isinstance(before, TaskQueue) else queue.cursor


def _rank(facts: dict[str, Any], clause: OrderClause) -> tuple[bool, Any]:
    value: Any = facts
    for segment in clause.segments:
        if isinstance(segment, str):
            value = value.get(segment) if isinstance(value, dict) else None
        else:
            inside = isinstance(value, list) and segment < len(value)
            value = value[segment] if inside else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (True, 0)
    return (False, -value if clause.descending else value)
