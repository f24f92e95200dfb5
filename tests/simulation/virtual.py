"""Virtual time for the real engine: a clock, an event loop and a disk that obey it.

The account and the committer run as they do in the server; only what they wait for is
simulated. Nothing here reads a clock, starts a thread or depends on a hash: given the
same seed everything happens in the same order.
"""

import asyncio
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from flexcore.domain.limits import MILLISECOND, SECOND
from flexcore.store.interface import Commit, CommitRefused, CommitRetry, CommitUnknown
from flexcore.store.sqlite import SqliteStore

#: how long a commit takes: most are quick, some wait for a busy disk
COMMIT_TIME = (200, 400, 400, 800, 800, 2 * MILLISECOND, 20 * MILLISECOND)


class Time:
    """The clock and the alarm; moves from call to call, by `step` only."""

    def __init__(self, start: int) -> None:
        self._now = start
        self._calls: list[tuple[int, int, Call]] = []
        self._count = 0

    def now(self) -> int:
        return self._now

    def raise_floor(self, floor: int) -> None:
        self._now = max(self._now, floor)

    def call_at(self, when: int, callback: Callable[[], None]) -> "Call":
        call = Call(callback)
        self._count += 1
        heapq.heappush(self._calls, (max(when, self._now), self._count, call))
        return call

    def after(self, seconds: float, callback: Callable[[], None]) -> "Call":
        return self.call_at(self._now + max(1, int(seconds * SECOND)), callback)

    def step(self, until: int) -> bool:
        """Make the next call; False when none is due by `until`."""
        while self._calls:
            when, _, call = self._calls[0]
            if when > until:
                break
            heapq.heappop(self._calls)
            if call.callback is not None:
                self._now = max(self._now, when)
                call.callback()
                return True
        return False


class Call:
    """One call that the clock will make."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Loop(asyncio.AbstractEventLoop):
    """As much of an event loop as account and committer use.

    What goes into a thread goes to the disk. A loop that has crashed makes no call any
    more, whoever still waits.
    """

    def __init__(self, time: Time, disk: "Disk") -> None:
        self._time = time
        self._disk = disk
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        #: what the disk is doing for each thread, one thing at a time
        self._doing: dict[object, Callable[[], Any]] = {}
        self.crashed = False

    def get_debug(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None
    ) -> "asyncio.Task[Any]":
        task = asyncio.Task(coro, loop=self, name=name)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not self.crashed:
            raise RuntimeError(context["message"]) from error

    # alarm: the engine's calls end with the loop, those of people do not

    def call_at(self, when: int, callback: Callable[[], None]) -> Call:
        def call() -> None:
            if not self.crashed:
                self.call_soon(callback)

        return self._time.call_at(when, call)

    def run_in_executor(
        self, executor: object, call: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Do it when the disk is through with it, all at once."""
        done = self.create_future()
        assert executor not in self._doing
        doing = self._doing[executor] = partial(call, *args)

        def finish() -> None:
            del self._doing[executor]
            try:
                found = doing()
            except Exception as error:  # noqa: BLE001  # whoever waits gets it
                done.set_exception(error)
            else:
                done.set_result(found)

        self.call_at(self._time.now() + self._disk.wait(), finish)
        return done

    def crash(self, *, arrives: bool) -> None:
        """End everything; what the disk was doing is done if it `arrives`."""
        self.crashed = True
        self._ready.clear()
        for task in self._tasks:
            task.cancel()
        self.drain()
        for doing in self._doing.values() if arrives else ():
            with suppress(CommitRetry, CommitUnknown):
                doing()

    def drain(self) -> None:
        """Make every call that is ready, in order."""
        events._set_running_loop(self)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(None)


class Faults(NamedTuple):
    """How often a commit runs into something, of one."""

    full: float = 0.002
    lost: float = 0.001
    written: float = 0.001
    refused: float = 0.0005


class Disk:
    """The real store, and what a real disk does to it."""

    def __init__(
        self, store: SqliteStore, time: Time, rng: random.Random, faults: Faults
    ) -> None:
        self._store = store
        self._time = time
        self._rng = rng
        self._faults = faults
        self._full_until = 0
        #: how often it ran into something
        self.failures = 0
        #: a statement was refused: one INTERNAL more may be answered
        self.refusals = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def wait(self) -> int:
        return self._rng.choice(COMMIT_TIME) + self._rng.randrange(100)

    def commit(self, batch: Sequence[Commit]) -> Mapping[str, Exception]:
        """Write a batch, unless the disk is full or worse."""
        if self._time.now() < self._full_until:
            raise CommitRetry("database or disk is full")
        chance, faults = self._rng.random(), self._faults
        if chance < sum(faults):
            self.failures += 1
        if chance < faults.full:
            seconds = self._rng.choice((0.05, 0.5, 3, 40))
            self._full_until = self._time.now() + int(seconds * SECOND)
            raise CommitRetry("database or disk is full")
        chance -= faults.full
        if chance < faults.lost:
            raise CommitUnknown("disk I/O error")
        chance -= faults.lost
        if chance < faults.written:
            self._store.commit(batch)
            raise CommitUnknown("disk I/O error")
        chance -= faults.written
        if chance < faults.refused:
            self.refusals += 1
            return {
                commit.account_sid: CommitRefused("constraint failed")
                for commit in batch
            }
        return self._store.commit(batch)
