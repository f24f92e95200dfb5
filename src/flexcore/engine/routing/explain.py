"""Why a task waits: which condition keeps how many workers from it, and who is nearest.

Reads rows with the reference semantics of expressions, not the matcher, so that it also
shows where the two would differ. A look is a generator that stops after every worker, so
that whoever drives it (explaining.py) can let others run in between. A worker who changes
meanwhile counts as found when looked at; one who comes meanwhile does not count.
"""

from collections import Counter
from collections.abc import Generator
from itertools import islice

from flexcore.domain import limits
from flexcore.domain.model import Reservation, Task, TaskQueue, Worker
from flexcore.domain.plans import Step
from flexcore.domain.states import TaskStatus
from flexcore.engine.routing import outlook, remedies, steps
from flexcore.engine.routing.eligibility import CONDITIONS, Conditions, Failure
from flexcore.engine.routing.endings import open_reservations
from flexcore.engine.routing.explanation import (
    Explanation,
    FailureCount,
    NearMiss,
    StepExplanation,
)
from flexcore.engine.state import State

Looking = Generator[None, None, Explanation]

#: conditions that expressions and steps set; the others are about the moment
_LASTING = ("queue", "known_worker", "step")


def explain(state: State, task: Task) -> Looking:
    """Look at every worker for every step from here on, one at a time."""
    if task.status != TaskStatus.PENDING:
        return _explain_held(state, task)
    found: list[StepExplanation] = []
    sids = yield from _staff(state, task.workspace_sid)
    for number, placed in enumerate(outlook.way(state, task)):
        found.append((yield from _look(state, placed, sids, current=number == 0)))
    time, text = outlook.next_of(state, task, ())
    summary = _held_back(state, task) or _summary(found[0])
    return Explanation(task, summary, time, text, tuple(found))


def moved(before: Task, after: Task | None) -> bool:
    """Say whether a task is not where it was, so that a look at it is of no use."""
    return after is None or _place(before) != _place(after)


def _place(task: Task) -> tuple[object, ...]:
    return (
        task.status,
        task.hold_time,
        task.workflow_revision_sid,
        task.route,
        task.step_filter,
        task.step_target,
    )


def _explain_held(state: State, task: Task) -> Explanation:
    held = tuple(open_reservations(state, task.sid))
    time, text = outlook.next_of(state, task, held)
    return Explanation(task, _status_text(task, held), time, text, reservations=held)


def _staff(state: State, workspace_sid: str) -> Generator[None, None, list[str]]:
    """Note who is to be looked at, so many at a time; anew when somebody comes or goes."""
    for _ in range(limits.EXPLAIN_ATTEMPTS):
        found: list[str] = []
        sids = state.sids(Worker, "workspace_sid", workspace_sid)
        try:
            while few := list(islice(sids, limits.EXPLAIN_SIDS)):
                found += few
                yield
        except RuntimeError:
            continue
        return found
    return list(state.sids(Worker, "workspace_sid", workspace_sid))


class _Look:
    """What was found of the workers so far, for one step."""

    def __init__(self, task: Task, *, pull: bool) -> None:
        self._task = task
        self._pull = pull
        self.eligible = self.candidates = self.workers = 0
        self._first: Counter[tuple[str, str]] = Counter()
        self._nearest: list[tuple[tuple[bool, int, int], NearMiss]] = []

    def add(self, worker: Worker, found: tuple[Failure, ...]) -> None:
        """Count a worker by the first condition that is not met."""
        if self._pull:  # who refused a task may still claim it
            found = tuple(row for row in found if row.condition != "refused")
        self.workers += 1
        self.eligible += not found or found[0].condition not in _LASTING
        if not found:
            self.candidates += 1
            return
        self._first[found[0].condition, found[0].summary] += 1
        # Who is not the one asked for will never be, however little else is missing.
        stranger = any(row.condition == "known_worker" for row in found)
        rank = stranger, len(found), worker.order
        if len(self._nearest) < limits.EXPLAIN_NEAREST or rank < self._nearest[-1][0]:
            self._nearest.append((rank, self._miss(worker, found)))
            self._nearest.sort(key=lambda near: near[0])
            del self._nearest[limits.EXPLAIN_NEAREST :]

    def _miss(self, worker: Worker, found: tuple[Failure, ...]) -> NearMiss:
        return NearMiss(
            worker.sid,
            worker.friendly_name,
            tuple(failure.text for failure in found),
            tuple(remedies.remedy_of(failure, self._task) for failure in found),
        )

    @property
    def failures(self) -> tuple[FailureCount, ...]:
        """How many fail first on what, most first."""
        counts = sorted(
            self._first.items(),
            key=lambda each: (-each[1], CONDITIONS.index(each[0][0]), each[0][1]),
        )
        return tuple(
            FailureCount(condition, text, count) for (condition, text), count in counts
        )

    @property
    def nearest(self) -> tuple[NearMiss, ...]:
        """The workers who fail on least, of equals the longest-serving first."""
        return tuple(miss for _, miss in self._nearest)


