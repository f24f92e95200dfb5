"""Whether what an account's store holds is what the design promises.

Reads everything twice over: the log as it was written, the tables as they are now, and
the memory that would be built from them. For `flexcore check` and for the crash harness;
nothing here changes anything, and every problem is a sentence.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeGuard

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import (
    Activity,
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
    Sender,
    Task,
    TaskQueue,
    Worker,
    WorkerChannel,
)
from flexcore.domain.states import (
    OPEN_RESERVATION,
    RESERVATION,
    ChannelStatus,
    Connectivity,
    ConversationState,
    InviteStatus,
    ParticipantStatus,
    ReservationStatus,
    TaskStatus,
)
from flexcore.engine.recovery import recovered
from flexcore.engine.routing.matching import Matching
from flexcore.engine.state import State
from flexcore.engine.timers import deadline_of
from flexcore.store.interface import (
    FIRST_PURGE,
    Found,
    Place,
    Recovery,
    Store,
    StoreCorrupt,
)
from flexcore.store.tables import TABLES

Problems = Iterator[str]

#: the status of a task that follows from that of its one open reservation
_TASK_STATUS: Mapping[StrEnum, TaskStatus] = {
    ReservationStatus.PENDING: TaskStatus.RESERVED,
    ReservationStatus.ACCEPTED: TaskStatus.ASSIGNED,
    ReservationStatus.WRAPPING: TaskStatus.WRAPPING,
}


def check_account(store: Store, account_sid: str) -> list[str]:
    """Return what is wrong with an account, one text each; reads all of its data."""
    problems: list[str] = []
    log = _Log(store, account_sid)
    found = store.recover(account_sid)
    state = recovered(account_sid, found)
    for part in (
        log.problems(),
        _rows_problems(store, log, state),
        _recovery_problems(store, log, found),
        _purge_problems(store, account_sid),
        _conversation_problems(store, account_sid),
        _task_problems(state),
        _worker_problems(state),
        _interaction_problems(state),
        _matching_problems(state),
    ):
        try:
            problems += part
        except (StoreCorrupt, FlexcoreError, AssertionError, KeyError) as error:
            problems.append(f"{type(error).__name__}: {error}")
    return problems


class _Log:
    """The log read from its floor to its end, and what its rows come to."""

    def __init__(self, store: Store, account_sid: str) -> None:
        self._store = store
        self._account_sid = account_sid
        self.floor, self.head = store.bounds(account_sid)
        #: every row the log still tells of, as it was told of last
        self.state = State(account_sid)
        self.time = 0
        self.deleted: dict[str, None] = {}
        self._subjects: dict[str, list[int]] = {}
        self._accepted: Counter[str] = Counter()

    @property
    def whole(self) -> bool:
        """Say whether it reaches back to the beginning."""
        return self.floor == 0

    def problems(self) -> Problems:
        """Read it once; then check that narrow streams find the same."""
        position = self.floor
        while position < self.head:
            found = self._read(position)
            if not found:
                yield f"the log ends at {position}, its head is {self.head}"
                break
            for change_set in found:
                yield from self._change_set_problems(change_set)
                position = change_set.last_sequence
        for subject, sequences in sorted(self._subjects.items()):
            if self._narrow(subject) != sequences:
                yield f"the narrow log of {subject} differs from the whole log"

    def _read(self, after: int) -> list[ChangeSet]:
        most = limits.LOG_READ_BYTES
        return list(self._store.read_log(self._account_sid, after, "", most))

    def _narrow(self, subject: str) -> list[int]:
        sequences: list[int] = []
        position, most = self.floor, limits.LOG_READ_BYTES
        # What they hold was read with the whole log; decoded for each of their subjects
        # once more it would be most of the time of a check.
        while found := self._store.log_sequences(
            self._account_sid, position, subject, most
        ):
            sequences += found
            position = sequences[-1]
        return sequences

    def _change_set_problems(self, change_set: ChangeSet) -> Problems:
        name = f"change set {change_set.first_sequence} to {change_set.last_sequence}"
        count = change_set.last_sequence - change_set.first_sequence + 1
        if count != len(change_set.events):
            yield f"{name} holds {len(change_set.events)} events"
        if change_set.time < self.time:
            yield f"{name} is older than the one before it"
        self.time = max(self.time, change_set.time)
        for subject in change_set.subjects:
            self._subjects.setdefault(subject, []).append(change_set.last_sequence)
        for row in change_set.resources:
            before = self.state.put(row)
            # A deleted row stands there as it was last, unchanged if nothing else was.
            if before != row or row.sid not in change_set.deleted:
                yield from _step_problems(name, before, row)
        yield from self._event_problems(name, change_set)
        for sid in change_set.deleted:
            self.state.drop(sid)
            self.deleted[sid] = None

    def _event_problems(self, name: str, change_set: ChangeSet) -> Problems:
        rows = change_set.rows()
        for event in change_set.events:
            if event.sid not in rows:
                yield f"{name} tells of {event.sid} and does not hold it"
            elif event.type == "reservation.accepted":
                self._accepted[event.sid] += 1
                if self._accepted[event.sid] > 1:
                    yield f"{event.sid} was accepted twice"
            elif event.type == "reservation.created" and self.whole:
                yield from self._capacity_problems(event.sid)

    def _capacity_problems(self, sid: str) -> Problems:
        """Check that who was offered a task had room for it."""
        offer = self.state.need(sid, Reservation)
        if offer.choice is not None and offer.choice.rule == "routing_target":
            return  # whatever the worker holds
        held = sum(
            row.task_channel_sid == offer.task_channel_sid
            for row in self.state.where(
                Reservation, "open_worker_sid", offer.worker_sid
            )
        )
        room = sum(
            row.configured_capacity
            for row in self.state.where(WorkerChannel, "worker_sid", offer.worker_sid)
            if row.task_channel_sid == offer.task_channel_sid
        )
        if held > room:
            yield f"{sid} is number {held} of {offer.worker_sid}, who has room for {room}"


def _step_problems(name: str, before: Row | None, row: Row) -> Problems:
    """Check that a row's versions grow, and that a reservation goes an allowed way."""
    if before is None:
        return
    # What a queue keeps for the matcher is no change that anybody asked for.
    kept = isinstance(row, TaskQueue) and before.version == row.version
    # Nor is one that it is told of as it was, because its task changed.
    if before.version >= row.version and not kept and row != before:
        yield f"{name} takes {row.sid} from version {before.version} to {row.version}"
    if not isinstance(row, Reservation) or not isinstance(before, Reservation):
        return
    if row.status not in _reachable(before.status):
        yield f"{name} takes {row.sid} from {before.status} to {row.status}"


