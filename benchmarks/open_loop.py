"""An open loop: calls begin at their time, whatever became of those before.

What is measured counts from the time a call was to begin, so that a server that stands
still is charged for everything that should have happened meanwhile.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter

#: the loop's timers are coarse and late by this much: the rest is waited for awake
_AWAKE_SECONDS = 0.0015


async def open_loop(
    rate: float, count: int, call: Callable[[int, float], Coroutine[None, None, None]]
) -> None:
    """Begin `call` with its number and its time so often a second; return with the last.

    Times are those of `perf_counter`. What a call raises is raised.
    """
    start = perf_counter() + 0.1
    async with asyncio.TaskGroup() as calls:
        for number in range(count):
            due = start + number / rate
            await asyncio.sleep(max(0, due - perf_counter() - _AWAKE_SECONDS))
            while perf_counter() < due:  # noqa: ASYNC110  # too short for a timer
                await asyncio.sleep(0)
            calls.create_task(call(number, due))
