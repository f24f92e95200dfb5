"""Idle agents: 10,000 StreamReservations on 200 connections, beside bare streams.

The yardstick is a grpc.aio server whose handler writes one message and waits. Both servers
are processes of their own; the client is this process. What a server holds already (its
modules, the workers themselves) is not counted: memory is taken once a first thousand
streams are open and again when all are.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import uvloop

from benchmarks import servers
from benchmarks.bench_rpc import credential
from benchmarks.harness import Bar, Benchmark, Figure, Track
from flexcore.client import Client, connect
from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as routing
from flexcore.v1 import worker_requests_pb2 as workers

AGENTS = 10_000
#: agents whose streams are open before the first look, so that pools are warm
WARM = 1_000
CONNECTIONS = 200
#: streams being opened at a time
OPENING = 200
#: for the loop to hear of all that ended
ENDING_SECONDS = 1.0
BATCH = 200
#: heartbeats every agent gets while the CPU is watched
HEARTBEATS = 2

STREAM = "/flexcore.v1.RoutingService/StreamReservations"

Open = Callable[[grpc.aio.Channel, int], Any]


def bytes_per_agent(track: Track[int]) -> Figure:
    """Memory of the server for one idle stream, against that of a bare one."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with servers.running("flexcore", str(data)) as server:
            ours = uvloop.run(_memory_of_ours(server, data, track))
    with servers.running("streams", "0") as server:
        theirs = uvloop.run(_memory(server, _open_bare, track))
    return Figure(value=ours, unit="bytes", yardstick=theirs, ratio=ours / theirs)


def idle_cpu(track: Track[int]) -> Figure:
    """CPU of the server while 10,000 idle agents get their heartbeats."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with servers.running("flexcore", str(data)) as server:
            share = uvloop.run(_cpu_of_ours(server, data, track))
    return Figure(value=100 * share, unit="% of a core")


async def _memory_of_ours(
    server: servers.Running, data: Path, track: Track[int]
) -> float:
    return await _memory(server, await _open_ours(server, data), track)


async def _memory(server: servers.Running, open_: Open, track: Track[int]) -> float:
    async with _channels(server.target) as channels, _opened() as calls:
        await _open_all(channels, open_, range(WARM), calls)
        before = server.memory_bytes()
        for first in track(range(WARM, AGENTS, OPENING)):
            numbers = range(first, min(first + OPENING, AGENTS))
            await _open_all(channels, open_, numbers, calls)
        return (server.memory_bytes() - before) / (AGENTS - WARM)


async def _cpu_of_ours(server: servers.Running, data: Path, track: Track[int]) -> float:
    open_ = await _open_ours(server, data)
    async with _channels(server.target) as channels, _opened() as calls:
        for first in range(0, AGENTS, OPENING):
            await _open_all(channels, open_, range(first, first + OPENING), calls)
        interval = limits.HEARTBEAT_INTERVAL / limits.SECOND
        loop = asyncio.get_running_loop()
        start, cpu = loop.time(), server.cpu_seconds()
        for _ in track(range(HEARTBEATS)):
            await asyncio.gather(*(call.read() for call in calls))
        taken = loop.time() - start
        if taken < (HEARTBEATS - 1) * interval:
            raise RuntimeError(f"{HEARTBEATS} heartbeats came within {taken:.0f} s")
        return (server.cpu_seconds() - cpu) / taken


async def _open_ours(server: servers.Running, data: Path) -> Open:
    """Make the workers; return what opens the stream of one."""
    async with connect(server.target, data=data) as client:
        sids = await _workers(client)
    metadata = (("authorization", credential(data)),)

    def open_(channel: grpc.aio.Channel, number: int) -> Any:
        request = routing.StreamReservationsRequest(worker_sid=sids[number])
        stream = channel.unary_stream(STREAM)
        return stream(request.SerializeToString(), metadata=metadata)

    return open_


async def _workers(client: Client) -> list[str]:
    sids: list[str] = []
    for first in range(0, AGENTS, BATCH):
        request = workers.BatchCreateWorkersRequest()
        for number in range(first, first + BATCH):
            request.workers.add(friendly_name=f"agent {number}")
        made = await client.workspace.BatchCreateWorkers(request)
        sids += [worker.sid for worker in made.workers]
    return sids


def _open_bare(channel: grpc.aio.Channel, _number: int) -> Any:
    return channel.unary_stream(servers.STREAM_METHOD)(b"")


@asynccontextmanager
async def _channels(target: str) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Connect as many times: channels with the same options would share one."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        grpc.aio.insecure_channel(target, options=options) for _ in range(CONNECTIONS)
    ]
    try:
        yield channels
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


@asynccontextmanager
async def _opened() -> AsyncIterator[list[Any]]:
    """Hold calls; an abandoned one is neither canceled nor collected by itself.

    gRPC tells the loop of each end through a socket, also after the call is done. If the
    loop ends before it read them, and they are more than the socket holds (277 here),
    gRPC's thread waits for the loop and the loop for the thread.
    """
    calls: list[Any] = []
    try:
        yield calls
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*(call.code() for call in calls))
        await asyncio.sleep(ENDING_SECONDS)


async def _open_all(
    channels: list[grpc.aio.Channel], open_: Open, numbers: range, calls: list[Any]
) -> None:
    """Open streams, and read the first message of each: then it stands."""
    fresh = [open_(channels[number % CONNECTIONS], number) for number in numbers]
    calls += fresh
    if grpc.aio.EOF in await asyncio.gather(*(call.read() for call in fresh)):
        raise RuntimeError("a stream ended while it was opened")


STREAM_BYTES_PER_AGENT = Benchmark(
    "stream_bytes_per_agent", bytes_per_agent, Bar(1.6, most=True)
)
STREAM_IDLE_CPU = Benchmark("stream_idle_cpu", idle_cpu, Bar(12, most=True))
