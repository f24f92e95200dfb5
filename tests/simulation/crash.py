"""Kills the server under load, again and again, and checks what it kept.

    python -m tests.simulation.crash --runs 100 --seed 1

Each run starts `flexcore serve` on the data the last run left, lets clients work over
real gRPC for some ten milliseconds, and kills it with SIGKILL. Then it must hold:

- every acknowledged write is there: its request, sent again, gets the same answer, and
  so does one that was never answered, from then on;
- no reservation was accepted twice, no message index is used twice or left out;
- every stream, resumed from its token, was given each event exactly once, in order: the
  log as a whole, and of it what concerns one worker or one conversation;
- log, tables and the memory built from them agree (`flexcore.engine.checks`).

A folder of data serves some runs, so that recovery has something to recover, and begins
with starts that are killed too.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from flexcore.client import Client
from flexcore.engine.checks import check_account
from flexcore.store.sqlite import SqliteStore
from flexcore.v1 import conversation_service_pb2
from tests.simulation.crash_load import (
    Follower,
    Ledger,
    Load,
    Refused,
    Unanswered,
    Write,
    call,
    canonical,
)
from tests.simulation.crash_process import ServerProcess

RUNS_PER_FOLDER = 25
#: how long the clients work before the server is killed
LOAD_SECONDS = (0.02, 0.3)
#: when the first starts on empty data are killed; a whole one takes about a second
FIRST_START_SECONDS = (0.2, 1.2)
#: streams must have caught up by then
CATCH_UP_SECONDS = 10.0
DATABASE = "flexcore.db"


class Tally(NamedTuple):
    """What a number of runs came to."""

    runs: int
    acknowledged: int
    repeated: int
    events: int
    resumed: int
    accepted: int
    messages: int
    starts: list[float]
    problems: list[str]

    def line(self) -> str:
        """Return the result in one line."""
        starts = sorted(self.starts)
        median = starts[len(starts) // 2] if starts else 0.0
        slowest = starts[-1] if starts else 0.0
        return (
            f"{self.runs} kills: {self.acknowledged} acknowledged writes"
            f" ({self.accepted} accepts, {self.messages} messages),"
            f" {self.repeated} requests repeated, {self.events} events,"
            f" {self.resumed} streams resumed; restart median {median:.2f} s,"
            f" slowest {slowest:.2f} s; {len(self.problems)} violations"
        )


class Folder:
    """One data folder, from its first start through some kills."""

    def __init__(
        self, data: Path, rng: random.Random, damage: Callable[[Path], None]
    ) -> None:
        self.data = data
        self._rng = rng
        self._damage = damage
        self.ledger = Ledger(rng)
        self.load = Load(self.ledger, rng)
        self.server = ServerProcess(data)
        self.runs = 0
        self.starts: list[float] = []
        self.repeated = 0
        self._problems: list[str] = []

    @property
    def problems(self) -> list[str]:
        """Return everything that must not have happened."""
        return [*self._problems, *self.ledger.problems, *self.load.whole.problems]

    @property
    def followers(self) -> list[Follower]:
        """Return every narrow stream."""
        return [*self.load.workers, *self.load.conversations]

    async def open(self) -> None:
        """Start for the first time, after a few attempts that are killed."""
        for _ in range(self._rng.randint(0, 2)):
            await self.server.spawn()
            await asyncio.sleep(self._rng.uniform(*FIRST_START_SECONDS))
            await self.server.kill()
        await self.server.start()
        async with self.server.client() as client:
            await self.load.set_up(client)

    async def run(self) -> None:
        """Work, kill, check what is on disk, start again, check what is told."""
        self.runs += 1
        await self._work_and_kill()
        self._damage(self.data)
        self._check_disk()
        self.starts.append((await self.server.start()).seconds)
        async with self.server.client() as client:
            await self._check_streams(client)
            await self._check_answers(client)
            await self._check_messages(client)
        self.ledger.turn_page()

    async def close(self) -> None:
        """Let the last server drain."""
        await self.server.drain()
        self._check_disk()

    async def _work_and_kill(self) -> None:
        async with self.server.client() as client:
            work = asyncio.create_task(self.load.run(client))
            await asyncio.wait((work,), timeout=self._rng.uniform(*LOAD_SECONDS))
            if work.done():
                work.result()
            await self.server.kill()
            work.cancel()
            await asyncio.wait((work,))
            if not work.cancelled():
                work.result()

    def _check_disk(self) -> None:
        """Check a copy, so that the next server recovers from what was left as it is."""
        with tempfile.TemporaryDirectory() as copy:
            for suffix in ("", "-wal"):
                path = self.data / f"{DATABASE}{suffix}"
                if path.exists():
                    shutil.copy(path, copy)
            store = SqliteStore(copy)
            try:
                for sid in store.accounts():
                    self._problems += check_account(store, sid)
            finally:
                store.close()

    async def _check_answers(self, client: Client) -> None:
        """Ask everything again, and what was never answered once more."""
        for request_id in list(self.ledger.open):
            try:
                await self.ledger.send(client, request_id)
            except (Refused, Unanswered) as error:
                if isinstance(error, Unanswered):
                    self._problems.append(f"{request_id} is not answered: {error}")
        known = [*self.ledger.answered.values(), *self.ledger.older[-50:]]
        for write, before in known:
            self.repeated += 1
            try:
                answer = canonical(await call(client, write))
            except (Refused, Unanswered) as error:
                self._problems.append(f"{write.rpc} was acknowledged, now: {error}")
                continue
            if answer != before:
                self._problems.append(f"{write.rpc} is answered differently: {write}")

    async def _check_messages(self, client: Client) -> None:
        for sid, told in self.ledger.messages.items():
            request = conversation_service_pb2.ListMessagesRequest(
                conversation_sid=sid, page_size=1000
            )
            listed = await call(client, Write("conversation", "ListMessages", request))
            there = {message.index: message.sid for message in listed.messages}
            if sorted(there) != list(range(len(there))):
                self._problems.append(f"{sid} has message indexes {sorted(there)}")
            if {index: there.get(index) for index in told} != told:
                self._problems.append(f"{sid} has lost a message that was sent")
        self.ledger.messages.clear()

    async def _check_streams(self, client: Client) -> None:
        """Let every stream catch up with the head, then compare it with the log."""
        head = (await client.admin.GetServerInfo()).server_info.head_sequence
        reading = [
            asyncio.create_task(follower.run(client))
            for follower in (self.load.whole, *self.followers)
        ]
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while not self._caught_up(head):  # noqa: ASYNC110 nobody else knows
                    await asyncio.sleep(0.002)
        except TimeoutError:
            self._problems.append(f"streams did not catch up with {head}")
        finally:
            for task in reading:
                task.cancel()
            ended = await asyncio.gather(*reading, return_exceptions=True)
        self._problems += [
            f"a stream failed: {error!r}"
            for error in ended
            if isinstance(error, Exception)
        ]
        for follower in self.followers:
            self._compare(follower, head)

    def _caught_up(self, head: int) -> bool:
        if self.load.whole.position < head:
            return False
        return all(
            len([n for n in follower.seen if n <= head])
            >= len(self._expected(follower, head))
            for follower in self.followers
        )

    def _expected(self, follower: Follower, head: int) -> list[int]:
        concerning = self.load.whole.concerning.get(follower.name, ())
        return [n for n in concerning if follower.after < n <= head]

    def _compare(self, follower: Follower, head: int) -> None:
        seen = [n for n in follower.seen if n <= head]
        expected = self._expected(follower, head)
        if seen != expected:
            missing = sorted(set(expected) - set(seen))
            more = sorted(set(seen) - set(expected))
            self._problems.append(
                f"the stream of {follower.name} missed {missing}, was given {more} too,"
                f" {len(seen)} events for {len(expected)}"
            )


def nothing(_data: Path) -> None:
    """Leave what a kill left as it is."""


async def crash(
    runs: int,
    seed: int,
    *,
    show: bool = True,
    damage: Callable[[Path], None] = nothing,
) -> Tally:
    """Kill a server `runs` times; `damage` may spoil what a kill left, as a control."""
    rng = random.Random(seed)
    folders: list[Folder] = []
    done = 0
    with (
        tempfile.TemporaryDirectory(prefix="flexcore-crash-") as place,
        Progress(console=Console(stderr=True), disable=not show) as progress,
    ):
        bar = progress.add_task("killing", total=runs)
        while done < runs:
            folder = Folder(Path(place) / f"{len(folders)}", rng, damage)
            folders.append(folder)
            try:
                await folder.open()
                for _ in range(min(RUNS_PER_FOLDER, runs - done)):
                    await folder.run()
                    done += 1
                    progress.advance(bar)
                await folder.close()
            finally:
                await folder.server.kill()
    return _tally(folders)


def _tally(folders: list[Folder]) -> Tally:
    return Tally(
        runs=sum(folder.runs for folder in folders),
        acknowledged=sum(folder.ledger.acknowledged for folder in folders),
        repeated=sum(folder.repeated for folder in folders),
        events=sum(folder.load.whole.events for folder in folders),
        resumed=sum(
            follower.resumed
            for folder in folders
            for follower in (folder.load.whole, *folder.followers)
        ),
        accepted=sum(len(folder.ledger.accepted) for folder in folders),
        messages=sum(folder.load.whole.said for folder in folders),
        starts=[seconds for folder in folders for seconds in folder.starts],
        problems=[problem for folder in folders for problem in folder.problems],
    )


def main() -> int:
    """Run from the command line; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.crash", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    tally = asyncio.run(crash(arguments.runs, arguments.seed))
    for problem in tally.problems[:50]:
        print(problem)
    print(tally.line())
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
