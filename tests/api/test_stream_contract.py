"""What all streams promise: tokens, snapshots, parts, an end that can be resumed from."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2
from tests.api.refusals import refusal
from tests.serving import Serving


async def opened(stream: Any) -> Any:
    """Return the first message of a stream that is of no use afterwards."""
    try:
        return await stream.read()
    finally:
        stream.cancel()


async def hire(serving: Serving, name: str = "alice") -> str:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity="Available"
    )
    return str(made.worker.sid)


# --- tokens ----------------------------------------------------------------------------


async def test_an_altered_token_is_refused(serving: Serving) -> None:
    token = (await opened(serving.client.event.WatchEvents())).resume_token
    tried = 0
    for place in range(0, len(token), 3):
        other = "A" if token[place] != "A" else "B"
        altered = token[:place] + other + token[place + 1 :]
        stream = serving.client.event.WatchEvents(resume_token=altered)
        refused = await refusal(opened(stream))
        tried += 1
        assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"], place
        assert refused.fields.keys() == {"resume_token"}
    assert tried > 30


async def test_a_token_of_another_server_is_refused(
    serving: Serving, tmp_path: Path
) -> None:
    async with Serving(tmp_path / "other", serving.clock) as other:
        token = (await opened(other.client.event.WatchEvents())).resume_token

    stream = serving.client.event.WatchEvents(resume_token=token)
    refused = await refusal(opened(stream))
    assert refused.fields == {
        "resume_token": "was not written by this server, or altered"
    }


async def test_a_token_with_another_filter_is_refused(serving: Serving) -> None:
    event = serving.client.event
    token = (await opened(event.WatchEvents(types=["workspace"]))).resume_token

    refused = await refusal(opened(event.WatchEvents(resume_token=token)))
    assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]


async def test_a_token_ahead_of_a_log_that_was_put_back_is_out_of_range(
    serving: Serving, tmp_path: Path
) -> None:
    await serving.copy(tmp_path / "copy")
    await hire(serving)
    stream = serving.client.event.WatchEvents(start_now=True)
    token = (await opened(stream)).resume_token
    await serving.put_back(tmp_path / "copy")

    stream = serving.client.event.WatchEvents(resume_token=token)
    refused = await refusal(opened(stream))
    assert [*refused] == ["OUT_OF_RANGE", "TOKEN_EPOCH"]


async def test_a_token_of_what_was_lost_is_out_of_range_once_the_log_grew_past_it(
    serving: Serving, tmp_path: Path
) -> None:
    """Its sequence exists again by then, and is another event's."""
    worker_sid = await hire(serving)
    watch = serving.client.event.WatchEvents
    before = (await opened(watch(start_now=True))).resume_token
    await serving.copy(tmp_path / "copy")
    await hire(serving, "lost")
    of_lost = {
        "event": await opened(serving.client.event.WatchEvents(start_now=True)),
        "routing": await opened(
            serving.client.routing.StreamReservations(worker_sid=worker_sid)
        ),
    }
    await serving.put_back(tmp_path / "copy")
    made = await serving.client.workspace.CreateWorker(friendly_name="found")
    for name in ("more", "and more"):
        await hire(serving, name)

    async def resume(service: str, rpc: str, **fields: str) -> Any:
        call = getattr(getattr(serving.client, service), rpc)
        return await opened(call(**fields))

    events = "event", "WatchEvents"
    desk = "routing", "StreamReservations"
    token = of_lost["event"].resume_token
    refused = await refusal(resume(*events, resume_token=token))
    assert [*refused] == ["OUT_OF_RANGE", "TOKEN_EPOCH"]
    assert refused.metadata.keys() == {"epoch"}
    token = of_lost["routing"].resume_token
    refused = await refusal(resume(*desk, worker_sid=worker_sid, resume_token=token))
    assert [*refused] == ["OUT_OF_RANGE", "TOKEN_EPOCH"]
    assert (await resume(*desk, worker_sid=worker_sid)).HasField("snapshot")

    # What was read before the copy was made is part of this log too.
    first = (await resume(*events, resume_token=before)).change_sets[0]
    assert first.last_sequence == made.sequence


