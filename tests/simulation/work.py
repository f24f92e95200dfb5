"""Simulates the work of a contact center in virtual time, and checks what was decided.

    python -m tests.simulation.work --seed 1

Agents come, go on breaks, miss and reject offers; customers come along a curve and give
up; supervisors change queues, workflows, skills and capacity meanwhile. All of it drives
the real account on the real store, which crashes, restarts and runs into a full disk at
random points. Then the whole log is checked (tests/checkers), the store is
(`flexcore.engine.checks`), and the matcher was now and then.

A run is its seed: the same seed gives the same log, whatever the machine.
"""

import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time as wall
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import structlog
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from flexcore.domain.limits import MINUTE, SECOND
from flexcore.domain.log import ChangeSet, encode_change_set
from flexcore.domain.model import Reservation
from flexcore.engine.checks import check_account
from tests.simulation.backends import Backends
from tests.simulation.company import Company, Profile
from tests.simulation.judges import Beside, Here, Judge
from tests.simulation.people import Agent, Crowd, Customer
from tests.simulation.receivers import Receivers
from tests.simulation.site import ACCOUNT, Site
from tests.simulation.supervisor import Supervisor
from tests.simulation.virtual import Faults, Time

#: 2023-11-14 06:00 UTC, before anybody has come
START = 1_699_941_600 * SECOND
HOUR = 3_600.0
#: how many come at which hour of a day
CURVE = (
    1,
    1,
    1,
    1,
    1,
    2,
    5,
    12,
    25,
    45,
    55,
    50,
    40,
    42,
    48,
    50,
    45,
    38,
    30,
    22,
    14,
    8,
    4,
    2,
)
#: most disks work well; on some nothing may be relied on
DISKS = (Faults(), Faults(), Faults(full=0.03, lost=0.02, written=0.02, refused=0.01))
#: after the last one has come, everything has to end by itself within
AFTERWARDS = 3 * HOUR
#: exit status when something did not hold, unlike that of a program that broke
VIOLATED = 3


class Report(NamedTuple):
    """What a run came to."""

    seed: int
    tasks: int
    offers: int
    accepts: int
    wait_mean: float
    wait_most: float
    change_sets: int
    crashes: int
    restarts: int
    failures: int
    problems: list[str]
    hash: str
    seconds: float


