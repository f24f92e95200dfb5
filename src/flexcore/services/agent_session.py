"""AgentSession: what happens to many workers, and what they do, over one stream.

One task reads what the backend says, the session itself is the only one who writes. It
writes, in this order: answers, events as far as the backend acknowledges them,
snapshots of workers who are subscribed once everything before is written.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from flexcore.domain.errors import InvalidArgument
from flexcore.engine.port import Port
from flexcore.services.agent_commands import AgentCommands, Calls
from flexcore.services.agent_feed import AgentFeed
from flexcore.services.agent_workers import AgentWorkers
from flexcore.services.rules import Rules
from flexcore.services.session import session
from flexcore.services.shown import Shown
from flexcore.v1 import routing_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class AgentSession:
    """One session, from its first message to its end."""

    def __init__(
        self, port: Port, shown: Shown, context: Context, calls: Calls, rules: Rules
    ) -> None:
        self._rules = rules
        principal = session().principal
        self._cursor = cursor = port.cursor(principal)
        self._commands = AgentCommands(port, session(), calls, cursor.wake)
        self._voucher = voucher = port.vouch(principal, cursor.wake)
        self._feed = AgentFeed(
            port,
            principal,
            shown,
            cursor,
            context,
            voucher,
            check=self._commands.check,
        )
        self._workers = AgentWorkers(port, principal, cursor, voucher, self._feed)

    async def serve(self, requests: AsyncIterator[pb.AgentSessionRequest]) -> None:
        """Serve until the backend, the key or the server ends it."""
        reader = asyncio.create_task(self._read(requests))
        reader.add_done_callback(lambda _: self._cursor.wake())
        try:
            await self._write(reader)
        finally:
            # Before anything is waited for: whoever is canceled twice does not come so far.
            self._cursor.close()
            self._voucher.close()
            reader.cancel()
            await self._commands.close()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.AgentSessionRequest]) -> None:
        async for request in requests:
            what = request.WhichOneof("request")
            if what is None:
                raise InvalidArgument("request", "must be given")
            try:
                self._rules.check(request)
            except InvalidArgument as error:
                if not request.command.command_id:
                    raise
                await self._commands.refuse(request.command, error)
                continue
            if what == "command":
                await self._commands.put(request.command)
            elif what == "ack_events":
                self._feed.acknowledge(request.ack_events.sequence)
            elif what == "heartbeat":
                self._voucher.beat()
            elif what == "declare":
                self._workers.declare(request.declare)
            else:
                self._workers.ask(getattr(request, what))
            self._cursor.wake()

    async def _write(self, reader: "asyncio.Task[None]") -> None:
        while True:
            self._feed.check()
            if reader.done():
                reader.result()
                due = self._feed.waiting or self._workers.waiting
                if not (due or self._commands.waiting):
                    return
            if answers := self._answers():
                await self._feed.say(answers)
            elif await self._feed.write_next() or await self._workers.change():
                pass
            elif self._cursor.ended:
                # Everything was written, or nothing more may be: the token says which.
                await self._feed.say(pb.AgentSessionResponse(go_away=True))
                return
            elif not await self._cursor.wait():
                await self._feed.beat()

    def _answers(self) -> pb.AgentSessionResponse | None:
        """Return the answers of commands and declarations; None if there are none."""
        results, times = self._commands.take(), self._workers.take_declared()
        if not (results or times):
            return None
        answers = pb.AgentSessionResponse(results=results)
        for time in times:
            answers.declare_times.add().FromMicroseconds(time)
        return answers
