"""The protos pass buf without exceptions and the generated code is theirs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import grpc_tools
import pytest

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
GENERATED = ROOT / "src/flexcore/v1"


def buf(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run buf in a folder that has a buf.yaml."""
    return subprocess.run(
        [Path(sys.executable).with_name("buf"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_protos_pass_buf_lint() -> None:
    report = buf("lint")

    assert report.returncode == 0, report.stdout + report.stderr


def test_every_proto_is_linted() -> None:
    listed = {(ROOT / line).resolve() for line in buf("ls-files").stdout.splitlines()}

    assert listed == set(PROTOS.rglob("*.proto"))
    assert listed


def test_lint_has_no_exceptions() -> None:
    text = (ROOT / "buf.yaml").read_text()
    protos = list(PROTOS.rglob("*.proto"))

    assert re.findall(r"^\s*(except|ignore|ignore_only)\s*:", text, re.MULTILINE) == []
    assert [path for path in protos if "buf:lint:ignore" in path.read_text()] == []


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("message Bare {}", "COMMENT_MESSAGE"),
        ("// A state.\nenum State {\n  // On.\n  ON = 0;\n}", "ENUM_ZERO_VALUE_SUFFIX"),
        (
            "// Excused.\n// buf:lint:ignore MESSAGE_PASCAL_CASE\nmessage excused {}",
            "MESSAGE_PASCAL_CASE",
        ),
    ],
    ids=["comments", "standard", "excuse"],
)
def test_lint_refuses(body: str, rule: str, tmp_path: Path) -> None:
    package = tmp_path / "protos/flexcore/v1"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    (package / "bad.proto").write_text(
        f'syntax = "proto3";\n\npackage flexcore.v1;\n\n{body}\n'
    )

    report = buf("lint", "--error-format=json", folder=tmp_path)

    assert f'"type":"{rule}"' in report.stdout


def test_generated_code_is_current(tmp_path: Path) -> None:
    protos = sorted(PROTOS.rglob("*.proto"))
    includes = [PROTOS, Path(grpc_tools.__file__).parent / "_proto"]
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--python_out={tmp_path}"),
            *(f"-I{folder}" for folder in includes),
            *protos,
        ],
        check=True,
    )

    fresh = {path.name: path.read_text() for path in tmp_path.rglob("*_pb2.py")}
    built = {path.name: path.read_text() for path in GENERATED.glob("*_pb2.py")}

    assert built == fresh, "the protos changed since the last build: make setup"
