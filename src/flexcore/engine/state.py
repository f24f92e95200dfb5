"""What an account keeps in memory: rows by sid, look-ups by key, and who may be dropped.

Configuration and everything a decision on open work can touch stays. Finished work,
other conversations and look-ups are a cache: bounded, and an entry written by a decision
that is not durable yet is never dropped, because the store could not give it back.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from flexcore.domain import limits
from flexcore.domain.model import (
    Conversation,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Task,
)
from flexcore.domain.states import OPEN_TASK, ChannelStatus, OutboxState
from flexcore.engine.indexes import Indexes
from flexcore.store.interface import Found, OutboxEntry

if TYPE_CHECKING:
    from flexcore.domain.semantics import Policies

R = TypeVar("R", bound=Row)

#: what hangs below the root of an aggregate and is dropped with it
MEMBERS: Mapping[type[Row], tuple[tuple[type[Row], str], ...]] = {
    Task: ((Reservation, "task_sid"),),
    Conversation: ((Participant, "conversation_sid"),),
    Interaction: (
        (InteractionChannel, "interaction_sid"),
        (InteractionParticipant, "interaction_sid"),
        (Invite, "interaction_sid"),
    ),
    Message: (),
    Receipt: (),
}

#: the field that names the root a row belongs to (a root names itself)
ROOT_FIELD: Mapping[type[Row], str] = {
    Task: "sid",
    Reservation: "task_sid",
    Conversation: "sid",
    Participant: "conversation_sid",
    Interaction: "sid",
    InteractionChannel: "interaction_sid",
    InteractionParticipant: "interaction_sid",
    Invite: "interaction_sid",
    Message: "sid",
    Receipt: "sid",
}


class State:
    """Rows and look-ups of one account; changed only through a Decision."""

    def __init__(self, account_sid: str, epoch: int = 1) -> None:
        self.account_sid = account_sid
        self.epoch = epoch
        self.sequence = 0
        #: counts decisions that write; the commit reports back by this number
        self.stamp = 0
        self.rows: dict[str, Row] = {}
        self._kinds: dict[type[Row], dict[str, None]] = {}
        self._indexes = Indexes()
        self._lookups: OrderedDict[str, tuple[Found, int]] = OrderedDict()
        self._droppable: OrderedDict[str, int] = OrderedDict()
        #: what engine/setup/policies.py worked out, with the rows it follows from
        self.policies: dict[tuple[str, str], tuple[Row, Row | None, Policies]] = {}
        #: sids of the messages that wait for their carrier, by pair of addresses
        self._unsent: dict[str, set[str]] = {}

    # rows

    def find(self, sid: str, kind: type[R]) -> R | None:
        """Return the row `sid` if it is in memory and of this kind."""
        row = self.rows.get(sid)
        return row if isinstance(row, kind) else None

    def need(self, sid: str, kind: type[R]) -> R:
        """Return a row that cannot be missing; KeyError is a bug of ours."""
        row = self.rows[sid]
        assert isinstance(row, kind), (sid, kind)
        return row

    def where(self, kind: type[R], field: str, value: str) -> list[R]:
        """Return rows of `kind` whose `field` is `value`, by sid."""
        sids = self._indexes.sids(kind, field, value)
        return [self.need(sid, kind) for sid in sorted(sids)] if sids else []

    def each(self, kind: type[R], field: str, value: str) -> Iterator[R]:
        """Yield what `where` gives, in any order: for what that does not matter to."""
        for sid in self._indexes.sids(kind, field, value):
            yield self.need(sid, kind)

    def line(
        self, kind: type[R], field: str, value: str, after: int = -1
    ) -> Iterator[R]:
        """Yield what `where` gives in the order of ORDERS, behind a place in it."""
        for sid in self._indexes.line(kind, field, value, after):
            yield self.need(sid, kind)

    def sids(self, kind: type[R], field: str, value: str) -> Iterator[str]:
        """Yield the sids of what `each` gives; RuntimeError once one came or went."""
        return iter(self._indexes.sids(kind, field, value))

    def count(self, kind: type[Row], field: str, value: str) -> int:
        """Return how many rows `where` would give."""
        return len(self._indexes.sids(kind, field, value))

    def of_kind(self, kind: type[R]) -> Iterator[R]:
        """Yield every row of a kind, by sid."""
        for sid in sorted(self._kinds.get(kind, ())):
            yield self.need(sid, kind)

    def count_of(self, kind: type[Row]) -> int:
        """Return how many rows of a kind are in memory."""
        return len(self._kinds.get(kind, ()))

    def put(self, row: Row) -> Row | None:
        """Put a row in place of its former version, which is returned."""
        before = self.rows.get(row.sid)
        self.rows[row.sid] = row
        if before is None:
            self._kinds.setdefault(type(row), {})[row.sid] = None
        self._indexes.follow(before, row)
        return before

    def drop(self, sid: str) -> None:
        """Forget a row, as if it had never been read."""
        row = self.rows.pop(sid)
        del self._kinds[type(row)][sid]
        self._indexes.forget(row)

    # look-ups

    def knows(self, key: str) -> bool:
        """Say whether a key (a sid or a look-up) is answered from memory."""
        return key in self.rows or key in self._lookups

    def lookup(self, key: str) -> Found:
        """Return what is known under a key that `knows`; None means absent."""
        found, _ = self._lookups[key]
        self._lookups.move_to_end(key)
        return found

    def remember(self, key: str, found: Found) -> tuple[Found, int] | None:
        """Write a look-up as of the current decision; return what it replaced."""
        before = self._lookups.get(key)
        self._lookups[key] = (found, self.stamp)
        self._lookups.move_to_end(key)
        return before

    def restore(self, key: str, before: tuple[Found, int] | None) -> None:
        """Take `remember` back."""
        if before is None:
            del self._lookups[key]
        else:
            self._lookups[key] = before

    def deliver(self, key: str, found: Found) -> list[Row]:
        """Take in what the store found; never overwrites what a decision wrote.

        Returns the rows that were not in memory before.
        """
        if key in self._lookups:
            return []
        fresh: list[Row] = []
        if isinstance(found, list):
            fresh = [row for row in found if row.sid not in self.rows]
            for row in fresh:
                self.put(row)
                self._note(row, 0)
            found = None
        if key not in self.rows:
            self._lookups[key] = (found, 0)
        return fresh

    # the outbox

    def unsent(self, pair: str) -> int:
        """Return how many messages of a pair wait for their carrier."""
        return len(self._unsent.get(pair, ()))

    def follow(self, entry: OutboxEntry) -> None:
        """Count an outbox entry as long as it waits."""
        if entry.state not in (OutboxState.DONE, OutboxState.DEAD):
            self._unsent.setdefault(entry.pair, set()).add(entry.sid)
            return
        waiting = self._unsent.get(entry.pair)
        if waiting is not None:
            waiting.discard(entry.sid)
            if not waiting:
                del self._unsent[entry.pair]

    # dropping

    def note(self, row: Row) -> None:
        """Remember when the aggregate of a row was last written."""
        self._note(row, self.stamp)

    def _note(self, row: Row, stamp: int) -> None:
        field = ROOT_FIELD.get(type(row))
        if field is not None:
            root = getattr(row, field)
            # What is read does not make safe to drop what was written.
            self._droppable[root] = max(stamp, self._droppable.get(root, 0))
            self._droppable.move_to_end(root)

    def shrink(
        self, durable: int, entries: int | None = None, *, now: int = 0
    ) -> list[Row]:
        """Drop the oldest cache entries that decision `durable` made safe to drop.

        An aggregate that open work needs leaves the list and comes back with the decision
        that ends the work, so that none is looked at twice: O(1) amortized. So does one
        that is to be deleted by `now`. Returns the roots of those that were dropped.
        """
        entries = limits.CACHE_ENTRIES if entries is None else entries
        dropped: list[Row] = []
        while len(self._lookups) > entries:
            key, (_, stamp) = next(iter(self._lookups.items()))
            if stamp > durable:
                break
            del self._lookups[key]
        while len(self._droppable) > entries:
            root, stamp = next(iter(self._droppable.items()))
            if stamp > durable:
                break
            del self._droppable[root]
            row = self.rows.get(root)
            if row is not None and not self._pinned(row, now):
                self._drop_aggregate(root, row)
                dropped.append(row)
        return dropped

    def _drop_aggregate(self, root: str, row: Row) -> None:
        for kind, field in MEMBERS[type(row)]:
            for member in self.where(kind, field, root):
                self.drop(member.sid)
        self.drop(root)
        if isinstance(row, Interaction):
            # Nothing pins its conversation any more, and no decision need have said so.
            conversation = self.find(row.conversation_sid, Conversation)
            if conversation is not None:
                self._note(conversation, 0)

    def _pinned(self, row: Row, now: int) -> bool:
        """Say whether open work, or what is due, can touch the aggregate of this root."""
        if isinstance(row, Task):
            return row.status in OPEN_TASK or 0 < row.purge_time <= now
        if isinstance(row, Interaction):
            return self._interaction_open(row)
        if isinstance(row, Conversation) and row.channel_sid:
            channel = self.find(row.channel_sid, InteractionChannel)
            if channel is None:
                return False
            return self._interaction_open(
                self.need(channel.interaction_sid, Interaction)
            )
        return False

    def _interaction_open(self, interaction: Interaction) -> bool:
        channel = self.need(interaction.channel_sid, InteractionChannel)
        if channel.status == ChannelStatus.ACTIVE:
            return True
        for invite in self.where(Invite, "interaction_sid", interaction.sid):
            task = self.find(invite.task_sid, Task)
            if task is not None and task.status in OPEN_TASK:
                return True
        return False
