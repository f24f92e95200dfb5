"""An agent session that resumes: many workers over one stream, with their commands."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.rpc import status_pb2

from flexcore.client.credential import Credential
from flexcore.client.presence import Presence
from flexcore.client.resuming import (
    Backoff,
    goes_on,
    next_message,
    read_token,
    stands,
    write_token,
)
from flexcore.client.worker_events import CommandRefused, WorkerEvent
from flexcore.v1 import routing_service_pb2 as pb

if TYPE_CHECKING:
    from flexcore.client import Client


#: how often a session vouches for the workers it declared
HEARTBEAT_SECONDS = 15


@dataclass(slots=True)
class _Mark:
    """The end of a message: once it is reached, all before was handled."""

    #: the connection it came over; another one's log may have been put back
    call: Any
    #: of those who joined, less those who left; None if it is nobody's place
    token: str | None
    #: whether it stands for nobody else
    anew: bool = False
    joined: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    handled: int = 0


class AgentSession:
    """Tells of workers and gives their commands, whatever is restarted meanwhile.

        async with client.agent_session() as session:
            await session.subscribe([worker_sid])
            async for event in session:
                ...
                await session.command(worker_sid, accept_reservation={"sid": sid})

    Iterate in one place. Events come in order and none twice; an event counts as handled
    when the next one is asked for. Whoever is `connected` is vouched for as long as the
    session is open, by heartbeats of the program's own loop. After `missed` grows, what
    happened meanwhile is lost and every worker comes as a snapshot. With a `token_file` a
    later session goes on where this one was; what was handled since it was last written
    comes again.
    """

    def __init__(self, client: "Client", token_file: Path | None) -> None:
        self._client = client
        self._file = token_file
        saved = json.loads(read_token(token_file) or "{}")
        #: everything up to here was handled, of these workers
        self.resume_token: str = saved.get("token", "")
        self._held: dict[str, None] = dict.fromkeys(saved.get("worker_sids", ()))
        #: who was refused, and may have to be unsubscribed once more
        self._refused: set[str] = set()
        #: of whom the server tells by the last message, handled or not
        self._told: dict[str, None] = {}
        self._wanted = dict(self._held)
        self._presence = Presence()
        #: how often the session was opened again, and how often its place was lost
        self.resumed = 0
        self.missed = 0
        self._sequence = 0
        #: the parts of a snapshot that came so far
        self._part = pb.ReservationSnapshot()
        self._items: deque[WorkerEvent | _Mark] = deque()
        self._news = asyncio.Event()
        self._commands: dict[str, tuple[pb.AgentCommand, asyncio.Future[Any]]] = {}
        #: those of them that the server was told of in this connection
        self._given: set[str] = set()
        self._call: Any = None
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        self._credential = client.credential
        self._task: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def worker_sids(self) -> Sequence[str]:
        """The workers that are, or are to be, subscribed."""
        return tuple(self._wanted)

    @property
    def connected_sids(self) -> Sequence[str]:
        """The workers it vouches for, less those another session has now."""
        return self._presence.connected

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)
        if self._credential.renewable:
            self._renewer = asyncio.create_task(self._renew())
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = (self._renewer, self._beating, self._task)
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(
            *filter(None, tasks), *self._writes, return_exceptions=True
        )

    async def subscribe(self, worker_sids: Iterable[str]) -> None:
        """Tell of these workers too; each begins with a snapshot."""
        fresh = [sid for sid in worker_sids if sid not in self._wanted]
        self._wanted.update(dict.fromkeys(fresh))
        self._refused.difference_update(fresh)
        await self._say(subscribe=pb.Subscribe(worker_sids=fresh))

    async def unsubscribe(self, worker_sids: Iterable[str]) -> None:
        """Tell of these workers no more; `unsubscribed` is the last that comes of them."""
        gone = [sid for sid in worker_sids if self._wanted.pop(sid, 0) is None]
        self._presence.forget(gone)
        await self._say(unsubscribe=pb.Unsubscribe(worker_sids=gone))

    async def connect(self, worker_sids: Iterable[str]) -> None:
        """Vouch for workers whose desks are there; they need not be subscribed."""
        declaration = self._presence.connect(worker_sids)

        async def say() -> None:
            async with self._writing:
                # A new session may have been told while this waited.
                if self._call is not None and (said := self._presence.say(declaration)):
                    await _write(self._call, declare=said)

        await self._whole(say())

    async def disconnect(
        self, worker_sids: Iterable[str], *, untrack: bool = False
    ) -> None:
        """Vouch for workers no more: their grace period begins.

        With `untrack` it does not, and nothing follows of their being away.
        """
        said = self._presence.disconnect(worker_sids, untrack=untrack)
        await self._say(declare=said)

    async def command(
        self, worker_sid: str, *, command_id: str = "", **request: Any
    ) -> Any:
        """Give a command and return what the unary call would; CommandRefused.

        It has its effect once, however often the connection is lost meanwhile.
        """
        command = pb.AgentCommand(
            command_id=command_id or self._client.secret(),
            worker_sid=worker_sid,
            **request,
        )
        if command.command_id in self._commands:
            raise ValueError(f"command {command.command_id} waits for its answer")
        answer = asyncio.get_running_loop().create_future()
        self._commands[command.command_id] = (command, answer)
        try:
            if self._task is None or self._task.done():
                raise RuntimeError("the session has ended")
            await self._give(command)
            return await answer
        finally:
            del self._commands[command.command_id]
            self._given.discard(command.command_id)

    async def refresh_token(self, token: str) -> None:
        """Go on with another credential, a key or a token, instead of the client's."""
        await self.command("", refresh_token={"token": token})
        self._credential = Credential(token)

    def __aiter__(self) -> AsyncIterator[WorkerEvent]:
        return self

    async def __anext__(self) -> WorkerEvent:
        while True:
            if not self._items:
                if self._task is None or self._task.done():
                    await self._raise()
                self._news.clear()
                await self._news.wait()
                continue
            item = self._items.popleft()
            if isinstance(item, _Mark):
                await self._handled(item)
                continue
            if item.event is not None:
                self._sequence = item.event.sequence
            return item

    async def _raise(self) -> None:
        if self._task is not None:
            await self._task
        raise StopAsyncIteration

    async def _handled(self, mark: _Mark) -> None:
        if mark.token is not None:
            self._keep(mark, mark.token)
        if mark.handled:
            ack = pb.AckEvents(sequence=mark.handled)
            await self._say(mark.call, ack_events=ack)

    def _keep(self, mark: _Mark, token: str) -> None:
        self.resume_token = token
        if mark.anew:
            self._held = {}
        self._held.update(dict.fromkeys(mark.joined))
        for sid in mark.left:
            self._held.pop(sid, None)
        # At no place yet, it is to be at one of those who are to be subscribed.
        saved = {"token": token, "worker_sids": [*(self._held or self._wanted)]}
        write_token(self._file, json.dumps(saved))

    # the connection

    async def _run(self) -> None:
        backoff, time = Backoff(self._client.fraction), asyncio.get_running_loop().time
        renewed = False
        while True:
            credential = self._credential
            used = credential.text
            call = self._client.routing.AgentSession(metadata=credential.metadata)
            opened = time()
            self._drop_unhandled()
            try:
                # Nobody who has something to say waits for a server that is away.
                if await stands(call):
                    await self._open(call)
                    while (response := await next_message(call)) is not None:
                        renewed = False
                        self._take(response)
            except grpc.aio.AioRpcError as error:
                # A fresh token that is refused too will not be the last one.
                renewed = not renewed and await credential.replaced(error, used)
                if not renewed:
                    self._recover(error)
            finally:
                self._call = None
                # An abandoned call is neither canceled nor collected by itself, and a write
                # that waits for its connection would wait for ever.
                call.cancel()
                for writing in self._writes:
                    writing.cancel()
            self.resumed += 1
            await asyncio.sleep(backoff.after(time() - opened))

    async def _renew(self) -> None:
        """Tell the session of each credential that the client comes by."""
        told = self._credential.text
        while self._credential is self._client.credential:
            told = await self._credential.changed(told)
            # If it is refused, the session ends with the one it has, and says so.
            with suppress(CommandRefused):
                await self.command("", refresh_token={"token": told})

    def _drop_unhandled(self) -> None:
        """Forget what comes again in a new session: all but why a worker was refused."""
        refused = [
            item
            for item in self._items
            if isinstance(item, WorkerEvent) and item.refusal is not None
        ]
        self._items = deque(refused)
        self._part = pb.ReservationSnapshot()

    async def _open(self, call: Any) -> None:
        """Say again what a new session has to know."""
        async with self._writing:
            self._given.clear()
            if self.resume_token and self._held:
                held = pb.Subscribe(
                    worker_sids=self._held, resume_token=self.resume_token
                )
                await _write(call, subscribe=held)
            else:
                self._held = {}
            self._told = dict(self._held)
            fresh = [sid for sid in self._wanted if sid not in self._held]
            gone = [sid for sid in self._held if sid not in self._wanted]
            if fresh:
                await _write(call, subscribe=pb.Subscribe(worker_sids=fresh))
            if gone:
                await _write(call, unsubscribe=pb.Unsubscribe(worker_sids=gone))
            for declare in self._presence.say_again():
                await _write(call, declare=declare)
            for command, _ in list(self._commands.values()):
                self._given.add(command.command_id)
                await _write(call, command=command)
            self._call = call

    async def _give(self, command: pb.AgentCommand) -> None:
        """Say a command unless it was said while this waited for a connection.

        One that was refused and is said again is decided again, after what followed it.
        """
        name = command.command_id

        async def give() -> None:
            async with self._writing:
                if name in self._given or name not in self._commands:
                    return
                if self._call is not None:
                    self._given.add(name)
                    await _write(self._call, command=command)

        await self._whole(give())

    async def _beat(self) -> None:
        """Vouch for whoever is connected, as long as this program is not stuck."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self._presence.connected:
                await self._say(heartbeat=pb.Heartbeat())

    async def _say(self, over: Any = None, /, **what: Any) -> None:
        """Write a request; if that fails, a new session is told instead.

        With `over` it is written to that connection or not at all.
        """

        async def say() -> None:
            async with self._writing:
                if self._call is not None and over in (None, self._call):
                    await _write(self._call, **what)

        await self._whole(say())

    async def _whole(self, writing: Coroutine[Any, Any, None]) -> None:
        """Wait for a write, which goes on if this is canceled: cut off, it cancels the call.

        It is canceled with its call, and whoever waits for it goes on.
        """

        async def write() -> None:
            with suppress(grpc.aio.AioRpcError):
                await writing

        task = asyncio.create_task(write())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

    def _recover(self, error: grpc.aio.AioRpcError) -> None:
        """Return if opening a session again makes sense, else raise."""
        if error.code() is grpc.StatusCode.OUT_OF_RANGE:
            self._lose()
        elif not goes_on(error):
            raise error

    def _lose(self) -> None:
        self.missed += 1
        self.resume_token = ""
        self._sequence = 0

    def _take(self, response: pb.AgentSessionResponse) -> None:
        mark = _Mark(self._call, None)
        if response.HasField("snapshot"):
            self._part.MergeFrom(response.snapshot)
            if response.complete:
                self._take_joined(self._part, mark)
                self._part = pb.ReservationSnapshot()
        if response.HasField("unsubscribed"):
            self._take_left(response.unsubscribed, mark)
        for event in response.events:
            mark.handled = event.sequence
            if event.sequence > self._sequence:
                self._items.append(WorkerEvent(_worker_of(event), event.type, event))
        for result in response.results:
            self._answer(result)
        for time in response.declare_times:
            self._presence.answered(time)
        if response.resume_token or not self._told:
            # Of one who was just subscribed the server may not have read yet.
            mark.token = response.resume_token
            mark.anew |= not self._told
        if self._items and isinstance(last := self._items[-1], _Mark):
            # Nobody asks for what is next; heartbeats do not pile up.
            last.left += mark.left
            last.token = last.token if mark.token is None else mark.token
            last.handled = mark.handled or last.handled
            last.anew |= mark.anew
        else:
            self._items.append(mark)
        self._news.set()

    def _take_joined(self, snapshot: pb.ReservationSnapshot, mark: _Mark) -> None:
        sid = snapshot.worker.sid
        if sid in self._told:  # it was too far behind
            self._lose()
            self._told, mark.anew = {}, True
        self._told[sid] = None
        mark.joined.append(sid)
        self._items.append(WorkerEvent(sid, "snapshot", snapshot=snapshot))

    def _take_left(self, unsubscribed: pb.Unsubscribed, mark: _Mark) -> None:
        refusal = None
        if unsubscribed.status:
            status = status_pb2.Status.FromString(unsubscribed.status)
            refusal = CommandRefused(status)
        for sid in unsubscribed.worker_sids:
            mark.left.append(sid)
            self._told.pop(sid, None)
            if refusal is not None:
                self._wanted.pop(sid, None)
                self._presence.forget((sid,))
                self._refused.add(sid)
            elif sid in self._refused:
                continue  # told already, with the reason
            self._items.append(WorkerEvent(sid, "unsubscribed", refusal=refusal))

    def _answer(self, result: pb.CommandResult) -> None:
        _, answer = self._commands.get(result.command_id, (None, None))
        if answer is None or answer.done():
            return
        name = str(result.WhichOneof("result"))
        if name == "status":
            status = status_pb2.Status.FromString(result.status)
            answer.set_exception(CommandRefused(status))
        else:
            answer.set_result(getattr(result, name))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Let nobody wait for what will not come."""
        self._news.set()
        error = None if task.cancelled() else task.exception()
        for _, answer in self._commands.values():
            if not answer.done() and error is not None:
                answer.set_exception(error)
            elif not answer.done():
                answer.cancel()


async def _write(call: Any, **what: Any) -> None:
    # Of a call that has ended whoever reads learns why.
    with suppress(asyncio.InvalidStateError):
        await call.write(pb.AgentSessionRequest(**what))


def _worker_of(event: pb.ReservationEvent) -> str:
    return (
        event.reservation.worker_sid
        or event.worker.sid
        or event.worker_channel.worker_sid
    )
