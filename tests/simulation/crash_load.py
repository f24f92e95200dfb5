"""Who works while the server is killed, and the book kept of what it promised them.

Every write goes through the `Ledger`: what was asked, and what was answered. Streams are
read by `Follower`s, which outlive the server and resume from their tokens.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message

from flexcore.client import Client
from flexcore.v1 import (
    event_pb2,
    interaction_pb2,
    routing_pb2,
    routing_service_pb2,
)

WORKERS = ("alice", "bob", "carol")
CREATORS = 2
TALKERS = 2
CALL_SECONDS = 5.0

#: refusals that mean: it was tried and did not happen
REFUSED = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)
#: and those that mean: nobody knows
UNKNOWN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


class Refused(Exception):
    """The server refused a write, and so it did not happen."""


class Unanswered(Exception):
    """The server went away before it answered."""


class Write(NamedTuple):
    """One request, as it was sent and can be sent again."""

    service: str
    rpc: str
    request: Message


class Ledger:
    """What was asked with which request_id, and what the server answered."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count = 0
        self.problems: list[str] = []
        #: by request_id: asked and not answered; answered in this run; answered before
        self.open: dict[str, Write] = {}
        self.answered: dict[str, tuple[Write, bytes]] = {}
        self.older: list[tuple[Write, bytes]] = []
        self.acknowledged = 0
        self.accepted: Counter[str] = Counter()
        #: what each conversation was told: index -> sid
        self.messages: dict[str, dict[int, str]] = {}

    async def write(self, client: Client, write: Write) -> Any:
        """Send a request under a request_id of its own."""
        self._count += 1
        request_id = f"{self._rng.getrandbits(32):08x}-{self._count}"
        write.request.request_id = request_id  # type: ignore[attr-defined]
        self.open[request_id] = write
        return await self.send(client, request_id)

    async def send(self, client: Client, request_id: str) -> Any:
        """Send an open request, for the first time or again."""
        write = self.open[request_id]
        try:
            answer = await call(client, write)
        except Refused:
            del self.open[request_id]
            raise
        del self.open[request_id]
        self.answered[request_id] = (write, canonical(answer))
        self.acknowledged += 1
        self._note(write, answer)
        return answer

    def _note(self, write: Write, answer: Any) -> None:
        if write.rpc == "AcceptReservation":
            sid = answer.reservation.sid
            self.accepted[sid] += 1
            if self.accepted[sid] > 1:
                self.problems.append(f"double accept: {sid}")
        if write.rpc == "SendMessage":
            message = answer.message
            told = self.messages.setdefault(message.conversation_sid, {})
            if message.index in told:
                self.problems.append(f"index {message.index} twice: {message.sid}")
            told[message.index] = message.sid

    def turn_page(self) -> None:
        """Keep a sample of what this run was answered for later runs to ask again."""
        answered = list(self.answered.values())
        self.older += self._rng.sample(answered, min(5, len(answered)))
        self.answered.clear()


