"""What the engine needs of a store: four small Protocols, the engine's own.

The contract suite in tests/contract is written against these.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Row
from flexcore.domain.parts import Media
from flexcore.domain.states import OutboxState


class Callback(msgspec.Struct, frozen=True, gc=False):
    """The question whether a reservation is to be accepted, and whom to ask next.

    `urls` are those that are left; `fallback` says that the first one did not help.
    """

    reservation_sid: str
    urls: tuple[str, ...]
    fallback: bool = False


class OutboxEntry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message on its way to one address, or a `callback`; machinery, no event.

    Entries of one `pair` leave in order of `sequence`, one at a time; a callback is the
    only one of its pair. `asks` counts how often the carrier could not say what became of
    the last attempt.
    """

    sid: str
    pair: str
    sequence: int
    state: OutboxState
    create_time: int
    due: int
    sender_sid: str = ""
    receipt_sid: str = ""
    to: str = ""
    sent_from: str = ""
    body: str = ""
    media: tuple[Media, ...] = ()
    callback: Callback | None = None
    attempt_time: int = 0
    attempts: int = 0
    asks: int = 0
    channel_message_sid: str = ""
    reason: str = ""


class InboxState(StrEnum):
    """What became of an inbound webhook."""

    APPLIED = "applied"
    DEAD = "dead"


class InboxEntry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One inbound webhook, kept by its deduplication key; machinery, no event."""

    endpoint_id: str
    channel_message_sid: str
    time: int
    state: InboxState
    reason: str
    form: bytes


class RequestEntry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A request that succeeded, so that its repeat gets the same answer.

    The answer stands in the change set that ends at `sequence`; a request that changed
    nothing has none, and its rows are in `answer`.
    """

    actor: str
    method: str
    request_id: str
    fingerprint: bytes
    sequence: int
    time: int
    answer: bytes = b""


class Pair(msgspec.Struct, frozen=True, gc=False):
    """A customer's and a business address bound to one open conversation.

    An empty `conversation_sid` releases the pair.
    """

    address: str
    proxy_address: str
    conversation_sid: str


#: when a task is to be deleted, and its number among those of the same time
PurgePlace: TypeAlias = tuple[int, int]
#: before all others
FIRST_PURGE: PurgePlace = (0, 0)


class Purge(msgspec.Struct, frozen=True, gc=False):
    """A finished task that is to be deleted; older ones of the same time come first."""

    place: PurgePlace
    sid: str


class Commit(msgspec.Struct, kw_only=True):
    """Everything one command writes: all of it commits, or none.

    `body` is the encoded change set; the store encodes it when it is empty. `watermark`
    raises the account's high-water mark of the clock, as the time of a change set does.
    A request or inbox entry that is there already is refused, and so is a pair that
    belongs to another conversation.
    """

    account_sid: str
    epoch: int
    change_set: ChangeSet | None
    body: bytes = b""
    pairs: tuple[Pair, ...] = ()
    request: RequestEntry | None = None
    inbox: InboxEntry | None = None
    outbox: tuple[OutboxEntry, ...] = ()
    watermark: int = 0


class CommitRefused(Exception):
    """A statement of one account was refused; nothing of that account was written."""


class CommitRetry(Exception):
    """Disk full, busy or I/O: nothing was written, the same batch may be tried again."""


class CommitUnknown(Exception):
    """Nobody knows whether the batch is on disk; read the head sequence."""


class StoreCorrupt(Exception):
    """What was read is not what was written; the text names the place."""


class Recovery(msgspec.Struct, kw_only=True):
    """What an account's memory is rebuilt from."""

    epoch: int
    #: the epochs before, and the sequence each ended at
    past_epochs: Mapping[int, int]
    head_sequence: int
    watermark: int
    rows: list[Row]
    outbox: list[OutboxEntry]


class LogPlace(msgspec.Struct, frozen=True, gc=False):
    """A time in the log: change sets after the sequence `after` are not older.

    Nothing up to the sequence `floor` is held any more; `oldest` is the time of the first
    change set that is, 0 when none is.
    """

    after: int
    floor: int
    oldest: int


#: what the columns of listed rows hold; several values: one of them
#: where a row is in an order: what it is ordered by, and its sid
Place: TypeAlias = tuple[tuple[int, ...], str]
Where: TypeAlias = Mapping[str, str | tuple[str, ...]]
#: what a look-up finds: rows of one aggregate, a sid, a request, an inbox entry
Found = Sequence[Row] | str | RequestEntry | InboxEntry | OutboxEntry | None


