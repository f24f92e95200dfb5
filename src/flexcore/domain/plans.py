"""Plans: a workflow as values, and the only walk through it.

A task enters at the first filter whose expression is true and waits in its targets one
after the other. After the last of them it goes on with the next later filter that is
true. `default_filter` is for tasks no filter took: on entry, or when a filter's targets
were all skipped, which counts as no match. A timeout never leads there by itself; what
happens then is the exhaustion.

    enter --> filters[i].targets[0] --> ... --> filters[j > i].targets[0] --> ... --.
      |                                                                             |
      `--> default <-- the last target was skipped (no default: the task leaves) ---+
                                                                                    |
           exhaustion: cancel, default, repeat or a queue <-- it timed out ---------'
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from flexcore.domain.attributes import JsonValue
from flexcore.domain.expressions import Expression, OrderClause, Segments, look_up

#: the filter_index of the step that `default_filter` stands for
DEFAULT_FILTER = -1
#: the filter_index of the step that the queue of an exhaustion stands for; the
#: target_index of that step is the filter whose exhaustion it was, or DOCUMENT
EXHAUSTION = -2
DOCUMENT = -1
#: the step_filter of a task that is in no step: where its routing target says, or about to
#: enter its workflow anew when its offers have ended
ROUTED = -3
RESTART = -4

ACTIONS = ("cancel", "default", "repeat", "queue")


class Known(msgspec.Struct, frozen=True, gc=False):
    """The one worker a target is for: by what, and the task attribute that says who."""

    by: Literal["sid", "friendly_name"]
    path: Segments


class Target(msgspec.Struct, frozen=True, gc=False):
    """One routing step of a filter, with the queue inherited where none is given.

    Nothing else is inherited.
    """

    queue_sid: str
    #: None keeps the priority the task has
    priority: int | None = None
    #: None waits until the task itself times out
    timeout_seconds: int | None = None
    #: which members of the queue; None for all
    expression: Expression | None = None
    order_by: tuple[OrderClause, ...] = ()
    #: asked when the task enters, or comes back from an offer, and nobody can be offered it;
    #: true goes on
    skip_if: Expression | None = None
    known: Known | None = None


class Exhaustion(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a task after the last step timed out."""

    #: one of ACTIONS
    action: str
    #: for "queue": where the task then waits, without a timeout
    queue_sid: str = ""


class Filter(msgspec.Struct, frozen=True, gc=False):
    """Targets for the tasks an expression is true for; without one, for all tasks."""

    name: str
    expression: Expression | None
    targets: tuple[Target, ...]
    on_exhausted: Exhaustion | None = None

    def matches(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Say whether a task with these attributes belongs here."""
        return self.expression is None or self.expression.evaluate(attributes)


class WorkflowPlan(msgspec.Struct, frozen=True, gc=False):
    """A checked configuration document."""

    filters: tuple[Filter, ...] = ()
    default: Target | None = None
    on_exhausted: Exhaustion | None = None


class Step(msgspec.Struct, frozen=True, gc=False):
    """Where in the plan a task waits."""

    filter_index: int
    target_index: int
    target: Target


def enter(
    plan: WorkflowPlan, attributes: Mapping[str, JsonValue], start: int = 0
) -> Step | None:
    """Find the step a task enters, from filter `start` on; None if nothing takes it."""
    return _first_match(plan, start, attributes) or _default(plan)


def after_timeout(
    plan: WorkflowPlan, step: Step, attributes: Mapping[str, JsonValue]
) -> Step | None:
    """Find the step after one that timed out; None if the workflow is exhausted.

    A step of an earlier document is taken by its place; past the end it is exhausted.
    """
    if step.filter_index < 0:
        return None
    following = step_at(plan, step.filter_index, step.target_index + 1)
    return following or _first_match(plan, step.filter_index + 1, attributes)


def after_skip(
    plan: WorkflowPlan, step: Step, attributes: Mapping[str, JsonValue]
) -> Step | None:
    """Find the step after one that was skipped; None if the task leaves the workflow."""
    if step.filter_index < 0:
        return None
    return after_timeout(plan, step, attributes) or _default(plan)


def exhaustion_of(plan: WorkflowPlan, step: Step, fallback: str) -> Exhaustion:
    """Return what follows when `step` was the last.

    The filter says it, or the document, or the fallback. There is no default to go to
    without a `default_filter`: then the task is canceled.
    """
    found = _exhaustion_at(plan, _owner(plan, step)) or Exhaustion(fallback)
    if found.action == "default" and plan.default is None:
        return Exhaustion("cancel")
    return found


def after_exhaustion(
    plan: WorkflowPlan,
    step: Step,
    attributes: Mapping[str, JsonValue],
    fallback: str,
) -> Step | None:
    """Find the step an exhausted task goes on with; None if it is canceled."""
    exhaustion = exhaustion_of(plan, step, fallback)
    if exhaustion.action == "default":
        return _default(plan)
    if exhaustion.action == "repeat":
        return enter(plan, attributes)
    if exhaustion.action == "queue":
        return step_at(plan, EXHAUSTION, _owner(plan, step))
    return None


def step_at(plan: WorkflowPlan, filter_index: int, target_index: int) -> Step | None:
    """Return the step at a place; None if the document has none there."""
    if filter_index == DEFAULT_FILTER:
        return _default(plan) if target_index == 0 else None
    if filter_index == EXHAUSTION:
        exhaustion = _exhaustion_at(plan, target_index)
        if exhaustion is None or exhaustion.action != "queue":
            return None
        return Step(EXHAUSTION, target_index, Target(exhaustion.queue_sid))
    if not 0 <= filter_index < len(plan.filters):
        return None
    targets = plan.filters[filter_index].targets
    if not 0 <= target_index < len(targets):
        return None
    return Step(filter_index, target_index, targets[target_index])


def known_of(
    step: Step, attributes: Mapping[str, JsonValue]
) -> tuple[Literal["sid", "friendly_name"], JsonValue] | None:
    """Return by what and by which value the step names its only worker.

    None if it names nobody in particular. A value that is no worker's, null included,
    names nobody at all: the task waits for the end of the step.
    """
    known = step.target.known
    return None if known is None else (known.by, look_up(attributes, known.path))


def seconds_before(plan: WorkflowPlan, step: Step) -> int:
    """Return the timeouts of the targets before a step in its filter, added.

    So much later than the filter the step begins where steps are measured on the task's age.
    """
    if not 0 <= step.filter_index < len(plan.filters):
        return 0
    before = plan.filters[step.filter_index].targets[: step.target_index]
    return sum(target.timeout_seconds or 0 for target in before)


def _first_match(
    plan: WorkflowPlan, start: int, attributes: Mapping[str, JsonValue]
) -> Step | None:
    for index in range(start, len(plan.filters)):
        if plan.filters[index].matches(attributes):
            return Step(index, 0, plan.filters[index].targets[0])
    return None


def _default(plan: WorkflowPlan) -> Step | None:
    return None if plan.default is None else Step(DEFAULT_FILTER, 0, plan.default)


def _owner(plan: WorkflowPlan, step: Step) -> int:
    """Return whose exhaustion follows a step: the index of its filter, or DOCUMENT."""
    index = step.filter_index
    return DOCUMENT if _exhaustion_at(plan, index) is None else index


def _exhaustion_at(plan: WorkflowPlan, place: int) -> Exhaustion | None:
    if place == DOCUMENT:
        return plan.on_exhausted
    if 0 <= place < len(plan.filters):
        return plan.filters[place].on_exhausted
    return None
