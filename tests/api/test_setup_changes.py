"""WorkspaceService: what is set up can be changed, and deleted when nothing uses it."""

import json
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.v1 import policy_pb2, routing_pb2, workspace_requests_pb2
from tests.api.refusals import Refusal, refusal
from tests.factories import make_sid
from tests.serving import Serving


def configuration(queue_sid: str, **more: Any) -> str:
    routing = {"default_filter": {"queue": queue_sid}, **more}
    return json.dumps({"task_routing": routing})


async def named(serving: Serving, what: str, name: str) -> Any:
    """Return the activity or task channel of that name."""
    workspace = serving.client.workspace
    if what == "activity":
        rows = (await workspace.ListActivities()).activities
        return next(row for row in rows if row.friendly_name == name)
    rows = (await workspace.ListTaskChannels()).task_channels
    return next(row for row in rows if row.unique_name == name)


async def only_workspace(serving: Serving) -> Any:
    (found,) = (await serving.client.workspace.ListWorkspaces()).workspaces
    return found


def in_use(refused: Refusal, sid: str, *users: str) -> bool:
    """Say whether a refusal names what is used, and by whom."""
    assert [*refused] == ["FAILED_PRECONDITION", "RESOURCE_IN_USE"]
    assert refused.metadata["sid"] == sid
    assert refused.metadata["count"] == str(len(users))
    return set(refused.metadata["sids"].split(",")) == set(users)


# --- workspaces ------------------------------------------------------------------------


