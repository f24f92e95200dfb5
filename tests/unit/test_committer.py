"""Group commit, what it does when the store fails, and the upkeep between batches."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.engine.committer import Committer, Pending
from flexcore.store.interface import (
    Commit,
    CommitRefused,
    CommitRetry,
    CommitUnknown,
)
from flexcore.store.sqlite import SqliteStore
from tests.factories import TIME, make_commit, make_sid, make_task
from tests.faulty import PATIENCE_SECONDS, Fault, FaultyStore
from tests.staff import settle, until


class Account:
    """An account that only counts: what it added, and what it was told."""

    def __init__(self, number: int, committer: Committer) -> None:
        self.sid = make_sid("AC", number)
        self.epoch = 1
        self.head = 0
        self.stamp = 0
        self.durable: list[int] = []
        self.refusals: list[tuple[list[int], Exception]] = []
        self.gaps: list[int] = []
        self.holding = False
        self._committer = committer
        committer.register(self)

    def add(self, epoch: int = 1) -> Commit:
        self.stamp += 1
        commit = make_commit(self.head, make_task(), account_sid=self.sid, epoch=epoch)
        self.head += 1
        self._committer.add(Pending(self, commit, self.stamp))
        return commit

    def committed(self, commits: Sequence[Pending]) -> None:
        self.durable += [pending.stamp for pending in commits]

    def refused(self, commits: Sequence[Pending], error: Exception) -> None:
        self.refusals.append(([pending.stamp for pending in commits], error))

    def hold(self) -> None:
        self.holding = True

    def resume(self, gap: int) -> None:
        self.holding = False
        self.gaps.append(gap)


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    store = FaultyStore(SqliteStore(tmp_path / "data"))
    for number in (1, 2):
        store.open_account(make_sid("AC", number))
    return store


@pytest.fixture
async def committer(
    store: FaultyStore, clock: VirtualClock
) -> AsyncIterator[Committer]:
    committer = Committer(store, clock, clock)
    committer.start()
    yield committer
    await committer.close()
    store.close()


@pytest.fixture
def ann(committer: Committer) -> Account:
    return Account(1, committer)


@pytest.fixture
def bob(committer: Committer) -> Account:
    return Account(2, committer)


async def attempted(committer: Committer) -> None:
    """Wait until what the store's thread has begun is known to the committer."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(committer._thread, lambda: None)
    await settle()


async def test_one_batch_carries_the_commits_of_all_accounts_in_order(
    store: FaultyStore, ann: Account, bob: Account
) -> None:
    commits = [account.add() for _ in range(3) for account in (ann, bob)]
    await until(lambda: len(bob.durable) == 3)

    assert store.batches == [commits]
    assert ann.durable == bob.durable == [1, 2, 3]


async def test_a_batch_is_bounded_and_the_rest_waits_for_the_next(
    store: FaultyStore, ann: Account
) -> None:
    for _ in range(limits.BATCH_COMMANDS + 1):
        ann.add()
    await until(lambda: len(ann.durable) == limits.BATCH_COMMANDS + 1)

    assert [len(batch) for batch in store.batches] == [limits.BATCH_COMMANDS, 1]


async def test_a_refused_part_is_that_accounts_alone(
    store: FaultyStore, ann: Account, bob: Account
) -> None:
    ann.add()
    ann.add(epoch=2)
    bob.add()
    await until(lambda: bob.durable == [1])

    ((stamps, error),) = ann.refusals
    assert stamps == [1, 2]
    assert isinstance(error, CommitRefused)
    assert store.bounds(ann.sid)[1] == 0
    assert store.bounds(bob.sid)[1] == 1


async def test_what_was_decided_on_top_of_a_refused_part_is_not_written(
    store: FaultyStore, ann: Account, bob: Account
) -> None:
    with store.held() as held:
        ann.add(epoch=2)
        await held.arrived()
        ann.add()
        bob.add()
    await until(lambda: bob.durable == [1])

    assert [stamps for stamps, _ in ann.refusals] == [[1]]
    assert ann.durable == []
    assert store.bounds(ann.sid)[1] == 0


async def test_a_full_disk_holds_every_account_and_names_the_gap(
    committer: Committer,
    store: FaultyStore,
    clock: VirtualClock,
    ann: Account,
    bob: Account,
) -> None:
    store.faults += [Fault.RETRY] * 2
    ann.add()
    await until(lambda: committer.stalled)
    assert ann.holding
    assert bob.holding
    clock.advance(limits.COMMIT_RETRY_FIRST)
    await until(lambda: len(store.batches) == 2)
    await attempted(committer)
    assert ann.durable == []
    clock.advance(2 * limits.COMMIT_RETRY_FIRST)
    await until(lambda: ann.durable == [1])

    assert not committer.stalled
    assert ann.gaps == bob.gaps == [3 * limits.COMMIT_RETRY_FIRST]
    assert not ann.holding


