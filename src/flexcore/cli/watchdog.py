"""Ends a process whose event loop no longer turns.

gRPC answers pings in threads of its own, so a wedged server looks alive to its peers and
holds their streams for ever. A crash is better: nothing acknowledged is lost, whoever
supervises the process starts it again, and streams resume.
"""

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator

from flexcore.domain import limits

#: between two signs of life, in seconds
TICK_SECONDS = 1.0


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Write the stacks of all threads to stderr and exit with 1 when the loop is stuck.

    The timer is a thread in C that needs no interpreter lock, so it also goes off when
    the loop is stuck in C code that holds it. A process that was stopped for longer than
    the limit may end too when it goes on: its peers have given it up by then.
    """
    _arm()
    ticking = asyncio.create_task(_tick())
    try:
        yield
    finally:
        ticking.cancel()
        faulthandler.cancel_dump_traceback_later()


async def _tick() -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        _arm()


def _arm() -> None:
    seconds = limits.WATCHDOG_TIMEOUT / limits.SECOND
    faulthandler.dump_traceback_later(seconds, exit=True)
