"""RoutingService: the way of a task over the wire, and the worker's stream."""

import asyncio
import contextlib
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.v1 import routing_pb2 as pb
from flexcore.v1 import routing_service_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

Message = routing_service_pb2.StreamReservationsResponse


async def make_worker(serving: Serving, name: str = "alice") -> Any:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity="Available"
    )
    return made.worker


async def offered(serving: Serving) -> tuple[Any, pb.Task, pb.Reservation]:
    """Return a worker, and a task that is offered to it."""
    routing = serving.client.routing
    worker = await make_worker(serving)
    task = (await routing.CreateTask(attributes='{"a":1}')).task
    (found,) = (await routing.ListReservations(worker_sid=worker.sid)).reservations
    return worker, task, found


async def test_a_task_keeps_what_it_was_created_with(serving: Serving) -> None:
    made = await serving.client.routing.CreateTask(
        task_channel="chat",
        attributes='{"b": 2, "a": 1}',
        priority=7,
        timeout=Duration(seconds=60),
        virtual_start_time=Timestamp(seconds=1_600_000_000),
    )
    task = (await serving.client.routing.GetTask(sid=made.task.sid)).task

    assert task == made.task
    assert task.task_channel_unique_name == "chat"
    assert task.attributes == '{"a":1,"b":2}'
    assert (task.priority, task.timeout.seconds) == (7, 60)
    assert task.virtual_start_time.seconds == 1_600_000_000
    assert task.deadline.seconds == task.create_time.seconds + 60
    assert (task.status, task.version) == (pb.TASK_STATUS_PENDING, 1)


async def test_the_day_of_a_task(serving: Serving) -> None:
    routing = serving.client.routing
    _, task, found = await offered(serving)

    assert found.task_sid == task.sid
    assert found.status == pb.RESERVATION_STATUS_PENDING
    accepted = await routing.AcceptReservation(sid=found.sid)
    assert accepted.reservation.status == pb.RESERVATION_STATUS_ACCEPTED
    assert accepted.task.status == pb.TASK_STATUS_ASSIGNED
    wrapped = await routing.WrapTask(sid=task.sid, reason="answered")
    assert wrapped.task.status == pb.TASK_STATUS_WRAPPING
    assert wrapped.reservation.status == pb.RESERVATION_STATUS_WRAPPING
    done = await routing.CompleteTask(sid=task.sid, reason="written up")
    assert done.task.status == pb.TASK_STATUS_COMPLETED
    assert done.task.reason == "written up"
    assert done.reservation.status == pb.RESERVATION_STATUS_COMPLETED
    assert accepted.sequence < wrapped.sequence < done.sequence
    assert (await routing.GetTask(sid=task.sid)).task == done.task
    kept = (await routing.GetReservation(sid=found.sid)).reservation
    assert kept == done.reservation


async def test_accept_after_the_deadline_is_failed_precondition(
    serving: Serving,
) -> None:
    _, task, found = await offered(serving)
    serving.clock.advance(limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT * limits.SECOND)
    refused = await refusal(serving.client.routing.AcceptReservation(sid=found.sid))

    assert [*refused] == ["FAILED_PRECONDITION", "RESERVATION_EXPIRED"]
    assert refused.metadata["task_sid"] == task.sid


async def test_a_rejected_task_waits_again_and_the_worker_moves(
    serving: Serving,
) -> None:
    routing = serving.client.routing
    worker, task, found = await offered(serving)
    rejected = await routing.RejectReservation(sid=found.sid, activity="Offline")

    assert rejected.reservation.status == pb.RESERVATION_STATUS_REJECTED
    assert rejected.task.sid == task.sid
    assert (await routing.GetTask(sid=task.sid)).task.status == pb.TASK_STATUS_PENDING
    moved = (await serving.client.workspace.GetWorker(sid=worker.sid)).worker
    assert moved.activity_sid != worker.activity_sid


