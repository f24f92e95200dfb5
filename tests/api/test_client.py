"""The client finds its server and key, repeats safely, and resumes its streams."""

import asyncio
import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from flexcore import client as client_module
from flexcore.cli.failures import UNREACHABLE
from flexcore.cli.failures import refusal as told_by_cli
from flexcore.client import CredentialsMissing, connect, error_reason, resuming
from flexcore.domain.errors import Unavailable
from flexcore.v1 import routing_service_pb2
from tests.factories import make_sid
from tests.serving import Serving

REFUSED = grpc.ChannelConnectivity.TRANSIENT_FAILURE
EXAMPLE = Path(__file__).parents[2] / "examples/first_reservation.py"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLEXCORE_ADDRESS", "FLEXCORE_KEY", "FLEXCORE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS_MAX", 0.01)


async def take(events: AsyncIterator[Any], count: int) -> list[Any]:
    """Return the next `count` events, within ten seconds."""
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


# --- finding a server ------------------------------------------------------------------


async def test_the_data_folder_of_a_server_is_enough(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(data=serving.data) as client:
        assert client.target == serving.server.target
        await client.routing.ListTasks()
    monkeypatch.setenv("FLEXCORE_DATA", str(serving.data))
    async with connect() as client:
        await client.routing.ListTasks()


async def test_arguments_win_over_the_environment_over_the_folder(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left = {"address": "127.0.0.1:1", "key_sid": "SK1", "secret": "wrong"}
    (tmp_path / "credentials.json").write_text(json.dumps(left))
    made = await serving.client.admin.CreateKey(friendly_name="desk")
    monkeypatch.setenv("FLEXCORE_ADDRESS", serving.server.target)
    monkeypatch.setenv("FLEXCORE_KEY", f"{made.key.sid}.{made.secret}")

    async with connect(data=tmp_path) as client:
        await client.routing.ListTasks()
    async with connect(key="SK1.wrong", data=tmp_path) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.routing.ListTasks()
    assert error_reason(caught.value) == "CREDENTIAL_INVALID"


def test_without_a_key_connect_says_where_to_find_one(tmp_path: Path) -> None:
    with pytest.raises(CredentialsMissing, match="FLEXCORE_KEY"):
        connect(data=tmp_path)


async def test_without_a_server_connect_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.1)

    with pytest.raises(ConnectionError, match=r"no server answers at 127\.0\.0\.1:1"):
        await connect("127.0.0.1:1", "SK1.secret", tmp_path)


# --- calls -----------------------------------------------------------------------------


async def test_a_call_takes_a_request_or_its_fields(serving: Serving) -> None:
    routing = serving.client.routing
    request = routing_service_pb2.CreateTaskRequest(priority=3)
    by_request = (await routing.CreateTask(request)).task
    by_fields = (await routing.CreateTask(priority=3)).task

    assert by_request.priority == by_fields.priority == 3
    assert by_request.sid != by_fields.sid
    assert request.request_id == ""


async def test_every_mutating_call_carries_a_request_id(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    submit = serving.server.engine.submit

    async def spy(principal: Any, command: Any) -> Any:
        seen.append(command.request_id)
        return await submit(principal, command)

    monkeypatch.setattr(serving.server.engine, "submit", spy)
    for _ in range(2):
        await serving.client.routing.CreateTask()
    await serving.client.routing.CreateTask(request_id="mine")

    assert len(set(seen)) == 3
    assert all(seen)
    assert seen[2] == "mine"


async def test_a_call_is_repeated_while_the_server_is_unavailable(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, seen = serving.server.engine.submit, []

    async def shaky(principal: Any, command: Any) -> Any:
        seen.append(command.request_id)
        answer = await submit(principal, command)
        if len(seen) < 3:
            raise Unavailable("the writer is behind")
        return answer

    monkeypatch.setattr(serving.server.engine, "submit", shaky)
    made = await serving.client.routing.CreateTask()
    monkeypatch.undo()

    assert len(seen) == 3
    assert len(set(seen)) == 1
    (task,) = (await serving.client.routing.ListTasks()).tasks
    assert task == made.task


async def test_calls_made_right_after_a_restart_are_answered(serving: Serving) -> None:
    """They find the connection lost, or refused, or a pause before the next attempt."""
    made = []
    for _ in range(3):
        await serving.restart_in_place()
        calls = (serving.client.routing.CreateTask() for _ in range(20))
        made += [answer.task.sid for answer in await asyncio.gather(*calls)]

    listed = (await serving.client.routing.ListTasks(page_size=1_000)).tasks
    assert sorted(made) == sorted(task.sid for task in listed)


async def test_calls_are_answered_whenever_a_server_restarts(serving: Serving) -> None:
    """Those that arrive while it stops are canceled, and repeated by the client."""
    restarting = asyncio.Event()
    restarting.set()
    made: list[str] = []

    async def call_on() -> None:
        while restarting.is_set():
            made.append((await serving.client.routing.CreateTask()).task.sid)

    callers = [asyncio.create_task(call_on()) for _ in range(20)]
    for _ in range(3):
        await serving.restart_in_place()
        # until everybody was answered by this one
        answered = len(made) + len(callers)
        async with asyncio.timeout(10):
            while len(made) < answered and not any(each.done() for each in callers):
                await serving.client.admin.GetServerInfo()
    restarting.clear()
    await asyncio.gather(*callers)

    tasks = await serving.client.routing.ListTasks(page_size=1_000)
    while tasks.next_page_token:
        page = tasks.next_page_token
        more = await serving.client.routing.ListTasks(page_size=1_000, page_token=page)
        tasks.tasks.extend(more.tasks)
        tasks.next_page_token = more.next_page_token
    assert sorted(made) == sorted(task.sid for task in tasks.tasks)


@pytest.fixture
def _without_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads(client_module._SERVICE_CONFIG)
    del config["methodConfig"][0]["retryPolicy"]
    options = dict(client_module._OPTIONS) | {"grpc.service_config": json.dumps(config)}
    monkeypatch.setattr(client_module, "_OPTIONS", tuple(options.items()))


@pytest.mark.usefixtures("_without_repeats")
async def test_a_call_waits_for_its_server_until_its_deadline(serving: Serving) -> None:
    """However long: repeats alone would be used up after some seconds."""
    client, port = await serving.connect(), serving.server.grpc_port
    await serving.server.stop()
    waiting = asyncio.ensure_future(client.routing.CreateTask())
    async with asyncio.timeout(10):
        while (state := client.grpc_channel.get_state()) is not REFUSED:
            await client.grpc_channel.wait_for_state_change(state)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.routing.CreateTask(deadline_seconds=0.05)
    assert not waiting.done()
    await serving.start_in_place(port)
    sid = (await waiting).task.sid

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert told_by_cli(caught.value, {}).exit_code == UNREACHABLE
    assert [task.sid for task in (await client.routing.ListTasks()).tasks] == [sid]


# --- streams ---------------------------------------------------------------------------


async def available_worker(serving: Serving) -> str:
    made = await serving.client.workspace.CreateWorker(
        friendly_name="alice", activity="Available"
    )
    return str(made.worker.sid)


async def test_reservations_begin_with_what_is_open(serving: Serving) -> None:
    client, worker_sid = serving.client, await available_worker(serving)
    await client.workspace.UpdateWorkerChannel(
        worker_sid=worker_sid, task_channel="default", configured_capacity=3
    )
    first = (await client.routing.CreateTask(attributes='{"n":1}')).task
    (found,) = (await client.routing.ListReservations()).reservations
    await client.routing.AcceptReservation(sid=found.sid)
    second = (await client.routing.CreateTask()).task
    reservations = client.reservations(worker_sid)
    events = aiter(reservations)
    open_ones = await take(events, 2)
    third = (await client.routing.CreateTask()).task
    (fresh,) = await take(events, 1)

    assert {(one.type, one.task.sid) for one in open_ones} == {
        ("reservation.accepted", first.sid),
        ("reservation.created", second.sid),
    }
    assert all(one.snapshot and not one.sequence for one in open_ones)
    assert (fresh.type, fresh.task.sid) == ("reservation.created", third.sid)
    assert fresh.sequence
    assert not fresh.snapshot
    await events.aclose()


@pytest.mark.usefixtures("_impatient")
async def test_reservations_go_on_after_the_server_was_away(serving: Serving) -> None:
    client, worker_sid = serving.client, await available_worker(serving)
    await client.workspace.UpdateWorkerChannel(
        worker_sid=worker_sid, task_channel="default", configured_capacity=9
    )
    reservations = client.reservations(worker_sid)
    events = aiter(reservations)
    tasks, found = [], []
    for number in range(4):
        tasks.append((await client.routing.CreateTask()).task.sid)
        found += await take(events, 1)
        if number % 2:
            await serving.restart_in_place()

    assert [one.task.sid for one in found] == tasks
    assert reservations.resumed >= 1
    assert reservations.missed == 0
    sequences = [one.sequence for one in found[1:]]
    assert sequences == sorted(set(sequences))
    await events.aclose()


async def test_a_token_carries_on_in_another_client(serving: Serving) -> None:
    client, worker_sid = serving.client, await available_worker(serving)
    reservations = client.reservations(worker_sid)
    events = aiter(reservations)
    await client.routing.CreateTask()
    (first,) = await take(events, 1)
    await client.routing.AcceptReservation(sid=first.reservation.sid)
    (accepted,) = await take(events, 1)
    token = reservations.resume_token
    await events.aclose()
    await client.routing.WrapTask(sid=first.task.sid)
    other = await serving.connect()
    events = aiter(other.reservations(worker_sid, token))
    found = await take(events, 1)
    if found[0].sequence == accepted.sequence:
        # The token lies before a message that was not handled to its end.
        found = await take(events, 1)

    assert found[0].type == "reservation.wrapup"
    await events.aclose()


async def test_a_lost_position_is_counted_and_begins_again(serving: Serving) -> None:
    client, worker_sid = serving.client, await available_worker(serving)
    stream = client.routing.StreamReservations(worker_sid=worker_sid)
    token = (await stream.read()).resume_token
    stream.cancel()
    task = (await client.routing.CreateTask()).task
    # The log as it is after its retention: nothing up to now is held.
    account = serving.server.engine._accounts  # type: ignore[attr-defined]
    tail = account[next(sid for sid in account if sid != "AC" + "0" * 32)].tail
    bounds = tail._store.bounds
    tail._store.bounds = lambda sid: (tail.head, bounds(sid)[1])
    try:
        reservations = client.reservations(worker_sid, token)
        events = aiter(reservations)
        (found,) = await take(events, 1)
    finally:
        tail._store.bounds = bounds

    assert reservations.missed == 1
    assert (found.task.sid, found.snapshot) == (task.sid, True)
    await events.aclose()


async def test_a_refused_stream_raises(serving: Serving) -> None:
    events = aiter(serving.client.reservations(make_sid("WK", 1)))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(events)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_leaving_the_loop_cancels_the_call(serving: Serving) -> None:
    client, worker_sid = serving.client, await available_worker(serving)
    await client.routing.CreateTask()
    opened = []
    routing, stream = client.routing, client.routing.StreamReservations

    class Spy:
        def StreamReservations(self, **fields: Any) -> Any:  # noqa: N802
            opened.append(stream(**fields))
            return opened[-1]

    client.routing = Spy()  # type: ignore[assignment]
    async for _ in client.reservations(worker_sid):
        break
    client.routing = routing
    async with asyncio.timeout(5):
        code = await opened[0].code()

    assert code is grpc.StatusCode.CANCELLED


async def test_messages_begin_with_what_was_said_and_end_with_the_conversation(
    serving: Serving,
) -> None:
    talk = serving.client.conversation
    sid = (await talk.CreateConversation()).conversation.sid

    async def say(body: str) -> None:
        await talk.SendMessage(conversation_sid=sid, author="system", body=body)

    for number in range(60):
        await say(str(number))
    events = aiter(serving.client.messages(sid))
    before = await take(events, 60)
    await say("60")
    (after,) = await take(events, 1)
    await talk.CloseConversation(sid=sid)
    with pytest.raises(StopAsyncIteration):
        await take(events, 1)

    bodies = [one.message.body for one in (*before, after)]
    assert bodies == [str(number) for number in range(61)]
    assert all(one.snapshot for one in before)
    assert not after.snapshot
    assert [one.message.body async for one in serving.client.messages(sid)] == bodies


@pytest.mark.usefixtures("_impatient")
async def test_messages_go_on_after_the_server_was_away(serving: Serving) -> None:
    talk = serving.client.conversation
    sid = (await talk.CreateConversation()).conversation.sid
    events = aiter(serving.client.messages(sid))
    found = []
    for number in range(3):
        body = str(number)
        await talk.SendMessage(conversation_sid=sid, author="system", body=body)
        found += await take(events, 1)
        await serving.restart_in_place()

    assert [one.message.index for one in found] == [0, 1, 2]
    await events.aclose()


# --- the example -----------------------------------------------------------------------


async def test_the_first_example_accepts_a_reservation(
    serving: Serving,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = importlib.util.spec_from_file_location("first_reservation", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setenv("FLEXCORE_DATA", str(serving.data))
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await example.main()

    assert "alice took WT" in capsys.readouterr().out
