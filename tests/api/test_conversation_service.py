"""ConversationService: who takes part, what is said, and how it is followed."""

import asyncio
from typing import Any

from flexcore.v1 import conversation_pb2 as pb
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

CUSTOMER = "+15551234567"
BUSINESS = "+15550000001"
PNG = pb.Media(url="https://example.org/a.png", content_type="image/png")


async def make_sender(serving: Serving, address: str = BUSINESS) -> None:
    await serving.client.channel.CreateSender(
        address=address,
        provider="twilio",
        base_url="http://127.0.0.1:9",
        public_url=serving.http,
        carrier_account_sid="AC1",
        auth_token="token",
    )


async def make_conversation(serving: Serving) -> str:
    """Return the sid of a conversation in which alice takes part."""
    talk = serving.client.conversation
    sid = (await talk.CreateConversation(friendly_name="invoice")).conversation.sid
    await talk.AddParticipant(conversation_sid=sid, identity="alice")
    return str(sid)


async def test_a_conversation_keeps_what_it_was_created_with(serving: Serving) -> None:
    talk = serving.client.conversation
    made = await talk.CreateConversation(friendly_name="x" * 256, attributes='{"a":1}')
    found = (await talk.GetConversation(sid=made.conversation.sid)).conversation

    assert found == made.conversation
    assert (found.friendly_name, found.attributes) == ("x" * 256, '{"a":1}')
    assert found.state == pb.CONVERSATION_STATE_ACTIVE


async def test_messages_count_from_zero_and_keep_what_they_hold(
    serving: Serving,
) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    await talk.SendMessage(conversation_sid=sid, author="alice", body="hello")
    made = await talk.SendMessage(
        conversation_sid=sid, author="system", media=[PNG], attributes='{"a":1}'
    )
    message = (await talk.GetMessage(sid=made.message.sid)).message

    assert message == made.message
    assert (message.index, message.author, message.body) == (1, "system", "")
    assert (list(message.media), message.attributes) == ([PNG], '{"a":1}')
    first = (await talk.ListMessages(conversation_sid=sid)).messages[0]
    assert first.participant_sid
    count = (await talk.GetConversation(sid=sid)).conversation.message_count
    assert count == 2


