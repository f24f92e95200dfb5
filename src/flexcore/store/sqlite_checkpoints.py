"""Checkpoints: what the write-ahead log holds is moved into the database, beside commits.

A checkpoint writes thousands of pages and has the disk take them, 10 to 30 ms; a commit
that waited for it would be that late. So it has a connection and a thread of its own.

The log is started anew only when nothing is left in it, and what is committed meanwhile is
left. That is little, so moving it takes less long, and sooner or later nothing is committed
meanwhile. If that does not come to pass, commits have to wait for the last little.

Two connections that write and checkpoint at once are how the WAL-reset bug of SQLite
before 3.51.3 corrupts a database; the store refuses to open with one of those.
"""

import threading
from contextlib import AbstractContextManager

import apsw

from flexcore.store.interface import CommitRetry
from flexcore.store.sqlite_writer import RETRIABLE

#: how often what was left is moved beside commits, before they have to wait
_ROUNDS = 5


class SqliteCheckpoints:
    """One connection that checkpoints and nothing else; one checkpoint at a time goes."""

    def __init__(self, connection: apsw.Connection, worth: int) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        #: so many pages are worth a checkpoint
        self._worth = worth
        #: pages in the write-ahead log; falls when it is started anew
        self._pages = 0
        # A connection that never read does not know that there is a log.
        connection.pragma("user_version")

    def count(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """Hear from SQLite, after a commit, how many pages are in the log."""
        self._pages = pages
        return apsw.SQLITE_OK

    def move(self, between_commits: AbstractContextManager[object]) -> None:
        """Move what is in the log, once it is worth it; CommitRetry, then it stays there.

        Nothing is committed inside `between_commits`.
        """
        if self._pages < self._worth:
            return
        with self._lock:
            try:
                if not any(self._moves_all() for _ in range(_ROUNDS)):
                    with between_commits:
                        self._moves_all()
            except RETRIABLE as error:
                raise CommitRetry(f"checkpoint: {error}") from error

    def _moves_all(self) -> bool:
        """Move what no reader needs in the log; say whether nothing is left."""
        mode = apsw.SQLITE_CHECKPOINT_PASSIVE
        _, moved = self._connection.wal_checkpoint(mode=mode)
        return moved == self._pages

    def close(self) -> None:
        """Close, before the writer does."""
        with self._lock:
            self._connection.close()
