"""The client's sessions when something is restarted at a bad time."""

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from flexcore.client import CommandRefused, error_reason, resuming
from flexcore.client.agent_session import AgentSession
from flexcore.client.worker_events import WorkerEvent
from flexcore.domain import limits
from tests.api.test_client_sessions import hire, take, until
from tests.api.test_presence import becomes
from tests.api.test_stream_contract import clean_up
from tests.factories import make_sid
from tests.serving import Serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS_MAX", 0.01)


async def change(serving: Serving, sid: str, n: int) -> None:
    client = await serving.connect()
    await client.workspace.UpdateWorker(sid=sid, attributes=f'{{"n":{n}}}')


async def changed(session: AgentSession) -> str:
    """Return what the next change of a worker made of it."""
    event = await until(session, "worker.attributes.update")
    assert event.event is not None
    return event.event.worker.attributes


async def arrived(session: AgentSession, kind: str) -> None:
    """Wait until the library holds an event that nobody has asked for."""
    async with asyncio.timeout(10):
        while not any(
            isinstance(item, WorkerEvent) and item.type == kind
            for item in session._items
        ):
            session._news.clear()
            await session._news.wait()


async def test_a_session_that_comes_back_while_the_server_drains_loses_nothing(
    serving: Serving,
) -> None:
    """It is sent away again before anybody read whom it subscribes."""
    workers = [await hire(serving, name) for name in ("ann", "bob")]
    async with serving.client.agent_session() as session:
        await session.subscribe(workers)
        for _ in workers:
            await until(session, "snapshot")
        reading = asyncio.ensure_future(changed(session))
        await serving.server.engine.end_streams()
        async with asyncio.timeout(10):
            while session.resumed < 3:
                await serving.client.admin.GetServerInfo()
        await change(serving, workers[0], 1)
        await serving.restart_in_place()

        assert await reading == '{"n":1}'
        assert session.missed == 0


async def test_a_worker_who_leaves_and_joins_again_at_once_is_no_gap(
    serving: Serving,
) -> None:
    ann, bob = [await hire(serving, name) for name in ("ann", "bob")]
    async with serving.client.agent_session() as session:
        await session.subscribe([ann, bob])
        for _ in (ann, bob):
            await until(session, "snapshot")
        await session.unsubscribe([ann])
        await session.subscribe([ann])
        # Both have come before the program looks.
        await arrived(session, "snapshot")
        await until(session, "snapshot")
        assert session.missed == 0

        for n, sid in enumerate((ann, bob)):
            reading = asyncio.ensure_future(changed(session))
            await serving.restart_in_place()
            await change(serving, sid, n)
            assert await reading == f'{{"n":{n}}}'
        assert session.missed == 0


async def test_a_command_given_while_the_server_is_down_is_given_once(
    serving: Serving,
) -> None:
    """Said twice, one that is refused would be decided again after what follows it."""
    ann = await hire(serving)
    async with serving.client.agent_session() as session:
        await session.subscribe([ann])
        stood = await until(session, "snapshot")
        assert stood.snapshot is not None
        version = stood.snapshot.worker.version
        port = serving.server.grpc_port
        await serving.server.stop()
        async with asyncio.timeout(10):
            while session._call is not None:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0)
        given = [
            asyncio.ensure_future(session.command(ann, update_worker=update))
            for update in (
                {"sid": ann, "attributes": '{"a":1}', "version": version + 1},
                {"sid": ann, "attributes": '{"b":2}'},
            )
        ]
        await serving.start_in_place(port)
        async with asyncio.timeout(10):
            refused, taken = await asyncio.gather(*given, return_exceptions=True)
            last = await session.command(
                ann, update_worker={"sid": ann, "friendly_name": "Ann"}
            )

    assert isinstance(refused, CommandRefused)
    assert refused.reason == "VERSION_MISMATCH"
    assert taken.worker.attributes == last.worker.attributes == '{"b":2}'


async def test_a_session_that_writes_while_the_server_stops_goes_on(
    serving: Serving,
) -> None:
    ann = await hire(serving)
    answers = 0

    async def give(session: AgentSession) -> None:
        nonlocal answers
        while True:
            with suppress(CommandRefused):
                await session.command(
                    ann, accept_reservation={"sid": make_sid("WR", 1)}
                )
            answers += 1

    async with asyncio.timeout(20), serving.client.agent_session() as session:
        giving = [asyncio.create_task(give(session)) for _ in range(20)]
        for _ in range(3):
            enough = answers + 100
            while answers < enough:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0)
            await serving.restart_in_place()
        enough = answers + 100
        while answers < enough:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0)
        for each in giving:
            each.cancel()
        ends = await asyncio.gather(*giving, return_exceptions=True)

    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert session.resumed >= 3


