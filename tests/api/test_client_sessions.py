"""The client's events() and agent_session(): nothing lost or twice through restarts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flexcore.client import CommandRefused, agent_session, resuming
from flexcore.client.agent_session import AgentSession
from flexcore.client.worker_events import WorkerEvent
from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2
from tests.api.test_presence import becomes
from tests.serving import Serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS_MAX", 0.01)


async def take(events: AsyncIterator[Any], count: int) -> list[Any]:
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


async def until(session: AgentSession, kind: str) -> WorkerEvent:
    """Return the next event of a type."""
    async with asyncio.timeout(10):
        async for event in session:
            if event.type == kind:
                return event
    raise AssertionError(f"no {kind}")


async def answered(session: AgentSession, sid: str) -> None:
    """Wait until a session was told when a worker counts as declared."""
    async with asyncio.timeout(10):
        while session._presence._connected[sid].time is None:
            session._news.clear()
            await session._news.wait()


async def hire(serving: Serving, name: str = "ann") -> str:
    make = serving.client.workspace.CreateWorker
    return str((await make(friendly_name=name, activity="Available")).worker.sid)


async def add_task(serving: Serving) -> Any:
    return (await serving.client.routing.CreateTask()).task


# --- events ----------------------------------------------------------------------------


async def test_events_are_all_there_once_through_restarts(serving: Serving) -> None:
    events = serving.client.events(types=["task.created"])
    stream = aiter(events)
    tasks, found = [], []
    for number in range(6):
        tasks.append((await add_task(serving)).sid)
        found += await take(stream, 1)
        if number % 2:
            await serving.restart_in_place()
    await stream.aclose()

    assert [each.resources[0].task.sid for each in found] == tasks
    assert events.resumed >= 2
    assert events.missed == 0


async def test_events_in_parts_come_whole(serving: Serving) -> None:
    stream = aiter(serving.client.events(start_now=True))
    attributes = '{"a":"' + "x" * 12_000 + '"}'
    new = routing_service_pb2.NewTask(attributes=attributes)
    reading = asyncio.ensure_future(take(stream, 1))
    while serving.server.engine._accounts and not any(
        account.tail._open for account in serving.server.engine.accounts().values()
    ):
        await serving.client.admin.GetServerInfo()
    made = await serving.client.routing.BatchCreateTasks(tasks=[new] * 60)
    (whole,) = await reading
    await stream.aclose()

    assert whole.ByteSize() > 2 * limits.STREAM_MESSAGE_BYTES
    assert [each.task.sid for each in whole.resources] == [t.sid for t in made.tasks]
    assert whole.events[-1].sequence == whole.last_sequence == made.sequence


async def test_events_go_on_from_their_token_file(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    tasks = [(await add_task(serving)).sid for _ in range(2)]
    first = aiter(serving.client.events(token_file=file, types=["task.created"]))
    found = await take(first, 2)
    third = asyncio.ensure_future(anext(first))  # those before are handled
    tasks.append((await add_task(serving)).sid)
    found.append(await third)
    await first.aclose()
    tasks.append((await add_task(serving)).sid)
    second = aiter(serving.client.events(token_file=file, types=["task.created"]))
    again = await take(second, 2)
    await second.aclose()

    # The third was given and not handled: it comes again.
    assert [each.resources[0].task.sid for each in found] == tasks[:3]
    assert [each.resources[0].task.sid for each in again] == tasks[2:]


# --- sessions --------------------------------------------------------------------------


async def test_a_session_tells_of_its_workers_and_gives_their_commands(
    serving: Serving,
) -> None:
    ann = await hire(serving)
    async with serving.client.agent_session() as session:
        await session.subscribe([ann])
        stood = await until(session, "snapshot")
        task = await add_task(serving)
        offer = await until(session, "reservation.created")
        assert offer.event is not None
        accepted = await session.command(
            ann, accept_reservation={"sid": offer.event.reservation.sid}
        )
        with pytest.raises(CommandRefused) as refused:
            await session.command(
                ann, accept_reservation={"sid": offer.event.reservation.sid}
            )
        await session.unsubscribe([ann])
        await until(session, "unsubscribed")

    assert stood.snapshot is not None
    assert stood.snapshot.worker.sid == stood.worker_sid == ann
    assert accepted.task.sid == task.sid
    assert (refused.value.code, refused.value.reason) == (
        "FAILED_PRECONDITION",
        "ILLEGAL_TRANSITION",
    )


async def test_who_gives_up_waiting_does_not_cut_the_session(serving: Serving) -> None:
    ann = await hire(serving)
    update = {"sid": ann, "activity": "Offline"}
    async with serving.client.agent_session() as session:
        await session.subscribe([ann])
        await until(session, "snapshot")
        # The first steps of a command: it waits for its turn, is written, is answered.
        for steps in range(12):
            for asked in (
                session.command(ann, update_worker=update),
                session.unsubscribe([ann]),
                session.connect([ann]),
                anext(session),
            ):
                task = asyncio.ensure_future(asked)
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await session.disconnect([ann])
            await session.subscribe([ann])
        async with asyncio.timeout(10):
            await session.command(ann, update_worker=update)
        assert session.resumed == 0


async def test_a_session_that_found_nobody_goes_on_when_somebody_is_there(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "SILENCE_SECONDS", 0.1)
    ann = await hire(serving)
    port = serving.server.grpc_port
    await serving.server.stop()
    async with asyncio.timeout(10), serving.client.agent_session() as session:
        await session.subscribe([ann])
        while not session.resumed:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0)
        monkeypatch.setattr(resuming, "SILENCE_SECONDS", 10)
        await serving.start_in_place(port)
        await until(session, "snapshot")


async def test_a_session_goes_on_through_restarts(serving: Serving) -> None:
    workers = [await hire(serving, name) for name in ("ann", "bob")]
    update = serving.client.workspace.UpdateWorker
    told: list[tuple[str, str]] = []
    async with serving.client.agent_session() as session:
        await session.subscribe(workers)
        for _ in workers:
            await until(session, "snapshot")
        for n in range(6):
            await update(sid=workers[n % 2], attributes=f'{{"n":{n}}}')
            event = await until(session, "worker.attributes.update")
            assert event.event is not None
            told.append((event.worker_sid, event.event.worker.attributes))
            if n % 2:
                await serving.restart_in_place()
                answer = await session.command(
                    workers[0], update_worker={"sid": workers[0], "activity": "Offline"}
                )
                assert answer.worker.sid == workers[0]
        assert session.resumed >= 2
        assert session.missed == 0

    assert told == [(workers[n % 2], f'{{"n":{n}}}') for n in range(6)]


async def test_a_session_acknowledges_what_is_handled(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    ann = await hire(serving)
    async with serving.client.agent_session() as session:
        await session.subscribe([ann])
        await until(session, "snapshot")
        for n in range(12):
            await serving.client.workspace.UpdateWorker(
                sid=ann, attributes=f'{{"n":{n}}}'
            )
        found = await take(aiter(session), 12)

    assert [e.event.worker.attributes for e in found] == [
        f'{{"n":{n}}}' for n in range(12)
    ]


async def test_a_session_goes_on_from_its_token_file(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "session"
    ann = await hire(serving)
    update = serving.client.workspace.UpdateWorker
    async with serving.client.agent_session(file) as session:
        await session.subscribe([ann])
        await until(session, "snapshot")
        await update(sid=ann, attributes='{"n":1}')
        await until(session, "worker.attributes.update")
        waiting = asyncio.ensure_future(until(session, "worker.attributes.update"))
        await update(sid=ann, attributes='{"n":2}')
        await waiting
    await update(sid=ann, attributes='{"n":3}')
    async with serving.client.agent_session(file) as again:
        assert again.worker_sids == (ann,)
        found = await take(aiter(again), 2)

    # The second was given and not handled: it comes again.
    assert [each.type for each in found] == ["worker.attributes.update"] * 2
    assert [e.event.worker.attributes for e in found] == ['{"n":2}', '{"n":3}']


async def test_a_session_far_behind_counts_that_it_missed_something(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_BEHIND_EVENTS", 2)
    file = tmp_path / "session"
    workers = [await hire(serving, name) for name in ("ann", "bob")]
    async with serving.client.agent_session(file) as session:
        await session.subscribe(workers)
        for _ in workers:
            await until(session, "snapshot")
        update = serving.client.workspace.UpdateWorker
        for n in range(4):
            await update(sid=workers[0], attributes=f'{{"n":{n}}}')
            await until(session, "worker.attributes.update")
    for n in range(4, 9):
        await update(sid=workers[0], attributes=f'{{"n":{n}}}')
    async with serving.client.agent_session(file) as again:
        stood = [await until(again, "snapshot") for _ in workers]
        assert again.missed == 1

    assert {each.worker_sid for each in stood} == set(workers)


async def test_a_session_that_is_refused_raises_where_it_is_read(
    serving: Serving,
) -> None:
    made = await serving.client.admin.CreateKey(friendly_name="short")
    client = await serving.connect(f"{made.key.sid}.{made.secret}")
    ann = await hire(serving)
    async with client.agent_session() as session:
        await session.subscribe([ann])
        await until(session, "snapshot")
        await serving.client.admin.RevokeKey(sid=made.key.sid)
        await add_task(serving)
        with pytest.raises(Exception, match="revoked"):
            await until(session, "worker.deleted")


async def test_a_session_vouches_by_heartbeats_and_declares_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_session, "HEARTBEAT_SECONDS", 0.01)
    ann = await hire(serving)
    async with serving.client.agent_session() as session:
        await session.connect([ann])
        await becomes(serving.client, ann, "CONNECTED")
        serving.clock.advance(limits.PRESENCE_SILENCE)
        # Whichever comes first, the silence or a heartbeat: it ends well.
        await becomes(serving.client, ann, "CONNECTED")

        await serving.restart_in_place()
        # A channel of its own: the other one may wait before it connects again.
        client = await serving.connect()
        await becomes(client, ann, "CONNECTED")

        await session.disconnect([ann])
        await becomes(client, ann, "GRACE")
        await session.disconnect([ann], untrack=True)
        await becomes(client, ann, "UNTRACKED")


async def test_a_session_that_is_replaced_does_not_take_the_worker_back(
    serving: Serving,
) -> None:
    ann = await hire(serving)
    async with (
        serving.client.agent_session() as one,
        serving.client.agent_session() as two,
    ):
        await one.subscribe([ann])
        await one.connect([ann])
        await becomes(serving.client, ann, "CONNECTED")
        await two.connect([ann])
        left = await until(one, "unsubscribed")
        await serving.restart_in_place()
        await becomes(await serving.connect(), ann, "CONNECTED")

        assert left.refusal is not None
        assert left.refusal.reason == "SESSION_REPLACED"
        assert one.worker_sids == ()
        assert list(two.connected_sids) == [ann]


async def test_a_session_that_was_cut_leaves_the_worker_to_a_later_one(
    serving: Serving,
) -> None:
    ann = await hire(serving)
    client = await serving.connect()
    async with serving.client.agent_session() as one, client.agent_session() as two:
        await one.connect([ann])
        await answered(one, ann)
        async with one._writing:  # so long it says nothing to anybody
            serving.clock.advance(limits.SECOND)
            await serving.restart_in_place()
            await two.connect([ann])
            await answered(two, ann)
        left = await until(one, "unsubscribed")
        await becomes(await serving.connect(), ann, "CONNECTED")

        assert left.refusal is not None
        assert left.refusal.reason == "SESSION_REPLACED"
        assert min(one.resumed, two.resumed) >= 1
        assert (one.connected_sids, two.connected_sids) == ((), (ann,))