async def test_a_workspace_may_begin_ready_for_tasks(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateWorkspace(
        friendly_name="second",
        template=workspace_requests_pb2.WORKSPACE_TEMPLATE_FIFO,
        default_activity="Available",
        timeout_activity="Unavailable",
        semantics=policy_pb2.SEMANTICS_COMPAT,
        policies=policy_pb2.Policies(refusal_limit=7),
        prioritize_queue_order=policy_pb2.TASK_ORDER_LIFO,
    )
    second = made.workspace

    assert second.semantics == policy_pb2.SEMANTICS_COMPAT
    assert second.prioritize_queue_order == policy_pb2.TASK_ORDER_LIFO
    assert second.policies == policy_pb2.Policies(refusal_limit=7)
    assert second.effective_policies.refusal_limit == 7
    assert second.effective_policies.step_clock == policy_pb2.STEP_CLOCK_AGE
    task = (await serving.client.routing.CreateTask(workspace_sid=second.sid)).task
    queue = (await workspace.GetTaskQueue(sid=task.task_queue_sid)).task_queue
    assert queue.target_workers == "1==1"
    activity = await workspace.GetActivity(sid=second.timeout_activity_sid)
    assert activity.activity.friendly_name == "Unavailable"
    worker = await workspace.CreateWorker(workspace_sid=second.sid, friendly_name="ann")
    assert worker.worker.available


async def test_a_workspace_begins_with_activities_it_has(serving: Serving) -> None:
    refused = await refusal(
        serving.client.workspace.CreateWorkspace(
            friendly_name="second", default_activity="Lunch"
        )
    )

    assert refused.fields.keys() == {"default_activity"}


async def test_policies_are_replaced_as_a_whole(serving: Serving) -> None:
    workspace, found = serving.client.workspace, await only_workspace(serving)
    first = policy_pb2.Policies(refusal_limit=7, auto_complete=False)
    changed = await workspace.UpdateWorkspace(sid=found.sid, policies=first)
    assert changed.workspace.policies == first

    unchanged = await workspace.UpdateWorkspace(
        sid=found.sid, friendly_name="renamed", version=changed.workspace.version
    )
    assert unchanged.workspace.policies == first
    second = policy_pb2.Policies(wrap_limit_seconds=0)
    changed = await workspace.UpdateWorkspace(sid=found.sid, policies=second)
    assert changed.workspace.policies == second
    assert changed.workspace.effective_policies.refusal_limit == 1
    assert changed.workspace.effective_policies.wrap_limit_seconds == 0
    none = await workspace.UpdateWorkspace(
        sid=found.sid, policies=policy_pb2.Policies()
    )
    assert none.workspace.policies == policy_pb2.Policies()
    assert none.workspace.effective_policies == found.effective_policies


async def test_a_workspace_moves_its_defaults(serving: Serving) -> None:
    workspace, found = serving.client.workspace, await only_workspace(serving)
    lunch = await workspace.CreateActivity(friendly_name="Lunch")
    changed = await workspace.UpdateWorkspace(
        sid=found.sid, default_activity="Lunch", timeout_activity=lunch.activity.sid
    )

    assert changed.workspace.default_activity_sid == lunch.activity.sid
    assert changed.workspace.timeout_activity_sid == lunch.activity.sid
    refused = await refusal(
        workspace.UpdateWorkspace(sid=found.sid, timeout_activity="Nowhere")
    )
    assert refused.fields.keys() == {"timeout_activity"}


@pytest.mark.parametrize(
    "change",
    [
        {"policies": policy_pb2.Policies(priority_boost_seconds=60)},
        {"policies": policy_pb2.Policies(missing_array=2)},
        {"semantics": policy_pb2.SEMANTICS_COMPAT},
        {"prioritize_queue_order": policy_pb2.TASK_ORDER_LIFO},
    ],
    ids=["boost", "missing array", "semantics", "order"],
)
async def test_what_the_matcher_reads_of_every_task_changes_however_many_wait(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    workspace, found = serving.client.workspace, await only_workspace(serving)
    for _ in range(3):
        await serving.client.routing.CreateTask()
    monkeypatch.setattr(limits, "TOLD_AT_ONCE", 1)
    await workspace.UpdateWorkspace(sid=found.sid, **change)
    await workspace.CreateWorker(friendly_name="ann", activity="Available")

    offered = await serving.client.routing.ListReservations()
    assert len(offered.reservations) == 1


async def test_a_workspace_is_deleted_when_it_is_empty(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateWorkspace(
        friendly_name="second", template=workspace_requests_pb2.WORKSPACE_TEMPLATE_FIFO
    )
    sid = made.workspace.sid
    queue = (await workspace.ListTaskQueues(workspace_sid=sid)).task_queues[0]
    workflow = (await workspace.ListWorkflows(workspace_sid=sid)).workflows[0]

    refused = await refusal(workspace.DeleteWorkspace(sid=sid))
    assert in_use(refused, sid, queue.sid, workflow.sid)
    await workspace.DeleteWorkflow(sid=workflow.sid)
    await workspace.DeleteTaskQueue(sid=queue.sid)
    gone = (await workspace.DeleteWorkspace(sid=sid)).workspace
    assert gone.friendly_name == "second"
    assert (await refusal(workspace.GetWorkspace(sid=sid))).code == "NOT_FOUND"
    assert not (await workspace.ListActivities(workspace_sid=sid)).activities
    assert not (await workspace.ListTaskChannels(workspace_sid=sid)).task_channels
    await workspace.CreateWorkspace(friendly_name="second")


# --- activities and task channels ------------------------------------------------------


async def test_an_activity_is_renamed_and_workers_stay_in_it(serving: Serving) -> None:
    workspace = serving.client.workspace
    activity = await named(serving, "activity", "Available")
    worker = await workspace.CreateWorker(friendly_name="ann", activity="Available")
    changed = await workspace.UpdateActivity(
        sid=activity.sid, version=activity.version, friendly_name="Ready"
    )

    assert changed.activity.friendly_name == "Ready"
    assert changed.activity.available
    found = await workspace.GetWorker(sid=worker.worker.sid)
    assert found.activity == changed.activity
    refused = await refusal(
        workspace.UpdateActivity(sid=activity.sid, friendly_name="offline")
    )
    assert [*refused] == ["ALREADY_EXISTS", "RESOURCE_EXISTS"]


async def test_queues_see_an_activity_by_its_new_name(serving: Serving) -> None:
    client = serving.client
    activity = await named(serving, "activity", "Available")
    await client.workspace.CreateWorker(friendly_name="ann", activity="Available")
    queue = (await client.workspace.ListTaskQueues()).task_queues[0]
    await client.workspace.UpdateTaskQueue(
        sid=queue.sid, target_workers='activity_name == "Ready"'
    )
    task = (await client.routing.CreateTask()).task
    assert task.status == routing_pb2.TASK_STATUS_PENDING
    await client.workspace.UpdateActivity(sid=activity.sid, friendly_name="Ready")

    offered = (await client.routing.GetTask(sid=task.sid)).task
    assert offered.status == routing_pb2.TASK_STATUS_RESERVED


async def test_an_activity_is_renamed_however_many_workers_are_in_it(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving.client
    activity = await named(serving, "activity", "Available")
    for name in ("ann", "ben", "cid"):
        await client.workspace.CreateWorker(friendly_name=name, activity="Available")
    queue = (await client.workspace.ListTaskQueues()).task_queues[0]
    await client.workspace.UpdateTaskQueue(
        sid=queue.sid, target_workers='activity_name == "Ready"'
    )
    tasks = [(await client.routing.CreateTask()).task for _ in range(3)]
    monkeypatch.setattr(limits, "TOLD_AT_ONCE", 1)
    await client.workspace.UpdateActivity(sid=activity.sid, friendly_name="Ready")

    for task in tasks:
        offered = (await client.routing.GetTask(sid=task.sid)).task
        assert offered.status == routing_pb2.TASK_STATUS_RESERVED


async def test_a_task_channel_comes_and_goes_however_many_workers_there_are(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, chat = serving.client.workspace, await named(serving, "", "chat")
    made = await workspace.BatchCreateWorkers(
        workers=[{"friendly_name": name} for name in ("ann", "ben", "cid")]
    )
    monkeypatch.setattr(limits, "ROOMS_AT_ONCE", 1)
    await workspace.CreateTaskChannel(unique_name="video")
    gone = await workspace.DeleteTaskChannel(sid=chat.sid)

    assert gone.task_channel.unique_name == "chat"
    assert (await refusal(workspace.GetTaskChannel(sid=chat.sid))).code == "NOT_FOUND"
    for worker in made.workers:
        found = await workspace.ListWorkerChannels(worker_sid=worker.sid)
        names = {row.task_channel_unique_name for row in found.worker_channels}
        assert names == {"default", "sms", "video"}


async def test_an_activity_in_use_stays(serving: Serving) -> None:
    workspace, home = serving.client.workspace, await only_workspace(serving)
    offline = await named(serving, "activity", "Offline")
    worker = (await workspace.CreateWorker(friendly_name="ann")).worker

    refused = await refusal(workspace.DeleteActivity(sid=offline.sid))
    assert in_use(refused, offline.sid, worker.sid, home.sid)
    await workspace.UpdateWorkspace(
        sid=home.sid, default_activity="Unavailable", timeout_activity="Unavailable"
    )
    refused = await refusal(workspace.DeleteActivity(sid=offline.sid))
    assert in_use(refused, offline.sid, worker.sid)
    await workspace.UpdateWorker(sid=worker.sid, activity="Unavailable")
    assert (await workspace.DeleteActivity(sid=offline.sid)).activity == offline
    assert (await refusal(workspace.GetActivity(sid=offline.sid))).code == "NOT_FOUND"


async def test_a_task_channel_is_changed(serving: Serving) -> None:
    workspace, chat = serving.client.workspace, await named(serving, "", "chat")
    assert not chat.channel_optimized_routing
    changed = await workspace.UpdateTaskChannel(
        sid=chat.sid, friendly_name="Web chat", channel_optimized_routing=True
    )

    assert changed.task_channel.friendly_name == "Web chat"
    assert changed.task_channel.unique_name == "chat"
    assert changed.task_channel.channel_optimized_routing
    found = (await workspace.GetTaskChannel(sid=chat.sid)).task_channel
    assert found == changed.task_channel


async def test_a_task_channel_goes_with_the_room_on_it(serving: Serving) -> None:
    client, chat = serving.client, await named(serving, "", "chat")
    worker = (await client.workspace.CreateWorker(friendly_name="ann")).worker
    task = (await client.routing.CreateTask(task_channel="chat")).task

    refused = await refusal(client.workspace.DeleteTaskChannel(sid=chat.sid))
    assert in_use(refused, chat.sid, task.sid)
    await client.routing.CancelTask(sid=task.sid)
    await client.workspace.DeleteTaskChannel(sid=chat.sid)
    rooms = await client.workspace.ListWorkerChannels(worker_sid=worker.sid)
    names = {room.task_channel_unique_name for room in rooms.worker_channels}
    assert names == {"default", "sms"}
    refused = await refusal(client.routing.CreateTask(task_channel="chat"))
    assert refused.fields.keys() == {"task_channel"}


async def test_the_default_task_channel_stays(serving: Serving) -> None:
    default = await named(serving, "", "default")
    refused = await refusal(serving.client.workspace.DeleteTaskChannel(sid=default.sid))

    assert [*refused] == ["FAILED_PRECONDITION", "RESOURCE_REQUIRED"]


async def test_a_taken_name_of_a_task_channel_says_who_has_it(
    serving: Serving,
) -> None:
    default = await named(serving, "", "default")
    setup = serving.client.workspace
    refused = await refusal(setup.CreateTaskChannel(unique_name="default"))

    assert refused.text == f"unique_name 'default' is taken by {default.sid}"
    assert refused.metadata == {"sid": default.sid, "field": "unique_name"}


# --- task queues and workflows ---------------------------------------------------------


async def test_a_queue_has_policies_of_its_own(serving: Serving) -> None:
    workspace = serving.client.workspace
    own = policy_pb2.Policies(worker_order=policy_pb2.WORKER_ORDER_ROUND_ROBIN)
    made = await workspace.CreateTaskQueue(
        friendly_name="pull",
        max_reserved_workers=0,
        task_order=policy_pb2.TASK_ORDER_LIFO,
        policies=own,
    )
    queue = made.task_queue

    assert (queue.max_reserved_workers, queue.policies) == (0, own)
    assert queue.task_order == policy_pb2.TASK_ORDER_LIFO
    changed = await workspace.UpdateTaskQueue(
        sid=queue.sid,
        max_reserved_workers=50,
        task_order=policy_pb2.TASK_ORDER_FIFO,
        policies=policy_pb2.Policies(),
    )
    assert changed.task_queue.max_reserved_workers == 50
    assert changed.task_queue.policies == policy_pb2.Policies()
    refused = await refusal(
        workspace.UpdateTaskQueue(
            sid=queue.sid, policies=policy_pb2.Policies(retention_seconds=60)
        )
    )
    assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    assert refused.fields.keys() == {"policies.retention_seconds"}


async def test_an_activity_that_an_expression_names_stays(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = (await workspace.CreateActivity(friendly_name="Coaching")).activity
    queue = (
        await workspace.CreateTaskQueue(
            friendly_name="a", target_workers=f"last_activity != '{made.sid}'"
        )
    ).task_queue
    document = json.loads(configuration(queue.sid))
    default = {"queue": queue.sid, "skip_if": f"workers.{made.sid} > 0"}
    document["task_routing"]["default_filter"] = default
    # Escaped, as some encoders write it.
    text = json.dumps(document).replace(made.sid, "\\u0057" + made.sid[1:])
    workflow = (
        await workspace.CreateWorkflow(friendly_name="a", configuration=text)
    ).workflow

    refused = await refusal(workspace.DeleteActivity(sid=made.sid))
    assert in_use(refused, made.sid, queue.sid, workflow.sid)
    await workspace.UpdateTaskQueue(sid=queue.sid, target_workers="1==1")
    refused = await refusal(workspace.DeleteActivity(sid=made.sid))
    assert in_use(refused, made.sid, workflow.sid)
    await workspace.UpdateWorkflow(
        sid=workflow.sid, configuration=configuration(queue.sid)
    )
    assert (await workspace.DeleteActivity(sid=made.sid)).activity == made


async def test_a_queue_is_deleted_when_nothing_leads_there(serving: Serving) -> None:
    client = serving.client
    queue = (await client.workspace.CreateTaskQueue(friendly_name="a")).task_queue
    made = await client.workspace.CreateWorkflow(
        friendly_name="a", configuration=configuration(queue.sid)
    )
    first = made.workflow
    task = (await client.routing.CreateTask(workflow_sid=first.sid)).task

    refused = await refusal(client.workspace.DeleteTaskQueue(sid=queue.sid))
    assert in_use(refused, queue.sid, task.sid, first.sid)
    await client.workspace.UpdateWorkflow(
        sid=first.sid, configuration=configuration(await everyone(serving))
    )
    # The task is in the older revision, which names the queue still.
    refused = await refusal(client.workspace.DeleteTaskQueue(sid=queue.sid))
    assert in_use(refused, queue.sid, task.sid, first.sid)
    await client.routing.CancelTask(sid=task.sid)
    assert (await client.workspace.DeleteTaskQueue(sid=queue.sid)).task_queue == queue
    kept = (await client.routing.GetTask(sid=task.sid)).task
    assert kept.task_queue_sid == queue.sid


async def everyone(serving: Serving) -> str:
    found = await serving.client.workspace.ListTaskQueues(friendly_name="everyone")
    sid: str = found.task_queues[0].sid
    return sid


@pytest.mark.parametrize(
    "more",
    [
        {"on_exhausted": {"action": "queue", "queue": "WQ"}},
        {"filters": [{"targets": [{"queue": "WQ"}]}]},
        {"filters": [{"targets": [{"queue": "escaped"}]}]},
    ],
    ids=["exhaustion", "target", "escaped"],
)
async def test_a_workflow_names_queues_in_many_places(
    serving: Serving, more: dict[str, Any]
) -> None:
    workspace = serving.client.workspace
    queue = (await workspace.CreateTaskQueue(friendly_name="a")).task_queue
    text = configuration(await everyone(serving), **more)
    text = text.replace('"WQ"', f'"{queue.sid}"')
    text = text.replace('"escaped"', f'"\\u0057{queue.sid[1:]}"')
    made = await workspace.CreateWorkflow(friendly_name="a", configuration=text)

    refused = await refusal(workspace.DeleteTaskQueue(sid=queue.sid))
    assert in_use(refused, queue.sid, made.workflow.sid)


async def test_a_configuration_is_a_revision_that_never_changes(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    workflow = (await workspace.ListWorkflows()).workflows[0]
    text = configuration(await everyone(serving), filters=[])
    serving.clock.advance(limits.MILLISECOND)
    changed = (
        await workspace.UpdateWorkflow(sid=workflow.sid, configuration=text)
    ).workflow
    same = await workspace.UpdateWorkflow(
        sid=workflow.sid, configuration=text, friendly_name="other"
    )

    assert same.workflow.revision_sid == changed.revision_sid
    page = await workspace.ListWorkflowRevisions(workflow_sid=workflow.sid)
    first, second = page.workflow_revisions
    assert (first.sid, second.sid) == (workflow.revision_sid, changed.revision_sid)
    assert [first.number, second.number] == [1, 2]
    assert first.configuration == workflow.configuration
    found = await workspace.GetWorkflowRevision(sid=second.sid)
    assert found.workflow_revision == second


async def test_the_oldest_revision_without_tasks_gives_way(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REVISIONS_MAX", 2)
    client, queue_sid = serving.client, await everyone(serving)
    workflow = (await client.workspace.ListWorkflows()).workflows[0]
    task = (await client.routing.CreateTask()).task
    assert task.workflow_revision_sid == workflow.revision_sid

    async def change(number: int) -> Any:
        serving.clock.advance(limits.MILLISECOND)
        text = configuration(queue_sid) + " " * number
        call = client.workspace.UpdateWorkflow(sid=workflow.sid, configuration=text)
        return (await call).workflow

    second, third = await change(1), await change(2)
    assert third.version > second.version
    rows = await client.workspace.ListWorkflowRevisions(workflow_sid=workflow.sid)
    numbers = [row.number for row in rows.workflow_revisions]
    assert numbers == [1, 3]
    await client.routing.CreateTask()
    refused = await refusal(change(3))
    assert [*refused] == ["RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"]
    await client.routing.CancelTask(sid=task.sid)
    await change(3)


async def test_waiting_tasks_move_to_the_current_revision_when_asked(
    serving: Serving,
) -> None:
    client = serving.client
    workflow = (await client.workspace.ListWorkflows()).workflows[0]
    task = (await client.routing.CreateTask()).task
    queue = (await client.workspace.CreateTaskQueue(friendly_name="new")).task_queue
    text = configuration(queue.sid)
    changed = await client.workspace.UpdateWorkflow(
        sid=workflow.sid, configuration=text, re_evaluate_tasks=True
    )

    assert changed.workflow.re_evaluate_left == 1
    serving.clock.advance(limits.RE_EVALUATE_WAIT)
    moved = (await client.routing.GetTask(sid=task.sid)).task
    assert moved.workflow_revision_sid == changed.workflow.revision_sid
    assert moved.task_queue_sid == queue.sid
    done = (await client.workspace.GetWorkflow(sid=workflow.sid)).workflow
    assert done.re_evaluate_left == 0


async def test_a_workflow_is_deleted_with_its_revisions(serving: Serving) -> None:
    client = serving.client
    workflow = (await client.workspace.ListWorkflows()).workflows[0]
    task = (await client.routing.CreateTask()).task
    refused = await refusal(client.workspace.DeleteWorkflow(sid=workflow.sid))

    assert in_use(refused, workflow.sid, task.sid)
    await client.routing.CancelTask(sid=task.sid)
    await client.workspace.DeleteWorkflow(sid=workflow.sid)
    listed = await client.workspace.ListWorkflowRevisions(workflow_sid=workflow.sid)
    assert not listed.workflow_revisions
    gone = client.workspace.GetWorkflowRevision(sid=workflow.revision_sid)
    assert (await refusal(gone)).code == "NOT_FOUND"
    refused = await refusal(client.routing.CreateTask())
    assert refused.fields.keys() == {"workflow_sid"}


@pytest.mark.parametrize(("semantics", "warnings"), [("strict", 0), ("compat", 1)])
async def test_a_workflow_that_reads_refusals_is_told_where_none_count(
    serving: Serving, semantics: str, warnings: int
) -> None:
    setup = serving.client.workspace
    (workspace,) = (await setup.ListWorkspaces()).workspaces
    await setup.UpdateWorkspace(
        sid=workspace.sid, semantics=f"SEMANTICS_{semantics.upper()}"
    )
    (queue,) = (await setup.ListTaskQueues()).task_queues
    target = {"queue": queue.sid, "expression": "worker.sid NOT IN task.refused_by"}
    text = configuration(queue.sid, filters=[{"targets": [target]}])
    made = await setup.CreateWorkflow(friendly_name="again", configuration=text)
    again = await setup.UpdateWorkflow(sid=made.workflow.sid, configuration=text)

    assert len(made.warnings) == len(again.warnings) == warnings
    assert all("refusal_scope is none" in text for text in made.warnings)


async def test_a_workflow_that_counts_an_activity_of_nobody_is_told(
    serving: Serving,
) -> None:
    setup = serving.client.workspace
    (queue,) = (await setup.ListTaskQueues()).task_queues
    (here, *_) = (await setup.ListActivities()).activities
    other = (await setup.CreateWorkspace(friendly_name="other")).workspace
    nowhere = make_sid("WA", 7), other.default_activity_sid

    def text(sid: str) -> str:
        target = {"queue": queue.sid, "skip_if": f"workers.{sid} == 0", "timeout": 9}
        return configuration(queue.sid, filters=[{"targets": [target]}])

    made = await setup.CreateWorkflow(
        workspace_sid=queue.workspace_sid,
        friendly_name="counts",
        configuration=text(here.sid),
    )
    warned = [
        await setup.UpdateWorkflow(sid=made.workflow.sid, configuration=text(sid))
        for sid in nowhere
    ]

    assert list(made.warnings) == []
    assert [each.warnings[0].partition("always")[2] for each in warned] == [
        f" 0, there is no such activity: workers.{sid}" for sid in nowhere
    ]


async def test_what_is_rarely_meant_is_said_when_it_is_saved(serving: Serving) -> None:
    workspace = serving.client.workspace
    fine = await workspace.CreateTaskQueue(
        friendly_name="fine", target_workers='skill == "a"'
    )
    odd = await workspace.CreateTaskQueue(
        friendly_name="odd", target_workers='skill NOT IN skills OR "a" == "a"'
    )
    targets = [{"queue": fine.task_queue.sid}, {}]
    text = configuration(fine.task_queue.sid, filters=[{"targets": targets}])
    request = {"friendly_name": "odd", "configuration": text, "request_id": "once"}
    workflow = await workspace.CreateWorkflow(**request)

    assert not fine.warnings
    assert odd.warnings
    assert any("unreachable" in warning for warning in workflow.warnings)
    assert (await workspace.CreateWorkflow(**request)) == workflow


# --- workers ---------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [5, limits.TASK_CHANNELS_MAX])
async def test_as_many_workers_as_a_batch_may_have_get_all_their_channels(
    serving: Serving, channels: int
) -> None:
    workspace = serving.client.workspace
    first = (await workspace.CreateWorker(friendly_name="first")).worker
    there = len((await workspace.ListTaskChannels()).task_channels)
    for number in range(channels - there):
        await workspace.CreateTaskChannel(unique_name=f"c{number}")

    made = await workspace.BatchCreateWorkers(
        workers=[{"friendly_name": f"w{n}"} for n in range(limits.BATCH_MAX)]
    )

    names = [worker.friendly_name for worker in made.workers]
    assert names == [f"w{n}" for n in range(limits.BATCH_MAX)]
    for worker in (first, made.workers[0], made.workers[-1]):
        found = await workspace.ListWorkerChannels(worker_sid=worker.sid)
        assert len(found.worker_channels) == channels


async def test_workers_are_created_in_order_all_or_none(serving: Serving) -> None:
    workspace = serving.client.workspace
    made = await workspace.BatchCreateWorkers(
        workers=[
            {"friendly_name": "ann", "attributes": '{"a":1}'},
            {"friendly_name": "ben", "activity": "Available"},
        ]
    )

    assert [row.friendly_name for row in made.workers] == ["ann", "ben"]
    assert [row.available for row in made.workers] == [False, True]
    for bad, code, fields in (
        ({"friendly_name": "x", "activity": "Lunch"}, "INVALID_ARGUMENT", "activity"),
        ({"friendly_name": "x", "attributes": "["}, "INVALID_ARGUMENT", "attributes"),
        ({"friendly_name": "ANN"}, "ALREADY_EXISTS", ""),
    ):
        call = workspace.BatchCreateWorkers(workers=[{"friendly_name": "carl"}, bad])
        refused = await refusal(call)
        assert refused.code == code
        assert refused.fields.keys() == ({f"workers[1].{fields}"} if fields else set())
        assert fields or refused.metadata["index"] == "1"
    assert len((await workspace.ListWorkers()).workers) == 2


async def test_a_worker_is_deleted_who_holds_nothing(serving: Serving) -> None:
    client = serving.client
    worker = await client.workspace.CreateWorker(
        friendly_name="ann", activity="Available"
    )
    sid = worker.worker.sid
    task = (await client.routing.CreateTask()).task
    (offer,) = (await client.routing.ListReservations(task_sid=task.sid)).reservations

    refused = await refusal(client.workspace.DeleteWorker(sid=sid))
    assert in_use(refused, sid, offer.sid)
    await client.workspace.UpdateWorker(
        sid=sid, activity="Offline", reject_pending_reservations=True
    )
    stale = await refusal(client.workspace.DeleteWorker(sid=sid, version=1))
    assert stale.code == "ABORTED"
    await client.workspace.DeleteWorker(sid=sid)
    for call in (
        client.workspace.GetWorker(sid=sid),
        client.workspace.ListWorkerChannels(worker_sid=sid),
        client.routing.StreamReservations(worker_sid=sid).read(),
    ):
        assert (await refusal(call)).code == "NOT_FOUND"
    await client.workspace.CreateWorker(friendly_name="ann", activity="Available")
    again = (await client.routing.GetTask(sid=task.sid)).task
    assert again.status == routing_pb2.TASK_STATUS_RESERVED


async def test_a_channel_tells_what_its_worker_holds(serving: Serving) -> None:
    client = serving.client
    made = await client.workspace.CreateWorker(
        friendly_name="ann", activity="Available"
    )
    sid = made.worker.sid
    chat = {"worker_sid": sid, "task_channel": "chat"}
    await client.workspace.UpdateWorkerChannel(**chat, configured_capacity=3)
    for _ in range(2):
        await client.routing.CreateTask(task_channel="chat")
    held = (await client.routing.ListReservations(worker_sid=sid)).reservations
    await client.routing.AcceptReservation(sid=held[0].sid)

    room = (await client.workspace.GetWorkerChannel(**chat)).worker_channel
    assert (room.assigned_tasks, room.available_capacity_percentage) == (1, 33)
    by_sid = {"worker_sid": sid, "task_channel": room.sid}
    assert (await client.workspace.GetWorkerChannel(**by_sid)).worker_channel == room
    listed = await client.workspace.ListWorkerChannels(worker_sid=sid)
    assert room in listed.worker_channels
    found = await client.workspace.GetWorker(sid=sid)
    assert room in found.worker_channels
    stream = client.routing.StreamReservations(worker_sid=sid)
    first = await stream.read()
    stream.cancel()
    assert room in first.snapshot.worker_channels
    await client.routing.WrapReservation(sid=held[0].sid)
    room = (await client.workspace.GetWorkerChannel(**chat)).worker_channel
    assert (room.assigned_tasks, room.available_capacity_percentage) == (0, 33)


async def test_channels_of_a_worker_are_paged(serving: Serving) -> None:
    workspace = serving.client.workspace
    sid = (await workspace.CreateWorker(friendly_name="ann")).worker.sid
    first = await workspace.ListWorkerChannels(worker_sid=sid, page_size=2)
    token = first.next_page_token
    rest = await workspace.ListWorkerChannels(worker_sid=sid, page_token=token)

    assert [len(first.worker_channels), len(rest.worker_channels)] == [2, 1]
    assert not rest.next_page_token
    other = (await workspace.CreateWorker(friendly_name="ben")).worker.sid
    call = workspace.ListWorkerChannels(worker_sid=other, page_token=token)
    assert (await refusal(call)).fields.keys() == {"page_token"}


async def test_events_tell_what_is_no_more(serving: Serving) -> None:
    client = serving.client
    worker = (await client.workspace.CreateWorker(friendly_name="ann")).worker
    stream = client.event.WatchEvents(types=["worker.deleted"])
    await client.workspace.DeleteWorker(sid=worker.sid)
    response = await stream.read()
    while not response.change_sets:
        response = await stream.read()
    stream.cancel()

    (change_set,) = response.change_sets
    assert list(change_set.deleted) == [worker.sid]
    assert change_set.resources[0].worker.friendly_name == "ann"


async def test_what_was_deleted_stays_deleted_after_a_restart(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    worker = (await workspace.CreateWorker(friendly_name="ann")).worker
    activity = (await workspace.CreateActivity(friendly_name="Lunch")).activity
    await workspace.DeleteWorker(sid=worker.sid)
    await workspace.DeleteActivity(sid=activity.sid)
    await serving.restart()

    workspace = serving.client.workspace
    assert (await refusal(workspace.GetWorker(sid=worker.sid))).code == "NOT_FOUND"
    assert (await refusal(workspace.GetActivity(sid=activity.sid))).code == "NOT_FOUND"
    assert len((await workspace.ListActivities()).activities) == 3


async def test_the_event_of_a_capacity_says_what_it_was(serving: Serving) -> None:
    workspace = serving.client.workspace
    worker = (await workspace.CreateWorker(friendly_name="ann")).worker
    room = {"worker_sid": worker.sid, "task_channel": "default"}
    for capacity in (0, 3):
        await workspace.UpdateWorkerChannel(**room, configured_capacity=capacity)

    found = await serving.client.event.ListEvents(types=["worker.capacity.update"])
    told = [event for each in found.change_sets for event in each.events]
    # Zero is a capacity, not the absence of one.
    assert all(event.HasField("previous_capacity") for event in told)
    assert sorted(event.previous_capacity for event in told) == [0, 1]


async def test_an_update_that_changes_nothing_is_no_event(serving: Serving) -> None:
    setup, routing = serving.client.workspace, serving.client.routing
    worker = (await setup.CreateWorker(friendly_name="ann")).worker
    task = (await routing.CreateTask(attributes='{"a":1}', priority=2)).task
    (place,) = (await setup.ListWorkspaces()).workspaces
    activity = (await setup.ListActivities()).activities[0]
    channel = (await setup.ListTaskChannels()).task_channels[0]
    (queue,) = (await setup.ListTaskQueues()).task_queues
    (workflow,) = (await setup.ListWorkflows()).workflows
    before = (await serving.client.admin.GetServerInfo()).server_info.head_sequence

    for update, row, *fields in (
        (setup.UpdateWorkspace, place, "friendly_name", "policies", "semantics"),
        (setup.UpdateActivity, activity, "friendly_name"),
        (setup.UpdateTaskChannel, channel, "channel_optimized_routing"),
        (setup.UpdateTaskQueue, queue, "target_workers", "max_reserved_workers"),
        (setup.UpdateWorkflow, workflow, "configuration"),
        (setup.UpdateWorker, worker, "friendly_name", "attributes"),
        (routing.UpdateTask, task, "attributes", "priority", "virtual_start_time"),
    ):
        same = {field: getattr(row, field) for field in fields}
        for given in ({}, same):
            answer = await update(sid=row.sid, version=row.version, **given)
            assert answer.sequence == before, row.sid
