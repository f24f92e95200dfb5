"""A real server inside the test: loopback sockets, a real data folder, virtual time."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from flexcore.client import Client, connect
from flexcore.config import Address, Config
from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.server import Server


class Serving:
    """Starts, restarts and stops a server, and connects to it with its first key."""

    def __init__(self, data: Path, clock: VirtualClock) -> None:
        self.data = data
        self.clock = clock
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server on free ports and connect `client` to it."""
        config = Config(
            data=self.data,
            grpc=Address("127.0.0.1", 0),
            http=Address("127.0.0.1", 0),
            dev=True,
        )
        self.server = Server(config, self.clock, self.clock)
        await self.server.start()
        self.client = await self.connect()

    async def connect(self, key: str | None = None) -> Client:
        """Return a further client; the first key unless another is given."""
        client = await connect(self.server.target, key=key, data=self.data)
        self._clients.append(client)
        return client

    async def stop(self) -> None:
        """Close the clients and drain the server."""
        for client in self._clients:
            await client.close()
        self._clients.clear()
        await self.server.stop()

    async def restart(self) -> None:
        """Stop and start on the same data, with new ports."""
        await self.stop()
        await self.start()

    async def copy(self, to: Path) -> None:
        """Copy the data folder, as an operator does while no server uses it."""
        await self.stop()
        shutil.copytree(self.data, to)
        await self.start()

    async def put_back(self, copy: Path) -> None:
        """Start on a copy of the data, some time later; what came after it is lost."""
        await self.stop()
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
        self.clock.advance(limits.SECOND)
        await self.start()

    async def restart_in_place(self) -> None:
        """Stop and start on the same port; clients stay open."""
        port = self.server.grpc_port
        await self.server.stop()
        await self.start_in_place(port)

    async def start_in_place(self, port: int) -> None:
        """Start where a server was that has stopped."""
        config = Config(
            self.data, Address("127.0.0.1", port), Address("127.0.0.1", 0), dev=True
        )
        self.server = Server(config, self.clock, self.clock)
        await self.server.start()

    @property
    def http(self) -> str:
        """The base URL of inbound webhooks."""
        return f"http://127.0.0.1:{self.server.http_port}"
