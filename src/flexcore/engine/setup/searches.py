"""Searches: lists by what no index knows, such as expressions.

Columns of the table (store/tables.py) are the store's to filter by. Everything else is
asked of one row after the other on the read side, never in the mailbox: a slice at a time,
and LIST_SCAN_ROWS for a page at most, so that a page may be short though more follow. So
may one of large rows, which ends after LIST_BYTES.
"""

from collections.abc import Mapping, Sequence

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.model import Row, TaskQueue, Worker
from flexcore.domain.states import OPEN_TASK
from flexcore.engine.command import Filter
from flexcore.engine.setup.filters import Filters, Test, values_of
from flexcore.store.interface import Found, Place, Store, Where
from flexcore.store.tables import TABLES

_encode = msgspec.msgpack.Encoder().encode


class Search:
    """One page of a list on its way."""

    def __init__(
        self,
        store: Store,
        account_sid: str,
        kind: type[Row],
        where: Mapping[str, Filter],
        order_by: str,
    ) -> None:
        self.found: list[Row] = []
        #: the place of the last row of the page when more follow
        self.after: Place | None = None
        self._store = store
        self._account_sid = account_sid
        self._kind = kind
        self._where = where
        self._order_by = order_by
        table = TABLES[kind]
        self._order = table.orders[order_by]
        self._open_only = self._order.sorted and table.split != ""
        #: rows the filters name, looked up here on the loop, where look-ups belong
        self._named = [
            row
            for name in _NAMING.get(kind, ())
            for row in _fetched(store, account_sid, str(where.get(name, "")))
        ]
        #: what the store filters by, and what is left to ask; None before the first slice
        self._asked: tuple[Where, list[Test]] | None = None
        self._place: Place | None = None
        self._seen = self._bytes = 0

    def go_on(self, after: Place | None, limit: int) -> bool:
        """Look at one slice more; True when the page is done. Begins after `after`."""
        if self._asked is None:
            self._asked = self._read_filters()
            self._place = after
        columns, tests = self._asked
        size = limits.LIST_SLICE_ROWS if tests else limit + 1
        rows = self._list(columns, size)
        for row in rows:
            if len(self.found) == limit or self._bytes >= limits.LIST_BYTES:
                self.after = self._place
                return True
            self._place = self._order.place(row)
            if all(test(row) for test in tests):
                self.found.append(row)
                self._bytes += len(_encode(row))
        if len(rows) < size:
            return True
        self._seen += len(rows)
        if self._seen >= limits.LIST_SCAN_ROWS or len(self.found) == limit:
            self.after = self._place
            return True
        return False

    def _list(self, columns: Where, size: int) -> list[Row]:
        return self._store.list(
            self._account_sid, self._kind, columns, self._place, size, self._order_by
        )

    def _read_filters(self) -> tuple[Where, list[Test]]:
        filters = Filters(self._store, self._account_sid, self._kind, self._named)
        for name, value in self._where.items():
            filters.add(name, value)
        if self._open_only:
            self._refuse_finished()
        return filters.columns, filters.tests

    def _refuse_finished(self) -> None:
        statuses = self._where.get("status", ())
        if not statuses or not set(values_of(statuses)) <= OPEN_TASK:
            raise InvalidArgument(
                "statuses", f"must be open ones for an order by {self._order_by}"
            )


#: filters whose value is the sid of a row that has to be read
_NAMING: Mapping[type[Row], tuple[str, ...]] = {
    Worker: ("task_queue_sid",),
    TaskQueue: ("worker_sid",),
}


def _fetched(store: Store, account_sid: str, sid: str) -> Sequence[Row]:
    """Return the row a sid names, or nothing."""
    delivered: list[Found] = []
    if sid:
        store.fetch(account_sid, sid, lambda _, found: delivered.append(found))
    return delivered[0] if delivered and isinstance(delivered[0], list) else ()
