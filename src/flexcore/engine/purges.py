"""Finished tasks whose time of being kept ends while only the store holds them.

Finished work is a cache in memory. Of what is to be deleted some day memory knows when
the first is due; then it and the next ones that are due too are fetched, a few at a time,
and their deadlines are decided like all others.
"""

from collections.abc import Callable
from typing import Protocol

from flexcore.domain import limits
from flexcore.engine.state import State
from flexcore.store.interface import FIRST_PURGE, Purge, PurgePlace

#: behind all others: nothing is to be deleted
_NEVER: PurgePlace = (1 << 62, 0)


class Line(Protocol):
    """Who knows in which order tasks are to be deleted; a store."""

    def purges(self, account_sid: str, first: PurgePlace, limit: int) -> list[Purge]:
        """Return finished tasks by when they are to be deleted, from a place on."""
        ...


class Purges:
    """Where in the line of tasks to be deleted the first is that memory may not hold.

    If more are due than are fetched at once, these are decided, and then some calls, before
    the next ones are fetched: years of finished work delay nobody for long.
    """

    def __init__(self, line: Line, state: State, fetch: Callable[[str], None]) -> None:
        self._line = line
        self._state = state
        self._fetch = fetch
        self._first = FIRST_PURGE
        #: when to look at the line
        self._time = 0
        #: some that were due have been left over
        self._more = False
        #: calls that are to be decided before the next of them are fetched
        self._owed = 0

    def due(self, now: int) -> bool:
        """Say whether a task may have to be deleted that memory does not hold; O(1)."""
        return self._time <= now

    @property
    def next_time(self) -> int:
        """When the first is due that is not yet, or 0."""
        return 0 if self._more or self._time == _NEVER[0] else self._time

    def come(self, *, busy: bool, calls: bool) -> bool:
        """Say whether those that are due come next, before other deadlines and calls.

        What was left over waits while the account is `busy` with those before it, until
        most of them are on the disk: whoever calls meanwhile waits for them too. And it
        lets some of the `calls` go first that wait.
        """
        return not self._more or not (busy or (calls and self._owed > 0))

    def called(self) -> None:
        """Count a call that was decided meanwhile."""
        self._owed -= 1

    def read(self, now: int) -> None:
        """Fetch those that are due, at most PURGED_AT_ONCE; O(log n)."""
        rows, most = self._state.rows, limits.PURGED_AT_ONCE
        enough = len(rows) + limits.PURGED_ROWS
        found = self._line.purges(self._state.account_sid, self._first, most + 1)
        self._first, self._time = _NEVER, _NEVER[0]
        for number, purge in enumerate(found):
            if number == most or purge.place[0] > now or len(rows) >= enough:
                self.leave(purge.place)
                break
            self._fetch(purge.sid)
        self._more = self.due(now)
        self._owed = limits.TURN_COMMANDS if self._more else 0

    def leave(self, place: PurgePlace) -> None:
        """Note that memory does not hold, or no longer, what comes from a place on."""
        self._first = min(self._first, place)
        self._time = min(self._time, place[0])

    def fail(self, now: int) -> None:
        """Look at the whole line once more, but later."""
        self._first = FIRST_PURGE
        self._time = now + limits.FAILURE_WAIT
        self._more = False
