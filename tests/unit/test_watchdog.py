"""The watchdog ends processes, so each of these is one."""

import asyncio
import faulthandler
import subprocess
import sys
from pathlib import Path

import pytest

from flexcore.cli import watchdog
from flexcore.domain import limits

WEDGED = """
import asyncio, ctypes, time
from flexcore.cli import watchdog
from flexcore.domain import limits

limits.WATCHDOG_TIMEOUT = limits.SECOND // 4
watchdog.TICK_SECONDS = 0.05

async def main():
    async with watchdog.watched():
        print("alive", flush=True)
        {wedge}

def wait_for_ever():
    time.sleep(60)

asyncio.run(main())
"""


def run(wedge: str) -> "subprocess.CompletedProcess[str]":
    code = WEDGED.format(wedge=wedge)
    return subprocess.run(  # noqa: S603  # our own text
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("wedge", ["wait_for_ever()", "ctypes.PyDLL(None).sleep(60)"])
def test_a_wedged_loop_ends_the_process_and_shows_where(wedge: str) -> None:
    report = run(wedge)

    assert report.returncode == 1
    assert report.stdout == "alive\n"
    assert "Timeout" in report.stderr
    assert "in main" in report.stderr
    assert wedge.startswith("ctypes") or "in wait_for_ever" in report.stderr


async def test_a_loop_that_turns_puts_the_end_off_until_it_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    armed, renewed, canceled = [], asyncio.Event(), []

    def arm(seconds: float, *, exit: bool) -> None:  # noqa: A002  # its name there
        armed.append((seconds, exit))
        if len(armed) == 4:
            renewed.set()

    monkeypatch.setattr(faulthandler, "dump_traceback_later", arm)
    monkeypatch.setattr(
        faulthandler, "cancel_dump_traceback_later", lambda: canceled.append(len(armed))
    )
    monkeypatch.setattr(watchdog, "TICK_SECONDS", 0)
    async with watchdog.watched():
        async with asyncio.timeout(5):
            await renewed.wait()
        assert canceled == []

    assert set(armed) == {(limits.WATCHDOG_TIMEOUT / limits.SECOND, True)}
    assert canceled == [len(armed)]


SERVE = """
import ctypes, sys, threading
from flexcore.cli import main, watchdog
from flexcore.domain import limits

limits.WATCHDOG_TIMEOUT = limits.SECOND // 2
watchdog.TICK_SECONDS = 0.1

def wedge():
    sys.stdin.readline()
    ctypes.PyDLL(None).sleep(60)  # and keeps the interpreter lock

threading.Thread(target=wedge, daemon=True).start()
sys.argv = ["flexcore", "serve", "--data", {data!r}, "--grpc", {any!r}, "--http", {any!r}]
main()
"""


def test_a_server_is_watched(tmp_path: Path) -> None:
    code = SERVE.format(data=str(tmp_path), any="127.0.0.1:0")
    with subprocess.Popen(  # noqa: S603  # our own text
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        served = server.stdout.readline()
        try:
            _, stacks = server.communicate("now\n", timeout=20)
        finally:
            server.kill()

    assert served.startswith("flexcore ")
    assert server.returncode == 1
    assert "in wedge" in stacks
