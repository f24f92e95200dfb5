"""Streams that resume: they go on after their server or the network went away."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from flexcore.client.errors import error_reason
from flexcore.client.resuming import (
    Backoff,
    goes_on,
    next_message,
    read_token,
    write_token,
)
from flexcore.v1 import (
    conversation_pb2,
    conversation_service_pb2,
    event_pb2,
    event_service_pb2,
    routing_pb2,
    routing_service_pb2,
    workspace_pb2,
)

if TYPE_CHECKING:
    from flexcore.client import Client

T = TypeVar("T")
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class ReservationEvent:
    """One thing that happened to a worker, or, with `snapshot`, how things stood.

    `activity` is one of the worker's workspace that was made, changed or deleted.
    A snapshot's events have the type of what led there, and no sequence.
    """

    type: str
    reservation: routing_pb2.Reservation | None = None
    task: routing_pb2.Task | None = None
    worker: workspace_pb2.Worker | None = None
    worker_channel: workspace_pb2.WorkerChannel | None = None
    activity: workspace_pb2.Activity | None = None
    sequence: int = 0
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """One message; with `snapshot`, it was there when the stream began."""

    message: conversation_pb2.Message
    sequence: int = 0
    snapshot: bool = False


class Resuming(ABC, Generic[R, T]):
    """A stream that goes on after its server or the network went away.

    Iterate once. Events come in order and none twice; after `missed` grows, what
    happened meanwhile is lost and the next events are a new snapshot.
    """

    def __init__(
        self, client: "Client", resume_token: str, token_file: Path | None = None
    ) -> None:
        self._client = client
        self._file = token_file
        #: everything up to here was yielded; a later stream can go on from it
        self.resume_token = resume_token or read_token(token_file)
        #: how often the stream was opened again
        self.resumed = 0
        #: how often the server no longer held what came after the token
        self.missed = 0
        self._sequence = 0
        self._ended = False

    @abstractmethod
    def _open(self) -> Any:
        """Open the call, after the token."""

    @abstractmethod
    def _read(self, response: R) -> AsyncIterator[T]:
        """Yield what a response tells, once."""

    async def __aiter__(self) -> AsyncIterator[T]:
        backoff, time = Backoff(self._client.fraction), asyncio.get_running_loop().time
        renewed = False
        while True:
            credential = self._client.credential
            used = credential.text
            call, opened = self._open(), time()
            try:
                while (response := await next_message(call)) is not None:
                    renewed = False
                    async for event in self._read(response):
                        yield event
                    self._handled(response)
                    if self._ended:
                        return
            except grpc.aio.AioRpcError as error:
                # A fresh token that is refused too will not be the last one.
                renewed = not renewed and await credential.replaced(error, used)
                if not renewed:
                    self._recover(error)
            finally:
                # An abandoned call is neither canceled nor collected by itself.
                call.cancel()
            self.resumed += 1
            await asyncio.sleep(backoff.after(time() - opened))

    def _handled(self, response: R) -> None:
        """Note that everything a response tells was yielded."""
        self.resume_token = response.resume_token  # type: ignore[attr-defined]
        write_token(self._file, self.resume_token)

    def _recover(self, error: grpc.aio.AioRpcError) -> None:
        """Return if opening the stream again makes sense, else raise."""
        if error.code() is grpc.StatusCode.OUT_OF_RANGE and self.resume_token:
            self.missed += 1
            self.resume_token = ""
            self._sequence = 0
            self._begin_anew(error_reason(error))
        elif not goes_on(error):
            raise error

    def _begin_anew(self, reason: str) -> None:
        """Forget what makes no sense any more, now that the token makes none."""

    def _fresh(self, events: Sequence[Any]) -> list[Any]:
        """Return the events that were not yielded before."""
        fresh = [event for event in events if event.sequence > self._sequence]
        if fresh:
            self._sequence = fresh[-1].sequence
        return fresh


class Reservations(
    Resuming[routing_service_pb2.StreamReservationsResponse, ReservationEvent]
):
    """What happens to a worker; begins with the reservations that are open."""

    def __init__(self, client: "Client", worker_sid: str, resume_token: str) -> None:
        super().__init__(client, resume_token)
        self._worker_sid = worker_sid

    def _open(self) -> Any:
        return self._client.routing.StreamReservations(
            worker_sid=self._worker_sid, resume_token=self.resume_token
        )

    async def _read(
        self, response: routing_service_pb2.StreamReservationsResponse
    ) -> AsyncIterator[ReservationEvent]:
        snapshot = response.snapshot
        if response.HasField("snapshot") and self.resume_token:
            self.missed += 1  # it was too far behind
        for reservation, task in zip(
            snapshot.reservations, snapshot.tasks, strict=True
        ):
            yield ReservationEvent(
                type=_LED_TO[reservation.status],
                reservation=reservation,
                task=task,
                snapshot=True,
            )
        for event in self._fresh(response.events):
            yield ReservationEvent(
                type=event.type,
                reservation=_given(event, "reservation"),
                task=_given(event, "task"),
                worker=_given(event, "worker"),
                worker_channel=_given(event, "worker_channel"),
                activity=_given(event, "activity"),
                sequence=event.sequence,
            )


class Events(Resuming[event_service_pb2.WatchEventsResponse, event_pb2.ChangeSet]):
    """Change sets of the account's log, each whole; `filters` are WatchEvents' fields."""

    def __init__(
        self,
        client: "Client",
        resume_token: str,
        token_file: Path | None,
        filters: Mapping[str, Any],
    ) -> None:
        super().__init__(client, resume_token, token_file)
        self._filters = dict(filters)
        #: the parts of a large change set that came so far
        self._part: event_pb2.ChangeSet | None = None

    def _open(self) -> Any:
        self._part = None
        fields = dict(self._filters)
        if self.resume_token:
            fields = {k: v for k, v in fields.items() if not k.startswith("start_")}
        return self._client.event.WatchEvents(resume_token=self.resume_token, **fields)

    def _begin_anew(self, reason: str) -> None:  # noqa: ARG002  # any will do
        # Where it began is older than where it was, or of another log: the oldest held.
        self._filters.pop("start_sequence", None)

    async def _read(
        self, response: event_service_pb2.WatchEventsResponse
    ) -> AsyncIterator[event_pb2.ChangeSet]:
        for number, change_set in enumerate(response.change_sets, 1):
            if self._part is not None:
                self._part.events.extend(change_set.events)
                self._part.resources.extend(change_set.resources)
                self._part.deleted.extend(change_set.deleted)
            whole = self._part or change_set
            self._part = None
            if number == len(response.change_sets) and not response.complete:
                self._part = whole
            elif whole.last_sequence > self._sequence:
                self._sequence = whole.last_sequence
                yield whole


class Messages(
    Resuming[conversation_service_pb2.WatchConversationResponse, MessageEvent]
):
    """What is said in a conversation; begins with what was said before."""

    def __init__(
        self, client: "Client", conversation_sid: str, resume_token: str
    ) -> None:
        super().__init__(client, resume_token)
        self._conversation_sid = conversation_sid
        self._index = -1

    def _open(self) -> Any:
        return self._client.conversation.WatchConversation(
            conversation_sid=self._conversation_sid, resume_token=self.resume_token
        )

    def _begin_anew(self, reason: str) -> None:
        if reason != "TOKEN_BELOW_FLOOR":
            self._index = -1  # of messages that were not said in this log

    async def _read(
        self, response: conversation_service_pb2.WatchConversationResponse
    ) -> AsyncIterator[MessageEvent]:
        if response.HasField("snapshot"):
            self._see(response.snapshot.conversation)
            async for message in self._said():
                self._index = message.index
                yield MessageEvent(message, snapshot=True)
        for event in self._fresh(response.events):
            if event.HasField("conversation"):
                self._see(event.conversation)
            # What was listed after the snapshot comes as an event too.
            if event.HasField("message") and event.message.index > self._index:
                self._index = event.message.index
                yield MessageEvent(event.message, sequence=event.sequence)

    async def _said(self) -> AsyncIterator[conversation_pb2.Message]:
        token = ""
        first: Mapping[str, int] = (
            {"after_index": self._index} if self._index >= 0 else {}
        )
        while True:
            page = await self._client.conversation.ListMessages(
                conversation_sid=self._conversation_sid, page_token=token, **first
            )
            for message in page.messages:
                yield message
            token = page.next_page_token
            if not token:
                return

    def _see(self, conversation: conversation_pb2.Conversation) -> None:
        closed = conversation_pb2.CONVERSATION_STATE_CLOSED
        self._ended = conversation.state == closed


#: the type of the event that led to the status of an open reservation
_LED_TO: Final[Mapping[int, str]] = {
    routing_pb2.RESERVATION_STATUS_PENDING: "reservation.created",
    routing_pb2.RESERVATION_STATUS_ACCEPTED: "reservation.accepted",
    routing_pb2.RESERVATION_STATUS_WRAPPING: "reservation.wrapup",
}


def _given(message: Message, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None