def _reachable(status: StrEnum) -> set[StrEnum]:
    """Return where a reservation can be some steps later, staying included."""
    found = {status}
    for after in RESERVATION[status].values():
        found |= _reachable(after)
    return found


# --- the tables ------------------------------------------------------------------------


def _rows_problems(store: Store, log: _Log, state: State) -> Problems:
    """Check that the tables hold what the log comes to."""
    told = log.state.rows
    seen: set[str] = set()
    for sid in told:
        if sid in seen:
            continue
        for row in _aggregate(store, state.account_sid, sid):
            seen.add(row.sid)
            if row.sid in told and told[row.sid] != row:
                yield f"{row.sid} differs between its table and the log"
            if row.sid not in told and log.whole:
                yield f"{row.sid} is in its table and not in the log"
        if sid not in seen:
            yield f"{sid} is in the log and not in its table"
    for sid in log.deleted:
        if sid not in told and _aggregate(store, state.account_sid, sid):
            yield f"{sid} was deleted and is in its table"


def _recovery_problems(store: Store, log: _Log, found: Recovery) -> Problems:
    """Check what memory would begin with: position, time, side effects."""
    if found.head_sequence != log.head:
        yield f"recovery begins at {found.head_sequence}, the log ends at {log.head}"
    if found.watermark < log.time:
        yield f"the watermark {found.watermark} is below the log's time {log.time}"
    rows = {row.sid: row for row in found.rows}
    for sid, row in rows.items():
        if log.whole and log.state.rows.get(sid) != row:
            yield f"recovered {sid} differs from the log"
    for entry in found.outbox:
        account_sid = log.state.account_sid
        if entry.callback is not None:
            sid = entry.callback.reservation_sid
            # One that was deleted is asked about no more; the next attempt finds out.
            if log.whole and sid not in log.state.rows and sid not in log.deleted:
                yield f"{entry.sid} asks about {sid}, which never was"
            continue
        receipts = _aggregate(store, account_sid, entry.receipt_sid)
        if not any(isinstance(row, Receipt) for row in receipts):
            yield f"{entry.sid} is for receipt {entry.receipt_sid}, which does not exist"
        if not isinstance(rows.get(entry.sender_sid), Sender):
            yield f"{entry.sid} is for sender {entry.sender_sid}, which does not exist"


def _purge_problems(store: Store, account_sid: str) -> Problems:
    """Check that the line of tasks to be deleted holds whatever a task says of it."""
    kept = {
        row.sid: row.purge_time
        for row in _all(store, account_sid, Task, {})
        if isinstance(row, Task) and row.purge_time
    }
    place = FIRST_PURGE
    while found := store.purges(account_sid, place, limits.PAGE_SIZE_MAX):
        for purge in found:
            time, number = purge.place
            if kept.pop(purge.sid, 0) != time:
                yield f"{purge.sid} is to be deleted at {time} and says otherwise"
            place = (time, number + 1)
    for sid in kept:
        yield f"{sid} is to be deleted and not in line for it"


def _conversation_problems(store: Store, account_sid: str) -> Problems:
    """Check messages and pairs of every conversation there ever was."""
    bound: dict[tuple[str, str], str] = {}
    for row in _all(store, account_sid, Conversation, {}):
        assert isinstance(row, Conversation)
        where = {"conversation_sid": row.sid}
        messages = _all(store, account_sid, Message, where)
        indexes = [m.index for m in messages if isinstance(m, Message)]
        if indexes != list(range(row.message_count)):
            yield f"{row.sid} counts {row.message_count} messages and has {indexes}"
        if row.state == ConversationState.ACTIVE:
            for member in _aggregate(store, account_sid, row.sid):
                if _outside(member):
                    bound[member.address, member.proxy_address] = row.sid
    for pair in store.pairs(account_sid):
        found = bound.pop((pair.address, pair.proxy_address), None)
        if found != pair.conversation_sid:
            yield f"{pair} is bound, its address takes part in {found}"
    for names, sid in bound.items():
        yield f"{names} takes part in {sid} and is not bound to it"


