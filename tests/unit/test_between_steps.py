"""What memory drops, or a restart takes away, makes no difference to what is decided.

Each street is walked three times: undisturbed, with everything droppable dropped before
every step, and with a restart before every step. The log must tell the same.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import FailedPrecondition
from flexcore.domain.limits import SECOND
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import (
    Conversation,
    Interaction,
    Invite,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Sender,
    Task,
    Worker,
    Workflow,
)
from flexcore.domain.states import ReceiptStatus
from flexcore.engine import commands as c
from flexcore.engine.checks import check_account
from tests.engines import Running

BUSINESS = "+15550002222"
ANN = "+15550001111"

R = TypeVar("R", bound=Row)


class Walk:
    """An engine that is disturbed before every step."""

    def __init__(self, data: Path, clock: VirtualClock, disturbance: str) -> None:
        self._data = data
        self._clock = clock
        self._disturbance = disturbance
        self._starts = 0
        self.running: Running

    async def begin(self) -> None:
        """Open the data; ids differ from those of the start before."""
        self._starts += 1
        running = Running(self._data, self._clock, seed=self._starts)
        self.running = await running.start()

    async def step(self, command: c.Command) -> tuple[Row, ...]:
        """Disturb, then decide a command."""
        await self._disturb()
        return (await self.running.submit(command)).rows

    async def refuse(self, *commands: c.Command) -> None:
        """Disturb, and see each command refused for the state of what it names."""
        for command in commands:
            with pytest.raises(FailedPrecondition):
                await self.step(command)

    async def wait(self, seconds: float) -> None:
        """Disturb, then let time pass and what became due be decided."""
        await self._disturb()
        self._clock.advance(int(seconds * SECOND))
        await self._settled()
        await self.running.submit(c.Tick())
        await self._settled()

    async def _disturb(self) -> None:
        await self._settled()
        if self._disturbance == "restart":
            await self.running.close()
            await self.begin()
        elif self._disturbance == "eviction":
            for account in self.running.engine.accounts().values():
                account.state.shrink(account._durable, 0)

    async def _settled(self) -> None:
        accounts = self.running.engine.accounts().values()
        async with asyncio.timeout(10):
            while not all(account.idle for account in accounts):  # noqa: ASYNC110 a level
                await asyncio.sleep(0)

    async def rows(self, kind: type[R], **where: str) -> list[R]:
        """Return rows from the disk, oldest first."""
        await self._settled()
        page = await self.running.engine.list(
            self.running.principal, kind, where, None, 1000
        )
        return [row for row in page.rows if isinstance(row, kind)]

    async def offer(self, name: str) -> Reservation:
        """Return the offer that waits for a worker."""
        rows = await self.rows(Reservation, status="pending")
        (found,) = (row for row in rows if row.worker_name == name)
        return found

    async def hire(self, name: str) -> Worker:
        hired = c.CreateWorker(
            workspace_sid="", friendly_name=name, activity="Available"
        )
        worker, *_ = await self.step(hired)
        assert isinstance(worker, Worker)
        return worker

    def log(self) -> list[ChangeSet]:
        sid = self.running.principal.account_sid
        return list(self.running.store.read_log(sid, 0, "", 1 << 24))


async def routing_street(walk: Walk) -> None:
    """Offer, reject, time out, accept, wrap, complete, cancel; change on the way."""
    (workflow,) = await walk.rows(Workflow)
    await walk.step(
        c.UpdateWorkflow(sid=workflow.sid, task_reservation_timeout_seconds=30)
    )
    alice = await walk.hire("alice")
    (task,) = await walk.step(c.CreateTask(attributes='{"a":1}', timeout_seconds=900))
    first = await walk.offer("alice")
    await walk.step(c.RejectReservation(sid=first.sid, activity="Unavailable"))
    await walk.step(c.UpdateWorker(sid=alice.sid, activity="Available"))
    await walk.wait(31)
    await walk.step(c.UpdateTask(sid=task.sid, attributes_patch='{"b":2}', priority=3))
    await walk.step(c.UpdateWorker(sid=alice.sid, activity="Available"))
    again = await walk.offer("alice")
    await walk.step(c.AcceptReservation(sid=again.sid))
    await walk.step(c.Snapshot(sid=alice.sid))
    await walk.step(
        c.UpdateWorkerChannel(
            worker_sid=alice.sid, task_channel="default", configured_capacity=2
        )
    )
    (other,) = await walk.step(c.CreateTask(timeout_seconds=60))
    await walk.offer("alice")
    await walk.step(
        c.UpdateWorker(
            sid=alice.sid, activity="Offline", reject_pending_reservations=True
        )
    )
    (third,) = await walk.step(c.CreateTask())
    await walk.step(c.CancelTask(sid=third.sid, reason="not needed"))
    await walk.step(c.WrapTask(sid=task.sid))
    await walk.wait(61)
    await walk.step(c.CompleteTask(sid=task.sid))
    await walk.refuse(
        c.UpdateTask(sid=task.sid, priority=1),
        c.WrapTask(sid=task.sid),
        c.CompleteTask(sid=task.sid),
        c.CancelTask(sid=other.sid),
        c.AcceptReservation(sid=again.sid),
        c.RejectReservation(sid=first.sid),
    )
    for sid in (task.sid, other.sid, third.sid, first.sid, again.sid):
        (row,) = await walk.step(c.Get(sid=sid))
        assert row.sid == sid
    for row in await walk.rows(Task):
        assert row.status in ("completed", "canceled")


async def customer_street(walk: Walk) -> None:
    """From a first message to the second conversation, with two agents and receipts."""
    sender = await _configure(walk)
    await walk.hire("alice")
    await walk.hire("bob")
    # Alice has been there longer; from then on it is bob who has been idle longer.
    await walk.wait(1)
    await _receive(walk, sender, "SM1")
    (conversation,) = await walk.rows(Conversation)
    (interaction,) = await walk.rows(Interaction)
    reservation = await walk.offer("alice")
    await walk.step(c.AcceptReservation(sid=reservation.sid))
    await _answer(walk, sender, conversation.sid)
    await walk.step(c.CreateInvite(interaction_sid=interaction.sid))
    await walk.step(c.AcceptReservation(sid=(await walk.offer("bob")).sid))
    await walk.step(
        c.AddParticipant(conversation_sid=conversation.sid, identity="coach")
    )
    await walk.step(c.WrapTask(sid=reservation.task_sid))
    await walk.step(c.CompleteTask(sid=reservation.task_sid))
    await walk.step(c.CreateInvite(interaction_sid=interaction.sid))
    await _receive(walk, sender, "SM2")
    await walk.step(c.CloseInteractionChannel(interaction_sid=interaction.sid))
    await walk.step(
        c.CloseInteractionChannel(interaction_sid=interaction.sid, complete=True)
    )
    closed = await walk.step(c.CloseInteractionChannel(interaction_sid=interaction.sid))
    assert closed[0].sid == interaction.sid
    await walk.refuse(
        c.CreateInvite(interaction_sid=interaction.sid),
        c.CompleteTask(sid=reservation.task_sid),
        c.AcceptReservation(sid=reservation.sid),
        c.CloseConversation(sid=conversation.sid),
        c.SendMessage(conversation_sid=conversation.sid, author="alice", body="late"),
    )
    await _receive(walk, sender, "SM3")
    assert len(await walk.rows(Conversation)) == 2
    await _look_at_everything(walk, conversation.sid, interaction.sid)


async def conversation_street(walk: Walk) -> None:
    """A conversation without routing: sends that fail, a dead letter, a clean end."""
    sender = await _configure(walk, "default")
    await _receive(walk, sender, "SM1")
    (conversation,) = await walk.rows(Conversation)
    bot, *_ = await walk.step(
        c.AddParticipant(conversation_sid=conversation.sid, identity="bot")
    )
    say = c.SendMessage(conversation_sid=conversation.sid, author="bot", body="hello")
    _, receipt = await walk.step(say)
    entry_sid = "OB" + receipt.sid[2:]
    await walk.step(c.AttemptSend(sid=entry_sid))
    await walk.step(c.ReportSend(sid=entry_sid, outcome="refused", text="no"))
    await walk.step(c.ReplayDeadLetter(sid=entry_sid))
    await walk.step(c.AttemptSend(sid=entry_sid))
    await walk.step(c.ReportSend(sid=entry_sid, outcome="unknown"))
    await _status(walk, sender, receipt.sid, ReceiptStatus.DELIVERED)
    await walk.step(c.RemoveParticipant(sid=bot.sid))
    await _receive(walk, sender, "SM1")
    await walk.step(c.CreateInteraction(conversation_sid=conversation.sid))
    (interaction,) = await walk.rows(Interaction)
    await walk.wait(90_000)
    (closed,) = await walk.rows(Conversation)
    assert closed.state == "closed"
    (after,) = await walk.step(c.Get(sid=receipt.sid))
    assert isinstance(after, Receipt)
    assert after.status == "delivered"
    (created,) = await walk.step(c.CreateConversation())
    await walk.step(
        c.AddParticipant(
            conversation_sid=created.sid, address=ANN, proxy_address=BUSINESS
        )
    )
    await walk.step(c.Snapshot(sid=created.sid))
    await walk.step(c.CloseConversation(sid=created.sid))
    await _receive(walk, sender, "SM2")
    await _look_at_everything(walk, conversation.sid, interaction.sid)


async def _configure(walk: Walk, auto_creation: str = "interaction") -> Sender:
    sender, *_ = await walk.step(
        c.CreateSender(
            address=BUSINESS,
            provider="twilio",
            base_url="https://carrier.example",
            public_url="https://us.example",
            carrier_account_sid="ACx",
            auth_token="secret",
        )
    )
    assert isinstance(sender, Sender)
    configuration = c.CreateAddressConfiguration(
        address=BUSINESS, auto_creation=auto_creation, task_channel="sms"
    )
    await walk.step(configuration)
    return sender


async def _receive(walk: Walk, sender: Sender, sid: str) -> None:
    await walk.step(
        c.ReceiveMessage(
            endpoint_id=sender.endpoint_id,
            channel_message_sid=sid,
            address=ANN,
            proxy_address=BUSINESS,
            body="hello",
        )
    )


async def _answer(walk: Walk, sender: Sender, conversation_sid: str) -> None:
    """Say something, have it sent and delivered."""
    say = c.SendMessage(conversation_sid=conversation_sid, author="alice", body="hi")
    _, receipt = await walk.step(say)
    entry_sid = "OB" + receipt.sid[2:]
    await walk.step(c.AttemptSend(sid=entry_sid))
    await walk.step(
        c.ReportSend(sid=entry_sid, outcome="sent", channel_message_sid="SMx")
    )
    await _status(walk, sender, receipt.sid, ReceiptStatus.DELIVERED, "SMx")


async def _status(
    walk: Walk,
    sender: Sender,
    receipt_sid: str,
    status: ReceiptStatus,
    channel_message_sid: str = "SMx",
) -> None:
    await walk.step(
        c.ReceiveStatus(
            endpoint_id=sender.endpoint_id,
            receipt_sid=receipt_sid,
            channel_message_sid=channel_message_sid,
            status=status,
        )
    )


async def _look_at_everything(
    walk: Walk, conversation_sid: str, interaction_sid: str
) -> None:
    rows: list[Row] = []
    for kind in (Message, Participant, Receipt):
        rows += await walk.rows(kind, conversation_sid=conversation_sid)
    rows += await walk.rows(Invite, interaction_sid=interaction_sid)
    rows += await walk.rows(Task)
    rows += await walk.rows(Reservation)
    for row in rows:
        assert await walk.step(c.Get(sid=row.sid)) == (row,)


Street = Callable[[Walk], Awaitable[None]]


async def _events(street: Street, data: Path, disturbance: str) -> list[str]:
    """Walk a street and return what its log tells, without what a restart adds."""
    walk = Walk(data, VirtualClock(), disturbance)
    await walk.begin()
    await street(walk)
    await walk._settled()
    log = walk.log()
    assert check_account(walk.running.store, walk.running.principal.account_sid) == []
    await walk.running.close()
    return [
        event.type
        for change_set in log
        for event in change_set.events
        if event.type != "reservation.extended"
    ]


@pytest.mark.parametrize("disturbance", ["eviction", "restart"])
@pytest.mark.parametrize(
    "street", [routing_street, customer_street, conversation_street]
)
async def test_log_is_the_same_whatever_memory_lost_between_two_steps(
    street: Street, disturbance: str, tmp_path: Path
) -> None:
    expected = await _events(street, tmp_path / "undisturbed", "nothing")
    found = await _events(street, tmp_path / "disturbed", disturbance)

    assert Counter(found) == Counter(expected)
    assert found == expected
