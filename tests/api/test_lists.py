"""Lists: filters and orders of workers, queues, activities, tasks and reservations."""

import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.v1 import policy_pb2, routing_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

PENDING = routing_pb2.TASK_STATUS_PENDING
RESERVED = routing_pb2.TASK_STATUS_RESERVED
ASSIGNED = routing_pb2.TASK_STATUS_ASSIGNED
CANCELED = routing_pb2.TASK_STATUS_CANCELED


async def every(call: Any, field: str, **request: Any) -> list[Any]:
    """Return the rows of all pages, which may be empty in between."""
    found: list[Any] = []
    token = ""
    while True:
        page = await call(page_token=token, **request)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found


@pytest.fixture
async def workers(serving: Serving) -> dict[str, str]:
    """Three workers, one available, and their names by sid."""
    workspace, found = serving.client.workspace, {}
    for name, activity, attributes in (
        ("Ann", "Available", '{"skills":["a","b"],"level":3}'),
        ("Ben", "Offline", '{"skills":["b"],"level":1}'),
        ("Carl", "Unavailable", '{"level":2}'),
    ):
        serving.clock.advance(limits.MILLISECOND)
        made = await workspace.CreateWorker(
            friendly_name=name, activity=activity, attributes=attributes
        )
        found[made.worker.sid] = name
    return found


async def names(serving: Serving, **request: Any) -> list[str]:
    rows = await every(serving.client.workspace.ListWorkers, "workers", **request)
    return [row.friendly_name for row in rows]


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({}, ["Ann", "Ben", "Carl"]),
        ({"friendly_name": "ANN"}, ["Ann"]),
        ({"friendly_name": "nobody"}, []),
        ({"available": True}, ["Ann"]),
        ({"available": False}, ["Ben", "Carl"]),
        ({"activity_name": "offline"}, ["Ben"]),
        ({"activity_name": "Lunch"}, []),
        ({"target_workers_expression": "level >= 2"}, ["Ann", "Carl"]),
        ({"target_workers_expression": 'activity_name == "Offline"'}, ["Ben"]),
        ({"target_workers_expression": 'friendly_name == "Ann"'}, ["Ann"]),
        ({"target_workers_expression": "level >= 2", "available": False}, ["Carl"]),
        ({"order_by": "create_time desc"}, ["Carl", "Ben", "Ann"]),
        ({"order_by": "activity_time desc", "available": False}, ["Carl", "Ben"]),
        ({"order_by": "activity_time desc", "friendly_name": "ben"}, ["Ben"]),
    ],
)
@pytest.mark.usefixtures("workers")
async def test_workers_are_found(
    serving: Serving,
    request_: dict[str, Any],
    found: list[str],
) -> None:
    assert await names(serving, **request_) == found
    assert await names(serving, **request_, page_size=1) == found


async def test_workers_are_found_by_the_time_of_their_activity(
    serving: Serving, workers: dict[str, str]
) -> None:
    sid = next(sid for sid, name in workers.items() if name == "Ann")
    serving.clock.advance(limits.SECOND)
    await serving.client.workspace.UpdateWorker(sid=sid, activity="Offline")

    assert await names(serving, order_by="activity_time") == ["Ben", "Carl", "Ann"]
    latest = {"order_by": "activity_time desc", "page_size": 1}
    assert await names(serving, **latest) == ["Ann", "Carl", "Ben"]


