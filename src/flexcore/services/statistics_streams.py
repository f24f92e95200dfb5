"""Streams of statistics: how things stand, and then what changed.

Those who watch the same get the same standings of the engine, so they are converted once.
What is more than a message carries comes in several, one after the other.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import grpc

from flexcore import _wire
from flexcore.domain import limits
from flexcore.domain.statistics import Standings
from flexcore.engine.port import Port
from flexcore.services.convert import time_to_proto
from flexcore.services.convert_real_time import task_queue_now, workspace_now
from flexcore.services.pieces import messages_of
from flexcore.services.session import caller, session
from flexcore.services.streams import close_tail, write_in_time
from flexcore.v1 import routing_service_pb2 as pb

_WORKSPACE = pb.WatchStatisticsResponse.WORKSPACE_STATISTICS_FIELD_NUMBER
_TASK_QUEUES = pb.WatchStatisticsResponse.TASK_QUEUE_STATISTICS_FIELD_NUMBER


class StatisticsStreams:
    """Serves WatchStatistics."""

    def __init__(self, port: Port) -> None:
        self._port = port
        #: so that those who watch the same do not convert the same
        self._making = asyncio.Lock()
        self._shown: WeakKeyDictionary[Standings, tuple[bytes, ...]]
        self._shown = WeakKeyDictionary()

    async def watch(
        self,
        request: pb.WatchStatisticsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Write what the engine gives until it, the caller or the key ends."""
        sids = tuple(dict.fromkeys(request.task_queue_sids))
        given = self._port.watch_statistics(caller(), request.workspace_sid, sids)
        try:
            async for standings in given:
                for message in await self._messages(request.workspace_sid, standings):
                    session().check(self._port)
                    await write_in_time(context, message)
        finally:
            await close_tail(given)
        last = pb.WatchStatisticsResponse(complete=True, go_away=True)
        await write_in_time(context, last)

    async def _messages(
        self, workspace_sid: str, standings: Standings
    ) -> tuple[bytes, ...]:
        """Return messages encoded, made once; others run between the queues."""
        async with self._making:
            found = self._shown.get(standings)
            if found is None:
                pieces = await _pieces(workspace_sid, standings)
                found = self._shown[standings] = _joined(pieces, standings)
        return found


async def _pieces(workspace_sid: str, standings: Standings) -> list[bytes]:
    """Return the workspace and each task queue, as fields of a response."""
    names, workspace = standings.channel_names, standings.workspace
    pieces: list[bytes] = []
    if workspace is not None:
        now = workspace_now(workspace_sid, workspace, names)
        pieces.append(_wire.delimited(_WORKSPACE, now.SerializeToString()))
    for number, (sid, queue) in enumerate(standings.task_queues.items(), 1):
        if number % limits.STATISTICS_QUEUES_AT_ONCE == 0:
            await asyncio.sleep(0)
        encoded = task_queue_now(sid, queue, names).SerializeToString()
        pieces.append(_wire.delimited(_TASK_QUEUES, encoded))
    return pieces


def _joined(pieces: Sequence[bytes], standings: Standings) -> tuple[bytes, ...]:
    """Join pieces to messages: the first says if it is whole, the last is complete."""
    parts = tuple(messages_of(pieces)) or (b"",)
    time = time_to_proto(standings.time)
    return tuple(
        part
        + pb.WatchStatisticsResponse(
            whole=standings.whole and number == 1,
            time=time,
            complete=number == len(parts),
        ).SerializeToString()
        for number, part in enumerate(parts, 1)
    )