async def test_the_wait_between_attempts_has_an_end(
    committer: Committer, store: FaultyStore, clock: VirtualClock, ann: Account
) -> None:
    store.faults += [Fault.RETRY] * 12
    ann.add()
    for attempt in range(1, 13):
        await until(lambda n=attempt: len(store.batches) == n)
        await attempted(committer)
        clock.advance(limits.COMMIT_RETRY_MAX)

    await until(lambda: ann.durable == [1])
    assert len(store.batches) == 13
    assert ann.gaps == [12 * limits.COMMIT_RETRY_MAX]


async def test_an_unknown_outcome_is_settled_for_each_account(
    committer: Committer,
    store: FaultyStore,
    clock: VirtualClock,
    ann: Account,
    bob: Account,
) -> None:
    """One statement was refused and then nobody knew whether the rest was written."""
    store.faults += [Fault.WRITTEN]
    ann.add(epoch=2)
    bob.add()
    await until(lambda: committer.stalled)
    clock.advance(limits.COMMIT_RETRY_FIRST)
    await until(lambda: bob.durable == [1])

    ((stamps, error),) = ann.refusals
    assert stamps == [1]
    assert isinstance(error, CommitUnknown), "nobody is at fault"


async def test_a_commit_without_events_of_unknown_outcome_counts_as_lost(
    committer: Committer, store: FaultyStore, clock: VirtualClock, ann: Account
) -> None:
    """There is no sequence to tell by; what it writes may be written twice."""
    store.faults += [Fault.WRITTEN]
    commit = make_commit(0, account_sid=ann.sid, watermark=TIME)
    committer.add(Pending(ann, commit, 1))
    await until(lambda: committer.stalled)
    clock.advance(limits.COMMIT_RETRY_FIRST)
    await until(lambda: bool(ann.refusals))

    ((stamps, error),) = ann.refusals
    assert stamps == [1]
    assert isinstance(error, CommitUnknown)
    assert ann.durable == []


async def test_a_checkpoint_that_fails_does_not_end_the_writer(
    store: FaultyStore, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0

    def full() -> None:
        nonlocal failures
        failures += 1
        raise CommitRetry("checkpoint: database or disk is full")

    monkeypatch.setattr(limits, "CHECKPOINT_COMMANDS", 1)
    monkeypatch.setattr(store._store, "checkpoint", full)
    ann.add()
    await until(lambda: ann.durable == [1] and failures == 1)
    ann.add()

    await until(lambda: ann.durable == [1, 2] and failures == 2)


async def test_checkpoints_come_after_as_many_commands_as_their_limit_says(
    store: FaultyStore, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that never rests is not left without check-points."""
    checkpoints: list[int] = []
    monkeypatch.setattr(limits, "CHECKPOINT_COMMANDS", 3)
    monkeypatch.setattr(
        store._store, "checkpoint", lambda: checkpoints.append(ann.stamp)
    )
    for stamp in range(1, 8):
        ann.add()
        await until(lambda n=stamp: ann.durable[-1:] == [n])
        # It runs beside what is written: the next command would overtake it.
        await until(lambda n=stamp: len(checkpoints) >= n // 3)

    assert checkpoints == [3, 6]


async def test_commits_do_not_wait_for_a_checkpoint(
    store: FaultyStore, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, through = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert through.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(limits, "CHECKPOINT_COMMANDS", 1)
    monkeypatch.setattr(store._store, "checkpoint", slow)
    ann.add()
    await until(begun.is_set)
    ann.add()
    ann.add()

    await until(lambda: ann.durable == [1, 2, 3])
    assert not through.is_set()
    through.set()


async def test_clean_up_catches_up_with_what_expired(
    store: FaultyStore, clock: VirtualClock, ann: Account
) -> None:
    """More expires in a minute than one step deletes; the next ones go on."""
    expired = 2 * limits.CLEANUP_ROWS + 10
    for _ in range(expired):
        ann.add()
    await until(lambda: len(ann.durable) == ann.stamp)
    clock.advance(limits.LOG_RETENTION + limits.CLEANUP_INTERVAL)

    steps = limits.CLEANUP_ROWS
    behind = expired + 5 * limits.CLEANUP_COMMANDS
    assert 4 * steps < behind < 5 * steps, "the fifth step is the one that catches up"
    for floor in (steps, 2 * steps, 3 * steps, 4 * steps, behind):
        for _ in range(limits.CLEANUP_COMMANDS):
            ann.add()
        await until(lambda floor=floor: store.bounds(ann.sid)[0] == floor)


async def test_closing_writes_what_is_queued(
    committer: Committer, store: FaultyStore, ann: Account
) -> None:
    with store.held() as held:
        ann.add()
        await held.arrived()
        ann.add()
        closing = asyncio.create_task(committer.close())
        await settle()
        assert not closing.done()
    await closing

    assert ann.durable == [1, 2]


async def test_closing_does_not_wait_for_a_full_disk(
    committer: Committer, store: FaultyStore, ann: Account
) -> None:
    store.faults += [Fault.RETRY] * 100
    ann.add()
    closing = asyncio.create_task(committer.close())
    await until(lambda: committer.stalled)

    await asyncio.wait_for(closing, 5)

    assert ann.durable == []
