"""WatchEvents shows the account's whole log: in order, without gaps, resumable."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.v1 import event_pb2, event_service_pb2
from tests.api.refusals import refusal
from tests.api.test_stream_contract import clean_up
from tests.api.world import build
from tests.serving import Serving


async def responses(
    stream: Any,
) -> AsyncIterator[event_service_pb2.WatchEventsResponse]:
    """Yield what a stream gives, and cancel it in the end."""
    try:
        while (response := await stream.read()) is not grpc.aio.EOF:
            yield response
    finally:
        stream.cancel()


async def until(stream: Any, last: int) -> list[event_pb2.ChangeSet]:
    """Read change sets until one ends at `last`."""
    found: list[event_pb2.ChangeSet] = []
    async for response in responses(stream):
        found.extend(response.change_sets)
        if found and found[-1].last_sequence >= last:
            break
    return found


async def test_a_new_stream_begins_with_the_oldest_change_set(serving: Serving) -> None:
    task = await serving.client.routing.CreateTask(attributes='{"a":1}')
    found = await until(serving.client.event.WatchEvents(), task.sequence)

    sequences = [event.sequence for each in found for event in each.events]
    assert sequences == list(range(1, task.sequence + 1))
    assert found[0].events[0].type == "workspace.created"
    last = found[-1]
    assert last.events[0].type == "task.created"
    assert last.cause == event_pb2.CHANGE_SET_CAUSE_REQUEST
    assert last.actor == serving.server.first_key[0]  # type: ignore[index]
    assert [each.task.attributes for each in last.resources] == ['{"a":1}']


async def test_a_new_stream_begins_above_what_retention_gave_up(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await serving.client.routing.CreateTask()
    store = serving.server.engine._store
    bounds = store.bounds
    monkeypatch.setattr(store, "bounds", lambda sid: (first.sequence, bounds(sid)[1]))
    second = await serving.client.routing.CreateTask()
    found = await until(serving.client.event.WatchEvents(), second.sequence)

    assert [each.first_sequence for each in found] == [first.sequence + 1]


async def test_a_token_goes_on_where_it_was_taken(serving: Serving) -> None:
    client = serving.client
    first = await client.routing.CreateTask()
    async for response in responses(client.event.WatchEvents()):
        token = response.resume_token
        if response.change_sets[-1].last_sequence == first.sequence:
            break
    second = await client.routing.CreateTask()
    found = await until(client.event.WatchEvents(resume_token=token), second.sequence)

    assert found[0].first_sequence == first.sequence + 1
    assert [each.resources[0].task.sid for each in found] == [second.task.sid]


async def test_a_token_goes_on_after_a_restart(serving: Serving) -> None:
    first = await serving.client.routing.CreateTask()
    async for response in responses(serving.client.event.WatchEvents()):
        token = response.resume_token
        if response.change_sets[-1].last_sequence == first.sequence:
            break
    await serving.restart()
    second = await serving.client.routing.CreateTask()
    stream = serving.client.event.WatchEvents(resume_token=token)
    found = await until(stream, second.sequence)

    assert found[0].first_sequence == first.sequence + 1


async def test_types_choose_events_and_their_resources(serving: Serving) -> None:
    client = serving.client
    await client.routing.CreateTask()
    worker = await client.workspace.CreateWorker(friendly_name="alice")
    found = await until(
        client.event.WatchEvents(types=["worker", "task.created"]), worker.sequence
    )

    types = [event.type for each in found for event in each.events]
    assert types == ["task.created", "worker.created"]
    kinds = [each.WhichOneof("resource") for one in found for each in one.resources]
    assert kinds == ["task", "worker"]


async def test_a_heartbeat_moves_the_token_past_what_is_not_shown(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving.client
    stream = client.event.WatchEvents(types=["conversation"])
    assert not (await stream.read()).change_sets
    task = await client.routing.CreateTask()
    serving.clock.advance(limits.HEARTBEAT_INTERVAL)
    heartbeat = await stream.read()
    stream.cancel()
    assert not heartbeat.change_sets

    made = await client.conversation.CreateConversation()
    store = serving.server.engine._store
    # Nothing before the heartbeat is needed any more.
    monkeypatch.setattr(store, "bounds", lambda _: (task.sequence, made.sequence))
    resumed = client.event.WatchEvents(
        types=["conversation"], resume_token=heartbeat.resume_token
    )
    found = await until(resumed, made.sequence)
    assert [each.last_sequence for each in found] == [made.sequence]


#: the filters, by the prefix of the sid they take
FILTERS = {
    "workspace_sid": "WS",
    "workflow_sid": "WW",
    "task_queue_sid": "WQ",
    "task_channel_sid": "TC",
    "task_sid": "WT",
    "reservation_sid": "WR",
    "worker_sid": "WK",
    "conversation_sid": "CH",
    "interaction_sid": "KD",
}


async def test_each_filter_streams_what_it_lists(serving: Serving) -> None:
    client = serving.client
    world = await build(serving, client)
    # Of which nothing is asked for, so that it ends every stream.
    end = (await client.admin.GetServerInfo()).server_info.head_sequence
    for field, prefix in FILTERS.items():
        one = {field: world.sids[prefix]}
        listed = (await client.event.ListEvents(page_size=1_000, **one)).change_sets
        streamed = await until(
            client.event.WatchEvents(**one), listed[-1].last_sequence
        )

        assert streamed == list(listed), field
        assert 0 < len(streamed) < end


async def test_a_conversation_and_its_interaction_have_their_events(
    serving: Serving,
) -> None:
    client = serving.client
    sid = (await build(serving, client)).sids["KD"]
    made = (await client.interaction.GetInteraction(sid=sid)).interaction
    kinds = {}
    for field, sid in (
        ("conversation_sid", made.conversation_sid),
        ("interaction_sid", made.sid),
    ):
        page = await client.event.ListEvents(page_size=1_000, **{field: sid})
        events = [event for each in page.change_sets for event in each.events]
        kinds[field] = {event.type.partition(".")[0] for event in events}

    assert kinds == {
        "conversation_sid": {
            *("conversation", "participant", "message", "receipt"),
            *("interaction", "channel"),
        },
        "interaction_sid": {"interaction", "channel", "invite"},
    }


async def test_a_stream_begins_at_a_sequence_at_a_time_or_now(serving: Serving) -> None:
    client, clock = serving.client, serving.clock
    before = await client.routing.CreateTask()
    clock.advance(limits.SECOND)
    start = Timestamp(seconds=clock.now() // limits.SECOND + 1)
    clock.advance(2 * limits.SECOND)
    first = await client.routing.CreateTask()
    now = client.event.WatchEvents(start_now=True)
    token = (await now.read()).resume_token
    now.cancel()
    last = await client.routing.CreateTask()

    beginnings = {
        "sequence": {"start_sequence": before.sequence + 1},
        "inside": {"start_sequence": first.sequence},
        "time": {"start_time": start},
    }
    for name, fields in beginnings.items():
        found = await until(client.event.WatchEvents(**fields), last.sequence)
        assert found[0].first_sequence == before.sequence + 1, name
    found = await until(client.event.WatchEvents(resume_token=token), last.sequence)
    assert found[0].first_sequence == first.sequence + 1
    oldest = client.event.WatchEvents(start_time=Timestamp(seconds=1))
    assert (await until(oldest, last.sequence))[0].first_sequence == 1


async def test_a_start_the_log_does_not_hold_is_refused(serving: Serving) -> None:
    client = serving.client
    head = (await client.admin.GetServerInfo()).server_info.head_sequence

    ahead = await refusal(client.event.WatchEvents(start_sequence=head + 2).read())
    assert [*ahead] == ["OUT_OF_RANGE", "TOKEN_AHEAD"]
    assert ahead.fields == {
        "start_sequence": f"{head + 2} is ahead of the log, which ends at {head}"
    }
    floor = clean_up(serving)
    gone = await refusal(client.event.WatchEvents(start_sequence=floor).read())
    assert [*gone] == ["OUT_OF_RANGE", "TOKEN_BELOW_FLOOR"]
    assert gone.metadata == {"floor": str(floor)}
    assert gone.fields == {
        "start_sequence": f"{floor} is no longer held, the log begins with {floor + 1}"
    }
    stream = client.event.WatchEvents()
    token = (await stream.read()).resume_token
    stream.cancel()
    both = client.event.WatchEvents(resume_token=token, start_now=True)
    assert (await refusal(both.read())).fields.keys() == {"start_now"}


async def test_a_token_of_another_stream_is_refused(serving: Serving) -> None:
    client = serving.client
    worker = (await client.workspace.CreateWorker(friendly_name="alice")).worker
    stream = client.routing.StreamReservations(worker_sid=worker.sid)
    token = (await stream.read()).resume_token
    stream.cancel()

    for wrong in (token, token[:-4], "AAAA", "no token", "ä"):
        stream = client.event.WatchEvents(resume_token=wrong)
        refused = await refusal(stream.read())
        assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
        assert refused.fields.keys() == {"resume_token"}


async def test_a_token_of_another_account_is_refused(serving: Serving) -> None:
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    stranger = await serving.connect(f"{made.key.sid}.{made.secret}")
    stream = serving.client.event.WatchEvents()
    token = (await stream.read()).resume_token
    stream.cancel()

    refused = await refusal(stranger.event.WatchEvents(resume_token=token).read())
    assert refused.fields == {
        "resume_token": "belongs to another stream or another filter"
    }


async def test_a_stream_nobody_reads_ends_with_its_token(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_WRITE_TIMEOUT", 200_000)
    client = serving.client
    stream = client.event.WatchEvents(types=["task.created"])
    await stream.initial_metadata()
    attributes = '{"a":"' + "x" * 60_000 + '"}'
    for _ in range(200):
        last = await client.routing.CreateTask(attributes=attributes)

    seen: list[int] = []

    async def read_on() -> None:
        async for response in responses(stream):
            seen.extend(each.first_sequence for each in response.change_sets)

    refused = await refusal(read_on())
    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]

    token = refused.metadata["resume_token"]
    resumed = client.event.WatchEvents(resume_token=token, types=["task.created"])
    rest = await until(resumed, last.sequence - 3)
    # Nothing is missing; what was on its way when the stream ended may come twice.
    assert len({*seen, *(each.first_sequence for each in rest)}) == 200
