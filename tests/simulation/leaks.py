"""Opens streams and lets them go, again and again, and looks what the server keeps.

Streams of all kinds are opened and canceled: most once they stand, a few while they are
being opened. The server is a process of its own that says how many tasks, cursors and
pieces of memory it has. It is asked once everything is warm and again in the end: nothing
may be left, and no more than 20 bytes a cycle.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import uvloop

from flexcore.client import Client, connect
from flexcore.config import Address, Config
from flexcore.server import Server
from flexcore.v1 import routing_service_pb2 as pb

#: the most a cycle may leave in memory
BYTES = 20
WORKERS = 50
AT_ONCE = 50
STANDS_SECONDS = 0.02
CLIENTS = 5
#: cycles before the first look: pools grow until they are as large as they are used
WARM = 1_000
WARM_SHARE = 0.2
#: of all streams, those that are canceled at once. If that hits a write or a read, gRPC never
#: frees the operation that was under way, if whoever awaits it is canceled or it fails
#: (https://github.com/grpc/grpc/issues/43360): of a bare stream 280 bytes for a write, 170
#: for a read. A write that is shielded still leaves 120, and costs a task each.
TORN = 0.05
#: the longest that ended streams take to be let go
SETTLE_SECONDS = 10.0
IDLE_LOOKS = 5
LOOK_SECONDS = 0.1


class Held(NamedTuple):
    """What a server holds."""

    tasks: int
    cursors: int
    blocks: int
    resident: int


class Leak(NamedTuple):
    """What so many cycles left."""

    cycles: int
    tasks: int
    cursors: int
    #: pieces of Python memory, and bytes, by cycle
    blocks: float
    size: float

    def __str__(self) -> str:
        return (
            f"{self.cycles} cycles left {self.tasks} tasks, {self.cursors} cursors,"
            f" {self.blocks:.3f} blocks and {self.size:.1f} bytes a cycle"
        )


class Process:
    """The server, as a process that can be asked what it holds."""

    def __init__(self, folder: Path) -> None:
        command = (sys.executable, "-m", "tests.simulation.leaks", "--serve", folder)
        self._process = subprocess.Popen(  # noqa: S603 the command is ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.target = self._line()

    def held(self) -> Held:
        """Ask; the process collects its garbage first."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Held(*json.loads(self._line()))

    def end(self) -> None:
        """Let it stop, and wait for it."""
        self._process.communicate(timeout=60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


async def run(cycles: int, seed: int) -> Leak:
    """Open and let go so many streams; return what they left."""
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder))
        try:
            async with _clients(process.target, Path(folder)) as clients:
                sids = await _hire(clients[0])
                rng = random.Random(seed)
                idle = await _idle(process)
                warm = max(WARM, int(cycles * WARM_SHARE))
                await _cycle(clients, sids, warm, rng)
                before = await _settled(process, idle)
                await _cycle(clients, sids, cycles, rng)
                after = await _settled(process, idle)
        finally:
            process.end()
    return Leak(
        cycles,
        max(0, after.tasks - idle.tasks),
        max(0, after.cursors - idle.cursors),
        (after.blocks - before.blocks) / cycles,
        (after.resident - before.resident) / cycles,
    )


async def _idle(process: Process) -> Held:
    """Return the least that is held while nobody asks: a call outlives its answer a little."""
    looks = []
    for _ in range(IDLE_LOOKS):
        await asyncio.sleep(LOOK_SECONDS)
        looks.append(process.held())
    return min(looks)


async def _settled(process: Process, idle: Held) -> Held:
    """Return what is held once the streams that were canceled have ended, or never do."""
    end = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        held = process.held()
        settled = held.tasks <= idle.tasks and held.cursors <= idle.cursors
        if settled or asyncio.get_running_loop().time() > end:
            return held
        await asyncio.sleep(LOOK_SECONDS)


async def _cycle(
    clients: list[Client], sids: list[str], cycles: int, rng: random.Random
) -> None:
    numbers = iter(range(cycles))

    async def one() -> None:
        for number in numbers:
            await _open(clients[number % CLIENTS], sids, rng)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))


async def _open(client: Client, sids: list[str], rng: random.Random) -> None:
    """Open a stream of some kind, let it stand, and let it go."""
    kind, first = rng.randrange(3), 1
    if kind == 0:
        call: Any = client.routing.StreamReservations(worker_sid=rng.choice(sids))
    elif kind == 1:
        call = client.event.WatchEvents(worker_sid=rng.choice(sids))
    else:
        call = client.routing.AgentSession()
        first = 3
        subscribe = pb.Subscribe(worker_sids=rng.sample(sids, first))
        await call.write(pb.AgentSessionRequest(subscribe=subscribe))
    if rng.random() >= TORN:
        for _ in range(first):
            await call.read()
        # The server hears later than we do that all was written.
        await asyncio.sleep(STANDS_SECONDS)
    call.cancel()
    await call.code()


async def _hire(client: Client) -> list[str]:
    made = [
        await client.workspace.CreateWorker(friendly_name=f"w{number}")
        for number in range(WORKERS)
    ]
    return [each.worker.sid for each in made]


@asynccontextmanager
async def _clients(target: str, data: Path) -> AsyncIterator[list[Client]]:
    clients = [await connect(target, data=data) for _ in range(CLIENTS)]
    try:
        yield clients
    finally:
        for client in clients:
            await client.close()


async def _serve(folder: Path) -> None:
    """Serve, and answer every line with what is held, until there are no more."""
    local = Address("127.0.0.1", 0)
    server = Server(Config(data=folder, grpc=local, http=local))
    await server.start()
    print(server.target, flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(_held(server)), flush=True)
    await server.stop()


def _held(server: Server) -> Held:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        len(asyncio.all_tasks()),
        sum(len(each.tail._open) for each in server.engine.accounts().values()),
        sys.getallocatedblocks(),
        pages * resource.getpagesize(),
    )


def main() -> int:
    """Run from the command line; 1 if anything is left."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.leaks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--cycles", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if arguments.serve:
        uvloop.run(_serve(arguments.serve))
        return 0
    print(f"seed {arguments.seed}", flush=True)
    leak = uvloop.run(run(arguments.cycles, arguments.seed))
    print(leak)
    return 1 if leak.tasks or leak.cursors or leak.size > BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
