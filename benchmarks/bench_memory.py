"""Bytes of the matcher: 20,000 workers in 10 of 200 queues, then 100,000 waiting tasks.

    PYTHONMALLOC=malloc python -m benchmarks.bench_memory

Counted is all that is allocated and not freed between before and after, by C++ and by
Python alike: with PYTHONMALLOC=malloc every byte comes from malloc, and mallinfo2 knows
them, what a vector has in reserve and the allocator adds to a block included. So the
attributes count, which the engine decodes for the matcher alone; the sids and names in
them belong to the rows and do not, nor do the handles. No two workers are alike.

Only where the C library is glibc.
"""

import ctypes
import gc
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.harness import Bar, Benchmark, Figure, Track
from benchmarks.traces import PRIORITIES, QUEUES
from flexcore._routing import Router

WORKERS = 20_000
QUEUES_EACH = 10
TASKS = 100_000
CHANNELS = 2
#: 1 KiB, and 32 bytes for each queue of the worker
WORKER_BYTES = 1024 + 32 * QUEUES_EACH


class MallocInfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    )


def allocated() -> int:
    """Return the bytes in use: of the heaps, and of blocks mapped on their own."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallocInfo
    gc.collect()
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


class Crowd:
    """The rows an engine would have, and a router that is told of them."""

    def __init__(self) -> None:
        rng = random.Random(1)
        self.router = Router()
        self._texts = [
            json.dumps(
                {
                    "queues": rng.sample(range(QUEUES), QUEUES_EACH),
                    "languages": rng.sample(["de", "en", "es", "fr", "it"], 2),
                    "level": rng.randrange(10),
                }
            )
            for _ in range(WORKERS)
        ]
        self._names = [f"worker number {order}" for order in range(WORKERS)]
        self._tasks = [
            (rng.randrange(QUEUES), rng.randrange(CHANNELS), rng.randrange(PRIORITIES))
            for _ in range(TASKS)
        ]
        for queue in range(QUEUES):
            path = ("path", "worker", ("queues",))
            self.router.set_queue(queue, (path, ("const", queue), ("has",)))
        # A queue gets what it keeps per channel when it first sees a task.
        for queue in range(QUEUES):
            for channel in range(CHANNELS):
                task = self.router.add_task(queue, channel, 0, 0, 0)
                self.router.remove_task(task)

    def add_workers(self) -> None:
        """Let everybody come in, busy on both channels."""
        for order, (text, name) in enumerate(
            zip(self._texts, self._names, strict=True)
        ):
            attributes = msgspec.json.decode(text) | {
                "sid": name,
                "friendly_name": name,
                "activity_name": "Available",
            }
            worker = self.router.add_worker(attributes, 0, True, order)
            for channel in range(CHANNELS):
                self.router.set_channel(worker, channel, 1, 1)

    def add_tasks(self) -> None:
        """Let the tasks wait."""
        for number, (queue, channel, priority) in enumerate(self._tasks):
            self.router.add_task(queue, channel, priority, number, number)


def taken(work: Callable[[], None]) -> int:
    """Return the bytes that some work left behind."""
    before = allocated()
    work()
    return allocated() - before


def measured() -> dict[str, float]:
    """Return bytes per worker and per task."""
    crowd = Crowd()
    workers = taken(crowd.add_workers) / WORKERS
    return {"worker": workers, "task": taken(crowd.add_tasks) / TASKS}


def bytes_per(noun: str, track: Track[int]) -> Figure:
    """Measure in a process of its own."""
    for _ in track(range(1)):
        report = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_memory"],
            env=os.environ | {"PYTHONMALLOC": "malloc"},
            stdout=subprocess.PIPE,
            check=True,
        )
    found: dict[str, Any] = json.loads(report.stdout)
    return Figure(found[noun], "bytes")


BYTES_PER_TASK = Benchmark(
    "routing_bytes_per_task", lambda track: bytes_per("task", track), Bar(400, True)
)
BYTES_PER_WORKER = Benchmark(
    "routing_bytes_per_worker",
    lambda track: bytes_per("worker", track),
    Bar(WORKER_BYTES, most=True),
)


if __name__ == "__main__":
    print(json.dumps(measured()))
