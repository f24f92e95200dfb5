"""The build steps that pyproject.toml cannot express.

generate      protos/flexcore/v1/*.proto -> src/flexcore/v1: messages, services, stubs
carry_protos  protos/flexcore/v1/*.proto -> flexcore/protos in the wheel
build_ext     src/flexcore/_routing.pyx and the files it includes -> the matcher
              src/flexcore/_wire.pyx -> what writes protos

FLEXCORE_DEBUG=1 builds both with bounds, wraparound and overflow checks,
and `flexcore._routing.DEBUG` says so.
"""

import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import ExecError, FileError, PlatformError

PROTOS = Path("protos")
PROTO_PACKAGE = Path("flexcore/v1")
GENERATED = Path("src") / PROTO_PACKAGE
MATCHER = Path("src/flexcore/_routing.pyx")
WIRE = Path("src/flexcore/_wire.pyx")
DEBUG = os.environ.get("FLEXCORE_DEBUG", "0") == "1"


def proto_files() -> list[Path]:
    """List the protos in a fixed order; fail when there are none."""
    protos = sorted((PROTOS / PROTO_PACKAGE).glob("*.proto"))
    if not protos:
        raise FileError(f"no .proto file in {PROTOS / PROTO_PACKAGE}")
    return protos


def mypy_plugin(folder: Path, name: str, entry: str) -> str:
    """Write a protoc plugin that runs the mypy_protobuf this build imports.

    The script of the same name on PATH may belong to another environment, and inside
    an isolated build it is not beside the interpreter.
    """
    script = folder / name
    code = f"from mypy_protobuf.main import {entry}; {entry}()"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    script.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH={shlex.quote(path)} "
        f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}\n"
    )
    script.chmod(0o755)
    return f"--plugin={name}={script}"


def run_protoc(protos: list[Path], out: Path, plugins: Path) -> None:
    """Generate modules and stubs for the protos below `out`."""
    import grpc_tools
    from grpc_tools import protoc

    status = protoc.main(
        [
            "protoc",
            mypy_plugin(plugins, "protoc-gen-mypy", "main"),
            mypy_plugin(plugins, "protoc-gen-mypy_grpc", "grpc"),
            f"-I{PROTOS}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet:{out}",
            *map(str, protos),
        ]
    )
    if status:
        raise ExecError("protoc refused the protos; its messages are above")


def replace_generated(fresh: Path) -> None:
    """Move generated files in place, drop those whose proto is gone.

    A file that did not change keeps its time stamp, and each replacement is atomic, so
    that a process which imports the package meanwhile reads whole files.
    """
    names = {path.name for path in fresh.iterdir()}
    for path in GENERATED.glob("*_pb2*.py*"):
        if path.name not in names:
            path.unlink()
    for path in fresh.iterdir():
        target = GENERATED / path.name
        if target.exists() and target.read_bytes() == path.read_bytes():
            continue
        staged = target.with_name(f".{target.name}.new")
        shutil.copyfile(path, staged)
        staged.replace(target)


class Generate(Command):
    """Generate flexcore.v1 in the source tree, for every kind of build."""

    description = "generate src/flexcore/v1 from protos/flexcore/v1"
    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        """Take no options."""

    def finalize_options(self) -> None:
        """Take no options."""

    def run(self) -> None:
        """Generate beside the sources; build_py picks the files up there."""
        with tempfile.TemporaryDirectory() as scratch:
            out, plugins = Path(scratch, "out"), Path(scratch, "plugins")
            out.mkdir()
            plugins.mkdir()
            run_protoc(proto_files(), out, plugins)
            replace_generated(out / PROTO_PACKAGE)

    def get_source_files(self) -> list[str]:
        """List the protos, for the source distribution."""
        return [str(path) for path in proto_files()]

    def get_outputs(self) -> list[str]:
        """List nothing: build_py owns the generated modules."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Map nothing: build_py owns the generated modules."""
        return {}


