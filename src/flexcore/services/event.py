"""EventService: the account's log."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument, OutOfRange, Reason
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.engine.port import Port, TailBatch
from flexcore.services.convert import time_from_proto
from flexcore.services.convert_event import change_set_parts, change_set_to_proto
from flexcore.services.events import filter_of, list_events
from flexcore.services.resume_tokens import ResumeTokens, stream_hash
from flexcore.services.session import caller, session
from flexcore.services.shown import Shown
from flexcore.services.streams import Stream, close_tail, encoded
from flexcore.v1 import event_service_pb2 as pb
from flexcore.v1 import event_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Makes streams of the log."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._shown = Shown()

    async def WatchEvents(  # type: ignore[override]  # it writes itself
        self, request: pb.WatchEventsRequest, context: Context
    ) -> None:
        log_filter, principal = filter_of(request), caller()
        stream_of = stream_hash("WatchEvents", log_filter)
        tokens = ResumeTokens(self._port, principal, stream_of)
        start = await self._start(request, tokens)

        def show(change_set: ChangeSet) -> Sequence[bytes]:
            found = change_set_to_proto(change_set, log_filter)
            most = limits.STREAM_MESSAGE_BYTES
            parts = change_set_parts(found, most) if found else ()
            return encoded(pb.WatchEventsResponse, "change_sets", parts)

        shared = self._shown.shared(stream_of, show)
        stream = Stream(context, tokens, start or 0, shared, pb.WatchEventsResponse)
        if start is None:
            tail = self._oldest(log_filter)
        else:
            tail = self._tail(start, log_filter)
        await stream.follow(self._port, session(), tail)

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        return await list_events(self._port, request)

    async def _start(
        self, request: pb.WatchEventsRequest, tokens: ResumeTokens
    ) -> int | None:
        """Return the sequence to begin after; None for the oldest change set held."""
        principal = caller()
        start = request.WhichOneof("start")
        if request.resume_token:
            if start:
                raise InvalidArgument(
                    start, "a resume token says where to begin already"
                )
            return tokens.read(request.resume_token)
        if start == "start_sequence":
            return request.start_sequence - 1
        if start == "start_time":
            time = time_from_proto(request.start_time)
            return await self._port.find_time(principal, time)
        return self._port.log_end(principal).head if request.start_now else None

    def _tail(self, after: int, log_filter: LogFilter) -> AsyncIterator[TailBatch]:
        return self._port.tail(caller(), after, log_filter.subject, log_filter)

    async def _oldest(self, log_filter: LogFilter) -> AsyncIterator[TailBatch]:
        """Yield from the oldest change set held; clean-up may move it meanwhile."""
        after, begun = 0, False
        while True:
            tail = self._tail(after, log_filter)
            try:
                async for batch in tail:
                    begun = True
                    yield batch
            except OutOfRange as refusal:
                # Once begun, going on at the floor would be a silent gap.
                if begun or refusal.reason is not Reason.TOKEN_BELOW_FLOOR:
                    raise
                after = int(refusal.metadata["floor"])
            else:
                return
            finally:
                await close_tail(tail)
