"""The servers of the RPC figures, each a process of its own: ours, and a bare echo.

    python -m benchmarks.servers flexcore FOLDER
    python -m benchmarks.servers echo BYTES

Each prints its port and serves until its standard input ends.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import structlog
import uvloop

from flexcore.config import Address, Config
from flexcore.server import GRPC_OPTIONS, Server

ECHO_METHOD = "/yardstick.Echo/Call"


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """Run a server and yield its target."""
    command = (sys.executable, "-m", "benchmarks.servers", *arguments)
    process = subprocess.Popen(  # noqa: S603 the command is ours, word for word
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"{' '.join(arguments)} did not start")
        yield f"127.0.0.1:{port}"
    finally:
        process.communicate(timeout=60)


async def _echo(size: int) -> None:
    """Answer every call with one prebuilt response: what gRPC alone costs."""
    answer = os.urandom(size)

    async def call(_request: bytes, _context: object) -> bytes:
        return answer

    handler = grpc.unary_unary_rpc_method_handler(call)
    service = grpc.method_handlers_generic_handler("yardstick.Echo", {"Call": handler})
    server = grpc.aio.server(options=GRPC_OPTIONS)
    server.add_generic_rpc_handlers((service,))
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
    work = _echo(int(argument)) if name == "echo" else _flexcore(Path(argument))
    uvloop.run(work)


if __name__ == "__main__":
    main()
