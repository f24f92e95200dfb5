"""Routing steps with a target expression and an order of workers on every task.

A task asks for a language, a level and a region: 60 kinds of tasks. The 5,000 workers are
in a hundred teams; a team speaks two of five languages, serves two of four regions and so
on, and within a team workers are rated from 0 to 4. The target expression has a clause for
each of the three and two for what a worker has to be anyway, and the best rated comes
first. A worker suits one in twelve of the tasks in their queues.
"""

import random
from collections.abc import Callable
from time import thread_time
from typing import Any

from benchmarks import bench_router, players
from benchmarks.bench_router import ROUNDS, STEPS, TRACES
from benchmarks.harness import Bar, Benchmark, Figure, Track, paired, timed
from benchmarks.players import CalledPlayer, MatcherScout, Player, Staffed
from benchmarks.traces import QUEUES, ContactCenter, Size, Trace, Worker
from flexcore._routing import Router

LANGUAGES = ["de", "en", "es", "fr", "it"]
REGIONS = ["north", "east", "south", "west"]
GRADES = ["trainee", "agent", "expert"]
TEAMS = 100
RATINGS = 5


def worker_has(name: str) -> tuple[str, str, tuple[str]]:
    """Return the instruction that reads an attribute of the worker."""
    return ("path", "worker", (name,))


def task_has(name: str) -> tuple[str, str, tuple[str]]:
    """Return the instruction that reads an attribute of the task."""
    return ("path", "task", (name,))


#: worker.languages HAS task.language AND worker.level >= task.level
#: AND worker.regions HAS task.region AND worker.rating > 0 AND worker.grade != "trainee"
PAIR: tuple[tuple[Any, ...], ...] = (
    *(worker_has("languages"), task_has("language"), ("has",)),
    *(worker_has("level"), task_has("level"), (">=",), ("and",)),
    *(worker_has("regions"), task_has("region"), ("has",), ("and",)),
    *(worker_has("rating"), ("const", 0), (">",), ("and",)),
    *(worker_has("grade"), ("const", "trainee"), ("!=",), ("and",)),
)
ORDER_BY = ((worker_has("rating"), True),)

#: tasks that who frees cannot take, and steps a round of the mismatch
SPANISH = 100_000
MISMATCHES = 1_000


def traits_of_worker(number: int) -> dict[str, Any]:
    """Return what expressions read of a worker."""
    place, team = divmod(number, TEAMS)
    rng = random.Random(team)
    return {
        "languages": rng.sample(LANGUAGES, 2),
        "level": rng.randrange(1, 6),
        "regions": rng.sample(REGIONS, 2),
        "grade": rng.choice(GRADES),
        "rating": place % RATINGS,
    }


def traits_of_tasks(count: int) -> list[dict[str, Any]]:
    """Return what expressions read of so many tasks."""
    rng = random.Random(1)
    return [
        {
            "language": rng.choice(LANGUAGES),
            "level": rng.randrange(1, 4),
            "region": rng.choice(REGIONS),
        }
        for _ in range(count)
    ]


def adder(router: Router, attributes: list[dict[str, Any]]) -> Callable[..., int]:
    """Return add_task for tasks with these attributes, by sequence."""
    spec = router.open_spec(PAIR, ORDER_BY)
    add_task = router.add_task

    def add(queue: int, channel: int, priority: int, start: int, sequence: int) -> int:
        return add_task(
            queue, channel, priority, start, sequence, spec, attributes[sequence]
        )

    return add


def staffed(workers: list[Worker], attributes: list[dict[str, Any]]) -> Staffed:
    """Return a router for tasks with these attributes."""
    router, handles = players.open_router(QUEUES, workers, traits_of_worker)
    return Staffed(router, handles, adder(router, attributes))


def open_expressed(size: Size) -> Player:
    """Draw a trace by decisions that follow the expressions, and open a router for it."""
    center = ContactCenter(*size)
    attributes = traits_of_tasks(len(center.tasks) + ROUNDS * STEPS)
    scout = MatcherScout(staffed(center.workers, attributes))
    trace = center.trace(scout, ROUNDS, STEPS)
    return CalledPlayer(staffed(center.workers, attributes), trace)


def expressions(track: Track[int]) -> Figure:
    """Play both traces with and without; the yardstick is the plain rate."""
    figures = []
    for name, size in TRACES.items():
        plain = players.called(Trace.read(bench_router.trace_file(*size)))
        field = {"expressed": open_expressed(size), "plain": plain}
        times = bench_router.take_turns(field, track)
        pairs = zip(times["expressed"], times["plain"], strict=True)
        rates = [(STEPS / one, STEPS / other) for one, other in pairs]
        figures.append(paired(rates, f"steps/s, {name}"))
    return min(figures, key=lambda figure: figure.ratio or 0)


class OneAgent:
    """A worker who speaks English, and a queue in which 100,000 tasks want Spanish."""

    def __init__(self, expressed: bool) -> None:
        router = self._router = Router()
        router.set_queue(0, (("const", 1), ("const", 1), ("==",)))
        able = {"regions": REGIONS, "level": 5, "grade": "expert", "rating": 1}
        self._worker = router.add_worker({"languages": ["en"], **able}, 0, True, 0)
        router.set_channel(self._worker, 0, 1, 1)
        self._spec = router.open_spec(PAIR, ORDER_BY) if expressed else 0
        self._sequence = 0
        for attributes in traits_of_tasks(SPANISH):
            self._arrive(attributes | {"language": "es"})

    def play(self, _number: int) -> float:
        """Let English tasks arrive and the agent free, in turns."""
        return timed(self._play, thread_time)[0]

    def _play(self) -> None:
        english = traits_of_tasks(1)[0] | {"language": "en"}
        for _ in range(MISMATCHES):
            self._arrive(english)
            self._router.release(self._worker, 0, self._sequence)
            [_offer] = self._router.match(self._sequence)

    def _arrive(self, attributes: dict[str, Any]) -> None:
        self._sequence += 1
        place = self._sequence
        self._router.add_task(0, 0, 0, place, place, self._spec, attributes)


def mismatch(track: Track[int]) -> Figure:
    """Who frees takes the only task that suits them; the yardstick takes any."""
    field = {"expressed": OneAgent(expressed=True), "plain": OneAgent(expressed=False)}
    times = bench_router.take_turns(field, track)
    costs = {
        name: [1e6 * spent / MISMATCHES for spent in seconds]
        for name, seconds in times.items()
    }
    return paired(list(zip(costs["expressed"], costs["plain"], strict=True)), "us/step")


EXPRESSIONS = Benchmark("routing_expressions", expressions, Bar(0.2))
MISMATCH = Benchmark("routing_mismatch", mismatch, Bar(3, most=True))
