"""The short form of work.py: a few seeds, the same twice, and bugs that it finds."""

import re
from pathlib import Path

import pytest

from flexcore.domain.semantics import POLICIES
from tests.checkers import CHECKERS
from tests.planting import PACKAGE, check_fit, copied, plant, run
from tests.simulation import company
from tests.simulation.company import Profile
from tests.simulation.work import VIOLATED, quiet, simulate

#: 24 minutes of a small center, in a third of a second
SMALL = Profile(agents=12, tasks=120, hours=0.4)
SIZE = ("--agents", "12", "--tasks", "120", "--hours", "0.4", "--jobs", "1", "--stop")
BUGS = sorted(Path(__file__).parent.glob("bugs/*.patch"))
#: seeds within which a bug is to be found
SEEDS = "12"


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet()


@pytest.mark.parametrize("seed", range(1, 5))
def test_work_violates_nothing(seed: int) -> None:
    report = simulate(seed, SMALL)

    assert report.problems == []
    assert report.tasks > SMALL.tasks * 0.9
    assert report.accepts > SMALL.tasks * 0.5
    assert report.crashes + report.restarts >= 1


@pytest.mark.slow
def test_work_runs_into_every_kind_of_failure() -> None:
    reports = [simulate(seed, SMALL) for seed in range(10, 16)]

    assert [report.problems for report in reports] == [[]] * len(reports)
    assert sum(report.crashes for report in reports) >= 3
    assert sum(report.restarts for report in reports) >= 3
    assert sum(report.failures for report in reports) >= 20


def test_same_seed_same_hash() -> None:
    reports = [simulate(7, SMALL) for _ in range(2)]

    assert reports[0].hash == reports[1].hash
    assert reports[0].hash != simulate(8, SMALL).hash


@pytest.mark.slow
def test_same_seed_same_hash_whatever_the_process() -> None:
    expected = simulate(7, SMALL).hash
    for seed in ("0", "1"):
        more = {"PYTHONHASHSEED": seed, "COLUMNS": "200"}
        done = run(
            PACKAGE.parent, "tests.simulation.work", "--seed", "7", *SIZE, **more
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout


def finder(patch: Path) -> str:
    """Name the checker that a bug is planted for; some are for the harness itself."""
    found = re.search(r"^Found by: (\w+)$", patch.read_text(), re.MULTILINE)
    return found[1] if found else ""


def test_companies_choose_among_all_policies() -> None:
    assert company.POLICIES.keys() == POLICIES.keys()


def test_there_is_a_planted_bug_for_every_checker() -> None:
    assert {finder(patch) for patch in BUGS} == {
        "",
        *(checker.__name__ for checker in CHECKERS),
    }


def test_each_bug_fits_the_code_as_it_is() -> None:
    for patch in BUGS:
        check_fit(patch)


@pytest.mark.slow
@pytest.mark.parametrize("patch", BUGS, ids=lambda patch: patch.stem)
def test_work_finds_the_planted_bug(patch: Path, tmp_path: Path) -> None:
    copy = copied(tmp_path)
    plant(patch, copy)

    done = run(copy, "tests.simulation.work", "--seed", "1", "--seeds", SEEDS, *SIZE)

    assert done.returncode == VIOLATED, done.stdout + done.stderr
    if checker := finder(patch):
        assert f": {checker}: " in done.stdout


@pytest.mark.slow
def test_a_log_that_is_checked_while_it_is_made_is_found_wanting_as_well(
    tmp_path: Path,
) -> None:
    copy = copied(tmp_path)
    plant(next(patch for patch in BUGS if patch.stem == "newest-first"), copy)

    # One seed and two processes: the last --jobs counts.
    done = run(copy, "tests.simulation.work", "--seed", "1", *SIZE, "--jobs", "2")

    assert done.returncode == VIOLATED, done.stdout + done.stderr
    assert ": order: " in done.stdout
