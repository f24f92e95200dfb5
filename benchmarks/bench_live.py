"""Live sessions: 1,000 workers on 10 sessions at half of what the server can do.

A task is created, offered, accepted and completed; the workers do so at once. First so
many tasks are kept on their way that the server has always something to do: their rate is
its maximum. Then tasks are created at half of that rate, in an open loop, and the time
from when one was to be created to when its offer is read is taken.
"""

import tempfile
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import uvloop

from benchmarks import servers
from benchmarks.desks import Desks, staffed
from benchmarks.harness import Benchmark, Figure, Track
from benchmarks.open_loop import open_loop

WORKERS = 1_000
SESSIONS = 10
#: tasks on their way while the maximum is measured
AT_ONCE = 200
WARM_SECONDS = 2.0
MAXIMUM_SECONDS = 6.0
#: parts the half rate is held for, and the seconds of each
PARTS = 5
PART_SECONDS = 4.0


def live(track: Track[int]) -> Figure:
    """Latency of offers, and how many events a message carries."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with servers.running("flexcore", str(data)) as server:
            return uvloop.run(_live(server.target, data, track))


async def _live(target: str, data: Path, track: Track[int]) -> Figure:
    async with staffed(target, data, SESSIONS, WORKERS) as desks:
        await _rate(desks, WARM_SECONDS)
        rate = await _rate(desks, MAXIMUM_SECONDS) / 2
        events, messages = desks.events, desks.messages
        waits = [
            await offer_waits(desks, rate, PART_SECONDS, part)
            for part in track(range(PARTS))
        ]
        carried = (desks.events - events) / (desks.messages - messages)
    tails = [quantiles(part, n=100)[98] * 1000 for part in waits]
    unit = f"ms (p99) at {rate:,.0f} tasks/s, {carried:.2f} events a message"
    return Figure(median(tails), unit, spread=(min(tails), max(tails)))


async def _rate(desks: Desks, seconds: float) -> float:
    """Return the tasks a second that are done if there are always some."""
    start = perf_counter()
    count = await desks.work_at_once(
        AT_ONCE, lambda _: perf_counter() - start < seconds
    )
    return count / (perf_counter() - start)


async def offer_waits(
    desks: Desks, rate: float, seconds: float, part: int
) -> list[float]:
    """Create tasks in an open loop; return how long each waited for its offer to come."""
    count = int(rate * seconds)
    came: dict[int, float] = {}
    desks.offered = lambda number: came.setdefault(number, perf_counter())
    waits = []

    async def one(number: int, due: float) -> None:
        name = 1 + part * count + number
        await desks.work(name)
        waits.append(came.pop(name) - due)

    await open_loop(rate, count, one)
    return waits


STREAM_LIVE = Benchmark("stream_live", live)
