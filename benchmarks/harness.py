"""Paired runs, medians, the table and the results file.

Two candidates take turns on the same piece of work, so that what else the machine does
hits both; the ratio is the median of the ratios of the pairs. The garbage collector
stands still while a run is timed.
"""

import gc
import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

T = TypeVar("T")
#: passes pieces of work through and shows how far they are
Track: TypeAlias = Callable[[Sequence[T]], Iterable[T]]

RESULTS = Path(__file__).parent / "results"


class Figure(NamedTuple):
    """What a benchmark found; the spread is shown, not stored."""

    value: float
    unit: str
    #: the same of what it was measured against, if anything
    yardstick: float | None = None
    ratio: float | None = None
    #: least and greatest ratio of a pair, or value of a run
    spread: tuple[float, float] | None = None


class Bar(NamedTuple):
    """What a figure has to reach: its ratio, or its value if it has no ratio."""

    limit: float
    most: bool = False

    def __str__(self) -> str:
        return f"{'at most' if self.most else 'at least'} {shown_as(self.limit)}"

    def reached(self, figure: Figure) -> bool:
        """Say whether the figure reaches the bar."""
        found = figure.value if figure.ratio is None else figure.ratio
        return found <= self.limit if self.most else found >= self.limit


class Benchmark(NamedTuple):
    """A figure of the whole process, under the name it has in the results."""

    name: str
    run: Callable[[Track[int]], Figure]
    bar: Bar | None = None


class Result(msgspec.Struct, frozen=True):
    """A figure as stored."""

    value: float
    unit: str
    yardstick: float | None
    ratio: float | None
    bar: str | None
    reached: bool | None
    date: str
    command: str


def timed(
    work: Callable[[], T], clock: Callable[[], float] = perf_counter
) -> tuple[float, T]:
    """Run the work; return seconds and what it returned."""
    gc.disable()
    try:
        start = clock()
        result = work()
        return clock() - start, result
    finally:
        gc.enable()


def paired(pairs: Sequence[tuple[float, float]], unit: str) -> Figure:
    """Make a figure of rates (ours, theirs), one pair per piece of work."""
    ratios = [ours / theirs for ours, theirs in pairs]
    return Figure(
        value=median(ours for ours, _ in pairs),
        unit=unit,
        yardstick=median(theirs for _, theirs in pairs),
        ratio=median(ratios),
        spread=(min(ratios), max(ratios)),
    )


def run(benchmarks: Sequence[Benchmark], keep: bool) -> dict[str, Figure]:
    """Run benchmarks one after the other; store each as soon as it is there."""
    console = Console()
    figures = {}
    for benchmark in benchmarks:

        def shown(work: Sequence[int], name: str = benchmark.name) -> Iterable[int]:
            return track(work, description=name, console=console)

        figure = figures[benchmark.name] = benchmark.run(shown)
        store(RESULTS / "latest.json", benchmark, figure)
        if keep:
            store(RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json", benchmark, figure)
    console.print(table(benchmarks, figures))
    return figures


def store(path: Path, benchmark: Benchmark, figure: Figure) -> None:
    """Put a figure into a results file; figures of other names stay."""
    results = json.loads(path.read_bytes()) if path.exists() else {}
    bar = benchmark.bar
    results[benchmark.name] = msgspec.to_builtins(
        Result(
            value=rounded(figure.value),
            unit=figure.unit,
            yardstick=figure.yardstick and rounded(figure.yardstick),
            ratio=figure.ratio and rounded(figure.ratio),
            bar=bar and str(bar),
            reached=bar and bar.reached(figure),
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            command=f"python -m benchmarks {benchmark.name}",
        )
    )
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(dict(sorted(results.items())), indent=2) + "\n")
    fresh.replace(path)


def rounded(number: float) -> float:
    """Keep four significant digits: more would be noise."""
    return float(f"{number:.4g}")


def table(benchmarks: Sequence[Benchmark], figures: dict[str, Figure]) -> Table:
    """Lay the figures out; the caption says where they were taken."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    grid = Table(caption=f"{machine}, {python}")
    grid.add_column("name", overflow="fold")
    for column in ("value", "yardstick", "ratio"):
        grid.add_column(column, justify="right")
    grid.add_column("bar")
    for name, bar in ((benchmark.name, benchmark.bar) for benchmark in benchmarks):
        figure = figures[name]
        value = f"{shown_as(figure.value)} {figure.unit}"
        ratio = shown_as(figure.ratio)
        if figure.spread:
            ratio += f" ({' to '.join(map(shown_as, figure.spread))})"
        mark = verdict(bar, figure) if bar else "-"
        grid.add_row(name, value, shown_as(figure.yardstick), ratio, mark)
    return grid


def verdict(bar: Bar, figure: Figure) -> str:
    """Say what had to be reached and whether it was."""
    if bar.reached(figure):
        return f"{bar}: [green]reached[/]"
    return f"{bar}: [bold red]NOT REACHED[/]"


def shown_as(number: float | None) -> str:
    """Format a number for people."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