class Run:
    """One contact center from its first to its last moment."""

    def __init__(self, folder: Path, seed: int, profile: Profile) -> None:
        self.profile = profile
        self.rng = random.Random(f"people {seed}")
        self.fate = random.Random(f"fate {seed}")
        self.time = Time(START)
        self.site = Site(folder, self.time, self.fate, self.fate.choice(DISKS))
        self.company = Company(self.site, self.rng)
        self.crowd = Crowd(self.company, self.rng)
        self.site.listeners.append(self.crowd.notice)
        receivers = Receivers(self.site, random.Random(f"receivers {seed}"))
        self.site.on_outbox = receivers.take
        self.backends = Backends(self.site, random.Random(f"backends {seed}"))

    def play(self, told: Callable[[int], None] = lambda _: None) -> None:
        """Let everything happen; tell how many minutes have passed, now and then."""
        self.company.set_up()
        self._until_ready()
        self.company.open()
        for number in range(self.profile.agents):
            self.crowd.agents.append(Agent(self.crowd, number))
            self.crowd.agents[-1].hire()
        self._until_ready()
        self._plan()
        begin = self.time.now()
        end = begin + int((self.profile.hours * HOUR + AFTERWARDS) * SECOND)
        steps = 0
        while self.time.step(end):
            self.site.loop.drain()
            steps += 1
            if steps % 1_000 == 0:
                told((self.time.now() - begin) // MINUTE)
            if not self.crowd.tasks and self.time.now() > end - AFTERWARDS * SECOND / 2:
                break
        self.site.problems += [f"{sid} never ended" for sid in self.crowd.tasks]

    def _until_ready(self) -> None:
        while not (self.company.ready and all(a.sid for a in self.crowd.agents)):
            self.time.step(sys.maxsize)
            self.site.loop.drain()

    # what will happen when

    def _plan(self) -> None:
        seconds = self.profile.hours * HOUR
        for when in self._arrivals():
            self.time.after(when, Customer(self.crowd).come)
        for agent in self.crowd.agents:
            agent.work(list(self._shift()))
            if self.rng.random() < 0.5:
                agent.look_for_work()
        self.backends.start(self.crowd.agents)
        boss = Supervisor(self.crowd, self.site, self.rng)
        for _ in range(int(seconds / (60 if seconds <= 6 * HOUR else 240))):
            self.time.after(self.rng.uniform(60, seconds), boss.meddle)
        for _ in range(self.fate.choice((1, 1, 2, 5)) + int(self.profile.hours / 4)):
            self.time.after(self.fate.uniform(60, seconds), self._crash)
            self.time.after(self.fate.uniform(60, seconds), self._restart)
        for _ in range(10):
            self.time.after(self.fate.uniform(60, seconds), self.site.look)

    def _arrivals(self) -> Iterator[float]:
        """Yield when customers come: along the curve of a day, or a wave of an hour."""
        seconds, rng = self.profile.hours * HOUR, self.rng
        for _ in range(self.profile.tasks):
            if self.profile.day:
                hour = rng.choices(range(24), CURVE)[0]
                yield (hour + rng.random()) * HOUR * self.profile.hours / 24
            else:
                yield min(seconds, 30 + rng.betavariate(1.6, 2.2) * (seconds - 30))

    def _shift(self) -> Iterator[tuple[float, str]]:
        """Yield when an agent does what."""
        rng, hours = self.rng, self.profile.hours
        start, length = rng.uniform(0, 180), hours * HOUR
        if self.profile.day:
            start = rng.choice((0, 7, 7, 8, 8, 9, 9, 10, 12, 14, 15)) * HOUR
            start, length = start + rng.uniform(0, 600), 8 * HOUR
        yield start, "Available"
        pause = rng.uniform(0.2, 0.6) * length
        minutes = 30 if self.profile.day else 5
        yield start + pause, "Lunch" if self.profile.day else "Break"
        yield start + pause + minutes * 60, "Available"
        yield start + length + rng.uniform(600, 1200), "Offline"

    def _crash(self) -> None:
        if self.site.up:
            self.site.crash()

    def _restart(self) -> None:
        if self.site.up:
            self.site.restart()
            self.site.loop.drain()


def simulate(
    seed: int,
    profile: Profile,
    told: Callable[[int], None] = lambda _: None,
    judges: Callable[[], Judge] = Here,
) -> Report:
    """Play one seed and check everything."""
    started = wall.perf_counter()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="flexcore-work-", dir=memory))
    try:
        judge = judges()  # before there is a lock of a folder that it would inherit
        run = Run(folder, seed, profile)
        run.site.listeners.append(judge.take)
        run.play(told)
        run.site.look()
        run.site.close()
        digest = _digest(run)
        broken = check_account(run.site.store, ACCOUNT)
        problems = [*run.site.problems, *judge.found(), *broken]
        run.site.store.close()
    finally:
        shutil.rmtree(folder)
    return _report(seed, run, problems, digest, wall.perf_counter() - started)


def _digest(run: Run) -> str:
    """Hash the log as the store has it; what was published must be the same."""
    digest = hashlib.sha256()
    position, published = 0, iter(run.site.log)
    while found := run.site.store.read_log(ACCOUNT, position, "", 1 << 20):
        for change_set in found:
            digest.update(encode_change_set(change_set))
            if next(published, None) != change_set:
                name = change_set.last_sequence
                run.site.problems.append(f"{name} is stored otherwise than published")
        position = found[-1].last_sequence
    return digest.hexdigest()[:16]


def _report(
    seed: int, run: Run, problems: list[str], digest: str, seconds: float
) -> Report:
    waits = list(_waits(run.site.log))
    count = {"task.created": 0, "reservation.created": 0, "reservation.accepted": 0}
    for change_set in run.site.log:
        for event in change_set.events:
            if event.type in count:
                count[event.type] += 1
    return Report(
        seed=seed,
        tasks=count["task.created"],
        offers=count["reservation.created"],
        accepts=count["reservation.accepted"],
        wait_mean=sum(waits) / max(1, len(waits)),
        wait_most=max(waits, default=0.0),
        change_sets=len(run.site.log),
        crashes=run.site.crashes,
        restarts=run.site.restarts,
        failures=run.site.failures,
        problems=problems,
        hash=digest,
        seconds=seconds,
    )


