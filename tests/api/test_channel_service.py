"""ChannelService: business addresses, and the carriers behind them."""

from typing import Any

from google.protobuf.duration_pb2 import Duration

from flexcore.engine.commands import ReceiveMessage
from flexcore.v1 import channel_pb2 as pb
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

ADDRESS = "+15550000001"
SENDER = {
    "address": ADDRESS,
    "provider": "twilio",
    "base_url": "https://api.example.org",
    "public_url": "https://desk.example.org/",
    "carrier_account_sid": "AC1",
    "auth_token": "very secret",
}


async def other_account(serving: Serving) -> Any:
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    return await serving.connect(f"{made.key.sid}.{made.secret}")


async def test_a_sender_shows_its_webhooks_and_never_its_secret(
    serving: Serving,
) -> None:
    channel = serving.client.channel
    made = (await channel.CreateSender(**SENDER, deduplicates=True)).sender

    assert made.inbound_url.startswith("https://desk.example.org/inbound/twilio/")
    assert made.status_url == f"{made.inbound_url}/status"
    assert len(made.inbound_url.rpartition("/")[2]) >= 32
    assert made.deduplicates
    found = (await channel.GetSender(sid=made.sid)).sender
    (listed,) = (await channel.ListSenders()).senders
    assert made == found == listed
    assert b"very secret" not in made.SerializeToString()
    stream = serving.client.event.WatchEvents()
    log = await stream.read()
    stream.cancel()
    assert b"very secret" not in log.SerializeToString()


async def test_going_live_changes_a_sender_and_keeps_its_webhooks(
    serving: Serving,
) -> None:
    channel = serving.client.channel
    made = (await channel.CreateSender(**SENDER)).sender
    changed = (
        await channel.UpdateSender(
            sid=made.sid,
            version=made.version,
            base_url="https://live.example.org",
            public_url="https://live.desk.example.org",
            carrier_account_sid="AC2",
            auth_token="another",
            deduplicates=True,
        )
    ).sender

    assert changed.base_url == "https://live.example.org"
    assert changed.carrier_account_sid == "AC2"
    assert changed.deduplicates
    endpoint = made.inbound_url.rpartition("/")[2]
    assert changed.inbound_url == (
        f"https://live.desk.example.org/inbound/twilio/{endpoint}"
    )
    assert serving.server.engine.endpoint(endpoint).auth_token == "another"


async def test_an_address_has_one_sender_of_one_account(serving: Serving) -> None:
    channel = serving.client.channel
    made = (await channel.CreateSender(**SENDER)).sender
    again = await refusal(channel.CreateSender(**SENDER))
    assert [*again] == ["ALREADY_EXISTS", "RESOURCE_EXISTS"]
    assert again.metadata["sid"] == made.sid

    stranger = await other_account(serving)
    taken = await refusal(stranger.channel.CreateSender(**SENDER))
    assert taken.code == "ALREADY_EXISTS"
    assert made.sid not in str(taken.metadata)
    assert (await refusal(stranger.channel.GetSender(sid=made.sid))).code == "NOT_FOUND"


async def test_an_address_configuration_keeps_what_it_was_created_with(
    serving: Serving,
) -> None:
    channel = serving.client.channel
    made = (
        await channel.CreateAddressConfiguration(
            address="+1 (555) 000-0001",
            friendly_name="hotline",
            auto_creation=pb.AUTO_CREATION_INTERACTION,
            task_channel="sms",
            attributes='{"a":1}',
            priority=4,
            timeout=Duration(seconds=600),
        )
    ).address_configuration

    assert (made.address, made.friendly_name) == (ADDRESS, "hotline")
    assert made.auto_creation == pb.AUTO_CREATION_INTERACTION
    assert made.workspace_sid
    assert made.workflow_sid
    assert made.task_channel_sid
    assert (made.attributes, made.priority, made.timeout.seconds) == ('{"a":1}', 4, 600)
    found = await channel.GetAddressConfiguration(sid=made.sid)
    assert found.address_configuration == made
    (listed,) = (await channel.ListAddressConfigurations()).address_configurations
    assert listed == made


