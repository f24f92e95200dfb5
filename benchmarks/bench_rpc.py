"""Figures through real gRPC on loopback, server and client in processes of their own.

The yardstick is a bare grpc.aio echo that answers with one prebuilt response of the same
size, called by the same client in the same run: what is left of it is our share.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import grpc
import uvloop

from benchmarks import servers
from benchmarks.harness import Benchmark, Figure, Track, paired
from flexcore.client import Client, connect
from flexcore.v1 import routing_service_pb2 as routing
from flexcore.v1 import worker_requests_pb2 as workspace

PAIRS = 7
CALLS = 2_000
CONCURRENCY = 100
OFFERS = 300

CREATE_TASK = "/flexcore.v1.RoutingService/CreateTask"
ATTRIBUTES = '{"language":"en","skills":["billing","invoices"],"customer":"C-10042"}'

Call = Callable[[bytes], Any]


def create_task(track: Track[int]) -> Figure:
    """Durable CreateTask calls a second, 100 at a time, against the echo."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with servers.running("flexcore", str(data)) as ours:
            size = uvloop.run(_size_of_answer(ours.target, data))
            with servers.running("echo", str(size)) as echo:
                work = _create_pairs(ours.target, echo.target, data, track)
                pairs = uvloop.run(work)
    return paired(pairs, "calls/s")


async def _size_of_answer(target: str, data: Path) -> int:
    async with connect(target, data=data) as client:
        answer = await client.routing.CreateTask(_request("first"))
        return int(answer.ByteSize())


async def _create_pairs(
    target: str, echo: str, data: Path, track: Track[int]
) -> list[tuple[float, float]]:
    metadata = (("authorization", credential(data)),)
    async with (
        grpc.aio.insecure_channel(target) as ours,
        grpc.aio.insecure_channel(echo) as theirs,
    ):
        create = ours.unary_unary(CREATE_TASK)
        answer = theirs.unary_unary(servers.ECHO_METHOD)

        def ours_call(request: bytes) -> Any:
            return create(request, metadata=metadata)

        pairs = []
        await _rate(ours_call, "warm")
        await _rate(answer, "warm")
        for number in track(range(PAIRS)):
            rates = {}
            for call in (ours_call, answer)[:: 1 if number % 2 else -1]:
                rates[call] = await _rate(call, str(number))
            pairs.append((rates[ours_call], rates[answer]))
        return pairs


async def _rate(call: Call, name: str) -> float:
    """Return calls a second; every request is its own, with its own request_id."""
    requests = [_request(f"{name}-{i}").SerializeToString() for i in range(CALLS)]

    async def caller() -> None:
        while requests:
            await call(requests.pop())

    start = perf_counter()
    await asyncio.gather(*(caller() for _ in range(CONCURRENCY)))
    return CALLS / (perf_counter() - start)


def _request(name: str) -> routing.CreateTaskRequest:
    return routing.CreateTaskRequest(attributes=ATTRIBUTES, request_id=name)


def credential(data: Path) -> str:
    """Return what authorizes calls with the first key of a data folder."""
    known = json.loads((data / "credentials.json").read_text())
    return f"Bearer {known['key_sid']}.{known['secret']}"


def offer_latency(track: Track[int]) -> Figure:
    """Time from CreateTask to the offer on the worker's stream, one task at a time.

    The yardstick is one echo call, back and forth, from the same client.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with (
            servers.running("flexcore", str(data)) as ours,
            servers.running("echo", "200") as echo,
        ):
            work = _latencies(ours.target, echo.target, data, track)
            offers, echoes = uvloop.run(work)
    return Figure(
        value=median(offers) * 1000,
        unit="ms (median)",
        yardstick=median(echoes) * 1000,
        ratio=median(offers) / median(echoes),
        spread=(min(offers) * 1000, quantiles(offers, n=100)[98] * 1000),
    )


async def _latencies(
    target: str, echo: str, data: Path, track: Track[int]
) -> tuple[list[float], list[float]]:
    offers: list[float] = []
    echoes: list[float] = []
    async with (
        connect(target, data=data) as client,
        grpc.aio.insecure_channel(echo) as channel,
    ):
        answer = channel.unary_unary(servers.ECHO_METHOD)
        request = workspace.CreateWorkerRequest(
            friendly_name="worker", activity="Available"
        )
        worker = (await client.workspace.CreateWorker(request)).worker
        stream = aiter(client.reservations(worker.sid))
        for _ in track(range(OFFERS)):
            offers.append(await _one_offer(client, stream))
            echoes.append(await _timed(answer(b"x" * 120)))
        await stream.aclose()
    return offers, echoes


async def _one_offer(client: Client, stream: Any) -> float:
    start = perf_counter()
    create = client.routing.CreateTask(_request(""))
    async for event in stream:
        if event.type == "reservation.created":
            break
    taken = perf_counter() - start
    task = (await create).task
    sid = event.reservation.sid
    await client.routing.AcceptReservation(routing.AcceptReservationRequest(sid=sid))
    await client.routing.CompleteTask(routing.CompleteTaskRequest(sid=task.sid))
    return taken


async def _timed(call: Awaitable[object]) -> float:
    start = perf_counter()
    await call
    return perf_counter() - start


CREATE_TASK_RATE = Benchmark("rpc_create_task", create_task)
OFFER_LATENCY = Benchmark("offer_latency", offer_latency)
