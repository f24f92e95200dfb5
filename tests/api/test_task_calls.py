"""RoutingService: batches, claims, deletes, targets, and what came of a task."""

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.v1 import routing_pb2 as pb
from flexcore.v1.routing_service_pb2 import NewTask
from flexcore.v1.worker_requests_pb2 import NewWorker
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


async def make_worker(serving: Serving, name: str = "ann", **fields: Any) -> Any:
    fields = {"activity": "Available", **fields}
    made = await serving.client.workspace.CreateWorker(friendly_name=name, **fields)
    return made.worker


async def held(serving: Serving, task_sid: str) -> list[Any]:
    page = await serving.client.routing.ListReservations(task_sid=task_sid)
    return list(page.reservations)


async def accepted(serving: Serving) -> pb.Reservation:
    """Let a worker accept a task; return the reservation."""
    await make_worker(serving)
    task = (await serving.client.routing.CreateTask(attributes='{"a":1}')).task
    (offer,) = await held(serving, task.sid)
    return (await serving.client.routing.AcceptReservation(sid=offer.sid)).reservation


# --- batches ---------------------------------------------------------------------------


async def test_tasks_are_created_in_order(serving: Serving) -> None:
    made = await serving.client.routing.BatchCreateTasks(
        tasks=[NewTask(priority=n, attributes=f'{{"n":{n}}}') for n in (3, 1, 2)]
    )

    assert [task.priority for task in made.tasks] == [3, 1, 2]
    sequences = [task.sequence for task in made.tasks]
    assert sequences == sorted(sequences)
    found = (await serving.client.routing.GetTask(sid=made.tasks[1].sid)).task
    assert found.attributes == '{"n":1}'


@pytest.mark.parametrize(
    ("task", "field"),
    [
        (NewTask(priority=-1), "tasks[1].priority"),
        (NewTask(attributes='{"a":1,"a":2}'), "tasks[1].attributes"),
        (NewTask(task_channel="fax"), "tasks[1].task_channel"),
        (NewTask(virtual_start_time=Timestamp(seconds=1 << 33)), None),
        (
            NewTask(routing_targets=[pb.RoutingTarget(sid=make_sid("WQ", 1))]),
            "tasks[1].routing_targets[0].sid",
        ),
    ],
)
async def test_a_bad_task_is_named_and_none_is_created(
    serving: Serving, task: NewTask, field: str | None
) -> None:
    routing = serving.client.routing
    refused = await refusal(routing.BatchCreateTasks(tasks=[NewTask(), task]))

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields.keys() == {field or "tasks[1].virtual_start_time"}
    assert not (await routing.ListTasks()).tasks


async def test_a_batch_says_which_task_names_what_is_unknown(serving: Serving) -> None:
    bad = NewTask(workflow_sid=make_sid("WW", 1))
    call = serving.client.routing.BatchCreateTasks(tasks=[NewTask(), bad])
    refused = await refusal(call)

    assert refused.code == "NOT_FOUND"
    assert refused.metadata["index"] == "1"


async def test_a_batch_of_200_is_one_change(serving: Serving) -> None:
    routing = serving.client.routing
    request = {"tasks": [NewTask()] * limits.BATCH_MAX, "request_id": "once"}
    made = await routing.BatchCreateTasks(**request)

    assert len({task.sid for task in made.tasks}) == limits.BATCH_MAX
    assert await routing.BatchCreateTasks(**request) == made
    refused = await refusal(routing.BatchCreateTasks(tasks=[NewTask()] * 201))
    assert refused.fields.keys() == {"tasks"}


def large_tasks(size: int) -> list[NewTask]:
    """As many tasks as a batch may have, of so many bytes together."""
    each = size // limits.BATCH_MAX - len(
        NewTask(attributes=" " * 1_000).SerializeToString()
    )
    text = '{"a":"' + "x" * (each + 1_000 - 8) + '"}'
    return [NewTask(attributes=text)] * limits.BATCH_MAX


async def test_a_batch_as_large_as_batches_may_be_is_created_and_offered(
    serving: Serving,
) -> None:
    await make_worker(serving)
    tasks = large_tasks(limits.BATCH_BYTES)
    size = sum(task.ByteSize() for task in tasks)
    assert limits.BATCH_BYTES - 1_000 < size <= limits.BATCH_BYTES

    made = await serving.client.routing.BatchCreateTasks(tasks=tasks)

    assert len(made.tasks) == limits.BATCH_MAX
    assert len(await held(serving, made.tasks[0].sid)) == 1


