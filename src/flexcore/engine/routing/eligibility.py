"""Whether a worker can be offered a task, and if not, what stands in the way.

The reference for the compiled matcher, in plain rows and expressions: ClaimTask asks it
for one worker, Explain for all of them.
"""

from collections.abc import Iterator

import msgspec

from flexcore.domain import limits
from flexcore.domain.expressions import Expression
from flexcore.domain.model import Activity, Task, TaskQueue, Worker
from flexcore.engine.routing import clocks, refusals
from flexcore.engine.routing.membership import attributes_of, target_of
from flexcore.engine.routing.routes import asked_worker
from flexcore.engine.routing.steps import step_of, task_values
from flexcore.engine.state import State

#: in the order they are asked
CONDITIONS = (
    "queue",
    "known_worker",
    "step",
    "refused",
    "activity",
    "presence",
    "channel",
    "capacity",
)


#: the task attribute that is to name a worker names nobody, or is missing
UNKNOWN = "the worker asked for is not found"


class Failure(msgspec.Struct, frozen=True):
    """A condition a worker does not meet.

    `condition` is one of CONDITIONS; `text` says which for this worker, `missing` is the
    part of an expression that is false.
    """

    condition: str
    text: str
    missing: Expression | None = None

    @property
    def summary(self) -> str:
        """What is the same for all workers who fail on this."""
        return _SUMMARIES.get(self.condition, self.text)


_SUMMARIES = {
    "activity": "not available",
    "presence": "out of reach, or leaving",
    "capacity": "no room on the channel",
}


class Conditions:
    """What a waiting task asks of a worker where it is, read once for all of them."""

    def __init__(self, state: State, task: Task) -> None:
        self._state = state
        self._task = task
        queue = state.find(task.task_queue_sid, TaskQueue)
        #: None: it is in no queue, and for one worker
        self._target = None if queue is None else target_of(state, queue)
        step = step_of(state, task)
        self._expression = None if step is None else step.target.expression
        self._values = task_values(task) if self._expression else {}
        self._known = asked_worker(state, task)
        self._passed_over = frozenset(refusals.passed_over(task))

    def failures(self, worker: Worker) -> Iterator[Failure]:
        """Yield what keeps a worker from being a candidate, in order."""
        yield from self._expression_failures(worker)
        if worker.sid in self._passed_over:
            yield Failure("refused", "refused this task")
        activity = self._state.need(worker.activity_sid, Activity)
        if not activity.available:
            yield Failure("activity", f"is {activity.friendly_name}")
        elif not worker.available:
            yield Failure("presence", self._why_absent(worker))
        yield from self._room_failures(worker)

    def _why_absent(self, worker: Worker) -> str:
        if worker.taken_out:
            return "is out of reach"
        following = self._state.need(worker.next_activity_sid, Activity)
        return f"goes to {following.friendly_name} after the present work"

    def _expression_failures(self, worker: Worker) -> Iterator[Failure]:
        attributes = attributes_of(self._state, worker)
        if self._target is not None and self._target.root is None:
            yield Failure("queue", "the queue has no expression, which matches nobody")
        elif self._target is not None and not self._target.evaluate(attributes):
            for part in self._target.conjuncts():
                if not part.evaluate(attributes):
                    yield Failure("queue", _fails(part), part)
        if self._known is not None and self._known != worker.sid:
            who = "another worker is asked for" if self._known else UNKNOWN
            yield Failure("known_worker", who)
        if self._expression is None:
            return
        values = attributes | {"channel": clocks.live_values(self._state, worker)}
        if not self._expression.evaluate_pair(self._values, values):
            for part in self._expression.conjuncts():
                if not part.evaluate_pair(self._values, values):
                    yield Failure("step", _fails(part), part)

    def _room_failures(self, worker: Worker) -> Iterator[Failure]:
        task = self._task
        channel = clocks.channel_of(self._state, worker.sid, task.task_channel_sid)
        name = task.task_channel_unique_name
        if channel is None or not channel.available:
            yield Failure("channel", f"takes nothing on channel {name}")
            return
        held = len(clocks.held(self._state, channel))
        if held >= channel.configured_capacity:
            capacity = channel.configured_capacity
            yield Failure("capacity", f"holds {held} of {capacity} on channel {name}")


def failures(state: State, task: Task, worker: Worker) -> Iterator[Failure]:
    """Yield what keeps a worker from being a candidate for a waiting task, in order."""
    return Conditions(state, task).failures(worker)


def _fails(part: Expression) -> str:
    return f"{shortened(part.text)} fails"


def shortened(text: str) -> str:
    """Cut a long expression, so that what is said of it stays readable."""
    most = limits.EXPLAIN_CHARS
    return text if len(text) <= most else f"{text[: most - 3]}..."
