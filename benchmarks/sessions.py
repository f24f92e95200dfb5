"""Agent sessions as a desktop backend holds them: workers, a connection for each session."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from benchmarks.bench_rpc import credential
from flexcore.client import Client
from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import worker_requests_pb2 as workers

BATCH = 200
#: for the loop to hear of all calls that ended
ENDING_SECONDS = 1.0

METHOD = "/flexcore.v1.RoutingService/AgentSession"

#: takes a message, returns what to say to it
Handle = Callable[[pb.AgentSessionResponse], Iterable[pb.AgentSessionRequest]]


async def hire(client: Client, count: int) -> list[str]:
    """Make workers who can be offered tasks; return their sids."""
    sids: list[str] = []
    for first in range(0, count, BATCH):
        request = workers.BatchCreateWorkersRequest()
        for number in range(first, min(first + BATCH, count)):
            name = f"agent {number}"
            request.workers.add(friendly_name=name, activity="Available")
        made = await client.workspace.BatchCreateWorkers(request)
        sids += [worker.sid for worker in made.workers]
    return sids


def own_connection(target: str) -> grpc.aio.Channel:
    """Return a channel on a connection that no other one uses."""
    # Channels with the same options would share one.
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(target, options=options)


class Session:
    """One session of some workers."""

    def __init__(self, target: str, data: Path, sids: Sequence[str]) -> None:
        self._channel = own_connection(target)
        self._call = self._channel.stream_stream(
            METHOD,
            request_serializer=pb.AgentSessionRequest.SerializeToString,
            response_deserializer=pb.AgentSessionResponse.FromString,
        )(metadata=(("authorization", credential(data)),))
        self._sids = sids

    async def subscribe(self) -> None:
        """Subscribe the workers; return once all their snapshots came."""
        what = pb.Subscribe(worker_sids=self._sids)
        await self._call.write(pb.AgentSessionRequest(subscribe=what))
        left = len(self._sids)
        while left:
            left -= (await self._read()).HasField("snapshot")

    async def follow(self, handle: Handle) -> None:
        """Read on for ever: acknowledge events, and say what they are answered with."""
        while True:
            response = await self._read()
            for request in handle(response):
                await self._call.write(request)
            if response.events:
                ack = pb.AckEvents(sequence=response.events[-1].sequence)
                await self._call.write(pb.AgentSessionRequest(ack_events=ack))

    async def _read(self) -> pb.AgentSessionResponse:
        response = await self._call.read()
        if response is grpc.aio.EOF:
            raise RuntimeError("a session ended")
        return response

    async def close(self) -> None:
        """End the call, wait until it has ended, and let the connection go."""
        self._call.cancel()
        await self._call.code()
        await self._channel.close()


@asynccontextmanager
async def opened(
    target: str, data: Path, groups: Iterable[Sequence[str]]
) -> AsyncIterator[list[Session]]:
    """Hold a session for each group of workers, subscribed one after the other."""
    held: list[Session] = []
    try:
        for sids in groups:
            held.append(Session(target, data, sids))
            await held[-1].subscribe()
        yield held
    finally:
        await asyncio.gather(*(session.close() for session in held))
        await asyncio.sleep(ENDING_SECONDS)


@asynccontextmanager
async def followed(sessions: Iterable[Session], handle: Handle) -> AsyncIterator[None]:
    """Let sessions be read meanwhile; what ends one of them is raised."""
    tasks = [asyncio.create_task(session.follow(handle)) for session in sessions]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
