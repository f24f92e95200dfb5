"""The tapes find bugs: each patch in tests/bugs plants one in a copy of the engine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.property.tape import DIVERGED

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/flexcore"
PATCHES = sorted((ROOT / "tests/bugs").glob("*.patch"))
#: tapes within which a bug is to be found
TAPES = 150

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with what the tapes need of the package: sources and the matcher."""
    (tmp_path / "flexcore").mkdir()
    for layer in ("domain", "engine", "store"):
        shutil.copytree(
            PACKAGE / layer,
            tmp_path / "flexcore" / layer,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for path in (PACKAGE / "__init__.py", *PACKAGE.glob("_routing.*.so")):
        shutil.copy(path, tmp_path / "flexcore")
    return tmp_path


def run_tapes(copy: Path) -> subprocess.CompletedProcess[str]:
    """Run tapes against the copy until the first divergence."""
    return subprocess.run(  # noqa: S603  # our own module, with a fixed argument
        [sys.executable, "-m", "tests.property.tape", str(TAPES)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def plant(patch: Path, copy: Path) -> None:
    """Apply a unified diff; every hunk has to fit in exactly one place."""
    target, hunks = "", []
    for line in patch.read_text().splitlines(keepends=True):
        if line.startswith("+++ b/src/"):
            target = line.removeprefix("+++ b/src/").strip()
        elif line.startswith("@@"):
            hunks.append((target, [], []))
        elif hunks:
            _, before, after = hunks[-1]
            before += [line[1:]] * (line[0] in " -")
            after += [line[1:]] * (line[0] in " +")
    assert hunks, f"{patch.name} is no patch"
    for name, before, after in hunks:
        text, old = (copy / name).read_text(), "".join(before)
        if text.count(old) != 1:
            pytest.fail(
                f"{patch.name} no longer applies: these lines are {text.count(old)} "
                f"times in {name}; bring the patch up to date\n{old}"
            )
        (copy / name).write_text(text.replace(old, "".join(after)))


def test_there_are_enough_planted_bugs() -> None:
    assert len(PATCHES) >= 10


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_tapes_find_the_planted_bug(patch: Path, copy: Path) -> None:
    plant(patch, copy)

    run = run_tapes(copy)

    assert run.returncode == DIVERGED, run.stdout + run.stderr


def test_tapes_find_nothing_in_an_untouched_copy(copy: Path) -> None:
    run = run_tapes(copy)

    assert run.returncode == 0, run.stdout + run.stderr
