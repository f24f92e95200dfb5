"""What is larger than a message comes in parts: every client of gRPC takes them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import routing_service_pb2_grpc
from flexcore.v1 import worker_requests_pb2 as pb2
from tests.api.refusals import refusal
from tests.api.test_agent_session import desk
from tests.serving import Serving

#: what a part may be larger than its limit by: a token, and what says that it is a part
ENVELOPE = 512
#: real seconds after which a message is called missing
PATIENCE = 10


@asynccontextmanager
async def plain(
    serving: Serving,
) -> AsyncIterator[routing_service_pb2_grpc.RoutingServiceStub]:
    """Call as somebody does who has gRPC, the protos and a key, and sets no option."""
    left = json.loads((serving.data / "credentials.json").read_text())
    bearer = grpc.access_token_call_credentials(f"{left['key_sid']}.{left['secret']}")
    credentials = grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), bearer
    )
    async with grpc.aio.secure_channel(serving.server.target, credentials) as channel:
        yield routing_service_pb2_grpc.RoutingServiceStub(channel)


async def load(serving: Serving, name: str, tasks: int, size: int) -> str:
    """Return a worker who holds so many tasks with attributes of so many bytes."""
    workspace, routing = serving.client.workspace, serving.client.routing
    made = await workspace.CreateWorker(friendly_name=name, activity="Available")
    sid = made.worker.sid
    channels = ("default", "chat") if tasks > limits.CAPACITY_MAX else ("default",)
    for channel in channels:
        await workspace.UpdateWorkerChannel(
            worker_sid=sid, task_channel=channel, configured_capacity=50
        )
    for number in range(tasks):
        attributes = json.dumps({"n": number, "a": "x" * size})
        await routing.CreateTask(
            attributes=attributes,
            task_channel=channels[number % len(channels)],
            routing_targets=[{"sid": sid}],
        )
    return str(sid)


async def read_parts(stream: Any) -> list[Any]:
    """Read up to a message that is complete."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        while not (found and found[-1].complete):
            found.append(await stream.read())
            assert found[-1] is not grpc.aio.EOF
    return found


async def told_until(stream: Any, sequence: int) -> list[pb.ReservationEvent]:
    """Read events up to a sequence; nothing else comes between."""
    found: list[pb.ReservationEvent] = []
    async with asyncio.timeout(PATIENCE):
        while not found or found[-1].sequence < sequence:
            response = await stream.read()
            assert not response.HasField("snapshot")
            found += response.events
    assert found[-1].sequence == sequence
    return found


def joined(parts: Iterable[Any]) -> pb.ReservationSnapshot:
    """Put parts together, as the proto says."""
    whole = pb.ReservationSnapshot()
    for part in parts:
        assert not part.events
        whole.MergeFrom(part.snapshot)
    return whole


def numbers(snapshot: pb.ReservationSnapshot) -> list[int]:
    """Return which tasks a snapshot holds; each has its reservation."""
    assert [r.task_sid for r in snapshot.reservations] == [
        t.sid for t in snapshot.tasks
    ]
    return [json.loads(task.attributes)["n"] for task in snapshot.tasks]


def check_parts(parts: Sequence[Any], worker_sid: str) -> None:
    """Check that parts are parts of one snapshot, and none is too large."""
    sizes = [part.ByteSize() for part in parts]
    assert max(sizes) <= limits.STREAM_MESSAGE_BYTES + ENVELOPE
    # They are filled: with one task more, none but the last would fit.
    task = max(each.ByteSize() for part in parts for each in part.snapshot.tasks)
    assert min(sizes[:-1]) > limits.STREAM_MESSAGE_BYTES - 2 * task
    first, *others = [part.snapshot for part in parts]
    assert first.worker.sid == worker_sid
    for part in others:
        told = {field.name for field, _ in part.ListFields()}
        assert told == {"reservations", "tasks"}
    for part in parts:
        numbers(part.snapshot)
    assert [part.complete for part in parts] == [False] * len(others) + [True]


# --- snapshots of workers --------------------------------------------------------------


