"""Who takes part in a conversation, when names and addresses meet twice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import InvalidArgument, ResourceExhausted
from flexcore.domain.model import (
    Conversation,
    Interaction,
    InteractionParticipant,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Sender,
    Task,
    Worker,
)
from flexcore.engine import commands as c
from tests.engines import Running
from tests.staff import hire, offers_of, state_of

ANN = "+15550001111"
BUSINESS = "+15550002222"
OTHER_BUSINESS = "+15550003333"


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    running = await Running(tmp_path / "data", clock).start()
    yield running
    await running.close()


async def add_sender(running: Running, address: str) -> Sender:
    sender, *_ = (
        await running.submit(
            c.CreateSender(
                address=address,
                provider="twilio",
                base_url="https://carrier.example",
                public_url="https://us.example",
                carrier_account_sid="ACx",
                auth_token="secret",
            )
        )
    ).rows
    assert isinstance(sender, Sender)
    return sender


async def converse(running: Running, *members: c.AddParticipant) -> Conversation:
    """Open a conversation of these members, whatever conversation they name."""
    (row,) = (await running.submit(c.CreateConversation())).rows
    for member in members:
        added = c.AddParticipant(
            conversation_sid=row.sid,
            identity=member.identity,
            address=member.address,
            proxy_address=member.proxy_address,
        )
        await running.submit(added)
        running.clock.advance(1)
    assert isinstance(row, Conversation)
    return row


def identity(name: str) -> c.AddParticipant:
    return c.AddParticipant(conversation_sid="", identity=name)


def address(text: str, proxy: str) -> c.AddParticipant:
    return c.AddParticipant(conversation_sid="", address=text, proxy_address=proxy)


async def accept(running: Running, worker: Worker) -> Reservation:
    """Accept the one offer that waits for a worker."""
    (waiting,) = (r for r in offers_of(running, worker) if r.status == "pending")
    await running.submit(c.AcceptReservation(sid=waiting.sid))
    return waiting


def present(running: Running, conversation_sid: str) -> list[str]:
    """Return who takes part now, by identity or address."""
    rows = state_of(running).where(Participant, "conversation_sid", conversation_sid)
    return sorted(row.identity or row.address for row in rows if not row.remove_time)


async def interact(running: Running, conversation: Conversation) -> Interaction:
    create = c.CreateInteraction(conversation_sid=conversation.sid)
    interaction = (await running.submit(create)).rows[0]
    assert isinstance(interaction, Interaction)
    return interaction


async def test_agent_of_two_invites_takes_part_until_the_last_of_them_ends(
    running: Running,
) -> None:
    alice = await hire(running)
    await running.submit(
        c.UpdateWorkerChannel(
            worker_sid=alice.sid, task_channel="default", configured_capacity=2
        )
    )
    conversation = await converse(running, identity("ann"))
    interaction = await interact(running, conversation)
    first = await accept(running, alice)
    await running.submit(c.CreateInvite(interaction_sid=interaction.sid))
    await accept(running, alice)

    await running.submit(c.CompleteTask(sid=first.task_sid))
    assert present(running, conversation.sid) == ["alice", "ann"]


async def test_customer_who_shares_the_name_of_an_agent_stays_when_the_agent_leaves(
    running: Running,
) -> None:
    bob = await hire(running, "bob")
    conversation = await converse(running, identity("alice"))
    interaction = await interact(running, conversation)
    await accept(running, bob)
    alice = await hire(running, "alice")
    await running.submit(c.CreateInvite(interaction_sid=interaction.sid))
    taken = await accept(running, alice)

    await running.submit(c.CompleteTask(sid=taken.task_sid))
    assert present(running, conversation.sid) == ["alice", "bob"]


async def test_worker_renamed_before_accepting_joins_by_the_new_name(
    running: Running,
) -> None:
    alice = await hire(running)
    conversation = await converse(running, identity("ann"))
    await interact(running, conversation)
    await running.submit(c.UpdateWorker(sid=alice.sid, friendly_name="alicia"))

    await accept(running, alice)
    assert present(running, conversation.sid) == ["alicia", "ann"]


async def test_customer_of_an_interaction_is_who_has_an_address(
    running: Running,
) -> None:
    await add_sender(running, BUSINESS)
    conversation = await converse(running, identity("bot"), address(ANN, BUSINESS))
    interaction = await interact(running, conversation)

    rows = state_of(running).where(
        InteractionParticipant, "interaction_sid", interaction.sid
    )
    (ann,) = (
        row
        for row in state_of(running).where(
            Participant, "conversation_sid", conversation.sid
        )
        if row.address == ANN
    )
    assert [row.participant_sid for row in rows] == [ann.sid]


async def test_second_invite_is_for_the_customer_of_the_first(running: Running) -> None:
    await add_sender(running, BUSINESS)
    conversation = await converse(running, identity("bot"), address(ANN, BUSINESS))
    interaction = await interact(running, conversation)
    invited = c.CreateInvite(interaction_sid=interaction.sid)
    task = (await running.submit(invited)).rows[1]

    assert isinstance(task, Task)
    assert f'"customerAddress":"{ANN}"' in task.attributes


async def test_attributes_of_an_invite_are_checked_after_they_were_merged(
    running: Running,
) -> None:
    half = limits.ATTRIBUTES_BYTES * 2 // 3
    conversation = await converse(running, identity("ann"))
    create = c.CreateInteraction(
        conversation_sid=conversation.sid, attributes=f'{{"a":"{"x" * half}"}}'
    )
    interaction = (await running.submit(create)).rows[0]

    with pytest.raises(InvalidArgument, match="at most 65536"):
        await running.submit(
            c.CreateInvite(
                interaction_sid=interaction.sid,
                attributes_patch=f'{{"b":"{"x" * half}"}}',
            )
        )


async def test_invites_whose_tasks_are_open_are_bounded(running: Running) -> None:
    conversation = await converse(running, identity("ann"))
    interaction = await interact(running, conversation)
    invite = c.CreateInvite(interaction_sid=interaction.sid)
    for _ in range(limits.OPEN_INVITES_MAX - 1):
        await running.submit(invite)

    with pytest.raises(ResourceExhausted, match="has 10 open invites"):
        await running.submit(invite)
    await running.submit(c.CloseInteractionChannel(interaction_sid=interaction.sid))


async def _receive(
    running: Running, sender: Sender, sid: str, customer: str = ANN
) -> tuple[Row, ...]:
    received = c.ReceiveMessage(
        endpoint_id=sender.endpoint_id,
        channel_message_sid=sid,
        address=customer,
        proxy_address=sender.address,
        body="hello",
    )
    return (await running.submit(received)).rows


async def test_message_is_of_the_participant_whose_pair_it_came_by(
    running: Running,
) -> None:
    senders = [
        await add_sender(running, BUSINESS),
        await add_sender(running, OTHER_BUSINESS),
    ]
    conversation = await converse(
        running, address(ANN, BUSINESS), address(ANN, OTHER_BUSINESS)
    )

    for sender in senders:
        message = (await _receive(running, sender, "SM1"))[0]
        assert isinstance(message, Message)
        author = state_of(running).need(message.participant_sid, Participant)
        assert author.conversation_sid == conversation.sid
        assert author.proxy_address == sender.address


async def test_author_gets_no_copy_at_any_pair_of_the_same_address(
    running: Running,
) -> None:
    await add_sender(running, BUSINESS)
    await add_sender(running, OTHER_BUSINESS)
    conversation = await converse(
        running, address(ANN, BUSINESS), address(ANN, OTHER_BUSINESS)
    )
    say = c.SendMessage(conversation_sid=conversation.sid, author=ANN, body="hello")

    rows = (await running.submit(say)).rows
    assert [row for row in rows if isinstance(row, Receipt)] == []


async def test_address_with_a_bar_in_it_is_bound_and_found_again(
    running: Running,
) -> None:
    page = await add_sender(running, "messenger:page")
    odd = "messenger:a|b"
    conversation = await converse(running, address(odd, "messenger:page"))
    account = running.engine.accounts()[running.principal.account_sid]
    account.state.shrink(account._durable, 0)

    rows = await _receive(running, page, "m1", odd)
    assert isinstance(rows[0], Message)
    assert rows[0].conversation_sid == conversation.sid


async def test_change_of_an_address_configuration_leaves_open_conversations_alone(
    running: Running,
) -> None:
    sender = await add_sender(running, BUSINESS)
    made = c.CreateAddressConfiguration(address=BUSINESS)
    configuration = (await running.submit(made)).rows[0]
    await _receive(running, sender, "SM1")
    await running.submit(
        c.UpdateAddressConfiguration(sid=configuration.sid, auto_creation="interaction")
    )

    await _receive(running, sender, "SM2")
    assert list(state_of(running).of_kind(Interaction)) == []
