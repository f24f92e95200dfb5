"""How long others wait for their turn while somebody asks why a task waits.

20,000 workers with attributes like those of real ones, a task that none of them suits, a
step that follows. Meanwhile another task of the loop does nothing but take its turn. Its
waits are measured in processor time of the loop's thread, without what else the machine
does in between. A busy machine still makes some of 20,000 turns longer, so the quietest of
the runs counts, and the yardstick is the longest of as many turns that only compute.
"""

import asyncio
import gc
import json
import random
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import thread_time

import uvloop

from benchmarks.harness import Bar, Benchmark, Figure, Track
from flexcore.domain.clock import SystemClock
from flexcore.domain.ids import Ids
from flexcore.engine import commands as c
from flexcore.engine.alarm import LoopAlarm
from flexcore.engine.engine import Engine, first_start
from flexcore.engine.vault import Vault
from flexcore.store.sqlite import SqliteStore

WORKERS = 20_000
BATCH = 200
RUNS = 11
#: additions that take about as long as one slice of an explanation
ADDITIONS = 2_000
LANGUAGES = ("en", "fr", "de", "it", "pl")


def explain_writer_delay(track: Track[int]) -> Figure:
    """The longest wait for a turn during an explanation, of the run where it is least."""
    with tempfile.TemporaryDirectory() as folder:
        return uvloop.run(_delays(Path(folder) / "data", track))


async def _delays(data: Path, track: Track[int]) -> Figure:
    store, clock = SqliteStore(data), SystemClock()
    ids = Ids(clock)
    alarm = LoopAlarm(clock, asyncio.get_running_loop())
    vault = Vault(bytes(32), ids)
    engine = Engine(store, clock, alarm, ids, vault, lambda *_: None)
    engine.start()
    key = await first_start(engine)
    principal = c.Principal(key.account_sid, key.sid)
    task_sid = await _fill(engine, principal)
    ours, theirs = [], []
    with _collected():
        for _ in track(range(RUNS)):
            longest, turns = await _turns(engine.explain(principal, task_sid))
            ours.append(longest)
            theirs.append((await _turns(_compute(turns)))[0])
    await engine.close()
    store.close()
    return Figure(
        value=min(ours),
        unit="ms",
        yardstick=min(theirs),
        spread=(min(ours), max(ours)),
    )


async def _fill(engine: Engine, principal: c.Principal) -> str:
    """Hire everybody, and let a task wait; return its sid."""
    rng = random.Random(1)
    for first in range(0, WORKERS, BATCH):
        workers = tuple(
            c.CreateWorker(
                workspace_sid="",
                friendly_name=f"worker {number}",
                attributes=_attributes(rng),
                activity=rng.choice(("Available", "Offline")),
            )
            for number in range(first, first + BATCH)
        )
        await engine.submit(principal, c.BatchCreateWorkers(workers=workers))
    create = c.CreateTaskQueue(
        workspace_sid="",
        friendly_name="spanish",
        target_workers='languages HAS "es" AND routing.skills HAS "billing"',
    )
    queue = (await engine.submit(principal, create)).rows[0].sid
    steps = [
        {"queue": queue, "timeout": 3600, "expression": "worker.level > task.level"},
        {"queue": queue},
    ]
    filters = [{"expression": "1 == 1", "targets": steps}]
    workflow = c.CreateWorkflow(
        workspace_sid="",
        friendly_name="spanish",
        configuration=json.dumps({"task_routing": {"filters": filters}}),
        task_reservation_timeout_seconds=120,
    )
    workflow_sid = (await engine.submit(principal, workflow)).rows[0].sid
    task = c.CreateTask(workflow_sid=workflow_sid, attributes='{"level": 3}')
    return (await engine.submit(principal, task)).rows[0].sid


def _attributes(rng: random.Random) -> str:
    return json.dumps(
        {
            "languages": rng.sample(LANGUAGES, 2),
            "level": rng.randint(1, 5),
            "routing": {"skills": ["invoices"], "levels": {"invoices": 3}},
            "contact_uri": f"client:{rng.randrange(10**6)}",
            "location": {"country": "IE", "city": "Dublin"},
        }
    )


@contextmanager
def _collected() -> Iterator[None]:
    """Put aside what is there, as a server does when it has started."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _compute(turns: int) -> None:
    """Do in as many turns something that always takes the same time."""
    for _ in range(turns):
        sum(range(ADDITIONS))
        await asyncio.sleep(0)


async def _turns(work: Awaitable[object]) -> tuple[float, int]:
    """Take turns until work is done; return the longest wait in ms, and how many."""
    done = asyncio.ensure_future(work)
    longest, turns, before = 0.0, 0, thread_time()
    while not done.done():
        await asyncio.sleep(0)
        now = thread_time()
        longest, turns = max(longest, now - before), turns + 1
        before = now
    await done
    return longest * 1000, turns


EXPLAIN_WRITER_DELAY = Benchmark(
    "explain_writer_delay", explain_writer_delay, Bar(1, most=True)
)
