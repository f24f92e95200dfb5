"""What of the server's work is the matcher's.

Fifty agents are members of some of twenty queues. A cycle is four things: a task is
created, offered to the agent on a stream, accepted and completed; fifty tasks are open at
any time. The CPU time of the server is counted over all cycles, gRPC, store and streams
included. A second server does the same and records what its engine asks of the matcher;
these calls are made again, on a Router of their own, and what they take is the matcher's
part. Either is the least of its runs.
"""

import asyncio
import pickle
import tempfile
from pathlib import Path

import uvloop

from benchmarks import servers
from benchmarks.harness import Benchmark, Figure, Track, timed
from benchmarks.servers import RouterCall, Running
from flexcore._routing import Router
from flexcore.client import Client, connect

AGENTS = 50
QUEUES = 20
CYCLES = 1_000
RUNS = 2

#: what only a change of the workers or queues asks for
PREPARING = ("set_queue", "add_worker", "set_channel")


def share(track: Track[int]) -> Figure:
    """Percent of the CPU time of a cycle."""
    times: dict[str, list[float]] = {"flexcore": [], "recorded": []}
    for number in track(range(2 * RUNS)):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            name = sorted(times)[number % 2]
            with servers.running(name, str(data)) as server:
                taken = uvloop.run(cpu_of_cycles(server, data))
            if name == "recorded":
                taken = matched_seconds(data / servers.CALLS_FILE)
            times[name].append(taken)
    return Figure(100 * min(times["recorded"]) / min(times["flexcore"]), "% of the CPU")


def matched_seconds(path: Path) -> float:
    """Make recorded calls again; return what those of the cycles take."""
    calls: list[RouterCall] = pickle.loads(path.read_bytes())  # noqa: S301 it is ours
    router = Router()
    bound = [(getattr(router, name), *arguments) for name, *arguments in calls]
    names = [name for name, *_ in calls]
    prepared = max(i for i, name in enumerate(names) if name in PREPARING) + 1
    for method, arguments, named in bound[:prepared]:
        method(*arguments, **named)

    def cycles() -> None:
        for method, arguments, named in bound[prepared:]:
            method(*arguments, **named)

    return timed(cycles)[0]


async def cpu_of_cycles(server: Running, data: Path) -> float:
    """Let the agents work; return the CPU time that the server took for it."""
    async with connect(server.target, data=data) as client:
        for number in range(QUEUES):
            await client.workspace.CreateTaskQueue(
                friendly_name=f"queue {number}",
                target_workers=f"level >= {number % 10}",
            )
        shift = Shift(client)
        agents = [await shift.agent(number) for number in range(AGENTS)]
        before = server.cpu_seconds()
        for _ in range(AGENTS):
            await shift.create()
        await shift.over.wait()
        taken = server.cpu_seconds() - before
        for agent in agents:
            agent.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
    return taken


class Shift:
    """Agents who work until all cycles are done."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._created = 0
        self._completed = 0
        self.over = asyncio.Event()

    async def agent(self, number: int) -> asyncio.Task[None]:
        """Let a worker come in, available and with a level of 0 to 9."""
        created = await self._client.workspace.CreateWorker(
            friendly_name=f"agent {number}",
            attributes=f'{{"level": {number % 10}}}',
            activity="Available",
        )
        return asyncio.create_task(self._work(created.worker.sid))

    async def create(self) -> None:
        """Create a task, if there are to be more."""
        if self._created < CYCLES:
            self._created += 1
            await self._client.routing.CreateTask(attributes='{"language": "en"}')

    async def _work(self, sid: str) -> None:
        """Accept and complete whatever is offered."""
        routing = self._client.routing
        async for event in self._client.reservations(sid):
            if event.type == "reservation.created":
                assert event.reservation is not None
                await routing.AcceptReservation(sid=event.reservation.sid)
                await routing.CompleteTask(sid=event.reservation.task_sid)
                self._completed += 1
                if self._completed == CYCLES:
                    self.over.set()
                await self.create()


SHARE = Benchmark("routing_share", share)
