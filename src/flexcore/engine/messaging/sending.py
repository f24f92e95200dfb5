"""Sending messages: what the outbox does with an entry that is one.

A ready one is handed to its carrier. One that was attempting when the process ended is
unknown; an unknown one is asked for, unless the carrier takes a repeated reference once.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from flexcore.domain import limits
from flexcore.domain.errors import NotFound
from flexcore.domain.states import OutboxState
from flexcore.engine.commands import ReportSend
from flexcore.engine.port import (
    CarrierAccount,
    OutboundMessage,
    Outcome,
    SendOutcome,
    Transport,
)
from flexcore.store.interface import OutboxEntry

FindAccount = Callable[[str, str], CarrierAccount]


class Sending:
    """Hands messages to carriers, and remembers what they called the last ones."""

    def __init__(
        self, carrier_account: FindAccount, transports: Mapping[str, Transport]
    ) -> None:
        self._carrier_account = carrier_account
        self._transports = transports
        self._claims: OrderedDict[tuple[str, str], deque[str]] = OrderedDict()

    def note(self, account_sid: str, entry: OutboxEntry) -> None:
        """Remember the name of a message that is sent, to tell it from unknown ones."""
        if entry.state is not OutboxState.DONE or not entry.channel_message_sid:
            return
        key = (account_sid, entry.pair)
        claims = self._claims.setdefault(key, deque(maxlen=limits.CLAIMED_SIDS))
        claims.append(entry.channel_message_sid)
        self._claims.move_to_end(key)
        if len(self._claims) > limits.CLAIMED_PAIRS:
            self._claims.popitem(last=False)

    async def send(
        self, account_sid: str, entry: OutboxEntry, attempt_time: int
    ) -> ReportSend:
        """Take the step that the state of an entry asks for, and say what came of it."""
        outcome = await self._outcome(account_sid, entry, attempt_time)
        return ReportSend(
            sid=entry.sid,
            outcome=outcome.outcome.value,
            channel_message_sid=outcome.channel_message_sid,
            error_code=outcome.error_code,
            text=outcome.text,
            retry_after=outcome.retry_after,
        )

    async def _outcome(
        self, account_sid: str, entry: OutboxEntry, attempt_time: int
    ) -> SendOutcome:
        if entry.state is OutboxState.ATTEMPTING:
            text = "the process that was sending it ended"
            return SendOutcome(Outcome.UNKNOWN, text=text)
        try:
            account, transport = self._route(account_sid, entry)
        except NotFound as error:
            return SendOutcome(Outcome.REFUSED, text=error.text)
        message = _message(entry, attempt_time)
        if entry.state is OutboxState.READY:
            return await transport.send(account, message)
        if account.deduplicates:
            text = "the carrier takes a repeated reference once"
            return SendOutcome(Outcome.RETRY, text=text)
        claimed = frozenset(self._claims.get((account_sid, entry.pair), ()))
        return await transport.find(account, message, claimed)

    def _route(
        self, account_sid: str, entry: OutboxEntry
    ) -> tuple[CarrierAccount, Transport]:
        account = self._carrier_account(account_sid, entry.sender_sid)
        transport = self._transports.get(account.provider)
        if transport is None:
            raise NotFound("provider", account.provider)
        return account, transport


def _message(entry: OutboxEntry, attempt_time: int) -> OutboundMessage:
    return OutboundMessage(
        reference=entry.sid,
        receipt_sid=entry.receipt_sid,
        to=entry.to,
        sent_from=entry.sent_from,
        body=entry.body,
        media=entry.media,
        attempt_time=attempt_time,
    )
