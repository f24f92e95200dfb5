"""Desks that accept what they are offered and complete it at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.sessions import Session, followed, hire, opened
from flexcore.client import Client, connect
from flexcore.v1 import routing_service_pb2 as pb


class Desks:
    """The workers of some sessions; whoever made a task is told what becomes of it."""

    def __init__(self, client: Client, sessions: list[Session]) -> None:
        self.client = client
        self.sessions = sessions
        #: what came so far
        self.events = 0
        self.messages = 0
        #: called with the number of a task when it is offered
        self.offered: Callable[[int], None] = lambda _: None
        self._completed: dict[int, asyncio.Future[None]] = {}

    async def work(self, number: int) -> int:
        """Make a task of that number; return the place in the log when it is done."""
        done = self._completed[number] = asyncio.get_running_loop().create_future()
        made = await self.client.routing.CreateTask(
            attributes=json.dumps({"number": number, "language": "en"})
        )
        await done
        return int(made.sequence)

    async def work_at_once(self, count: int, more: Callable[[int], bool]) -> int:
        """Keep so many tasks on their way while `more` says so; return how many."""
        numbers = 0

        async def one() -> None:
            nonlocal numbers
            sequence = 0
            while more(sequence):
                numbers += 1
                sequence = await self.work(-numbers)

        await asyncio.gather(*(one() for _ in range(count)))
        return numbers

    def handle(
        self, response: pb.AgentSessionResponse
    ) -> Iterator[pb.AgentSessionRequest]:
        """Take a message, and say what the workers do about it."""
        self.messages += bool(response.events)
        self.events += len(response.events)
        for result in response.results:
            if result.status:
                raise RuntimeError(f"refused: {result}")
        for event in response.events:
            offer = event.reservation
            if event.type == "reservation.created":
                self.offered(_number(event))
                accept = pb.AcceptReservationRequest(sid=offer.sid)
                yield _command(event, "accept", accept_reservation=accept)
            elif event.type == "reservation.accepted":
                complete = pb.CompleteReservationRequest(sid=offer.sid)
                yield _command(event, "complete", complete_reservation=complete)
            elif event.type == "reservation.completed":
                self._completed.pop(_number(event)).set_result(None)


@asynccontextmanager
async def staffed(
    target: str, data: Path, sessions: int, workers: int
) -> AsyncIterator[Desks]:
    """Make workers and hold them in so many sessions."""
    async with connect(target, data=data) as client:
        sids = await hire(client, workers)
        groups = (sids[number::sessions] for number in range(sessions))
        async with opened(target, data, groups) as held:
            desks = Desks(client, held)
            async with followed(held, desks.handle):
                yield desks


def _number(event: pb.ReservationEvent) -> int:
    return int(json.loads(event.task.attributes)["number"])


def _command(
    event: pb.ReservationEvent, verb: str, **what: object
) -> pb.AgentSessionRequest:
    offer = event.reservation
    command = pb.AgentCommand(
        command_id=f"{verb} {offer.sid}", worker_sid=offer.worker_sid, **what
    )
    return pb.AgentSessionRequest(command=command)