class Writer(Protocol):
    """The one place that writes; called in the store's thread, one call at a time."""

    def commit(self, batch: Sequence[Commit]) -> Mapping[str, Exception]:
        """Write a batch in one transaction, each account in its own savepoint.

        Returns the accounts whose part was refused (CommitRefused), which then wrote
        nothing. Raises CommitRetry or CommitUnknown for the batch as a whole.
        """
        ...

    def clean_up(self, account_sid: str, epoch: int, now: int) -> int:
        """Delete one small step of what retention gives up; return the rows deleted.

        CLEANUP_ROWS of the log, of requests and of the inbox each; raises like `commit`,
        CommitRefused when `epoch` is not the account's.
        """
        ...

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the database, once it is worth it.

        Waits for no reader; costs nothing as long as the log is short. Commits go on beside
        it, in another thread, and wait for the end of it only. CommitRetry when the disk
        does not take it: nothing is lost, the log stays until a later call.
        """
        ...


class Fetcher(Protocol):
    """Point look-ups for keys that are not in memory; called on the loop."""

    def fetch(
        self, account_sid: str, key: str, deliver: Callable[[str, Found], None]
    ) -> None:
        """Look `key` up and call `deliver(key, found)` once, now or later, on the loop.

        Keys: a sid (the rows of its aggregate, root first: a task with its
        reservations; a conversation with its participants; an interaction with its
        channel, participants and invites; a message, receipt or other row alone),
        `pair|address proxy` (a conversation sid), `request|actor|method|id`,
        `inbox|endpoint|id`, `outbox|sid`. None when there is nothing.
        """
        ...

    def purges(self, account_sid: str, first: PurgePlace, limit: int) -> list[Purge]:
        """Return finished tasks by when they are to be deleted, from a place on."""
        ...


class Reader(Protocol):
    """Lists and the log, from a read transaction opened after the call.

    Called from any thread; `list`, `read_log` and `find_time` may take milliseconds and
    belong into an executor, `change_set` and `bounds` are point look-ups.
    """

    def list(
        self,
        account_sid: str,
        kind: type[Row],
        where: Where,
        after: Place | None,
        limit: int,
        order_by: str = "",
    ) -> list[Row]:
        """Return up to `limit` rows by (create_time, sid), messages by (index, sid).

        `order_by` is another order of the kind's table. `after` is the place of the last
        row of the page before. ValueError when `where` names a column that is no filter, or
        none that the kind must be narrowed by.
        """
        ...

    def read_log(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> Sequence[ChangeSet]:
        """Return change sets whose last sequence is above `after`, oldest first.

        Stops at the one that reaches `bytes_max`; an empty `subject` means all. OutOfRange
        when `after` lies below the floor: a gap is never silent. StoreCorrupt when a
        change set is missing or damaged.
        """
        ...

    def log_sequences(
        self, account_sid: str, after: int, subject: str, bytes_max: int
    ) -> Sequence[int]:
        """Return where the change sets that `read_log` would return end; none is decoded."""
        ...

    def find_time(self, account_sid: str, time: int) -> LogPlace:
        """Return where in the log a time is; O(log n) point look-ups."""
        ...

    def change_set(self, account_sid: str, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`."""
        ...

    def dead_letters(
        self, account_sid: str, before: tuple[int, str], limit: int
    ) -> Sequence[OutboxEntry | InboxEntry]:
        """Return what was given up or refused, up to `limit` of each, newest first.

        `before` is a time and the sid or carrier's name that comes after them.
        """
        ...

    def count_dead_letters(self, account_sid: str) -> int:
        """Return how many dead letters there are."""
        ...

    def pairs(self, account_sid: str) -> Sequence[Pair]:
        """Return all pairs that are bound, in order; for checks."""
        ...

    def bounds(self, account_sid: str) -> tuple[int, int]:
        """Return the floor (the last sequence no longer held) and the head."""
        ...


class Store(Writer, Fetcher, Reader, Protocol):
    """The whole store; opened on a data folder, closed once."""

    def accounts(self) -> list[str]:
        """Return the sids of all accounts that have a state here."""
        ...

    def open_account(self, account_sid: str) -> None:
        """Make room for a new account (no-op when it exists); waits for the disk."""
        ...

    def begin_epochs(self, now: int) -> None:
        """Begin an epoch of every account, and note where the one before ended.

        An epoch is named by the time it began at: whatever becomes of a copy of the store,
        no two of its logs go on under one name. Waits for the disk.
        """
        ...

    def recover(self, account_sid: str) -> Recovery:
        """Read everything an account keeps in memory."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Return read-back settings: synchronous, journal_mode, data_version, ..."""
        ...

    def close(self) -> None:
        """Check-point and close."""
        ...