async def test_a_batch_of_too_many_bytes_is_refused_by_its_field(
    serving: Serving,
) -> None:
    routing, setup = serving.client.routing, serving.client.workspace
    tasks = large_tasks(limits.BATCH_BYTES + 1_000)
    workers = [
        NewWorker(friendly_name=f"w{number}", attributes=task.attributes)
        for number, task in enumerate(tasks)
    ]
    for call, field in (
        (routing.BatchCreateTasks(tasks=tasks), "tasks"),
        (setup.BatchCreateWorkers(workers=workers), "workers"),
    ):
        refused = await refusal(call)
        assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
        assert refused.fields.keys() == {field}
        assert refused.fields[field].endswith("at most 786432 are allowed")
    assert not (await routing.ListTasks()).tasks


async def test_a_batch_whose_rows_are_too_large_changes_nothing(
    serving: Serving,
) -> None:
    # Short in the request, long when written down: 1e15 is 1000000000000000.0.
    text = '{"a":[' + ",".join(["1e15"] * 600) + "]}"
    tasks = [NewTask(attributes=text)] * limits.BATCH_MAX
    refused = await refusal(serving.client.routing.BatchCreateTasks(tasks=tasks))

    assert [*refused] == ["RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"]
    assert refused.metadata == {"limit": str(limits.CHANGE_SET_BYTES)}
    assert not (await serving.client.routing.ListTasks()).tasks


# --- claims ----------------------------------------------------------------------------


async def pull_queue(serving: Serving) -> None:
    """Make the one queue offer nothing."""
    workspace = serving.client.workspace
    queue = (await workspace.ListTaskQueues()).task_queues[0]
    await workspace.UpdateTaskQueue(sid=queue.sid, max_reserved_workers=0)


async def test_a_worker_claims_what_is_not_offered(serving: Serving) -> None:
    routing = serving.client.routing
    await pull_queue(serving)
    worker = await make_worker(serving)
    task = (await routing.CreateTask()).task
    assert not await held(serving, task.sid)
    claimed = await routing.ClaimTask(sid=task.sid, worker_sid=worker.sid)

    assert claimed.task.status == pb.TASK_STATUS_ASSIGNED
    assert claimed.reservation.status == pb.RESERVATION_STATUS_ACCEPTED
    assert claimed.reservation.worker_sid == worker.sid
    assert claimed.reservation.choice.rule == "claim"
    again = routing.ClaimTask(sid=task.sid, worker_sid=worker.sid)
    assert [*await refusal(again)] == ["FAILED_PRECONDITION", "ILLEGAL_TRANSITION"]


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        ({"activity": "Offline"}, "activity"),
        ({"attributes": '{"a":0}'}, "queue"),
        ({"room": {"available": False}}, "channel"),
        ({"room": {"configured_capacity": 0}}, "capacity"),
    ],
)
async def test_a_claim_needs_what_an_offer_needs(
    serving: Serving, change: dict[str, Any], condition: str
) -> None:
    client = serving.client
    await pull_queue(serving)
    queue = (await client.workspace.ListTaskQueues()).task_queues[0]
    await client.workspace.UpdateTaskQueue(sid=queue.sid, target_workers="a == 1")
    worker = await make_worker(serving, attributes='{"a":1}')
    room = change.pop("room", {})
    await client.workspace.UpdateWorker(sid=worker.sid, **change)
    await client.workspace.UpdateWorkerChannel(
        worker_sid=worker.sid, task_channel="default", **room
    )
    task = (await client.routing.CreateTask()).task
    call = client.routing.ClaimTask(sid=task.sid, worker_sid=worker.sid)
    refused = await refusal(call)

    assert [*refused] == ["FAILED_PRECONDITION", "NOT_ELIGIBLE"]
    assert refused.metadata == {"sid": worker.sid, "condition": condition}


# --- wrap-up, completion, deletion -----------------------------------------------------


async def test_a_reservation_is_wrapped_up_and_completed(serving: Serving) -> None:
    routing = serving.client.routing
    reservation = await accepted(serving)
    wrapped = await routing.WrapReservation(
        sid=reservation.sid, version=reservation.version, reason="hung up"
    )
    assert wrapped.reservation.status == pb.RESERVATION_STATUS_WRAPPING
    assert wrapped.task.status == pb.TASK_STATUS_WRAPPING
    stale = routing.CompleteReservation(sid=reservation.sid, version=1)
    assert (await refusal(stale)).code == "ABORTED"
    completed = await routing.CompleteReservation(
        sid=reservation.sid, disposition="sold", attributes_patch='{"a":null,"b":2}'
    )

    assert completed.reservation.status == pb.RESERVATION_STATUS_COMPLETED
    assert completed.task.status == pb.TASK_STATUS_COMPLETED
    assert completed.task.disposition == "sold"
    assert completed.task.attributes == '{"b":2}'
    assert completed.task.reason == "hung up"