async def test_an_update_changes_what_is_given_and_nothing_else(
    serving: Serving,
) -> None:
    routing = serving.client.routing
    made = (await routing.CreateTask(attributes='{"a":1,"b":2}', priority=3)).task
    sid = made.sid

    task = (await routing.UpdateTask(sid=sid, attributes_patch='{"a":null}')).task
    assert (task.attributes, task.priority) == ('{"b":2}', 3)
    task = (await routing.UpdateTask(sid=sid, priority=0)).task
    assert (task.attributes, task.priority) == ('{"b":2}', 0)
    task = (await routing.UpdateTask(sid=sid, attributes="")).task
    assert (task.attributes, task.priority) == ("{}", 0)
    assert task.version > made.version


async def test_a_canceled_task_takes_its_offer_back(serving: Serving) -> None:
    routing = serving.client.routing
    _, task, found = await offered(serving)
    canceled = (await routing.CancelTask(sid=task.sid, reason="spam")).task

    assert (canceled.status, canceled.reason) == (pb.TASK_STATUS_CANCELED, "spam")
    ended = (await routing.GetReservation(sid=found.sid)).reservation
    assert ended.status == pb.RESERVATION_STATUS_CANCELED


# --- lists -----------------------------------------------------------------------------


async def test_pages_hold_every_task_once(serving: Serving) -> None:
    routing = serving.client.routing
    made = {(await routing.CreateTask()).task.sid for _ in range(5)}

    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = await routing.ListTasks(page_size=2, page_token=token)
        found.extend(task.sid for task in page.tasks)
        token, pages = page.next_page_token, pages + 1
    assert sorted(found) == sorted(made)
    assert pages == 3


async def test_a_page_token_belongs_to_its_filter(serving: Serving) -> None:
    routing = serving.client.routing
    for _ in range(2):
        task = (await routing.CreateTask()).task
    token = (await routing.ListTasks(page_size=1)).next_page_token

    for other in (
        routing.ListTasks(page_token=token, workspace_sid=task.workspace_sid),
        routing.ListTasks(page_token=token, statuses=[pb.TASK_STATUS_PENDING]),
        routing.ListReservations(page_token=token),
        routing.ListTasks(page_token=token[:-1]),
        routing.ListTasks(page_token="?"),
    ):
        refused = await refusal(other)
        assert refused.code == "INVALID_ARGUMENT"
        assert refused.fields.keys() == {"page_token"}
    assert len((await routing.ListTasks(page_size=7, page_token=token)).tasks) == 1


async def test_a_page_token_is_made_of_url_characters(serving: Serving) -> None:
    routing = serving.client.routing
    for _ in range(2):
        await routing.CreateTask()
    token = (await routing.ListTasks(page_size=1)).next_page_token

    assert token.replace("-", "").replace("_", "").isalnum()


async def test_filters_of_tasks_all_apply(serving: Serving) -> None:
    routing = serving.client.routing
    _, task, found = await offered(serving)
    waiting = (await routing.CreateTask()).task
    await routing.AcceptReservation(sid=found.sid)

    async def sids(**filters: object) -> set[str]:
        return {task.sid for task in (await routing.ListTasks(**filters)).tasks}

    assert await sids() == {task.sid, waiting.sid}
    assert await sids(statuses=[pb.TASK_STATUS_PENDING]) == {waiting.sid}
    assert await sids(statuses=[pb.TASK_STATUS_ASSIGNED]) == {task.sid}
    queue = {"task_queue_sid": task.task_queue_sid}
    assert await sids(**queue, statuses=[pb.TASK_STATUS_ASSIGNED]) == {task.sid}
    assert await sids(task_queue_sid=make_sid("WQ", 1)) == set()
    assert await sids(workflow_sid=make_sid("WW", 1)) == set()
    assert await sids(workspace_sid=make_sid("WS", 1)) == set()


async def test_filters_of_reservations_all_apply(serving: Serving) -> None:
    worker, task, found = await offered(serving)

    async def sids(**filters: object) -> set[str]:
        page = await serving.client.routing.ListReservations(**filters)
        return {one.sid for one in page.reservations}

    pending = pb.RESERVATION_STATUS_PENDING
    assert await sids() == {found.sid}
    assert await sids(task_sid=task.sid, worker_sid=worker.sid, statuses=[pending]) == {
        found.sid
    }
    assert await sids(worker_sid=make_sid("WK", 1)) == set()
    assert await sids(task_sid=make_sid("WT", 1)) == set()
    assert await sids(statuses=[pb.RESERVATION_STATUS_ACCEPTED]) == set()