async def call(client: Client, write: Write) -> Any:
    """Send a request once; Refused, Unanswered, or the error as it is."""
    stub = getattr(getattr(client, write.service), write.rpc)
    try:
        return await stub(write.request, deadline_seconds=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() in REFUSED:
            raise Refused(error.details()) from error
        if error.code() in UNKNOWN:
            raise Unanswered(error.details()) from error
        raise


def canonical(message: Message) -> bytes:
    """Return the bytes two equal messages share."""
    return message.SerializeToString(deterministic=True)


# --- streams ---------------------------------------------------------------------------


class Follower:
    """One stream, read over the lives of many servers from token to token."""

    def __init__(
        self, name: str, open_: Callable[[Client, str], Any], after: int = 0
    ) -> None:
        self.name = name
        self._open = open_
        self.token = ""
        #: events up to here are not its business: they were in its snapshot
        self.after = after
        self.seen: list[int] = []
        self.ready = asyncio.Event()
        self.resumed = 0

    async def follow(self, client: Client) -> AsyncIterator[Any]:
        """Yield what comes until the server goes away."""
        call_ = self._open(client, self.token)
        self.resumed += bool(self.token)
        try:
            async for response in call_:
                self._take(response)
                self.token = response.resume_token
                self.ready.set()
                yield response
        except grpc.aio.AioRpcError as error:
            if error.code() not in UNKNOWN:
                raise
        finally:
            call_.cancel()

    async def run(self, client: Client) -> None:
        """Follow, and do nothing about it."""
        async for _ in self.follow(client):
            pass

    def _take(self, response: Any) -> None:
        self.seen += [event.sequence for event in response.events]


class Whole(Follower):
    """The whole log, and what every narrow stream must have been given of it."""

    def __init__(self) -> None:
        super().__init__(
            "WatchEvents",
            lambda client, token: client.event.WatchEvents(resume_token=token),
        )
        self.problems: list[str] = []
        self.position = 0
        self.events = 0
        #: by worker and by conversation: sequences of the events about it
        self.concerning: dict[str, list[int]] = {}
        self.accepts: Counter[str] = Counter()
        self.said = 0

    def _take(self, response: Any) -> None:
        for change_set in response.change_sets:
            if change_set.first_sequence != self.position + 1:
                self.problems.append(
                    f"WatchEvents went from {self.position} to"
                    f" {change_set.first_sequence}"
                )
            self.position = change_set.last_sequence
            self._note(change_set)

    def _note(self, change_set: event_pb2.ChangeSet) -> None:
        owners = dict(_owners(change_set.resources))
        for event in change_set.events:
            self.events += 1
            owner = owners.get(event.sid)
            if owner:
                self.concerning.setdefault(owner, []).append(event.sequence)
            self.said += event.type == "message.added"
            if event.type == "reservation.accepted":
                self.accepts[event.sid] += 1
                if self.accepts[event.sid] > 1:
                    self.problems.append(f"{event.sid} was accepted twice in the log")


def _owners(resources: Iterable[event_pb2.Resource]) -> Iterable[tuple[str, str]]:
    """Yield the sid of each resource and of the worker or conversation it is about."""
    fields = {
        "worker": "sid",
        "worker_channel": "worker_sid",
        "reservation": "worker_sid",
        "conversation": "sid",
        "participant": "conversation_sid",
        "message": "conversation_sid",
        "receipt": "conversation_sid",
    }
    for resource in resources:
        kind = resource.WhichOneof("resource")
        if kind in fields:
            row = getattr(resource, kind)
            yield row.sid, getattr(row, fields[kind])


def of_worker(sid: str, after: int) -> Follower:
    """Follow a worker from the change set that created it."""
    return Follower(
        sid,
        lambda client, token: client.routing.StreamReservations(
            worker_sid=sid, resume_token=token
        ),
        after,
    )


def of_conversation(sid: str, after: int) -> Follower:
    """Follow a conversation from the change set that created it."""
    return Follower(
        sid,
        lambda client, token: client.conversation.WatchConversation(
            conversation_sid=sid, resume_token=token
        ),
        after,
    )


# --- people ----------------------------------------------------------------------------


class Load:
    """Creators of tasks, agents, and people who talk, until the server goes away."""

    def __init__(self, ledger: Ledger, rng: random.Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self.whole = Whole()
        self.workers: list[Follower] = []
        #: the newest few conversations that are followed
        self.conversations: list[Follower] = []

    async def set_up(self, client: Client) -> None:
        """Hire everybody; to be called once on new data, before the first `run`."""
        for name in WORKERS:
            hired = await self._write(
                client,
                "workspace",
                "CreateWorker",
                friendly_name=name,
                activity="Available",
            )
            self.workers.append(of_worker(hired.worker.sid, hired.sequence))

    async def run(self, client: Client) -> None:
        """Work until canceled, or until the server goes away."""
        async with asyncio.TaskGroup() as group:
            for worker in self.workers:
                group.create_task(self._ending(self._work(client, worker)))
            await asyncio.gather(*(worker.ready.wait() for worker in self.workers))
            for follower in (self.whole, *self.conversations):
                group.create_task(self._ending(follower.run(client)))
            for _ in range(CREATORS):
                group.create_task(self._ending(self._create(client)))
            for _ in range(TALKERS):
                group.create_task(self._ending(self._talk(client, group)))

    async def _ending(self, work: Awaitable[None]) -> None:
        with suppress(Unanswered):
            await work

    async def _write(
        self, client: Client, service: str, rpc: str, **fields: object
    ) -> Any:
        request = getattr(client, service)._requests[rpc](**fields)
        return await self._ledger.write(client, Write(service, rpc, request))

    # creators

    async def _create(self, client: Client) -> None:
        while True:
            await self._write(
                client, "routing", "CreateTask", priority=self._rng.randint(0, 3)
            )

    # agents

    async def _work(self, client: Client, worker: Follower) -> None:
        await self._resume_work(client, worker)
        async for response in worker.follow(client):
            for event in response.events:
                if event.type == "reservation.created":
                    await self._answer(client, event.reservation)

    async def _resume_work(self, client: Client, worker: Follower) -> None:
        """Go on with what was held when the last server went away."""
        listed = await call(
            client,
            Write(
                "routing",
                "ListReservations",
                routing_service_pb2.ListReservationsRequest(
                    worker_sid=worker.name, page_size=1000
                ),
            ),
        )
        for reservation in listed.reservations:
            if reservation.status == routing_pb2.RESERVATION_STATUS_PENDING:
                await self._answer(client, reservation)
            elif reservation.status == routing_pb2.RESERVATION_STATUS_ACCEPTED:
                await self._finish(client, reservation)

    async def _answer(self, client: Client, offer: routing_pb2.Reservation) -> None:
        if self._rng.random() < 0.1:
            with suppress(Refused):
                await self._write(client, "routing", "RejectReservation", sid=offer.sid)
            return
        tries = 2 if self._rng.random() < 0.3 else 1
        accepts = [
            self._write(client, "routing", "AcceptReservation", sid=offer.sid)
            for _ in range(tries)
        ]
        answers = await asyncio.gather(*accepts, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Refused):
                raise answer
        await self._finish(client, offer)

    async def _finish(self, client: Client, held: routing_pb2.Reservation) -> None:
        request = routing_service_pb2.GetTaskRequest(sid=held.task_sid)
        found = await call(client, Write("routing", "GetTask", request))
        interaction_sid = json.loads(found.task.attributes).get("flexInteractionSid")
        with suppress(Refused):
            if interaction_sid is None:
                await self._write(client, "routing", "CompleteTask", sid=held.task_sid)
            else:
                await self._write(
                    client,
                    "interaction",
                    "CloseInteractionChannel",
                    interaction_sid=interaction_sid,
                    mode=interaction_pb2.CLOSE_MODE_COMPLETE,
                )

    # people who talk

    async def _talk(self, client: Client, group: asyncio.TaskGroup) -> None:
        while True:
            created = await self._write(client, "conversation", "CreateConversation")
            sid = created.conversation.sid
            if self._rng.random() < 0.3:
                follower = of_conversation(sid, created.sequence)
                group.create_task(self._ending(follower.run(client)))
                await follower.ready.wait()
                self.conversations = [*self.conversations[-3:], follower]
            with suppress(Refused):  # its agent may close it at any moment
                await self._say(client, sid)

    async def _say(self, client: Client, sid: str) -> None:
        await self._write(
            client,
            "conversation",
            "AddParticipant",
            conversation_sid=sid,
            identity="ann",
        )
        if self._rng.random() < 0.5:
            await self._write(
                client, "interaction", "CreateInteraction", conversation_sid=sid
            )
        for _ in range(self._rng.randint(1, 8)):
            await self._write(
                client,
                "conversation",
                "SendMessage",
                conversation_sid=sid,
                author="ann",
                body="hello",
            )
