"""A server as a process of its own, which can be killed."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

from flexcore.client import CREDENTIALS_FILE, Client

#: a server that says nothing for this long has failed
START_SECONDS = 30.0
DRAIN_SECONDS = 30.0
ERROR_LINES = 20


class Broken(Exception):
    """The server did not start, or did not stop; the text holds its last lines."""


class Start(NamedTuple):
    """How long a start took, from the first instruction to the first call."""

    seconds: float


class ServerProcess:
    """`flexcore serve` on one data folder, on free ports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.address = ""

    async def spawn(self) -> None:
        """Start the process and return at once."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flexcore", "serve", "--json", "--dev"),
            *("--data", str(self.data), "--log-level", "error"),
            *("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def start(self) -> Start:
        """Start the process and wait until it serves."""
        began = time.perf_counter()
        await self.spawn()
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            await self.kill()
            raise Broken(f"the server did not start\n{await self.errors()}")
        self.address = json.loads(line)["grpc"]
        return Start(time.perf_counter() - began)

    def client(self) -> Client:
        """Return a client with the key that the server left in its folder."""
        known = json.loads((self.data / CREDENTIALS_FILE).read_text())
        return Client(self.address, f"{known['key_sid']}.{known['secret']}")

    async def kill(self) -> None:
        """End it at once, as the kernel or the power would."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def drain(self) -> None:
        """Ask it to stop; Broken unless it does so in time and says all is well."""
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            await self.kill()
            raise Broken(f"the server did not drain\n{await self.errors()}") from None
        if code:
            raise Broken(f"the server ended with {code}\n{await self.errors()}")

    async def errors(self) -> str:
        """Return the last lines of a process that has ended."""
        assert self._process.stderr is not None
        lines = (await self._process.stderr.read()).decode().splitlines()
        return "\n".join(lines[-ERROR_LINES:])
