"""An account: one writer, its mailbox, and the release of what it decided.

Commands are decided strictly in order, each at one time, after every deadline that is
due by then. Answers are held until everything decided before them is on disk; then they
are released, change sets go to the tail and the outbox wakes. Nothing is shown earlier.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, Handle
from flexcore.domain.errors import Draining, FlexcoreError, Internal, Unavailable
from flexcore.domain.ids import Ids
from flexcore.domain.log import ChangeSet
from flexcore.engine.absence import after_restart, after_stall
from flexcore.engine.answers import answered
from flexcore.engine.commands import (
    Answer,
    Command,
    NotePresence,
    Principal,
    ShiftOffers,
    Tick,
)
from flexcore.engine.committer import Committer, Pending
from flexcore.engine.decider import Decider, Handler
from flexcore.engine.epochs import Epochs
from flexcore.engine.keys import missing_keys
from flexcore.engine.purges import Purges
from flexcore.engine.recovery import recovered
from flexcore.engine.state import State
from flexcore.engine.tail import Tail
from flexcore.engine.undurable import Entry, Held, Undurable, release
from flexcore.store.interface import (
    Commit,
    CommitRefused,
    Found,
    OutboxEntry,
    Store,
)

log = structlog.get_logger(__name__)

OnOutbox = Callable[[str, Sequence[OutboxEntry]], None]


class Account:
    """The only one who changes this account; lives on the event loop."""

    def __init__(
        self,
        sid: str,
        *,
        store: Store,
        committer: Committer,
        clock: Clock,
        alarm: Alarm,
        ids: Ids,
        handlers: Mapping[type[Command], Handler],
        on_outbox: OnOutbox,
    ) -> None:
        self.sid = sid
        self._store = store
        self._committer = committer
        self._clock = clock
        self._alarm = alarm
        self._ids = ids
        self._handlers = handlers
        self._on_outbox = on_outbox
        self._nobody = Principal(sid, "")
        self._mailbox: deque[Entry] = deque()
        self._held = Undurable()
        self._fetching: set[str] = set()
        self._scheduled = False
        #: since when the disk takes nothing, or 0
        self._holding_since = 0
        self._resting = False
        self._closed = False
        self._waking: Handle | None = None
        self._waking_at = 0
        self._marking: Handle | None = None
        self._durable = 0
        #: commits of one command each that are left after a refusal
        self._solo = 0
        self._recover()
        self.tail = Tail(sid, self.state.sequence, store, clock, alarm)

    @property
    def epoch(self) -> int:
        """The fencing number every transaction of this account is checked with."""
        return self.state.epoch

    @property
    def state(self) -> State:
        """What is decided, durable or not."""
        return self.decider.state

    # recovery

    def _recover(self) -> None:
        """Build memory from the store; offers get back the time nobody could answer."""
        found = self._store.recover(self.sid)
        self._durable = 0
        self.decider = Decider(recovered(self.sid, found), self._ids, self._handlers)
        self._purges = Purges(self._store, self.state, self._fetch_once)
        self._recovered = found
        self.epochs = Epochs(found.epoch, found.past_epochs)

    @property
    def watermark(self) -> int:
        """The highest time the store had seen when this account was recovered."""
        return self._recovered.watermark

    def start(self) -> None:
        """Give back lost time, wake the outbox, and begin to decide."""
        self._committer.register(self)
        gap = self._clock.now() - self.watermark if self.watermark else 0
        self._make_up(after_restart(self.decider, gap))
        if self._recovered.outbox:
            self._on_outbox(self.sid, self._recovered.outbox)
        self._watch(self._clock.now())
        self._schedule()

    def _make_up(self, commands: Iterable[Command]) -> None:
        """Decide what makes up for an absence, before anything else is decided."""
        for command in commands:
            self._decide(Entry(self._nobody, command, None), self._clock.now())

    # the mailbox

    def submit(
        self, principal: Principal, command: Command
    ) -> "asyncio.Future[Answer]":
        """Queue a command; the future is done when its answer is durable."""
        caller: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        refusal = self._refusal()
        if refusal is not None:
            caller.set_exception(refusal)
            return caller
        entry = Entry(principal, command, caller)
        try:
            self._ready(entry)
        except Exception as error:  # noqa: BLE001 a look-up failed; nobody else suffers
            caller.set_exception(self._internal(command, error))
            return caller
        self._mailbox.append(entry)
        self._schedule()
        return caller

    def _refusal(self) -> FlexcoreError | None:
        if self._closed:
            return Draining()
        if self._held.full_of_calls or self._late():
            return Unavailable(
                "the disk does not keep up; nothing was changed",
                retry_after=limits.SECOND,
            )
        if len(self._mailbox) >= limits.MAILBOX_COMMANDS:
            return Unavailable("too many calls are waiting", retry_after=limits.SECOND)
        return None

    def _late(self) -> bool:
        now = self._clock.now()
        since = self._held.since or self._holding_since or now
        return now - since > limits.UNDURABLE_TIME

    def _schedule(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Decide for at most TURN_COMMANDS or TURN_TIME, then let others run."""
        self._scheduled = False
        if self._closed:
            return
        started = self._clock.now()
        for _ in range(limits.TURN_COMMANDS):
            if self._blocked():
                return  # whoever unblocks schedules the next turn
            if not self._step():
                self._arm()
                return
            if self._clock.now() - started > limits.TURN_TIME:
                break
        self._schedule()

    def _blocked(self) -> bool:
        """Say whether to wait for a commit before deciding anything more."""
        if self._holding_since or self._resting or self._held.full:
            return True
        many = self._held.unasked >= limits.UNDURABLE_UNASKED
        if many and self.decider.due(self._clock.now()):
            return True
        return self._solo > 0 and bool(self._held)

    def _step(self) -> bool:
        """Decide one thing, what is due first; False when there is nothing to do."""
        now = self._clock.now()
        if self._purges.due(now) and self._purges.come(
            busy=self.decider.due(now) or len(self._held) >= limits.PURGED_AT_ONCE,
            calls=bool(self._mailbox),
        ):
            self._read_purges(now)
        elif self.decider.due(now):
            self._expire(now)
        elif self._mailbox and self.decider.matching.behind:
            # A little of it with every call: callers need not wait until all is told.
            self.decider.matching.catch_up()
            return self._take(now)
        elif self.decider.matching.pending:
            self._decide(Entry(self._nobody, Tick(), None), now)
        elif self._mailbox:
            return self._take(now)
        else:
            return False
        return True

    def _take(self, now: int) -> bool:
        """Decide the head of the mailbox; False while it waits for its keys."""
        entry = self._mailbox[0]
        try:
            if not self._ready(entry):
                return False
            if self.decider.due(now):  # of what was fetched; it comes before
                return True
        except Exception as error:  # noqa: BLE001 those behind it must not wait for ever
            self._hold(entry, self._internal(entry.command, error), None)
        else:
            self._decide(entry, now)
        self._mailbox.popleft()
        self._purges.called()
        return True

    def _read_purges(self, now: int) -> None:
        """Let the deadlines of finished tasks act that only the store holds."""
        try:
            self._purges.read(now)
        except Exception as error:  # noqa: BLE001 a look-up failed; others go on
            self._internal(Tick(), error)
            self._purges.fail(now)

    def _ready(self, entry: Entry) -> bool:
        """Fetch what a command needs; True when all of it is in memory."""
        while True:
            missing = missing_keys(self.state, entry.principal.actor, entry.command)
            if not missing:
                return True
            fresh = [key for key in missing if key not in self._fetching]
            if not fresh:
                return False
            for key in fresh:
                self._fetch(key)

    def _fetch_once(self, key: str) -> None:
        if not (self.state.knows(key) or key in self._fetching):
            self._fetch(key)

    def _fetch(self, key: str) -> None:
        self._fetching.add(key)
        try:
            self._store.fetch(self.sid, key, self._deliverer())
        except BaseException:
            self._fetching.discard(key)
            raise

    def _deliverer(self) -> Callable[[str, Found], None]:
        state = self.state

        def deliver(key: str, found: Found) -> None:
            if state is not self.state:
                return  # asked for a memory that was given up since
            self._fetching.discard(key)
            self.decider.deliver(key, found)
            self._shrink()
            self._schedule()

        return deliver

    def _decide(self, entry: Entry, now: int) -> None:
        """Decide one command and hold its result until it is durable."""
        try:
            decided = self.decider.decide(entry.principal, entry.command, now)
            answer = answered(self.state, decided, self._change_set, now)
        except FlexcoreError as error:
            self._hold(entry, error, None)
        except Exception as error:  # noqa: BLE001 a bug of ours; its id is all they get
            self._hold(entry, self._internal(entry.command, error), None)
            if isinstance(entry.command, Tick):
                self._rest()
        else:
            self._hold(entry, answer, decided.commit)
            self._watch(now)

    def _expire(self, now: int) -> None:
        """Decide the earliest deadline; one that cannot be decided waits."""
        try:
            decided = self.decider.expire_next(now)
        except Exception as error:  # noqa: BLE001 a bug of ours; others go on
            self._internal(Tick(), error)
            self.decider.postpone_next(now)
        else:
            self._hold(
                None,
                answered(self.state, decided, self._change_set, now),
                decided.commit,
            )
            self._watch(now)

    def _rest(self) -> None:
        """Decide nothing for a while: what failed comes back by itself at once."""

        def rested() -> None:
            self._resting = False
            self._schedule()

        self._resting = True
        self._alarm.call_at(self._clock.now() + limits.FAILURE_WAIT, rested)

    def _watch(self, now: int) -> None:
        """Have the time written down regularly while offers are open."""
        if self.decider.deadlines.offers and self._marking is None:
            due = now + limits.WATERMARK_INTERVAL
            self._marking = self._alarm.call_at(due, self._mark)

    def _change_set(self, sequence: int) -> ChangeSet | None:
        """Return the change set that ends at a sequence, durable or not."""
        return self._held.change_set(sequence) or self.tail.find(sequence)

    def _hold(
        self,
        entry: Entry | None,
        result: Answer | FlexcoreError,
        commit: Commit | None,
    ) -> None:
        stamp = self.state.stamp
        if commit is None and not self._held:
            release(entry, result)
            return
        self._held.add(Held(stamp, entry, result, commit, self._clock.now()))
        if commit is not None:
            self._committer.add(Pending(self, commit, stamp))

    # what the committer reports

    def committed(self, commits: Sequence[Pending]) -> None:
        """Release everything decided up to the last of these commits."""
        self._durable = commits[-1].stamp
        outbox: list[OutboxEntry] = []
        for held in self._held.released(self._durable):
            if held.commit is not None:
                self._solo -= self._solo > 0
                if held.commit.change_set is not None:
                    self.tail.publish(held.commit.change_set, len(held.commit.body))
                outbox += held.commit.outbox
            release(held.entry, held.result)
        if outbox:
            self._on_outbox(self.sid, outbox)
        self._shrink()
        self._schedule()

    def _shrink(self) -> None:
        """Give up what need not be in memory; what is to be deleted is read in time."""
        for time in self.decider.shrink(self._durable, self._clock.now()):
            self._purges.leave((time, 0))

    def refused(self, commits: Sequence[Pending], error: Exception) -> None:
        """Forget what was decided since the last commit, and decide it again.

        Refused (CommitRefused), one command at a time for a while, so that the one that
        cannot be written is found and alone gets INTERNAL. Discarded (CommitUnknown),
        nobody is at fault.
        """
        log.error("commit.refused", account=self.sid, exc_info=error)
        undone = self._held.given_up()
        if isinstance(error, CommitRefused):
            self._solo = limits.SOLO_COMMITS
            if len(commits) == 1:
                undone = self._without(undone, commits[0], error)
        entries = [held.entry for held in undone if held.entry is not None]
        self._fetching.clear()
        try:
            self._recover()
        except Exception as failure:
            # Nobody knows what is true: better no answer than a wrong one.
            log.critical("account.stopped", account=self.sid, exc_info=failure)
            self._closed = True
        else:
            self._on_outbox(self.sid, self._recovered.outbox)
            for entry in entries:
                if entry.caller is None and isinstance(
                    entry.command, ShiftOffers | NotePresence
                ):  # before a deadline acts
                    self._decide(entry, self._clock.now())
        self._mailbox.extendleft(
            entry for entry in reversed(entries) if entry.caller is not None
        )
        if self._closed:
            self._turn_away()
        self._schedule()

    def _without(
        self, undone: list[Held], alone: Pending, error: Exception
    ) -> list[Held]:
        """Tell the caller of a command that cannot be written, and leave it out."""
        guilty = next(held for held in undone if held.commit is alone.commit)
        if guilty.entry is None or guilty.entry.caller is None:
            self._rest()
        else:
            failure = self._internal(guilty.entry.command, error)
            release(guilty.entry, failure)
        return [held for held in undone if held is not guilty]

    def hold(self) -> None:
        """Decide nothing while the disk takes nothing: clocks stand still."""
        self._holding_since = self._clock.now()

    def resume(self, gap: int) -> None:
        """Give pending offers the time back, and those in grace, then go on."""
        self._holding_since = 0
        self._make_up(after_stall(self.decider, gap))
        self._schedule()

    def _internal(self, command: Command, error: Exception) -> Internal:
        error_id = self._ids.secret(6)
        log.error(
            "command.failed",
            error_id=error_id,
            account=self.sid,
            command=type(command).__name__,
            exc_info=error,
        )
        return Internal(f"internal error {error_id}", metadata={"error_id": error_id})

    # time

    def _arm(self) -> None:
        """Wake up at the earliest deadline; most turns leave it as it was."""
        first = self.decider.deadlines.first()
        dues = (first[0] if first is not None else 0, self._purges.next_time)
        due = 0 if self._closed else min(filter(None, dues), default=0)
        if due == self._waking_at:
            return
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        self._waking_at = due
        if due:
            self._waking = self._alarm.call_at(due, self._awake)

    def _awake(self) -> None:
        self._waking_at = 0
        self._schedule()

    def _mark(self) -> None:
        """Write the time down while offers are open, so that a restart knows it."""
        self._marking = None
        if self.decider.deadlines.offers and not (self._closed or self._blocked()):
            now = self._clock.now()
            decided = self.decider.watermark(now)
            self._hold(
                None,
                answered(self.state, decided, self._change_set, now),
                decided.commit,
            )
            self._watch(now)

    # ending and looking

    async def close(self) -> None:
        """Refuse new work, and decide what is queued; the committer writes it."""
        self._closed = True
        while self._mailbox and not self._blocked() and self._step():
            pass
        for handle in (self._waking, self._marking):
            if handle is not None:
                handle.cancel()
        self._turn_away()

    def abandon(self) -> None:
        """Tell those still waiting that nobody knows: the committer has ended."""
        self._turn_away()
        unknown = Unavailable("the server stopped before the disk took this")
        for held in self._held.given_up():
            release(held.entry, unknown)

    def _turn_away(self) -> None:
        for entry in self._mailbox:
            release(entry, Draining())
        self._mailbox.clear()

    @property
    def idle(self) -> bool:
        """Say whether everything decided is durable and nothing waits."""
        return not self._mailbox and not self._held and not self._scheduled
