"""Cuts streams again and again and checks that each tells everything, once, in order.

Workers are changed as fast as the engine takes it, while the log is cleaned up behind
everybody and most of it has left memory. Every subscriber is cut off many times, somewhere
between two messages, and comes back with its token: soon, or so late that it has to be
told OUT_OF_RANGE or given a new snapshot. A worker's version grows by one with each change,
so what a subscriber must be told is known without the log: after version n comes n + 1. An
activity is renamed now and then, of which everybody who streams a worker is told.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import structlog
import uvloop

from flexcore.client import Client, connect
from flexcore.config import Address, Config
from flexcore.domain import limits
from flexcore.engine import commands as c
from flexcore.engine.cursor import Cursor
from flexcore.server import Server
from flexcore.v1 import routing_service_pb2 as pb

#: of all cuts, those after which a subscriber comes back when the log is cleaned up
LATE = 0.02
#: change sets that the planted gap loses
LOST = 5
CLIENTS = 20
WRITERS = 8
#: every n-th subscriber holds a session of several workers, or watches events
SESSION_EVERY = 10
SESSION_WORKERS = 5
WATCH_EVERY = 7
#: every n-th change is that of the activity
RENAME_EVERY = 200
#: seconds after the last change within which everybody has to be told of it
PATIENCE = 60.0


@dataclass(frozen=True)
class Plan:
    """How much is done, and for how many seconds the log is kept."""

    subscribers: int = 1_000
    changes: int = 100_000
    cuts: int = 10
    kept_seconds: float = 10
    seed: int = 1


@dataclass
class Tally:
    """What a run did and what it found."""

    subscribers: int = 0
    changes: int = 0
    delivered: int = 0
    cuts: int = 0
    below_floor: int = 0
    snapshots: int = 0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the result in one line."""
        verdict = f"{len(self.problems)} faults" if self.problems else "all told once"
        return (
            f"{self.subscribers} subscribers, {self.changes} changes,"
            f" {self.delivered} delivered, {self.cuts} cuts, {self.below_floor} below the"
            f" floor, {self.snapshots} snapshots: {verdict}"
        )


class Subscriber:
    """Follows some workers; keeps of each the version it was told of last."""

    def __init__(
        self,
        client: Client,
        sids: list[str],
        activity_sid: str,
        plan: Plan,
        tally: Tally,
        seed: int,
    ) -> None:
        self.client = client
        self.sids = sids
        #: what it has to be told of
        self._told_of = [*sids, activity_sid]
        self.versions: dict[str, int] = {}
        self.token = ""
        self.call: Any = None
        self._cuts = plan.cuts
        self._late = plan.kept_seconds * 1.5
        self._tally = tally
        self._rng = random.Random(seed)
        self._sequence = 0

    async def follow(self, end: dict[str, int]) -> None:
        """Follow until all cuts were made and everything up to `end` was told."""
        while True:
            call = self.call = await self._open()
            left = self._rng.randint(1, 12)
            try:
                while left and not self._told(end):
                    response = await call.read()
                    if response is grpc.aio.EOF:
                        break
                    await self._take(response)
                    left -= self._cuts > 0
                if self._told(end) and not self._cuts:
                    return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.OUT_OF_RANGE:
                    raise
                self._tally.below_floor += 1
                self.token, self._sequence = "", 0
            finally:
                call.cancel()
            await self._stay_away()

    def _told(self, end: dict[str, int]) -> bool:
        return bool(end) and all(
            self.versions.get(sid) == end[sid] for sid in self._told_of
        )

    async def _stay_away(self) -> None:
        if self._cuts:
            self._cuts -= 1
            self._tally.cuts += 1
        late = self._rng.random() < LATE
        await asyncio.sleep(self._late if late else self._rng.random() * 0.05)

    async def _open(self) -> Any:
        return self.client.routing.StreamReservations(
            worker_sid=self.sids[0], resume_token=self.token
        )

    async def _take(self, response: Any) -> None:
        if response.HasField("snapshot"):
            self._tally.snapshots += 1
            self._stand(response.snapshot.worker)
            for activity in response.snapshot.activities:
                self._stand(activity)
        for event in response.events:
            told = event.activity if event.HasField("activity") else event.worker
            self._change(event.sequence, told)
        self.token = response.resume_token

    def _stand(self, row: Any) -> None:
        """Take a snapshot: it may be ahead of what was told, and not behind."""
        before = self.versions.get(row.sid, 0)
        if row.version < before:
            self._fault(f"a snapshot of {before} shows {row.version}", row.sid)
        self.versions[row.sid] = row.version

    def _change(self, sequence: int, row: Any) -> None:
        before = self.versions.get(row.sid)
        self._tally.delivered += 1
        if sequence <= self._sequence:
            self._fault(f"{sequence} after {self._sequence}", row.sid)
        if before is not None and row.version <= before:
            self._fault(f"version {row.version} twice", row.sid)
        if before is None or row.version > before + 1:
            self._fault(f"a gap from {before} to {row.version}", row.sid)
        self._sequence = sequence
        self.versions[row.sid] = row.version

    def _fault(self, text: str, sid: str) -> None:
        self._tally.problems.append(f"{type(self).__name__} of {sid}: {text}")


