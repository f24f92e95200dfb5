"""Who may have a task, asked of rows and of the reference of the language."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from flexcore.domain.expressions import Context, Dialect, parse
from flexcore.domain.model import Activity, Worker, WorkflowRevision, Workspace
from flexcore.domain.plans import Step, WorkflowPlan, known_of, step_at
from flexcore.domain.workflows import parse_workflow
from tests.checkers.waiting import STEPS, Spec

if TYPE_CHECKING:
    from tests.checkers.fold import Fold

#: open reservations of a worker by task channel
Load = Mapping[str, int]


class Asked(NamedTuple):
    """A class of tasks: its step, and what was answered about workers as they were."""

    step: Step | None
    #: its expression reads live values
    live: bool
    answers: dict[tuple[Any, ...], bool]


class Eligibility:
    """Who is a candidate for which class of tasks; remembers what it was asked."""

    def __init__(self, fold: "Fold") -> None:
        self._fold = fold
        self._need = fold.waiting.need
        self._members: dict[tuple[Any, ...], bool] = {}
        self._facts: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._asked: dict[Spec, Asked] = {}

    def forget(self) -> None:
        """Answer anew: what holds for everybody has changed."""
        self._members.clear()
        self._facts.clear()
        self._asked.clear()

    def candidate(self, spec: Spec, worker: Worker, load: Load) -> bool:
        """Say whether a worker who holds `load` would be offered such a task."""
        return (
            self.free(worker, spec.task_channel_sid, load)
            and worker.sid not in spec.passed_over
            and self._offered(spec)
            and self.eligible(spec, worker, load)
        )

    def _offered(self, spec: Spec) -> bool:
        queue = self._fold.waiting.queue(spec.queue_sid)
        return queue is None or queue.max_reserved_workers > 0

    def free(self, worker: Worker, task_channel_sid: str, load: Load) -> bool:
        """Say whether a worker takes one more task of a channel."""
        channel = self._fold.channel(worker.sid, task_channel_sid)
        return (
            channel is not None
            and channel.available
            and load.get(task_channel_sid, 0) < channel.configured_capacity
            and self._need(worker.activity_sid, Activity).available
            and not (worker.taken_out or worker.next_activity_sid)
        )

    def eligible(self, spec: Spec, worker: Worker, load: Load) -> bool:
        """Say whether route, queue and step let a worker have such a task."""
        _, live, answers = self._class(spec)
        key: tuple[Any, ...] = self._stamp(worker)
        if live:
            key = (*key, tuple(sorted(load.items())), self._fold.stamp(worker.sid))
        found = answers.get(key)
        if found is None:
            found = answers[key] = self._eligible(spec, worker, load)
        return found

    def _eligible(self, spec: Spec, worker: Worker, load: Load) -> bool:
        if spec.route is not None and spec.route != worker.sid:
            return False
        return self._member(spec, worker) and self._suits(spec, worker, load)

    def _member(self, spec: Spec, worker: Worker) -> bool:
        queue = self._fold.waiting.queue(spec.queue_sid)
        if queue is None:
            return True
        key = (queue.sid, *self._stamp(worker))
        found = self._members.get(key)
        if found is None:
            dialect = self._dialect(spec.workspace_sid)
            target = parse(queue.target_workers, Context.WORKER, dialect=dialect)
            found = self._members[key] = target.evaluate(self.facts(worker))
        return found

    def _suits(self, spec: Spec, worker: Worker, load: Load) -> bool:
        step, live, _ = self._class(spec)
        if step is None:
            return True
        values = {**decoded(spec.attributes), "refused_by": list(spec.refused_by)}
        known = known_of(step, values)
        if known is not None and not _is_known(worker, *known):
            return False
        expression = step.target.expression
        facts = self.facts(worker, load if live else None)
        return expression is None or expression.evaluate_pair(values, facts)

    def step(self, spec: Spec) -> Step | None:
        """Return the step of a task."""
        return self._class(spec).step

    def _class(self, spec: Spec) -> Asked:
        found = self._asked.get(spec)
        if found is None:
            step = self._step(spec)
            found = self._asked[spec] = Asked(step, _reads_live(step), {})
        return found

    def _step(self, spec: Spec) -> Step | None:
        revision = self._fold.rows.get(spec.revision_sid)
        if spec.step[0] < STEPS or not isinstance(revision, WorkflowRevision):
            return None
        plan = _plan(revision.configuration, self._dialect(spec.workspace_sid))
        return step_at(plan, *spec.step)

    def _dialect(self, workspace_sid: str) -> Dialect:
        workspace = self._need(workspace_sid, Workspace)
        policies = self._fold.waiting.policies(workspace)
        return Dialect(policies.type_mismatch, policies.missing_array)

    def facts(self, worker: Worker, load: Load | None = None) -> dict[str, Any]:
        """Return what expressions see of a worker; live values too, given the load."""
        key = self._stamp(worker)
        found = self._facts.get(key)
        if found is None:
            activity = self._need(worker.activity_sid, Activity)
            found = self._facts[key] = decoded(worker.attributes) | {
                "sid": worker.sid,
                "friendly_name": worker.friendly_name,
                "activity_sid": worker.activity_sid,
                "activity_name": activity.friendly_name,
            }
        if load is None:
            return found
        return found | {"channel": self._channels(worker, load)}

    def _channels(self, worker: Worker, load: Load) -> dict[str, dict[str, int]]:
        found = {}
        for row in self._fold.channels(worker.sid):
            capacity, held = row.configured_capacity, load.get(row.task_channel_sid, 0)
            left = max(0, capacity - held) * 100 // capacity if capacity else 0
            found[row.task_channel_unique_name] = {
                "configured_capacity": capacity,
                "assigned_tasks": self._fold.assigned(worker.sid, row.task_channel_sid),
                "available_capacity_percentage": left,
            }
        return found

    def _stamp(self, worker: Worker) -> tuple[str, int]:
        """Return what changes with a worker; a change of an activity makes us forget."""
        return (worker.sid, worker.version)


def _is_known(worker: Worker, by: str, value: object) -> bool:
    if by == "sid":
        return value == worker.sid
    name = worker.friendly_name.casefold()
    return isinstance(value, str) and value.casefold() == name


def _reads_live(step: Step | None) -> bool:
    expression = None if step is None else step.target.expression
    return expression is not None and any(
        root == "worker" and segments[0] == "channel"
        for root, segments in expression.paths
    )


@lru_cache(maxsize=1_024)
def _plan(configuration: str, dialect: Dialect) -> WorkflowPlan:
    return parse_workflow(configuration, lambda _: True, dialect=dialect)


@lru_cache(maxsize=4_096)
def decoded(attributes: str) -> dict[str, Any]:
    """Return attributes as a dict; not to be changed."""
    found: dict[str, Any] = json.loads(attributes)
    return found
