"""The client: a channel, a credential, calls that are safe to repeat, streams that resume.

    async with connect() as client:
        task = await client.routing.CreateTask(attributes='{"skill": "billing"}')
        async for event in client.reservations(worker_sid):
            await client.routing.AcceptReservation(sid=event.reservation.sid)

A call takes the fields of its request, or a request message; RoutingService is
`client.routing`, and so on. What it raises is grpc.aio.AioRpcError; `error_reason` says
which reason of error.proto it carries.
"""

import asyncio
import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flexcore.client.agent_session import AgentSession
from flexcore.client.credential import Credential, Source, worker_token
from flexcore.client.errors import error_reason
from flexcore.client.statistics import Statistics, StatisticsView
from flexcore.client.streams import (
    Events,
    MessageEvent,
    Messages,
    ReservationEvent,
    Reservations,
)
from flexcore.client.worker_events import CommandRefused, WorkerEvent
from flexcore.domain.clock import SystemClock
from flexcore.domain.ids import Ids
from flexcore.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    channel_service_pb2,
    channel_service_pb2_grpc,
    conversation_service_pb2,
    conversation_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    interaction_service_pb2,
    interaction_service_pb2_grpc,
    routing_service_pb2,
    routing_service_pb2_grpc,
    workspace_service_pb2,
    workspace_service_pb2_grpc,
)

__all__ = [
    "CREDENTIALS_FILE",
    "AgentSession",
    "Client",
    "CommandRefused",
    "CredentialsMissing",
    "Events",
    "MessageEvent",
    "Messages",
    "ReservationEvent",
    "Reservations",
    "Statistics",
    "StatisticsView",
    "WorkerEvent",
    "connect",
    "error_reason",
    "worker_token",
]

DEFAULT_ADDRESS: Final = "127.0.0.1:7700"
DEFAULT_DATA: Final = "flexcore-data"
CREDENTIALS_FILE: Final = "credentials.json"

#: how long `connect` waits for the server
CONNECT_SECONDS: Final = 10.0
#: how long a unary call may take, with waiting for a server that restarts and repeats
CALL_SECONDS: Final = 10.0

_SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                # A server that restarts refuses connections for some seconds; the
                # deadline of a call says how long it may take, not the first refusal.
                "waitForReady": True,
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    # A server that stops cancels what it had not begun to serve. Nothing
                    # else is safe or useful to send again as it is.
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
        # Bounds what all calls together send again while nothing is answered: calls that
        # failed, less those that went well. Fewer would be used up by one restart.
        "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1},
    }
)
_OPTIONS: Final = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    # The kernel of a server that is paused goes on acknowledging: only this notices.
    ("grpc.http2.ping_timeout_ms", 8_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    # A call must outlive the longest pause between two attempts to connect.
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class CredentialsMissing(Exception):
    """There is no key: none was passed, set, or left by a server on this machine."""


def connect(
    target: str | None = None,
    key: Source | None = None,
    data: Path | str | None = None,
) -> "Connecting":
    """Connect to a server; await the result, or use it with `async with`.

    `target` is host:port, else FLEXCORE_ADDRESS, else what a server left in its data
    folder, else 127.0.0.1:7700. `key` is `<key sid>.<secret>`, or a worker's token, or
    what returns a fresh token when it is called, which is asked for the next one before the
    last one expires; else FLEXCORE_KEY, else what a server left in its data folder: `data`,
    else FLEXCORE_DATA, else ./flexcore-data. Raises CredentialsMissing; ConnectionError
    when nobody answers.
    """
    folder = Path(data or os.environ.get("FLEXCORE_DATA") or DEFAULT_DATA)
    path = folder / CREDENTIALS_FILE
    left = _left(path)
    target = target or os.environ.get("FLEXCORE_ADDRESS") or left.get("address")
    key = key or os.environ.get("FLEXCORE_KEY")
    if not key and "secret" in left:
        key = f"{left['key_sid']}.{left['secret']}"
    if not key:
        raise CredentialsMissing(
            f"no key: pass key=, set FLEXCORE_KEY, or set FLEXCORE_DATA to the folder of "
            f"a server on this machine ({path} does not exist)"
        )
    return Connecting(target or DEFAULT_ADDRESS, key)


def _left(path: Path) -> Mapping[str, str]:
    """Return what a server left for its clients; empty if it left nothing."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CredentialsMissing(
            f"{path} is not JSON; remove it, restart the server"
        ) from error
    if not isinstance(found, dict):
        raise CredentialsMissing(
            f"{path} is not an object; remove it, restart the server"
        )
    return found


class Connecting:
    """A client about to be: `await` it, or enter it."""

    def __init__(self, target: str, key: Source) -> None:
        self._target = target
        self._key = key
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, "Client"]:
        return self._connect().__await__()

    async def __aenter__(self) -> "Client":
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def _connect(self) -> "Client":
        client = Client(self._target, self._key)
        try:
            await client.credential.begin()
            await self._ready(client)
        except BaseException:
            await client.close()
            raise
        return client

    async def _ready(self, client: "Client") -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.grpc_channel.channel_ready()
        except TimeoutError as error:
            raise ConnectionError(f"no server answers at {self._target}") from error


class Service:
    """The RPCs of one service as methods of the same name.

    Each takes the fields of its request by name, or one request message, and
    `deadline_seconds`, within which it has to be answered. A mutating request without a
    request_id is given one, so that the retries of one call have one effect.
    """

    def __init__(
        self, stub: Any, rpcs: ServiceDescriptor, credential: Credential, ids: Ids
    ) -> None:
        self._stub = stub
        self._requests = {
            rpc.name: GetMessageClass(rpc.input_type) for rpc in rpcs.methods
        }
        self._credential = credential
        self._ids = ids

    def __getattr__(self, rpc: str) -> Callable[..., Any]:
        multicallable = getattr(self._stub, rpc)
        request_type = self._requests[rpc]
        unary = isinstance(multicallable, grpc.aio.UnaryUnaryMultiCallable)
        if isinstance(multicallable, grpc.aio.StreamStreamMultiCallable):
            # Requests are written to it.
            return partial(multicallable, metadata=self._credential.metadata)

        def call(
            request: Message | None = None,
            /,
            *,
            deadline_seconds: float | None = CALL_SECONDS if unary else None,
            **fields: Any,
        ) -> Any:
            message = request_type(**fields)
            if request is not None:
                message.MergeFrom(request)
            if getattr(message, "request_id", None) == "":
                setattr(message, "request_id", self._ids.secret(16))  # noqa: B010
            return multicallable(
                message,
                timeout=deadline_seconds,
                metadata=self._credential.metadata,
            )

        return call


class Client:
    """One channel to one server with one credential; a stub per service."""

    def __init__(self, target: str, key: Source) -> None:
        self.target = target
        self.grpc_channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self.credential = Credential(key)
        self._ids = Ids(SystemClock())
        self.routing = self._service(routing_service_pb2, routing_service_pb2_grpc)
        self.interaction = self._service(
            interaction_service_pb2, interaction_service_pb2_grpc
        )
        self.conversation = self._service(
            conversation_service_pb2, conversation_service_pb2_grpc
        )
        self.workspace = self._service(
            workspace_service_pb2, workspace_service_pb2_grpc
        )
        self.channel = self._service(channel_service_pb2, channel_service_pb2_grpc)
        self.event = self._service(event_service_pb2, event_service_pb2_grpc)
        self.admin = self._service(admin_service_pb2, admin_service_pb2_grpc)

    def reservations(self, worker_sid: str, resume_token: str = "") -> Reservations:
        """Iterate over what happens to a worker; resumes by itself."""
        return Reservations(self, worker_sid, resume_token)

    def messages(self, conversation_sid: str, resume_token: str = "") -> Messages:
        """Iterate over what is said in a conversation until it closes; resumes."""
        return Messages(self, conversation_sid, resume_token)

    def events(
        self,
        resume_token: str = "",
        *,
        token_file: Path | str | None = None,
        **filters: Any,
    ) -> Events:
        """Iterate over the account's change sets; resumes by itself.

        `filters` are fields of WatchEvents, such as types=["task"] or start_now=True. With a
        `token_file` it goes on where the last one with this file was: a change set counts
        as handled when what follows its message is asked for, and the file is written then.

        A program that is killed after it handled something and before that is given it
        again, with all of the same message, up to 500 change sets: none is lost, some may
        come twice. Handle them so that a repeat does no harm, or remember the last sequence
        together with what you did. After a power cut the file may be an older one, or
        empty: then it begins anew.

        After `missed` grows, what was in between is lost to it, and it begins where
        `filters` say, instead of at a start_sequence with the oldest change set held.
        """
        file = Path(token_file) if token_file else None
        return Events(self, resume_token, file, filters)

    def statistics(
        self, workspace_sid: str, task_queue_sids: Sequence[str] = ()
    ) -> Statistics:
        """Iterate over how a workspace and its queues, or some, stand; resumes."""
        return Statistics(self, workspace_sid, task_queue_sids)

    def agent_session(self, token_file: Path | str | None = None) -> AgentSession:
        """Serve many workers over one stream; resumes by itself.

        With a `token_file` a later session goes on where this one was, with its workers. A
        program that is killed after it handled an event and before the file was written is
        given it again, with all of the same message: none is lost, some may come twice.
        What it did about them may then be done twice, unless it was a command with a
        `command_id` made of the event, such as the reservation's sid: that has one effect.
        """
        return AgentSession(self, Path(token_file) if token_file else None)

    def secret(self) -> str:
        """Return a name nobody else gives to a request."""
        return self._ids.secret(16)

    def fraction(self) -> float:
        """Return a random number from 0 to 1, to spread reconnects with."""
        return int(self._ids.secret(4), 16) / 2**32

    async def close(self) -> None:
        """Close the channel; calls still open are canceled."""
        await self.credential.close()
        await self.grpc_channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _service(self, messages: Any, calls: Any) -> Service:
        """Make a Service of the two modules generated for a service."""
        (rpcs,) = messages.DESCRIPTOR.services_by_name.values()
        stub = getattr(calls, f"{rpcs.name}Stub")(self.grpc_channel)
        return Service(stub, rpcs, self.credential, self._ids)