# --- the worker's stream ---------------------------------------------------------------


async def following(stream: Any, count: int) -> list[Any]:
    """Read until there are `count` events."""
    found: list[Any] = []
    while len(found) < count:
        found.extend((await stream.read()).events)
    return found


async def test_a_stream_begins_with_how_things_stand(serving: Serving) -> None:
    worker, task, found = await offered(serving)
    stream = serving.client.routing.StreamReservations(worker_sid=worker.sid)
    first = await stream.read()
    stream.cancel()

    assert not first.events
    assert first.resume_token
    assert first.snapshot.worker.sid == worker.sid
    names = {each.task_channel_unique_name for each in first.snapshot.worker_channels}
    assert names == {"default", "chat", "sms"}
    assert list(first.snapshot.reservations) == [found]
    assert [one.sid for one in first.snapshot.tasks] == [task.sid]


async def test_a_stream_shows_what_happens_to_its_worker_only(serving: Serving) -> None:
    client = serving.client
    alice = await make_worker(serving)
    stream = client.routing.StreamReservations(worker_sid=alice.sid)
    await stream.read()
    bob = await make_worker(serving, "bob")
    for _ in range(2):
        await client.routing.CreateTask()
    await client.workspace.UpdateWorker(sid=bob.sid, activity="Offline")
    await client.workspace.UpdateWorker(sid=alice.sid, attributes='{"x":1}')
    await client.workspace.UpdateWorkerChannel(
        worker_sid=alice.sid, task_channel="chat", configured_capacity=3
    )
    created, changed, capacity = await following(stream, 3)
    stream.cancel()

    assert created.type == "reservation.created"
    assert created.reservation.worker_sid == alice.sid
    assert created.task.sid == created.reservation.task_sid
    assert created.task.status == pb.TASK_STATUS_RESERVED
    assert (changed.type, changed.worker.attributes) == (
        "worker.attributes.update",
        '{"x":1}',
    )
    assert capacity.worker_channel.configured_capacity == 3
    assert created.sequence < changed.sequence < capacity.sequence


async def test_a_resumed_stream_has_no_snapshot_no_gap_and_no_duplicate(
    serving: Serving,
) -> None:
    routing = serving.client.routing
    worker = await make_worker(serving)
    stream = routing.StreamReservations(worker_sid=worker.sid)
    token = (await stream.read()).resume_token
    stream.cancel()
    await routing.CreateTask()
    stream = routing.StreamReservations(worker_sid=worker.sid, resume_token=token)
    first: Message = await stream.read()
    stream.cancel()
    assert not first.HasField("snapshot")
    assert [event.type for event in first.events] == ["reservation.created"]

    await routing.AcceptReservation(sid=first.events[0].reservation.sid)
    stream = routing.StreamReservations(
        worker_sid=worker.sid, resume_token=first.resume_token
    )
    second = await stream.read()
    stream.cancel()
    assert [event.type for event in second.events] == ["reservation.accepted"]


async def test_many_events_come_in_one_message(serving: Serving) -> None:
    client = serving.client
    worker = await make_worker(serving)
    stream = client.routing.StreamReservations(worker_sid=worker.sid)
    token = (await stream.read()).resume_token
    stream.cancel()
    await client.workspace.UpdateWorkerChannel(
        worker_sid=worker.sid, task_channel="default", configured_capacity=50
    )
    await asyncio.gather(*(client.routing.CreateTask() for _ in range(20)))
    stream = client.routing.StreamReservations(
        worker_sid=worker.sid, resume_token=token
    )
    message = await stream.read()
    stream.cancel()

    assert len(message.events) == 21


