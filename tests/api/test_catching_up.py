"""Streams that come back share what they read and encode, and are told no less for it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet
from flexcore.services import shown
from flexcore.v1 import event_pb2
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.test_stream_contract import clean_up, hire
from tests.serving import Serving


class Counting:
    """Counts what is read of the log and what is encoded."""

    def __init__(self, serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[int] = []
        self.encoded: list[int] = []
        store = serving.server.engine._store
        read_log, encode = store.read_log, shown.encode

        def reading(sid: str, after: int, subject: str, most: int) -> Any:
            self.reads.append(after)
            return read_log(sid, after, subject, most)

        def encoding(change_set: ChangeSet) -> Any:
            self.encoded.append(change_set.last_sequence)
            return encode(change_set)

        monkeypatch.setattr(store, "read_log", reading)
        monkeypatch.setattr(shown, "encode", encoding)


async def watched(stream: Any, last: int) -> list[event_pb2.ChangeSet]:
    """Read change sets up to a sequence; what comes in parts is put together."""
    found: list[event_pb2.ChangeSet] = []
    complete = False
    while not (complete and found and found[-1].last_sequence >= last):
        async with asyncio.timeout(10):
            response = await stream.read()
        assert response is not grpc.aio.EOF
        for each in response.change_sets:
            if found and found[-1].last_sequence == each.last_sequence:
                found[-1].events.extend(each.events)
                found[-1].resources.extend(each.resources)
            else:
                found.append(each)
        complete = response.complete
    stream.cancel()
    return found


def sequences(found: Sequence[event_pb2.ChangeSet]) -> list[int]:
    return [event.sequence for each in found for event in each.events]


async def work(serving: Serving, tasks: int) -> int:
    """Create tasks; return the sequence of the last one."""
    for number in range(tasks):
        task = await serving.client.routing.CreateTask(attributes=f'{{"n":{number}}}')
    return int(task.sequence)


async def test_who_comes_second_after_a_restart_reads_and_encodes_nothing(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_PAGE_EVENTS", 20)
    last = await work(serving, 40)
    await serving.restart()
    counting = Counting(serving, monkeypatch)
    first = await watched(serving.client.event.WatchEvents(), last)
    reads, encoded = len(counting.reads), len(counting.encoded)
    second = await watched(serving.client.event.WatchEvents(), last)

    assert sequences(first) == list(range(1, last + 1))
    assert second == first
    assert encoded == len(first)
    assert (len(counting.reads), len(counting.encoded)) == (reads, encoded)


async def test_another_filter_is_encoded_by_what_others_encoded(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = await work(serving, 10)
    counting = Counting(serving, monkeypatch)
    whole = await watched(serving.client.event.WatchEvents(), last)
    encoded = len(counting.encoded)
    some = await watched(serving.client.event.WatchEvents(types=["task"]), last)

    assert len(counting.encoded) == encoded == len(whole)
    assert [each.events[0].type for each in some] == ["task.created"] * 10
    tasks = [list(each.resources) for each in whole if each.events[0].sid[:2] == "WT"]
    assert [list(each.resources) for each in some] == tasks


async def test_streams_and_sessions_of_a_worker_share_what_is_encoded(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving.client
    worker_sid = await hire(serving)
    desk = client.routing.StreamReservations(worker_sid=worker_sid)
    session = client.routing.AgentSession()
    subscribe = pb.Subscribe(worker_sids=[worker_sid])
    await session.write(pb.AgentSessionRequest(subscribe=subscribe))
    everything = client.event.WatchEvents(start_now=True)
    for stream in (desk, session, everything):
        await stream.read()
    counting = Counting(serving, monkeypatch)
    last = await work(serving, 1)

    told = await desk.read()
    assert (await session.read()).events == told.events
    (change_set,) = await watched(everything, last)
    assert counting.encoded == [last]
    (event,) = told.events
    rows = [each.WhichOneof("resource") for each in change_set.resources]
    assert change_set.resources[rows.index("reservation")].reservation == (
        event.reservation
    )
    assert change_set.resources[rows.index("task")].task == event.task
    for stream in (desk, session):
        stream.cancel()


async def test_who_begins_with_the_oldest_is_not_told_what_retention_gave_up(
    serving: Serving,
) -> None:
    client = serving.client
    last = await work(serving, 5)
    before = await watched(client.event.WatchEvents(), last)
    floor = clean_up(serving)
    assert floor >= last
    # As many as others were told who began with the oldest change set then held.
    await work(serving, len(before) - 1)
    last = await work(serving, 1)
    found = await watched(client.event.WatchEvents(), last)

    assert sequences(found) == list(range(floor + 1, last + 1))
    assert len(found) == len(before)


async def test_a_change_set_in_parts_is_told_the_same_by_who_comes_second(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 4_000)
    tasks = [{"attributes": f'{{"a":"{"x" * 1_500}"}}'} for _ in range(10)]
    await serving.client.routing.BatchCreateTasks(tasks=tasks)
    last = await work(serving, 1)
    await serving.restart()
    first = await watched(serving.client.event.WatchEvents(), last)
    second = await watched(serving.client.event.WatchEvents(), last)

    assert sequences(first) == list(range(1, last + 1))
    assert second == first
