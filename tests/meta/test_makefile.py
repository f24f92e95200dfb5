"""What `make` says when something is missing, before it has done anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("make", "sh", "bash", "sed", "awk", "python3", "mkdir", "rm", "touch", "test")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and what it reads, and nothing built."""
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(checkout: Path, target: str, *tools: str) -> subprocess.CompletedProcess[str]:
    """Run make where there are these programs and no others."""
    programs = checkout / "bin"
    programs.mkdir()
    for tool in tools:
        found = shutil.which(tool)
        if found is not None:
            (programs / tool).symlink_to(found)
    return subprocess.run(
        ["make", target],  # noqa: S607  # found where PATH says, as a shell would
        cwd=checkout,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_c_compiler_make_says_what_to_install(checkout: Path) -> None:
    report = make(checkout, "demo", *TOOLS)

    assert report.returncode == 2
    assert report.stderr.splitlines()[0] == (
        "make demo: no C compiler; on Debian or Ubuntu: apt install gcc python3-dev"
    )
    assert not (checkout / ".venv").exists()


def test_without_a_cpp_compiler_make_says_what_to_install(checkout: Path) -> None:
    report = make(checkout, "test", *TOOLS, "gcc")

    assert report.stderr.splitlines()[0] == (
        "make test: no C++ compiler; on Debian or Ubuntu: apt install g++ python3-dev"
    )
    assert not (checkout / ".venv").exists()


def test_help_lists_every_target(checkout: Path) -> None:
    listed = make(checkout, "help", *TOOLS).stdout

    for target in (
        "demo",
        "test",
        "test-quick",
        "lint",
        "bench",
        "bench-routing",
        "bench-streams",
        "crash",
        "power",
        "sim",
        "streams",
        "leaks",
    ):
        assert f"  make {target} " in listed
