"""Imports go one way: the contracts of pyproject.toml and what they cannot see."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/flexcore"


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_keep_the_contracts() -> None:
    tool = Path(sys.executable).with_name("lint-imports")

    report = subprocess.run(
        [tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert report.returncode == 0, report.stdout + report.stderr


def importers(target: str) -> set[str]:
    """Name the parts of the package that import a module or something in it."""
    return {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in PACKAGE.rglob("*.py")
        if "_pb2" not in path.name
        for name in imports(path)
        if f"{name}.".startswith(f"{target}.")
    }


def test_only_the_engine_imports_the_matcher() -> None:
    assert importers("flexcore._routing") == {"engine"}


def test_only_the_faces_to_the_outside_know_the_wire() -> None:
    assert importers("flexcore.v1") - {"services", "http", "client", "demo"} == set()
    assert "services" in importers("flexcore.v1")
    assert importers("flexcore._wire") == {"services"}


def test_what_is_compiled_imports_nothing_of_flexcore() -> None:
    sources = [*PACKAGE.glob("_*.pyx"), *PACKAGE.glob("_*.p[xy][dir]")]
    statement = re.compile(r"^\s*(from|import|cimport)\b.*\bflexcore\b", re.MULTILINE)

    offenders = [path.name for path in sources if statement.search(path.read_text())]

    assert sources
    assert offenders == []


def test_domain_is_synchronous() -> None:
    offenders = [
        path.name
        for path in PACKAGE.glob("domain/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
    ]

    assert offenders == []


def test_presets_are_named_in_one_file() -> None:
    preset = re.compile(
        r"""(["'])(?:strict|compat)\1|\b(?:Semantics\.|SEMANTICS_)(?:STRICT|COMPAT)\b"""
    )

    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.p[yx]*")
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi")
        if "_pb2" not in path.name and preset.search(path.read_text())
    }

    assert naming == {"domain/semantics.py"}
