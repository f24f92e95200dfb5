"""Workflow documents: garbage is refused, and every walk comes to an end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.expressions import Context, Dialect, judgement_of
from flexcore.domain.plan_lint import warnings_of_plan
from flexcore.domain.workflows import (
    Step,
    Target,
    WorkflowPlan,
    after_exhaustion,
    after_skip,
    after_timeout,
    enter,
    exhaustion_of,
    known_of,
    parse_workflow,
    step_at,
)
from tests.documents import QUEUES
from tests.property.trees import ATTRIBUTES, DIALECTS, text_of, trees

GARBAGE = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 3), st.text(max_size=5), st.just([])
)
QUEUE = st.sampled_from(sorted(QUEUES))
SECONDS = st.integers(1, 9) | st.integers(1, 9).map(str)
EXPRESSIONS = {
    context: trees(context).map(text_of) | st.sampled_from(["1==1", "1==0"])
    for context in Context
}
TARGET = st.fixed_dictionaries(
    {"queue": QUEUE},
    optional={
        "priority": SECONDS,
        "timeout": SECONDS,
        "expression": EXPRESSIONS[Context.PAIR],
        "order_by": st.sampled_from(["worker.a DESC", "worker.b, worker.a.c ASC"]),
        "skip_if": EXPRESSIONS[Context.SKIP],
        "known_worker_sid": st.sampled_from(["task.a", "task.b[0]"]),
    },
)
EXHAUSTION = st.sampled_from(["cancel", "default", "repeat"]) | st.fixed_dictionaries(
    {"action": st.just("queue"), "queue": QUEUE}
)
FILTER = st.fixed_dictionaries(
    {"targets": st.lists(TARGET, min_size=1, max_size=3)},
    optional={"expression": EXPRESSIONS[Context.TASK], "on_exhausted": EXHAUSTION},
)
DEFAULT = TARGET.map(lambda found: {k: found[k] for k in found if k != "timeout"})
ROUTING = st.fixed_dictionaries(
    {"filters": st.lists(FILTER, max_size=4), "default_filter": DEFAULT},
    optional={"on_exhausted": EXHAUSTION},
)


def spoiled(value: object, draw: st.DrawFn) -> object:
    """Put garbage somewhere into a document."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 9)):
            return {**value, draw(st.text(max_size=3)): draw(GARBAGE)}
        return {**value, key: spoiled(value[key], draw)}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], spoiled(value[index], draw), *value[index + 1 :]]
    if isinstance(value, str) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value)))
        return value[:index] + draw(st.text(max_size=2)) + value[index + 1 :]
    return draw(GARBAGE)


@st.composite
def spoiled_documents(draw: st.DrawFn) -> str:
    document: object = {"task_routing": draw(ROUTING)}
    for _ in range(draw(st.integers(1, 3))):
        document = spoiled(document, draw)
    text = json.dumps(document)
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


def read(text: str, dialect: Dialect) -> WorkflowPlan:
    return parse_workflow(text, QUEUES.__contains__, dialect=dialect)


def steps_of(plan: WorkflowPlan) -> int:
    return 1 + sum(len(found.targets) for found in plan.filters)


def walk(
    plan: WorkflowPlan, attributes: JsonObject, skips: list[bool]
) -> tuple[list[Step], bool]:
    """Go from step to step; tell the steps and whether the last one was skipped."""
    steps: list[Step] = []
    step = enter(plan, attributes)
    skipped = False
    while step is not None:
        steps.append(step)
        assert len(steps) <= steps_of(plan)
        skipped = skips[len(steps) % len(skips)]
        onward = after_skip if skipped else after_timeout
        step = onward(plan, step, attributes)
    return steps, skipped


@settings(max_examples=100, deadline=None)
@given(ROUTING, DIALECTS, ATTRIBUTES, st.lists(st.booleans(), min_size=1, max_size=5))
def test_every_walk_goes_forward_and_ends(
    routing: JsonObject, dialect: Dialect, attributes: JsonObject, skips: list[bool]
) -> None:
    plan = read(json.dumps({"task_routing": routing}), dialect)
    steps, skipped = walk(plan, attributes, skips)

    places = [(step.filter_index, step.target_index) for step in steps]
    forward = [place for place in places if place[0] >= 0]
    assert forward == sorted(set(forward))
    # The default filter comes last, if at all.
    assert all(index >= 0 for index, _ in places[:-1])
    for step in steps:
        assert step_at(plan, step.filter_index, step.target_index) == step
        assert (known_of(step, attributes) is None) == (step.target.known is None)
    if not skipped and steps[-1].filter_index >= 0:
        exhaustion = exhaustion_of(plan, steps[-1], "cancel")
        onward = after_exhaustion(plan, steps[-1], attributes, "cancel")
        assert (onward is None) == (exhaustion.action == "cancel")


def can_end(target: Target) -> bool:
    return target.timeout_seconds is not None or (
        target.skip_if is not None
        and judgement_of(target.skip_if).constant is not False
    )


@settings(max_examples=100, deadline=None)
@given(ROUTING, DIALECTS, ATTRIBUTES)
def test_what_is_called_unreachable_is_not_reached(
    routing: JsonObject, dialect: Dialect, attributes: JsonObject
) -> None:
    plan = read(json.dumps({"task_routing": routing}), dialect)
    called = {
        text.removeprefix("configuration.task_routing.").split(":")[0]
        for text in warnings_of_plan(plan)
        if ": unreachable: " in text
    }

    step = enter(plan, attributes)
    while step is not None and step.filter_index >= 0:
        at = f"filters[{step.filter_index}]"
        assert called.isdisjoint({at, f"{at}.targets[{step.target_index}]"})
        if not can_end(step.target):
            break
        step = after_timeout(plan, step, attributes)


@settings(max_examples=150, deadline=None)
@given(spoiled_documents(), DIALECTS)
def test_garbage_is_a_plan_or_an_invalid_argument(text: str, dialect: Dialect) -> None:
    try:
        plan = read(text, dialect)
    except InvalidArgument as error:
        (field, _), *_ = error.violations
        assert field.startswith("configuration")
    else:
        assert len(warnings_of_plan(plan)) <= limits.WORKFLOW_WARNINGS + 1
        assert plan == read(text, dialect)


@pytest.mark.parametrize(
    "text",
    [
        '{"task_routing": {"filters": ' + "[" * 5_000,
        '{"task_routing":' * 2_000,
        '{"task_routing": {"filters": [' + "{}," * 100_000 + "{}]}}",
        '{"task_routing": {"\ud800": 1}}',
        '{"task_routing": {"filters": [{"expression": "\\ud800 == 1"}]}}',
        "\x00",
        "",
    ],
    ids=range(7),
)
def test_garbage_of_other_shapes_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        read(text, Dialect())
