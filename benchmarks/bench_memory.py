"""Bytes of the matcher: 20,000 workers in 10 of 200 queues, then 100,000 waiting tasks.

    PYTHONMALLOC=malloc python -m benchmarks.bench_memory

Counted is all that is allocated and not freed between before and after, by C++ and by
Python alike: with PYTHONMALLOC=malloc every byte comes from malloc, and mallinfo2 knows
them, what a vector has in reserve and the allocator adds to a block included. The
attributes are the caller's and kept by reference; what they take is shown beside the
figure. Handles are not counted.

Every worker has queues and values of their own and stands idle in all queues, on two
channels. Every task has a target expression and values that it reads. A worker takes a
place more in each queue for each target expression by which its tasks go; that is not in
the figure.

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

from benchmarks.bench_expressions import (
    ORDER_BY,
    PAIR,
    traits_of_tasks,
    traits_of_worker,
)
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
    """What a router is told."""

    def __init__(self) -> None:
        self.router = Router()
        self._rng = random.Random(1)
        self._handles: list[int] = [0] * WORKERS
        self._workers: list[dict[str, Any]] = []
        self._tasks: list[dict[str, Any]] = []
        self._places = [
            (
                self._rng.randrange(QUEUES),
                self._rng.randrange(CHANNELS),
                self._rng.randrange(PRIORITIES),
            )
            for _ in range(TASKS)
        ]
        for queue in range(QUEUES):
            path = ("path", "worker", ("queues",))
            self.router.set_queue(queue, (path, ("const", queue), ("has",)))
            # It gets what it keeps per channel when it first sees a task.
            for channel in range(CHANNELS):
                task = self.router.add_task(queue, channel, 0, 0, 0)
                self.router.remove_task(task)
        self._spec = self.router.open_spec(PAIR, ORDER_BY)

    def describe_workers(self) -> None:
        """Decode the attributes of the workers, as a store would have them."""
        for order in range(WORKERS):
            queues = self._rng.sample(range(QUEUES), QUEUES_EACH)
            own = {"queues": queues, "sid": f"{order:034}", "name": f"worker {order}"}
            self._workers.append(again(traits_of_worker(order) | own))

    def describe_tasks(self) -> None:
        """Decode the attributes of the tasks."""
        self._tasks = [again(traits) for traits in traits_of_tasks(TASKS)]

    def add_workers(self) -> None:
        """Let everybody come in and stand idle in all of their queues."""
        for order, attributes in enumerate(self._workers):
            worker = self.router.add_worker(attributes, 0, True, order)
            self._handles[order] = worker
        self._set_channels(occupied=0)

    def keep_busy(self) -> None:
        """Let nobody have room, so that tasks wait."""
        self._set_channels(occupied=1)

    def add_tasks(self) -> None:
        """Let the tasks wait."""
        for number, place in enumerate(self._places):
            queue, channel, priority = place
            attributes = self._tasks[number]
            self.router.add_task(
                queue, channel, priority, number, number, self._spec, attributes
            )

    def _set_channels(self, occupied: int) -> None:
        for worker in self._handles:
            for channel in range(CHANNELS):
                self.router.set_channel(worker, channel, 1, occupied)
        self.router.match(0)


def again(attributes: dict[str, Any]) -> Any:
    """Return a copy that shares nothing, as from JSON."""
    return msgspec.json.decode(msgspec.json.encode(attributes))


def taken(work: Callable[[], None]) -> int:
    """Return the bytes that some work left behind."""
    before = allocated()
    work()
    return allocated() - before


def measured() -> dict[str, tuple[float, float]]:
    """Return bytes per worker and per task, and those of their attributes."""
    crowd = Crowd()
    described = taken(crowd.describe_workers) / WORKERS
    worker = (taken(crowd.add_workers) / WORKERS, described)
    crowd.keep_busy()
    described = taken(crowd.describe_tasks) / TASKS
    return {"worker": worker, "task": (taken(crowd.add_tasks) / TASKS, described)}


def bytes_per(noun: str, track: Track[int]) -> Figure:
    """Measure in a process of its own; the yardstick is what attributes take."""
    for _ in track(range(1)):
        report = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_memory"],
            env=os.environ | {"PYTHONMALLOC": "malloc"},
            stdout=subprocess.PIPE,
            check=True,
        )
    own, attributes = json.loads(report.stdout)[noun]
    return Figure(own, "bytes", attributes)


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
