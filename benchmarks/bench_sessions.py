"""What a server holds for a worker of an idle agent session.

What it holds already (its modules, the workers themselves) is not counted: memory is taken
once a tenth of the sessions is open and again when all are. Each has a connection of its
own, which is counted.
"""

import tempfile
from pathlib import Path

import uvloop

from benchmarks import servers
from benchmarks.harness import Bar, Benchmark, Figure, Track
from benchmarks.sessions import hire, opened
from flexcore.client import connect

SESSIONS = 100
#: sessions that are open before the first look, so that pools are warm
WARM = 10
WORKERS = 100


def bytes_per_worker(track: Track[int]) -> Figure:
    """Memory of the server for one worker of a session of 100."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with servers.running("flexcore", str(data)) as server:
            size = uvloop.run(_memory(server, data, track))
    return Figure(value=size, unit="bytes")


async def _memory(server: servers.Running, data: Path, track: Track[int]) -> float:
    async with connect(server.target, data=data) as client:
        sids = await hire(client, SESSIONS * WORKERS)
    firsts = range(0, len(sids), WORKERS)
    groups = [sids[first : first + WORKERS] for first in firsts]
    async with opened(server.target, data, groups[:WARM]):
        before = server.memory_bytes()
        rest = (groups[number] for number in track(range(WARM, SESSIONS)))
        async with opened(server.target, data, rest):
            grown = server.memory_bytes() - before
    return grown / ((SESSIONS - WARM) * WORKERS)


SESSION_BYTES_PER_WORKER = Benchmark(
    "session_bytes_per_worker", bytes_per_worker, Bar(4096, most=True)
)
