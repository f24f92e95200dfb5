"""The engine as everybody outside sees it: values in, values out.

Services, channels and HTTP import this and `engine.commands` only, so that they can move
to another process without the engine noticing.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from flexcore.domain.errors import FlexcoreError
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.domain.model import Row
from flexcore.domain.parts import CallbackReason, Media
from flexcore.domain.statistics import Query, Report, Standings
from flexcore.engine.commands import Answer, Command, Filter, Page, Place, Principal
from flexcore.engine.routing.explanation import Explanation, StepExplanation

#: named elsewhere, and the faces import this module only
__all__ = ["Explanation", "StepExplanation"]


class Endpoint(msgspec.Struct, frozen=True):
    """What an inbound webhook's unguessable id stands for."""

    principal: Principal
    sender_sid: str
    provider: str
    public_url: str
    auth_token: str


class CarrierAccount(msgspec.Struct, frozen=True):
    """Where and as whom messages of one sender leave."""

    provider: str
    base_url: str
    carrier_account_sid: str
    auth_token: str
    status_url: str
    deduplicates: bool = False


class OutboundMessage(msgspec.Struct, frozen=True):
    """One message for one address; `reference` is ours, the same in every attempt."""

    reference: str
    receipt_sid: str
    to: str
    sent_from: str
    body: str
    media: tuple[Media, ...]
    attempt_time: int


class Outcome(StrEnum):
    """What became of an attempt; `ReportSend` carries it."""

    SENT = "sent"
    REFUSED = "refused"
    RETRY = "retry"
    UNKNOWN = "unknown"


class SendOutcome(msgspec.Struct, frozen=True):
    """An outcome with what the carrier said; `retry_after` in microseconds."""

    outcome: Outcome
    channel_message_sid: str = ""
    error_code: int = 0
    text: str = ""
    retry_after: int = 0


class Transport(Protocol):
    """What the outbox needs of a provider's protocol.

    Neither call raises for the world's faults, and both end within bounded time.
    """

    async def send(
        self, account: CarrierAccount, message: OutboundMessage
    ) -> SendOutcome:
        """Hand `message` over. RETRY says proven not taken, UNKNOWN that nobody knows."""
        ...

    async def find(
        self, account: CarrierAccount, message: OutboundMessage, claimed: frozenset[str]
    ) -> SendOutcome:
        """Ask the carrier about an unknown send: SENT, RETRY (absent) or UNKNOWN.

        `claimed` are carrier sids of the same pair that are known to be other messages.
        """
        ...


class CallbackRequest(msgspec.Struct, frozen=True):
    """What an assignment callback says; `reference` is the same in every attempt.

    `secrets` sign it, the newest first; `time` is when it is attempted.
    """

    url: str
    reference: str
    form: tuple[tuple[str, str], ...]
    secrets: tuple[bytes, ...]
    time: int


class CallbackAnswer(msgspec.Struct, frozen=True):
    """What came back: an instruction or none, and what is wrong with it."""

    instruction: str = ""
    activity: str = ""
    problem: CallbackReason | None = None
    text: str = ""


class Caller(Protocol):
    """What the outbox needs to ask somebody about an offer."""

    async def call(self, request: CallbackRequest) -> CallbackAnswer:
        """Ask; raises nothing for the world's faults, and ends within bounded time."""
        ...


class TailBatch(msgspec.Struct, frozen=True):
    """Change sets in order, and the position everything matching has been given up to.

    Empty batches are heartbeats.
    """

    change_sets: tuple[ChangeSet, ...]
    position: int


#: up to where a caller knows already what comes after a position; None if it does not
Known: TypeAlias = Callable[[int], int | None]


