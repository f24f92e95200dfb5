"""The tapes find bugs: each patch in tests/bugs plants one in a copy of the engine."""

import re
from pathlib import Path

import pytest

from tests.planting import PATCHES, check_fit, copied, plant, run
from tests.property.tape import DIVERGED

#: tapes within which a bug is to be found
TAPES = "600"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the engine."""
    return copied(tmp_path)


def test_there_are_enough_planted_bugs() -> None:
    assert len(PATCHES) >= 50


def test_each_bug_fits_the_code_as_it_is() -> None:
    for patch in PATCHES:
        check_fit(patch)


@pytest.mark.slow
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_tapes_find_the_planted_bug(patch: Path, copy: Path) -> None:
    plant(patch, copy)
    # It found the bug when the bug was planted, or another has to.
    [likely] = re.findall(r"^Seed (\d+) finds it\.$", patch.read_text(), re.MULTILINE)

    tapes = run(copy, "tests.property.tape", TAPES, likely)

    assert tapes.returncode == DIVERGED, tapes.stdout + tapes.stderr


@pytest.mark.slow
def test_tapes_find_nothing_in_an_untouched_copy(copy: Path) -> None:
    tapes = run(copy, "tests.property.tape", "100")

    assert tapes.returncode == 0, tapes.stdout + tapes.stderr
