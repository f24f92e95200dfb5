"""A peer that is paused is noticed by pings, though its kernel goes on acknowledging."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flexcore import client as client_module
from flexcore import server
from flexcore.client import connect
from flexcore.domain.clock import VirtualClock
from tests.api.refusals import refusal
from tests.serving import Serving
from tests.simulation.crash_process import ServerProcess

#: the settings that decide, and what makes the test short: a twentieth of the time
DECIDING = (
    "grpc.keepalive_time_ms",
    "grpc.keepalive_timeout_ms",
    "grpc.http2.ping_timeout_ms",
)
FASTER = 20
DESK = """
import asyncio
from flexcore.client import connect

async def main():
    async with connect() as client:
        stream = client.event.WatchEvents(start_now=True)
        await stream.read()
        print("watching", flush=True)
        await stream.read()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_paused_peer_is_noticed_within_thirty_seconds(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dict(server.GRPC_OPTIONS)
    assert sum(settings[name] for name in DECIDING[:2]) <= 30_000
    assert sum(settings[name] for name in DECIDING[::2]) <= 30_000
    faster = {name: settings[name] // FASTER for name in DECIDING}
    options = tuple((settings | faster).items())
    monkeypatch.setattr(server, "GRPC_OPTIONS", options)
    async with Serving(tmp_path / "data", clock) as serving:
        tails = [each.tail for each in serving.server.engine.accounts().values()]
        desk = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DESK),
            env={"FLEXCORE_DATA": str(serving.data)},
            stdout=subprocess.PIPE,
        )
        try:
            assert desk.stdout is not None
            assert await desk.stdout.readline() == b"watching\n"
            assert any(tail._open for tail in tails)
            desk.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(30 / FASTER + 2):
                while any(tail._open for tail in tails):
                    await serving.client.admin.GetServerInfo()
        finally:
            desk.kill()
            await desk.wait()


@pytest.mark.slow
async def test_a_paused_server_is_noticed_within_thirty_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dict(client_module._OPTIONS)
    assert sum(settings[name] for name in DECIDING[:2]) <= 30_000
    assert sum(settings[name] for name in DECIDING[::2]) <= 30_000
    faster = {name: settings[name] // FASTER for name in DECIDING}
    monkeypatch.setattr(client_module, "_OPTIONS", tuple((settings | faster).items()))
    paused = ServerProcess(tmp_path / "data")
    await paused.start()
    try:
        async with connect(data=paused.data) as client:
            stream = client.event.WatchEvents(start_now=True)
            await stream.read()
            paused._process.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(30 / FASTER + 2):
                refused = await refusal(stream.read())
    finally:
        await paused.kill()

    assert refused.code == "UNAVAILABLE"