class CarryProtos(Command):
    """Put the protos into wheels as flexcore/protos; other languages need them.

    An editable install has them beside its sources and carries none.
    """

    description = "copy the protos into the build folder"
    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        """Leave the build folder open."""
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        """Share the build folder of the Python sources."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Copy the protos; an editable install maps none."""
        for built, source in self.get_output_mapping().items():
            self.mkpath(str(Path(built).parent))
            self.copy_file(source, built)

    def get_source_files(self) -> list[str]:
        """List the protos, for the source distribution."""
        return [str(path) for path in proto_files()]

    def get_outputs(self) -> list[str]:
        """List the copies."""
        return list(self.get_output_mapping())

    def get_output_mapping(self) -> dict[str, str]:
        """Map flexcore/protos/flexcore/v1/X.proto in the build folder to the protos."""
        if self.editable_mode:
            return {}
        folder = Path(self.build_lib or "build/lib", "flexcore")
        return {str(folder / path): str(path) for path in proto_files()}


def require_compiler(language: str, variable: str, package: str) -> None:
    """Fail with what to install when there is no compiler for the language."""
    compiler = os.environ.get(variable) or sysconfig.get_config_var(variable)
    if shutil.which(shlex.split(compiler or package)[0]) is None:
        raise PlatformError(
            f"no {language} compiler ({compiler} not found); "
            f"on Debian or Ubuntu: apt install {package} python3-dev"
        )


class BuildCompiled(build_ext):
    """Compile what is Cython; fail early and plainly when that cannot work."""

    def finalize_options(self) -> None:
        """Keep C files out of the source tree, checked and unchecked ones apart."""
        super().finalize_options()
        self.cython_c_in_temp = True
        if DEBUG:
            self.build_temp += "-checked"
        # Set here and not in the source: its header comments would win over these.
        self.cython_directives = {
            "boundscheck": DEBUG,
            "wraparound": DEBUG,
            "overflowcheck": DEBUG,
        }

    def run(self) -> None:
        """Check the source and the compiler, then build."""
        for source in (MATCHER, WIRE):
            if not source.exists():
                raise FileError(f"{source} is missing: there is nothing to build")
        require_compiler("C", "CC", "gcc")
        require_compiler("C++", "CXX", "g++")
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise PlatformError(
                "no Python.h; on Debian or Ubuntu: apt install python3-dev"
            )
        self._force_when_mode_changed()
        super().run()

    def _force_when_mode_changed(self) -> None:
        """Rebuild after a switch of FLEXCORE_DEBUG: time stamps do not show it."""
        mode = Path("build/matcher-mode")
        wanted = "checked" if DEBUG else "optimized"
        if not mode.exists() or mode.read_text() != wanted:
            self.force = True
        mode.parent.mkdir(exist_ok=True)
        mode.write_text(wanted)


def compiled(source: Path) -> Extension:
    """Describe the module of a source; what it includes has a longer name beside it."""
    included = source.parent.glob(f"{source.stem}*.p*")
    return Extension(
        f"flexcore.{source.stem}",
        [str(source)],
        depends=["setup.py", *map(str, sorted(included))],
        language="c++",
        # The second one checks the indices of C++ containers.
        define_macros=[("FLEXCORE_DEBUG", "1"), ("_GLIBCXX_ASSERTIONS", "1")]
        if DEBUG
        else [],
        extra_compile_args=["-g"] if DEBUG else ["-g0"],
    )


# `generate` before build_py, which collects what it writes. An override of build_py
# itself would be skipped by editable installs.
build.sub_commands = [
    ("generate", None),
    *build.sub_commands,
    ("carry_protos", None),
]

setup(
    ext_modules=[compiled(MATCHER), compiled(WIRE)],
    cmdclass={
        "generate": Generate,
        "carry_protos": CarryProtos,
        "build_ext": BuildCompiled,
    },
)
