"""ConversationService: conversations and what is said in them."""

from collections.abc import Sequence
from typing import Any

import grpc

from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Conversation, Message, Participant, Receipt
from flexcore.engine import commands
from flexcore.engine.port import Port
from flexcore.services.convert_conversation import (
    CONVERSATION_STATE_TEXT,
    media_from_proto,
)
from flexcore.services.convert_event import conversation_events
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import list_page
from flexcore.services.resume_tokens import ResumeTokens, stream_hash
from flexcore.services.session import caller, session
from flexcore.services.shown import Shown
from flexcore.services.streams import Stream
from flexcore.v1 import conversation_service_pb2 as pb
from flexcore.v1 import conversation_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ConversationService(conversation_service_pb2_grpc.ConversationServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port, shown: Shown) -> None:
        self._port = port
        self._shown = shown

    async def CreateConversation(
        self, request: pb.CreateConversationRequest, context: Context
    ) -> pb.CreateConversationResponse:
        command = commands.CreateConversation(
            request_id=request.request_id,
            friendly_name=request.friendly_name,
            attributes=request.attributes,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateConversationResponse(), answer)

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: Context
    ) -> pb.GetConversationResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetConversationResponse(), answer)

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: Context
    ) -> pb.ListConversationsResponse:
        where = {"state": CONVERSATION_STATE_TEXT[request.state]}
        page, token = await list_page(self._port, request, Conversation, where)
        return rows_to_proto(
            pb.ListConversationsResponse(next_page_token=token), page.rows
        )

    async def CloseConversation(
        self, request: pb.CloseConversationRequest, context: Context
    ) -> pb.CloseConversationResponse:
        command = commands.CloseConversation(
            request_id=request.request_id,
            sid=request.sid,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CloseConversationResponse(), answer)

    async def AddParticipant(
        self, request: pb.AddParticipantRequest, context: Context
    ) -> pb.AddParticipantResponse:
        command = commands.AddParticipant(
            request_id=request.request_id,
            conversation_sid=request.conversation_sid,
            identity=request.identity,
            address=request.address,
            proxy_address=request.proxy_address,
            attributes=request.attributes,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.AddParticipantResponse(), answer)

    async def RemoveParticipant(
        self, request: pb.RemoveParticipantRequest, context: Context
    ) -> pb.RemoveParticipantResponse:
        command = commands.RemoveParticipant(
            request_id=request.request_id,
            sid=request.sid,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.RemoveParticipantResponse(), answer)

    async def ListParticipants(
        self, request: pb.ListParticipantsRequest, context: Context
    ) -> pb.ListParticipantsResponse:
        where = {"conversation_sid": request.conversation_sid}
        page, token = await list_page(self._port, request, Participant, where)
        return rows_to_proto(
            pb.ListParticipantsResponse(next_page_token=token), page.rows
        )

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        command = commands.SendMessage(
            request_id=request.request_id,
            conversation_sid=request.conversation_sid,
            author=request.author,
            body=request.body,
            media=media_from_proto(request.media),
            attributes=request.attributes,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.SendMessageResponse(), answer)

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.GetMessageResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetMessageResponse(), answer)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        where = {"conversation_sid": request.conversation_sid}
        # Messages are listed by index; no sid sorts after "~".
        start = (
            ((request.after_index,), "~") if request.HasField("after_index") else None
        )
        page, token = await list_page(self._port, request, Message, where, start=start)
        return rows_to_proto(pb.ListMessagesResponse(next_page_token=token), page.rows)

    async def ListReceipts(
        self, request: pb.ListReceiptsRequest, context: Context
    ) -> pb.ListReceiptsResponse:
        where = {
            "message_sid": request.message_sid,
            "conversation_sid": request.conversation_sid,
        }
        page, token = await list_page(self._port, request, Receipt, where)
        return rows_to_proto(pb.ListReceiptsResponse(next_page_token=token), page.rows)

    async def WatchConversation(  # type: ignore[override]  # it writes itself
        self, request: pb.WatchConversationRequest, context: Context
    ) -> None:
        sid, principal = request.conversation_sid, caller()
        snapshot = await self._port.submit(principal, commands.Snapshot(sid=sid))
        tokens = ResumeTokens(
            self._port, principal, stream_hash("WatchConversation", sid)
        )
        start = snapshot.sequence
        if request.resume_token:
            start = tokens.read(request.resume_token)

        def show(change_set: ChangeSet) -> Sequence[bytes]:
            events = conversation_events(change_set, self._shown.encode, sid)
            return [field for _, field in events]

        account = principal.account_sid
        telling = self._shown.telling(account, tokens.stream, show)
        stream = Stream(context, tokens, start, telling, pb.WatchConversationResponse)
        if not request.resume_token:
            first = pb.WatchConversationResponse()
            rows_to_proto(first.snapshot, snapshot.rows)
            await stream.write(first, start)
        tail = self._port.tail(principal, start, (sid,))
        await stream.follow(self._port, session(), tail)
