"""The one place that reads a clock.

Time is an int of microseconds since the epoch, UTC. `SystemClock` is wall time at start
plus monotonic time, so it never jumps, and never goes below what the store has seen.
"""

import heapq
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Whatever tells the time to the engine."""

    def now(self) -> int:
        """Return microseconds since the epoch; never less than before."""
        ...

    def raise_floor(self, floor: int) -> None:
        """Never again return less than `floor`, the stored high-water mark."""
        ...


class Handle(Protocol):
    """One call that an alarm will make."""

    def cancel(self) -> None:
        """Do not make the call; harmless when it was made."""
        ...


class Alarm(Protocol):
    """Whatever wakes the engine at a time of its clock."""

    def call_at(self, when: int, callback: Callable[[], None]) -> Handle:
        """Call `callback` once when the clock shows `when`, at once if it has passed.

        It may come early by the grain of a timer: whoever is called looks at the clock.
        """
        ...


class SystemClock:
    """Wall clock at start plus monotonic time since."""

    def __init__(self, floor: int = 0) -> None:
        wall = time.time_ns() // 1_000
        self._offset = max(wall, floor) - time.monotonic_ns() // 1_000

    def now(self) -> int:
        """Return microseconds since the epoch."""
        return time.monotonic_ns() // 1_000 + self._offset

    def raise_floor(self, floor: int) -> None:
        """Never again return less than `floor`, the stored high-water mark."""
        shortfall = floor - self.now()
        if shortfall > 0:
            self._offset += shortfall


class VirtualClock:
    """A clock and alarm that move only when told; drives tests and simulation."""

    def __init__(self, start: int = 1_700_000_000_000_000) -> None:
        self._now = start
        self._calls: list[tuple[int, int, _VirtualHandle]] = []
        self._count = 0

    def now(self) -> int:
        """Return the set time."""
        return self._now

    def advance(self, microseconds: int) -> int:
        """Move forward, calling what falls due on the way; return the new time."""
        if microseconds < 0:
            raise ValueError("time does not go back")
        until = self._now + microseconds
        while self._calls and self._calls[0][0] <= until:
            when, _, handle = heapq.heappop(self._calls)
            self._now = max(self._now, when)
            if handle.callback is not None:
                handle.callback()
        self._now = until
        return until

    def raise_floor(self, floor: int) -> None:
        """Never again return less than `floor`."""
        self._now = max(self._now, floor)

    def call_at(self, when: int, callback: Callable[[], None]) -> "Handle":
        """Call `callback` when `advance` reaches `when`."""
        handle = _VirtualHandle(callback)
        self._count += 1
        heapq.heappush(self._calls, (when, self._count, handle))
        return handle


class _VirtualHandle:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None
