"""Group commit: everything decided since the last commit, in one transaction.

Accounts go on deciding while a batch is written in the store's thread. What fails by the
disk's fault is tried again as it is, and meanwhile everybody's clocks stand still; what a
statement refused is that account's business alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Protocol, TypeVar

import msgspec
import structlog

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock
from flexcore.store.interface import (
    Commit,
    CommitRetry,
    CommitUnknown,
    Reader,
    Writer,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Owner(Protocol):
    """The account a commit belongs to."""

    sid: str

    @property
    def epoch(self) -> int:
        """The fencing number of its transactions."""
        ...

    def committed(self, commits: Sequence["Pending"]) -> None:
        """These commits, in order, are durable."""
        ...

    def refused(self, commits: Sequence["Pending"], error: Exception) -> None:
        """None of these were written; everything decided on top of them is void."""
        ...

    def hold(self) -> None:
        """The disk does not take anything: decide nothing until `resume`."""
        ...

    def resume(self, gap: int) -> None:
        """The disk is back; nobody could answer for `gap` microseconds."""
        ...


class Pending(msgspec.Struct, frozen=True):
    """A commit on its way to disk; `stamp` is its account's number for it."""

    owner: Owner
    commit: Commit
    stamp: int


class Store(Writer, Reader, Protocol):
    """What the committer needs of the store."""


