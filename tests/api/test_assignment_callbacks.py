"""Assignment callbacks over the real server: set up by calls, answered by a receiver."""

import asyncio
import json
import os
import re
import runpy
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flexcore.client import Client, connect
from flexcore.config import Address, Config
from flexcore.server import Server
from flexcore.v1 import routing_pb2
from tests.api.refusals import refusal
from tests.receiver import Receiver
from tests.serving import Serving

FLEXCORE = Path(sys.executable).with_name("flexcore")
EXAMPLE = Path(__file__).parents[2] / "examples/assignment_callback.py"
ACCEPT = {"instruction": "accept"}


async def named(client: Client, *urls: str) -> str:
    """Let the workflow name these URLs, and somebody be there; return the workflow."""
    first, fallback = (*urls, "", "")[:2]
    (workflow,) = (await client.workspace.ListWorkflows()).workflows
    await client.workspace.UpdateWorkflow(
        sid=workflow.sid,
        assignment_callback_url=first,
        fallback_assignment_callback_url=fallback,
    )
    await client.workspace.CreateWorker(friendly_name="alice", activity="Available")
    sid: str = workflow.sid
    return sid


async def reservation(client: Client, task_sid: str) -> Any:
    found = await client.routing.ListReservations(task_sid=task_sid)
    return found.reservations[0]


async def until(client: Client, task_sid: str, status: int) -> Any:
    """Wait until the offer of a task has a status."""
    async with asyncio.timeout(10):
        while (found := await reservation(client, task_sid)).status != status:
            pass  # each call lets the server go on
    return found


async def test_receiver_accepts_and_its_stream_shows_the_offer_and_the_end(
    serving: Serving,
) -> None:
    client = serving.client
    async with Receiver(ACCEPT) as receiver:
        await named(client, receiver.url)
        (workspace,) = (await client.workspace.ListWorkspaces()).workspaces
        task = (await client.routing.CreateTask()).task
        found = await until(client, task.sid, routing_pb2.RESERVATION_STATUS_ACCEPTED)
        secret = await client.workspace.GetCallbackSecret(sid=workspace.sid)

    (call,) = receiver.calls
    assert call.form["ReservationSid"] == found.sid
    assert call.signed_by(secret.secret) == [True]
    assert list(found.callback_problems) == []


async def test_what_was_no_answer_stands_in_the_reservation_and_the_task(
    serving: Serving,
) -> None:
    client = serving.client
    async with Receiver({"instruction": "dequeue"}) as receiver:
        await named(client, receiver.url, "http://127.0.0.1:9/")
        task = (await client.routing.CreateTask()).task
        found = await until(client, task.sid, routing_pb2.RESERVATION_STATUS_CANCELED)
    held = (await client.routing.GetTask(sid=task.sid)).task
    listed = await client.event.ListEvents(types=["reservation.callback-failed"])

    first, second = found.callback_problems
    assert first.reason == routing_pb2.CALLBACK_REASON_INSTRUCTION_UNSUPPORTED
    assert first.text == "instruction dequeue is for voice"
    assert second.reason == routing_pb2.CALLBACK_REASON_UNREACHABLE
    assert (first.fallback, second.fallback) == (False, True)
    assert held.callback_failures == 1
    assert held.hold_time.seconds == found.update_time.seconds + 1
    told = [event.sid for each in listed.change_sets for event in each.events]
    assert told == [found.sid, found.sid]


