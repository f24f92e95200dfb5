"""Routing steps: a completion, an arrival, and the offers that follow."""

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.contact_center import ROUTERS, ContactCenter, Replay, Step
from benchmarks.harness import Benchmark, Figure, Track, paired, timed

STEPS = 5_000
PAIRS = 11
SIZE = 100_000


@pytest.mark.parametrize("size", [1_000, SIZE])
@pytest.mark.parametrize("opened", ROUTERS.values(), ids=ROUTERS)
def test_routing_steps(
    benchmark: BenchmarkFixture, opened: Callable[[ContactCenter], Replay], size: int
) -> None:
    """A round is 5,000 steps, each round others."""
    center = ContactCenter(size)
    replay = opened(center)

    def next_steps() -> tuple[tuple[list[Step]], dict[str, object]]:
        return (center.steps(STEPS),), {}

    offers = benchmark.pedantic(
        replay.replay, setup=next_steps, rounds=PAIRS, warmup_rounds=1
    )

    assert sum(map(len, offers)) > STEPS // 2


def steps_vs_sortedcontainers(track: Track[int]) -> Figure:
    """Replay one trace in both routers, in turns; their decisions have to be equal.

    A run is 5,000 steps with 5,000 workers in 1-20 of 200 queues each and 100,000 waiting
    tasks. The first pair warms up.
    """
    center = ContactCenter(SIZE)
    ours, theirs = (ROUTERS[name](center) for name in ("flexcore", "sortedcontainers"))
    if ours.readable([], [ours.opening]) != theirs.readable([], [theirs.opening]):
        raise AssertionError("the routers open with different decisions")
    pairs = []
    for number in track(range(PAIRS + 1)):
        steps = center.steps(STEPS)
        candidates = [ours, theirs] if number % 2 else [theirs, ours]
        seconds, offers = {}, {}
        for candidate in candidates:
            seconds[candidate], offers[candidate] = timed_replay(candidate, steps)
        if offers[ours] != offers[theirs]:
            raise AssertionError(f"the routers decide differently in run {number}")
        pairs.append((STEPS / seconds[ours], STEPS / seconds[theirs]))
    return paired(pairs[1:], "steps/s")


def timed_replay(
    candidate: Replay, steps: list[Step]
) -> tuple[float, list[tuple[int, int, int]]]:
    """Run the steps; return seconds and readable offers."""
    seconds, offers = timed(lambda: candidate.replay(steps))
    return seconds, candidate.readable(steps, offers)


STEPS_VS_SORTEDCONTAINERS = Benchmark(
    "routing_steps_vs_sortedcontainers", steps_vs_sortedcontainers
)