class Committer:
    """The one task that writes, for all accounts of this process."""

    def __init__(self, store: Store, clock: Clock, alarm: Alarm) -> None:
        self._store = store
        self._clock = clock
        self._alarm = alarm
        self._queue: deque[Pending] = deque()
        self._wake = asyncio.Event()
        #: set while nothing is queued, and when the disk stalls
        self._drained = asyncio.Event()
        self._owners: dict[str, Owner] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flexcore-store")
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="flexcore-checkpoint")
        self._task: asyncio.Task[None] | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._cleaned = clock.now()
        #: commands written since the last look at the write-ahead log, and clean-up
        self._unmoved = 0
        self._unkept = 0
        self._stalled_since = 0
        #: batches written since the start
        self.commits = 0

    def start(self) -> None:
        """Begin writing what is added."""
        self._task = asyncio.create_task(self._run(), name="committer")

    def register(self, owner: Owner) -> None:
        """Let an account know when the disk stalls."""
        self._owners[owner.sid] = owner

    def add(self, pending: Pending) -> None:
        """Write a commit with the next batch."""
        self._queue.append(pending)
        self._wake.set()

    @property
    def stalled(self) -> bool:
        """Say whether the disk refuses to take what was decided."""
        return self._stalled_since != 0

    async def close(self) -> None:
        """Write what is queued, then stop; a stalled disk is not waited for."""
        if self._queue and not self.stalled:
            self._drained.clear()
            await self._drained.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._checkpointing is not None:
            await self._checkpointing
        self._thread.shutdown()
        self._beside.shutdown()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch = list(islice(self._queue, limits.BATCH_COMMANDS))
                await self._write(batch)
                await self._keep_up(len(batch))
            self._drained.set()

    async def _write(self, batch: list[Pending]) -> None:
        """Write one batch; it leaves the queue when its fate is known."""
        commits = [pending.commit for pending in batch]
        wait = limits.COMMIT_RETRY_FIRST
        while True:
            try:
                refused = await self.in_thread(partial(self._store.commit, commits))
                break
            except CommitRetry as error:
                self._stall(error)
                await self._sleep(wait)
                wait = min(wait * 2, limits.COMMIT_RETRY_MAX)
            except Exception as error:  # noqa: BLE001 whatever it was, the store knows
                self._stall(error)
                refused = await self._settle_unknown(batch)
                break
        self.commits += 1
        self._report(batch, refused)
        self._unstall()

    async def _settle_unknown(self, batch: list[Pending]) -> Mapping[str, Exception]:
        """Ask the store, until it answers, which accounts' parts it does not have."""
        wait = limits.COMMIT_RETRY_FIRST
        while True:
            await self._sleep(wait)
            try:
                return self._unwritten(batch)
            except Exception as error:  # noqa: BLE001 a disk that fails fails reads too
                self._stall(error)
                wait = min(wait * 2, limits.COMMIT_RETRY_MAX)

    def _unwritten(self, batch: list[Pending]) -> Mapping[str, Exception]:
        last: dict[str, int] = {}
        for pending in batch:
            if pending.commit.change_set is not None:
                sequence = pending.commit.change_set.last_sequence
                last[pending.commit.account_sid] = sequence
        return {
            pending.commit.account_sid: CommitUnknown("it turned out to be lost")
            for pending in batch
            if self._store.bounds(pending.commit.account_sid)[1]
            < last.get(pending.commit.account_sid, 1 << 62)
        }

    def _report(self, batch: list[Pending], refused: Mapping[str, Exception]) -> None:
        for _ in batch:
            self._queue.popleft()
        by_owner: dict[str, list[Pending]] = {}
        for pending in batch:
            by_owner.setdefault(pending.commit.account_sid, []).append(pending)
        for sid, part in by_owner.items():
            owner = part[0].owner
            error = refused.get(sid)
            if error is None:
                owner.committed(part)
            else:
                self._queue = deque(p for p in self._queue if p.owner is not owner)
                owner.refused(part, error)

    def _stall(self, error: Exception) -> None:
        log.warning("commit.stalled", error=repr(error))
        if not self._stalled_since:
            self._stalled_since = self._clock.now()
            self._drained.set()
            for owner in self._owners.values():
                owner.hold()

    def _unstall(self) -> None:
        if self._stalled_since:
            gap = self._clock.now() - self._stalled_since
            self._stalled_since = 0
            log.warning("commit.resumed", gap_seconds=gap / limits.SECOND)
            for owner in self._owners.values():
                owner.resume(gap)

    # Upkeep is counted in commands, so that it keeps up with a writer that never rests and
    # costs a lone commit nothing. What fails of it is tried again later; nobody waits for it.

    async def _keep_up(self, commands: int) -> None:
        self._unmoved += commands
        self._unkept += commands
        if self._unmoved >= limits.CHECKPOINT_COMMANDS:
            self._unmoved = 0
            self._begin_checkpoint()
        if self._unkept >= limits.CLEANUP_COMMANDS:
            self._unkept = 0
            await self._clean_up()

    def _begin_checkpoint(self) -> None:
        """Check-point beside the batches to come, unless that still goes on."""
        if self._checkpointing is None or self._checkpointing.done():
            work = self._checkpoint()
            self._checkpointing = asyncio.create_task(work, name="checkpoint")

    async def _checkpoint(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._beside, self._store.checkpoint)
        except Exception as error:  # noqa: BLE001 a full disk is full for a while
            log.warning("store.checkpoint.failed", error=repr(error))

    async def _clean_up(self) -> None:
        """Give up what retention allows, a little at a time."""
        now = self._clock.now()
        if now - self._cleaned < limits.CLEANUP_INTERVAL:
            return
        deleted = 0
        try:
            for sid, owner in list(self._owners.items()):
                clean_up = partial(self._store.clean_up, sid, owner.epoch, now)
                deleted += await self.in_thread(clean_up)
        except Exception as error:  # noqa: BLE001 the writer must outlive a full disk
            log.warning("store.clean_up.failed", error=repr(error))
        else:
            if deleted < limits.CLEANUP_ROWS:  # else the next batch is followed by more
                self._cleaned = now

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a call that waits for the disk in the store's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, call)

    async def _sleep(self, wait: int) -> None:
        done = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        handle = self._alarm.call_at(self._clock.now() + wait, wake)
        try:
            await done
        finally:
            handle.cancel()
