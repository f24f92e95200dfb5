"""What a TaskRouter user knows by a number has a code and a reason here.

docs/migrating.md lists them all. Not here are those of calls and conferences, which there
are none of; of assignment callbacks, which are problems of a reservation
(test_assignment_callbacks.py); and 14241 (test_statistics.py). A known worker who is missing
(40152, 40154, 40155) fails no call there either: it is an event of the task.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.v1 import routing_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

Call = Callable[[Serving], Awaitable[Any]]

MIGRATING = Path(__file__).parents[2] / "docs/migrating.md"


async def offered(serving: Serving) -> str:
    """Return the sid of a reservation that waits for an answer."""
    workspace, routing = serving.client.workspace, serving.client.routing
    await workspace.CreateWorker(friendly_name="ann", activity="Available")
    await routing.CreateTask()
    return (await routing.ListReservations()).reservations[0].sid


async def accept_no_sid(serving: Serving) -> None:
    await serving.client.routing.AcceptReservation(sid="nobody")


async def accept_unknown(serving: Serving) -> None:
    await serving.client.routing.AcceptReservation(sid=make_sid("WR", 1))


async def accept_twice(serving: Serving) -> None:
    sid = await offered(serving)
    await serving.client.routing.AcceptReservation(sid=sid)
    await serving.client.routing.AcceptReservation(sid=sid)


async def reject_accepted(serving: Serving) -> None:
    sid = await offered(serving)
    await serving.client.routing.AcceptReservation(sid=sid)
    await serving.client.routing.RejectReservation(sid=sid)


async def accept_late(serving: Serving) -> None:
    sid = await offered(serving)
    serving.clock.advance(120 * limits.SECOND)
    await serving.client.routing.AcceptReservation(sid=sid)


async def reject_into_no_activity(serving: Serving) -> None:
    sid = await offered(serving)
    await serving.client.routing.RejectReservation(sid=sid, activity="Lunch")


async def wrap_waiting(serving: Serving) -> None:
    task = (await serving.client.routing.CreateTask()).task
    await serving.client.routing.WrapTask(sid=task.sid)


async def update_old_version(serving: Serving) -> None:
    task = (await serving.client.routing.CreateTask()).task
    update = serving.client.routing.UpdateTask
    await update(sid=task.sid, priority=1)
    await update(sid=task.sid, priority=2, version=task.version)


async def create_task_nobody_takes(serving: Serving) -> None:
    made = await serving.client.workspace.CreateWorkflow(
        friendly_name="spanish", configuration=await spanish(serving)
    )
    await serving.client.routing.CreateTask(workflow_sid=made.workflow.sid)


async def spanish(serving: Serving, **target: Any) -> str:
    """Return a workflow for tasks in Spanish alone; `target` is what its step says."""
    queues = (await serving.client.workspace.ListTaskQueues()).task_queues
    step = {"queue": queues[0].sid, **target}
    filters = [{"expression": "lang == 'es'", "targets": [step]}]
    return json.dumps({"task_routing": {"filters": filters}})


async def save_bad_workflow(serving: Serving) -> None:
    await serving.client.workspace.CreateWorkflow(
        friendly_name="words", configuration=await spanish(serving, skip_if="soon")
    )


async def save_bad_queue(serving: Serving) -> None:
    await serving.client.workspace.CreateTaskQueue(
        friendly_name="words", target_workers="skills HAS"
    )


async def list_from_no_page(serving: Serving) -> None:
    await serving.client.routing.ListTasks(page_token="7")


@pytest.mark.parametrize(
    ("known_as", "call", "code", "reason"),
    [
        ("14215", accept_no_sid, "INVALID_ARGUMENT", "FIELD_INVALID"),
        ("14217", accept_unknown, "NOT_FOUND", "RESOURCE_NOT_FOUND"),
        ("14217", accept_twice, "FAILED_PRECONDITION", "ILLEGAL_TRANSITION"),
        ("14217", accept_late, "FAILED_PRECONDITION", "RESERVATION_EXPIRED"),
        ("14217", reject_accepted, "FAILED_PRECONDITION", "ILLEGAL_TRANSITION"),
        ("14222", create_task_nobody_takes, "INVALID_ARGUMENT", "NO_FILTER_MATCHED"),
        ("40100", reject_into_no_activity, "INVALID_ARGUMENT", "FIELD_INVALID"),
        ("40153", list_from_no_page, "INVALID_ARGUMENT", "FIELD_INVALID"),
        ("HTTP 400", wrap_waiting, "FAILED_PRECONDITION", "ILLEGAL_TRANSITION"),
        ("HTTP 400", save_bad_queue, "INVALID_ARGUMENT", "EXPRESSION_INVALID"),
        ("HTTP 400", save_bad_workflow, "INVALID_ARGUMENT", "EXPRESSION_INVALID"),
        ("HTTP 412", update_old_version, "ABORTED", "VERSION_MISMATCH"),
    ],
)
async def test_what_had_a_number_has_a_code_and_a_reason(
    serving: Serving,
    known_as: str,
    call: Call,
    code: str,
    reason: str,
) -> None:
    assert [*await refusal(call(serving))] == [code, reason], known_as
    (row,) = (
        line
        for line in MIGRATING.read_text().splitlines()
        if line.startswith(f"| {known_as} ")
    )
    assert code in row
    assert reason in row


async def test_a_bad_expression_is_refused_with_its_place(serving: Serving) -> None:
    queue = await refusal(save_bad_queue(serving))
    workflow = await refusal(save_bad_workflow(serving))

    assert queue.fields.keys() == {"target_workers"}
    assert queue.metadata["position"] == "11"
    assert "skip_if" in workflow.text
    assert workflow.metadata["position"] == "1"


@pytest.mark.parametrize(
    ("known_as", "by", "agent", "reason", "shown"),
    [
        ("40152", "friendly_name", "Ann", "not_in_queue", "ann"),
        ("40154", "friendly_name", 7, "not_found", "7"),
        ("40154", "friendly_name", "Nobody", "not_found", "nobody"),
        ("40154", "sid", "WK1", "not_found", "WK1"),
        # A name is looked for in the workspace alone.
        ("40155", "friendly_name", "zoe", "not_found", "zoe"),
        ("40155", "sid", "{zoe}", "other_workspace", "{zoe}"),
    ],
)
async def test_a_known_worker_who_is_missing_is_an_event(
    serving: Serving,
    known_as: str,
    by: str,
    agent: str | int,
    reason: str,
    shown: str,
) -> None:
    setup, routing = serving.client.workspace, serving.client.routing
    shut = await setup.CreateTaskQueue(friendly_name="shut", target_workers="1==0")
    await setup.CreateWorker(friendly_name="ann", activity="Available")
    step = {"queue": shut.task_queue.sid, "known_worker_" + by: "task.agent"}
    made = await setup.CreateWorkflow(
        friendly_name="known", configuration=await spanish(serving, **step)
    )
    other = (await setup.CreateWorkspace(friendly_name="other")).workspace
    made_zoe = await setup.CreateWorker(workspace_sid=other.sid, friendly_name="zoe")
    if agent == shown == "{zoe}":
        agent = shown = made_zoe.worker.sid
    attributes = json.dumps({"lang": "es", "agent": agent})
    created = await routing.CreateTask(
        workspace_sid=made.workflow.workspace_sid,
        workflow_sid=made.workflow.sid,
        attributes=attributes,
    )
    stream = serving.client.event.WatchEvents(types=["workflow.known-worker-missing"])
    found = (await stream.read()).change_sets
    stream.cancel()

    assert created.task.status == routing_pb2.TASK_STATUS_PENDING, known_as
    told = [event for each in found for event in each.events]
    assert [(event.sid, event.reason, event.known_worker) for event in told] == [
        (created.task.sid, reason, shown)
    ]