async def test_a_task_is_completed_with_what_came_of_it(serving: Serving) -> None:
    reservation = await accepted(serving)
    completed = await serving.client.routing.CompleteTask(
        sid=reservation.task_sid,
        reason="done",
        disposition="sold",
        attributes_patch='{"b":2}',
    )

    assert (completed.task.disposition, completed.task.reason) == ("sold", "done")
    assert json.loads(completed.task.attributes) == {"a": 1, "b": 2}


async def test_an_offer_cannot_be_wrapped_up(serving: Serving) -> None:
    routing = serving.client.routing
    await make_worker(serving)
    task = (await routing.CreateTask()).task
    (offer,) = await held(serving, task.sid)
    for cause, call in (
        ("wrap", routing.WrapReservation(sid=offer.sid)),
        ("complete", routing.CompleteReservation(sid=offer.sid)),
    ):
        refused = await refusal(call)
        assert [*refused] == ["FAILED_PRECONDITION", "ILLEGAL_TRANSITION"]
        assert refused.metadata["cause"] == cause


async def test_a_deleted_task_is_gone_with_its_reservations(serving: Serving) -> None:
    routing = serving.client.routing
    reservation = await accepted(serving)
    waiting = (await routing.CreateTask()).task
    deleted = await routing.DeleteTask(sid=reservation.task_sid)

    assert deleted.task.sid == reservation.task_sid
    assert deleted.task.status == pb.TASK_STATUS_COMPLETED
    for call in (
        routing.GetTask(sid=reservation.task_sid),
        routing.GetReservation(sid=reservation.sid),
        routing.DeleteTask(sid=reservation.task_sid),
    ):
        assert (await refusal(call)).code == "NOT_FOUND"
    listed = (await routing.ListTasks()).tasks
    assert [task.sid for task in listed] == [waiting.sid]
    # The worker has room again.
    assert len(await held(serving, waiting.sid)) == 1


# --- targets and changes ---------------------------------------------------------------


async def test_a_task_goes_along_its_targets(serving: Serving) -> None:
    routing = serving.client.routing
    first = await make_worker(serving, "ann", activity="Offline")
    second = await make_worker(serving, "ben")
    targets = [
        pb.RoutingTarget(
            sid=first.sid, wait=Duration(seconds=10), ignore_capacity=False
        ),
        pb.RoutingTarget(sid=second.sid, ignore_capacity=True),
    ]
    task = (await routing.CreateTask(routing_targets=targets)).task

    assert list(task.routing_targets) == targets
    assert task.routing_target_index == 0
    assert task.status == pb.TASK_STATUS_PENDING
    serving.clock.advance(10 * limits.SECOND)
    moved = (await routing.GetTask(sid=task.sid)).task
    assert moved.routing_target_index == 1
    (offer,) = await held(serving, task.sid)
    assert offer.worker_sid == second.sid


async def test_a_waiting_task_moves_to_another_channel(serving: Serving) -> None:
    routing = serving.client.routing
    task = (await routing.CreateTask()).task
    start = Timestamp(seconds=1_000_000_000)
    changed = await routing.UpdateTask(
        sid=task.sid, task_channel="chat", virtual_start_time=start
    )

    assert changed.task.task_channel_unique_name == "chat"
    assert changed.task.virtual_start_time == start
    future = Timestamp(seconds=task.create_time.seconds + 60)
    call = routing.UpdateTask(sid=task.sid, virtual_start_time=future)
    assert (await refusal(call)).fields.keys() == {"virtual_start_time"}
    await make_worker(serving)
    refused = await refusal(routing.UpdateTask(sid=task.sid, task_channel="sms"))
    assert [*refused] == ["FAILED_PRECONDITION", "ILLEGAL_TRANSITION"]
    assert refused.metadata["cause"] == "update"


async def test_a_task_no_filter_takes_is_refused(serving: Serving) -> None:
    client = serving.client
    queue = (await client.workspace.ListTaskQueues()).task_queues[0]
    filters = [{"expression": "a == 1", "targets": [{"queue": queue.sid}]}]
    made = await client.workspace.CreateWorkflow(
        friendly_name="narrow",
        configuration=json.dumps({"task_routing": {"filters": filters}}),
    )
    sid = made.workflow.sid
    task = await client.routing.CreateTask(workflow_sid=sid, attributes='{"a":1}')
    for call in (
        client.routing.CreateTask(workflow_sid=sid),
        client.routing.BatchCreateTasks(tasks=[NewTask(workflow_sid=sid)]),
        client.routing.UpdateTask(sid=task.task.sid, attributes="{}"),
    ):
        refused = await refusal(call)
        assert [*refused] == ["INVALID_ARGUMENT", "NO_FILTER_MATCHED"]
        assert refused.metadata["sid"] == sid