@pytest.mark.slow
async def test_a_hundred_large_tasks_come_to_a_client_that_sets_no_option(
    serving: Serving,
) -> None:
    client = serving.client
    ann = await load(serving, "ann", 100, 60 * 1024)
    activities = (await client.workspace.ListActivities()).activities
    channels = (
        await client.workspace.ListWorkerChannels(worker_sid=ann)
    ).worker_channels
    async with plain(serving) as routing:
        stream = routing.StreamReservations(
            pb.StreamReservationsRequest(worker_sid=ann)
        )
        session = routing.AgentSession()
        subscribe = pb.Subscribe(worker_sids=[ann])
        await session.write(pb.AgentSessionRequest(subscribe=subscribe))
        for call in (stream, session):
            first = await call.read()
            # The rest waits behind what is not read: this happens in the midst of it.
            changed = await client.workspace.UpdateWorker(sid=ann, friendly_name="Ann")
            parts = [first, *await read_parts(call)]
            whole = joined(parts)
            check_parts(parts, ann)
            assert len(parts) > 20
            assert sorted(numbers(whole)) == list(range(100))
            assert {each.sid for each in whole.activities} == {
                a.sid for a in activities
            }
            assert list(whole.worker_channels) == list(channels)
            assert {part.resume_token for part in parts[:-1]} == {""}
            assert parts[-1].resume_token
            assert await told_until(call, changed.sequence)
            await client.workspace.UpdateWorker(sid=ann, friendly_name="ann")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a message hold four tasks of 600 bytes."""
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 6_000)


@pytest.mark.usefixtures("small")
async def test_a_stream_cut_between_two_parts_begins_with_the_whole_again(
    serving: Serving,
) -> None:
    client = serving.client
    ann = await load(serving, "ann", 12, 600)
    stream = client.routing.StreamReservations(worker_sid=ann)
    torn = [await stream.read(), await stream.read()]
    stream.cancel()
    await client.workspace.UpdateWorker(sid=ann, friendly_name="Ann")
    again = client.routing.StreamReservations(
        worker_sid=ann, resume_token=torn[-1].resume_token
    )
    parts = await read_parts(again)
    again.cancel()

    assert not any(part.complete for part in torn)
    check_parts(parts, ann)
    assert sorted(numbers(joined(parts))) == list(range(12))
    assert joined(parts).worker.friendly_name == "Ann"

    # From the last part on there is a place.
    resumed = client.routing.StreamReservations(
        worker_sid=ann, resume_token=parts[-1].resume_token
    )
    changed = await client.workspace.UpdateWorker(sid=ann, friendly_name="ann")
    (event,) = await told_until(resumed, changed.sequence)
    resumed.cancel()
    assert event.worker.friendly_name == "ann"


@pytest.mark.usefixtures("small")
async def test_a_stream_far_behind_that_is_cut_has_no_place_either(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_BEHIND_EVENTS", 3)
    client = serving.client
    ann = await load(serving, "ann", 12, 600)
    stream = client.routing.StreamReservations(worker_sid=ann)
    token = (await read_parts(stream))[-1].resume_token
    stream.cancel()
    for number in range(4):
        await client.workspace.UpdateWorker(sid=ann, friendly_name=f"ann {number}")
    far = client.routing.StreamReservations(worker_sid=ann, resume_token=token)
    first = await far.read()
    far.cancel()

    assert (first.complete, first.resume_token) == (False, "")


@pytest.mark.usefixtures("small")
async def test_wherever_a_stream_is_cut_nothing_is_left_out_nor_told_twice(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's version grows by one with each change: after n comes n + 1."""
    monkeypatch.setattr(limits, "STREAM_BEHIND_EVENTS", 3)
    rng, client = random.Random(1), serving.client
    ann = await load(serving, "ann", 12, 600)
    newest = (await client.workspace.GetWorker(sid=ann)).worker.version
    told, token, torn, snapshots = 0, "", 0, 0
    for number in range(80):
        for more in range(rng.randint(0, 4)):
            made = await client.workspace.UpdateWorker(
                sid=ann, friendly_name=f"ann {number} {more}"
            )
            newest = made.worker.version
        stream = client.routing.StreamReservations(worker_sid=ann, resume_token=token)
        parts: list[Any] = []
        left = rng.randint(1, 6)
        while left and told != newest:
            left -= 1
            async with asyncio.timeout(PATIENCE):
                response = await stream.read()
            if response.HasField("snapshot"):
                parts.append(response)
                if response.complete:
                    snapshots += 1
                    assert sorted(numbers(joined(parts))) == list(range(12))
                    told = parts[0].snapshot.worker.version
                    assert told == newest
            for event in response.events:
                told += 1
                assert event.worker.version == told
            token = response.resume_token
        stream.cancel()
        torn += bool(parts) and not parts[-1].complete

    assert torn > 5
    assert snapshots > 5


@pytest.mark.usefixtures("small")
async def test_a_worker_counts_in_a_session_from_the_last_part_on(
    serving: Serving,
) -> None:
    ann = await load(serving, "ann", 0, 0)
    bob = await load(serving, "bob", 12, 600)
    update = serving.client.workspace.UpdateWorker
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        before = (await session.read()).resume_token
        await session.subscribe(bob)
        changed = await update(sid=ann, friendly_name="Ann")
        parts = await read_parts(session)
        events = await told_until(session, changed.sequence)
    assert [event.worker.friendly_name for event in events] == ["Ann"]
    check_parts(parts, bob)
    assert sorted(numbers(joined(parts))) == list(range(12))
    assert {part.resume_token for part in parts[:-1]} == {before}
    assert parts[-1].resume_token != before

    # The token of a part is ann's place: bob is not resumed, he is subscribed anew.
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, bob, token=parts[0].resume_token)
        refused = await refusal(resumed.read())
    assert refused.fields.keys() == {"resume_token"}
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=parts[0].resume_token)
        assert (await told_until(resumed, changed.sequence)) == events
        await resumed.subscribe(bob)
        again = await read_parts(resumed)
    check_parts(again, bob)


