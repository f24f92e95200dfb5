"""The outbox runner: moves what the account committed out into the world.

It decides nothing and remembers nothing that matters: every step is a command, and what
an entry is comes back through `put` once that command is durable. Entries of one pair of
addresses leave one at a time, in order; the one at the head is

- ready: `AttemptSend` is durable before the socket opens, then the carrier is asked, then
  `ReportSend` says what became of it;
- attempting, though nobody here attempts it (the process that did is gone): unknown;
- unknown: found at the carrier, proven absent (or harmless to repeat), or still unknown.

When each of these is due, and when an entry is given up, is the engine's decision.
"""

import asyncio
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, Handle
from flexcore.domain.errors import FlexcoreError, Kind, NotFound
from flexcore.domain.states import OutboxState
from flexcore.engine.commands import Answer, AttemptSend, Command, ReportSend
from flexcore.engine.port import (
    CarrierAccount,
    OutboundMessage,
    Outcome,
    SendOutcome,
    Transport,
)
from flexcore.store.interface import OutboxEntry

_LOG = structlog.get_logger(__name__)

Submit = Callable[[str, Command], Awaitable[Answer]]
FindAccount = Callable[[str, str], CarrierAccount]

#: refusals of a step that say it is no longer to be taken; others say not now
_SETTLED = frozenset({Kind.NOT_FOUND, Kind.FAILED_PRECONDITION})


@dataclass(eq=False, slots=True)
class _Pair:
    """Entries of one pair of addresses of one account, by sequence."""

    account_sid: str
    name: str
    entries: list[OutboxEntry] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    queued: bool = False
    handle: Handle | None = None
    #: not before this time, whatever the head says
    held_until: int = 0


@dataclass(eq=False, slots=True)
class _Account:
    """Pairs of one account that are due and wait for a free place."""

    in_flight: int = 0
    waiting: deque[_Pair] = field(default_factory=deque)


