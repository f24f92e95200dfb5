"""InteractionService: a customer gets an agent, and everything ends together."""

from typing import Any

from google.protobuf.duration_pb2 import Duration

from flexcore.v1 import conversation_pb2, routing_pb2
from flexcore.v1 import interaction_pb2 as pb
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


async def make_agent(serving: Serving, name: str = "alice") -> str:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity="Available"
    )
    return str(made.worker.sid)


async def make_interaction(serving: Serving, **fields: object) -> Any:
    """Bind a conversation with a chat customer to routing."""
    talk = serving.client.conversation
    sid = (await talk.CreateConversation()).conversation.sid
    await talk.AddParticipant(conversation_sid=sid, identity="customer")
    return await serving.client.interaction.CreateInteraction(
        conversation_sid=sid, **fields
    )


async def accept(serving: Serving, worker_sid: str) -> Any:
    routing = serving.client.routing
    page = await routing.ListReservations(
        worker_sid=worker_sid, statuses=[routing_pb2.RESERVATION_STATUS_PENDING]
    )
    (found,) = page.reservations
    return await routing.AcceptReservation(sid=found.sid)


async def test_an_interaction_makes_a_channel_an_invite_and_a_task(
    serving: Serving,
) -> None:
    made = await make_interaction(
        serving,
        task_channel="chat",
        attributes='{"skill":"billing"}',
        priority=3,
        timeout=Duration(seconds=60),
    )

    assert made.channel.sid == made.interaction.channel_sid
    assert made.channel.type == "chat"
    assert made.channel.status == pb.INTERACTION_CHANNEL_STATUS_ACTIVE
    assert made.invite.status == pb.INVITE_STATUS_PENDING
    assert made.invite.task_sid == made.task.sid
    assert made.task.invite_sid == made.invite.sid
    assert '"skill":"billing"' in made.task.attributes
    assert (made.task.priority, made.task.timeout.seconds) == (3, 60)
    assert made.task.task_channel_unique_name == "chat"


async def test_an_interaction_is_returned_with_its_channel(serving: Serving) -> None:
    made = await make_interaction(serving)
    found = await serving.client.interaction.GetInteraction(sid=made.interaction.sid)

    assert found.interaction == made.interaction
    assert found.channel == made.channel


async def test_who_accepts_joins_the_conversation(serving: Serving) -> None:
    interaction = serving.client.interaction
    worker_sid = await make_agent(serving)
    made = await make_interaction(serving)
    sid = made.interaction.sid
    accepted = await accept(serving, worker_sid)

    assert accepted.participant.identity == "alice"
    assert accepted.participant.conversation_sid == made.interaction.conversation_sid
    assert accepted.interaction_participant.worker_sid == worker_sid
    page = await interaction.ListInteractionParticipants(interaction_sid=sid)
    agent, customer = sorted(page.participants, key=lambda one: -one.type)
    assert agent == accepted.interaction_participant
    assert agent.type == pb.INTERACTION_PARTICIPANT_TYPE_AGENT
    assert customer.type == pb.INTERACTION_PARTICIPANT_TYPE_CUSTOMER
    (invite,) = (await interaction.ListInvites(interaction_sid=sid)).invites
    assert invite.status == pb.INVITE_STATUS_ACCEPTED
    assert invite.reservation_sid == accepted.reservation.sid


async def test_closing_wraps_up_and_closing_again_completes(serving: Serving) -> None:
    interaction = serving.client.interaction
    worker_sid = await make_agent(serving)
    sid = (await make_interaction(serving)).interaction.sid
    await accept(serving, worker_sid)
    closed = await interaction.CloseInteractionChannel(interaction_sid=sid)

    assert closed.channel.status == pb.INTERACTION_CHANNEL_STATUS_CLOSED
    assert closed.conversation.state == conversation_pb2.CONVERSATION_STATE_CLOSED
    assert [task.status for task in closed.tasks] == [routing_pb2.TASK_STATUS_WRAPPING]
    done = await interaction.CloseInteractionChannel(
        interaction_sid=sid, mode=pb.CLOSE_MODE_COMPLETE
    )
    assert [task.status for task in done.tasks] == [routing_pb2.TASK_STATUS_COMPLETED]


async def test_closing_to_complete_completes_at_once(serving: Serving) -> None:
    worker_sid = await make_agent(serving)
    sid = (await make_interaction(serving)).interaction.sid
    await accept(serving, worker_sid)
    done = await serving.client.interaction.CloseInteractionChannel(
        interaction_sid=sid, mode=pb.CLOSE_MODE_COMPLETE
    )

    assert [task.status for task in done.tasks] == [routing_pb2.TASK_STATUS_COMPLETED]


