"""Style, types and sizes are held by the suite, so that no review has to."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/flexcore"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

CYTHON_FUNCTION = re.compile(r"^( *)(?:cdef|cpdef|def)\b[^=]*\([^=]*.*$")


def sources(*endings: str) -> list[Path]:
    """List our own sources with one of the endings; generated ones are not ours."""
    return sorted(
        path
        for path in PACKAGE.rglob("*")
        if path.suffix in endings and "_pb2" not in path.name
    )


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and the length of each function, decorators left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the first line and the length of each function, by indentation."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if not (head := CYTHON_FUNCTION.match(line)):
            continue
        length = last = 1
        for following in lines[number + 1 :]:
            text = following.strip()
            indent = len(following) - len(following.lstrip())
            if text and indent <= len(head[1]) and not text.startswith(")"):
                break
            length += 1
            last = length if text else last
        yield line.strip(), last


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
    ids=" ".join,
)
def test_tool_has_nothing_to_say(command: list[str]) -> None:
    tool = Path(sys.executable).with_name(command[0])

    report = subprocess.run(
        [tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert report.returncode == 0, report.stdout + report.stderr


def test_files_are_short() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text().splitlines())
        for path in sources(".py", ".pyx", ".pxi", ".pxd", ".pyi", ".sql")
    }

    too_long = {name: n for name, n in lengths.items() if n > FILE_LINES_MAX}

    assert lengths
    assert too_long == {}


def test_functions_are_short() -> None:
    lengths = [
        (path.name, name, length)
        for path in sources(".py", ".pyx", ".pxi")
        for name, length in (
            python_functions(path) if path.suffix == ".py" else cython_functions(path)
        )
    ]

    assert lengths
    assert [entry for entry in lengths if entry[2] > FUNCTION_LINES_MAX] == []


def test_no_module_is_named_for_nothing() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "base", "misc"}

    assert [path for path in PACKAGE.rglob("*") if path.stem in nameless] == []
