"""EventService: the account's log."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from flexcore.domain.errors import OutOfRange
from flexcore.domain.log import ChangeSet
from flexcore.engine.port import Port, TailBatch
from flexcore.services.convert_event import change_set_to_proto
from flexcore.services.events import list_events
from flexcore.services.session import caller, session
from flexcore.services.streams import Position, Stream, close_tail
from flexcore.v1 import event_pb2, event_service_pb2_grpc
from flexcore.v1 import event_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Makes streams of the log."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def WatchEvents(  # type: ignore[override]  # it writes itself
        self, request: pb.WatchEventsRequest, context: Context
    ) -> None:
        types = frozenset(request.types)
        # A token says where, not what: the filter may change from one stream to the next.
        start = Position("WatchEvents", caller().account_sid, "", 0)
        if request.resume_token:
            start = start.resumed(request.resume_token)

        def show(change_set: ChangeSet) -> Sequence[event_pb2.ChangeSet]:
            found = change_set_to_proto(change_set, types)
            return (found,) if found else ()

        def respond(
            change_sets: Sequence[event_pb2.ChangeSet], token: str
        ) -> pb.WatchEventsResponse:
            return pb.WatchEventsResponse(change_sets=change_sets, resume_token=token)

        stream = Stream(context, start, show, respond)
        if request.resume_token:
            tail = self._port.tail(caller(), start.sequence)
        else:
            tail = self._oldest()
        await stream.follow(self._port, session(), tail)

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        return await list_events(self._port, request)

    async def _oldest(self) -> AsyncIterator[TailBatch]:
        """Yield from the oldest change set held; clean-up may move it meanwhile."""
        after, begun = 0, False
        while True:
            tail = self._port.tail(caller(), after)
            try:
                async for batch in tail:
                    begun = True
                    yield batch
            except OutOfRange as refusal:
                floor = int(refusal.metadata.get("floor", 0))
                # Once begun, going on at the floor would be a silent gap.
                if begun or floor <= after:
                    raise
                after = floor
            else:
                return
            finally:
                await close_tail(tail)