def _outside(row: Row) -> TypeGuard[Participant]:
    """Say whether a row is somebody who takes part by an address."""
    return isinstance(row, Participant) and row.address != "" and not row.remove_time


def _all(
    store: Store, account_sid: str, kind: type[Row], where: Mapping[str, str]
) -> Iterator[Row]:
    order = TABLES[kind].orders[""]
    after: Place | None = None
    while page := store.list(account_sid, kind, where, after, limits.PAGE_SIZE_MAX):
        yield from page
        after = order.place(page[-1])


def _aggregate(store: Store, account_sid: str, sid: str) -> list[Row]:
    found = _fetch(store, account_sid, sid)
    return found if isinstance(found, list) else []


def _fetch(store: Store, account_sid: str, key: str) -> Found:
    delivered: list[Found] = []
    store.fetch(account_sid, key, lambda _, found: delivered.append(found))
    return delivered[0]


# --- what memory begins with -----------------------------------------------------------


def _task_problems(state: State) -> Problems:
    """Check tasks against their offers, and that nothing waits for ever."""
    for task in state.of_kind(Task):
        rows = state.where(Reservation, "task_sid", task.sid)
        held = [row for row in rows if row.status in OPEN_RESERVATION]
        offered = all(row.status == ReservationStatus.PENDING for row in held)
        if len(held) > 1 and not offered:
            yield f"{task.sid} is held by {', '.join(row.sid for row in held)}"
        follows = _TASK_STATUS[held[0].status] if held else TaskStatus.PENDING
        if task.status != follows:
            yield f"{task.sid} is {task.status}, its reservations make it {follows}"
        waits = task.status in (TaskStatus.PENDING, TaskStatus.RESERVED)
        if waits and not deadline_of(task):
            yield f"{task.sid} is {task.status} without a deadline"
    for row in state.of_kind(Reservation):
        if state.find(row.task_sid, Task) is None:
            yield f"{row.sid} is {row.status}, its task {row.task_sid} is not open"
        if state.find(row.worker_sid, Worker) is None:
            yield f"{row.sid} is held by {row.worker_sid}, who does not exist"
        if row.status == ReservationStatus.PENDING and not deadline_of(row):
            yield f"{row.sid} is pending without a deadline"


def _worker_problems(state: State) -> Problems:
    """Check that nobody is in grace for ever, or available who cannot be."""
    for row in state.of_kind(Worker):
        if row.connectivity is Connectivity.GRACE and not row.grace_time:
            yield f"{row.sid} is in grace without a deadline"
        if row.taken_out and row.connectivity is not Connectivity.LOST:
            yield f"{row.sid} is taken out and {row.connectivity}"
        leaving = bool(row.next_activity_sid)
        if leaving and not state.count(Reservation, "open_worker_sid", row.sid):
            yield f"{row.sid} is to leave after work, and has none"
        activity = state.need(row.activity_sid, Activity)
        may = activity.available and not (row.taken_out or leaving)
        if row.available != may:
            yield f"{row.sid} is {'' if row.available else 'not '}available in error"


def _interaction_problems(state: State) -> Problems:
    """Check that every open channel has an agent or somebody invited."""
    for channel in state.of_kind(InteractionChannel):
        if channel.status != ChannelStatus.ACTIVE:
            continue
        conversation = state.need(channel.conversation_sid, Conversation)
        if conversation.state != ConversationState.ACTIVE:
            yield f"{channel.sid} is open, its conversation {conversation.sid} is not"
        if conversation.channel_sid != channel.sid:
            yield f"{channel.sid} is open, {conversation.sid} does not name it"
        interaction = state.need(channel.interaction_sid, Interaction)
        if not _attended(state, interaction):
            yield f"nobody attends to {interaction.sid}, and nobody is invited"


def _attended(state: State, interaction: Interaction) -> bool:
    waiting = (InviteStatus.PENDING, InviteStatus.OFFERED)
    for invite in state.where(Invite, "interaction_sid", interaction.sid):
        if invite.status in waiting and state.find(invite.task_sid, Task):
            return True
    rows = state.where(InteractionParticipant, "interaction_sid", interaction.sid)
    return any(
        row.type == "agent" and row.status == ParticipantStatus.JOINED for row in rows
    )


def _matching_problems(state: State) -> Problems:
    """Check the matcher that would be built, twice over."""
    matching = Matching.rebuilt(state)
    for workspace_sid, desk in matching.desks():
        try:
            desk.router.check()
        except AssertionError as error:
            yield f"the router of {workspace_sid}: {error}"
    if matching.dump() != Matching.rebuilt(state).dump():
        yield "two matchers built from the same rows differ"
