"""The one connection that writes."""

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import apsw

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet, encode_change_set
from flexcore.domain.states import OutboxState
from flexcore.store import queries
from flexcore.store.interface import (
    Commit,
    CommitRefused,
    CommitRetry,
    CommitUnknown,
    OutboxEntry,
    Pair,
)
from flexcore.store.sqlite_log import decode_log_row, encode_outbox
from flexcore.store.tables import TABLES, Parameters

if TYPE_CHECKING:
    from flexcore.domain.model import Row

#: the world's faults: what was refused now may be taken later
RETRIABLE = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)

#: what refuses a statement: the database, a value it cannot hold, or one of our checks
_REFUSALS = (apsw.Error, CommitRefused, OverflowError, TypeError, ValueError)

#: columns beside the account
_request_values = attrgetter(
    "actor", "method", "request_id", "fingerprint", "sequence", "time", "answer"
)
_inbox_values = attrgetter(
    "endpoint_id", "channel_message_sid", "time", "state", "reason", "form"
)


class SqliteWriter:
    """Commits and retention; any thread may call, one at a time goes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._sql = queries.load()
        self._lock = threading.Lock()

    @property
    def between_commits(self) -> AbstractContextManager[object]:
        """A `with` block in which nothing is written."""
        return self._lock

    # --- commits -----------------------------------------------------------------------

    def commit(self, batch: Sequence[Commit]) -> Mapping[str, Exception]:
        """Write a batch in one transaction, each account in its own savepoint."""
        parts: dict[str, list[Commit]] = {}
        for commit in batch:
            parts.setdefault(commit.account_sid, []).append(commit)
        refused: dict[str, Exception] = {}
        heads: dict[str, int] = {}
        with self._lock, self._transaction(heads):
            for account_sid, part in parts.items():
                self._run("open_part")
                try:
                    heads[account_sid] = self._write_part(account_sid, part)
                except RETRIABLE:
                    raise
                except _REFUSALS as error:
                    self._run("undo_part")
                    refused[account_sid] = _refusal(account_sid, error)
                self._run("keep_part")
        return refused

    @contextmanager
    def _transaction(self, heads: Mapping[str, int]) -> Iterator[None]:
        """Commit what is done inside, or none of it.

        `heads` are the head sequences it starts from, filled inside; they tell whether a
        commit that failed took place.
        """
        try:
            self._run("begin_write")
            yield
        except RETRIABLE as error:
            self._roll_back()
            raise CommitRetry(str(error)) from error
        except BaseException:
            self._roll_back()
            raise
        try:
            self._run("commit")
        except apsw.Error as error:
            if isinstance(error, RETRIABLE) and self._is_undone(heads):
                raise CommitRetry(str(error)) from error
            raise CommitUnknown(str(error)) from error

    def _roll_back(self) -> None:
        # A full disk or an I/O error may have rolled the transaction back already.
        if self._connection.in_transaction:
            self._run("roll_back")

    def _is_undone(self, heads: Mapping[str, int]) -> bool:
        """Return whether a failed commit surely left nothing behind."""
        try:
            self._roll_back()
            return all(self._state(sid)[1] == head for sid, head in heads.items())
        except (apsw.Error, CommitRefused):
            return False

    def _write_part(self, account_sid: str, part: Sequence[Commit]) -> int:
        """Write all commits of one account and return the head they started from."""
        epoch, start = self._state(account_sid)
        head = start
        log: list[Parameters] = []
        subjects: list[Parameters] = []
        rows: dict[type[Row], dict[str, Row]] = {}
        deleted: dict[type[Row], list[Parameters]] = {}
        watermark = 0
        for commit in part:
            _check_epoch(account_sid, commit.epoch, epoch)
            watermark = max(watermark, commit.watermark)
            change_set = commit.change_set
            if change_set is None:
                continue
            _check_contiguous(account_sid, change_set, head)
            head = change_set.last_sequence
            watermark = max(watermark, change_set.time)
            log.append(_log_row(change_set, commit.body))
            subjects += [
                (account_sid, subject, head)
                for subject in dict.fromkeys(change_set.subjects)
            ]
            for row in change_set.resources:
                # Only the last state of a row in this transaction is worth writing.
                if row.sid in change_set.deleted:
                    rows.get(type(row), {}).pop(row.sid, None)
                    deleted.setdefault(type(row), []).append((account_sid, row.sid))
                else:
                    rows.setdefault(type(row), {})[row.sid] = row
        self._run_many("insert_log", log)
        self._run_many("insert_log_subject", subjects)
        for kind, of_kind in rows.items():
            table = TABLES[kind]
            self._run_many(
                f"upsert_{table.name}",
                [table.parameters(account_sid, row) for row in of_kind.values()],
            )
        for kind, keys in deleted.items():
            self._run_many(f"delete_{TABLES[kind].name}", keys)
        self._write_machinery(account_sid, part)
        self._run("advance_account_state", (account_sid, head, watermark))
        return start

    def _write_machinery(self, account_sid: str, part: Sequence[Commit]) -> None:
        requests: list[Parameters] = []
        inbox: list[Parameters] = []
        outbox: dict[str, OutboxEntry] = {}
        for commit in part:
            for pair in commit.pairs:
                self._write_pair(account_sid, pair)
            request, entry = commit.request, commit.inbox
            if request is not None:
                requests.append((account_sid, *_request_values(request)))
            if entry is not None:
                inbox.append((account_sid, *_inbox_values(entry)))
            for leaving in commit.outbox:
                outbox[leaving.sid] = leaving
        self._run_many("insert_request", requests)
        self._run_many("insert_inbox", inbox)
        self._write_outbox(account_sid, outbox)

    def _write_pair(self, account_sid: str, pair: Pair) -> None:
        key = (account_sid, pair.address, pair.proxy_address)
        if not pair.conversation_sid:
            self._run("release_pair", key)
            return
        self._run("bind_pair", (*key, pair.conversation_sid))
        if not self._connection.changes():
            raise CommitRefused(
                f"{pair.address} and {pair.proxy_address} belong to another conversation"
                f" than {pair.conversation_sid}"
            )

    def _write_outbox(
        self, account_sid: str, entries: Mapping[str, OutboxEntry]
    ) -> None:
        done: list[Parameters] = []
        living: list[Parameters] = []
        for sid, entry in entries.items():
            if entry.state is OutboxState.DONE:
                done.append((account_sid, sid))
                continue
            body = encode_outbox(entry)
            living.append(
                (
                    account_sid,
                    sid,
                    entry.state,
                    entry.pair,
                    entry.sequence,
                    entry.create_time,
                    body,
                )
            )
        self._run_many("upsert_outbox", living)
        self._run_many("delete_outbox", done)

    # --- accounts, retention -----------------------------------------------------------

    def open_account(self, account_sid: str) -> None:
        """Make room for a new account (no-op when it exists)."""
        with self._lock, self._transaction({}):
            self._run("insert_account_state", (account_sid,))

    def begin_epochs(self, now: int) -> None:
        """Begin an epoch of every account, and note where the one before ended."""
        with self._lock, self._transaction({}):
            self._run("insert_past_epochs")
            self._run("begin_epochs", (now,))
            self._run("trim_past_epochs", (limits.PAST_EPOCHS,))

    def clean_up(self, account_sid: str, epoch: int, now: int) -> int:
        """Delete one small step of what retention gives up; return the rows deleted."""
        rows = limits.CLEANUP_ROWS
        with self._lock, self._transaction({}):
            _check_epoch(account_sid, epoch, self._state(account_sid)[0])
            deleted = self._clean_up_log(account_sid, now - limits.LOG_RETENTION)
            for name, retention in (
                ("delete_request_expired", limits.REQUEST_RETENTION),
                ("delete_inbox_expired", limits.INBOX_RETENTION),
            ):
                self._run(name, (account_sid, now - retention, rows))
                deleted += self._connection.changes()
        return deleted

    def _clean_up_log(self, account_sid: str, before: int) -> int:
        expired: list[Any] = self._connection.execute(
            self._sql["list_log_expired"], (account_sid, before, limits.CLEANUP_ROWS)
        ).fetchall()
        if not expired:
            return 0
        subjects: list[Parameters] = []
        for row in expired:
            change_set = decode_log_row(account_sid, row)
            subjects += [
                (account_sid, subject, change_set.last_sequence)
                for subject in change_set.subjects
            ]
        floor = expired[-1][1]
        self._run_many("delete_log_subject", subjects)
        self._run("delete_log", (account_sid, floor))
        self._run("raise_floor", (account_sid, floor))
        return len(expired)

    def close(self) -> None:
        """Empty the write-ahead log and close; the last one to close."""
        with self._lock:
            # A log that cannot be moved now (a full disk) is moved after the next start.
            with suppress(*RETRIABLE):
                self._roll_back()
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._connection.close()

    # --- statements --------------------------------------------------------------------

    def _state(self, account_sid: str) -> tuple[int, int]:
        """Return epoch and head sequence of an account."""
        for epoch, head, _, _ in self._connection.execute(
            self._sql["get_account_state"], (account_sid,)
        ):
            return epoch, head
        raise CommitRefused(f"account {account_sid} has no state here")

    def _run(self, name: str, parameters: Parameters = ()) -> None:
        self._connection.execute(self._sql[name], parameters)

    def _run_many(self, name: str, parameters: Sequence[Parameters]) -> None:
        if parameters:
            self._connection.executemany(self._sql[name], parameters)


def _log_row(change_set: ChangeSet, body: bytes) -> Parameters:
    body = body or encode_change_set(change_set)
    return (
        change_set.account_sid,
        change_set.first_sequence,
        change_set.last_sequence,
        change_set.time,
        change_set.command_id,
        change_set.actor,
        change_set.cause,
        zlib.crc32(body),
        body,
    )


def _check_epoch(account_sid: str, stated: int, stored: int) -> None:
    if stated != stored:
        raise CommitRefused(
            f"account {account_sid} is at epoch {stored}, not {stated}: it has another"
            " owner"
        )


def _check_contiguous(account_sid: str, change_set: ChangeSet, head: int) -> None:
    first, last = change_set.first_sequence, change_set.last_sequence
    if change_set.account_sid != account_sid:
        raise CommitRefused(
            f"a change set of {change_set.account_sid} in a commit of {account_sid}"
        )
    if first != head + 1 or last < first:
        raise CommitRefused(
            f"account {account_sid} is at sequence {head}; a change set from {first} to"
            f" {last} does not follow"
        )


def _refusal(account_sid: str, error: Exception) -> CommitRefused:
    if isinstance(error, CommitRefused):
        return error
    refusal = CommitRefused(f"account {account_sid}: {error}")
    refusal.__cause__ = error
    return refusal
