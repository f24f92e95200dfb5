"""A store that fails when told: the real one inside, faults at chosen points around it."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self

from flexcore.store.interface import (
    Commit,
    CommitRefused,
    CommitRetry,
    CommitUnknown,
    Found,
    Recovery,
)
from flexcore.store.sqlite import SqliteStore

Deliver = Callable[[str, Found], None]

#: no test waits longer than this for a thread of its own
PATIENCE_SECONDS = 10


class Fault(Enum):
    """What the next commit runs into."""

    #: disk full: nothing is written
    RETRY = auto()
    #: the outcome is unknown, and nothing is written
    LOST = auto()
    #: the outcome is unknown, and everything is written
    WRITTEN = auto()
    #: a bug below us, and nothing is written
    BUG = auto()


class FaultyStore:
    """Forwards to a SqliteStore; the test's thread arms it, the store's runs into it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        #: what the next commits run into, in order, None for success; then they succeed
        self.faults: deque[Fault | None] = deque()
        #: an account's part with a commit for which this is true is refused
        self.refuses: Callable[[Commit], bool] = lambda _: False
        #: every batch that was asked for, failed ones too
        self.batches: list[list[Commit]] = []
        #: raised by the next look-ups in the log's bounds, in order
        self.bounds_errors: deque[Exception] = deque()
        #: raised when memory is to be built
        self.recover_error: Exception | None = None
        #: raised by every look-up of a key
        self.fetch_error: Exception | None = None
        #: look-ups that were made and not delivered, while `delays_fetches`
        self.delays_fetches = False
        self.fetched: list[str] = []
        self._delayed: dict[str, tuple[Found, Deliver]] = {}
        self._gate = threading.Event()
        self._gate.set()
        self._arrived = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    # commits

    def commit(self, batch: Sequence[Commit]) -> Mapping[str, Exception]:
        """Write a batch, once it is let through and unless a fault is due."""
        self._arrived.set()
        assert self._gate.wait(PATIENCE_SECONDS), "a held commit was not released"
        self.batches.append(list(batch))
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.RETRY:
            raise CommitRetry("database or disk is full")
        if fault is Fault.LOST:
            raise CommitUnknown("disk I/O error")
        if fault is Fault.BUG:
            raise RuntimeError("unexpected")
        refused = self._write(batch)
        if fault is Fault.WRITTEN:
            raise CommitUnknown("disk I/O error")
        return refused

    def _write(self, batch: Sequence[Commit]) -> Mapping[str, Exception]:
        refused: dict[str, Exception] = {
            commit.account_sid: CommitRefused("constraint failed")
            for commit in batch
            if self.refuses(commit)
        }
        rest = [commit for commit in batch if commit.account_sid not in refused]
        return {**self._store.commit(rest), **refused}

    def held(self) -> "Holding":
        """Let no commit through inside a `with` block."""
        return Holding(self._gate, self._arrived)

    # look-ups

    def bounds(self, account_sid: str) -> tuple[int, int]:
        """Return floor and head, unless an error is due."""
        if self.bounds_errors:
            raise self.bounds_errors.popleft()
        return self._store.bounds(account_sid)

    def recover(self, account_sid: str) -> Recovery:
        """Read what memory is built from, unless an error is due."""
        if self.recover_error is not None:
            raise self.recover_error
        return self._store.recover(account_sid)

    def fetch(self, account_sid: str, key: str, deliver: Deliver) -> None:
        """Look up now; deliver now, or when `deliver` is called."""
        self.fetched.append(key)
        if self.fetch_error is not None:
            raise self.fetch_error
        if not self.delays_fetches:
            self._store.fetch(account_sid, key, deliver)
            return
        assert key not in self._delayed, "one fetch per key at a time"

        def keep(key: str, found: Found) -> None:
            self._delayed[key] = (found, deliver)

        self._store.fetch(account_sid, key, keep)

    @property
    def delayed(self) -> list[str]:
        """The keys that are looked up and not delivered."""
        return list(self._delayed)

    def deliver(self, *keys: str) -> None:
        """Deliver what was looked up, all of it unless keys are named."""
        for key in keys or tuple(self._delayed):
            found, deliver = self._delayed.pop(key)
            deliver(key, found)


class Holding:
    """A `with` block in which no commit goes through; `arrived` waits for one."""

    def __init__(self, gate: threading.Event, arrived: threading.Event) -> None:
        self._gate = gate
        self._arrived = arrived

    def __enter__(self) -> Self:
        self._arrived.clear()
        self._gate.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gate.set()

    async def arrived(self) -> None:
        """Wait until a commit stands before the gate."""
        loop = asyncio.get_running_loop()
        came = await loop.run_in_executor(None, self._arrived.wait, PATIENCE_SECONDS)
        assert came, "no commit came"