class Watcher(Subscriber):
    """Watches the events of one worker; lost, it begins at the oldest held."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._told_of = self.sids

    async def _open(self) -> Any:
        if not self.token:
            # Whatever comes first is taken as it is: there is no snapshot.
            self.versions.clear()
        return self.client.event.WatchEvents(
            worker_sid=self.sids[0], resume_token=self.token
        )

    async def _take(self, response: Any) -> None:
        for change_set in response.change_sets:
            worker = change_set.resources[0].worker
            if worker.sid:
                self.versions.setdefault(worker.sid, worker.version - 1)
                self._change(change_set.events[-1].sequence, worker)
        self.token = response.resume_token


class Session(Subscriber):
    """Holds an agent session of several workers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: those the token stands for
        self._joined: set[str] = set()

    async def _open(self) -> Any:
        if not self.token:
            self._joined.clear()
        call = self.client.routing.AgentSession()
        what = pb.Subscribe(worker_sids=self.sids, resume_token=self.token)
        await call.write(pb.AgentSessionRequest(subscribe=what))
        return call

    async def _take(self, response: Any) -> None:
        await super()._take(response)
        if response.HasField("snapshot"):
            sid = response.snapshot.worker.sid
            if sid in self._joined:
                self._joined.clear()  # it was too far behind: all come anew
            self._joined.add(sid)
        if len(self._joined) < len(self.sids):
            self.token = ""  # it stands for those who came so far
        if response.events:
            ack = pb.AckEvents(sequence=response.events[-1].sequence)
            await self.call.write(pb.AgentSessionRequest(ack_events=ack))


async def run(plan: Plan) -> Tally:
    """Run once; the tally names what was not as it has to be."""
    tally = Tally(plan.subscribers, plan.changes)
    with _small_log(plan.kept_seconds), tempfile.TemporaryDirectory() as folder:
        async with _serving(Path(folder)) as server:
            clients = [
                await connect(server.target, data=Path(folder)) for _ in range(CLIENTS)
            ]
            try:
                await _run(server, clients, plan, tally)
            finally:
                for client in clients:
                    await client.close()
    return tally


async def _run(server: Server, clients: list[Client], plan: Plan, tally: Tally) -> None:
    sids = await _hire(server, max(plan.subscribers, SESSION_WORKERS))
    activity_sid = await _set_up(server)
    everybody = []
    for number in range(plan.subscribers):
        kind, count = Subscriber, 1
        if number % SESSION_EVERY == 0:
            kind, count = Session, SESSION_WORKERS
        elif number % WATCH_EVERY == 0:
            kind = Watcher
        own = [sids[(number + n) % len(sids)] for n in range(count)]
        client = clients[number % len(clients)]
        everybody.append(
            kind(client, own, activity_sid, plan, tally, plan.seed + number)
        )
    end: dict[str, int] = {}
    following = [asyncio.create_task(each.follow(end)) for each in everybody]
    rows = [*sids, activity_sid]
    versions = await _work(server, rows, plan.changes, plan.seed)
    # Each changes once more, so that those who wait for something hear that it is over.
    end.update({sid: version + 1 for sid, version in versions.items()})
    await _work(server, rows, 0, plan.seed)
    _, late = await asyncio.wait(following, timeout=PATIENCE)
    for task, each in zip(following, everybody, strict=True):
        if task in late:
            task.cancel()
            tally.problems.append(
                f"{type(each).__name__} of {each.sids[0]}: not all told"
            )
        elif task.exception() is not None:
            tally.problems.append(f"{type(each).__name__}: {task.exception()!r}")
    await asyncio.gather(*late, return_exceptions=True)


