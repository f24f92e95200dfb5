"""A whole house on one machine: store, engine, outbox, webhooks and a carrier.

Everything is real but the time, which stands still until it is told to move.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from flexcore.channels.callbacks import CallbackCaller
from flexcore.channels.twilio import TwilioHandler
from flexcore.domain.clock import VirtualClock
from flexcore.domain.ids import Ids
from flexcore.domain.limits import SECOND
from flexcore.domain.model import Receipt, Row, Sender
from flexcore.engine import commands as c
from flexcore.engine.engine import Engine, first_start
from flexcore.engine.messaging.outbox import Outbox
from flexcore.engine.messaging.sending import Sending
from flexcore.engine.routing.calls import Calls
from flexcore.engine.vault import Vault
from flexcore.http.app import make_app, start
from flexcore.phone import Carrier
from flexcore.store.interface import Found, OutboxEntry
from flexcore.store.sqlite import SqliteStore

BUSINESS = "+15550002222"
ANN = "+15550001111"
CARRIER_ACCOUNT = "AC" + "c" * 32
TOKEN = "carrier secret"

#: real seconds after which something that should happen is called missing
PATIENCE = 10.0

_R = TypeVar("_R", bound=Row)


class House:
    """Start it with `async with`; `restart` opens the same data again."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.ids = Ids(self.clock, random.Random(1))
        self.carrier = Carrier(
            CARRIER_ACCOUNT, TOKEN, clock=self.clock, pause=_no_pause
        )
        self.serving = True
        self._folder = folder

    async def __aenter__(self) -> Self:
        await self.carrier.start()
        self._open()
        key = await first_start(self.engine)
        self.principal = c.Principal(key.account_sid, key.sid, key.operator)
        await self._serve(0)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.carrier.close()
        await self.stop()

    def _open(self) -> None:
        self.store = SqliteStore(self._folder)
        self.handler = TwilioHandler(allow_http_loopback=True)
        self.engine = Engine(
            self.store,
            self.clock,
            self.clock,
            self.ids,
            Vault(bytes(32), self.ids),
            self._put_outbox,
            allow_loopback=True,
        )
        self.caller = CallbackCaller(allow_http_loopback=True)
        self.outbox = Outbox(
            self.engine.submit_as_account,
            Sending(self.engine.carrier_account, {"twilio": self.handler}),
            Calls(self.caller, self.engine.callback_secrets),
            self.clock,
            self.clock,
        )
        self.engine.start()

    def _put_outbox(self, account_sid: str, entries: Sequence[OutboxEntry]) -> None:
        self.outbox.put(account_sid, entries)

    async def _serve(self, port: int) -> None:
        app = make_app(self.engine, {"twilio": self.handler}, lambda: self.serving)
        self._runner, self.http_port = await start(app, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self.http_port}"

    async def stop(self) -> None:
        """End as the server does."""
        await self._runner.cleanup()
        await self.outbox.close()
        await self.engine.close()
        await self.handler.close()
        await self.caller.close()
        self.store.close()

    async def crash(self) -> None:
        """End without writing another thing down, then open the data again."""
        for account in self.engine.accounts().values():
            await account.close()
        self.outbox._closing = True
        for task in tuple(self.outbox._tasks):
            task.cancel()
        await self.stop()
        self._open()
        await self._serve(self.http_port)

    async def submit(self, command: c.Command) -> c.Answer:
        return await self.engine.submit(self.principal, command)

    async def get(self, sid: str, kind: type[_R]) -> _R:
        (row,) = (await self.submit(c.Get(sid=sid))).rows
        assert isinstance(row, kind)
        return row

    def found(self, key: str) -> Found:
        """Look up what is on disk."""
        seen: list[Found] = []
        self.store.fetch(
            self.principal.account_sid, key, lambda _key, found: seen.append(found)
        )
        return seen[0]

    async def add_sender(
        self, address: str = BUSINESS, *, deduplicates: bool = False
    ) -> Sender:
        """Make an address reach the carrier, and its webhooks this house."""
        create = c.CreateSender(
            address=address,
            provider="twilio",
            base_url=self.carrier.base_url,
            public_url=self.url,
            carrier_account_sid=CARRIER_ACCOUNT,
            auth_token=TOKEN,
            deduplicates=deduplicates,
        )
        (sender,) = (await self.submit(create)).rows
        assert isinstance(sender, Sender)
        inbound = f"{self.url}/inbound/twilio/{sender.endpoint_id}"
        self.carrier.connect(address, inbound)
        return sender

    async def add_conversation(
        self, address: str = ANN, proxy_address: str = BUSINESS
    ) -> str:
        """Open a conversation with a customer; return its sid."""
        (row,) = (await self.submit(c.CreateConversation())).rows
        await self.submit(
            c.AddParticipant(
                conversation_sid=row.sid, address=address, proxy_address=proxy_address
            )
        )
        return row.sid

    async def say(self, conversation_sid: str, body: str) -> str:
        """Send a message to the customer; return the sid of its receipt."""
        answer = await self.submit(
            c.SendMessage(conversation_sid=conversation_sid, author="system", body=body)
        )
        assert isinstance(answer.rows[1], Receipt)
        return answer.rows[1].sid

    async def advance(self, seconds: float) -> None:
        """Move time, and let what became due be decided.

        Nothing may be on its way to disk: it would seem to have taken all that time.
        """
        account = self.engine.accounts()[self.principal.account_sid]
        await _until(lambda: account.idle)
        self.clock.advance(round(seconds * SECOND))
        await self.submit(c.Tick())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; time does not move meanwhile."""
        await _until(condition)

    async def receipt(self, sid: str, status: str) -> Receipt:
        """Wait until a receipt has a status."""
        state = self.engine.accounts()[self.principal.account_sid].state

        def reached() -> bool:
            row = state.find(sid, Receipt)
            return row is not None and row.status == status

        await self.until(reached)
        return await self.get(sid, Receipt)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a level, whoever reaches it
            await asyncio.sleep(0.001)


async def _no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)
