"""The pulse: wakes each cursor when it has told nothing for an interval.

The interval is the same for all, so they fall due in the order in which they were put off:
one timer for the first is enough, however many there are. Those that fall due soon after
it are woken with it, for what it costs to write to many connections is mostly being woken
for it: by the loop, by gRPC's threads, by the kernel.
"""

from collections import OrderedDict
from typing import Protocol

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, Handle


class Beating(Protocol):
    """Whoever has to tell something once in an interval."""

    def beat(self) -> None:
        """Hear that the interval is over."""
        ...


class Pulse:
    """When the heartbeats of the streams of an account are due; O(1) each."""

    def __init__(self, clock: Clock, alarm: Alarm) -> None:
        self._clock = clock
        self._alarm = alarm
        #: the earliest first
        self._due: OrderedDict[Beating, int] = OrderedDict()
        self._handle: Handle | None = None

    def put_off(self, beating: Beating) -> None:
        """Let the next heartbeat be due an interval from now."""
        self._due[beating] = self._clock.now() + limits.HEARTBEAT_INTERVAL
        self._due.move_to_end(beating)
        if self._handle is None:
            self._arm()

    def forget(self, beating: Beating) -> None:
        """Let none be due."""
        self._due.pop(beating, None)
        if not self._due and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        first = next(iter(self._due.values()))
        self._handle = self._alarm.call_at(first, self._beat)

    def _beat(self) -> None:
        until = self._clock.now() + limits.HEARTBEAT_GRAIN
        while self._due and next(iter(self._due.values())) <= until:
            beating, _ = self._due.popitem(last=False)
            beating.beat()
        self._handle = None
        if self._due:
            self._arm()
