"""AdminService: accounts, keys and the server itself."""

from typing import Any

import grpc
import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import NotFound, PermissionDenied
from flexcore.domain.model import Key
from flexcore.engine import commands
from flexcore.engine.commands import Principal
from flexcore.engine.port import Port
from flexcore.services.convert_admin import server_info_to_proto
from flexcore.services.convert_rows import answer_to_proto, rows_to_proto
from flexcore.services.paging import list_page
from flexcore.services.session import caller
from flexcore.v1 import admin_service_pb2 as pb
from flexcore.v1 import admin_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """Makes commands of calls, and responses of answers."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        info = server_info_to_proto(self._port.info(caller()))
        return pb.GetServerInfoResponse(server_info=info)

    async def CreateAccount(
        self, request: pb.CreateAccountRequest, context: Context
    ) -> pb.CreateAccountResponse:
        command = commands.CreateAccount(
            request_id=request.request_id, friendly_name=request.friendly_name
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.CreateAccountResponse(), answer)

    async def CreateKey(
        self, request: pb.CreateKeyRequest, context: Context
    ) -> pb.CreateKeyResponse:
        principal = caller()
        if request.operator and not principal.operator:
            raise PermissionDenied(
                "CreateKey", "only an operator key can create operator keys"
            )
        command = commands.CreateKey(
            request_id=request.request_id,
            account_sid=_of_account(principal, request.account_sid).account_sid,
            friendly_name=request.friendly_name,
            operator=request.operator,
        )
        answer = await self._port.submit(principal, command)
        response = answer_to_proto(pb.CreateKeyResponse(), answer)
        response.secret = self._port.key_secret(answer.rows[0])
        return response

    async def ListKeys(
        self, request: pb.ListKeysRequest, context: Context
    ) -> pb.ListKeysResponse:
        principal = _of_account(caller(), request.account_sid)
        # A list of nothing would not say that there is no such account.
        self._port.info(principal)
        page, token = await list_page(self._port, request, Key, {}, principal=principal)
        return rows_to_proto(pb.ListKeysResponse(next_page_token=token), page.rows)

    async def RevokeKey(
        self, request: pb.RevokeKeyRequest, context: Context
    ) -> pb.RevokeKeyResponse:
        await self._refuse_operators_key(request)
        command = commands.RevokeKey(
            request_id=request.request_id,
            account_sid=_of_account(caller(), request.account_sid).account_sid,
            sid=request.sid,
        )
        answer = await self._port.submit(caller(), command)
        return answer_to_proto(pb.RevokeKeyResponse(), answer)

    async def _refuse_operators_key(self, request: pb.RevokeKeyRequest) -> None:
        """Let nobody but an operator end the use of an operator's key."""
        if caller().operator:
            return
        keys = await self._port.list(caller(), Key, {}, None, limits.KEYS_MAX)
        theirs = (row for row in keys.rows if isinstance(row, Key) and row.operator)
        if any(key.sid == request.sid for key in theirs):
            raise PermissionDenied("RevokeKey", f"key {request.sid} is an operator's")


def _of_account(principal: Principal, account_sid: str) -> Principal:
    """Return the caller in the account asked for; only an operator may leave its own."""
    if account_sid in ("", principal.account_sid):
        return principal
    if not principal.operator:
        raise NotFound("account", account_sid)
    return msgspec.structs.replace(principal, account_sid=account_sid)
