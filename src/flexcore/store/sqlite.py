"""The store in one SQLite file of a data folder.

Threads: `commit`, `clean_up`, `open_account` and `begin_epochs` are for the store's own
thread, since they wait for the disk, `checkpoint` for another one, so that they need not
wait for it; `fetch`, `change_set`, `bounds` and `accounts` are point look-ups and run
inline on the loop; `list`, `read_log`, `find_time` and `recover` may take longer and belong
into an executor. Each of the four groups has a connection and a lock of its own, so none
waits for another; within a group one call at a time goes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apsw

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Row
from flexcore.store import migrations
from flexcore.store.folder import DataFolder, DataFolderError
from flexcore.store.interface import (
    Commit,
    CommitRetry,
    CommitUnknown,
    Found,
    InboxEntry,
    LogPlace,
    OutboxEntry,
    Pair,
    Place,
    Purge,
    PurgePlace,
    Recovery,
    Where,
)
from flexcore.store.sqlite_checkpoints import SqliteCheckpoints
from flexcore.store.sqlite_reader import SqliteFetcher, SqliteReader
from flexcore.store.sqlite_writer import SqliteWriter

#: before it two connections that write and checkpoint at once could corrupt the database
_OLDEST_SQLITE = (3, 51, 3)
_MODES = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


class SqliteStore:
    """The whole store; opened on a data folder, closed once.

    `synchronous` is FULL (an acknowledged commit survives a power loss) or NORMAL (the
    last ones may be lost). `vfs` names a file system of apsw's to go through. The folder
    is shown in errors as it is given. DataFolderError when it cannot be used.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        synchronous: str = "FULL",
        vfs: str | None = None,
        *,
        checkpoint_pages: int = limits.CHECKPOINT_PAGES,
    ) -> None:
        _check_version(apsw.sqlite_lib_version())
        self._folder = DataFolder(folder)
        try:
            path = self._folder.database
            connection = _open(path, vfs, limits.WRITER_CACHE_BYTES, write=True)
            self._facts = _prepare(connection, synchronous, self._folder.name)
            self._writer = SqliteWriter(connection)
            cache = limits.READER_CACHE_BYTES
            beside = _open(path, vfs, cache, write=True)
            self._checkpoints = SqliteCheckpoints(beside, checkpoint_pages)
            # Takes the place of SQLite's own checkpoints, which a commit would wait for.
            connection.set_wal_hook(self._checkpoints.count)
            self._fetcher = SqliteFetcher(_open(path, vfs, cache, write=False))
            self._reader = SqliteReader(_open(path, vfs, cache, write=False))
        except apsw.Error as error:
            self._folder.close()
            raise DataFolderError(
                f"data folder {self._folder.name} cannot be opened: {error}"
            ) from error
        except BaseException:
            self._folder.close()
            raise

    def commit(self, batch: Sequence[Commit]) -> Mapping[str, Exception]:
        """Write a batch in one transaction, each account in its own savepoint."""
        return self._writer.commit(batch)

    def clean_up(self, account_sid: str, epoch: int, now: int) -> int:
        """Delete one small step of what retention gives up; return the rows deleted."""
        return self._writer.clean_up(account_sid, epoch, now)

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the database, once it is worth it."""
        self._checkpoints.move(self._writer.between_commits)

    def open_account(self, account_sid: str) -> None:
        """Make room for a new account (no-op when it exists)."""
        self._writer.open_account(account_sid)

    def begin_epochs(self, now: int) -> None:
        """Begin an epoch of every account; DataFolderError when nothing can be written."""
        try:
            self._writer.begin_epochs(now)
        except (CommitRetry, CommitUnknown) as error:
            raise DataFolderError(
                f"data folder {self._folder.name} cannot be written to: {error}"
            ) from error

    def fetch(
        self, account_sid: str, key: str, deliver: Callable[[str, Found], None]
    ) -> None:
        """Look `key` up and call `deliver(key, found)` before returning."""
        self._fetcher.fetch(account_sid, key, deliver)

    def purges(self, account_sid: str, first: PurgePlace, limit: int) -> list[Purge]:
        """Return finished tasks by when they are to be deleted, from a place on."""
        return self._fetcher.purges(account_sid, first, limit)

    def change_set(self, account_sid: str, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`."""
        return self._fetcher.change_set(account_sid, last_sequence)

    def bounds(self, account_sid: str) -> tuple[int, int]:
        """Return the floor (the last sequence no longer held) and the head."""
        return self._fetcher.bounds(account_sid)

    def accounts(self) -> list[str]:
        """Return the sids of all accounts that have a state here."""
        return self._fetcher.accounts()

    def read_log(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> list[ChangeSet]:
        """Return change sets whose last sequence is above `after`, oldest first."""
        return self._reader.read_log(account_sid, after, subject, bytes_max)

    def log_sequences(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> list[int]:
        """Return where the change sets that `read_log` would return end."""
        return self._reader.log_sequences(account_sid, after, subject, bytes_max)

    def find_time(self, account_sid: str, time: int) -> LogPlace:
        """Return where in the log a time is."""
        return self._reader.find_time(account_sid, time)

    def pairs(self, account_sid: str) -> Sequence[Pair]:
        """Return all pairs that are bound, in order; for checks."""
        return self._reader.pairs(account_sid)

    def recover(self, account_sid: str) -> Recovery:
        """Read everything an account keeps in memory, from one snapshot."""
        return self._reader.recover(account_sid)

    def list(
        self,
        account_sid: str,
        kind: type[Row],
        where: Where,
        after: Place | None,
        limit: int,
        order_by: str = "",
    ) -> list[Row]:
        """Return up to `limit` rows in an order of their table."""
        return self._reader.list(account_sid, kind, where, after, limit, order_by)

    def dead_letters(
        self, account_sid: str, before: tuple[int, str], limit: int
    ) -> Sequence[OutboxEntry | InboxEntry]:
        """Return what was given up or refused, up to `limit` of each, newest first.

        `before` is a time and the sid or carrier's name that comes after them.
        """
        return self._fetcher.dead_letters(account_sid, before, limit)

    def count_dead_letters(self, account_sid: str) -> int:
        """Return how many dead letters there are."""
        return self._fetcher.count_dead_letters(account_sid)

    def facts(self) -> Mapping[str, str]:
        """Return read-back settings, as they were at the start."""
        return self._facts

    def close(self) -> None:
        """Check-point and close; the folder is free afterwards."""
        self._reader.close()
        self._fetcher.close()
        self._checkpoints.close()
        self._writer.close()
        self._folder.close()


def _open(
    path: Path, vfs: str | None, cache_bytes: int, *, write: bool
) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE if write else apsw.SQLITE_OPEN_READONLY
    connection = apsw.Connection(
        str(path), flags=flags, vfs=vfs, statementcachesize=limits.STATEMENTS
    )
    connection.set_busy_timeout(limits.BUSY_TIMEOUT // limits.MILLISECOND)
    # Memory-mapped reads turn an I/O error into a signal, and stray writes into damage.
    connection.pragma("mmap_size", 0)
    connection.pragma("cache_size", -cache_bytes // 1024)
    connection.pragma("temp_store", "memory")
    return connection


def _check_version(version: str) -> None:
    if tuple(map(int, version.split("."))) < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise DataFolderError(
            f"apsw runs SQLite {version}, which can corrupt a database; {oldest} is needed:"
            " pip install --upgrade apsw"
        )


def _prepare(
    connection: apsw.Connection, synchronous: str, folder: str
) -> Mapping[str, str]:
    """Set what the writer needs, migrate, and return what is read back."""
    if synchronous not in ("FULL", "NORMAL"):
        raise ValueError(f"synchronous is FULL or NORMAL, not {synchronous}")
    journal_mode = connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", synchronous)
    connection.pragma("journal_size_limit", limits.WAL_BYTES)
    found = _MODES[int(str(connection.pragma("synchronous")))]
    if (journal_mode, found) != ("wal", synchronous):
        raise DataFolderError(
            f"data folder {folder}: the database runs with journal_mode {journal_mode}"
            f" and synchronous {found}, not with wal and {synchronous}"
        )
    version = migrations.migrate(connection, migrations.load(), folder)
    return {
        "synchronous": found,
        "journal_mode": str(journal_mode),
        "data_version": str(version),
        "sqlite_version": apsw.sqlite_lib_version(),
    }
