"""Checkpoints: what the write-ahead log holds is moved into the database, beside commits.

A checkpoint writes thousands of pages and has the disk take them, 10 to 30 ms; a commit
that waited for it would be that late. So it has a connection and a thread of its own. What
is committed meanwhile is left in the log, and the log is started anew only when nothing is
left in it: that little is moved between two commits.

Two connections that write and checkpoint at once are how the WAL-reset bug of SQLite
before 3.51.3 corrupts a database; apsw brings a later one, and a test holds it to that.
"""

import threading
from contextlib import AbstractContextManager

import apsw

from flexcore.store.interface import CommitRetry
from flexcore.store.sqlite_writer import RETRIABLE


class SqliteCheckpoints:
    """One connection that checkpoints and nothing else; one checkpoint at a time goes."""

    def __init__(self, connection: apsw.Connection, worth: int) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        #: so many pages are worth a checkpoint
        self._worth = worth
        #: pages in the write-ahead log, and how many of them a checkpoint has moved
        self._pages = 0
        self._moved = 0
        # A connection that never read does not know that there is a log.
        connection.pragma("user_version")

    def count(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """Hear from SQLite, after a commit, how many pages are in the log."""
        if pages < self._pages:
            self._moved = 0  # the log was started anew
        self._pages = pages
        return apsw.SQLITE_OK

    def move(self, between_commits: AbstractContextManager[object]) -> None:
        """Move what is in the log, once it is worth it; CommitRetry, then it stays there.

        Nothing is committed inside `between_commits`.
        """
        if self._pages - self._moved < self._worth:
            return
        with self._lock:
            try:
                self._move()
                with between_commits:
                    self._moved = self._move()
            except RETRIABLE as error:
                raise CommitRetry(f"checkpoint: {error}") from error

    def _move(self) -> int:
        """Move what no reader needs in the log; return how many of its pages were, ever."""
        _, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return moved

    def close(self) -> None:
        """Close, before the writer does."""
        with self._lock:
            self._connection.close()
