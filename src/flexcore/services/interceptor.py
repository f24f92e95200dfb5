"""The one interceptor: deadline, credential, policy, field rules, errors to statuses.

Every handler is wrapped once, at its first call. What a handler raises leaves here as a
status; what nobody foresaw leaves as INTERNAL with an error id, and is told to the log.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from flexcore.domain import limits
from flexcore.domain.errors import (
    DeadlineExceeded,
    FlexcoreError,
    Internal,
    InvalidArgument,
    Kind,
    PermissionDenied,
    ResourceExhausted,
)
from flexcore.domain.ids import Ids
from flexcore.engine.port import Port
from flexcore.services.policy import Access
from flexcore.services.rules import Rules
from flexcore.services.session import begin, open_session
from flexcore.services.status import code_of, status_of

_LOG = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior = Callable[[Any, Context], Awaitable[Any]]
Read: TypeAlias = Callable[[bytes], Any]


class Interceptor(grpc.aio.ServerInterceptor):
    """Stands between the wire and every servicer."""

    def __init__(
        self, port: Port, policy: Mapping[str, Access], rules: Rules, ids: Ids
    ) -> None:
        self._port = port
        self._policy = policy
        self._rules = rules
        self._ids = ids
        self._handlers: dict[str, Handler] = {}
        self._streams = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the wrapped handler of a method; None if there is no such method."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrapped = self._handlers[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        access = self._policy.get(method)
        if access is Access.OPEN:
            return handler
        # Requests are read below, where bytes that are none get a status of ours, and
        # nobody's before a credential.
        read = cast("Read", handler.request_deserializer)
        streamed = handler.request_streaming
        make: Callable[..., Handler] = grpc.unary_unary_rpc_method_handler
        behavior: Any = handler.unary_unary
        if handler.response_streaming and handler.request_streaming:
            make, behavior = (
                grpc.stream_stream_rpc_method_handler,
                handler.stream_stream,
            )
        elif handler.response_streaming:
            make, behavior = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        serialize = handler.response_serializer
        if handler.response_streaming:
            serialize = _serialized
            write = _writing(behavior)
            serve = self._stream(method, access, write, read, streamed=streamed)
        else:
            serve = self._unary(method, access, behavior, read)
        return make(serve, None, serialize)

    def _unary(
        self, method: str, access: Access | None, behavior: Behavior, read: Read
    ) -> Behavior:
        async def serve(request: Any, context: Context) -> Any:
            try:
                self._admit(method, access, context)
                request = self._read(request, read)
                async with asyncio.timeout(_seconds(context)):
                    response = await behavior(request, context)
            except Exception as error:  # noqa: BLE001  # told to the log, with an id
                await self._refuse(method, error, context)
            else:
                _LOG.debug("call", method=method)
                return response

        return serve

    def _stream(
        self,
        method: str,
        access: Access | None,
        behavior: Behavior,
        read: Read,
        *,
        streamed: bool,
    ) -> Behavior:
        async def serve(request: Any, context: Context) -> None:
            self._streams += 1
            try:
                self._admit(method, access, context)
                if streamed:
                    request = _each(request, read)
                else:
                    request = self._read(request, read)
                self._admit_stream()
                # At once, so that a caller knows the stream stands before its first event.
                await context.send_initial_metadata(())
                await behavior(request, context)
            except Exception as error:  # noqa: BLE001  # told to the log, with an id
                await self._refuse(method, error, context)
            finally:
                self._streams -= 1

        return serve

    def _admit(self, method: str, access: Access | None, context: Context) -> None:
        """Let a call in, or raise: who it is, what it may do."""
        session = open_session(self._port, context.invocation_metadata() or ())
        name = method.rpartition("/")[2]
        if access is None:
            raise PermissionDenied(name, f"nobody may call {name}")
        if access is Access.OPERATOR and not session.principal.operator:
            raise PermissionDenied(name, f"{name} needs an operator key")
        if access is not Access.WORKER and session.principal.is_worker:
            raise PermissionDenied(name, f"a worker's token may not call {name}")
        begin(session)

    def _read(self, request: bytes, read: Read) -> Any:
        """Return the message a call asks with, checked; InvalidArgument otherwise."""
        message = _decoded(request, read)
        self._rules.check(message)
        return message

    def _admit_stream(self) -> None:
        if self._streams > limits.STREAMS_MAX:
            raise ResourceExhausted(
                f"{limits.STREAMS_MAX} streams are open, the most allowed",
                metadata={"limit": str(limits.STREAMS_MAX)},
                retry_after=limits.SECOND,
            )

    async def _refuse(self, method: str, error: Exception, context: Context) -> None:
        """End a call with the status of what was raised."""
        refusal = self._refusal(method, error)
        log = _LOG.warning if refusal.kind is Kind.INTERNAL else _LOG.info
        log(
            "call refused",
            method=method,
            code=code_of(refusal).name,
            reason=refusal.reason.value,
        )
        await context.abort_with_status(status_of(refusal))

    def _refusal(self, method: str, error: Exception) -> FlexcoreError:
        if isinstance(error, FlexcoreError):
            return error
        if isinstance(error, TimeoutError):
            return DeadlineExceeded("not answered before the deadline")
        error_id = self._ids.secret(6)
        _LOG.error("internal error", method=method, error_id=error_id, exc_info=error)
        return Internal(f"internal error {error_id}", metadata={"error_id": error_id})


def _decoded(request: bytes, read: Read) -> Any:
    try:
        return read(request)
    except DecodeError as error:
        raise InvalidArgument("request", "not a message of this method") from error


def _serialized(response: Message | bytes) -> bytes:
    """Return the bytes of a response; streams write what is encoded already."""
    return response if isinstance(response, bytes) else response.SerializeToString()


async def _each(requests: AsyncIterator[bytes], read: Read) -> AsyncIterator[Any]:
    """Yield the messages of a stream of requests; whoever takes them checks them."""
    async for request in requests:
        yield _decoded(request, read)


def _seconds(context: Context) -> float:
    """Return how long a unary call may take: what the caller says, at most the cap."""
    # The stubs deny it, but a call without a deadline has no remaining time.
    remaining = cast("float | None", context.time_remaining())
    most = limits.CALL_DEADLINE_MAX / limits.SECOND
    if remaining is None:
        return limits.CALL_DEADLINE_DEFAULT / limits.SECOND
    return min(remaining, most)


def _writing(behavior: Any) -> Behavior:
    """Return a stream's behavior as one that writes; foreign servicers yield."""
    if not inspect.isasyncgenfunction(behavior):
        return behavior  # type: ignore[no-any-return]

    async def write(request: Any, context: Context) -> None:
        async for response in behavior(request, context):
            await context.write(response)

    return write