@pytest.mark.usefixtures("small")
async def test_snapshots_of_several_workers_do_not_mix(serving: Serving) -> None:
    sids = [await load(serving, name, 8, 600) for name in ("ann", "bob", "eve")]
    async with desk(serving.client) as session:
        await session.subscribe(*sids)
        for sid in sids:
            check_parts(await read_parts(session), sid)


async def test_a_snapshot_costs_no_credit(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 6_000)
    monkeypatch.setattr(limits, "SESSION_UNACKED_BYTES", 2_000)
    ann = await load(serving, "ann", 12, 600)
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        assert len(await read_parts(session)) > 1
        changed = await serving.client.workspace.UpdateWorker(
            sid=ann, friendly_name="Ann"
        )
        assert await told_until(session, changed.sequence)


async def test_answers_larger_than_a_message_come_in_several(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = [await load(serving, f"w{number}", 0, 0) for number in range(30)]
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 6_000)
    attributes = json.dumps({"a": "x" * 1_000})
    async with desk(serving.client) as session:
        for sid in sids:
            update = pb2.UpdateWorkerRequest(sid=sid, attributes=attributes)
            await session.command(sid, sid, update_worker=update)
        results = await session.results(30)

    assert {each.update_worker.worker.sid for each in results} == set(sids)
    sizes = [each.ByteSize() for each in session.seen]
    assert 3_000 < max(sizes) <= 6_000 + ENVELOPE


# --- snapshots of conversations --------------------------------------------------------


@pytest.mark.usefixtures("small")
async def test_the_participants_of_a_conversation_come_in_parts(
    serving: Serving,
) -> None:
    talk = serving.client.conversation
    sid = (await talk.CreateConversation(friendly_name="many")).conversation.sid
    names = [f"p{number}" for number in range(20)]
    for name in names:
        await talk.AddParticipant(
            conversation_sid=sid,
            identity=name,
            attributes=json.dumps({"a": "x" * 600}),
        )
    stream = talk.WatchConversation(conversation_sid=sid)
    parts = await read_parts(stream)
    said = await talk.SendMessage(conversation_sid=sid, author="p0", body="hello")
    after = await stream.read()
    stream.cancel()

    assert max(part.ByteSize() for part in parts) <= 6_000 + ENVELOPE
    first, *others = [part.snapshot for part in parts]
    assert first.conversation.friendly_name == "many"
    assert others
    assert not any(part.HasField("conversation") for part in others)
    told = [p.identity for part in parts for p in part.snapshot.participants]
    assert sorted(told) == sorted(names)
    assert {part.resume_token for part in parts[:-1]} == {""}
    assert after.events[-1].message == said.message


# --- statistics ------------------------------------------------------------------------


async def add_queues(serving: Serving, queues: int) -> str:
    """Return a workspace with so many task queues more."""
    workspace = serving.client.workspace
    sid = (await workspace.ListWorkspaces()).workspaces[0].sid
    await asyncio.gather(
        *(
            workspace.CreateTaskQueue(friendly_name=f"q{number}")
            for number in range(queues)
        )
    )
    return str(sid)


@pytest.mark.usefixtures("small")
async def test_how_many_queues_stand_comes_in_parts(serving: Serving) -> None:
    sid = await add_queues(serving, 80)
    stream = serving.client.routing.WatchStatistics(workspace_sid=sid)
    parts = await read_parts(stream)
    stream.cancel()

    assert max(part.ByteSize() for part in parts) <= 6_000 + ENVELOPE
    assert len(parts) > 2
    assert [part.whole for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.HasField("workspace_statistics") for part in parts] == [
        part.whole for part in parts
    ]
    assert len({part.time.ToMicroseconds() for part in parts}) == 1
    sids = [each.sid for part in parts for each in part.task_queue_statistics]
    assert len(sids) == len(set(sids)) == 81


@pytest.mark.slow
async def test_hundreds_of_queues_come_to_a_client_that_sets_no_option(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    left = limits.ACTIVITIES_MAX - len((await workspace.ListActivities()).activities)
    await asyncio.gather(
        *(
            workspace.CreateActivity(friendly_name=f"{number:060}")
            for number in range(left)
        )
    )
    sid = await add_queues(serving, 500)
    async with plain(serving) as routing:
        asked = pb.WatchStatisticsRequest(workspace_sid=sid)
        parts = await read_parts(routing.WatchStatistics(asked))
    sizes = [part.ByteSize() for part in parts]

    assert sum(sizes) > 4 * 1024 * 1024
    assert max(sizes) <= limits.STREAM_MESSAGE_BYTES + ENVELOPE
    assert sum(len(part.task_queue_statistics) for part in parts) == 501