def _look(
    state: State, task: Task, sids: list[str], *, current: bool
) -> Generator[None, None, StepExplanation]:
    queue = state.find(task.task_queue_sid, TaskQueue)
    pull = queue is not None and not queue.max_reserved_workers
    expression = _expression(steps.step_of(state, task))
    conditions, look = Conditions(state, task), _Look(task, pull=pull)
    for sid in sids:
        worker = state.find(sid, Worker)
        if worker is not None:
            look.add(worker, tuple(conditions.failures(worker)))
        yield
    return StepExplanation(
        filter_index=task.step_filter,
        target_index=task.step_target,
        route=task.route,
        task_queue_sid=task.task_queue_sid,
        task_queue_name=queue.friendly_name if queue else "",
        expression=expression,
        current=current,
        pull=pull,
        workers=look.workers,
        eligible=look.eligible,
        candidates=look.candidates,
        failures=look.failures,
        nearest=look.nearest,
    )


def _expression(step: Step | None) -> str:
    expression = None if step is None else step.target.expression
    return "" if expression is None else expression.text


# in words


def _summary(step: StepExplanation) -> str:
    """Say in one line why nobody has the task."""
    count = f"{step.candidates} of {step.workers} workers"
    if step.pull:
        count = f"waits to be claimed by {count}"
    elif step.candidates:
        return f"{count} can be offered it, when it is its turn"
    if step.candidates or not step.failures:
        return count
    return f"{count}: {_reasons(step)}{_nearest(step)}"


def _held_back(state: State, task: Task) -> str:
    """Say why a task is not offered to anybody for now; nothing if it is."""
    if not task.hold_time:
        return ""
    count = task.callback_failures
    offers = "its last offer" if count == 1 else f"each of its last {count} offers"
    rows = state.where(Reservation, "task_sid", task.sid)
    found = [problem for row in rows for problem in row.callback_problems]
    last = max(found, key=lambda problem: problem.time).text if found else ""
    text = f"held back: the assignment callback of {offers} came to nothing"
    return f"{text}; last: {last}" if last else text


def _reasons(step: StepExplanation) -> str:
    """Name what most fail on, with numbers if it is not the same for all."""
    if len(step.failures) == 1:
        return step.failures[0].text
    named = [f"{row.text} ({row.workers})" for row in step.failures[:3]]
    rest = sum(row.workers for row in step.failures[3:])
    return ", ".join((*named, f"other conditions ({rest})") if rest else named)


def _nearest(step: StepExplanation) -> str:
    near = step.nearest[0]
    if len(near.remedies) > 2:
        return ""
    return f"; {near.worker_name} would match {' and '.join(near.remedies)}"


def _status_text(task: Task, held: tuple[Reservation, ...]) -> str:
    names = ", ".join(row.worker_name for row in held)
    texts = {
        TaskStatus.RESERVED: f"offered to {names}",
        TaskStatus.ASSIGNED: f"accepted by {names}",
        TaskStatus.WRAPPING: f"wrapped up by {names}",
    }
    return texts.get(task.status, f"{task.status}: {task.reason}".rstrip(": "))
