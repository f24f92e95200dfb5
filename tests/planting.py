"""Bugs planted in a copy of the engine: each patch in tests/bugs is one."""

import compileall
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/flexcore"
PATCHES = sorted((ROOT / "tests/bugs").glob("*.patch"))

#: a file, and the lines of it that a patch puts others in place of
Hunk = tuple[str, str, str]


@cache
def _compiled() -> "TemporaryDirectory[str]":
    """Make the copy that all others are made of, its modules compiled once for all."""
    original = TemporaryDirectory()
    package = Path(original.name) / "flexcore"
    package.mkdir()
    for layer in ("domain", "engine", "store"):
        shutil.copytree(PACKAGE / layer, package / layer)
    for path in (PACKAGE / "__init__.py", *PACKAGE.glob("_routing.*.so")):
        shutil.copy2(path, package)
    compileall.compile_dir(package, quiet=1)
    return original


def copied(folder: Path) -> Path:
    """Make a folder with what the engine needs of the package: sources and matcher."""
    shutil.copytree(_compiled().name, folder, dirs_exist_ok=True)
    return folder


def plant(patch: Path, copy: Path) -> None:
    """Apply a unified diff; every hunk has to fit in exactly one place."""
    for name, before, after in _hunks(patch):
        text = _fitting(patch, copy / name, before)
        (copy / name).write_text(text.replace(before, after))


def check_fit(patch: Path) -> None:
    """Fail when a patch does not apply to the code as it is."""
    for name, before, _ in _hunks(patch):
        _fitting(patch, PACKAGE.parent / name, before)


def _hunks(patch: Path) -> list[Hunk]:
    target, hunks, inside = "", [], False
    for line in patch.read_text().splitlines(keepends=True):
        if line.startswith("--- a/src/"):
            inside = False
        elif line.startswith("+++ b/src/"):
            target = line.removeprefix("+++ b/src/").strip()
        elif line.startswith("@@"):
            hunks.append((target, [], []))
            inside = True
        elif inside:
            _, before, after = hunks[-1]
            before += [line[1:]] * (line[0] in " -")
            after += [line[1:]] * (line[0] in " +")
    assert hunks, f"{patch.name} is no patch"
    return [(name, "".join(before), "".join(after)) for name, before, after in hunks]


def _fitting(patch: Path, path: Path, before: str) -> str:
    """Return the text of a file in which these lines are in exactly one place."""
    text = path.read_text()
    assert text.count(before) == 1, (
        f"{patch.name} no longer applies: these lines are {text.count(before)} "
        f"times in {path.name}; bring the patch up to date\n{before}"
    )
    return text


def run(
    copy: Path, module: str, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a module of the tests against the copy."""
    return subprocess.run(  # noqa: S603  # our own module, with our arguments
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(copy),
            "PYTHONDONTWRITEBYTECODE": "",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
