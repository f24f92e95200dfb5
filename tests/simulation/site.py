"""One server in virtual time: the real account on the real store, up, down and up again.

Whoever asks gets an answer in the end: a request that was lost with the server, or turned
away, is sent again under the same request_id, as clients do. What is published is what a
stream would show; after a crash it is read on from the log, so nobody misses anything.
"""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from flexcore.domain.errors import Draining, FlexcoreError, Internal, Unavailable
from flexcore.domain.ids import Ids
from flexcore.domain.log import ChangeSet
from flexcore.engine import commands as c
from flexcore.engine.account import Account
from flexcore.engine.committer import Committer
from flexcore.engine.decider import handlers
from flexcore.engine.routing.matching import Matching
from flexcore.engine.vault import Vault
from flexcore.store.interface import OutboxEntry
from flexcore.store.sqlite import SqliteStore
from tests.simulation.virtual import Disk, Faults, Loop, Time

ACCOUNT = "AC" + "1" * 32
FILES = ("flexcore.db", "flexcore.db-wal")

Then = Callable[[c.Answer | FlexcoreError], None]
Leave = Callable[[Sequence[OutboxEntry]], None]


class Request(msgspec.Struct):
    """Something asked and not answered yet."""

    actor: str
    command: c.Command
    then: Then | None