async def test_one_more_agent_is_invited_with_inherited_attributes(
    serving: Serving,
) -> None:
    interaction = serving.client.interaction
    made = await make_interaction(serving, attributes='{"a":1,"b":2}')
    sid = made.interaction.sid
    more = await interaction.CreateInvite(
        interaction_sid=sid,
        attributes_patch='{"a":null,"c":3}',
        priority=5,
        task_channel="sms",
        timeout=Duration(seconds=30),
    )

    assert '"a"' not in more.task.attributes
    assert '"b":2' in more.task.attributes
    assert '"c":3' in more.task.attributes
    assert (more.task.priority, more.task.timeout.seconds) == (5, 30)
    assert more.task.task_channel_unique_name == "sms"
    pending = await interaction.ListInvites(
        interaction_sid=sid, status=pb.INVITE_STATUS_PENDING
    )
    assert {one.sid for one in pending.invites} == {made.invite.sid, more.invite.sid}
    accepted = await interaction.ListInvites(
        interaction_sid=sid, status=pb.INVITE_STATUS_ACCEPTED
    )
    assert not accepted.invites


async def test_interactions_are_listed_by_what_they_bind(serving: Serving) -> None:
    interaction = serving.client.interaction
    one, two = [(await make_interaction(serving)).interaction for _ in range(2)]

    async def sids(**filters: str) -> set[str]:
        page = await interaction.ListInteractions(**filters)
        return {each.sid for each in page.interactions}

    assert await sids() == {one.sid, two.sid}
    assert await sids(conversation_sid=two.conversation_sid) == {two.sid}
    assert await sids(workspace_sid=one.workspace_sid) == {one.sid, two.sid}
    assert await sids(workspace_sid=make_sid("WS", 1)) == set()


async def test_a_conversation_has_one_open_interaction_channel(
    serving: Serving,
) -> None:
    made = await make_interaction(serving)
    call = serving.client.interaction.CreateInteraction(
        conversation_sid=made.interaction.conversation_sid
    )
    refused = await refusal(call)

    assert refused.code == "ALREADY_EXISTS"
    assert refused.metadata["sid"] == made.channel.sid


async def test_a_conversation_in_an_interaction_closes_with_its_channel_only(
    serving: Serving,
) -> None:
    made = await make_interaction(serving)
    call = serving.client.conversation.CloseConversation(
        sid=made.interaction.conversation_sid
    )

    assert [*await refusal(call)] == ["FAILED_PRECONDITION", "CHANNEL_OPEN"]


async def test_the_last_agent_does_not_leave_a_customer_alone(
    serving: Serving,
) -> None:
    worker_sid = await make_agent(serving)
    made = await make_interaction(serving)
    await accept(serving, worker_sid)
    refused = await refusal(serving.client.routing.CompleteTask(sid=made.task.sid))

    assert [*refused] == ["FAILED_PRECONDITION", "CHANNEL_OPEN"]
    assert refused.metadata["sid"] == made.interaction.sid


async def test_a_closed_channel_takes_no_invite(serving: Serving) -> None:
    interaction = serving.client.interaction
    sid = (await make_interaction(serving)).interaction.sid
    closed = await interaction.CloseInteractionChannel(interaction_sid=sid)
    assert [task.status for task in closed.tasks] == [routing_pb2.TASK_STATUS_CANCELED]

    refused = await refusal(interaction.CreateInvite(interaction_sid=sid))
    assert refused.code == "FAILED_PRECONDITION"


async def test_a_workflow_says_which_workspace_an_interaction_is_of(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    second = await workspace.CreateWorkspace(
        friendly_name="second", template="WORKSPACE_TEMPLATE_FIFO"
    )
    sid = second.workspace.sid
    (flow,) = (await workspace.ListWorkflows(workspace_sid=sid)).workflows
    made = await make_interaction(serving, workflow_sid=flow.sid)

    assert made.task.workspace_sid == sid


async def test_a_conversation_nobody_takes_part_in_is_no_interaction(
    serving: Serving,
) -> None:
    talk = (await serving.client.conversation.CreateConversation()).conversation
    call = serving.client.interaction.CreateInteraction(conversation_sid=talk.sid)
    refused = await refusal(call)

    assert [*refused] == ["FAILED_PRECONDITION", "CUSTOMER_MISSING"]
    assert refused.metadata == {"sid": talk.sid}