async def test_callback_is_told_after_a_restart_to_who_was_not_there(
    serving: Serving,
) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        await named(serving.client, receiver.url)
        task = (await serving.client.routing.CreateTask()).task
        while not receiver.calls:
            await serving.client.routing.GetTask(sid=task.sid)
        receiver.open.set()
        await serving.restart()
        await until(serving.client, task.sid, routing_pb2.RESERVATION_STATUS_ACCEPTED)

    assert len({call.id for call in receiver.calls}) == 1


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[Process]:
    """Serve in a process of its own."""
    free = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        *(FLEXCORE, "serve", "--dev", "--data", data, *free), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            await process.stdout.readline()  # it serves
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
async def test_callback_that_a_kill_cut_off_is_made_again_with_its_id(
    tmp_path: Path,
) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        async with served(tmp_path) as process, connect(data=tmp_path) as client:
            await named(client, receiver.url)
            task = (await client.routing.CreateTask()).task
            async with asyncio.timeout(10):
                while not receiver.calls:
                    await client.routing.GetTask(sid=task.sid)
            process.kill()
            await process.wait()
        receiver.open.set()
        async with served(tmp_path), connect(data=tmp_path) as client:
            await until(client, task.sid, routing_pb2.RESERVATION_STATUS_ACCEPTED)

    assert len(receiver.calls) == 2
    assert len({call.id for call in receiver.calls}) == 1


async def test_command_line_tells_secret_and_what_went_wrong(serving: Serving) -> None:
    client = serving.client
    async with Receiver(web.Response(status=500)) as receiver:
        await named(client, receiver.url)
        task = (await client.routing.CreateTask()).task
        await until(client, task.sid, routing_pb2.RESERVATION_STATUS_CANCELED)
    (workspace,) = (await client.workspace.ListWorkspaces()).workspaces
    secret = (await client.workspace.GetCallbackSecret(sid=workspace.sid)).secret
    said = await asyncio.gather(
        command(serving, "workspace", "callback-secret"),
        command(serving, "workspace", "callback-secret", workspace.sid, "--json"),
        command(serving, "explain", task.sid),
    )

    assert re.fullmatch(r"whsec_[\w+/]{43}=", secret)
    assert said[0] == f"{secret}\n"
    assert json.loads(said[1]) == {"workspace_sid": workspace.sid, "secret": secret}
    assert said[2].startswith(
        "held back: the assignment callback of its last offer came to nothing; last:"
        " answered 500, not 200\n"
    )
    assert "it may be offered again" in said[2]


async def command(serving: Serving, *words: str) -> str:
    """Return what a command prints."""
    process = await asyncio.create_subprocess_exec(
        *(FLEXCORE, *words),
        env={**os.environ, "FLEXCORE_DATA": str(serving.data)},
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example.org/", "https://", "https://u:p@a.example.org/", "a b"),
        *("http://a.example.org/", "https://a.example.org:444/", "https://a.org:x/"),
        *("http://10.0.0.1/", "https://a.example.org/#x", "https://\u00fc.org/"),
        *("https://a.example.org:0/", "https://a.example.org/" + "x" * 2_048),
    ],
)
@pytest.mark.parametrize(
    "field", ["assignment_callback_url", "fallback_assignment_callback_url"]
)
async def test_url_that_would_not_be_called_is_refused_and_named(
    serving: Serving, url: str, field: str
) -> None:
    setup = serving.client.workspace
    (workflow,) = (await setup.ListWorkflows()).workflows
    create = {"friendly_name": "new", "configuration": workflow.configuration}

    for call in (
        setup.UpdateWorkflow(sid=workflow.sid, **{field: url}),
        setup.CreateWorkflow(**create, **{field: url}),
    ):
        found = await refusal(call)
        assert (found.code, [*found.fields]) == ("INVALID_ARGUMENT", [field])
    assert (await setup.GetWorkflow(sid=workflow.sid)).workflow == workflow


async def test_url_can_be_taken_back_and_a_revision_leaves_it_alone(
    serving: Serving,
) -> None:
    setup = serving.client.workspace
    sid = await named(
        serving.client, "http://localhost:9/", "https://a.example.org/b?c"
    )
    workflow = (await setup.GetWorkflow(sid=sid)).workflow
    changed = await setup.UpdateWorkflow(
        sid=sid, configuration=workflow.configuration + " "
    )
    cleared = await setup.UpdateWorkflow(sid=sid, assignment_callback_url="")

    assert changed.workflow.revision_sid != workflow.revision_sid
    assert changed.workflow.assignment_callback_url == "http://localhost:9/"
    assert cleared.workflow.assignment_callback_url == ""
    fallback = "https://a.example.org/b?c"
    assert cleared.workflow.fallback_assignment_callback_url == fallback