@pytest.mark.usefixtures("workers")
async def test_workers_of_a_queue_are_its_members_whatever_they_do(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    made = await workspace.CreateTaskQueue(
        friendly_name="Billing", target_workers='skills HAS "b"'
    )
    other = (await workspace.CreateWorkspace(friendly_name="other")).workspace
    await workspace.CreateTaskQueue(
        workspace_sid=other.sid, friendly_name="billing", target_workers="1==1"
    )
    sid = made.task_queue.sid

    assert await names(serving, task_queue_sid=sid) == ["Ann", "Ben"]
    assert await names(serving, task_queue_name="BILLING") == ["Ann", "Ben"]
    assert await names(serving, task_queue_sid=sid, available=True) == ["Ann"]
    assert await names(serving, task_queue_sid=make_sid("WQ", 1)) == []


@pytest.mark.usefixtures("workers")
async def test_an_expression_is_read_as_the_workspace_reads_it(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    asked = {"target_workers_expression": '"a" NOT IN skills'}
    assert await names(serving, **asked) == ["Ben", "Carl"]
    (home,) = (await workspace.ListWorkspaces()).workspaces
    policies = policy_pb2.Policies(missing_array=policy_pb2.MISSING_ARRAY_FALSE)
    await workspace.UpdateWorkspace(sid=home.sid, policies=policies)

    assert await names(serving, **asked) == ["Ben"]


async def test_a_broken_expression_of_a_filter_is_refused(serving: Serving) -> None:
    client = serving.client
    for call, field in (
        (
            client.workspace.ListWorkers(target_workers_expression="a =="),
            "target_workers_expression",
        ),
        (
            client.routing.ListTasks(attributes_expression="a =="),
            "attributes_expression",
        ),
    ):
        refused = await refusal(call)
        assert [*refused] == ["INVALID_ARGUMENT", "EXPRESSION_INVALID"]
        assert refused.fields.keys() == {field}


@pytest.mark.usefixtures("workers")
async def test_a_page_looks_at_so_many_rows_and_no_more(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIST_SCAN_ROWS", 2)
    monkeypatch.setattr(limits, "LIST_SLICE_ROWS", 1)
    asked = {"target_workers_expression": "level == 2"}
    page = await serving.client.workspace.ListWorkers(**asked)

    assert not page.workers
    assert page.next_page_token
    assert await names(serving, **asked) == ["Carl"]


async def test_queues_are_found(serving: Serving, workers: dict[str, str]) -> None:
    workspace = serving.client.workspace
    for name, target in (("b", 'skills HAS "b"'), ("top", "level > 2"), ("none", "")):
        serving.clock.advance(limits.MILLISECOND)
        await workspace.CreateTaskQueue(friendly_name=name, target_workers=target)
    ben = next(sid for sid, name in workers.items() if name == "Ben")

    async def queues(**request: Any) -> list[str]:
        rows = await every(workspace.ListTaskQueues, "task_queues", **request)
        return [row.friendly_name for row in rows]

    assert await queues(friendly_name="TOP") == ["top"]
    assert await queues(worker_sid=ben) == ["everyone", "b"]
    assert await queues(worker_sid=make_sid("WK", 1)) == []
    assert await queues(worker_attributes='{"level":3}') == ["everyone", "top"]
    newest = await queues(order_by="create_time desc")
    assert newest[:2] == ["none", "top"]
    serving.clock.advance(limits.SECOND)
    (b,) = (await workspace.ListTaskQueues(friendly_name="b")).task_queues
    await workspace.UpdateTaskQueue(sid=b.sid, max_reserved_workers=2)
    changed = ["everyone", "top", "none", "b"]
    assert await queues(order_by="update_time", page_size=1) == changed
    assert await queues(order_by="update_time desc", page_size=1) == changed[::-1]
    assert await queues(order_by="update_time", worker_sid=ben) == ["everyone", "b"]


async def test_activities_and_workflows_are_found_by_name(serving: Serving) -> None:
    workspace = serving.client.workspace

    async def activities(**request: Any) -> set[str]:
        page = await workspace.ListActivities(**request)
        return {row.friendly_name for row in page.activities}

    assert await activities(friendly_name="offline") == {"Offline"}
    assert await activities(available=True) == {"Available"}
    assert await activities(available=False) == {"Offline", "Unavailable"}
    assert await activities(available=False, friendly_name="available") == set()
    found = await workspace.ListWorkflows(friendly_name="DEFAULT")
    assert len(found.workflows) == 1
    assert not (await workspace.ListWorkflows(friendly_name="other")).workflows
    assert (
        len((await workspace.ListWorkspaces(friendly_name="default")).workspaces) == 1
    )
    assert not (await workspace.ListWorkspaces(friendly_name="other")).workspaces


# --- tasks -----------------------------------------------------------------------------


@pytest.fixture
async def tasks(serving: Serving) -> dict[str, str]:
    """Five tasks, named by their attributes; one is offered, one accepted, one canceled.

    Created a millisecond apart; `old` has waited since 2001.
    """
    client, found = serving.client, {}
    for name, fields in (
        ("accepted", {"priority": 1}),
        ("offered", {"task_channel": "chat"}),
        ("urgent", {"priority": 9}),
        ("old", {"virtual_start_time": Timestamp(seconds=1_000_000_000)}),
        ("gone", {"priority": 1}),
    ):
        serving.clock.advance(limits.MILLISECOND)
        attributes = f'{{"name":"{name}"}}'
        made = await client.routing.CreateTask(attributes=attributes, **fields)
        found[made.task.sid] = name
        if name in ("accepted", "offered"):
            await _only_on(serving, name, fields.get("task_channel", "default"))
    sids = {name: sid for sid, name in found.items()}
    await client.routing.CancelTask(sid=sids["gone"])
    offers = await client.routing.ListReservations(task_sid=sids["accepted"])
    await client.routing.AcceptReservation(sid=offers.reservations[0].sid)
    return found


async def _only_on(serving: Serving, name: str, task_channel: str) -> None:
    """Let a worker be there who takes tasks of one task channel."""
    workspace = serving.client.workspace
    made = await workspace.CreateWorker(friendly_name=name)
    for room in made.worker_channels:
        if room.task_channel_unique_name != task_channel:
            await workspace.UpdateWorkerChannel(
                worker_sid=made.worker.sid,
                task_channel=room.task_channel_unique_name,
                available=False,
            )
    await workspace.UpdateWorker(sid=made.worker.sid, activity="Available")


async def listed(serving: Serving, tasks: dict[str, str], **request: Any) -> list[str]:
    rows = await every(serving.client.routing.ListTasks, "tasks", **request)
    return [tasks[row.sid] for row in rows]


OPEN = [PENDING, RESERVED, ASSIGNED, routing_pb2.TASK_STATUS_WRAPPING]


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({}, "accepted offered urgent old gone"),
        ({"order_by": "create_time desc"}, "gone old urgent offered accepted"),
        ({"statuses": [RESERVED, CANCELED]}, "offered gone"),
        ({"statuses": [CANCELED, RESERVED, CANCELED]}, "offered gone"),
        ({"priority": 1}, "accepted gone"),
        ({"priority": 0}, "offered old"),
        ({"priority": 1, "statuses": [ASSIGNED]}, "accepted"),
        ({"task_channel": "chat"}, "offered"),
        ({"workflow_name": "DEFAULT"}, "accepted offered urgent old gone"),
        ({"workflow_name": "other"}, ""),
        ({"task_queue_name": "Everyone", "statuses": [PENDING]}, "urgent old"),
        ({"task_queue_name": "other"}, ""),
        ({"attributes_expression": 'name IN ["old", "gone"]'}, "old gone"),
        ({"routing_target": make_sid("WK", 1)}, ""),
        (
            {"order_by": "priority desc", "statuses": OPEN},
            "urgent accepted offered old",
        ),
        ({"order_by": "priority", "statuses": OPEN}, "offered old accepted urgent"),
        (
            {"order_by": "priority, create_time desc", "statuses": OPEN},
            "old offered accepted urgent",
        ),
        (
            {"order_by": "priority desc, virtual_start_time", "statuses": OPEN},
            "urgent accepted old offered",
        ),
        (
            {"order_by": "priority desc, virtual_start_time desc", "statuses": OPEN},
            "urgent accepted offered old",
        ),
        ({"order_by": "priority desc", "statuses": [PENDING]}, "urgent old"),
        (
            {"order_by": "virtual_start_time", "statuses": OPEN},
            "old accepted offered urgent",
        ),
        (
            {
                "order_by": "virtual_start_time desc",
                "statuses": OPEN,
                "task_channel": "default",
                "workflow_name": "default",
                "task_queue_name": "everyone",
            },
            "urgent accepted old",
        ),
    ],
)
async def test_tasks_are_found(
    serving: Serving, tasks: dict[str, str], request_: dict[str, Any], found: str
) -> None:
    assert await listed(serving, tasks, **request_) == found.split()
    assert await listed(serving, tasks, **request_, page_size=1) == found.split()


async def test_tasks_are_found_in_orders_of_one_queue_or_workflow(
    serving: Serving, tasks: dict[str, str]
) -> None:
    task = (await serving.client.routing.ListTasks()).tasks[0]
    for name in ("workspace_sid", "workflow_sid", "task_queue_sid"):
        asked = {name: getattr(task, name), "page_size": 2}
        newest = {**asked, "order_by": "create_time desc"}
        expected = ["gone", "old", "urgent", "offered", "accepted"]
        assert await listed(serving, tasks, **newest) == expected
        urgent = {**asked, "order_by": "priority desc", "statuses": [PENDING]}
        assert await listed(serving, tasks, **urgent) == ["urgent", "old"]
        nowhere = {**urgent, name: make_sid(asked[name][:2], 1)}
        assert await listed(serving, tasks, **nowhere) == []


@pytest.mark.parametrize("statuses", [[], [PENDING, CANCELED]])
async def test_only_open_tasks_are_in_the_order_they_are_served(
    serving: Serving, statuses: list[int]
) -> None:
    refused = await refusal(
        serving.client.routing.ListTasks(order_by="priority desc", statuses=statuses)
    )

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields.keys() == {"statuses"}


@pytest.mark.parametrize(
    "order_by",
    ["age", "create_time, virtual_start_time", "create_time, priority", "priority,"],
)
async def test_an_order_that_does_not_exist_is_refused(
    serving: Serving, order_by: str
) -> None:
    refused = await refusal(serving.client.routing.ListTasks(order_by=order_by))

    assert refused.fields.keys() == {"order_by"}


async def test_every_list_of_routing_goes_by_creation_either_way(
    serving: Serving,
) -> None:
    """Some rows are of one time: they are told apart, and none is left out."""
    setup, routing = serving.client.workspace, serving.client.routing
    (worker, *_) = [
        (await setup.CreateWorker(friendly_name=name, activity="Available")).worker
        for name in ("ann", "ben")
    ]
    await routing.CreateTask()
    serving.clock.advance(limits.SECOND)
    await setup.CreateTaskChannel(unique_name="fax")
    await routing.CreateTask()
    workflow = (await setup.ListWorkflows()).workflows[0]
    await setup.CreateActivity(friendly_name="Lunch", available=False)
    await setup.UpdateWorkflow(
        sid=workflow.sid, configuration=workflow.configuration + " "
    )
    await setup.CreateTaskQueue(friendly_name="other")
    await setup.CreateWorkflow(
        friendly_name="other", configuration=workflow.configuration
    )
    await setup.CreateWorkspace(friendly_name="other")
    lists: list[tuple[Any, str, dict[str, str]]] = [
        (setup.ListWorkspaces, "workspaces", {}),
        (setup.ListActivities, "activities", {}),
        (setup.ListTaskChannels, "task_channels", {}),
        (setup.ListTaskQueues, "task_queues", {}),
        (setup.ListWorkflows, "workflows", {}),
        (
            setup.ListWorkflowRevisions,
            "workflow_revisions",
            {"workflow_sid": workflow.sid},
        ),
        (setup.ListWorkers, "workers", {}),
        (setup.ListWorkerChannels, "worker_channels", {"worker_sid": worker.sid}),
        (routing.ListReservations, "reservations", {}),
        (routing.ListReservations, "reservations", {"worker_sid": worker.sid}),
    ]
    for call, field, where in lists:
        oldest = await every(call, field, **where)
        paged = await every(call, field, **where, order_by="create_time", page_size=1)
        newest = await every(
            call, field, **where, order_by="create_time desc", page_size=1
        )
        times = [row.create_time.ToMicroseconds() for row in newest]

        assert len(oldest) >= 1, field
        assert paged == oldest, field
        assert sorted(row.sid for row in newest) == sorted(row.sid for row in oldest)
        assert times == sorted(times, reverse=True), field


async def test_tasks_are_found_by_where_they_were_sent(
    serving: Serving, workers: dict[str, str]
) -> None:
    routing, (sid, *_) = serving.client.routing, workers
    target = routing_pb2.RoutingTarget(sid=sid)
    made = await routing.CreateTask(routing_targets=[target])
    await routing.CreateTask()
    page = await routing.ListTasks(routing_target=sid)

    assert [task.sid for task in page.tasks] == [made.task.sid]


@pytest.mark.usefixtures("tasks")
async def test_tasks_have_the_age_of_when_they_are_listed(serving: Serving) -> None:
    serving.clock.advance(61 * limits.SECOND)
    found = (await serving.client.routing.ListTasks()).tasks

    assert {task.age.seconds for task in found} == {61}


@pytest.mark.usefixtures("tasks")
async def test_a_page_of_another_order_is_refused(serving: Serving) -> None:
    routing = serving.client.routing
    token = (await routing.ListTasks(page_size=1)).next_page_token
    call = routing.ListTasks(page_token=token, order_by="create_time desc")

    assert (await refusal(call)).fields.keys() == {"page_token"}
    same = await routing.ListTasks(page_token=token, order_by="create_time")
    assert len(same.tasks) == 4


async def test_reservations_are_found_in_several_statuses(
    serving: Serving, tasks: dict[str, str]
) -> None:
    routing = serving.client.routing
    pending = routing_pb2.RESERVATION_STATUS_PENDING
    accepted = routing_pb2.RESERVATION_STATUS_ACCEPTED

    async def found(*statuses: int) -> list[str]:
        page = await routing.ListReservations(statuses=statuses)
        return [tasks[row.task_sid] for row in page.reservations]

    assert await found(pending, accepted) == await found()
    assert await found(accepted) == ["accepted"]
    assert await found(routing_pb2.RESERVATION_STATUS_RESCINDED) == []


async def test_reservations_are_found_by_workspace(
    serving: Serving, tasks: dict[str, str]
) -> None:
    client = serving.client
    everything = (await client.routing.ListReservations()).reservations
    other = (await client.workspace.CreateWorkspace(friendly_name="other")).workspace

    async def found(sid: str) -> list[str]:
        page = await client.routing.ListReservations(workspace_sid=sid)
        return [row.sid for row in page.reservations]

    assert {tasks[row.task_sid] for row in everything} >= {"accepted"}
    assert await found(everything[0].workspace_sid) == [row.sid for row in everything]
    assert await found(other.sid) == []


async def test_a_page_of_large_rows_ends_early(serving: Serving) -> None:
    """Clients of gRPC take 4 MiB, unless they are told otherwise."""
    setup, routing = serving.client.workspace, serving.client.routing
    (queue,) = (await setup.ListTaskQueues()).task_queues
    routed = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    (first,) = (await setup.ListWorkflows()).workflows
    for number in range(4):
        await setup.CreateWorkflow(
            friendly_name=f"large {number}",
            configuration=routed.ljust(limits.WORKFLOW_BYTES),
        )
    task = {"attributes": json.dumps({"a": "x" * 60_000}), "workflow_sid": first.sid}
    for _ in range(4):
        await routing.BatchCreateTasks(tasks=[task] * 12)

    for call, field, count, where in (
        (setup.ListWorkflows, "workflows", 5, {}),
        (routing.ListTasks, "tasks", 48, {}),
        (routing.ListTasks, "tasks", 48, {"attributes_expression": "a != 'y'"}),
    ):
        page = await call(page_size=1_000, **where)
        assert page.next_page_token
        assert limits.LIST_BYTES < page.ByteSize() < 2.1 * limits.LIST_BYTES
        rows = await every(call, field, page_size=1_000, **where)
        assert len({row.sid for row in rows}) == len(rows) == count
