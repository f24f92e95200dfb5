"""The alarm of the running server: times of the clock on the event loop."""

import asyncio
from collections.abc import Callable

from flexcore.domain import limits
from flexcore.domain.clock import Clock, Handle


class LoopAlarm:
    """Wakes by the loop's timers at times of `clock`."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop

    def call_at(self, when: int, callback: Callable[[], None]) -> Handle:
        """Call `callback` once when the clock shows `when`, at once if it has passed."""
        delay = max(0, when - self._clock.now())
        return self._loop.call_later(delay / limits.SECOND, callback)
