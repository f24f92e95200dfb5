"""Routing steps a second: against C++ written for this one thing, and against Python."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import TypeAlias

from benchmarks import build, players
from benchmarks.harness import Bar, Benchmark, Figure, Track, paired
from benchmarks.players import Contestant, MatcherScout, Player
from benchmarks.traces import QUEUES, ContactCenter, Size, Trace

WORKERS = 5_000
WAITING = 100_000
#: Many short ones: what else the machine does then hits both of most pairs alike, and few
#: pairs at all. The first one warms up.
ROUNDS = 41
STEPS = 8_000

#: puts a router into the contact center of a trace; the stack ends what it started
Opened: TypeAlias = Callable[[Path, ExitStack], Contestant]
#: seconds of each timed round, by who played it
Times: TypeAlias = dict[str, list[float]]

TRACES: dict[str, Size] = {"backlog": (WORKERS, WAITING), "idle": (WORKERS, None)}


@cache
def trace_file(workers: int, waiting: int | None) -> Path:
    """Draw a trace, once per run."""
    center = ContactCenter(workers, waiting)
    scout = MatcherScout(players.staffed_router(QUEUES, center.workers))
    build.BUILD.mkdir(parents=True, exist_ok=True)
    path = build.BUILD / f"{workers}-{'idle' if waiting is None else waiting}.trace"
    center.trace(scout, ROUNDS, STEPS).write(path)
    return path


def open_compiled(path: Path, _: ExitStack) -> Contestant:
    """Drive flexcore's router from C."""
    return players.CompiledPlayer(Trace.read(path))


def open_called(path: Path, _: ExitStack) -> Contestant:
    """Call flexcore's router from Python."""
    return players.called(Trace.read(path))


def open_plain(path: Path, _: ExitStack) -> Contestant:
    """Call the router made of sortedcontainers."""
    return players.plain(Trace.read(path))


def open_program(path: Path, stack: ExitStack) -> Contestant:
    """Start the program in C++."""
    return stack.enter_context(players.ProgramPlayer(path))


def race(path: Path, routers: Mapping[str, Opened], track: Track[int]) -> Times:
    """Let routers play a trace in turns; fail if they decide differently."""
    with ExitStack() as stack:
        field = {name: opened(path, stack) for name, opened in routers.items()}
        times = take_turns(field, track)
        players.agree({name: player.sequence() for name, player in field.items()})
    return times


def take_turns(field: Mapping[str, Player], track: Track[int]) -> Times:
    """Let each play all rounds of its trace; return the seconds, without the first."""
    times: Times = {name: [] for name in field}
    for number in track(range(ROUNDS)):
        for name in sorted(field, reverse=bool(number % 2)):
            times[name].append(field[name].play(number))
    return {name: seconds[1:] for name, seconds in times.items()}


def slower_trace(ours: Opened, theirs: Opened, track: Track[int]) -> Figure:
    """Play both traces; return the figure of the one with the lower ratio."""
    figures = []
    for name, size in TRACES.items():
        routers = {"flexcore": ours, "yardstick": theirs}
        times = race(trace_file(*size), routers, track)
        pairs = zip(times["flexcore"], times["yardstick"], strict=True)
        rates = [(STEPS / one, STEPS / other) for one, other in pairs]
        figures.append(paired(rates, f"steps/s, {name}"))
    return min(figures, key=lambda figure: figure.ratio or 0)


def growth(small: Size, large: Size, track: Track[int]) -> Figure:
    """Compare how the cost of a step grows from one size to the other."""
    routers = {"flexcore": open_compiled, "yardstick": open_program}
    costs, shares = [], []
    for size in (small, large):
        times = race(trace_file(*size), routers, track)
        costs.append({name: median(seconds) for name, seconds in times.items()})
        pairs = zip(times["flexcore"], times["yardstick"], strict=True)
        shares.append(median(ours / theirs for ours, theirs in pairs))
    ours, theirs = (costs[1][name] / costs[0][name] for name in routers)
    return Figure(ours, "times the cost", theirs, shares[1] / shares[0])


def steps_vs_cpp(track: Track[int]) -> Figure:
    """Drive the matcher from C, as the program drives itself."""
    return slower_trace(open_compiled, open_program, track)


def steps_vs_sortedcontainers(track: Track[int]) -> Figure:
    """Call both from Python, command by command, as the engine calls the matcher."""
    return slower_trace(open_called, open_plain, track)


def growth_backlog(track: Track[int]) -> Figure:
    """1,000 to 1,000,000 waiting tasks, 5,000 workers."""
    return growth((WORKERS, 1_000), (WORKERS, 1_000_000), track)


def growth_workers(track: Track[int]) -> Figure:
    """100 to 50,000 workers, with a backlog of 100,000 or none; the worse of the two."""
    figures = [
        growth((100, waiting), (50_000, waiting), track) for waiting in (WAITING, None)
    ]
    return max(figures, key=lambda figure: figure.ratio or 0)


STEPS_VS_CPP = Benchmark("routing_steps_vs_cpp", steps_vs_cpp, Bar(0.5))
STEPS_VS_SORTEDCONTAINERS = Benchmark(
    "routing_steps_vs_sortedcontainers", steps_vs_sortedcontainers, Bar(15)
)
GROWTH_BACKLOG = Benchmark(
    "routing_growth_backlog", growth_backlog, Bar(1.3, most=True)
)
GROWTH_WORKERS = Benchmark(
    "routing_growth_workers", growth_workers, Bar(1.3, most=True)
)
