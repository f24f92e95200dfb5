"""The servers of the RPC figures, each a process of its own: ours, and bare ones.

    python -m benchmarks.servers flexcore FOLDER
    python -m benchmarks.servers recorded FOLDER
    python -m benchmarks.servers echo BYTES
    python -m benchmarks.servers streams BYTES
    python -m benchmarks.servers messages BYTES
    python -m benchmarks.servers synced FOLDER

Each prints its port and serves until its standard input ends. The recorded one is ours,
and leaves in FOLDER/calls.pickle what its engine asked of the matcher.
"""

import asyncio
import itertools
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

import grpc
import structlog
import uvloop

from flexcore._routing import Router
from flexcore.config import Address, Config
from flexcore.engine.routing import desk
from flexcore.server import GRPC_OPTIONS, Server

ECHO_METHOD = "/yardstick.Echo/Call"
STREAM_METHOD = "/yardstick.Streams/Open"
MESSAGES_METHOD = "/yardstick.Messages/Read"
SYNCED_METHOD = "/yardstick.Synced/Exchange"
CALLS_FILE = "calls.pickle"
SYNCED_BYTES = 4096
SYNCED_PAGES = 1_000

#: name of a method of the Router, arguments by place and by name
RouterCall: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]


class Running(NamedTuple):
    """A server in a process of its own."""

    target: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads so far."""
        # The clock of another process, as clock_getcpuclockid(3) makes it; Linux only.
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory_bytes(self) -> int:
        """Return what of its memory lies in RAM; Linux only."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        [size] = [line.split()[1] for line in status if line.startswith("VmRSS:")]
        return 1024 * int(size)


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    """Run a server and yield where it is."""
    command = (sys.executable, "-m", "benchmarks.servers", *arguments)
    process = subprocess.Popen(  # noqa: S603 the command is ours, word for word
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{' '.join(arguments)} did not start")
        yield Running(f"127.0.0.1:{port}", process.pid)
    finally:
        process.communicate(timeout=60)


async def _echo(size: int) -> None:
    """Answer every call with one prebuilt response: what gRPC alone costs."""
    answer = os.urandom(size)

    async def call(_request: bytes, _context: object) -> bytes:
        return answer

    await _bare(ECHO_METHOD, grpc.unary_unary_rpc_method_handler(call))


async def _streams(size: int) -> None:
    """Write one prebuilt message to every stream, then let it be: what gRPC alone holds."""
    message = os.urandom(size)

    async def call(_request: bytes, context: Any) -> None:
        await context.write(message)
        await asyncio.Event().wait()

    await _bare(STREAM_METHOD, grpc.unary_stream_rpc_method_handler(call))


async def _messages(size: int) -> None:
    """Write one prebuilt message as often as is asked for."""
    message = os.urandom(size)

    async def call(request: bytes, context: Any) -> None:
        for _ in range(int(request)):
            await context.write(message)

    await _bare(MESSAGES_METHOD, grpc.unary_stream_rpc_method_handler(call))


async def _synced(folder: Path) -> None:
    """Say every message of a stream back once a page is on the disk."""
    file = os.open(folder / "pages", os.O_WRONLY | os.O_CREAT)
    page, numbers = os.urandom(SYNCED_BYTES), itertools.count()

    def write() -> None:
        # Round and round, as the log that SQLite writes ahead.
        os.pwrite(file, page, next(numbers) % SYNCED_PAGES * SYNCED_BYTES)
        os.fdatasync(file)

    async def call(requests: Any, context: Any) -> None:
        async for request in requests:
            await asyncio.to_thread(write)
            await context.write(request)

    await _bare(SYNCED_METHOD, grpc.stream_stream_rpc_method_handler(call))


async def _bare(method: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> None:
    """Serve one method and nothing else."""
    _, service, name = method.split("/")
    server = grpc.aio.server(options=GRPC_OPTIONS)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {name: handler}),)
    )
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await _standard_input_ends()
    await server.stop(1)


async def _flexcore(folder: Path) -> None:
    free = Address("127.0.0.1", 0)
    server = Server(Config(data=folder, grpc=free, http=free))
    await server.start()
    print(server.grpc_port, flush=True)
    await _standard_input_ends()
    await server.stop()


class RecordedRouter:
    """A Router that remembers what it was asked."""

    #: of all routers, one list each
    made: ClassVar[list[list[RouterCall]]] = []

    def __init__(self) -> None:
        self._router = Router()
        self._calls: list[RouterCall] = []
        self.made.append(self._calls)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._router, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._calls.append((name, arguments, named))
            return method(*arguments, **named)

        return call


async def _recorded(folder: Path) -> None:
    vars(desk)["Router"] = RecordedRouter
    await _flexcore(folder)
    (folder / CALLS_FILE).write_bytes(pickle.dumps(max(RecordedRouter.made, key=len)))


async def _standard_input_ends() -> None:
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve as the arguments say; logs go where nobody waits for them to be read."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    name, argument = sys.argv[1:]
    sized = {"echo": _echo, "streams": _streams, "messages": _messages}
    if bare := sized.get(name):
        uvloop.run(bare(int(argument)))
    else:
        kept = {"flexcore": _flexcore, "recorded": _recorded, "synced": _synced}
        uvloop.run(kept[name](Path(argument)))


if __name__ == "__main__":
    main()
