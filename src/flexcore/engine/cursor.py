"""A cursor: how far one stream has read the log, and what of it the stream wants."""

import asyncio
from collections.abc import Collection
from typing import Protocol

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.engine.port import Known, TailBatch
from flexcore.engine.pulse import Pulse

_ALL = ("",)


class Source(Protocol):
    """What a cursor needs of the tail it reads."""

    head: int
    #: what is not after it has to be read from the store
    floor: int

    def read(
        self, position: int, subjects: Collection[str]
    ) -> tuple[list[ChangeSet], int]:
        """Return the next change sets of subjects, and up to where that is all."""
        ...

    def attach(self, cursor: "Cursor", subject: str) -> None:
        """Wake a cursor when something happens to a subject."""
        ...

    def detach(self, cursor: "Cursor", subject: str) -> None:
        """Wake it no more."""
        ...

    def forget(self, cursor: "Cursor") -> None:
        """Let go of a cursor that was closed."""
        ...


class Cursor:
    """Everything wanted up to `position` was given.

    The subject "" stands for the whole log. With more than a few subjects it is the whole
    log that is read, and the rest passed over: it sleeps until one of them has news, and
    passing over a change set costs a fraction of a microsecond.
    """

    def __init__(
        self,
        tail: Source,
        pulse: Pulse,
        position: int,
        log_filter: LogFilter | None,
        known: Known | None = None,
    ) -> None:
        self._tail = tail
        self._known = known
        self._pulse = pulse
        self.position = position
        self._filter = log_filter if log_filter != LogFilter() else None
        self._subjects: set[str] = set()
        self._waiter: asyncio.Future[bool] | None = None
        self._woken = False
        self._ended = False
        #: whether a heartbeat is due
        self._due = False
        pulse.put_off(self)
        #: whoever looks for something is told once that there is nothing more of it
        self._tells = log_filter is not None

    def watch(self, subject: str) -> None:
        """Read on with one subject more."""
        self._subjects.add(subject)
        self._tail.attach(self, subject)

    def unwatch(self, subject: str) -> None:
        """Read on without a subject, if it was one."""
        if subject in self._subjects:
            self._subjects.discard(subject)
            self._tail.detach(self, subject)

    async def next(self) -> TailBatch | None:
        """Return what comes next, or a heartbeat; None once the tail has ended."""
        if self._skip():
            return self._batch(())
        beat = False
        while True:
            found = self.read()
            if found or beat:
                return self._batch(found)
            if self.behind:
                # Much of the log is not wanted: others have their turn meanwhile.
                await asyncio.sleep(0)
                beat = self._due
            elif self._tells:
                beat = True
            elif self._ended:
                return None
            else:
                beat = not await self.wait()

    def read(self, until: int | None = None) -> tuple[ChangeSet, ...]:
        """Return a piece of what comes next, up to the end of a change set; move past it.

        Nothing may have been wanted of the piece: `behind` says whether there is more.
        """
        self._woken = False
        end = self._tail.head if until is None else until
        if not self._subjects:
            self.position = max(self.position, end)
            return ()
        few = len(self._subjects) <= limits.STREAM_SUBJECTS
        found, position = self._tail.read(
            self.position, self._subjects if few else _ALL
        )
        if until is not None:
            found = [each for each in found if each.last_sequence <= until]
            position = min(position, until)
        self.position = max(self.position, position)
        return tuple(each for each in found if self._wants(each))

    def _batch(self, found: tuple[ChangeSet, ...]) -> TailBatch:
        self.beaten()
        self._tells = False
        return TailBatch(found, self.position)

    def _skip(self) -> bool:
        """Move past what is stored and the stream knows; say whether there is any."""
        if self._known is None or self.position >= self._tail.floor:
            return False
        end = self._known(self.position)
        if end is None:
            return False
        self.position = end
        return True

    @property
    def behind(self) -> int:
        """How many events of the log come after the position."""
        return max(0, self._tail.head - self.position)

    @property
    def ended(self) -> bool:
        """Say whether the stream was asked to end; it may read on before."""
        return self._ended

    def beaten(self) -> None:
        """Let the next heartbeat be due an interval from now."""
        self._due = False
        self._pulse.put_off(self)

    async def wait(self) -> bool:
        """Wait until somebody calls `wake`; False when a heartbeat is due first."""
        if self._due:
            return False
        if self._woken:
            self._woken = False
            return True
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None
            self._woken = False

    def beat(self) -> None:
        """Tell whoever waits that a heartbeat is due."""
        self._due = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)

    def wake(self) -> None:
        """Tell whoever waits that there is news."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    def end(self) -> None:
        """Ask the stream to end."""
        self._ended = True
        self.wake()

    def close(self) -> None:
        """Leave the tail."""
        for subject in self._subjects:
            self._tail.detach(self, subject)
        self._subjects.clear()
        self._pulse.forget(self)
        self._tail.forget(self)

    def _wants(self, change_set: ChangeSet) -> bool:
        if len(self._subjects) > 1 and self._subjects.isdisjoint(change_set.subjects):
            return False
        return self._filter is None or self._filter.finds(change_set)
