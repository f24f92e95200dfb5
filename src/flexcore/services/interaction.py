"""InteractionService: interactions, their channels and invites."""

from typing import Any

import grpc

from flexcore.domain.model import Interaction, InteractionParticipant, Invite
from flexcore.engine import commands
from flexcore.engine.port import Port
from flexcore.services.convert_interaction import INVITE_STATUS_TEXT
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import list_page
from flexcore.services.session import caller
from flexcore.v1 import interaction_pb2, interaction_service_pb2_grpc
from flexcore.v1 import interaction_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class InteractionService(interaction_service_pb2_grpc.InteractionServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def CreateInteraction(
        self, request: pb.CreateInteractionRequest, context: Context
    ) -> pb.CreateInteractionResponse:
        command = commands.CreateInteraction(
            request_id=request.request_id,
            conversation_sid=request.conversation_sid,
            workspace_sid=request.workspace_sid,
            workflow_sid=request.workflow_sid,
            task_channel=request.task_channel,
            attributes=request.attributes,
            priority=request.priority,
            timeout_seconds=request.timeout.seconds,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateInteractionResponse(), answer)

    async def GetInteraction(
        self, request: pb.GetInteractionRequest, context: Context
    ) -> pb.GetInteractionResponse:
        principal, response = caller(), pb.GetInteractionResponse()
        answer = await self._port.submit(principal, commands.Get(sid=request.sid))
        answer_to_proto(response, answer)
        channel = commands.Get(sid=response.interaction.channel_sid)
        return answer_to_proto(response, await self._port.submit(principal, channel))

    async def ListInteractions(
        self, request: pb.ListInteractionsRequest, context: Context
    ) -> pb.ListInteractionsResponse:
        where = {
            "workspace_sid": request.workspace_sid,
            "conversation_sid": request.conversation_sid,
        }
        page, token = await list_page(self._port, request, Interaction, where)
        return rows_to_proto(
            pb.ListInteractionsResponse(next_page_token=token), page.rows
        )

    async def CloseInteractionChannel(
        self, request: pb.CloseInteractionChannelRequest, context: Context
    ) -> pb.CloseInteractionChannelResponse:
        command = commands.CloseInteractionChannel(
            request_id=request.request_id,
            interaction_sid=request.interaction_sid,
            complete=request.mode == interaction_pb2.CLOSE_MODE_COMPLETE,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CloseInteractionChannelResponse(), answer)

    async def CreateInvite(
        self, request: pb.CreateInviteRequest, context: Context
    ) -> pb.CreateInviteResponse:
        command = commands.CreateInvite(
            request_id=request.request_id,
            interaction_sid=request.interaction_sid,
            workflow_sid=request.workflow_sid,
            task_channel=request.task_channel,
            attributes_patch=request.attributes_patch,
            priority=request.priority,
            timeout_seconds=request.timeout.seconds,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateInviteResponse(), answer)

    async def ListInvites(
        self, request: pb.ListInvitesRequest, context: Context
    ) -> pb.ListInvitesResponse:
        where = {
            "interaction_sid": request.interaction_sid,
            "status": INVITE_STATUS_TEXT[request.status],
        }
        page, token = await list_page(self._port, request, Invite, where)
        return rows_to_proto(pb.ListInvitesResponse(next_page_token=token), page.rows)

    async def ListInteractionParticipants(
        self, request: pb.ListInteractionParticipantsRequest, context: Context
    ) -> pb.ListInteractionParticipantsResponse:
        where = {"interaction_sid": request.interaction_sid}
        page, token = await list_page(
            self._port, request, InteractionParticipant, where
        )
        return rows_to_proto(
            pb.ListInteractionParticipantsResponse(next_page_token=token), page.rows
        )
