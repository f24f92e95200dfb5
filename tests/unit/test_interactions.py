"""From a customer's message to an agent in the conversation, and to a clean end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from flexcore.domain.model import (
    Conversation,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Message,
    Participant,
    Reservation,
    Row,
    Sender,
    Task,
    Worker,
)
from flexcore.engine import commands as c
from flexcore.engine.checks import check_account
from flexcore.engine.decision import inbox_key, pair_key
from flexcore.store.interface import InboxEntry, InboxState
from tests.engines import Running

BUSINESS = "+15550002222"
ANN = "+15550001111"


class Desk(Running):
    """An engine with a business number whose messages become interactions."""

    async def open(self, auto_creation: str = "interaction") -> "Desk":
        await self.start()
        answer = await self.submit(
            c.CreateSender(
                address=BUSINESS,
                provider="twilio",
                base_url="https://carrier.example",
                public_url="https://us.example",
                carrier_account_sid="ACx",
                auth_token="secret",
            )
        )
        sender = answer.rows[0]
        assert isinstance(sender, Sender)
        self.endpoint = sender.endpoint_id
        await self.submit(
            c.CreateAddressConfiguration(
                address=BUSINESS,
                auto_creation=auto_creation,
                task_channel="sms",
                attributes='{"language":"en"}',
            )
        )
        return self

    async def receive(self, body: str, sid: str, sender: str = ANN) -> tuple[Row, ...]:
        answer = await self.submit(
            c.ReceiveMessage(
                endpoint_id=self.endpoint,
                channel_message_sid=sid,
                address=sender,
                proxy_address=BUSINESS,
                body=body,
                form=b"Body=" + body.encode(),
            )
        )
        return answer.rows

    async def hire(self, name: str, activity: str = "Available") -> Worker:
        answer = await self.submit(
            c.CreateWorker(workspace_sid="", friendly_name=name, activity=activity)
        )
        worker = answer.rows[0]
        assert isinstance(worker, Worker)
        return worker

    def all(self, kind: type) -> list:  # type: ignore[type-arg]
        state = self.engine.accounts()[self.principal.account_sid].state
        return list(state.of_kind(kind))

    def offer(self, worker: Worker) -> Reservation:
        """Return the newest offer to a worker that waits for an answer."""
        held = [r for r in self.all(Reservation) if r.worker_sid == worker.sid]
        pending = [r for r in held if r.status == "pending"]
        assert pending, "no offer"
        return max(pending, key=lambda row: row.create_time)


@pytest.fixture
async def desk(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Desk]:
    running = await Desk(tmp_path / "data", clock).open()
    yield running
    await running.close()


async def test_first_message_starts_everything_in_one_change_set(desk: Desk) -> None:
    await desk.hire("alice")
    account = desk.engine.accounts()[desk.principal.account_sid]
    before = account.tail.head

    await desk.receive("my invoice is wrong", "SM1")

    change_set = account.tail.find(account.tail.head)
    assert change_set is not None
    assert change_set.first_sequence == before + 1
    assert [event.type for event in change_set.events] == [
        "conversation.created",
        "participant.added",
        "message.added",
        "interaction.created",
        "channel.created",
        "interaction.participant.joined",
        "invite.created",
        "task.created",
        "workflow.entered",
        "task-queue.entered",
        "workflow.target-matched",
        "invite.offered",
        "reservation.created",
    ]


async def test_task_carries_the_attributes_of_the_address_and_of_the_interaction(
    desk: Desk,
) -> None:
    await desk.receive("hello", "SM1")

    (task,) = desk.all(Task)
    (conversation,) = desk.all(Conversation)
    assert '"language":"en"' in task.attributes
    assert f'"conversationSid":"{conversation.sid}"' in task.attributes
    assert f'"customerAddress":"{ANN}"' in task.attributes
    assert '"channelType":"sms"' in task.attributes
    assert task.task_channel_unique_name == "sms"


async def test_two_simultaneous_first_messages_make_one_conversation(
    desk: Desk,
) -> None:
    await asyncio.gather(desk.receive("one", "SM1"), desk.receive("two", "SM2"))

    assert len(desk.all(Conversation)) == 1
    assert len(desk.all(Task)) == 1
    assert [m.index for m in sorted(desk.all(Message), key=lambda m: m.index)] == [0, 1]


async def test_repeated_provider_id_makes_one_message(desk: Desk) -> None:
    await desk.receive("one", "SM1")
    repeated = await desk.receive("one", "SM1")

    assert repeated == ()
    assert len(desk.all(Message)) == 1


async def test_message_of_another_spelling_of_the_number_joins_the_same_conversation(
    desk: Desk,
) -> None:
    await desk.receive("one", "SM1")
    await desk.receive("two", "SM2", "+1 (555) 000-1111")

    assert len(desk.all(Conversation)) == 1


async def test_malformed_number_is_kept_as_a_dead_letter_and_changes_nothing(
    desk: Desk,
) -> None:
    assert await desk.receive("hello", "SM1", "+1555abc") == ()

    assert desk.all(Conversation) == []
    found: list[object] = []
    desk.store.fetch(
        desk.principal.account_sid,
        inbox_key(desk.endpoint, "SM1"),
        lambda _, row: found.append(row),
    )
    (entry,) = found
    assert isinstance(entry, InboxEntry)
    assert entry.state == InboxState.DEAD
    assert "+1555abc is not a phone number" in entry.reason
    assert entry.form == b"Body=hello"
    (letter,) = desk.engine.dead_letters(desk.principal, None, 10)
    assert letter.channel_message_sid == "SM1"


async def test_agent_is_a_participant_when_accept_returns(desk: Desk) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    answer = await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))

    joined = [row for row in answer.rows if isinstance(row, Participant)]
    assert [row.identity for row in joined] == ["alice"]
    (invite,) = desk.all(Invite)
    assert invite.status == "accepted"
    agents = [p for p in desk.all(InteractionParticipant) if p.type == "agent"]
    assert [p.reservation_sid for p in agents] == [invite.reservation_sid]


async def test_answer_of_the_agent_goes_to_the_outbox_and_to_nobody_else(
    desk: Desk,
) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))
    (conversation,) = desk.all(Conversation)
    desk.outbox.clear()
    await desk.submit(
        c.SendMessage(conversation_sid=conversation.sid, author="alice", body="hi")
    )

    assert [(entry.to, entry.body) for entry in desk.outbox] == [(ANN, "hi")]


async def test_end_wraps_the_task_closes_the_conversation_and_releases_the_pair(
    desk: Desk,
) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))
    (interaction,) = desk.all(Interaction)
    await desk.submit(c.CloseInteractionChannel(interaction_sid=interaction.sid))

    (task,) = desk.all(Task)
    (conversation,) = desk.all(Conversation)
    (channel,) = desk.all(InteractionChannel)
    assert (task.status, conversation.state, channel.status) == (
        "wrapping",
        "closed",
        "closed",
    )
    account = desk.engine.accounts()[desk.principal.account_sid]
    assert account.state.lookup(pair_key(ANN, BUSINESS)) is None
    await desk.receive("and another thing", "SM2")
    assert len(desk.all(Conversation)) == 2


async def test_completing_the_wrapped_task_gives_capacity_back(desk: Desk) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    reservation = desk.offer(alice)
    await desk.submit(c.AcceptReservation(sid=reservation.sid))
    await desk.receive("hello too", "SM2", "+15550003333")
    invites = {invite.task_sid: invite for invite in desk.all(Invite)}
    interaction_sid = invites[reservation.task_sid].interaction_sid
    assert sorted(task.status for task in desk.all(Task)) == ["assigned", "pending"]
    await desk.submit(c.CloseInteractionChannel(interaction_sid=interaction_sid))
    assert sorted(task.status for task in desk.all(Task)) == ["pending", "wrapping"]

    await desk.submit(c.CompleteTask(sid=reservation.task_sid))

    assert sorted(task.status for task in desk.all(Task)) == ["completed", "reserved"]


async def test_close_can_be_repeated_and_completes_what_it_wrapped(desk: Desk) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))
    (interaction,) = desk.all(Interaction)
    end = c.CloseInteractionChannel(interaction_sid=interaction.sid)
    await desk.submit(end)
    complete = c.CloseInteractionChannel(interaction_sid=interaction.sid, complete=True)
    await desk.submit(complete)
    await desk.submit(complete)

    (task,) = desk.all(Task)
    assert task.status == "completed"


async def test_last_agent_cannot_complete_its_task_under_an_open_channel(
    desk: Desk,
) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    reservation = desk.offer(alice)
    await desk.submit(c.AcceptReservation(sid=reservation.sid))

    with pytest.raises(FailedPrecondition, match="has the last agent of interaction"):
        await desk.submit(c.CompleteTask(sid=reservation.task_sid))


async def test_second_agent_may_leave_while_the_first_one_stays(desk: Desk) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))
    (interaction,) = desk.all(Interaction)
    bob = await desk.hire("bob")
    # Who talks is no candidate: with equal clocks the older worker would be.
    await desk.submit(c.UpdateWorker(sid=alice.sid, activity="Unavailable"))
    await desk.submit(c.CreateInvite(interaction_sid=interaction.sid))
    second = desk.offer(bob)
    await desk.submit(c.AcceptReservation(sid=second.sid))
    await desk.submit(c.CompleteTask(sid=second.task_sid))

    (conversation,) = desk.all(Conversation)
    present = [p.identity for p in desk.all(Participant) if not p.remove_time]
    assert conversation.state == "active"
    assert sorted(present) == ["", "alice"]


async def test_task_that_is_the_only_way_to_an_agent_cannot_be_canceled(
    desk: Desk,
) -> None:
    await desk.receive("hello", "SM1")
    (task,) = desk.all(Task)

    with pytest.raises(FailedPrecondition, match="is the only way to an agent"):
        await desk.submit(c.CancelTask(sid=task.sid))


async def test_customer_nobody_came_for_is_not_left_in_a_dead_thread(
    desk: Desk, clock: VirtualClock
) -> None:
    await desk.receive("hello", "SM1")
    clock.advance(limits.TASK_TIMEOUT_SECONDS_DEFAULT * limits.SECOND)
    await desk.submit(c.Tick())

    (channel,) = desk.all(InteractionChannel)
    (conversation,) = desk.all(Conversation)
    (invite,) = desk.all(Invite)
    assert (channel.status, channel.close_reason) == ("closed", "Task TTL Exceeded")
    assert conversation.state == "closed"
    assert invite.status == "timed_out"
    await desk.receive("hello again", "SM2")
    assert len(desk.all(Conversation)) == 2


async def test_closing_cancels_the_invites_nobody_accepted(desk: Desk) -> None:
    await desk.receive("hello", "SM1")
    (interaction,) = desk.all(Interaction)
    await desk.submit(c.CloseInteractionChannel(interaction_sid=interaction.sid))

    (task,) = desk.all(Task)
    (invite,) = desk.all(Invite)
    assert (task.status, task.reason) == ("canceled", "interaction ended")
    assert invite.status == "canceled"


async def test_conversation_has_one_open_channel(desk: Desk) -> None:
    await desk.receive("hello", "SM1")
    (conversation,) = desk.all(Conversation)

    with pytest.raises(AlreadyExists):
        await desk.submit(c.CreateInteraction(conversation_sid=conversation.sid))
    with pytest.raises(FailedPrecondition, match="open interaction channel"):
        await desk.submit(c.CloseConversation(sid=conversation.sid))


async def test_pair_is_bound_to_one_open_conversation(desk: Desk) -> None:
    await desk.receive("hello", "SM1")
    other = (await desk.submit(c.CreateConversation())).rows[0]
    add = c.AddParticipant(
        conversation_sid=other.sid, address=ANN, proxy_address=BUSINESS
    )

    with pytest.raises(AlreadyExists, match="is bound to conversation CH"):
        await desk.submit(add)


async def test_closed_conversation_takes_no_message(desk: Desk) -> None:
    conversation = (await desk.submit(c.CreateConversation())).rows[0]
    await desk.submit(c.CloseConversation(sid=conversation.sid))

    with pytest.raises(FailedPrecondition, match="is closed"):
        await desk.submit(
            c.SendMessage(conversation_sid=conversation.sid, author="a", body="b")
        )


async def test_body_longer_than_the_channel_takes_is_refused(desk: Desk) -> None:
    await desk.receive("hello", "SM1")
    (conversation,) = desk.all(Conversation)

    with pytest.raises(InvalidArgument, match="is 1601 characters long"):
        await desk.submit(
            c.SendMessage(
                conversation_sid=conversation.sid, author="system", body="x" * 1601
            )
        )


async def test_business_address_belongs_to_one_account(desk: Desk) -> None:
    other = await desk.engine.submit(
        desk.principal, c.CreateAccount(friendly_name="other")
    )
    who = c.Principal(other.rows[0].sid, "SKx")

    with pytest.raises(AlreadyExists, match="belongs to another account"):
        await desk.engine.submit(who, c.CreateAddressConfiguration(address=BUSINESS))


async def test_another_accounts_sid_is_not_found(desk: Desk) -> None:
    await desk.receive("hello", "SM1")
    (task,) = desk.all(Task)
    other = await desk.engine.submit(
        desk.principal, c.CreateAccount(friendly_name="other")
    )
    who = c.Principal(other.rows[0].sid, "SKx")

    with pytest.raises(Exception, match=f"task {task.sid} not found"):
        await desk.engine.submit(who, c.Get(sid=task.sid))


async def test_without_auto_creation_a_message_is_a_dead_letter(
    tmp_path: Path, clock: VirtualClock
) -> None:
    desk = await Desk(tmp_path / "data", clock).open("none")

    assert await desk.receive("hello", "SM1") == ()
    assert desk.all(Conversation) == []
    await desk.close()


async def test_default_auto_creation_makes_a_conversation_without_a_task(
    tmp_path: Path, clock: VirtualClock
) -> None:
    desk = await Desk(tmp_path / "data", clock).open("default")
    await desk.receive("hello", "SM1")

    assert len(desk.all(Conversation)) == 1
    assert desk.all(Task) == []
    await desk.close()


async def test_interaction_can_be_created_on_a_conversation_later(
    tmp_path: Path, clock: VirtualClock
) -> None:
    desk = await Desk(tmp_path / "data", clock).open("default")
    await desk.receive("hello", "SM1")
    (conversation,) = desk.all(Conversation)
    answer = await desk.submit(c.CreateInteraction(conversation_sid=conversation.sid))

    assert [type(row) for row in answer.rows] == [
        Interaction,
        InteractionChannel,
        Invite,
        Task,
    ]
    await desk.close()


async def vanish(desk: Desk, clock: VirtualClock, worker: Worker) -> None:
    """Let a worker be lost who was connected."""
    for cause in ("connect", "silence"):
        await desk.submit(c.NotePresence(cause=cause, worker_sids=(worker.sid,)))
    clock.advance(60 * limits.SECOND)
    await desk.submit(c.Tick())


async def test_a_customer_whose_agent_vanished_gets_another_in_the_same_conversation(
    desk: Desk, clock: VirtualClock
) -> None:
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))
    await vanish(desk, clock, alice)

    (invite,) = desk.all(Invite)
    assert (invite.status, invite.reservation_sid) == ("pending", "")
    assert {row.identity for row in desk.all(Participant) if not row.remove_time} == {
        ""
    }
    assert [row.status for row in desk.all(InteractionParticipant)].count("left") == 1

    bob = await desk.hire("bob")
    await desk.submit(c.AcceptReservation(sid=desk.offer(bob).sid))
    await desk.receive("are you there", "SM2")

    (conversation,) = desk.all(Conversation)
    assert conversation.message_count == 2
    (invite,) = desk.all(Invite)
    assert invite.status == "accepted"
    assert {row.identity for row in desk.all(Participant) if not row.remove_time} == {
        "",
        "bob",
    }
    assert check_account(desk.store, desk.principal.account_sid) == []


async def test_a_vanished_agent_of_the_last_chance_closes_the_channel(
    desk: Desk, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ASSIGNMENTS_MAX", 1)
    alice = await desk.hire("alice")
    await desk.receive("hello", "SM1")
    await desk.submit(c.AcceptReservation(sid=desk.offer(alice).sid))
    await vanish(desk, clock, alice)

    (channel,) = desk.all(InteractionChannel)
    assert channel.status == "closed"
    assert check_account(desk.store, desk.principal.account_sid) == []