async def _hire(server: Server, count: int) -> list[str]:
    sids = []
    for number in range(count):
        hired = c.CreateWorker(workspace_sid="", friendly_name=f"w{number}")
        sids.append((await server.engine.submit(_who(server), hired)).rows[0].sid)
    return sids


async def _set_up(server: Server) -> str:
    made = c.CreateActivity(workspace_sid="", friendly_name="a", available=False)
    return (await server.engine.submit(_who(server), made)).rows[0].sid


async def _work(
    server: Server, rows: list[str], changes: int, seed: int
) -> dict[str, int]:
    """Change all, each at least once at the end; return their last versions."""
    rng, versions = random.Random(seed), {}
    *workers, activity_sid = rows
    chosen = [
        rng.choice(workers) if number % RENAME_EVERY else activity_sid
        for number in range(changes)
    ]
    queue = iter(enumerate(chosen + rows))

    async def write() -> None:
        for number, sid in queue:
            change: c.UpdateActivity | c.UpdateWorker
            if sid == activity_sid:
                name = f"{number} of {changes}"
                change = c.UpdateActivity(sid=sid, friendly_name=name)
            else:
                change = c.UpdateWorker(sid=sid, attributes=f'{{"n":{number}}}')
            answer = await server.engine.submit(_who(server), change)
            versions[sid] = max(versions.get(sid, 0), answer.rows[0].version)

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return versions


def _who(server: Server) -> c.Principal:
    assert server.first_key is not None
    return server.engine.authenticate(".".join(server.first_key))


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[Server]:
    local = Address("127.0.0.1", 0)
    server = Server(Config(data=folder, grpc=local, http=local, dev=True))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextmanager
def _small_log(kept_seconds: float) -> Iterator[None]:
    """Let little of the log be in memory, and not much more on the disk."""
    small = {
        "TAIL_BYTES": 256 * 1024,
        "LOG_RETENTION": int(kept_seconds * limits.SECOND),
        "CLEANUP_INTERVAL": limits.SECOND // 10,
    }
    before = {name: getattr(limits, name) for name in small}
    for name, value in small.items():
        setattr(limits, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


@contextmanager
def planted_gap(every: int) -> Iterator[None]:
    """Lose change sets, the way a wrong bound would: what checks has to say so.

    More than one, since nobody misses what is lost to a stream that is cut just then; and
    none of the last, for which whoever lost it would wait.
    """
    read, left, times = Cursor.read, [every], [LOST]

    def lossy(self: Cursor, until: int | None = None) -> Any:
        found = read(self, until)
        left[0] -= len(found)
        if found and left[0] < 0 < times[0]:
            left[0] = every
            times[0] -= 1
            return found[1:]
        return found

    Cursor.read = lossy  # type: ignore[method-assign]
    try:
        yield
    finally:
        Cursor.read = read  # type: ignore[method-assign]


def main() -> int:
    """Run from the command line; 1 if anything was not as it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.streams", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--subscribers", type=int, default=1_000, metavar="N")
    parser.add_argument("--changes", type=int, default=100_000, metavar="N")
    parser.add_argument("--cuts", type=int, default=10, metavar="N")
    parser.add_argument("--kept", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--minutes", type=float, default=15, metavar="N")
    parser.add_argument("--plant", action="store_true", help="lose some change sets")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    plan = Plan(
        subscribers=arguments.subscribers,
        changes=arguments.changes,
        cuts=arguments.cuts,
        kept_seconds=arguments.kept,
        seed=arguments.seed,
    )
    timed = asyncio.wait_for(run(plan), arguments.minutes * 60)
    plant = (
        planted_gap(max(1, plan.changes // 10)) if arguments.plant else nullcontext()
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, plant:
            tally = runner.run(timed)
    except TimeoutError:
        print(f"not done within {arguments.minutes:g} minutes")
        return 1
    for problem in tally.problems[:50]:
        print(problem)
    print(tally.line())
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
