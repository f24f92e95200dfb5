"""AgentSession with backends that are slow, hasty, or no longer allowed to be there."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.refusals import Refusal, refusal
from tests.api.test_agent_session import PATIENCE, Desk, away, desk, hire
from tests.factories import make_sid
from tests.serving import Serving


async def change(serving: Serving, sid: str, *numbers: int) -> None:
    """Let so many things happen to a worker."""
    for n in numbers:
        await serving.client.workspace.UpdateWorker(sid=sid, attributes=f'{{"n":{n}}}')


def numbers_of(events: list[pb.ReservationEvent]) -> list[str]:
    return [event.worker.attributes for event in events]


async def to_the_end(session: Desk) -> None:
    while True:
        await session.read()


async def ended(session: Desk) -> Refusal:
    async with asyncio.timeout(PATIENCE):
        return await refusal(to_the_end(session))


# --- who may no longer -----------------------------------------------------------------


async def test_a_command_after_its_key_was_revoked_has_no_effect(
    serving: Serving,
) -> None:
    admin = serving.client.admin
    made = await admin.CreateKey(friendly_name="short")
    (ann,) = await hire(serving, "ann")
    client = await serving.connect(f"{made.key.sid}.{made.secret}")
    async with desk(client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await admin.RevokeKey(sid=made.key.sid)
        await session.command("late", ann, **away(ann, 7))
        refused = await ended(session)

    assert refused.code == "UNAUTHENTICATED"
    worker = (await serving.client.workspace.GetWorker(sid=ann)).worker
    assert worker.attributes == "{}"


# --- who goes back ---------------------------------------------------------------------


async def test_a_session_does_not_go_back_in_the_log(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        token = session.token
        await change(serving, ann, 0)
        await session.events(1)
        await session.say(unsubscribe=pb.Unsubscribe(worker_sids=[ann]))
        await session.subscribe(ann, token=token)
        refused = await ended(session)

    assert refused.fields == {
        "subscribe.resume_token": "only the first Subscribe of a session may have one"
    }


# --- who does not acknowledge ----------------------------------------------------------


async def test_who_acknowledges_nothing_is_ended_though_it_gives_commands(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers keep the session from being quiet, and heartbeats from being due."""
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await change(serving, ann, *range(5))
        await session.events(2)

        async def go_on() -> None:
            for n in range(30 * limits.SECOND // (5 * limits.SECOND) + 1):
                serving.clock.advance(5 * limits.SECOND)
                await session.command(f"{n}", ann, **away(ann, n))
                await session.results(1)

        refused = await refusal(go_on())

    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]


