"""An agent's desk in a terminal: what `flexcore agent` runs, and an example of a client.

It holds the worker's reservation stream and, while a task is accepted, the stream of its
conversation; typed lines are commands or go to the customer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc

from flexcore.client import Client, MessageEvent, ReservationEvent
from flexcore.terminal import Terminal, reason, short

HELP = "accept, reject, end, complete; any other line goes to the customer"


class Desk:
    """One worker, at most one conversation at a time."""

    def __init__(
        self, client: Client, worker: tuple[str, str], terminal: Terminal
    ) -> None:
        self._client = client
        self._worker_sid, self._name = worker
        self._terminal = terminal
        #: the pending offer, oldest first, by reservation
        self._offers: dict[str, Any] = {}
        #: the accepted or wrapping task, and where its customer is
        self._task: Any = None
        self._conversation_sid = ""
        self._interaction_sid = ""
        self._listener: asyncio.Task[None] | None = None
        self._commands: Mapping[str, Callable[[], Awaitable[None]]] = {
            "accept": self._accept,
            "reject": self._reject,
            "end": self._end,
            "complete": self._complete,
            "help": self._help,
        }

    async def move_to(self, activity: str) -> None:
        """Change what the worker is doing."""
        await self._client.workspace.UpdateWorker(
            sid=self._worker_sid, activity=activity
        )

    async def work(self, lines: AsyncIterator[str]) -> None:
        """Show offers and messages, obey lines, until the lines end."""
        follower = asyncio.create_task(self._follow())
        reader = asyncio.create_task(self._obey(lines))
        text = f"{self._name} is at work: {HELP}; leave with Ctrl-D"
        self._terminal.show("ready", text, "dim", worker_sid=self._worker_sid)
        try:
            # Neither ends well before the lines do: a stream that fails is an error.
            await asyncio.wait((follower, reader), return_when="FIRST_COMPLETED")
            for task in (follower, reader):
                if task.done():
                    task.result()
        finally:
            tasks = [follower, reader, *([self._listener] if self._listener else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _obey(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            command = self._commands.get(line.strip())
            try:
                if command is not None:
                    await command()
                elif line.strip():
                    await self._say(line.strip())
            except grpc.aio.AioRpcError as error:
                text = error.details() or error.code().name
                self._terminal.show("refused", f"refused: {text}", "red", text=text)

    # what happens

    async def _follow(self) -> None:
        async for event in self._client.reservations(self._worker_sid):
            if event.reservation is not None:
                self._see(event)

    def _see(self, event: ReservationEvent) -> None:
        reservation, kind = event.reservation, event.type.partition(".")[2]
        assert reservation is not None, "only events of reservations come here"
        if kind == "created":
            self._offer(event)
        elif kind == "extended":
            # It still stands; the time in which nobody could answer was given back.
            return
        elif self._offers.pop(reservation.sid, None) is not None and (
            kind not in ("accepted", "rejected")
        ):
            text = f"offer of {short(reservation.task_sid)} is gone: {kind}"
            self._tell(kind, text, "dim", reservation.task_sid)
        if kind in ("accepted", "wrapup") and event.snapshot:
            self._take(event.task)
        if kind == "completed" and self._holds(reservation.task_sid):
            text = f"{short(reservation.task_sid)} is completed"
            self._tell(kind, text, "green", reservation.task_sid)
            self._task = None

    def _offer(self, event: ReservationEvent) -> None:
        reservation, task = event.reservation, event.task
        assert reservation is not None, "an offer is a reservation"
        self._offers[reservation.sid] = reservation
        attributes = task.attributes if task else "{}"
        self._tell(
            "offered",
            f"offered {short(reservation.task_sid)} {_readable(attributes)}, "
            f"{reason(reservation)}; accept or reject",
            "bold",
            reservation.task_sid,
            reservation_sid=reservation.sid,
            attributes=json.loads(attributes),
            candidates=reservation.candidates,
            rule=reservation.choice.rule,
        )

    def _take(self, task: Any) -> None:
        """Hold a task, and listen to its customer if it has one."""
        self._task = task
        about = json.loads(task.attributes)
        self._conversation_sid = about.get("conversationSid", "")
        self._interaction_sid = about.get("flexInteractionSid", "")
        if self._conversation_sid:
            self._listener = asyncio.create_task(self._listen(self._conversation_sid))

    async def _listen(self, conversation_sid: str) -> None:
        try:
            async for event in self._client.messages(conversation_sid):
                self._hear(event)
        except grpc.aio.AioRpcError as error:
            text = f"the conversation is lost: {error.details()}"
            self._terminal.show("lost", text, "red", text=text)

    def _hear(self, event: MessageEvent) -> None:
        message = event.message
        if message.author == self._name and not event.snapshot:
            return
        self._terminal.show(
            "message",
            f"{message.author}: {message.body}",
            "cyan",
            author=message.author,
            body=message.body,
            message_sid=message.sid,
        )

    # what the agent does

    async def _accept(self) -> None:
        if self._task is not None:
            return self._refuse(f"complete {short(self._task.sid)} first")
        if not self._offers:
            return self._refuse("nothing is offered")
        sid = next(iter(self._offers))
        response = await self._client.routing.AcceptReservation(sid=sid)
        self._offers.pop(sid, None)
        self._tell("accepted", f"{short(response.task.sid)} is yours", "green")
        self._take(response.task)
        return None

    async def _reject(self) -> None:
        if not self._offers:
            return self._refuse("nothing is offered")
        sid = next(iter(self._offers))
        response = await self._client.routing.RejectReservation(sid=sid)
        self._offers.pop(sid, None)
        self._tell("rejected", f"{short(response.task.sid)} is rejected", "yellow")
        return None

    async def _say(self, body: str) -> None:
        if not self._conversation_sid:
            return self._refuse(f"there is nobody to talk to; {HELP}")
        response = await self._client.conversation.SendMessage(
            conversation_sid=self._conversation_sid, author=self._name, body=body
        )
        if self._terminal.json:
            sid = response.message.sid
            self._terminal.show("said", body, body=body, message_sid=sid)
        return None

    async def _end(self) -> None:
        if not self._interaction_sid:
            return self._refuse("there is no interaction to end")
        await self._client.interaction.CloseInteractionChannel(
            interaction_sid=self._interaction_sid
        )
        self._conversation_sid = self._interaction_sid = ""
        self._tell("ended", "the interaction is over; complete the task", "green")
        return None

    async def _complete(self) -> None:
        if self._task is None:
            return self._refuse("there is no task")
        await self._client.routing.CompleteTask(sid=self._task.sid)
        return None

    async def _help(self) -> None:
        self._tell("help", HELP, "dim")

    # telling

    def _holds(self, task_sid: str) -> bool:
        return self._task is not None and self._task.sid == task_sid

    def _refuse(self, text: str) -> None:
        self._tell("refused", text, "red")

    def _tell(
        self, kind: str, text: str, style: str = "", task_sid: str = "", **facts: object
    ) -> None:
        if task_sid:
            facts["task_sid"] = task_sid
        self._terminal.show(kind, text, style, **{"text": text, **facts})


def _readable(attributes: str) -> str:
    """Return attributes without their sids, which are long and nothing to look at."""
    found = json.loads(attributes)
    shown = {key: value for key, value in found.items() if not key.endswith("Sid")}
    return json.dumps(shown, ensure_ascii=False)
