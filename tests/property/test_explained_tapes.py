"""Explain, and the reason of every offer, held to the matcher and to plain ranking.

Random tapes run as in test_engine_tapes.py. After every step each waiting task is put to
each worker, once by the matcher and once in rows and expressions. Before each offer is
written down, its candidates are found and ranked by the rules as the policies word them.
"""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from flexcore.domain.expressions import OrderClause, look_up
from flexcore.domain.model import (
    Reservation,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
)
from flexcore.domain.states import OPEN_RESERVATION, TaskStatus
from flexcore.engine.decision import Decision
from flexcore.engine.routing import offers
from flexcore.engine.routing.desk import Offer
from flexcore.engine.routing.eligibility import failures
from flexcore.engine.routing.explain import explain
from flexcore.engine.routing.membership import attributes_of
from flexcore.engine.routing.steps import step_of
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.state import State
from tests.looks import finished
from tests.property.generator import Generator
from tests.property.tape import STEPS, Pair, Tape, limited

TAPES = 35
TAPES_SLOW = 420

Key = tuple[Any, ...]


def tapes(first: int, count: int) -> Iterator[Pair]:
    """Yield every tape after every step."""
    for seed in range(first, first + count):
        generator = Generator(seed)
        tape = Tape(seed, [], generator.limits)
        pair = Pair(tape, look_every=STEPS)
        with limited(tape):
            for step in generator.opening():
                pair.apply(step)
                yield pair
            for _ in range(STEPS):
                pair.apply(generator.step(pair.model))
                yield pair


# candidates


def check_candidates(pair: Pair, seen: Counter[str]) -> None:
    """Ask the matcher and the rows about every waiting task and every worker."""
    state, matching = pair.subject.decider.state, pair.subject.decider.matching
    workers = list(state.of_kind(Worker))
    for task in state.of_kind(Task):
        if task.status != TaskStatus.PENDING:
            continue
        desk = matching.desk(task.workspace_sid)
        if task.hold_time:
            # The matcher is told of it when it can be offered again.
            assert desk.waits(task.sid) is None
            assert finished(explain(state, task)).text.startswith("held back: ")
            check_explanation(state, task, workers)
            seen["held back"] += 1
            continue
        handle, _ = desk._tasks[task.sid]
        for worker in workers:
            found = list(failures(state, task, worker))
            candidate = desk.router.candidate(handle, desk.worker(worker.sid))
            assert candidate == (not found), (task, worker, found)
            seen.update(each.condition for each in found[:1] or ())
            seen["candidate"] += candidate
        check_explanation(state, task, workers)


def check_explanation(state: State, task: Task, workers: list[Worker]) -> None:
    """An explanation counts every worker once, and says when something happens."""
    found = finished(explain(state, task))
    now = found.steps[0]
    assert now.current
    assert not any(step.current for step in found.steps[1:])
    for step in found.steps:
        assert step.workers == len(workers)
        failing = sum(row.workers for row in step.failures)
        assert step.candidates + failing == step.workers
        assert step.candidates <= step.eligible <= step.workers
        counts = [row.workers for row in step.failures]
        assert counts == sorted(counts, reverse=True)
        for near in step.nearest:
            assert near.failures
            assert len(near.failures) == len(near.remedies)
    assert found.next_text


def check_next(pair: Pair) -> None:
    """A task without a next time has no deadline, and the other way round."""
    state, deadlines = pair.subject.decider.state, pair.subject.decider.deadlines
    dues = {sid: due for due, _, sid in deadlines._due}
    for task in state.of_kind(Task):
        rows = state.where(Reservation, "task_sid", task.sid)
        expected = [dues.get(row.sid) for row in (task, *rows)]
        found = finished(explain(state, task)).next_time
        assert found == min((due for due in expected if due), default=0), task


# offers


