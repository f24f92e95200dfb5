"""Two connections that read: one for point look-ups, one for everything longer.

A look-up runs inline on the loop (an executor hop costs ten times more) and never waits
for a list, because the two do not share a connection. Each connection has a lock, since
a connection serves one thread at a time; the lock of the first is hardly ever contended.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw
import msgspec

from flexcore.domain.errors import OutOfRange
from flexcore.domain.log import ChangeSet, decode_row
from flexcore.domain.model import Resource, Row
from flexcore.store import queries
from flexcore.store.interface import (
    Found,
    InboxEntry,
    InboxState,
    LogPlace,
    OutboxEntry,
    Pair,
    Place,
    Purge,
    PurgePlace,
    Recovery,
    RequestEntry,
    StoreCorrupt,
    Where,
)
from flexcore.store.sqlite_log import LogRow, decode_log_row, decode_outbox
from flexcore.store.tables import CONFIGURATION, TABLES, table_of

#: rows as apsw gives them
Cursor = Any

#: what recovery reads beside configuration; a row never comes before what it names
_WORK = (
    "worker_channel",
    "conversation",
    "participant",
    "interaction",
    "interaction_channel",
    "interaction_participant",
    "task",
    "invite",
    "reservation",
)


class SqliteFetcher:
    """Point look-ups; called on the loop, answers before it returns."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._sql = queries.load()
        self._lock = threading.Lock()
        self._finders: Mapping[str, Callable[[str, list[str]], Found]] = {
            "pair": self._pair,
            "request": self._request,
            "inbox": self._inbox,
            "outbox": self._outbox,
        }

    def fetch(
        self, account_sid: str, key: str, deliver: Callable[[str, Found], None]
    ) -> None:
        """Look `key` up and call `deliver(key, found)` before returning."""
        noun, *words = key.split("|", 3)
        finder = self._finders.get(noun)
        found = finder(account_sid, words) if finder else self._rows(account_sid, key)
        deliver(key, found)

    def purges(self, account_sid: str, first: PurgePlace, limit: int) -> list[Purge]:
        """Return finished tasks by when they are to be deleted, from a place on."""
        rows = self._select("list_task_purge", account_sid, *first, limit)
        return [Purge((time, number), sid) for time, number, sid in rows]

    def change_set(self, account_sid: str, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`."""
        rows = self._select("get_log", account_sid, last_sequence)
        return decode_log_row(account_sid, rows[0]) if rows else None

    def bounds(self, account_sid: str) -> tuple[int, int]:
        """Return the floor and the head."""
        rows = self._select("get_account_state", account_sid)
        if not rows:
            raise ValueError(f"account {account_sid} has no state here")
        _, head, floor, _ = rows[0]
        return floor, head

    def dead_letters(
        self, account_sid: str, before: tuple[int, str], limit: int
    ) -> Sequence[OutboxEntry | InboxEntry]:
        """Return what was given up or refused, up to `limit` of each, newest first.

        `before` is a time and the sid or carrier's name that comes after them.
        """
        given_up = self._select("list_outbox_dead", account_sid, *before, limit)
        refused = self._select("list_inbox_dead", account_sid, *before, limit)
        names = InboxEntry.__struct_fields__
        return [
            *(decode_outbox(body) for (body,) in given_up),
            *(
                msgspec.convert(dict(zip(names, row, strict=True)), InboxEntry)
                for row in refused
            ),
        ]

    def count_dead_letters(self, account_sid: str) -> int:
        """Return how many dead letters there are."""
        names = ("count_outbox_dead", "count_inbox_dead")
        return sum(int(self._select(name, account_sid)[0][0]) for name in names)

    def accounts(self) -> list[str]:
        """Return the sids of all accounts that have a state here."""
        return [sid for (sid,) in self._select("list_account_state")]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _rows(self, account_sid: str, sid: str) -> Sequence[Row] | None:
        """Return the rows of the aggregate a sid belongs to, from one snapshot."""
        table = table_of(sid)
        root, root_sid = (table.name, sid) if table.aggregate else (table.root, "")
        if root and not root_sid:
            # A child never changes its root, so this may be another snapshot.
            found = self._select(f"root_of_{table.name}", account_sid, sid)
            if not found:
                return None
            root_sid = found[0][0]
        if root:
            bodies = self._select(f"aggregate_{root}", account_sid, root_sid)
        else:
            bodies = self._select(f"get_{table.name}", account_sid, sid)
        return [decode_row(body) for (body,) in bodies] or None

    def _pair(self, account_sid: str, words: list[str]) -> str | None:
        address, proxy_address = "|".join(words).split(" ")
        rows = self._select("get_pair", account_sid, address, proxy_address)
        return rows[0][0] if rows else None

    def _request(self, account_sid: str, words: list[str]) -> RequestEntry | None:
        actor, method, request_id = words
        rows = self._select("get_request", account_sid, actor, method, request_id)
        if not rows:
            return None
        fingerprint, sequence, time, answer = rows[0]
        return RequestEntry(
            actor=actor,
            method=method,
            request_id=request_id,
            fingerprint=fingerprint,
            sequence=sequence,
            time=time,
            answer=answer,
        )

    def _inbox(self, account_sid: str, words: list[str]) -> InboxEntry | None:
        endpoint_id, *rest = words
        channel_message_sid = "|".join(rest)
        rows = self._select("get_inbox", account_sid, endpoint_id, channel_message_sid)
        if not rows:
            return None
        time, state, reason, form = rows[0]
        return InboxEntry(
            endpoint_id=endpoint_id,
            channel_message_sid=channel_message_sid,
            time=time,
            state=InboxState(state),
            reason=reason,
            form=form,
        )

    def _outbox(self, account_sid: str, words: list[str]) -> OutboxEntry | None:
        rows = self._select("get_outbox", account_sid, *words)
        return decode_outbox(rows[0][0]) if rows else None

    def _select(self, name: str, *parameters: str | int) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(self._sql[name], parameters).fetchall()


class SqliteReader:
    """Lists, the log and recovery; called from any thread, one at a time goes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._sql = queries.load()
        self._lock = threading.Lock()

    def read_log(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> list[ChangeSet]:
        """Return change sets whose last sequence is above `after`, oldest first."""
        rows = self._log_rows(account_sid, after, subject, bytes_max)
        return [decode_log_row(account_sid, row) for row in rows]

    def log_sequences(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> list[int]:
        """Return where the change sets that `read_log` would return end."""
        rows = self._log_rows(account_sid, after, subject, bytes_max)
        return [last_sequence for _, last_sequence, _, _ in rows]

    def _log_rows(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> list[LogRow]:
        with self._lock, self._connection:
            _, _, floor, _ = self._state(account_sid)
            if after < floor:
                raise OutOfRange(
                    f"sequence {after} is below {floor}, where the log begins",
                    metadata={"floor": str(floor)},
                )
            rows = self._read_log(account_sid, after, subject, bytes_max)
        if not subject:
            _check_gaps(account_sid, after, rows)
        return rows

    def find_time(self, account_sid: str, time: int) -> LogPlace:
        """Return where in the log a time is, from one snapshot.

        Times never go down along the log, so halving the sequences finds it.
        """
        with self._lock, self._connection:
            _, head, floor, _ = self._state(account_sid)
            first = self._next_time(account_sid, floor)
            low, high = floor, head
            while low < high:
                middle = (low + high) // 2
                found = self._next_time(account_sid, middle)
                if found is not None and found[1] < time:
                    low = found[0]
                else:
                    high = middle
        return LogPlace(low, floor, first[1] if first else 0)

    def _next_time(self, account_sid: str, after: int) -> tuple[int, int] | None:
        found: Cursor = self._connection.execute(
            self._sql["next_log_time"], (account_sid, after)
        )
        for last_sequence, time in found:
            return last_sequence, time
        return None

    def _read_log(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> list[LogRow]:
        if subject:
            parameters: tuple[str | int, ...] = (account_sid, subject, after)
            cursor: Cursor = self._connection.execute(
                self._sql["read_log_of_subject"], parameters
            )
        else:
            cursor = self._connection.execute(
                self._sql["read_log"], (account_sid, after)
            )
        rows: list[LogRow] = []
        size = 0
        for row in cursor:
            rows.append(row)
            size += len(row[3])
            if size >= bytes_max:
                break
        cursor.close(force=True)
        return rows

    def recover(self, account_sid: str) -> Recovery:
        """Read everything an account keeps in memory, from one snapshot."""
        rows: list[Row] = []
        with self._lock, self._connection:
            epoch, head, _, watermark = self._state(account_sid)
            past: Cursor = self._connection.execute(
                self._sql["list_past_epoch"], (account_sid,)
            )
            past_epochs = dict(past)
            for kind in CONFIGURATION:
                table = TABLES[kind]
                (every,) = table.list_parameters(account_sid, {}, None, -1)
                rows += self._bodies(self._sql[table.list_query({})], every)
            for noun in _WORK:
                rows += self._bodies(self._sql[f"recover_{noun}"], (account_sid,))
            living: Cursor = self._connection.execute(
                self._sql["list_outbox_living"], (account_sid,)
            )
            entries: list[OutboxEntry] = [decode_outbox(body) for (body,) in living]
        return Recovery(
            epoch=epoch,
            past_epochs=past_epochs,
            head_sequence=head,
            watermark=watermark,
            rows=rows,
            outbox=entries,
        )

    def pairs(self, account_sid: str) -> list[Pair]:
        """Return all pairs that are bound, in order; for checks."""
        with self._lock:
            found: Cursor = self._connection.execute(
                self._sql["list_pair"], (account_sid,)
            )
            return [Pair(*row) for row in found]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _state(self, account_sid: str) -> tuple[int, int, int, int]:
        for epoch, head, floor, watermark in self._connection.execute(
            self._sql["get_account_state"], (account_sid,)
        ):
            return epoch, head, floor, watermark
        raise ValueError(f"account {account_sid} has no state here")

    def _bodies(
        self,
        statement: str,
        parameters: Mapping[str, str | int | None] | tuple[str, ...],
    ) -> Sequence[Resource]:
        cursor: Cursor = self._connection.execute(statement, parameters)
        return [decode_row(body) for (body,) in cursor]

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
        table = TABLES[kind]
        statement = self._sql[table.list_query(where, order_by)]
        searches = list(
            table.list_parameters(account_sid, where, after, limit, order_by)
        )
        found: list[tuple[Any, ...]] = []
        # One snapshot, or a row could be found in two statuses, or in none.
        with self._lock, self._connection:
            for parameters in searches:
                cursor: Cursor = self._connection.execute(statement, parameters)
                found += cursor.fetchall()
        if len(searches) > 1:  # each found row begins with its place
            descending = table.orders[order_by].descending
            found.sort(key=lambda row: row[:-1], reverse=descending)
            del found[limit:]
        return [decode_row(row[-1]) for row in found]


def _check_gaps(account_sid: str, after: int, rows: Sequence[LogRow]) -> None:
    """Raise StoreCorrupt when a change set between two others is missing."""
    for first, last, _, _ in rows:
        # A token inside a change set cannot be told from a gap before its end.
        if first > after + 1:
            raise StoreCorrupt(
                f"log of account {account_sid}: sequences {after + 1} to {first - 1} are"
                " missing"
            )
        after = last
