"""Compiles what the routing figures need, into build/benchmarks, when it is not current."""

import importlib.machinery
import importlib.util
import os
import shlex
import subprocess
from pathlib import Path
from types import ModuleType

from Cython.Build import cythonize
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

from flexcore import _routing

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = ROOT / "build/benchmarks"
SOURCE = HERE / "yardsticks/router.cc"
#: as setup.py compiles the matcher
DIRECTIVES = {"boundscheck": False, "wraparound": False, "overflowcheck": False}


def yardstick() -> Path:
    """Return the program of yardsticks/router.cc."""
    program = BUILD / "router"
    if not current(program, SOURCE):
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = shlex.split(os.environ.get("CXX", "g++"))
        command = [*compiler, "-O2", "-o", str(program), str(SOURCE)]
        subprocess.run(command, check=True)  # noqa: S603 the command is ours
    return program


def drive() -> ModuleType:
    """Return the module of drive.pyx, compiled for the matcher that is installed."""
    name = "benchmarks.drive"
    source = HERE / "drive.pyx"
    fields = ROOT / "src/flexcore/_routing.pxd"
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    built = (BUILD / name.replace(".", "/")).with_suffix(suffix)
    if not current(built, source, fields, Path(str(_routing.__file__))):
        compile_extension(name, source)
    spec = importlib.util.spec_from_file_location(name, built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_extension(name: str, source: Path) -> None:
    """Compile a Cython module that reads the declarations of the matcher."""
    [extension] = cythonize(
        [Extension(name, [str(source.relative_to(ROOT))], extra_compile_args=["-g0"])],
        include_path=[str(ROOT / "src")],
        build_dir=str(BUILD),
        compiler_directives=DIRECTIVES,
        force=True,
        quiet=True,
    )
    command = build_ext(Distribution({"ext_modules": [extension]}))
    command.build_lib = str(BUILD)
    command.build_temp = "/"  # objects beside their sources, whose paths are absolute
    command.force = True
    command.ensure_finalized()
    command.run()


def current(built: Path, *sources: Path) -> bool:
    """Say whether something built is newer than all of its sources."""
    newest = max(source.stat().st_mtime for source in sources)
    return built.exists() and built.stat().st_mtime > newest