class Outbox:
    """One runner for all accounts of a process.

    `put` must be called in the turn that releases the answers of the same commit, so
    that whoever awaits an answer finds the entry's new state here.
    """

    def __init__(
        self,
        submit: Submit,
        carrier_account: FindAccount,
        transports: Mapping[str, Transport],
        clock: Clock,
        alarm: Alarm,
    ) -> None:
        self._submit = submit
        self._carrier_account = carrier_account
        self._transports = transports
        self._clock = clock
        self._alarm = alarm
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._accounts: dict[str, _Account] = {}
        self._claims: OrderedDict[tuple[str, str], deque[str]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def put(self, account_sid: str, entries: Sequence[OutboxEntry]) -> None:
        """Take the durable state of every entry a commit touched, or recovery found."""
        for entry in entries:
            key = (account_sid, entry.pair)
            pair = self._pairs.get(key)
            if pair is None:
                pair = self._pairs[key] = _Pair(account_sid, entry.pair)
            _replace(pair, entry)
            if entry.state is OutboxState.DONE and entry.channel_message_sid:
                self._claim(key, entry.channel_message_sid)
            self._wake(pair)

    async def close(self) -> None:
        """Start nothing more, and give what is under way a bounded time to end.

        What is cut off stays `attempting` and is asked for after the next start. The
        engine must still take commands while this runs.
        """
        self._closing = True
        for pair in self._pairs.values():
            _disarm(pair)
        tasks = tuple(self._tasks)
        try:
            if tasks:
                drain_seconds = limits.DRAIN_TIME / limits.SECOND
                await asyncio.wait(tasks, timeout=drain_seconds)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- when --------------------------------------------------------------------------

    def _wake(self, pair: _Pair) -> None:
        """Start on the head of a pair if it is due, else be woken when it is."""
        if self._closing or pair.task is not None or pair.queued:
            return
        _disarm(pair)
        if not pair.entries:
            del self._pairs[pair.account_sid, pair.name]
            return
        due = _due(pair)
        if due > self._clock.now():
            pair.handle = self._alarm.call_at(due, lambda: self._wake(pair))
            return
        account = self._accounts.setdefault(pair.account_sid, _Account())
        account.waiting.append(pair)
        pair.queued = True
        self._fill(pair.account_sid, account)

    def _fill(self, account_sid: str, account: _Account) -> None:
        while account.waiting and account.in_flight < limits.SENDS_IN_FLIGHT:
            pair = account.waiting.popleft()
            pair.queued = False
            if pair.entries and _due(pair) <= self._clock.now() and not self._closing:
                self._begin(pair, account)
            else:
                self._wake(pair)
        if not account.in_flight and not account.waiting:
            self._accounts.pop(account_sid, None)

    def _begin(self, pair: _Pair, account: _Account) -> None:
        entry = pair.entries[0]
        account.in_flight += 1
        pair.task = asyncio.create_task(self._move(pair, entry))
        self._tasks.add(pair.task)
        pair.task.add_done_callback(
            lambda task: self._finish(pair, account, entry, task)
        )

    def _finish(
        self,
        pair: _Pair,
        account: _Account,
        entry: OutboxEntry,
        task: asyncio.Task[None],
    ) -> None:
        self._tasks.discard(task)
        pair.task = None
        account.in_flight -= 1
        failed = not task.cancelled() and task.exception() is not None
        if failed:
            _LOG.error("outbox step failed", sid=entry.sid, exc_info=task.exception())
        if failed or (pair.entries and pair.entries[0] is entry):
            # Nothing came of it: without a pause this would be a loop at full speed.
            pair.held_until = self._clock.now() + limits.OUTBOX_WAIT
        self._wake(pair)
        if pair.account_sid in self._accounts:
            self._fill(pair.account_sid, account)

    # --- what --------------------------------------------------------------------------

    async def _move(self, pair: _Pair, entry: OutboxEntry) -> None:
        """Take the one step that the state of an entry asks for."""
        if entry.state is OutboxState.READY:
            attempt = AttemptSend(sid=entry.sid)
            if not await self._step(pair, attempt) or not _holds(pair, entry):
                return
        outcome = await self._outcome(pair, entry)
        report = ReportSend(
            sid=entry.sid,
            outcome=outcome.outcome.value,
            channel_message_sid=outcome.channel_message_sid,
            error_code=outcome.error_code,
            text=outcome.text,
            retry_after=outcome.retry_after,
        )
        # A report that is lost makes an unknown send out of a known one.
        while not await self._step(pair, report):
            await self._pause()

    async def _outcome(self, pair: _Pair, entry: OutboxEntry) -> SendOutcome:
        if entry.state is OutboxState.ATTEMPTING:
            text = "the process that was sending it ended"
            return SendOutcome(Outcome.UNKNOWN, text=text)
        try:
            account, transport = self._route(pair, entry)
        except NotFound as error:
            return SendOutcome(Outcome.REFUSED, text=error.text)
        message = self._message(pair, entry)
        if entry.state is OutboxState.READY:
            return await transport.send(account, message)
        if account.deduplicates:
            text = "the carrier takes a repeated reference once"
            return SendOutcome(Outcome.RETRY, text=text)
        claimed = frozenset(self._claims.get((pair.account_sid, pair.name), ()))
        return await transport.find(account, message, claimed)

    def _route(
        self, pair: _Pair, entry: OutboxEntry
    ) -> tuple[CarrierAccount, Transport]:
        account = self._carrier_account(pair.account_sid, entry.sender_sid)
        transport = self._transports.get(account.provider)
        if transport is None:
            raise NotFound("provider", account.provider)
        return account, transport

    def _message(self, pair: _Pair, entry: OutboxEntry) -> OutboundMessage:
        """Build the message from the newest state, which knows when it was attempted."""
        newest = next((e for e in pair.entries if e.sid == entry.sid), entry)
        return OutboundMessage(
            reference=entry.sid,
            receipt_sid=entry.receipt_sid,
            to=entry.to,
            sent_from=entry.sent_from,
            body=entry.body,
            media=entry.media,
            attempt_time=newest.attempt_time,
        )

    async def _step(self, pair: _Pair, command: AttemptSend | ReportSend) -> bool:
        """Submit a command; False if the engine cannot take it now.

        A refusal because the entry is no longer what it was settles it: it is dropped
        here, and comes back through `put` if something is still to be done.
        """
        try:
            await self._submit(pair.account_sid, command)
        except FlexcoreError as error:
            _LOG.warning("outbox step refused", sid=command.sid, text=error.text)
            if error.kind not in _SETTLED:
                return False
            pair.entries = [e for e in pair.entries if e.sid != command.sid]
        return True

    async def _pause(self) -> None:
        over = asyncio.Event()
        when = self._clock.now() + limits.OUTBOX_WAIT
        handle = self._alarm.call_at(when, over.set)
        try:
            await over.wait()
        finally:
            handle.cancel()

    def _claim(self, key: tuple[str, str], channel_message_sid: str) -> None:
        claims = self._claims.setdefault(key, deque(maxlen=limits.CLAIMED_SIDS))
        claims.append(channel_message_sid)
        self._claims.move_to_end(key)
        if len(self._claims) > limits.CLAIMED_PAIRS:
            self._claims.popitem(last=False)


def _replace(pair: _Pair, entry: OutboxEntry) -> None:
    """Put the new state of an entry where the old one was; O(entries of the pair)."""
    pair.entries = [e for e in pair.entries if e.sid != entry.sid]
    if entry.state not in (OutboxState.DONE, OutboxState.DEAD):
        insort(pair.entries, entry, key=lambda e: e.sequence)


def _due(pair: _Pair) -> int:
    return max(pair.entries[0].due, pair.held_until)


def _holds(pair: _Pair, entry: OutboxEntry) -> bool:
    return any(e.sid == entry.sid for e in pair.entries)


def _disarm(pair: _Pair) -> None:
    if pair.handle is not None:
        pair.handle.cancel()
        pair.handle = None
