"""The agents' side as a process: a backend that holds the streams of its workers."""

import asyncio
import json
import sys
from collections import defaultdict
from math import ceil
from time import perf_counter
from typing import Any

from flexcore.client import Client, Messages, ReservationEvent, Reservations, connect
from flexcore.demo.actors import PATIENCE_SECONDS, Facts, Role

#: the attribute that tells a task of the burst from a customer's
_MARK = "burst"


class Backend(Role):
    """Workers, their reservation streams, and the conversations they are in."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._workers: dict[str, str] = {}
        self._reservations: dict[str, Reservations] = {}
        self._conversations: dict[str, Messages] = {}
        #: what each stream gave, by worker or conversation: (sequence, type) or index
        self._seen: dict[str, list[Any]] = defaultdict(list)
        #: tasks of the burst: when each was seen offered, and as which reservation
        self._offers: dict[int, asyncio.Future[tuple[float, str, str]]] = {}

    async def work(self, *, names: list[str]) -> Facts:
        """Make workers, let them be available, and hold their streams."""
        for name in names:
            response = await self._client.workspace.CreateWorker(
                friendly_name=name, activity="Available"
            )
            sid = response.worker.sid
            self._workers[sid] = name
            self._reservations[sid] = self._client.reservations(sid)
            self._begin(self._follow(sid))
        return {"workers": {name: sid for sid, name in self._workers.items()}}

    async def accept(self, *, reservation_sid: str) -> Facts:
        """Accept an offer, look who takes part, and read what was said."""
        response = await self._client.routing.AcceptReservation(sid=reservation_sid)
        conversation_sid = json.loads(response.task.attributes)["conversationSid"]
        participants = await self._client.conversation.ListParticipants(
            conversation_sid=conversation_sid
        )
        history = await self._client.conversation.ListMessages(
            conversation_sid=conversation_sid
        )
        self._conversations[conversation_sid] = self._client.messages(conversation_sid)
        self._begin(self._listen(conversation_sid))
        return {
            "identity": response.participant.identity,
            "participants": [each.identity for each in participants.participants],
            "history": [message.body for message in history.messages],
        }

    async def say(self, *, conversation_sid: str, author: str, body: str) -> Facts:
        """Answer a customer; the message is kept when this returns."""
        response = await self._client.conversation.SendMessage(
            conversation_sid=conversation_sid, author=author, body=body
        )
        receipts = [receipt.sid for receipt in response.receipts]
        return {"message_sid": response.message.sid, "receipts": receipts}

    async def end(self, *, interaction_sid: str, complete: bool = False) -> Facts:
        """End an interaction; return what became of its parts, as numbers."""
        mode = "CLOSE_MODE_COMPLETE" if complete else "CLOSE_MODE_WRAP_UP"
        response = await self._client.interaction.CloseInteractionChannel(
            interaction_sid=interaction_sid, mode=mode
        )
        return {
            "channel": response.channel.status,
            "conversation": response.conversation.state,
            "tasks": [task.status for task in response.tasks],
        }

    async def complete(self, *, task_sid: str) -> Facts:
        """Complete a task; return how many reservations its worker still holds."""
        response = await self._client.routing.CompleteTask(sid=task_sid)
        page = await self._client.routing.ListReservations(
            worker_sid=response.reservation.worker_sid,
            statuses=[
                f"RESERVATION_STATUS_{status}"
                for status in ("PENDING", "ACCEPTED", "WRAPPING")
            ],
        )
        return {"task": response.task.status, "held": len(page.reservations)}

    async def seen(self) -> Facts:
        """Return what every stream gave so far, and how often it was cut."""
        streams: dict[str, Reservations | Messages] = {
            **self._reservations,
            **self._conversations,
        }
        return {
            "seen": self._seen,
            "resumed": {sid: stream.resumed for sid, stream in streams.items()},
            "lost": sum(stream.missed for stream in streams.values()),
        }

    async def burst(self, *, count: int) -> Facts:
        """Create tasks one by one; measure create to offer, on the stream, in ms."""
        took, offered = [], set()
        for number in range(count):
            arrival = asyncio.get_running_loop().create_future()
            self._offers[number] = arrival
            began = perf_counter()
            await self._client.routing.CreateTask(
                attributes=json.dumps({_MARK: number})
            )
            async with asyncio.timeout(PATIENCE_SECONDS):
                arrived, reservation_sid, worker_sid = await arrival
            took.append((arrived - began) * 1_000)
            offered.add(worker_sid)
            response = await self._client.routing.AcceptReservation(sid=reservation_sid)
            await self._client.routing.CompleteTask(sid=response.task.sid)
        took.sort()
        return {
            "p50": took[ceil(0.50 * count) - 1],
            "p99": took[ceil(0.99 * count) - 1],
            "workers": len(offered),
        }

    def _begin(self, coroutine: Any) -> None:
        self._tasks.add(asyncio.create_task(coroutine))

    async def _follow(self, worker_sid: str) -> None:
        async for event in self._reservations[worker_sid]:
            if event.reservation is None:
                continue
            if not event.snapshot:
                self._seen[worker_sid].append((event.sequence, event.type))
            if event.type == "reservation.created":
                self._offered(worker_sid, event)

    def _offered(self, worker_sid: str, event: ReservationEvent) -> None:
        assert event.reservation is not None, "an offer is a reservation"
        assert event.task is not None, "of a task"
        attributes = json.loads(event.task.attributes)
        if _MARK in attributes:
            found = (perf_counter(), event.reservation.sid, worker_sid)
            self._offers.pop(attributes[_MARK]).set_result(found)
            return
        self.tell(
            "offered",
            worker=self._workers[worker_sid],
            reservation_sid=event.reservation.sid,
            task_sid=event.task.sid,
            task_queue_sid=event.task.task_queue_sid,
            customer=attributes.get("customerAddress", ""),
            attributes=attributes,
            candidates=event.reservation.candidates,
            rule=event.reservation.choice.rule,
        )

    async def _listen(self, conversation_sid: str) -> None:
        stream = self._conversations[conversation_sid]
        async for event in stream:
            self._seen[conversation_sid].append(event.message.index)
            self.tell(
                "message",
                conversation_sid=conversation_sid,
                author=event.message.author,
                body=event.message.body,
                index=event.message.index,
                sequence=event.sequence,
                resumed=stream.resumed,
            )


async def _main(data: str) -> None:
    async with connect(data=data) as client, Backend(client) as backend:
        backend.tell("ready")
        await backend.serve(
            {
                "work": backend.work,
                "accept": backend.accept,
                "say": backend.say,
                "end": backend.end,
                "complete": backend.complete,
                "seen": backend.seen,
                "burst": backend.burst,
            }
        )


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
