"""What a workflow allows and its author rarely means: what is never reached, above all.

Each warning begins with the path of the value it is about, as errors do.
"""

from collections.abc import Collection, Iterator
from itertools import islice

from flexcore.domain import limits
from flexcore.domain.expressions import (
    Expression,
    counted_activities,
    judgement_of,
    reads_refusals,
)
from flexcore.domain.lint import Judgement
from flexcore.domain.plans import Filter, Target, WorkflowPlan
from flexcore.domain.trees import REFUSED_BY

#: of every worker, and never numbers
_NAMES = frozenset({"sid", "friendly_name", "activity_sid", "activity_name"})


def warnings_of_plan(
    plan: WorkflowPlan,
    path: str = "configuration.task_routing",
    *,
    refusal_scope: str = "task",
    activity_sids: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Return the first WORKFLOW_WARNINGS warnings, and whether there are more.

    `activity_sids` are those of the workspace that expressions name, if that is known.
    """
    most = limits.WORKFLOW_WARNINGS
    count = refusal_scope != "none"
    judge = _Judge(refusals_count=count, activity_sids=activity_sids)
    found = list(islice(_warnings(plan, path, judge), most + 1))
    if len(found) > most:
        found[most:] = [f"{path}: more warnings"]
    return tuple(found)


class _Judge:
    """Judges each expression once; documents repeat themselves."""

    def __init__(
        self, *, refusals_count: bool, activity_sids: Collection[str] | None
    ) -> None:
        self._refusals_count = refusals_count
        self._activity_sids = activity_sids
        self._known: dict[Expression, Judgement] = {}

    def constant(self, expression: Expression | None) -> bool | None:
        """Say what an expression always is; without one, it is always true."""
        return True if expression is None else self._judgement(expression).constant

    def warnings(self, expression: Expression | None, path: str) -> Iterator[str]:
        if expression is None:
            return
        for text in self._judgement(expression).warnings:
            yield f"{path}: {text}"
        if not self._refusals_count and reads_refusals(expression):
            yield f"{path}: always empty where refusal_scope is none: task.{REFUSED_BY}"
        if self._activity_sids is not None:
            for sid in counted_activities(expression):
                if sid not in self._activity_sids:
                    yield f"{path}: always 0, there is no such activity: workers.{sid}"

    def _judgement(self, expression: Expression) -> Judgement:
        if expression not in self._known:
            self._known[expression] = judgement_of(expression)
        return self._known[expression]


def _warnings(plan: WorkflowPlan, path: str, judge: _Judge) -> Iterator[str]:
    taken = ""
    for index, each in enumerate(plan.filters):
        at = f"{path}.filters[{index}]"
        if taken:
            yield f"{at}: unreachable: {taken}"
        yield from _of_filter(each, at, judge)
        terminal = _terminal(each, judge)
        if not taken and terminal is not None and judge.constant(each.expression):
            taken = f"filters[{index}] takes every task and {_never_ends(terminal)}"
    if plan.default is not None:
        yield from _of_target(plan.default, f"{path}.default_filter", judge)


def _of_filter(found: Filter, path: str, judge: _Judge) -> Iterator[str]:
    yield from judge.warnings(found.expression, f"{path}.expression")
    terminal = _terminal(found, judge)
    for place, target in enumerate(found.targets):
        below = f"{path}.targets[{place}]"
        if terminal is not None and place > terminal:
            yield f"{below}: unreachable: {_never_ends(terminal)}"
        yield from _of_target(target, below, judge)
    if terminal is not None and found.on_exhausted is not None:
        yield f"{path}.on_exhausted: never used: {_never_ends(terminal)}"


def _of_target(target: Target, path: str, judge: _Judge) -> Iterator[str]:
    yield from judge.warnings(target.expression, f"{path}.expression")
    # 1==1 is how one says "unless a worker is free right now".
    if judge.constant(target.skip_if) is not True:
        yield from judge.warnings(target.skip_if, f"{path}.skip_if")
    for clause in target.order_by:
        if len(clause.segments) == 1 and clause.segments[0] in _NAMES:
            yield f"{path}.order_by: never a number: worker.{clause.segments[0]}"


def _terminal(found: Filter, judge: _Judge) -> int | None:
    """Return the index of the first target that never ends by itself."""
    for index, target in enumerate(found.targets):
        if target.timeout_seconds is None and (
            target.skip_if is None or judge.constant(target.skip_if) is False
        ):
            return index
    return None


def _never_ends(place: int) -> str:
    return f"targets[{place}] has no timeout and is never skipped"
