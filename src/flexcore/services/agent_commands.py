"""Commands of an agent session: those of one worker in order, workers beside each other.

A command is the request of a unary call and takes that call's way: the same servicer, the
same engine command, the same refusals. Its id is the request_id, so that saying it again
has no further effect.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from flexcore.domain import limits
from flexcore.domain.errors import (
    DeadlineExceeded,
    FlexcoreError,
    InvalidArgument,
    Reason,
    ResourceExhausted,
)
from flexcore.engine.port import Port
from flexcore.services.pieces import fits
from flexcore.services.session import Session, begin, refreshed
from flexcore.services.status import code_of, status_to_proto
from flexcore.v1 import routing_service_pb2 as pb

_LOG = structlog.get_logger(__name__)

#: the unary calls by the field of the command that holds their request
Calls = Mapping[str, Callable[[Any, Any], Awaitable[Any]]]
#: the field of a request that must name the worker of the command
_NAMING = {"update_worker": "sid", "claim_task": "worker_sid"}
_REFRESH = "refresh_token"
#: a command to be decided, or the answer to one that will not be
_Waiting = pb.AgentCommand | pb.CommandResult


class AgentCommands:
    """Decides what the workers of one session do, and keeps the answers to be written."""

    def __init__(
        self, port: Port, session: Session, calls: Calls, answered: Callable[[], None]
    ) -> None:
        self._port = port
        self.session = session
        self._calls = calls
        self._answered = answered
        #: commands that wait, by worker; there is an entry as long as there is a task
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: deque[pb.CommandResult] = deque()
        self._room = asyncio.Semaphore(limits.SESSION_COMMANDS)
        self._failure: BaseException | None = None

    async def put(self, command: pb.AgentCommand) -> None:
        """Take a command; waits while too many of the session have no answer."""
        await self._line_up(command, command)

    async def refuse(self, command: pb.AgentCommand, error: InvalidArgument) -> None:
        """Answer a command that is not even well formed, in its place."""
        call = f"{command.WhichOneof('command')}."
        error = error.named(
            lambda field: field.removeprefix("command.").removeprefix(call)
        )
        await self._line_up(command, _refused(command, error))

    async def _line_up(self, command: pb.AgentCommand, what: _Waiting) -> None:
        """Let a command, or its refusal, wait for those before it.

        One too many is refused at once: waiting, it would take the room of other workers.
        """
        await self._room.acquire()
        lane = self._lanes.get(command.worker_sid)
        if lane is None:
            self._lanes[command.worker_sid] = deque((what,))
            task = asyncio.create_task(self._serve(command.worker_sid))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        elif len(lane) >= limits.SESSION_WORKER_COMMANDS:
            most = limits.SESSION_WORKER_COMMANDS
            text = f"{most} commands of {command.worker_sid} wait, the most allowed"
            error = ResourceExhausted(text, metadata={"limit": str(most)})
            self._answer(_refused(command, error))
        else:
            lane.append(what)

    def check(self) -> None:
        """Raise Unauthenticated if the session's credential expired or was revoked."""
        self.session.check(self._port)

    def take(self) -> list[pb.CommandResult]:
        """Return answers, as many as a message takes; raises what nobody foresaw."""
        if self._failure is not None:
            raise self._failure
        results: list[pb.CommandResult] = []
        size = 0
        while self._results:
            size += self._results[0].ByteSize()
            if results and not fits(len(results) + 1, size):
                break
            results.append(self._results.popleft())
            self._room.release()
        return results

    @property
    def waiting(self) -> bool:
        """Say whether an answer is due or to be written."""
        return bool(self._tasks or self._results or self._failure)

    async def close(self) -> None:
        """Stop; what was decided stays decided, and is answered when it is said again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, worker_sid: str) -> None:
        """Decide the commands of one worker, the next one after the answer."""
        lane = self._lanes[worker_sid]
        try:
            while lane:
                first = lane[0]
                if isinstance(first, pb.AgentCommand):
                    first = await self._decide(first)
                lane.popleft()
                self._answer(first)
        finally:
            del self._lanes[worker_sid]

    async def _decide(self, command: pb.AgentCommand) -> pb.CommandResult:
        result = _result_of(command)
        try:
            async with asyncio.timeout(limits.CALL_DEADLINE_DEFAULT / limits.SECOND):
                name = _checked(command)
                answer = await self._call(name, command)
                getattr(result, name).CopyFrom(answer)
        except FlexcoreError as error:
            _put_refusal(result, error)
        except TimeoutError:
            _put_refusal(result, DeadlineExceeded("not answered before the deadline"))
        return result

    async def _call(self, name: str, command: pb.AgentCommand) -> Any:
        request = getattr(command, name)
        if name == _REFRESH:
            self.session = refreshed(self._port, self.session, request.token)
            return pb.RefreshTokenResponse()
        # The session ends with its credential, but this command may be first.
        self.check()
        own_id = request.request_id
        request.request_id = own_id or command.command_id
        begin(self.session.acting_for(command.worker_sid))
        try:
            return await self._calls[name](request, None)
        except InvalidArgument as error:
            if own_id or error.reason is not Reason.REQUEST_ID_REUSED:
                raise
            raise error.named(lambda _: "command_id") from error

    def _answer(self, result: pb.CommandResult) -> None:
        self._results.append(result)
        self._answered()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._answered()


def _result_of(command: pb.AgentCommand) -> pb.CommandResult:
    return pb.CommandResult(
        command_id=command.command_id, worker_sid=command.worker_sid
    )


def _refused(command: pb.AgentCommand, error: FlexcoreError) -> pb.CommandResult:
    result = _result_of(command)
    _put_refusal(result, error)
    return result


def _put_refusal(result: pb.CommandResult, error: FlexcoreError) -> None:
    _LOG.info("command refused", code=code_of(error).name, reason=error.reason.value)
    result.status = status_to_proto(error).SerializeToString()


def _checked(command: pb.AgentCommand) -> str:
    """Return the name of the call a command makes, if it makes sense."""
    name = command.WhichOneof("command")
    if name is None:
        raise InvalidArgument("command", "must be given")
    if name == _REFRESH:
        if command.worker_sid:
            raise InvalidArgument("worker_sid", "a credential is the session's")
        return name
    if not command.worker_sid:
        raise InvalidArgument("worker_sid", "must be given")
    field = _NAMING.get(name, "")
    if field and getattr(getattr(command, name), field) != command.worker_sid:
        raise InvalidArgument(field, "is not the command's worker")
    return name