class LogCursor(Protocol):
    """Where a stream is in the log; the stream reads and waits as it can take more.

    Everything that concerns the subjects it watches was given up to `position`.
    """

    position: int

    def watch(self, subject: str) -> None:
        """Read on with one subject more."""
        ...

    def unwatch(self, subject: str) -> None:
        """Read on without a subject, if it was one."""
        ...

    def read(self, until: int | None = None) -> tuple[ChangeSet, ...]:
        """Return a piece of what comes next, up to the end of a change set."""
        ...

    @property
    def behind(self) -> int:
        """How many events of the log come after the position."""
        ...

    @property
    def ended(self) -> bool:
        """Say whether the stream was asked to end."""
        ...

    def beaten(self) -> None:
        """Let the next heartbeat be due an interval from now."""
        ...

    async def wait(self) -> bool:
        """Wait for news, or until somebody calls `wake`; False when a heartbeat is due."""
        ...

    def wake(self) -> None:
        """Tell whoever waits that there is news."""
        ...

    def close(self) -> None:
        """Leave the log."""
        ...


class Voucher(Protocol):
    """What a session says of its workers; a heartbeat speaks for all of them."""

    def connect(self, worker_sids: Iterable[str], first: int = 0) -> int:
        """Vouch for workers from now on; those it cannot vouch for are lost at once.

        `first` is when they were declared first, 0 if that is now; returns that time.
        """
        ...

    def disconnect(self, worker_sids: Iterable[str], *, forget: bool = False) -> None:
        """Vouch for workers no more; with `forget` that means nothing about them."""
        ...

    def vouches(self, worker_sid: str) -> bool:
        """Say whether it is said to vouch for a worker."""
        ...

    def beat(self) -> None:
        """Vouch for all of them again."""
        ...

    def take_lost(self) -> Sequence[tuple[str, FlexcoreError]]:
        """Return the workers it does not vouch for though nobody asked, and why."""
        ...

    def close(self) -> None:
        """End with the session."""
        ...


class LogEnd(msgspec.Struct, frozen=True):
    """Where an account's log is; each start of a server is an epoch of it."""

    epoch: int
    head: int