async def test_an_address_configuration_starts_a_conversation_by_default(
    serving: Serving,
) -> None:
    made = await serving.client.channel.CreateAddressConfiguration(address=ADDRESS)

    found = made.address_configuration
    assert found.auto_creation == pb.AUTO_CREATION_DEFAULT
    assert not found.HasField("timeout")


async def test_a_workflow_says_which_workspace_an_address_leads_to(
    serving: Serving,
) -> None:
    workspace, channel = serving.client.workspace, serving.client.channel
    second = await workspace.CreateWorkspace(
        friendly_name="second", template="WORKSPACE_TEMPLATE_FIFO"
    )
    sid = second.workspace.sid
    (flow,) = (await workspace.ListWorkflows(workspace_sid=sid)).workflows
    made = await channel.CreateAddressConfiguration(
        address=ADDRESS,
        auto_creation=pb.AUTO_CREATION_INTERACTION,
        workflow_sid=flow.sid,
    )

    assert made.address_configuration.workspace_sid == sid


async def test_an_update_changes_what_is_given(serving: Serving) -> None:
    channel = serving.client.channel
    made = (
        await channel.CreateAddressConfiguration(
            address=ADDRESS, friendly_name="hotline", priority=4
        )
    ).address_configuration
    changed = (
        await channel.UpdateAddressConfiguration(
            sid=made.sid, version=1, auto_creation=pb.AUTO_CREATION_NONE, priority=0
        )
    ).address_configuration

    assert changed.auto_creation == pb.AUTO_CREATION_NONE
    assert (changed.friendly_name, changed.priority) == ("hotline", 0)
    changed = (
        await channel.UpdateAddressConfiguration(
            sid=made.sid,
            friendly_name="",
            auto_creation=pb.AUTO_CREATION_INTERACTION,
            task_channel="chat",
            attributes='{"b":1}',
            timeout=Duration(seconds=9),
        )
    ).address_configuration
    assert (changed.friendly_name, changed.attributes) == ("", '{"b":1}')
    assert changed.timeout.seconds == 9
    assert changed.workflow_sid
    refused = await refusal(
        channel.UpdateAddressConfiguration(sid=made.sid, version=1, priority=1)
    )
    assert refused.code == "ABORTED"


async def test_an_interaction_needs_a_workflow_that_exists(serving: Serving) -> None:
    refused = await refusal(
        serving.client.channel.CreateAddressConfiguration(
            address=ADDRESS,
            auto_creation=pb.AUTO_CREATION_INTERACTION,
            workflow_sid=make_sid("WW", 1),
        )
    )

    assert refused.code == "NOT_FOUND"
    made = await serving.client.channel.CreateAddressConfiguration(address=ADDRESS)
    assert made.address_configuration.address == ADDRESS


async def test_a_message_nobody_takes_is_listed_as_a_dead_letter(
    serving: Serving,
) -> None:
    channel = serving.client.channel
    made = (await channel.CreateSender(**SENDER)).sender
    endpoint_id = made.inbound_url.rpartition("/")[2]
    engine = serving.server.engine
    await engine.submit(
        engine.endpoint(endpoint_id).principal,
        ReceiveMessage(
            endpoint_id=endpoint_id,
            channel_message_sid="SM1",
            address="+15550001111",
            proxy_address=ADDRESS,
            body="is anybody there?",
        ),
    )
    (letter,) = (await channel.ListDeadLetters()).dead_letters

    assert letter.channel_message_sid == "SM1"
    assert letter.sid == ""
    assert "no conversation is open" in letter.reason
    assert (
        await serving.client.admin.GetServerInfo()
    ).server_info.dead_letter_count == 1


async def test_only_what_was_given_up_can_be_replayed(serving: Serving) -> None:
    error = await refusal(serving.client.channel.ReplayDeadLetter(sid=make_sid("OB")))

    assert list(error) == ["NOT_FOUND", "RESOURCE_NOT_FOUND"]
