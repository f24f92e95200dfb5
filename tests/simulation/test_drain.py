"""SIGTERM with streams of every kind open: told, spread, ended, resumed without a gap."""

import asyncio
import itertools
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from flexcore.client import Client
from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from tests.simulation.crash_process import ServerProcess

WORKERS = 30
#: streams of each kind, and workers of a session
STREAMS, SESSIONS, WATCHES = 220, 40, 40
TEAM = 3
#: what the server pauses for between those it tells first and last
PAUSES = (STREAMS + SESSIONS + WATCHES) // limits.DRAIN_STREAMS - 1
SPREAD = PAUSES * limits.DRAIN_PAUSE / limits.SECOND


class Stream:
    """Follows workers by tokens; knows of each the versions it was told."""

    def __init__(self, sids: list[str]) -> None:
        self.sids = sids
        self.told: dict[str, list[int]] = {sid: [] for sid in sids}
        self.token = ""
        #: when it was told to go away, and how the call ended
        self.went = 0.0
        self.code: grpc.StatusCode | None = None

    async def open(self, client: Client) -> None:
        """Open, or resume; a new one has a snapshot of each worker to begin with."""
        resumed, self.went = bool(self.token), 0.0
        self.call = await self._call(client)
        if resumed:
            await self.call.initial_metadata()
            return
        for _ in self.sids:
            self._take(await self.call.read())

    async def follow(self, until: dict[str, int]) -> None:
        """Read until the server ends it, or everything up to `until` was told."""
        while not all(self._last(sid) == until.get(sid) for sid in self.sids):
            response = await self.call.read()
            if response is grpc.aio.EOF:
                self.code = await self.call.code()
                return
            assert not self.went, "something came after it was told to go away"
            self._take(response)
        self.call.cancel()

    async def _call(self, client: Client) -> Any:
        return client.routing.StreamReservations(
            worker_sid=self.sids[0], resume_token=self.token
        )

    def _last(self, sid: str) -> int:
        return self.told[sid][-1] if self.told[sid] else 0

    def _take(self, response: Any) -> None:
        if response.HasField("snapshot"):
            worker = response.snapshot.worker
            assert not self.told[worker.sid], "it did not resume"
            self.told[worker.sid].append(worker.version)
        for event in response.events:
            self.told[event.worker.sid].append(event.worker.version)
        self._end(response)

    def _end(self, response: Any) -> None:
        assert response.resume_token
        self.token = response.resume_token
        if response.go_away:
            self.went = time.monotonic()


class Watch(Stream):
    """Watches the events of one worker."""

    async def _call(self, client: Client) -> Any:
        return client.event.WatchEvents(
            worker_sid=self.sids[0], resume_token=self.token
        )

    def _take(self, response: Any) -> None:
        for change_set in response.change_sets:
            for resource in change_set.resources:
                if resource.worker.sid:
                    self.told[resource.worker.sid].append(resource.worker.version)
        self._end(response)


class Session(Stream):
    """Holds an agent session of a few workers."""

    async def _call(self, client: Client) -> Any:
        call = client.routing.AgentSession()
        what = pb.Subscribe(worker_sids=self.sids, resume_token=self.token)
        await call.write(pb.AgentSessionRequest(subscribe=what))
        return call


@pytest.mark.slow
async def test_sigterm_ends_every_stream_with_a_token_that_goes_on_after_a_restart(
    tmp_path: Path,
) -> None:
    process = ServerProcess(tmp_path / "data")
    await process.start()
    client = process.client()
    sids = await _hire(client)
    streams = _streams(sids)
    await _opened(streams, client)
    changing = asyncio.create_task(_change(client, sids))
    following = asyncio.create_task(_followed(streams, {}))

    began = time.monotonic()
    await process.drain()
    taken = time.monotonic() - began
    await following
    # A call that found nobody would wait for a server until its deadline.
    changing.cancel()
    with suppress(asyncio.CancelledError):
        await changing
    await client.close()
    went = [stream.went for stream in streams]

    assert {stream.code for stream in streams} == {grpc.StatusCode.OK}
    assert all(went)
    assert SPREAD / 2 < max(went) - min(went)
    assert taken < limits.DRAIN_TIME / limits.SECOND + SPREAD

    await process.start()
    client = process.client()
    await _opened(streams, client)
    end = {
        sid: (
            await client.workspace.UpdateWorker(sid=sid, attributes='{"last":1}')
        ).worker.version
        for sid in sids
    }
    async with asyncio.timeout(20):
        await _followed(streams, end)
    await client.close()
    await process.drain()

    for stream in streams:
        for sid, versions in stream.told.items():
            assert versions == list(range(versions[0], end[sid] + 1))


def _streams(sids: list[str]) -> list[Stream]:
    def team(number: int, count: int) -> list[str]:
        return [sids[(number + n) % len(sids)] for n in range(count)]

    return [
        *(Stream(team(number, 1)) for number in range(STREAMS)),
        *(Session(team(number, TEAM)) for number in range(SESSIONS)),
        *(Watch(team(number, 1)) for number in range(WATCHES)),
    ]


async def _hire(client: Client) -> list[str]:
    made = await client.workspace.BatchCreateWorkers(
        workers=[{"friendly_name": f"w{number}"} for number in range(WORKERS)]
    )
    return [worker.sid for worker in made.workers]


async def _opened(streams: list[Stream], client: Client) -> None:
    await asyncio.gather(*(stream.open(client) for stream in streams))


async def _followed(streams: list[Stream], until: dict[str, int]) -> None:
    await asyncio.gather(*(stream.follow(until) for stream in streams))


async def _change(client: Client, sids: list[str]) -> None:
    """Change workers until the server refuses."""
    for number in itertools.count():
        sid, attributes = sids[number % len(sids)], f'{{"n":{number}}}'
        try:
            await client.workspace.UpdateWorker(sid=sid, attributes=attributes)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return
            raise