async def test_who_subscribes_many_times_is_heard_when_it_acknowledges(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subscribing waits for events, events wait for an acknowledgment behind it."""
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await change(serving, ann, *range(5))
        found = await session.events(2)
        for _ in range(100):
            await session.subscribe(bob)
        await session.ack(found[-1].sequence)
        found += await session.events(2)
        await session.ack(found[-1].sequence)
        found += await session.events(1)
        stood = await session.snapshots(1)

    assert numbers_of(found) == [f'{{"n":{n}}}' for n in range(5)]
    assert stood.keys() == {bob}


@pytest.mark.parametrize("what", ["subscribe", "unsubscribe", "declare"])
async def test_who_reads_nothing_may_say_so_much_and_is_ended(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    monkeypatch.setattr(limits, "SESSION_UNTOLD", 50)
    (ann,) = await hire(serving, "ann")
    nobody = [make_sid("WK", number) for number in range(10)]
    said: dict[str, Any] = {
        "subscribe": pb.Subscribe(worker_sids=nobody),
        "unsubscribe": pb.Unsubscribe(worker_sids=nobody),
        "declare": pb.Declare(connected_worker_sids=nobody),
    }
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await change(serving, ann, *range(5))
        found = await session.events(2)
        for _ in range(6):
            await session.say(**{what: said[what]})
        refused = await ended(session)
    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]

    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=refused.metadata["resume_token"])
        found += await resumed.events(2)
        await resumed.ack(found[-1].sequence)
        found += await resumed.events(1)
    assert numbers_of(found) == [f'{{"n":{n}}}' for n in range(5)]


async def test_a_server_that_stops_sends_away_who_has_not_acknowledged(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await change(serving, ann, *range(4))
        await session.events(2)
        # Of this one nothing was read: the log goes on behind what waits.
        await change(serving, ann, 4)
        await serving.server.engine.end_streams()
        last = await session.until(lambda each: each.go_away and each)
        with pytest.raises(EOFError):
            await session.read()
    await serving.restart()
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=last.resume_token)
        found = await resumed.events(2)

    assert numbers_of(found) == ['{"n":2}', '{"n":3}']


async def test_the_token_of_a_torn_change_set_lies_at_the_end_of_the_one_before(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 4)
    (ann,) = await hire(serving, "ann")
    workspace = serving.client.workspace
    for channel in (await workspace.ListWorkerChannels(worker_sid=ann)).worker_channels:
        await workspace.UpdateWorkerChannel(
            worker_sid=ann,
            task_channel=channel.task_channel_sid,
            configured_capacity=10,
        )
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
    await change(serving, ann, 0)
    await serving.client.routing.BatchCreateTasks(tasks=[pb.NewTask()] * 4)
    async with desk(serving.client) as late:
        await late.subscribe(ann, token=session.token)
        await late.events(4)
        torn = late.seen[-1]
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=torn.resume_token)
        again = await resumed.events(4)

    assert not torn.complete
    assert [event.type for event in torn.events] == [
        "worker.attributes.update",
        *["reservation.created"] * 3,
    ]
    assert [event.type for event in again] == ["reservation.created"] * 4


# --- who waits for the disk ------------------------------------------------------------


@contextmanager
def disk_held(serving: Serving) -> Iterator[None]:
    """Let the disk take nothing inside a `with` block."""
    let_go = threading.Event()
    serving.server.engine._committer._thread.submit(let_go.wait, PATIENCE)
    try:
        yield
    finally:
        let_go.set()


async def test_a_worker_whose_commands_take_long_delays_no_answer_of_another(
    serving: Serving,
) -> None:
    ann, bob, eve = await hire(serving, "ann", "bob", "eve")
    busy = [f"ann {n}" for n in range(20)]
    async with desk(serving.client) as session:
        with disk_held(serving):
            for n, name in enumerate(busy):
                await session.command(name, ann, **away(ann, n))
            await session.command("bob", bob, **away(bob))
            # It needs no disk, and nobody's answer.
            await session.command("eve", eve, **away(bob))
            (first,) = await session.results(1)
        results = [first, *await session.results(len(busy) + 1)]

    order = [result.command_id for result in results]
    assert order[0] == "eve"
    assert order.index("bob") < len(busy) / 2
    assert [name for name in order if name in busy] == busy


async def test_what_is_refused_is_answered_in_its_place_among_a_workers_commands(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    malformed = pb.AcceptReservationRequest(sid="x")
    async with desk(serving.client) as session:
        with disk_held(serving):
            await session.command("long", ann, **away(ann))
            await session.command("malformed", ann, accept_reservation=malformed)
            await session.command("another's", ann, **away(bob))
            await session.command("last", ann, **away(ann, 1))
            await session.command("bob", bob, accept_reservation=malformed)
            (first,) = await session.results(1)
        results = await session.results(4)

    assert first.command_id == "bob"
    assert [(result.command_id, bool(result.status)) for result in results] == [
        ("long", False),
        ("malformed", True),
        ("another's", True),
        ("last", False),
    ]


# --- who has much to pass over ---------------------------------------------------------


async def fill(serving: Serving, pieces: int) -> None:
    """Let the log grow by so many pieces, as it is read, of what is no worker's."""
    large = f'{{"a":"{"x" * 60_000}"}}'
    for _ in range(pieces):
        await serving.client.routing.BatchCreateTasks(
            tasks=[{"attributes": large}] * 11
        )


async def test_answers_come_while_a_session_passes_over_what_it_does_not_want(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        await session.snapshots(2)
    await fill(serving, 25)
    # What is not in memory any more takes a millisecond for each of them.
    await serving.restart()

    async with desk(serving.client) as again:
        await again.subscribe(ann, bob, token=session.token)
        await again.read()
        answered = []
        for number in range(5):
            nothing = pb.AcceptReservationRequest(sid=make_sid("WR", number))
            await again.command(f"c{number}", ann, accept_reservation=nothing)
            answered += [result.command_id for result in await again.results(1)]

    assert answered == [f"c{number}" for number in range(5)]


async def test_a_heartbeat_is_at_the_end_of_all_that_was_passed_over(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        await session.snapshots(2)
        await fill(serving, 3)
        async with desk(serving.client) as newest:
            await newest.subscribe(ann, bob)
            await newest.snapshots(2)
        serving.clock.advance(limits.HEARTBEAT_INTERVAL + limits.HEARTBEAT_GRAIN)
        beat = await session.until(lambda each: not each.events and each)

    assert beat.resume_token == newest.token
