"""What tests of the engine begin with: workers who are there, tasks, offers."""

import asyncio
from collections.abc import Callable

from flexcore.domain.errors import FlexcoreError
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Interaction, Reservation, Task, Worker
from flexcore.engine import commands as c
from flexcore.engine.account import Account
from flexcore.engine.state import State
from flexcore.store.interface import OutboxEntry
from tests.engines import Running

#: real seconds after which something that should happen is called missing
PATIENCE = 10.0


def account_of(running: Running) -> Account:
    return running.engine.accounts()[running.principal.account_sid]


def state_of(running: Running) -> State:
    return account_of(running).state


async def hire(running: Running, name: str = "alice") -> Worker:
    """Add a worker who is available."""
    hired = c.CreateWorker(workspace_sid="", friendly_name=name, activity="Available")
    return (await running.submit(hired)).rows[0]


async def add_task(running: Running, **fields: object) -> Task:
    return (await running.submit(c.CreateTask(**fields))).rows[0]


def offers_of(running: Running, worker: Worker) -> list[Reservation]:
    """Return what a worker holds, as decided."""
    return state_of(running).where(Reservation, "open_worker_sid", worker.sid)


async def offer(running: Running, **fields: object) -> Reservation:
    """Add a worker and a task, and return the offer that follows."""
    worker = await hire(running)
    await add_task(running, **fields)
    (reservation,) = offers_of(running, worker)
    return reservation


async def outbound(running: Running) -> OutboxEntry:
    """Send a message to a customer, and return its outbox entry."""
    sender = c.CreateSender(
        address="+15550002222",
        provider="twilio",
        base_url="http://127.0.0.1:1",
        public_url="http://127.0.0.1:2",
        carrier_account_sid="AC" + "c" * 32,
        auth_token="token",
    )
    await running.submit(sender)
    conversation = (await running.submit(c.CreateConversation())).rows[0]
    customer = c.AddParticipant(
        conversation_sid=conversation.sid,
        address="+15550001111",
        proxy_address="+15550002222",
    )
    await running.submit(customer)
    message = c.SendMessage(
        conversation_sid=conversation.sid, author="system", body="hello"
    )
    await running.submit(message)
    return running.outbox[-1]


async def interact(running: Running) -> Interaction:
    """Return an interaction whose agent has accepted."""
    worker = await hire(running)
    conversation = (await running.submit(c.CreateConversation())).rows[0]
    ann = c.AddParticipant(conversation_sid=conversation.sid, identity="ann")
    await running.submit(ann)
    create = c.CreateInteraction(conversation_sid=conversation.sid)
    interaction = (await running.submit(create)).rows[0]
    (reservation,) = offers_of(running, worker)
    await running.submit(c.AcceptReservation(sid=reservation.sid))
    return interaction


async def until(true: Callable[[], bool]) -> None:
    """Let everybody else run until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 it looks at others, who know nothing of it
            await asyncio.sleep(0)


async def settle() -> None:
    """Let everybody run who can without time moving or a commit ending."""
    for _ in range(50):
        await asyncio.sleep(0)


async def attempted(running: Running) -> None:
    """Wait until what the store's thread has begun is known to the committer."""
    thread = running.engine._committer._thread
    await asyncio.get_running_loop().run_in_executor(thread, lambda: None)
    await settle()


async def error_of(answer: "asyncio.Future[c.Answer]") -> FlexcoreError:
    """Return what a submitted command was refused with."""
    try:
        async with asyncio.timeout(PATIENCE):
            found = await answer
    except FlexcoreError as error:
        return error
    raise AssertionError(f"answered with {found}")


def log_of(running: Running) -> list[ChangeSet]:
    """Return the whole durable log of the account."""
    sid = running.principal.account_sid
    return list(running.store.read_log(sid, 0, "", 1 << 24))


def event_types(change_sets: list[ChangeSet]) -> list[str]:
    return [event.type for change_set in change_sets for event in change_set.events]