async def test_several_workers_are_offered_a_task_and_one_gets_it(
    serving: Serving,
) -> None:
    client = serving.client
    queue = (await client.workspace.ListTaskQueues()).task_queues[0]
    await client.workspace.UpdateTaskQueue(sid=queue.sid, max_reserved_workers=2)
    for name in ("ann", "ben", "carl"):
        await make_worker(serving, name)
    task = (await client.routing.CreateTask()).task
    offers = await held(serving, task.sid)
    assert len(offers) == 2
    await client.routing.AcceptReservation(sid=offers[0].sid)

    other = (await client.routing.GetReservation(sid=offers[1].sid)).reservation
    assert other.status == pb.RESERVATION_STATUS_RESCINDED
    refused = await refusal(client.routing.AcceptReservation(sid=other.sid))
    assert [*refused] == ["FAILED_PRECONDITION", "ILLEGAL_TRANSITION"]


async def test_an_offer_tells_why_it_went_there(serving: Serving) -> None:
    await make_worker(serving, "ann")
    serving.clock.advance(limits.SECOND)
    other = await make_worker(serving, "ben")
    task = (await serving.client.routing.CreateTask()).task
    (offer,) = await held(serving, task.sid)

    assert offer.choice.rule == "longest_idle"
    assert offer.choice.runner_up_sid == other.sid
    assert int(offer.choice.key) < int(offer.choice.runner_up_key)


async def test_a_task_says_what_leads_it_to_where_it_is(serving: Serving) -> None:
    client, queue = serving.client, await only_queue(serving)
    targets = [{"queue": queue, "timeout": 5}, {"queue": queue, "timeout": 5}]
    spare = {"action": "queue", "queue": queue}
    filters = [
        {"expression": "never == 1", "targets": targets},
        {"expression": "lang == 'es'", "targets": targets, "on_exhausted": spare},
    ]
    routing = {"filters": filters, "default_filter": {"queue": queue}}
    made = await client.workspace.CreateWorkflow(
        friendly_name="places", configuration=json.dumps({"task_routing": routing})
    )
    sid = made.workflow.sid
    spanish, other, routed = [
        (await client.routing.CreateTask(workflow_sid=sid, **given)).task
        for given in (
            {"attributes": '{"lang":"es"}'},
            {},
            {"routing_targets": [{"sid": queue}]},
        )
    ]
    serving.clock.advance(5 * limits.SECOND)
    second = (await client.routing.GetTask(sid=spanish.sid)).task
    serving.clock.advance(5 * limits.SECOND)
    exhausted = (await client.routing.GetTask(sid=spanish.sid)).task

    assert [place_of(each) for each in (spanish, second, exhausted, other, routed)] == [
        ("FILTER", 1, 0),
        ("FILTER", 1, 1),
        ("EXHAUSTED", 1, None),
        ("DEFAULT_FILTER", None, None),
        ("ROUTING_TARGET", None, None),
    ]


async def only_queue(serving: Serving) -> str:
    return str((await serving.client.workspace.ListTaskQueues()).task_queues[0].sid)


def place_of(task: pb.Task) -> tuple[str, int | None, int | None]:
    """Return the place of a task's step, with its indices or None."""
    step = task.step
    name = pb.RoutingPlace.Name(step.place)
    return (
        name.removeprefix("ROUTING_PLACE_"),
        step.filter_index if step.HasField("filter_index") else None,
        step.target_index if step.HasField("target_index") else None,
    )


async def test_a_task_may_have_begun_at_the_epoch(serving: Serving) -> None:
    """Times of 0 stand for unset inside; this one was given."""
    routing, epoch = serving.client.routing, Timestamp()
    created = (await routing.CreateTask(virtual_start_time=epoch)).task
    (batched,) = (
        await routing.BatchCreateTasks(tasks=[{"virtual_start_time": epoch}])
    ).tasks
    later = (await routing.CreateTask()).task
    updated = (await routing.UpdateTask(sid=later.sid, virtual_start_time=epoch)).task

    for task in (created, batched, updated):
        assert task.HasField("virtual_start_time")
        assert task.virtual_start_time == epoch
    assert later.virtual_start_time == later.create_time
