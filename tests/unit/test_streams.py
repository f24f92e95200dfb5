"""What a stream holds while nobody reads it is bounded, and nobody else waits for it."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flexcore import _wire
from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import Reason, ResourceExhausted, Unauthenticated
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.domain.model import Workspace
from flexcore.engine import commands as c
from flexcore.services.excerpt import Excerpt
from flexcore.services.resume_tokens import ResumeTokens, stream_hash
from flexcore.services.session import Session, begin
from flexcore.services.shown import Shown
from flexcore.services.statistics_streams import StatisticsStreams
from flexcore.services.streams import Stream, Writer
from flexcore.v1 import event_service_pb2 as pb
from flexcore.v1 import routing_service_pb2
from flexcore.v1.routing_service_pb2 import StreamReservationsResponse
from tests.engines import Running
from tests.staff import state_of

STREAMS = 40
#: of what is to be written, by each
LOG_BYTES = 8 * 1024 * 1024


class Wire:
    """A connection that takes `most` messages, and then nothing more."""

    def __init__(self, most: int) -> None:
        self.taken: list[bytes] = []
        self.stalled = asyncio.Event()
        self.enough = asyncio.Event()
        self._most = most

    async def write(self, message: bytes) -> None:
        # Like the library, it keeps a message until it is sent.
        self.taken.append(message)
        if sum(map(len, self.taken)) > LOG_BYTES * 0.9:
            self.enough.set()
        if len(self.taken) > self._most:
            self.stalled.set()
            await asyncio.get_running_loop().create_future()


class Keyless(Session, frozen=True):
    """A session whose key is never revoked."""

    def check(self, port: Any) -> None:
        pass


def keyless() -> None:
    """Check a key that is never revoked."""


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    running = await Running(tmp_path / "data", clock).start()
    yield running
    await running.close()


@pytest.fixture
async def loaded(running: Running) -> Running:
    """Return it with a long log."""
    attributes = '{"a":"' + "x" * 60_000 + '"}'
    tasks = (c.CreateTask(attributes=attributes),) * 15
    for _ in range(LOG_BYTES // (15 * 60_000)):
        await running.submit(c.BatchCreateTasks(tasks=tasks))
    return running


def watch(
    running: Running, wire: Wire, shown: Shown | None = None
) -> "asyncio.Task[None]":
    """Stream the whole log of an account to a wire, with what others showed or alone."""
    shown = shown or Shown()
    port, principal = running.engine, running.principal
    tokens = ResumeTokens(port, principal, stream_hash("WatchEvents", LogFilter()))

    def show(change_set: ChangeSet) -> list[bytes]:
        excerpt = Excerpt(change_set, shown.encode(change_set))
        parts = excerpt.parts(limits.STREAM_MESSAGE_BYTES)
        return [_wire.delimited(1, part) for part in parts]

    # of a context it needs `write`
    context: Any = wire
    telling = shown.telling(principal.account_sid, tokens.stream, show)
    stream = Stream(context, tokens, pb.WatchEventsResponse, keyless, telling)
    stream.begin(0)
    tail = port.tail(principal, 0, known=stream.known)
    return asyncio.create_task(stream.follow(tail))


def resident() -> int:
    """Return the bytes of memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
async def test_a_stalled_stream_holds_a_bounded_piece_of_the_log(
    loaded: Running,
) -> None:
    warm = Wire(most=10_000)
    task = watch(loaded, warm)
    await warm.enough.wait()
    task.cancel()
    before = resident()
    wires = [Wire(most=0) for _ in range(STREAMS)]
    tasks = [watch(loaded, wire) for wire in wires]
    for wire in wires:
        await wire.stalled.wait()
    grown = resident() - before
    for each in (*tasks, task):
        each.cancel()
    await asyncio.gather(*tasks, task, return_exceptions=True)

    assert max(len(wire.taken[0]) for wire in wires) < 1.1 * limits.STREAM_MESSAGE_BYTES
    assert grown / STREAMS < 1.1 * 1024 * 1024


async def test_a_stalled_stream_ends_with_its_token_and_others_do_not_wait(
    loaded: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_WRITE_TIMEOUT", limits.SECOND // 5)
    stalled, reading = Wire(most=2), Wire(most=10_000)
    tasks = [watch(loaded, stalled), watch(loaded, reading)]
    await stalled.stalled.wait()
    await reading.enough.wait()
    assert not tasks[0].done()
    with pytest.raises(ResourceExhausted) as ended:
        await tasks[0]
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)

    assert ended.value.reason is Reason.READER_BEHIND
    last = pb.WatchEventsResponse.FromString(stalled.taken[1])
    assert ended.value.metadata["resume_token"] == last.resume_token


def writer(running: Running, wire: Wire, check: Callable[[], None]) -> Writer:
    port, principal = running.engine, running.principal
    tokens = ResumeTokens(port, principal, stream_hash("StreamReservations", "WK"))
    context: Any = wire
    return Writer(context, tokens, StreamReservationsResponse, check)


async def test_who_reads_half_a_snapshot_is_ended_without_a_place_in_the_log(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token of its end would lead past what never arrived."""
    monkeypatch.setattr(limits, "STREAM_WRITE_TIMEOUT", limits.SECOND // 5)
    made: list[int] = []

    def parts() -> Iterator[bytes]:
        for number in range(9):
            made.append(number)
            yield b""

    wire = Wire(most=2)
    with pytest.raises(ResourceExhausted) as ended:
        await writer(running, wire, keyless).write_parts(parts(), 5)

    assert ended.value.reason is Reason.READER_BEHIND
    assert ended.value.metadata == {"resume_token": ""}
    told = [StreamReservationsResponse.FromString(each) for each in wire.taken]
    assert [(each.complete, each.resume_token) for each in told] == [(False, "")] * 3
    # What nobody may ever read is not even made.
    assert len(made) == 4


async def test_the_parts_of_a_snapshot_end_with_the_key(running: Running) -> None:
    wire = Wire(most=10)

    def check() -> None:
        if len(wire.taken) == 2:
            raise Unauthenticated("revoked")

    with pytest.raises(Unauthenticated):
        await writer(running, wire, check).write_parts([b""] * 9, 5)
    assert len(wire.taken) == 2


async def test_statistics_nobody_reads_end_too(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_WRITE_TIMEOUT", limits.SECOND // 5)
    begin(Keyless(running.principal, ""))
    workspace = next(state_of(running).of_kind(Workspace))
    request = routing_service_pb2.WatchStatisticsRequest(workspace_sid=workspace.sid)
    wire: Any = Wire(most=0)
    with pytest.raises(ResourceExhausted) as ended:
        await StatisticsStreams(running.engine).watch(request, wire)

    assert ended.value.reason is Reason.READER_BEHIND
    assert len(wire.taken) == 1
    assert running.engine._boards._boards == {}
