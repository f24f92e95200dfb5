"""`flexcore serve`: the server as a process, from its options to its last commit."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from flexcore import __version__
from flexcore.cli import options
from flexcore.cli.failures import USAGE, Fail, reported
from flexcore.cli.output import Output
from flexcore.config import Address, Config, ConfigError


def serve(
    *,
    data: options.Data = options.DATA,
    grpc: options.Grpc = options.GRPC,
    http: options.Http = options.HTTP,
    insecure: options.Insecure = False,
    dev: options.Dev = False,
    synchronous: options.Synchronous = "FULL",
    log_level: options.LogLevel = "info",
    json_output: options.Json = False,
) -> None:
    """Serve gRPC and webhooks until SIGTERM or Ctrl-C, then drain."""
    from flexcore.cli import logs

    config = options.config(data, grpc, http, insecure, dev, synchronous)
    if log_level not in logs.LEVELS:
        levels = ", ".join(logs.LEVELS)
        raise typer.BadParameter(f"--log-level: {log_level!r} is not one of {levels}")
    # Before the first gRPC object: reconfiguring later can deadlock with it.
    logs.configure(log_level)

    import uvloop

    with reported(json_output=json_output):
        uvloop.run(_serve(config, Output(json_output=json_output)))


async def _serve(config: Config, output: Output) -> None:
    from flexcore.cli.watchdog import watched
    from flexcore.domain.errors import FlexcoreError
    from flexcore.server import Server

    with _stopping() as stop:
        server = Server(config)
        try:
            await server.start()
        except ConfigError as error:
            raise Fail(str(error), USAGE) from error
        except FlexcoreError as error:
            raise Fail(error.text) from error
        # Not before: a recovery reads as long as there is something to read.
        async with watched():
            try:
                _welcome(config, server.grpc_port, server.http_port, output)
                if server.first_key is not None:
                    _show_key(config.data, *server.first_key, output)
                # Whoever waits for the line behind a pipe must see it now.
                sys.stdout.flush()
                await stop.wait()
            finally:
                await server.stop()


@contextlib.contextmanager
def _stopping() -> Iterator[asyncio.Event]:
    """Set an event on the first SIGTERM or Ctrl-C; the second one kills."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    both = (signal.SIGTERM, signal.SIGINT)

    def begin() -> None:
        stop.set()
        for number in both:
            loop.remove_signal_handler(number)

    for number in both:
        loop.add_signal_handler(number, begin)
    try:
        yield stop
    finally:
        for number in both:
            loop.remove_signal_handler(number)


def _welcome(config: Config, grpc_port: int, http_port: int, output: Output) -> None:
    grpc = str(Address(config.grpc.host, grpc_port))
    http = str(Address(config.http.host, http_port))
    fsync = "on" if config.synchronous == "FULL" else "off"
    output.line(
        f"flexcore {__version__}  grpc {grpc}  http {http}  fsync {fsync}",
        {"version": __version__, "grpc": grpc, "http": http, "fsync": fsync},
    )


def _show_key(data: Path, sid: str, secret: str, output: Output) -> None:
    """Show the key of a first start, once; the file is for its owner only."""
    from flexcore.client import CREDENTIALS_FILE

    path = data / CREDENTIALS_FILE
    output.line(
        f"key {sid}.{secret}\n"
        f"It is not shown again; {path} holds it, and clients on this machine find it.",
        {"key_sid": sid, "secret": secret, "credentials": str(path)},
    )