async def test_a_token_is_good_through_some_starts_and_not_through_any_number(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAST_EPOCHS", 2)
    token = (
        await opened(serving.client.event.WatchEvents(start_now=True))
    ).resume_token
    for _ in range(2):
        await serving.restart()
        await hire(serving, f"w{serving.server.grpc_port}")
    found = await opened(serving.client.event.WatchEvents(resume_token=token))
    await serving.restart()
    stream = serving.client.event.WatchEvents(resume_token=token)
    refused = await refusal(opened(stream))

    assert found.change_sets
    assert [*refused] == ["OUT_OF_RANGE", "TOKEN_EPOCH"]


async def test_a_token_below_the_floor_is_out_of_range_and_a_snapshot_is_not(
    serving: Serving,
) -> None:
    client = serving.client
    worker_sid = await hire(serving)
    stream = client.routing.StreamReservations(worker_sid=worker_sid)
    token = (await opened(stream)).resume_token
    await client.workspace.UpdateWorker(sid=worker_sid, attributes='{"a":1}')
    floor = clean_up(serving)

    stream = client.routing.StreamReservations(
        worker_sid=worker_sid, resume_token=token
    )
    refused = await refusal(opened(stream))
    assert [*refused] == ["OUT_OF_RANGE", "TOKEN_BELOW_FLOOR"]
    assert refused.metadata == {"floor": str(floor)}
    again = await opened(client.routing.StreamReservations(worker_sid=worker_sid))
    assert again.snapshot.worker.attributes == '{"a":1}'


def clean_up(serving: Serving) -> int:
    """Give up the whole log, as retention does after a week; return its new floor."""
    store, engine = serving.server._store, serving.server.engine
    end = serving.clock.now() + limits.LOG_RETENTION + limits.DAY
    floors = []
    for account in engine.accounts().values():
        while store.clean_up(account.sid, account.epoch, end):
            pass
        floors.append(store.bounds(account.sid)[0])
    return max(floors)


# --- snapshots -------------------------------------------------------------------------


async def test_a_snapshot_is_how_everything_stands_at_one_sequence(
    serving: Serving,
) -> None:
    client = serving.client
    worker_sid = await hire(serving)
    task = await client.routing.CreateTask(attributes='{"a":1}')
    last = await client.workspace.CreateActivity(friendly_name="Lunch")
    first = await opened(client.routing.StreamReservations(worker_sid=worker_sid))
    stood = first.snapshot

    assert first.complete
    assert stood.worker.sid == worker_sid
    listed = await client.workspace.ListWorkerChannels(worker_sid=worker_sid)
    assert sorted(each.sid for each in stood.worker_channels) == sorted(
        each.sid for each in listed.worker_channels
    )
    activities = (await client.workspace.ListActivities()).activities
    assert {each.sid for each in stood.activities} == {each.sid for each in activities}
    assert [each.task_sid for each in stood.reservations] == [task.task.sid]
    assert [each.attributes for each in stood.tasks] == ['{"a":1}']

    # From there on everything is told, and nothing before.
    await client.workspace.UpdateWorker(sid=worker_sid, attributes='{"b":1}')
    resumed = client.routing.StreamReservations(
        worker_sid=worker_sid, resume_token=first.resume_token
    )
    after = await opened(resumed)
    assert [each.type for each in after.events] == ["worker.attributes.update"]
    assert after.events[0].sequence == last.sequence + 1


async def test_a_desk_far_behind_gets_a_new_snapshot(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_BEHIND_EVENTS", 3)
    client = serving.client
    worker_sid = await hire(serving)
    stream = client.routing.StreamReservations(worker_sid=worker_sid)
    token = (await opened(stream)).resume_token

    async def resume() -> routing_service_pb2.StreamReservationsResponse:
        stream = client.routing.StreamReservations(
            worker_sid=worker_sid, resume_token=token
        )
        return await opened(stream)

    for n in range(3):
        await client.workspace.UpdateWorker(sid=worker_sid, attributes=f'{{"a":{n}}}')
    near = await resume()
    assert (len(near.events), near.HasField("snapshot")) == (3, False)
    await client.workspace.UpdateWorker(sid=worker_sid, attributes='{"a":3}')
    far = await resume()
    assert (len(far.events), far.snapshot.worker.attributes) == (0, '{"a":3}')


async def test_the_stream_of_a_worker_ends_after_the_worker_was_deleted(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    worker_sid = await hire(serving)
    await workspace.UpdateWorker(sid=worker_sid, activity="Offline")
    stream = serving.client.routing.StreamReservations(worker_sid=worker_sid)
    await stream.read()
    await workspace.DeleteWorker(sid=worker_sid)
    told = await stream.read()
    refused = await refusal(stream.read())

    assert [event.type for event in told.events] == ["worker.deleted"]
    assert [*refused] == ["NOT_FOUND", "RESOURCE_NOT_FOUND"]


# --- messages --------------------------------------------------------------------------


async def test_a_change_set_too_large_for_a_message_comes_in_parts(
    serving: Serving,
) -> None:
    client = serving.client
    stream = client.event.WatchEvents(start_now=True)
    begun = await stream.read()
    attributes = '{"a":"' + "x" * 12_000 + '"}'
    made = await client.routing.BatchCreateTasks(
        tasks=[routing_service_pb2.NewTask(attributes=attributes) for _ in range(60)]
    )
    parts = [await stream.read()]
    while not parts[-1].complete:
        parts.append(await stream.read())
    stream.cancel()

    assert len(parts) > 2
    most = limits.STREAM_MESSAGE_BYTES
    assert max(part.ByteSize() for part in parts) < most + 16_384
    sequences = [
        e.sequence for p in parts for each in p.change_sets for e in each.events
    ]
    assert sequences == list(range(sequences[0], made.sequence + 1))
    tasks = [
        r.task.sid for p in parts for each in p.change_sets for r in each.resources
    ]
    assert tasks == [task.sid for task in made.tasks]

    # Until the last part the token lies before all of them.
    assert len({begun.resume_token, *(part.resume_token for part in parts[:-1])}) == 1
    again = client.event.WatchEvents(resume_token=parts[0].resume_token)
    assert (await opened(again)).change_sets == parts[0].change_sets


async def test_events_come_one_at_a_time_when_quiet_and_many_when_late(
    serving: Serving,
) -> None:
    client = serving.client
    stream = client.event.WatchEvents(start_now=True, types=["task.created"])
    token = (await stream.read()).resume_token
    for _ in range(20):
        await client.routing.CreateTask()
        assert len((await stream.read()).change_sets) == 1
    stream.cancel()

    late = client.event.WatchEvents(resume_token=token, types=["task.created"])
    assert len((await opened(late)).change_sets) == 20


# --- ends ------------------------------------------------------------------------------


async def test_a_server_that_stops_sends_every_stream_away_with_its_token(
    serving: Serving,
) -> None:
    client = serving.client
    worker_sid = await hire(serving)
    talk = (await client.conversation.CreateConversation()).conversation.sid
    calls = {
        "event": ("WatchEvents", {"start_now": True}),
        "routing": ("StreamReservations", {"worker_sid": worker_sid}),
        "conversation": ("WatchConversation", {"conversation_sid": talk}),
    }
    streams = {
        service: getattr(getattr(client, service), rpc)(**fields)
        for service, (rpc, fields) in calls.items()
    }
    firsts = {service: await stream.read() for service, stream in streams.items()}
    draining = asyncio.create_task(serving.server.engine.end_streams())
    tokens = {}
    for service, stream in streams.items():
        last = await stream.read()
        assert (last.go_away, firsts[service].go_away) == (True, False)
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
        tokens[service] = last.resume_token
    await draining
    await serving.restart()
    await serving.client.workspace.UpdateWorker(sid=worker_sid, attributes='{"a":1}')

    stream = serving.client.routing.StreamReservations(
        worker_sid=worker_sid, resume_token=tokens["routing"]
    )
    after = await opened(stream)
    assert [each.type for each in after.events] == ["worker.attributes.update"]


async def test_streams_are_sent_away_a_few_at_a_time(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DRAIN_STREAMS", 1)
    monkeypatch.setattr(limits, "DRAIN_PAUSE", 100 * limits.MILLISECOND)
    streams = [serving.client.event.WatchEvents(start_now=True) for _ in range(4)]
    for stream in streams:
        await stream.read()
    loop = asyncio.get_running_loop()
    started = loop.time()
    draining = asyncio.create_task(serving.server.engine.end_streams())
    times = []
    for stream in streams:
        assert (await stream.read()).go_away
        times.append(loop.time() - started)
    await draining

    assert times == sorted(times)
    assert times[-1] >= 0.28
