"""The short form of power.py, its checks of itself, and disks that fail."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from flexcore.domain.model import Task
from flexcore.store.interface import CommitRetry, CommitUnknown
from flexcore.store.sqlite import SqliteStore
from tests.factories import (
    ACCOUNT,
    make_commit,
    make_inbox,
    make_outbox,
    make_request,
    make_task,
)
from tests.simulation.disk import Disk, mounted
from tests.simulation.power import ACCOUNTS, Load, check, cut_power


@pytest.mark.slow
def test_power_loss_loses_no_acknowledged_commit() -> None:
    tally = cut_power(30, seed=1, synchronous="FULL", show=False)

    assert (tally.lost, tally.corrupt) == (0, 0), tally.faults


@pytest.mark.slow
def test_power_loss_is_noticed_when_commits_are_not_synced() -> None:
    tally = cut_power(30, seed=1, synchronous="NORMAL", show=False)

    assert tally.lost > 0
    assert tally.corrupt == 0, tally.faults


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM task WHERE rowid = 1", "rows of"),
        ("UPDATE task SET body = x'00' WHERE rowid = 1", "ValidationError"),
        ("DELETE FROM request WHERE rowid = 1", "requests of"),
        ("DELETE FROM log WHERE rowid = 1", "StoreCorrupt: log of account"),
        ("UPDATE account_state SET head_sequence = 1", "within a batch"),
    ],
)
def test_check_notices_an_image_that_is_wrong(
    tmp_path: Path, statement: str, fault: str
) -> None:
    load = Load(random.Random(5))
    store = SqliteStore(tmp_path / "data")
    for account in ACCOUNTS:
        store.open_account(account)
    for _ in range(5):
        assert store.commit(load.next_batch()) == {}
    store.close()
    path = tmp_path / "data" / "flexcore.db"
    good = check(tmp_path / "good", {path.name: path.read_bytes()}, load, 5)
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    bad = check(tmp_path / "bad", {path.name: path.read_bytes()}, load, 5)

    assert good == (5, 5, "")
    assert fault in bad.fault


@pytest.fixture
def disk() -> Disk:
    return Disk(random.Random(1))


@pytest.fixture
def store(tmp_path: Path, disk: Disk) -> Iterator[SqliteStore]:
    with mounted(disk) as name:
        store = SqliteStore(tmp_path / "data", vfs=name, checkpoint_pages=1)
        store.open_account(ACCOUNT)
        yield store
        disk.fault = None
        store.close()


@pytest.mark.parametrize("fault", [apsw.FullError, apsw.IOError])
def test_batch_that_the_disk_does_not_take_is_retried_as_it_is(
    store: SqliteStore, disk: Disk, fault: type[apsw.Error]
) -> None:
    batch = [
        make_commit(0, make_task(), request=make_request(), inbox=make_inbox()),
        make_commit(1, make_task()),
    ]
    disk.fault = fault
    for _ in range(3):
        with pytest.raises(CommitRetry):
            store.commit(batch)
    meanwhile = store.bounds(ACCOUNT), store.list(ACCOUNT, Task, {}, None, 10)
    disk.fault = None

    assert meanwhile == ((0, 0), [])
    assert store.commit(batch) == {}
    assert store.bounds(ACCOUNT) == (0, 2)


def test_commit_without_a_change_set_is_retried_too(
    store: SqliteStore, disk: Disk
) -> None:
    batch = [make_commit(0, inbox=make_inbox(), outbox=(make_outbox(sid="OB1"),))]
    disk.fault = apsw.FullError
    with pytest.raises(CommitRetry):
        store.commit(batch)
    disk.fault = None

    assert store.commit(batch) == {}


@pytest.mark.parametrize("fault", [apsw.FullError, apsw.IOError])
def test_batch_that_was_not_synced_is_retried(
    store: SqliteStore, disk: Disk, fault: type[apsw.Error]
) -> None:
    batch = [make_commit(0, make_task(attributes="x" * 50_000))]
    disk.fault_at_sync = fault
    with pytest.raises(CommitRetry):
        store.commit(batch)
    meanwhile = store.bounds(ACCOUNT)
    disk.fault_at_sync = None

    assert meanwhile == (0, 0)
    assert store.commit(batch) == {}
    assert store.bounds(ACCOUNT) == (0, 1)


def test_commit_that_fails_for_another_reason_is_unknown(
    store: SqliteStore, disk: Disk
) -> None:
    disk.fault = apsw.CorruptError
    with pytest.raises(CommitUnknown):
        store.commit([make_commit(0, make_task())])
    disk.fault = None

    assert store.bounds(ACCOUNT) == (0, 0)
    assert store.commit([make_commit(0, make_task())]) == {}


def test_checkpoint_on_a_full_disk_loses_nothing(
    store: SqliteStore, disk: Disk
) -> None:
    assert store.commit([make_commit(0, make_task())]) == {}
    disk.fault = apsw.FullError
    with pytest.raises(CommitRetry, match="checkpoint"):
        store.checkpoint()
    disk.fault = None
    store.checkpoint()

    assert store.bounds(ACCOUNT) == (0, 1)


@pytest.mark.parametrize("busy", [False, True])
def test_commits_go_on_within_a_checkpoint_and_the_log_is_started_anew(
    store: SqliteStore, disk: Disk, tmp_path: Path, *, busy: bool
) -> None:
    """What is committed meanwhile is moved too: else a busy log would only grow."""
    heads = itertools.count()

    def commit() -> None:
        assert store.commit([make_commit(next(heads), make_task())]) == {}

    def meanwhile() -> None:
        disk.meanwhile = None
        if not store._writer._lock.locked():
            commit()
            disk.meanwhile = meanwhile if busy else None

    sizes = []
    for _ in range(5):
        commit()
        disk.meanwhile = meanwhile
        store.checkpoint()
        sizes.append((tmp_path / "data" / "flexcore.db-wal").stat().st_size)

    assert store.bounds(ACCOUNT)[1] == next(heads) >= 10
    assert max(sizes[1:]) <= 2 * sizes[0]


def test_clean_up_on_a_full_disk_is_retried(store: SqliteStore, disk: Disk) -> None:
    assert store.commit([make_commit(0, make_task())]) == {}
    disk.fault = apsw.FullError
    with pytest.raises(CommitRetry):
        store.clean_up(ACCOUNT, 1, 1 << 60)
    disk.fault = None

    assert store.bounds(ACCOUNT) == (0, 1)
    assert store.clean_up(ACCOUNT, 1, 1 << 60) == 1
