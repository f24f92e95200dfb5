"""How soon an offer comes: 200 tasks a second for a minute, in an open loop, idle workers.

The yardstick is a bare stream that says every message back after it wrote a page and had
the disk take it (fdatasync, in a thread): the least that a durable answer over a stream
costs. Both take turns at the same rate on the same disk; between two turns the tasks are
completed, so that all workers are idle again.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import uvloop

from benchmarks import servers
from benchmarks.harness import Bar, Benchmark, Figure, Track
from benchmarks.open_loop import open_loop
from benchmarks.sessions import followed, hire, opened, own_connection
from flexcore.client import Client, connect
from flexcore.v1 import routing_service_pb2 as pb

RATE = 200
PARTS = 6
PART_SECONDS = 10
COUNT = RATE * PART_SECONDS
#: an idle one for every task of a part
WORKERS = COUNT
SESSIONS = 10
COMPLETING = 50


def offer_latency(track: Track[int]) -> Figure:
    """Time from when a task is to be created to its offer, against the echo."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with (
            servers.running("flexcore", str(data)) as ours,
            servers.running("synced", folder) as echo,
        ):
            pairs = uvloop.run(_pairs(ours.target, echo.target, data, track))
    halves, tails = (
        [(_at(offers, share), _at(echoes, share)) for offers, echoes in pairs]
        for share in (0.5, 0.99)
    )
    return _worse(halves, tails)


def _at(waits: list[float], share: float) -> float:
    return sorted(waits)[int(share * len(waits))] * 1000


def _worse(
    halves: list[tuple[float, float]], tails: list[tuple[float, float]]
) -> Figure:
    """Make a figure of the quantile with the greater ratio; the spread shows both."""
    found = []
    for name, pairs in (("p50", halves), ("p99", tails)):
        ratio = median(ours / theirs for ours, theirs in pairs)
        value = median(ours for ours, _ in pairs)
        yardstick = median(theirs for _, theirs in pairs)
        found.append((ratio, value, yardstick, name))
    ratio, value, yardstick, name = max(found)
    spread = (found[0][0], found[1][0])
    return Figure(value, f"ms ({name})", yardstick, ratio, spread)


async def _pairs(
    target: str, echo: str, data: Path, track: Track[int]
) -> list[tuple[list[float], list[float]]]:
    """Take turns; return what offers and echoes took, part by part."""
    async with connect(target, data=data) as client:
        sids = await hire(client, WORKERS)
        groups = (sids[number::SESSIONS] for number in range(SESSIONS))
        async with opened(target, data, groups) as sessions:
            offers = Offers(client)
            async with followed(sessions, offers.handle):
                pairs = []
                for _ in track(range(PARTS)):
                    taken = await offers.waits()
                    await offers.complete()
                    pairs.append((taken, await _echoes(echo)))
                return pairs


class Offers:
    """Creates tasks and sees their offers come; nobody accepts them meanwhile."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._came: dict[str, float] = {}
        self._all = asyncio.Event()

    def handle(self, response: pb.AgentSessionResponse) -> Iterator[Any]:
        """Take a message of a session."""
        now = perf_counter()
        for event in response.events:
            if event.type == "reservation.created":
                self._came[event.task.sid] = now
                if len(self._came) == COUNT:
                    self._all.set()
        return iter(())

    async def waits(self) -> list[float]:
        """Create the tasks of a part; return how long each waited for its offer to come."""
        self._came.clear()
        self._all.clear()
        dues: dict[str, float] = {}

        async def create(_number: int, due: float) -> None:
            made = await self._client.routing.CreateTask(attributes='{"language":"en"}')
            dues[made.task.sid] = due

        await open_loop(RATE, COUNT, create)
        await asyncio.wait_for(self._all.wait(), PART_SECONDS)
        return [self._came[sid] - due for sid, due in dues.items()]

    async def complete(self) -> None:
        """Let the tasks of the part be over, so that all workers are idle again."""
        left = list(self._came)

        async def cancel() -> None:
            while left:
                await self._client.routing.CancelTask(sid=left.pop())

        await asyncio.gather(*(cancel() for _ in range(COMPLETING)))


async def _echoes(target: str) -> list[float]:
    """Say as much to the echo over as many streams; return how long each answer took."""
    streams = [_Echo(target) for _ in range(SESSIONS)]
    try:
        await open_loop(
            RATE, COUNT, lambda number, due: streams[number % SESSIONS].say(due)
        )
        return [wait for stream in streams for wait in stream.waits]
    finally:
        await asyncio.gather(*(stream.close() for stream in streams))


class _Echo:
    """A stream that says everything back in order; nothing overtakes on it.

    It has a connection of its own, as a session has.
    """

    def __init__(self, target: str) -> None:
        self._channel = own_connection(target)
        self._call = self._channel.stream_stream(servers.SYNCED_METHOD)()
        self._turn = asyncio.Lock()
        self.waits: list[float] = []

    async def say(self, due: float) -> None:
        """Say something and wait until it is said back."""
        async with self._turn:
            await self._call.write(b"x" * 120)
            await self._call.read()
            self.waits.append(perf_counter() - due)

    async def close(self) -> None:
        """End the stream."""
        self._call.cancel()
        await self._call.code()
        await self._channel.close()


STREAM_OFFER_LATENCY = Benchmark(
    "stream_offer_latency", offer_latency, Bar(2, most=True)
)
