"""Streams of statistics: how things stand, and then what changed.

Those who watch the same get the same standings of the engine, so they are converted once.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import grpc

from flexcore.domain import limits
from flexcore.domain.statistics import Standings
from flexcore.engine.port import Port
from flexcore.services.convert import time_to_proto
from flexcore.services.convert_real_time import task_queue_now, workspace_now
from flexcore.services.session import caller, session
from flexcore.services.streams import close_tail, write_in_time
from flexcore.v1 import routing_service_pb2 as pb


class StatisticsStreams:
    """Serves WatchStatistics."""

    def __init__(self, port: Port) -> None:
        self._port = port
        #: so that those who watch the same do not convert the same
        self._making = asyncio.Lock()
        self._shown: WeakKeyDictionary[Standings, bytes] = WeakKeyDictionary()

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
                session().check(self._port)
                response = await self._response(request.workspace_sid, standings)
                await write_in_time(context, response)
        finally:
            await close_tail(given)
        await write_in_time(context, pb.WatchStatisticsResponse(go_away=True))

    async def _response(self, workspace_sid: str, standings: Standings) -> bytes:
        """Return a message encoded, made once; others run between its queues."""
        async with self._making:
            found = self._shown.get(standings)
            if found is None:
                message = await _message(workspace_sid, standings)
                found = self._shown[standings] = message.SerializeToString()
        return found


async def _message(
    workspace_sid: str, standings: Standings
) -> pb.WatchStatisticsResponse:
    names, workspace = standings.channel_names, standings.workspace
    message = pb.WatchStatisticsResponse(
        whole=standings.whole, time=time_to_proto(standings.time)
    )
    if workspace is not None:
        message.workspace_statistics.MergeFrom(
            workspace_now(workspace_sid, workspace, names)
        )
    for number, (sid, now) in enumerate(standings.task_queues.items(), 1):
        if number % limits.STATISTICS_QUEUES_AT_ONCE == 0:
            await asyncio.sleep(0)
        message.task_queue_statistics.append(task_queue_now(sid, now, names))
    return message