def _waits(log: list[ChangeSet]) -> Iterator[float]:
    """Yield how long each task waited until it was accepted, in seconds."""
    created: dict[str, int] = {}
    for change_set in log:
        rows = change_set.rows()
        for event in change_set.events:
            if event.type == "task.created":
                created[event.sid] = change_set.time
            elif event.type == "reservation.accepted":
                row = rows[event.sid]
                assert isinstance(row, Reservation)
                yield (change_set.time - created[row.task_sid]) / SECOND


# --- the command line ------------------------------------------------------------------


def work(
    seeds: range,
    profile: Profile,
    jobs: int = 1,
    *,
    stop: bool = False,
    show: bool = True,
) -> list[Report]:
    """Play seeds on `jobs` processes and show how far it is.

    With `stop` the first one with violations is the last.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    reports: list[Report] = []
    with Progress(*columns, console=console, disable=not show) as progress:
        bar = progress.add_task("seeds", total=len(seeds))
        # One after the other needs no processes, and says more of what it does.
        played = (
            _here(seeds, profile, progress, Here if jobs == 1 else Beside)
            if jobs == 1 or len(seeds) == 1
            else (_there(seeds, profile, jobs))
        )
        for report in played:
            reports.append(report)
            bad = sum(bool(each.problems) for each in reports)
            progress.update(bar, advance=1, description=f"seeds, {bad} with violations")
            if bad and stop:
                break
    return sorted(reports)


def _here(
    seeds: range, profile: Profile, progress: Progress, judges: Callable[[], Judge]
) -> Iterator[Report]:
    quiet()
    whole = int(profile.hours * 60)
    bar = progress.add_task("minutes", total=whole)
    for seed in seeds:
        yield simulate(
            seed,
            profile,
            lambda minutes: progress.update(bar, completed=min(minutes, whole)),
            judges,
        )


def _there(seeds: range, profile: Profile, jobs: int) -> Iterator[Report]:
    with ProcessPoolExecutor(jobs, initializer=quiet) as pool:
        for done in as_completed([pool.submit(simulate, s, profile) for s in seeds]):
            yield done.result()


def quiet() -> None:
    """Log nothing: disks that fail are what this is about."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def table(reports: list[Report]) -> Table:
    """Return the last reports, and the sum of all."""
    shown = Table(box=SIMPLE, padding=0, pad_edge=False)
    for name in (
        "seed", "tasks", "offers", "accepts", "wait", "longest", "sets", "crashes",
        "starts", "faults", "violations", "hash", "s",
    ):  # fmt: skip
        shown.add_column(name, justify="right", no_wrap=True)
    for report in reports[-20:]:
        shown.add_row(*_cells(str(report.seed), [report]))
    if len(reports) > 1:
        shown.add_section()
        shown.add_row(*_cells(f"{len(reports)} seeds", reports))
    return shown


def _cells(name: str, reports: list[Report]) -> Iterator[str]:
    def total(field: str) -> int:
        return int(sum(getattr(report, field) for report in reports))

    yield name
    for field in ("tasks", "offers", "accepts"):
        yield f"{total(field):,}"
    waited = sum(report.wait_mean * report.accepts for report in reports)
    yield f"{waited / max(1, total('accepts')):.0f} s"
    yield f"{max(report.wait_most for report in reports):.0f} s"
    for field in ("change_sets", "crashes", "restarts", "failures"):
        yield f"{total(field):,}"
    yield str(sum(len(report.problems) for report in reports))
    yield reports[0].hash if len(reports) == 1 else ""
    yield f"{sum(report.seconds for report in reports):.1f}"


def main() -> int:
    """Run from the command line; VIOLATED if anything did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.work", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=None, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--agents", type=int, default=40)
    parser.add_argument("--tasks", type=int, default=600)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--day", action="store_true", help="200 agents, 20,000 tasks")
    parser.add_argument("--stop", action="store_true", help="at the first violation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    profile = Profile(options.agents, options.tasks, options.hours)
    if options.day:
        profile = Profile(200, 20_000, 24)
    first = options.seed
    if first is None:
        first = random.SystemRandom().randrange(1 << 31)
    seeds = range(first, first + options.seeds)
    reports = work(seeds, profile, options.jobs, stop=options.stop)
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console = Console(soft_wrap=True, width=160)
    console.print(table(reports))
    failed = [report for report in reports if report.problems]
    for report in failed[:10]:
        for problem in report.problems[:20]:
            console.print(f"seed {report.seed}: {problem}", style="red", markup=False)
    return VIOLATED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
