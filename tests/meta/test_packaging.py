"""What an editable install and a wheel contain."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import flexcore

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
GENERATED_ENDINGS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
NOT_SOURCE = shutil.ignore_patterns("*_pb2*", "*.so", "*.egg-info", "__pycache__")


def generated(proto: Path) -> set[str]:
    """Name the files that flexcore/v1/X.proto becomes, as an import finds them."""
    return {f"{proto.with_suffix('')}{ending}" for ending in GENERATED_ENDINGS}


def expected_files(tree: Path) -> set[str]:
    """List what a wheel has to carry, from the sources alone."""
    endings = ("*.py", "*.pyi", "*.pxd", "*.sql", "py.typed")
    ours = {
        str(path.relative_to(tree / "src"))
        for ending in endings
        for path in (tree / "src/flexcore").rglob(ending)
        if "_pb2" not in path.name
    }
    protos = [path.relative_to(tree / "protos") for path in proto_files(tree)]
    carried = {f"flexcore/protos/{proto}" for proto in protos}
    return ours.union(carried, *map(generated, protos))


def proto_files(tree: Path) -> list[Path]:
    """List the protos of a tree."""
    return sorted((tree / "protos").rglob("*.proto"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a fresh checkout has and a build reads."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    for name in ("src", "protos", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=NOT_SOURCE)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel with a checked matcher; unpack it and return the folder."""
    # Unoptimized: this build is looked at, not raced.
    environment = {**os.environ, "FLEXCORE_DEBUG": "1", "CXXFLAGS": "-O0"}
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    report = subprocess.run(
        [*command, "--no-build-isolation", "-w", tree / "dist", tree],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 0, report.stdout + report.stderr
    [archive] = (tree / "dist").glob("*.whl")
    unpacked = tmp_path_factory.mktemp("wheel")
    zipfile.ZipFile(archive).extractall(unpacked)
    return unpacked


def packed(wheel: Path) -> set[str]:
    """List the files of the unpacked wheel, its metadata left out."""
    files = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file()}
    return {str(path) for path in files if not path.parts[0].endswith(".dist-info")}


def in_wheel(wheel: Path, code: str) -> str:
    """Run code against the unpacked wheel instead of the editable install."""
    report = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        cwd=wheel,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 0, report.stderr
    return report.stdout.strip()


def test_editable_install_is_the_source_tree() -> None:
    assert Path(flexcore.__file__).parent == SOURCE / "flexcore"
    assert importlib.metadata.version("flexcore") == flexcore.__version__


def test_editable_install_has_generated_code_and_stubs() -> None:
    protos = [path.relative_to(ROOT / "protos") for path in proto_files(ROOT)]
    wanted = set().union(*map(generated, protos))

    assert protos
    assert {name for name in wanted if not (SOURCE / name).is_file()} == set()


@pytest.mark.parametrize("name", ["_routing", "_wire"])
def test_what_is_compiled_is_not_older_than_its_sources(name: str) -> None:
    spec = importlib.util.find_spec(f"flexcore.{name}")
    assert spec is not None
    assert spec.origin is not None

    built = Path(spec.origin).stat().st_mtime
    sources = (SOURCE / "flexcore").glob(f"{name}*.p[yx][xi]")
    newer = [
        p.name for p in sources if p.suffix != ".pyi" and p.stat().st_mtime > built
    ]

    assert newer == [], f"{name} changed since the last build: make setup"


@pytest.mark.slow
def test_wheel_carries_what_it_should_and_nothing_else(tree: Path, wheel: Path) -> None:
    compiled = {name for name in packed(wheel) if name.endswith(".so")}

    assert {name.partition(".")[0] for name in compiled} == {
        "flexcore/_routing",
        "flexcore/_wire",
    }
    assert packed(wheel) - compiled == expected_files(tree)


@pytest.mark.slow
def test_every_module_of_the_wheel_imports(wheel: Path) -> None:
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sorted(packed(wheel))
        if name.endswith(".py") and not name.endswith("__main__.py")
    ]
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)"

    assert in_wheel(wheel, f"{code}\nimport flexcore; print(flexcore.__file__)") == str(
        wheel / "flexcore/__init__.py"
    )


@pytest.mark.slow
def test_debug_build_of_the_matcher_says_so(wheel: Path) -> None:
    code = "from flexcore import _routing; print(_routing.DEBUG)"

    assert in_wheel(wheel, code) == "True"