async def test_messages_are_listed_by_index_from_anywhere(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    for number in range(7):
        await talk.SendMessage(conversation_sid=sid, author="alice", body=str(number))

    async def indexes(**options: Any) -> list[int]:
        found, token = [], ""
        while not found or token:
            page = await talk.ListMessages(
                conversation_sid=sid, page_size=2, page_token=token, **options
            )
            found.extend(message.index for message in page.messages)
            token = page.next_page_token
        return found

    assert await indexes() == [0, 1, 2, 3, 4, 5, 6]
    assert await indexes(after_index=0) == [1, 2, 3, 4, 5, 6]
    assert await indexes(after_index=4) == [5, 6]
    none = await talk.ListMessages(conversation_sid=sid, after_index=6)
    assert not none.messages


async def test_a_message_to_the_outside_has_a_receipt_per_address(
    serving: Serving,
) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    await make_sender(serving)
    for address in (CUSTOMER, "+15551234568"):
        await talk.AddParticipant(
            conversation_sid=sid, address=address, proxy_address=BUSINESS
        )
    sent = await talk.SendMessage(conversation_sid=sid, author="alice", body="hello")

    assert len(sent.receipts) == 2
    assert {one.status for one in sent.receipts} == {pb.RECEIPT_STATUS_QUEUED}
    by_message = (await talk.ListReceipts(message_sid=sent.message.sid)).receipts
    assert {one.sid for one in by_message} == {one.sid for one in sent.receipts}
    by_talk = (await talk.ListReceipts(conversation_sid=sid)).receipts
    assert {one.sid for one in by_talk} == {one.sid for one in sent.receipts}
    elsewhere = make_sid("CH", 1)
    none = await talk.ListReceipts(
        message_sid=sent.message.sid, conversation_sid=elsewhere
    )
    assert not none.receipts


async def test_receipts_are_listed_of_something(serving: Serving) -> None:
    refused = await refusal(serving.client.conversation.ListReceipts())

    assert refused.fields == {"message_sid": "must be given unless conversation_sid is"}


async def test_a_pair_belongs_to_one_open_conversation(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    await make_sender(serving)
    pair = {"address": CUSTOMER, "proxy_address": BUSINESS}
    added = await talk.AddParticipant(conversation_sid=sid, **pair)
    other = await make_conversation(serving)

    refused = await refusal(talk.AddParticipant(conversation_sid=other, **pair))
    assert [*refused] == ["ALREADY_EXISTS", "PAIR_IN_USE"]
    assert refused.metadata["sid"] == sid
    removed = await talk.RemoveParticipant(sid=added.participant.sid)
    assert removed.participant.HasField("remove_time")
    left = (await talk.ListParticipants(conversation_sid=sid)).participants
    assert [one.identity for one in left] == ["alice"]
    await talk.AddParticipant(conversation_sid=other, **pair)


async def test_participants_are_listed_in_their_conversation(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    await talk.AddParticipant(
        conversation_sid=sid, identity="bob", attributes='{"a":1}'
    )
    await make_conversation(serving)
    found = (await talk.ListParticipants(conversation_sid=sid)).participants

    assert {one.identity for one in found} == {"alice", "bob"}
    assert '{"a":1}' in {one.attributes for one in found}


async def test_an_address_without_a_sender_is_refused(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    call = talk.AddParticipant(
        conversation_sid=sid, address=CUSTOMER, proxy_address=BUSINESS
    )
    refused = await refusal(call)

    assert [*refused] == ["FAILED_PRECONDITION", "SENDER_MISSING"]
    assert refused.metadata == {"address": BUSINESS}


async def test_a_participant_is_an_identity_or_an_address(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    neither = await refusal(talk.AddParticipant(conversation_sid=sid))
    both = await refusal(
        talk.AddParticipant(conversation_sid=sid, identity="a", address=CUSTOMER)
    )

    assert neither.fields == {"identity": "must be given unless address is"}
    assert both.code == "INVALID_ARGUMENT"


async def test_a_message_says_something(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    refused = await refusal(talk.SendMessage(conversation_sid=sid, author="alice"))

    assert refused.fields == {"body": "must be given unless media is"}


async def test_a_closed_conversation_takes_no_message(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    closed = (await talk.CloseConversation(sid=sid)).conversation
    assert closed.state == pb.CONVERSATION_STATE_CLOSED
    call = talk.SendMessage(conversation_sid=sid, author="alice", body="hello")

    refused = await refusal(call)
    assert [*refused] == ["FAILED_PRECONDITION", "CONVERSATION_CLOSED"]


async def test_conversations_are_listed_by_state(serving: Serving) -> None:
    talk = serving.client.conversation
    open_sid, closed_sid = [await make_conversation(serving) for _ in range(2)]
    await talk.CloseConversation(sid=closed_sid)

    async def sids(state: Any = 0) -> set[str]:
        page = await talk.ListConversations(state=state)
        return {one.sid for one in page.conversations}

    assert await sids() == {open_sid, closed_sid}
    assert await sids(pb.CONVERSATION_STATE_ACTIVE) == {open_sid}
    assert await sids(pb.CONVERSATION_STATE_CLOSED) == {closed_sid}


async def test_watching_begins_with_a_snapshot_and_shows_what_follows(
    serving: Serving,
) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    other = await make_conversation(serving)
    stream = talk.WatchConversation(conversation_sid=sid)
    snapshot = (await stream.read()).snapshot
    assert snapshot.conversation.sid == sid
    assert [one.identity for one in snapshot.participants] == ["alice"]

    await talk.SendMessage(conversation_sid=other, author="alice", body="elsewhere")
    await talk.SendMessage(conversation_sid=sid, author="alice", body="hello")
    await talk.AddParticipant(conversation_sid=sid, identity="bob")
    await talk.CloseConversation(sid=sid)
    found: list[Any] = []
    while not found or found[-1].type != "conversation.closed":
        found.extend((await stream.read()).events)
    stream.cancel()

    assert [event.type for event in found] == [
        "message.added",
        "participant.added",
        "conversation.closed",
    ]
    assert found[0].message.body == "hello"
    assert found[1].participant.identity == "bob"
    assert found[2].conversation.state == pb.CONVERSATION_STATE_CLOSED


async def test_watching_resumes_without_gap_or_duplicate(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    stream = talk.WatchConversation(conversation_sid=sid)
    token = (await stream.read()).resume_token
    stream.cancel()
    await talk.SendMessage(conversation_sid=sid, author="alice", body="1")
    await serving.restart()
    talk = serving.client.conversation
    await talk.SendMessage(conversation_sid=sid, author="alice", body="2")
    stream = talk.WatchConversation(conversation_sid=sid, resume_token=token)
    found: list[Any] = []
    while len(found) < 2:
        response = await stream.read()
        assert not response.HasField("snapshot")
        found.extend(response.events)
    stream.cancel()

    assert [event.message.body for event in found] == ["1", "2"]


async def test_every_watcher_sees_every_message(serving: Serving) -> None:
    talk, sid = serving.client.conversation, await make_conversation(serving)
    streams = [talk.WatchConversation(conversation_sid=sid) for _ in range(10)]
    for stream in streams:
        await stream.read()
    await asyncio.gather(
        *(
            talk.SendMessage(conversation_sid=sid, author="alice", body=str(number))
            for number in range(20)
        )
    )
    for stream in streams:
        indexes: list[int] = []
        while len(indexes) < 20:
            response = await stream.read()
            indexes.extend(event.message.index for event in response.events)
        stream.cancel()
        assert indexes == list(range(20))
