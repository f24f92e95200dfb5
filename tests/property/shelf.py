"""What a store would hold of a tape, so that memory may forget finished work."""

from flexcore.domain.model import Reservation, Row, Task
from flexcore.domain.states import OPEN_TASK, OutboxState
from flexcore.engine.decision import outbox_key
from flexcore.store.interface import Commit, Found, OutboxEntry, Purge, PurgePlace


class Shelf:
    """Tasks, their reservations and callbacks, as they were last committed."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._entries: dict[str, OutboxEntry] = {}

    def follow(self, commit: Commit) -> None:
        """Take in what a decision wrote."""
        if commit.change_set is not None:
            for row in commit.change_set.resources:
                if isinstance(row, Task | Reservation):
                    self.rows[row.sid] = row
            for sid in commit.change_set.deleted:
                self.rows.pop(sid, None)
        for entry in commit.outbox:
            self._entries[outbox_key(entry.sid)] = entry

    def find(self, key: str) -> Found:
        """Return what a store would find under a key."""
        row = self.rows.get(key)
        if row is None:
            return self._entries.get(key)
        root = row.task_sid if isinstance(row, Reservation) else key
        return [
            self.rows[root],
            *(
                each
                for each in self.rows.values()
                if isinstance(each, Reservation) and each.task_sid == root
            ),
        ]

    def finished(self, sid: str) -> bool:
        """Say whether a row is of a finished task."""
        row = self.rows.get(sid)
        if isinstance(row, Reservation):
            row = self.rows[row.task_sid]
        return isinstance(row, Task) and row.status not in OPEN_TASK

    def living(self) -> list[OutboxEntry]:
        """Return the callbacks that are not answered yet."""
        entries = self._entries.values()
        return [entry for entry in entries if entry.state != OutboxState.DONE]

    def purges(self, _account_sid: str, first: PurgePlace, limit: int) -> list[Purge]:
        """Return finished tasks by when they are to be deleted, from a place on."""
        found = [
            Purge((row.purge_time, row.sequence), row.sid)
            for row in self.rows.values()
            if isinstance(row, Task) and row.purge_time
        ]
        line = sorted(found, key=lambda purge: purge.place)
        return [purge for purge in line if purge.place >= first][:limit]

    def next_purge(self) -> int:
        """Return when the first is to be deleted, or 0."""
        return next((one.place[0] for one in self.purges("", (0, 0), 1)), 0)
