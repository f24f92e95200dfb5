"""Starts the processes, lets the scenario happen, and leaves nothing behind."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc

from flexcore.client import connect
from flexcore.demo.actors import Actor, Process, Violated
from flexcore.demo.ledger import Ledger
from flexcore.demo.scenario import CARRIER_ACCOUNT, Cast, run
from flexcore.demo.transcript import Transcript
from flexcore.domain.clock import SystemClock
from flexcore.domain.ids import Ids

#: what to try next, each in a terminal of its own
NEXT = ("serve --dev", "phone +15550001111", "agent worker-1")

Scenario = Callable[[Cast], Awaitable[dict[str, Any]]]


def play(*, json_output: bool, scenario: Scenario = run) -> None:
    """Run the demonstration; exits 1 when a promise was broken, 130 on Ctrl-C."""
    # What is set for a server of the user's is not meant for this one.
    for name in [each for each in os.environ if each.startswith("FLEXCORE_")]:
        del os.environ[name]
    transcript = Transcript(json_output=json_output)
    try:
        figures = asyncio.run(_play(transcript, scenario))
    except (Violated, grpc.aio.AioRpcError, OSError) as broken:
        text = broken.details() if isinstance(broken, grpc.RpcError) else str(broken)
        print(f"the demonstration failed: {text}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    transcript.close(figures, [f"{_command()} {arguments}" for arguments in NEXT])


def _command() -> str:
    """Return how this command line is called from here."""
    if shutil.which("flexcore"):
        return "flexcore"
    return os.path.relpath(Path(sys.executable).with_name("flexcore"))


async def _play(transcript: Transcript, scenario: Scenario) -> dict[str, Any]:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run makes one"
    # Whoever ends the demonstration ends its processes too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as stack:
        data = Path(tempfile.mkdtemp(prefix="flexcore-demo-"))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        server = Server(data / "data")
        stack.push_async_callback(server.close)
        transcript.say("server", await server.begin())

        auth_token = Ids(SystemClock()).secret()
        customers = Actor("customer", "flexcore.demo.customer")
        stack.push_async_callback(customers.close)
        await customers.start(CARRIER_ACCOUNT, auth_token)
        agents = Actor("agent", "flexcore.demo.agents")
        stack.push_async_callback(agents.close)
        await agents.start(str(server.data))

        client = await stack.enter_async_context(connect(data=server.data))
        ledger = Ledger(client)
        stack.push_async_callback(ledger.close)
        ledger.start()
        cast = Cast(transcript, server, customers, agents, client, ledger, auth_token)
        return await scenario(cast)


class Server(Process):
    """`flexcore serve --dev` on a data folder and ports of its own."""

    def __init__(self, data: Path) -> None:
        super().__init__("server")
        self.data = data
        # The same ports after a restart, as in life.
        self._grpc, self._http = _free_ports(2)

    @property
    def url(self) -> str:
        """Where webhooks go."""
        return f"http://127.0.0.1:{self._http}"

    async def begin(self) -> str:
        """Start, also after a kill; return the line it prints when it serves."""
        await self.start(
            *("-m", "flexcore", "serve", "--dev", "--log-level", "error"),
            *("--data", str(self.data)),
            *("--grpc", f"127.0.0.1:{self._grpc}"),
            *("--http", f"127.0.0.1:{self._http}"),
        )
        return await self.line()


def _free_ports(count: int) -> list[int]:
    """Return ports nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