class Site:
    """The server, and everything that was asked of it and published by it."""

    def __init__(
        self, folder: Path, time: Time, rng: random.Random, faults: Faults
    ) -> None:
        self.time = time
        self.log: list[ChangeSet] = []
        self.listeners: list[Callable[[ChangeSet], None]] = []
        self.problems: list[str] = []
        self.refused: Counter[str] = Counter()
        self.crashes = self.restarts = self.failures = self.repeated = 0
        #: who takes what is to leave
        self.on_outbox: Leave = lambda _: None
        self._folder = folder
        self._rng = rng
        self._faults = faults
        self._ids = Ids(time, random.Random(rng.getrandbits(64)))
        self._lives = 0
        self._count = 0
        self._asked: dict[str, Request] = {}
        self.up = False
        self._open()

    # life

    @property
    def path(self) -> Path:
        return self._folder / str(self._lives)

    @property
    def head(self) -> int:
        return self.log[-1].last_sequence if self.log else 0

    def _open(self) -> None:
        """Recover from what is on disk, and go on."""
        store = SqliteStore(self.path, checkpoint_pages=500)
        store.open_account(ACCOUNT)
        self.store = store
        self.disk = Disk(store, self.time, self._rng, self._faults)
        self.loop = Loop(self.time, self.disk)
        self.loop.call_soon(self._start)
        self.loop.drain()
        self.up = True

    def _start(self) -> None:
        self.committer = Committer(self.disk, self.time, self.loop)
        self.account = Account(
            ACCOUNT,
            store=self.disk,
            committer=self.committer,
            clock=self.time,
            alarm=self.loop,
            ids=self._ids,
            handlers=handlers(Vault(bytes(32), self._ids)),
            on_outbox=lambda _account, entries: self.on_outbox(entries),
        )
        self._catch_up()
        self.account.tail.publish = self._publish
        self.committer.start()
        self.account.start()

    def _catch_up(self) -> None:
        """Show what was durable and nobody had been told of."""
        head = self.account.state.sequence
        if head < self.head:
            self.problems.append(f"{self.head} was published, recovered is {head}")
        while self.head < head:
            for change_set in self.store.read_log(ACCOUNT, self.head, "", 1 << 20):
                self._publish(change_set, 0)

    def _publish(self, change_set: ChangeSet, _size: int) -> None:
        if change_set.first_sequence != self.head + 1:
            first = change_set.first_sequence
            self.problems.append(f"{first} was published after {self.head}")
        self.log.append(change_set)
        for listener in self.listeners:
            listener(change_set)

    def crash(self) -> None:
        """Lose everything but what is on disk; what was being written may be there."""
        self.crashes += 1
        self._go_down()
        self.loop.crash(arrives=self._rng.random() < 0.5)
        before = self.path
        self._lives += 1
        self.path.mkdir(mode=0o700)
        for name in FILES:
            if (before / name).exists():
                shutil.copy(before / name, self.path)
        self.store.close()
        shutil.rmtree(before)
        self._come_back()

    def restart(self) -> None:
        """Drain and stop as a server does, and start again a little later."""
        self.restarts += 1
        self._go_down()
        loop = self.loop

        async def stop() -> None:
            await self.account.close()
            await self.committer.close()
            self.account.abandon()
            loop.crashed = True
            self.store.close()
            self._come_back()

        loop.call_soon(lambda: asyncio.create_task(stop()))

    def _go_down(self) -> None:
        self.up = False
        self.failures += self.disk.failures

    def _come_back(self) -> None:
        seconds = self._rng.choice((0.3, 1, 1, 3, 20))

        def back() -> None:
            self._open()
            for request_id in list(self._asked):
                self.time.after(
                    self._rng.uniform(0.01, 2), partial(self._send, request_id)
                )

        self.time.after(seconds, back)

    def close(self) -> None:
        """Stop for good; the store stays open for whoever reads it."""
        self._go_down()
        self.loop.crash(arrives=False)

    # requests

    def ask(self, actor: str, command: c.Mutation, then: Then | None = None) -> None:
        """Send a command until there is an answer."""
        self._count += 1
        request_id = f"{actor}-{self._count}"
        command = msgspec.structs.replace(command, request_id=request_id)
        self._asked[request_id] = Request(actor, command, then)
        self._send(request_id)

    def _send(self, request_id: str) -> None:
        if self.up and request_id in self._asked:
            self.loop.call_soon(self._submit, request_id)

    def _submit(self, request_id: str) -> None:
        loop, request = self.loop, self._asked.get(request_id)
        if request is None:
            return
        principal = c.Principal(ACCOUNT, request.actor)

        def answered(future: "asyncio.Future[c.Answer]") -> None:
            if not future.cancelled() and not loop.crashed:
                self._take(request_id, future.exception() or future.result())

        self.account.submit(principal, request.command).add_done_callback(answered)

    def _take(self, request_id: str, found: c.Answer | BaseException) -> None:
        if request_id not in self._asked:
            return  # sent twice, as it was not clear whether it had arrived
        if isinstance(found, Internal):
            if self.disk.refusals == 0:
                self.problems.append(f"{request_id} was answered: {found}")
            self.disk.refusals -= 1
        if isinstance(found, Unavailable | Draining | Internal):
            wait = self._rng.uniform(0.05, 1)
            self.time.after(wait, partial(self._send, request_id))
            return
        request = self._asked.pop(request_id)
        if isinstance(found, FlexcoreError):
            self.refused[found.kind.value] += 1
        elif isinstance(found, c.Answer):
            self.repeated += found.repeated
            if found.sequence > self.head:
                self.problems.append(f"{request_id} was answered before it was durable")
        else:
            raise found
        if request.then is not None:
            request.then(found)

    # looking inside

    def look(self) -> None:
        """Check the matcher inside, and that one rebuilt from the rows equals it."""
        if not self.up:
            return
        live = self.account.decider.matching
        try:
            for _, desk in live.desks():
                desk.router.check()
        except AssertionError as error:
            self.problems.append(f"the matcher at {self.head}: {error}")
        if live.behind:
            return  # it has still to be told what a rebuilt one knows
        rebuilt = Matching.rebuilt(self.account.state)
        for text in islice(differences(live.dump(), rebuilt.dump()), 3):
            self.problems.append(
                f"the matcher at {self.head} and a rebuilt one: {text}"
            )


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield where two dumps differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{path} has {len(one)}, not {len(other)}"
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            yield from differences(left, right, f"{path}[{number}]")
    elif one != other:
        yield f"{path} is {one!r}, not {other!r}"
