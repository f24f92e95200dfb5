"""Coming back after a while: 20 streams resume the same stored events with a token.

The events are those of tasks that are created, offered, accepted and completed. The
yardstick is a bare grpc.aio server that writes one prebuilt message for each event, of the
mean size of an event, to as many streams. Both servers take turns. The client reads bytes
from both; that the events are all there and in order it sees once, before. Our server is
started anew for each turn: all come back at once, and nothing of the log is in memory.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import grpc
import uvloop

from benchmarks import servers
from benchmarks.bench_rpc import credential
from benchmarks.desks import staffed
from benchmarks.harness import Bar, Benchmark, Figure, Track, paired
from flexcore.v1 import event_service_pb2 as pb

STREAMS = 20
EVENTS = 50_000
#: tasks that are on their way at a time while the log is filled, each with a worker
AT_ONCE = 100
SESSIONS = 4
#: of the bare messages: their rate does not depend on how many there are
BARE_EVENTS = 2_000
PAIRS = 3

WATCH = "/flexcore.v1.EventService/WatchEvents"


class _Stored(NamedTuple):
    """What is in the log: the place before it, events and bytes of them."""

    start: str
    events: int
    size: int


def catchup(track: Track[int]) -> Figure:
    """Events a second of 20 streams that resume, against one message for each event."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with servers.running("flexcore", str(data)) as ours:
            stored = uvloop.run(_store(ours.target, data))
        with servers.running("messages", str(stored.size // stored.events)) as bare:
            pairs = []
            for _ in track(range(PAIRS)):
                with servers.running("flexcore", str(data)) as ours:
                    work = _pair(ours.target, bare.target, data, stored)
                    pairs.append(uvloop.run(work))
    return paired(pairs, "events/s")


async def _store(target: str, data: Path) -> _Stored:
    """Let tasks be done until there are so many events; return how to read them."""
    async with (
        staffed(target, data, SESSIONS, AT_ONCE) as desks,
        grpc.aio.insecure_channel(target) as channel,
    ):
        start = await _place_now(channel, data)
        first = await desks.work(1)
        await desks.work_at_once(AT_ONCE, lambda place: place < first + EVENTS)
        return await _survey(channel, data, start)


async def _place_now(channel: grpc.aio.Channel, data: Path) -> str:
    """Return the token of the log's end; it is of the server's epoch."""
    call = _watch(channel, data, start_now=True)
    token = pb.WatchEventsResponse.FromString(await call.read()).resume_token
    call.cancel()
    await call.code()
    return str(token)


async def _pair(
    target: str, bare: str, data: Path, stored: _Stored
) -> tuple[float, float]:
    async with _channels(target) as ours, _channels(bare) as theirs:
        end = await _place_now(ours[0], data)

        async def our_rate() -> float:
            resumed = (_resume(channel, data, stored, end) for channel in ours)
            start = perf_counter()
            await asyncio.gather(*resumed)
            return STREAMS * stored.events / (perf_counter() - start)

        async def their_rate() -> float:
            start = perf_counter()
            await asyncio.gather(*(_read_bare(channel) for channel in theirs))
            return STREAMS * BARE_EVENTS / (perf_counter() - start)

        await their_rate()
        return await our_rate(), await their_rate()


@asynccontextmanager
async def _channels(target: str) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Connect as many times: channels with the same options would share one."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as stack:
        opened = (
            grpc.aio.insecure_channel(target, options=options) for _ in range(STREAMS)
        )
        yield [await stack.enter_async_context(channel) for channel in opened]


def _watch(channel: grpc.aio.Channel, data: Path, **begin: Any) -> Any:
    """Open a stream; it gives the bytes of its messages."""
    metadata = (("authorization", credential(data)),)
    request = pb.WatchEventsRequest(**begin).SerializeToString()
    return channel.unary_stream(WATCH)(request, metadata=metadata)


async def _survey(channel: grpc.aio.Channel, data: Path, start: str) -> _Stored:
    """Read all after a token; see that nothing is missing, and how much it is."""
    end = await _place_now(channel, data)
    call = _watch(channel, data, resume_token=start)
    events = size = place = 0
    token = start
    while token != end:
        message = await call.read()
        response = pb.WatchEventsResponse.FromString(message)
        token = response.resume_token
        for change_set in response.change_sets:
            if place and change_set.first_sequence != place + 1:
                raise RuntimeError(f"{change_set.first_sequence} after {place}")
            place = change_set.last_sequence
            events += len(change_set.events)
        size += len(message)
    call.cancel()
    await call.code()
    return _Stored(start, events, size)


async def _resume(
    channel: grpc.aio.Channel, data: Path, stored: _Stored, end: str
) -> None:
    """Read up to the last token; it is the same for all streams of one filter."""
    call = _watch(channel, data, resume_token=stored.start)
    size, message = 0, b""
    while end.encode() not in message:
        message = await call.read()
        size += len(message)
    call.cancel()
    await call.code()
    if not 0.99 < size / stored.size < 1.01:
        raise RuntimeError(f"{size} of {stored.size} bytes")


async def _read_bare(channel: grpc.aio.Channel) -> None:
    call = channel.unary_stream(servers.MESSAGES_METHOD)(str(BARE_EVENTS).encode())
    count = 0
    while await call.read() is not grpc.aio.EOF:
        count += 1
    if count != BARE_EVENTS:
        raise RuntimeError(f"{count} of {BARE_EVENTS} messages")


STREAM_CATCHUP = Benchmark("stream_catchup", catchup, Bar(10))
