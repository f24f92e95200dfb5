"""The demonstration as a user runs it, and what it does when something is not so."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flexcore.demo.actors import Violated
from flexcore.demo.ledger import Ledger
from flexcore.demo.play import play
from flexcore.demo.scenario import Cast, expect
from flexcore.v1 import event_pb2

DEMO = [str(Path(sys.executable).with_name("flexcore")), "demo"]
SECONDS = 60


def left_behind(folder: Path) -> list[str]:
    """Return the processes that still name something in a folder, and its files."""
    found = [str(path) for path in folder.iterdir()]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line.replace("\0", " "))
    return found


@pytest.mark.slow
def test_demo_keeps_its_promises_and_leaves_nothing(tmp_path: Path) -> None:
    # What a user has set for a server of theirs must not reach this one.
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "FLEXCORE_ADDRESS": "127.0.0.1:1",
        "FLEXCORE_KEY": "SK1.secret",
    }

    report = subprocess.run(
        [*DEMO, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert report.returncode == 0, report.stderr
    figures = json.loads(report.stdout)
    assert figures["messages"] == 6
    assert figures["offers"] == 50
    assert 0 < figures["offer_p50_ms"] <= figures["offer_p99_ms"]
    assert figures["events"] > figures["commits"] > 0
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_demo_tells_why_a_task_waits_and_what_ends_it(tmp_path: Path) -> None:
    report = subprocess.run(
        DEMO,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert report.returncode == 0, report.stderr
    said = [line.split(maxsplit=2)[-1] for line in report.stdout.splitlines()]
    told = [
        "+34600000003 > hola, una pregunta",
        'waits, 0 of 3 workers: languages HAS "es" fails; worker-1 would match with es',
        "worker-1 learns Spanish",
        "worker-1 was offered it, answered and completed it",
    ]
    places = [
        next(place for place, line in enumerate(said) if line.endswith(each))
        for each in told
    ]
    assert places == sorted(places)
    # What comes next is typed as it is printed.
    *_, server, phone, agent = report.stdout.splitlines()
    for line, arguments in zip(
        (server, phone, agent),
        ("serve --dev", "phone +15550001111", "agent worker-1"),
        strict=True,
    ):
        command, _, rest = line.strip().partition(" ")
        assert rest == arguments
        assert shutil.which(command)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_is_interrupted_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    with subprocess.Popen(
        DEMO,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "offered" in line:
                break
        process.send_signal(number)
        _, errors = process.communicate(timeout=SECONDS)

    assert process.returncode == 130
    assert errors == ""
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_broken_promise_ends_the_demo_with_1_and_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def scenario(cast: Cast) -> dict[str, Any]:
        ready = await cast.customers.until("ready")
        expect(ready["base_url"] == "", "the phone has no address")
        return {}

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(SystemExit) as ended:
        play(json_output=True, scenario=scenario)

    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "the demonstration failed: the phone has no address\n"
    )
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("who", ["customers", "agents"])
def test_client_that_dies_ends_the_demo_with_1(
    who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cast: Cast) -> dict[str, Any]:
        actor = getattr(cast, who)
        await actor.until("ready")
        await actor.kill()
        await actor.ask("seen")
        return {}

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(SystemExit) as ended:
        play(json_output=True, scenario=scenario)

    assert ended.value.code == 1
    assert left_behind(tmp_path) == []


def change_set(first: int, last: int) -> event_pb2.ChangeSet:
    return event_pb2.ChangeSet(first_sequence=first, last_sequence=last)


@pytest.mark.parametrize(
    "second", [change_set(4, 4), change_set(2, 3)], ids=["gap", "repeat"]
)
async def test_ledger_refuses_a_gap_and_a_repeat(second: event_pb2.ChangeSet) -> None:
    ledger = Ledger(client=None)  # type: ignore[arg-type]  # nothing is asked

    await ledger._take([change_set(1, 2)])

    with pytest.raises(Violated, match="the log went from event 2"):
        await ledger._take([second])