async def test_who_is_untracked_between_two_connections_is_so(
    serving: Serving,
) -> None:
    ann = await hire(serving)
    async with serving.client.agent_session() as session:
        await session.connect([ann])
        await becomes(serving.client, ann, "CONNECTED")
        port = serving.server.grpc_port
        await serving.server.stop()
        async with asyncio.timeout(10):
            while session._call is not None:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0)
        await session.disconnect([ann], untrack=True)
        await serving.start_in_place(port)

        await becomes(await serving.connect(), ann, "UNTRACKED")


async def test_nobody_who_says_something_waits_for_a_server_that_is_away(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS", 0.0)
    ann, bob = [await hire(serving, name) for name in ("ann", "bob")]
    async with serving.client.agent_session() as session:
        await session.subscribe([bob])
        await until(session, "snapshot")
        port = serving.server.grpc_port
        await serving.server.stop()
        async with asyncio.timeout(10):
            while not session.resumed:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0)
            for _ in range(100):  # until the next call waits for a server
                await asyncio.sleep(0)
            await session.subscribe([ann])
            await session.connect([ann])
            await session.unsubscribe([bob])
            await session.disconnect([bob])
        await serving.start_in_place(port)

        await becomes(await serving.connect(), ann, "CONNECTED")
        assert (await until(session, "snapshot")).worker_sid == ann


async def test_a_session_that_lost_its_place_keeps_its_workers(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "session"
    ann = await hire(serving)
    async with serving.client.agent_session(file) as session:
        await session.subscribe([ann])
        await until(session, "snapshot")
        reading = asyncio.ensure_future(anext(session))
        await serving.server.engine.end_streams()
        async with asyncio.timeout(10):
            while session.resumed < 2:
                await serving.client.admin.GetServerInfo()
            session._lose()  # as when its token is too old, from a server that drains
            while json.loads(file.read_text())["token"]:
                await serving.client.admin.GetServerInfo()
        reading.cancel()
    async with serving.client.agent_session(file) as again:
        assert again.worker_sids == (ann,)


async def test_what_a_session_was_refused_is_told_though_it_was_cut_before(
    serving: Serving,
) -> None:
    ann, nobody = await hire(serving), make_sid("WK", 1)
    client = await serving.connect()
    async with serving.client.agent_session() as one, client.agent_session() as two:
        await one.subscribe([ann])
        await one.connect([ann])
        await until(one, "snapshot")
        await two.connect([ann])
        await arrived(one, "unsubscribed")
        await two.subscribe([nobody])
        await arrived(two, "unsubscribed")
        await serving.restart_in_place()

        for session, reason in (
            (one, "SESSION_REPLACED"),
            (two, "RESOURCE_NOT_FOUND"),
        ):
            left = await until(session, "unsubscribed")
            assert left.refusal is not None
            assert left.refusal.reason == reason
        # And once: what comes next is of another.
        bob = await hire(serving, "bob")
        await one.subscribe([bob])
        (after,) = await take(aiter(one), 1)
        assert (after.type, after.worker_sid) == ("snapshot", bob)


# --- logs that are not what they were --------------------------------------------------


async def test_events_whose_start_is_no_longer_held_say_so(serving: Serving) -> None:
    """There is no token to do without: to ask again would be to ask for ever."""
    await hire(serving)
    clean_up(serving)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await take(aiter(serving.client.events(start_sequence=1)), 1)

    assert error_reason(refused.value) == "TOKEN_BELOW_FLOOR"


async def test_events_whose_place_is_no_longer_held_begin_with_the_oldest(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    stream = aiter(serving.client.events(token_file=file, start_sequence=1))
    await take(stream, 1)
    reading = asyncio.ensure_future(anext(stream))
    await hire(serving, "lost")
    await reading
    await stream.aclose()
    clean_up(serving)
    found = await hire(serving, "found")
    events = serving.client.events(token_file=file, start_sequence=1)
    stream = aiter(events)
    (first,) = await take(stream, 1)
    await stream.aclose()

    assert events.missed == 1
    assert found in {each.worker.sid for each in first.resources}


async def test_messages_of_a_log_that_was_put_back_are_those_it_has(
    serving: Serving, tmp_path: Path
) -> None:
    talk = (await serving.client.conversation.CreateConversation()).conversation.sid

    async def say(body: str) -> None:
        client = await serving.connect()
        await client.conversation.SendMessage(
            conversation_sid=talk, author="system", body=body
        )

    await say("first")
    await serving.copy(tmp_path / "copy")
    messages = serving.client.messages(talk)
    stream = aiter(messages)
    await say("lost")
    before = await take(stream, 2)
    reading = asyncio.ensure_future(take(stream, 2))
    port = serving.server.grpc_port
    await serving.server.stop()
    shutil.rmtree(serving.data)
    shutil.copytree(tmp_path / "copy", serving.data)
    serving.clock.advance(limits.SECOND)
    await serving.start_in_place(port)
    await say("found")
    after = await reading
    await stream.aclose()

    assert [each.message.body for each in before] == ["first", "lost"]
    assert [each.message.body for each in after] == ["first", "found"]
    assert messages.missed == 1
