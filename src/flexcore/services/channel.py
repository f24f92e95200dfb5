"""ChannelService: address configurations and senders."""

from typing import Any

import grpc

from flexcore.domain.model import AddressConfiguration, Sender
from flexcore.engine import commands
from flexcore.engine.port import Port
from flexcore.services.convert_channel import AUTO_CREATION_TEXT, dead_letter_to_proto
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import dead_letter_page, list_page
from flexcore.services.session import caller
from flexcore.v1 import channel_service_pb2 as pb
from flexcore.v1 import channel_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ChannelService(channel_service_pb2_grpc.ChannelServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def CreateAddressConfiguration(
        self, request: pb.CreateAddressConfigurationRequest, context: Context
    ) -> pb.CreateAddressConfigurationResponse:
        command = commands.CreateAddressConfiguration(
            request_id=request.request_id,
            address=request.address,
            friendly_name=request.friendly_name,
            auto_creation=AUTO_CREATION_TEXT[request.auto_creation],
            workspace_sid=request.workspace_sid,
            workflow_sid=request.workflow_sid,
            task_channel=request.task_channel,
            attributes=request.attributes,
            priority=request.priority,
            timeout_seconds=request.timeout.seconds,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateAddressConfigurationResponse(), answer)

    async def GetAddressConfiguration(
        self, request: pb.GetAddressConfigurationRequest, context: Context
    ) -> pb.GetAddressConfigurationResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetAddressConfigurationResponse(), answer)

    async def ListAddressConfigurations(
        self, request: pb.ListAddressConfigurationsRequest, context: Context
    ) -> pb.ListAddressConfigurationsResponse:
        page, token = await list_page(self._port, request, AddressConfiguration, {})
        return rows_to_proto(
            pb.ListAddressConfigurationsResponse(next_page_token=token), page.rows
        )

    async def UpdateAddressConfiguration(
        self, request: pb.UpdateAddressConfigurationRequest, context: Context
    ) -> pb.UpdateAddressConfigurationResponse:
        given = request.HasField
        command = commands.UpdateAddressConfiguration(
            request_id=request.request_id,
            sid=request.sid,
            friendly_name=request.friendly_name if given("friendly_name") else None,
            auto_creation=AUTO_CREATION_TEXT[request.auto_creation]
            if given("auto_creation")
            else None,
            workflow_sid=request.workflow_sid if given("workflow_sid") else None,
            task_channel=request.task_channel if given("task_channel") else None,
            attributes=request.attributes if given("attributes") else None,
            priority=request.priority if given("priority") else None,
            timeout_seconds=request.timeout.seconds or None,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.UpdateAddressConfigurationResponse(), answer)

    async def CreateSender(
        self, request: pb.CreateSenderRequest, context: Context
    ) -> pb.CreateSenderResponse:
        command = commands.CreateSender(
            request_id=request.request_id,
            address=request.address,
            provider=request.provider,
            base_url=request.base_url,
            public_url=request.public_url,
            carrier_account_sid=request.carrier_account_sid,
            auth_token=request.auth_token,
            deduplicates=request.deduplicates,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateSenderResponse(), answer)

    async def GetSender(
        self, request: pb.GetSenderRequest, context: Context
    ) -> pb.GetSenderResponse:
        answer = await self._port.submit(caller(), commands.Get(sid=request.sid))
        return answer_to_proto(pb.GetSenderResponse(), answer)

    async def ListSenders(
        self, request: pb.ListSendersRequest, context: Context
    ) -> pb.ListSendersResponse:
        page, token = await list_page(self._port, request, Sender, {})
        return rows_to_proto(pb.ListSendersResponse(next_page_token=token), page.rows)

    async def UpdateSender(
        self, request: pb.UpdateSenderRequest, context: Context
    ) -> pb.UpdateSenderResponse:
        given = request.HasField
        command = commands.UpdateSender(
            request_id=request.request_id,
            sid=request.sid,
            base_url=request.base_url if given("base_url") else None,
            public_url=request.public_url if given("public_url") else None,
            carrier_account_sid=request.carrier_account_sid
            if given("carrier_account_sid")
            else None,
            auth_token=request.auth_token if given("auth_token") else None,
            deduplicates=request.deduplicates if given("deduplicates") else None,
            expected_version=request.version,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.UpdateSenderResponse(), answer)

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Context
    ) -> pb.ListDeadLettersResponse:
        letters, token = dead_letter_page(self._port, request)
        return pb.ListDeadLettersResponse(
            dead_letters=map(dead_letter_to_proto, letters), next_page_token=token
        )

    async def ReplayDeadLetter(
        self, request: pb.ReplayDeadLetterRequest, context: Context
    ) -> pb.ReplayDeadLetterResponse:
        command = commands.ReplayDeadLetter(
            request_id=request.request_id, sid=request.sid
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.ReplayDeadLetterResponse(), answer)
