"""A credit window: how much may be on its way without being acknowledged.

That a write returned does not say that anybody read it: a client's library takes
megabytes before its program looks. Only the program's own word does.
"""

from collections import deque
from collections.abc import Callable

from flexcore.domain import limits


class CreditWindow:
    """Counts what was sent and not acknowledged."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        #: the last sequence of each message, its events and bytes
        self._sent: deque[tuple[int, int, int]] = deque()
        self._events = 0
        self._bytes = 0
        #: since when there was no room, or 0
        self._closed = 0

    def room(self, events: int, size: int) -> bool:
        """Say whether so much may be sent; one event always, when nothing is on its way."""
        fits = (
            self._events + events <= limits.SESSION_UNACKED_EVENTS
            and self._bytes + size <= limits.SESSION_UNACKED_BYTES
        ) or (not self._sent and events == 1)
        if not fits and self._sent and not self._closed:
            self._closed = self._now()
        return fits

    def spend(self, sequence: int, events: int, size: int) -> None:
        """Count a message that ends with the event `sequence`."""
        self._sent.append((sequence, events, size))
        self._events += events
        self._bytes += size

    def acknowledge(self, sequence: int) -> None:
        """Forget everything up to an event."""
        while self._sent and self._sent[0][0] <= sequence:
            _, events, size = self._sent.popleft()
            self._events -= events
            self._bytes -= size
            self._closed = 0

    @property
    def stuck(self) -> bool:
        """Say whether there has been no room for too long."""
        closed = self._closed
        return bool(closed) and self._now() - closed >= limits.SESSION_ACK_TIMEOUT
