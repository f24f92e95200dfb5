"""The comments of the protos are the reference: what they list is what there is."""

import json
import re
from pathlib import Path

import pytest

from flexcore.domain.expressions import Context, parse
from flexcore.services.registry import SERVICES
from flexcore.services.rules import Rules
from flexcore.v1 import event_service_pb2
from tests.api.world import build
from tests.serving import Serving

PROTOS = Path(__file__).parents[2] / "protos/flexcore/v1"


def comments(name: str) -> str:
    """Return the comments of a proto without their slashes."""
    text = (PROTOS / name).read_text()
    return "\n".join(re.findall(r"^ *// ?(.*)$", text, re.MULTILINE))


def event_types() -> list[str]:
    text = comments("event.proto")
    text = text[text.index("one of:") : text.index("More may come")]
    return re.findall(r"[a-z-]+(?:\.[a-z_-]+)+", text)


async def test_every_type_of_the_log_is_in_the_reference(serving: Serving) -> None:
    await build(serving, serving.client)
    stream = serving.client.event.WatchEvents()
    head = (await serving.client.admin.GetServerInfo()).server_info.head_sequence
    seen, last = set(), 0
    while last < head:
        response = await stream.read()
        for change_set in response.change_sets:
            seen |= {event.type for event in change_set.events}
            last = change_set.last_sequence
    stream.cancel()

    assert seen - set(event_types()) == set()
    assert len(seen) > 20


def test_every_type_of_the_reference_can_be_asked_for() -> None:
    rules = Rules(method.input_type for each in SERVICES for method in each.methods)
    types = event_types()

    assert len(types) == len(set(types))
    rules.check(event_service_pb2.WatchEventsRequest(types=types))


ATTRIBUTES = {
    "skills": ["billing"],
    "level": 1,
    "team": "a",
    "a": {"b": 1},
    "a b": 2,
    "list": [7],
}


@pytest.mark.parametrize(
    ("text", "true"),
    [
        (
            re.findall(
                r"^ +(skills HAS .*)$",
                comments("workspace_service.proto"),
                re.MULTILINE,
            )[0],
            True,
        ),
        ("a.b == 1 AND `a b` = 2 AND list[0] == 7", True),
        ("worker.level == 1", True),
        ("missing IS NULL", True),
        ("level == '1'", False),
        ("level < '2'", False),
        ("team == 'A'", False),
        ("team CONTAINS 'a' and team not in ['b']", True),
        ("level IS NOT NULL AND skills NOT CONTAINS 'b'", True),
    ],
)
def test_expressions_mean_what_the_reference_says(text: str, true: bool) -> None:
    assert parse(text, Context.WORKER).evaluate(ATTRIBUTES) is true


async def test_the_workflow_of_the_reference_is_taken(serving: Serving) -> None:
    text = comments("workspace_service.proto")
    found = text[text.index('{"task_routing"') : text.index("A task enters")]
    setup, routing = serving.client.workspace, serving.client.routing
    everyone = (await setup.ListTaskQueues()).task_queues[0]
    made = await setup.CreateWorkflow(
        friendly_name="billing", configuration=found.replace("WQ...", everyone.sid)
    )

    task = await routing.CreateTask(
        workflow_sid=made.workflow.sid, attributes='{"topic":"billing"}'
    )
    assert task.task.priority == 5
    assert json.loads(made.workflow.configuration)
    other = await routing.CreateTask(workflow_sid=made.workflow.sid)
    assert other.task.priority == 0