class LogPage(msgspec.Struct, frozen=True):
    """Some change sets of the log, of those up to the sequence `until`.

    `after` is the sequence after which the next page begins, None at the end.
    """

    change_sets: tuple[ChangeSet, ...]
    until: int
    after: int | None


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up on its way out, or refused on its way in.

    Only those on their way out have a `sid`, by which they can be replayed.
    """

    sid: str
    channel_message_sid: str
    time: int
    reason: str

    @property
    def place(self) -> tuple[int, str]:
        """What dead letters are ordered by."""
        return self.time, self.sid or self.channel_message_sid


class ServerInfo(msgspec.Struct, frozen=True):
    """What a server says about itself."""

    version: str
    synchronous: str
    accounts: int
    open_tasks: int
    head_sequence: int
    start_time: int
    data_version: int
    commits: int
    dead_letters: int


class Port(Protocol):
    """Commands, tails and lists of all accounts this process owns."""

    async def submit(self, principal: Principal, command: Command) -> Answer:
        """Decide `command` and return when its answer is durable.

        Raises the domain errors. A caller that goes away changes nothing.
        """
        ...

    async def explain(self, principal: Principal, task_sid: str) -> Explanation:
        """Return why a task is where it is; NotFound if there is none.

        Looks at all workers a few at a time, so that no call waits a millisecond for it.
        """
        ...

    def tail(
        self,
        principal: Principal,
        after: int | None,
        subjects: Sequence[str] = ("",),
        log_filter: LogFilter | None = None,
        known: Known | None = None,
    ) -> AsyncIterator[TailBatch]:
        """Yield change sets after sequence `after` (None = from now), for ever.

        `subjects` narrow to what concerns one of them, a worker, a conversation or the
        activities of a workspace; `log_filter` to change sets with an event it shows. A batch
        without change sets is a heartbeat. OutOfRange when `after` lies below the floor or
        above the head.

        What would have to be read from the store is not if `known` says that the caller
        has it: the batch is empty then, and ends where `known` said.
        """
        ...

    def cursor(self, principal: Principal, after: int | None = None) -> LogCursor:
        """Return a cursor at a sequence, or at the end; whoever asks closes it."""
        ...

    def workspace_of(self, principal: Principal, worker_sid: str) -> str:
        """Return the sid of a worker's workspace; "" when there is no such worker."""
        ...

    def vouch(self, principal: Principal, ended: Callable[[], None]) -> Voucher:
        """Return what a session says of its workers; whoever asks closes it.

        `ended` is called when there is something in `take_lost`.
        """
        ...

    def log_end(self, principal: Principal) -> LogEnd:
        """Return where the log is, and in which epoch."""
        ...

    def check_epoch(self, principal: Principal, epoch: int, sequence: int) -> None:
        """Raise OutOfRange when the log did not come to `sequence` in `epoch`."""
        ...

    def check_place(self, principal: Principal, sequence: int) -> None:
        """Raise OutOfRange when the log does not hold what comes after `sequence`."""
        ...

    async def find_time(self, principal: Principal, time: int) -> int:
        """Return the sequence after which change sets are not older than `time`.

        The floor when the log does not reach back so far.
        """
        ...

    def now(self) -> int:
        """Return the engine's time in microseconds."""
        ...

    def sign(self, body: bytes) -> bytes:
        """Return what proves that this server wrote `body`."""
        ...

    async def list(
        self,
        principal: Principal,
        kind: type[Row],
        where: Mapping[str, Filter],
        after: Place | None,
        limit: int,
        order_by: str = "",
    ) -> Page:
        """Return rows of `kind`, committed before the call arrived.

        `where` names columns of the kind's table (see store/tables.py) and what else the
        kind can be filtered by (see engine/setup/searches.py); a worker itself is shown what
        is its own. `order_by` is an order of the table, by creation if it is empty. A page
        that had to look at too many rows is shorter than `limit` though more follow.
        """
        ...

    async def statistics(self, principal: Principal, query: Query) -> Report:
        """Return figures of routing: how things stand, and of a window of the log.

        NotFound; OutOfRange when the window begins before what the log holds.
        """
        ...

    def watch_statistics(
        self, principal: Principal, workspace_sid: str, task_queue_sids: Sequence[str]
    ) -> AsyncIterator[Standings]:
        """Yield how things stand, then what changed: once a second at most, for ever.

        Of the queues named, or of all. NotFound, also later; InvalidArgument for a queue
        of another workspace. Ends when streams are to end.
        """
        ...

    async def events(
        self,
        principal: Principal,
        log_filter: LogFilter,
        window: tuple[int, int],
        after: tuple[int, int] | None,
        limit: int,
    ) -> LogPage:
        """Return change sets of a window with an event the filter shows, in order.

        `after` is where the page before ended, and where the whole list does: the
        sequences; OutOfRange when the log does not reach back to there any more.
        """
        ...

    def authenticate(self, credential: str) -> Principal:
        """Return whom `<key sid>.<secret>` or a token stands for now; Unauthenticated."""
        ...

    def key_secret(self, key: Row) -> str:
        """Return the secret of a key just created, for the one answer that shows it."""
        ...

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return what an inbound webhook's id stands for; NotFound otherwise."""
        ...

    def carrier_account(self, account_sid: str, sender_sid: str) -> CarrierAccount:
        """Return where and as whom a sender's messages leave; NotFound otherwise."""
        ...

    def callback_secrets(self, account_sid: str, workspace: Row) -> Sequence[bytes]:
        """Return what signs the callbacks of a workspace: the newest, the one before."""
        ...

    def dead_letters(
        self, principal: Principal, before: tuple[int, str] | None, limit: int
    ) -> Sequence[DeadLetter]:
        """Return what was given up or refused, newest first.

        `before` is the place of the last one of the page before.
        """
        ...

    def info(self, principal: Principal) -> ServerInfo:
        """Return what the server says about itself to this account."""
        ...
