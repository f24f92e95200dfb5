"""An engine inside the test, without gRPC: real SQLite, virtual time, seeded ids."""

import random
from collections.abc import Sequence
from pathlib import Path

from flexcore.domain.clock import VirtualClock
from flexcore.domain.ids import Ids
from flexcore.engine.commands import Answer, Command, Principal
from flexcore.engine.engine import Engine, first_start
from flexcore.engine.vault import Vault
from flexcore.store.interface import OutboxEntry, Store
from flexcore.store.sqlite import SqliteStore


class Running:
    """An engine on a data folder, and who asks it in this test."""

    def __init__(
        self, data: Path, clock: VirtualClock, store: Store | None = None, seed: int = 1
    ) -> None:
        self.data = data
        self.clock = clock
        self.store: Store = store or SqliteStore(data)
        self.outbox: list[OutboxEntry] = []
        ids = Ids(clock, random.Random(seed))
        self.engine = Engine(
            self.store, clock, clock, ids, Vault(bytes(32), ids), self._put_outbox
        )

    def _put_outbox(self, _account_sid: str, entries: Sequence[OutboxEntry]) -> None:
        self.outbox += entries

    async def start(self) -> "Running":
        """Recover; on the first start create account, key and workspace."""
        self.engine.start()
        if self.engine.empty:
            key = await first_start(self.engine)
            self.principal = Principal(key.account_sid, key.sid, operator=True)
        else:
            sids = [sid for sid in self.engine.accounts() if sid.strip("AC0")]
            self.principal = Principal(sids[0], "SK" + "0" * 32, operator=True)
        return self

    async def submit(self, command: Command) -> Answer:
        """Decide a command as the account's own."""
        return await self.engine.submit(self.principal, command)

    async def close(self) -> None:
        """Drain the engine and close the store."""
        await self.engine.close()
        self.store.close()
