"""EventService: the account's log."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import grpc

from flexcore import _wire
from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument, OutOfRange, Reason
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.engine.commands import Principal
from flexcore.engine.port import Known, Port, TailBatch
from flexcore.services.convert import time_from_proto
from flexcore.services.event_pages import filter_of, list_events
from flexcore.services.excerpt import Excerpt
from flexcore.services.resume_tokens import ResumeTokens, stream_hash
from flexcore.services.session import caller, session
from flexcore.services.shown import Shown
from flexcore.services.streams import Stream, close_tail
from flexcore.v1 import event_service_pb2 as pb
from flexcore.v1 import event_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_CHANGE_SETS = pb.WatchEventsResponse.CHANGE_SETS_FIELD_NUMBER


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Makes streams of the log."""

    def __init__(self, port: Port, shown: Shown) -> None:
        self._port = port
        self._shown = shown

    async def WatchEvents(  # type: ignore[override]  # it writes itself
        self, request: pb.WatchEventsRequest, context: Context
    ) -> None:
        log_filter, principal = filter_of(request), caller()
        stream_of = stream_hash("WatchEvents", log_filter)
        tokens = ResumeTokens(self._port, principal, stream_of)
        start = await self._start(request, tokens)

        def show(change_set: ChangeSet) -> Sequence[bytes]:
            excerpt = Excerpt(change_set, self._shown.encode(change_set), log_filter)
            parts = excerpt.parts(limits.STREAM_MESSAGE_BYTES)
            return [_wire.delimited(_CHANGE_SETS, part) for part in parts]

        telling = self._shown.telling(principal.account_sid, stream_of, show)
        check = partial(session().check, self._port)
        stream = Stream(context, tokens, pb.WatchEventsResponse, check, telling)
        stream.begin(start or 0)
        if start is None:
            tail = self._oldest(log_filter, stream)
        else:
            tail = self._tail(start, log_filter, stream.known)
        await stream.follow(tail)

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
            return self._before(principal, request.start_sequence)
        if start == "start_time":
            time = time_from_proto(request.start_time)
            return await self._port.find_time(principal, time)
        return self._port.log_end(principal).head if request.start_now else None

    def _before(self, principal: Principal, sequence: int) -> int:
        """Return the place before an event; OutOfRange names the field that asked for it."""
        try:
            self._port.check_place(principal, sequence - 1)
        except OutOfRange as error:
            if error.reason is Reason.TOKEN_BELOW_FLOOR:
                first = int(error.metadata["floor"]) + 1
                text = f"{sequence} is no longer held, the log begins with {first}"
            else:
                head = error.metadata["head"]
                text = f"{sequence} is ahead of the log, which ends at {head}"
            raise error.of_field("start_sequence", text) from error
        return sequence - 1

    def _tail(
        self, after: int, log_filter: LogFilter, known: Known
    ) -> AsyncIterator[TailBatch]:
        subject = log_filter.subject
        return self._port.tail(caller(), after, (subject,), log_filter, known)

    async def _oldest(
        self, log_filter: LogFilter, stream: Stream
    ) -> AsyncIterator[TailBatch]:
        """Yield from the oldest change set held; clean-up may move it meanwhile."""
        after, begun = 0, False
        while True:
            tail = self._tail(after, log_filter, stream.known)
            try:
                async for batch in tail:
                    begun = True
                    yield batch
            except OutOfRange as refusal:
                # Once begun, going on at the floor would be a silent gap.
                if begun or refusal.reason is not Reason.TOKEN_BELOW_FLOOR:
                    raise
                after = int(refusal.metadata["floor"])
                stream.begin(after)
            else:
                return
            finally:
                await close_tail(tail)