class Ranking:
    """What the rules say just before an offer is written down."""

    def __init__(self, state: State, task: Task) -> None:
        self._state, self._task = state, task
        policies = policies_of(state, task.workspace_sid, task.task_queue_sid)
        self.rule = policies.worker_order
        step = step_of(state, task)
        self.clauses = () if step is None else step.target.order_by

    def candidates(self) -> list[Worker]:
        """The candidates, best first."""
        workers = self._state.where(Worker, "workspace_sid", self._task.workspace_sid)
        fit = [
            row for row in workers if not list(failures(self._state, self._task, row))
        ]
        return sorted(fit, key=self._rank)

    def _rank(self, worker: Worker) -> Key:
        orders = (self._place(worker, clause) for clause in self.clauses)
        return (*orders, *self._by_rule(worker), worker.order)

    def _by_rule(self, worker: Worker) -> Key:
        if self.rule == "round_robin":
            queue = self._state.find(self._task.task_queue_sid, TaskQueue)
            return (worker.order <= (queue.cursor if queue else -1),)
        offered, idle = self.clocks(worker)
        if self.rule == "least_recently_offered":
            return (offered,)
        if self.rule == "longest_idle":
            return (idle,)
        held, capacity = self.load(worker)
        return (Fraction(held, capacity), idle)

    def _place(self, worker: Worker, clause: OrderClause) -> Key:
        value = self.value(worker, clause)
        if value is None:
            return (True, 0)
        return (False, -value if clause.descending else value)

    def value(self, worker: Worker, clause: OrderClause) -> Any:
        """A number of the worker, or None."""
        values = attributes_of(self._state, worker)
        values["channel"] = {
            row.task_channel_unique_name: self._live(row)
            for row in self._state.where(WorkerChannel, "worker_sid", worker.sid)
        }
        value = look_up(values, clause.segments)
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
        return None if wrong else value

    def _live(self, row: WorkerChannel) -> dict[str, int]:
        held, capacity = self._held(row), row.configured_capacity
        accepted = sum(each.status == "accepted" for each in held)
        free = Fraction(capacity - len(held), capacity) if capacity else Fraction()
        return {
            "configured_capacity": capacity,
            "assigned_tasks": accepted,
            "available_capacity_percentage": max(0, int(free * 100)),
        }

    def _channels(self, worker: Worker) -> list[WorkerChannel]:
        rows = self._state.where(WorkerChannel, "worker_sid", worker.sid)
        channel = self._state.need(self._task.task_channel_sid, TaskChannel)
        if not channel.channel_optimized_routing:
            return rows
        return [row for row in rows if row.task_channel_sid == channel.sid]

    def _held(self, channel: WorkerChannel) -> list[Reservation]:
        return [
            row
            for row in self._state.of_kind(Reservation)
            if row.status in OPEN_RESERVATION
            and row.worker_sid == channel.worker_sid
            and row.task_channel_sid == channel.task_channel_sid
        ]

    def clocks(self, worker: Worker) -> tuple[int, int]:
        rows = self._channels(worker)
        offered = max(row.last_offered for row in rows)
        released = max(row.last_released for row in rows)
        return offered, max(offered, released, worker.available_time)

    def load(self, worker: Worker) -> tuple[int, int]:
        rows = self._channels(worker)
        held = sum(len(self._held(row)) for row in rows)
        return held, sum(row.configured_capacity for row in rows)

    def key(self, worker: Worker) -> str:
        """The text that is stored of a worker."""
        parts = []
        for clause in self.clauses:
            value = self.value(worker, clause)
            parts.append("-" if value is None else str(value))
        offered, idle = self.clocks(worker)
        held, capacity = self.load(worker)
        parts += {
            "round_robin": [str(worker.order)],
            "least_recently_offered": [str(offered)],
            "longest_idle": [str(idle)],
            "least_utilized": [f"{held}/{capacity}", str(idle)],
        }[self.rule]
        return ", ".join(parts)


class Judge:
    """Stands in for `make_found`: compares what is decided with what should be."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._make_found = offers.make_found
        #: the task of the offers that are made now, who is left, how many there were
        self._batch: tuple[str, list[str], int] = ("", [], 0)

    def __call__(self, decision: Decision, found: Offer) -> Reservation:
        state = decision.state
        task = state.need(found.task_sid, Task)
        ranking = Ranking(state, task)
        if task.status == TaskStatus.PENDING:
            ranked = [row.sid for row in ranking.candidates()]
            self._batch = task.sid, ranked, len(ranked)
        else:
            self.seen["batch"] += 1
        sid, left, count = self._batch
        assert sid == task.sid
        queue = state.find(task.task_queue_sid, TaskQueue)
        made = sum(
            row.status == "pending"
            for row in state.where(Reservation, "task_sid", task.sid)
        )
        more = min(count, queue.max_reserved_workers if queue else 1) - made
        assert left, f"{found} has no candidate"
        assert left[0] == found.worker_sid
        runner_up = left[more] if more < len(left) else ""
        worker = state.need(left.pop(0), Worker)
        keys = [
            ranking.key(state.need(sid, Worker)) if sid else ""
            for sid in (worker.sid, runner_up)
        ]
        row = self._make_found(decision, found)
        choice = row.choice
        assert choice is not None
        assert (row.worker_sid, row.candidates) == (worker.sid, count)
        assert (choice.rule, choice.key) == (ranking.rule, keys[0])
        assert (choice.runner_up_sid, choice.runner_up_key) == (runner_up, keys[1])
        assert bool(choice.order_by) == bool(ranking.clauses)
        self.seen[ranking.rule] += 1
        self.seen["order_by"] += bool(ranking.clauses)
        self.seen["runner-up"] += bool(runner_up)
        return row


def run(
    monkeypatch: pytest.MonkeyPatch, first: int, count: int
) -> tuple[Counter[str], Counter[str]]:
    judge, seen = Judge(), Counter[str]()
    monkeypatch.setattr(offers, "make_found", judge)
    for pair in tapes(first, count):
        check_candidates(pair, seen)
        check_next(pair)
    return seen, judge.seen


def test_explain_agrees_with_the_matcher_and_offers_with_their_reasons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, offered = run(monkeypatch, 0, TAPES)

    assert min(seen[each] for each in ("queue", "step", "activity", "capacity")) > 20
    assert min(offered[each] for each in ("runner-up", "order_by")) > 5


@pytest.mark.slow
def test_explain_agrees_with_the_matcher_on_many_tapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, offered = run(monkeypatch, 10_000, TAPES_SLOW)

    with capsys.disabled():
        print(f"\n{dict(seen)}\n{dict(offered)}")  # noqa: T201  # as other long runs
    conditions = ("queue", "known_worker", "step", "refused", "activity", "channel")
    assert min(seen[each] for each in (*conditions, "capacity", "candidate")) >= 50
    assert min(offered.values()) >= 50
    assert len(offered) == 4 + 3