async def test_a_change_set_is_never_split_over_messages(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_EVENTS", 4)
    client = serving.client
    for _ in range(3):
        await client.routing.CreateTask()
    worker = await make_worker(serving)
    stream = client.routing.StreamReservations(worker_sid=worker.sid)
    token = (await stream.read()).resume_token
    stream.cancel()
    # One command offers two more tasks; the next three change one thing each.
    await client.workspace.UpdateWorkerChannel(
        worker_sid=worker.sid, task_channel="default", configured_capacity=3
    )
    for number in range(3):
        await client.workspace.UpdateWorker(
            sid=worker.sid, attributes=f'{{"n":{number}}}'
        )
    stream = client.routing.StreamReservations(
        worker_sid=worker.sid, resume_token=token
    )
    messages = [await stream.read(), await stream.read()]
    stream.cancel()

    assert [len(each.events) for each in messages] == [4, 2]
    resumed = client.routing.StreamReservations(
        worker_sid=worker.sid, resume_token=messages[0].resume_token
    )
    rest = (await resumed.read()).events
    resumed.cancel()
    assert rest == messages[1].events


async def test_an_idle_stream_beats(serving: Serving) -> None:
    worker = await make_worker(serving)
    stream = serving.client.routing.StreamReservations(worker_sid=worker.sid)
    first = await stream.read()
    await serving.client.routing.CreateTask(task_channel="sms")
    event = await stream.read()
    beat = await beaten(serving, stream)
    stream.cancel()

    assert not beat.events
    assert event.resume_token != first.resume_token
    assert beat.resume_token


async def beaten(serving: Serving, stream: Any) -> Any:
    """Let time pass until the stream gives something; raises what it ends with."""
    read = asyncio.ensure_future(stream.read())
    for _ in range(100):
        serving.clock.advance(limits.HEARTBEAT_INTERVAL)
        await serving.client.workspace.ListWorkspaces()
        if read.done():
            break
    return await read


async def test_a_token_of_another_worker_is_refused(serving: Serving) -> None:
    routing = serving.client.routing
    alice, bob = await make_worker(serving), await make_worker(serving, "bob")
    stream = routing.StreamReservations(worker_sid=alice.sid)
    token = (await stream.read()).resume_token
    stream.cancel()
    stream = routing.StreamReservations(worker_sid=bob.sid, resume_token=token)
    refused = await refusal(stream.read())

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields == {
        "resume_token": "belongs to another stream or another filter"
    }


async def test_a_revoked_key_ends_its_streams(serving: Serving) -> None:
    client = serving.client
    worker = await make_worker(serving)
    made = await client.admin.CreateKey(friendly_name="desk")
    desk = await serving.connect(f"{made.key.sid}.{made.secret}")
    stream = desk.routing.StreamReservations(worker_sid=worker.sid)
    await stream.read()
    await client.admin.RevokeKey(sid=made.key.sid)
    await client.routing.CreateTask()
    refused = await refusal(stream.read())

    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_INVALID"]


async def test_a_revoked_key_ends_an_idle_stream_with_its_heartbeat(
    serving: Serving,
) -> None:
    client = serving.client
    worker = await make_worker(serving)
    made = await client.admin.CreateKey(friendly_name="desk")
    desk = await serving.connect(f"{made.key.sid}.{made.secret}")
    stream = desk.routing.StreamReservations(worker_sid=worker.sid)
    await stream.read()
    await client.admin.RevokeKey(sid=made.key.sid)

    assert (await refusal(beaten(serving, stream))).code == "UNAUTHENTICATED"


async def test_a_stream_of_an_unknown_worker_is_not_found(serving: Serving) -> None:
    stream = serving.client.routing.StreamReservations(worker_sid=make_sid("WK", 1))

    assert (await refusal(stream.read())).code == "NOT_FOUND"


async def test_more_streams_than_allowed_are_refused(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAMS_MAX", 2)
    routing = serving.client.routing
    worker = await make_worker(serving)
    streams = [routing.StreamReservations(worker_sid=worker.sid) for _ in range(2)]
    for stream in streams:
        await stream.read()
    refused = await refusal(routing.StreamReservations(worker_sid=worker.sid).read())
    assert [*refused] == ["RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"]
    assert refused.retry

    streams[0].cancel()
    # The server hears of it a moment later.
    for _ in range(100):
        again = routing.StreamReservations(worker_sid=worker.sid)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await again.read()
            break
    assert await again.initial_metadata() is not None
    assert not again.done()
    again.cancel()
    streams[1].cancel()
