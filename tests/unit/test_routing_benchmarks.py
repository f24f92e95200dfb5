"""The routing figures are worth something only while all routers decide alike."""

import sys
from contextlib import ExitStack
from pathlib import Path

import benchmarks.__main__ as program
import pytest
from benchmarks import bench_router, players
from benchmarks.harness import Bar, Benchmark, Figure, Track, verdict
from benchmarks.players import (
    Contestant,
    MatcherScout,
    SequencesDiffer,
    agree,
    staffed_router,
)
from benchmarks.traces import QUEUES, ContactCenter, Trace


def draw(waiting: int | None, seed: int = 1) -> Trace:
    """Draw a small trace: 20 workers, 50 steps a round."""
    center = ContactCenter(20, waiting, seed)
    scout = MatcherScout(staffed_router(QUEUES, center.workers))
    return center.trace(scout, bench_router.ROUNDS, 50)


@pytest.fixture(params=[40, None], ids=["backlog", "idle"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the file of a small trace."""
    path = tmp_path / "small.trace"
    draw(request.param).write(path)
    return path


def test_trace_comes_back_as_it_was_written(path: Path) -> None:
    trace = Trace.read(path)

    trace.write(path.with_suffix(".again"))

    assert path.read_bytes() == path.with_suffix(".again").read_bytes()
    assert [20, 50] == [len(trace.workers), len(trace.rounds[2])]


def test_traces_of_one_seed_are_equal() -> None:
    assert draw(40) == draw(40)
    assert draw(40) != draw(40, seed=2)


def test_backlog_keeps_waiting_and_idle_workers_stay_idle() -> None:
    assert [100, 8] == [len(draw(40).tasks), len(draw(None).tasks)]


@pytest.mark.slow
def test_all_routers_decide_alike(path: Path) -> None:
    routers = {
        "called": bench_router.open_called,
        "compiled": bench_router.open_compiled,
        "program": bench_router.open_program,
        "plain": bench_router.open_plain,
    }

    times = bench_router.race(path, routers, iter)

    assert dict.fromkeys(routers, bench_router.ROUNDS - 1) == {
        name: len(seconds) for name, seconds in times.items()
    }


def test_router_that_decides_otherwise_fails_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def open_contrary(path: Path, _: ExitStack) -> Contestant:
        trace = Trace.read(path)
        trace.workers.reverse()
        return players.plain(trace)

    def contest(track: Track[int]) -> Figure:
        routers = {"ours": bench_router.open_called, "contrary": open_contrary}
        bench_router.race(path, routers, track)
        return Figure(1.0, "steps/s")

    monkeypatch.setattr(program, "BENCHMARKS", [Benchmark("contest", contest)])
    monkeypatch.setattr(sys, "argv", ["benchmarks", "contest"])

    assert program.main() == 1
    assert "ours and contrary agree in" in capsys.readouterr().err


def test_offers_that_differ_are_named() -> None:
    sequences = {"one": [(1, 1), (2, 5)], "other": [(1, 1), (2, 4)]}

    with pytest.raises(SequencesDiffer, match=r"agree in 1 .* \(2, 5\) and \(2, 4\)"):
        agree(sequences)


def test_router_that_stops_early_fails_the_run() -> None:
    with pytest.raises(SequencesDiffer, match="None"):
        agree({"one": [(1, 1), (2, 5)], "other": [(1, 1)]})


@pytest.mark.parametrize(
    ("bar", "figure", "reached"),
    [
        (Bar(0.5), Figure(900.0, "steps/s", 1_800.0, 0.5), True),
        (Bar(0.5), Figure(900.0, "steps/s", 1_900.0, 0.47), False),
        (Bar(400, most=True), Figure(400.0, "bytes"), True),
        (Bar(400, most=True), Figure(401.0, "bytes"), False),
    ],
)
def test_bar_judges_the_ratio_or_else_the_value(
    bar: Bar, figure: Figure, reached: bool
) -> None:
    assert reached == bar.reached(figure)
    assert ("NOT" in verdict(bar, figure)) != reached
