"""WorkspaceService: what routing is set up from, created, changed and listed."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from flexcore.v1 import routing_pb2, workspace_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


async def only_workspace(serving: Serving) -> Any:
    (found,) = (await serving.client.workspace.ListWorkspaces()).workspaces
    return found


def configuration(queue_sid: str) -> str:
    return json.dumps({"task_routing": {"default_filter": {"queue": queue_sid}}})


async def test_a_first_start_leaves_a_workspace_ready_for_tasks(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    found = await only_workspace(serving)

    assert found.friendly_name == "default"
    assert (await workspace.GetWorkspace(sid=found.sid)).workspace == found
    activities = (await workspace.ListActivities()).activities
    names = {one.sid: (one.friendly_name, one.available) for one in activities}
    assert set(names.values()) == {
        ("Offline", False),
        ("Available", True),
        ("Unavailable", False),
    }
    assert names[found.default_activity_sid] == ("Offline", False)
    assert len((await workspace.ListWorkflows()).workflows) == 1
    assert len((await workspace.ListTaskQueues()).task_queues) == 1


async def test_a_second_workspace_has_to_be_named_from_then_on(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    made = (await workspace.CreateWorkspace(friendly_name="second")).workspace
    refused = await refusal(workspace.CreateWorker(friendly_name="alice"))

    assert [*refused] == ["INVALID_ARGUMENT", "DEFAULT_AMBIGUOUS"]
    assert refused.fields.keys() == {"workspace_sid"}
    worker = (
        await workspace.CreateWorker(workspace_sid=made.sid, friendly_name="alice")
    ).worker
    assert worker.workspace_sid == made.sid
    assert worker.activity_sid == made.default_activity_sid


async def test_a_workflow_says_which_workspace_its_tasks_are_of(
    serving: Serving,
) -> None:
    workspace, routing = serving.client.workspace, serving.client.routing
    first = await only_workspace(serving)
    second = (
        await workspace.CreateWorkspace(
            friendly_name="second", template="WORKSPACE_TEMPLATE_FIFO"
        )
    ).workspace
    flows = {
        each.workspace_sid: each.sid
        for each in (await workspace.ListWorkflows()).workflows
    }
    tasks = [
        (await routing.CreateTask(workflow_sid=flows[second.sid])).task,
        *(
            await routing.BatchCreateTasks(
                tasks=[{"workflow_sid": flows[sid]} for sid in (first.sid, second.sid)]
            )
        ).tasks,
    ]

    assert [each.workspace_sid for each in tasks] == [
        second.sid,
        first.sid,
        second.sid,
    ]
    crossed = await refusal(
        routing.CreateTask(workspace_sid=first.sid, workflow_sid=flows[second.sid])
    )
    assert [*crossed] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    unknown = await refusal(routing.CreateTask(workflow_sid=make_sid("WW", 7)))
    assert [*unknown] == ["NOT_FOUND", "RESOURCE_NOT_FOUND"]
    for batch in (
        routing.BatchCreateTasks(tasks=[{"priority": 1}]),
        workspace.BatchCreateWorkers(workers=[{"friendly_name": "ann"}]),
    ):
        left_out = await refusal(batch)
        assert [*left_out] == ["INVALID_ARGUMENT", "DEFAULT_AMBIGUOUS"]
        # It is the batch that has one, not what is in it.
        assert left_out.fields.keys() == {"workspace_sid"}


async def test_lists_are_narrowed_to_a_workspace(serving: Serving) -> None:
    workspace = serving.client.workspace
    first = await only_workspace(serving)
    second = (await workspace.CreateWorkspace(friendly_name="second")).workspace

    for sid, activities, channels in ((first.sid, 3, 3), (second.sid, 3, 3)):
        found = await workspace.ListActivities(workspace_sid=sid)
        assert {one.workspace_sid for one in found.activities} == {sid}
        assert len(found.activities) == activities
        page = await workspace.ListTaskChannels(workspace_sid=sid)
        assert len(page.task_channels) == channels
    for page, rows in (
        (await workspace.ListTaskQueues(workspace_sid=second.sid), "task_queues"),
        (await workspace.ListWorkflows(workspace_sid=second.sid), "workflows"),
        (await workspace.ListWorkers(workspace_sid=second.sid), "workers"),
    ):
        assert not getattr(page, rows)


async def test_an_activity_is_available_or_not_for_good(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateActivity(friendly_name="On the phone", available=True)

    assert made.activity.available
    refused = await refusal(workspace.CreateActivity(friendly_name="on the PHONE"))
    assert [*refused] == ["ALREADY_EXISTS", "RESOURCE_EXISTS"]
    assert refused.metadata["sid"] == made.activity.sid


async def test_a_new_task_channel_gives_every_worker_room(serving: Serving) -> None:
    workspace = serving.client.workspace
    worker = (await workspace.CreateWorker(friendly_name="alice")).worker
    made = await workspace.CreateTaskChannel(unique_name="video", friendly_name="Video")
    page = await workspace.ListWorkerChannels(worker_sid=worker.sid)

    (room,) = (
        one
        for one in page.worker_channels
        if one.task_channel_sid == made.task_channel.sid
    )
    assert (room.configured_capacity, room.available) == (1, True)
    refused = await refusal(workspace.CreateTaskChannel(unique_name="1st"))
    assert refused.fields.keys() == {"unique_name"}


async def test_a_queue_says_who_serves_it(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateTaskQueue(
        friendly_name="billing", target_workers='skill == "billing"'
    )
    queue = made.task_queue
    everybody = await workspace.CreateTaskQueue(friendly_name="everybody")
    nobody = await workspace.CreateTaskQueue(friendly_name="nobody", target_workers="")

    assert (await workspace.GetTaskQueue(sid=queue.sid)).task_queue == queue
    assert queue.target_workers == 'skill == "billing"'
    assert everybody.task_queue.target_workers == "1==1"
    assert nobody.task_queue.target_workers == ""
    changed = await workspace.UpdateTaskQueue(
        sid=queue.sid,
        version=queue.version,
        friendly_name="invoices",
        target_workers="1==1",
    )
    assert changed.task_queue.friendly_name == "invoices"
    assert changed.task_queue.target_workers == "1==1"


async def test_a_broken_expression_is_refused_with_its_place(serving: Serving) -> None:
    refused = await refusal(
        serving.client.workspace.CreateTaskQueue(
            friendly_name="broken", target_workers="skill =="
        )
    )

    assert [*refused] == ["INVALID_ARGUMENT", "EXPRESSION_INVALID"]
    assert refused.fields.keys() == {"target_workers"}


async def test_a_workflow_sends_tasks_to_its_queue(serving: Serving) -> None:
    client = serving.client
    queue = (await client.workspace.CreateTaskQueue(friendly_name="billing")).task_queue
    made = await client.workspace.CreateWorkflow(
        friendly_name="billing",
        configuration=configuration(queue.sid),
        task_reservation_timeout=Duration(seconds=30),
    )
    workflow = made.workflow
    assert (await client.workspace.GetWorkflow(sid=workflow.sid)).workflow == workflow
    assert workflow.task_reservation_timeout.seconds == 30

    task = (await client.routing.CreateTask(workflow_sid=workflow.sid)).task
    assert task.task_queue_sid == queue.sid
    await client.workspace.CreateWorker(friendly_name="alice", activity="Available")
    (found,) = (await client.routing.ListReservations(task_sid=task.sid)).reservations
    assert found.deadline.seconds == found.create_time.seconds + 30


async def test_a_workflow_has_a_reservation_timeout_of_120_seconds_by_default(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    queue = (await workspace.ListTaskQueues()).task_queues[0]
    made = await workspace.CreateWorkflow(
        friendly_name="second", configuration=configuration(queue.sid)
    )
    assert made.workflow.task_reservation_timeout.seconds == 120

    changed = await workspace.UpdateWorkflow(
        sid=made.workflow.sid, friendly_name="third"
    )
    assert changed.workflow.task_reservation_timeout.seconds == 120
    changed = await workspace.UpdateWorkflow(
        sid=made.workflow.sid, task_reservation_timeout=Duration(seconds=5)
    )
    assert changed.workflow.task_reservation_timeout.seconds == 5
    assert changed.workflow.friendly_name == "third"


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"task_routing": {"default_filter": {"queue": "WQ1"}}}']
)
async def test_a_broken_workflow_is_refused(serving: Serving, text: str) -> None:
    refused = await refusal(
        serving.client.workspace.CreateWorkflow(friendly_name="b", configuration=text)
    )

    assert refused.code == "INVALID_ARGUMENT"
    assert all(field.startswith("configuration") for field in refused.fields)
    assert refused.fields


async def test_a_worker_comes_with_its_channels(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateWorker(
        friendly_name="alice", attributes='{"skill":"billing"}', activity="Available"
    )

    assert made.worker.attributes == '{"skill":"billing"}'
    names = {one.task_channel_unique_name for one in made.worker_channels}
    assert names == {"default", "chat", "sms"}
    page = await workspace.ListWorkerChannels(worker_sid=made.worker.sid)
    assert {one.sid for one in page.worker_channels} == {
        one.sid for one in made.worker_channels
    }
    found = (await workspace.GetWorker(sid=made.worker.sid)).worker
    assert found.work_state == workspace_pb2.WORK_STATE_IDLE
    found.ClearField("work_state")
    assert found == made.worker
    refused = await refusal(workspace.CreateWorker(friendly_name="ALICE"))
    assert refused.metadata["sid"] == made.worker.sid


async def test_an_update_of_a_worker_changes_what_is_given(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateWorker(friendly_name="alice", attributes='{"a":1}')
    sid = made.worker.sid

    worker = (await workspace.UpdateWorker(sid=sid, friendly_name="Alice B")).worker
    assert (worker.friendly_name, worker.attributes) == ("Alice B", '{"a":1}')
    patch = '{"b":2}'
    worker = (await workspace.UpdateWorker(sid=sid, attributes_patch=patch)).worker
    assert worker.attributes == '{"a":1,"b":2}'
    worker = (await workspace.UpdateWorker(sid=sid, attributes="{}")).worker
    assert worker.attributes == "{}"
    worker = (await workspace.UpdateWorker(sid=sid, activity="Available")).worker
    assert worker.activity_sid != made.worker.activity_sid
    by_activity = await workspace.ListWorkers(activity_sid=worker.activity_sid)
    assert [one.sid for one in by_activity.workers] == [sid]
    none = await workspace.ListWorkers(activity_sid=made.worker.activity_sid)
    assert not none.workers


async def test_a_worker_who_leaves_may_reject_what_is_pending(serving: Serving) -> None:
    client = serving.client
    made = await client.workspace.CreateWorker(
        friendly_name="alice", activity="Available"
    )
    sid = made.worker.sid
    await client.routing.CreateTask()
    (found,) = (await client.routing.ListReservations(worker_sid=sid)).reservations
    await client.workspace.UpdateWorker(
        sid=sid, activity="Offline", reject_pending_reservations=True
    )

    ended = (await client.routing.GetReservation(sid=found.sid)).reservation
    assert ended.status == routing_pb2.RESERVATION_STATUS_REJECTED


async def test_more_room_is_filled_at_once(serving: Serving) -> None:
    client = serving.client
    made = await client.workspace.CreateWorker(
        friendly_name="alice", activity="Available"
    )
    sid = made.worker.sid
    for _ in range(3):
        await client.routing.CreateTask(task_channel="chat")
    changed = await client.workspace.UpdateWorkerChannel(
        worker_sid=sid, task_channel="chat", configured_capacity=2
    )

    assert changed.worker_channel.configured_capacity == 2
    held = (await client.routing.ListReservations(worker_sid=sid)).reservations
    assert len(held) == 2
    await client.workspace.UpdateWorkerChannel(
        worker_sid=sid, task_channel="chat", available=False, configured_capacity=3
    )
    held = (await client.routing.ListReservations(worker_sid=sid)).reservations
    assert len(held) == 2


async def test_a_stale_version_is_refused_everywhere(serving: Serving) -> None:
    workspace = serving.client.workspace
    worker = (await workspace.CreateWorker(friendly_name="alice")).worker
    queue = (await workspace.ListTaskQueues()).task_queues[0]
    workflow = (await workspace.ListWorkflows()).workflows[0]

    for call in (
        workspace.UpdateWorker(sid=worker.sid, version=9, friendly_name="b"),
        workspace.UpdateTaskQueue(sid=queue.sid, version=9, friendly_name="b"),
        workspace.UpdateWorkflow(sid=workflow.sid, version=9, friendly_name="b"),
        workspace.UpdateWorkerChannel(
            worker_sid=worker.sid, version=9, task_channel="chat", available=False
        ),
    ):
        assert (await refusal(call)).code == "ABORTED"


async def test_what_is_unknown_is_not_found(serving: Serving) -> None:
    workspace = serving.client.workspace

    for call in (
        workspace.GetWorkspace(sid=make_sid("WS", 1)),
        workspace.GetTaskQueue(sid=make_sid("WQ", 1)),
        workspace.GetWorkflow(sid=make_sid("WW", 1)),
        workspace.GetWorker(sid=make_sid("WK", 1)),
        workspace.UpdateWorker(sid=make_sid("WK", 1)),
        workspace.CreateActivity(workspace_sid=make_sid("WS", 1), friendly_name="a"),
    ):
        assert (await refusal(call)).code == "NOT_FOUND"


async def test_name_of_a_workspace_is_its_own(serving: Serving) -> None:
    error = await refusal(
        serving.client.workspace.CreateWorkspace(friendly_name="Default")
    )

    assert list(error) == ["ALREADY_EXISTS", "RESOURCE_EXISTS"]


async def test_candidates_are_named_when_a_workspace_must_be(serving: Serving) -> None:
    workspace = serving.client.workspace
    await workspace.CreateWorkspace(friendly_name="second")
    sids = [row.sid for row in (await workspace.ListWorkspaces()).workspaces]
    error = await refusal(serving.client.routing.CreateTask())

    assert list(error) == ["INVALID_ARGUMENT", "DEFAULT_AMBIGUOUS"]
    assert sorted(error.metadata["candidates"].split(",")) == sorted(sids)
