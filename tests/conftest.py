"""What every test shares: the server's event loop, and a real server to talk to."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from flexcore.domain.clock import VirtualClock
from tests.serving import Serving


def pytest_configure() -> None:
    """Let the programs that tests start be interrupted.

    A shell starts what runs in its background with SIGINT ignored, and they inherit it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories() -> dict[
    str, Callable[[], asyncio.AbstractEventLoop]
]:
    """Run asynchronous tests and fixtures on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def clock() -> VirtualClock:
    """The time of the test's server; moves only by `advance`."""
    return VirtualClock()


@pytest.fixture
async def serving(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Serving]:
    """A server in this process: real gRPC and HTTP on loopback, real SQLite."""
    async with Serving(tmp_path / "data", clock) as running:
        yield running