@asynccontextmanager
async def running(data: Path, *, dev: bool) -> AsyncIterator[Client]:
    """Serve by the clock on the wall."""
    free = Address("127.0.0.1", 0)
    server = Server(Config(data=data, grpc=free, http=free, dev=dev))
    await server.start()
    client = await connect(server.target, data=data)
    try:
        yield client
    finally:
        await client.close()
        await server.stop()


async def test_server_that_is_not_for_development_calls_nothing_of_its_own_machine(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, dev=True) as client, Receiver(ACCEPT) as receiver:
        await named(client, receiver.url)
    async with running(tmp_path, dev=False) as client:
        (workflow,) = (await client.workspace.ListWorkflows()).workflows
        again = await refusal(
            client.workspace.UpdateWorkflow(
                sid=workflow.sid, assignment_callback_url=receiver.url
            )
        )
        # It was taken before.
        task = (await client.routing.CreateTask()).task
        found = await until(client, task.sid, routing_pb2.RESERVATION_STATUS_CANCELED)

    assert again.code == "INVALID_ARGUMENT"
    (problem,) = found.callback_problems
    assert problem.reason == routing_pb2.CALLBACK_REASON_FORBIDDEN
    assert receiver.calls == []


# the example


@pytest.mark.slow
async def test_the_example_accepts_what_is_signed(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with running(tmp_path, dev=True) as client:
        (workspace,) = (await client.workspace.ListWorkspaces()).workspaces
        secret = (await client.workspace.GetCallbackSecret(sid=workspace.sid)).secret
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, EXAMPLE, "--port", str(port)),
            env={**os.environ, "CALLBACK_SECRET": secret},
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(20):
                await process.stdout.readline()  # it listens
                await named(client, f"http://127.0.0.1:{port}/offers")
                task = (await client.routing.CreateTask(attributes='{"a":1}')).task
                await until(client, task.sid, routing_pb2.RESERVATION_STATUS_ACCEPTED)
                lines = []
                while not any(" takes " in line for line in lines):
                    lines.append((await process.stdout.readline()).decode())
        finally:
            process.terminate()
            await process.wait()

    assert lines[-1].endswith(f"takes {task.sid}: {{'a': 1}}\n")


async def test_the_example_refuses_what_is_not_signed_or_old(serving: Serving) -> None:
    verified = runpy.run_path(str(EXAMPLE))["verified"]
    client = serving.client
    async with Receiver(ACCEPT) as receiver:
        await named(client, receiver.url)
        (workspace,) = (await client.workspace.ListWorkspaces()).workspaces
        task = (await client.routing.CreateTask()).task
        await until(client, task.sid, routing_pb2.RESERVATION_STATUS_ACCEPTED)
        secret = (await client.workspace.GetCallbackSecret(sid=workspace.sid)).secret
        rotate = client.workspace.UpdateWorkspace
        await rotate(sid=workspace.sid, rotate_callback_secret=True)
        other = (await client.workspace.GetCallbackSecret(sid=workspace.sid)).secret

    (call,) = receiver.calls
    now = int(call.headers["webhook-timestamp"])
    assert verified(call.headers, call.body, secret, now)
    assert verified(call.headers, call.body, secret, now + 300)
    assert not verified(call.headers, call.body, secret, now + 301)
    assert not verified(call.headers, call.body, secret, now - 301)
    assert not verified(call.headers, call.body, other, now)
    assert not verified(call.headers, call.body + b"x", secret, now)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert not verified({**call.headers, name: "1"}, call.body, secret, now)
        assert not verified({**call.headers, name: "\udcff"}, call.body, secret, now)
