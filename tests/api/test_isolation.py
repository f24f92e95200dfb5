"""Nobody reaches another account's resources, and nobody anything without a key."""

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from flexcore.client import Client
from flexcore.v1 import routing_pb2, routing_service_pb2
from tests.api.refusals import unpacked
from tests.api.world import (
    CONFIGURATION,
    METHODS,
    STREAMS,
    World,
    build,
    build_another,
    call,
    path_of,
    rules_of,
)
from tests.factories import make_sid
from tests.serving import Serving

#: fields that take a sid or a name, and what they are refused with: another account's
#: sid is a name nobody has
BY_NAME = {
    "activity": "WA",
    "default_activity": "WA",
    "timeout_activity": "WA",
    "task_channel": "TC",
}
#: fields that hold what names a resource, or a place in a list or stream
HOLDING = {"configuration", "document", "page_token", "resume_token"}


def foreign_fields() -> Iterator[tuple[str, FieldDescriptor]]:
    for rpc, method in METHODS.items():
        for field in method.input_type.fields:
            if rules_of(field).sid or field.name in {*BY_NAME, *HOLDING}:
                yield rpc, field


def foreign_value(world: World, rpc: str, field: FieldDescriptor) -> str | list[str]:
    if field.name in ("page_token", "resume_token"):
        return world.tokens[rpc]
    if field.name == "configuration":
        return CONFIGURATION % world.sids["WQ"]
    if field.name == "document":
        configuration = json.loads(CONFIGURATION % world.sids["WQ"])
        workflow = {"friendly_name": "new", "configuration": configuration}
        return json.dumps({"workflows": [workflow]})
    prefix = BY_NAME.get(field.name) or rules_of(field).sid[0]
    sid = world.sids[prefix]
    return [sid] if field.is_repeated else sid


async def outcome(client: Client, rpc: str, request: Message) -> str:
    """Say how a call ended: its code, `nothing` for an empty page, else `something`."""
    try:
        response: Any = await call(client, rpc, request)
    except grpc.aio.AioRpcError as error:
        return unpacked(error).code
    if rpc.startswith("List") and not response.ListFields():
        return "nothing"
    if rpc == "WatchEvents" and not response.change_sets:
        return "nothing"
    return "something"


async def heads(*clients: Client) -> list[tuple[int, int]]:
    infos = [(await client.admin.GetServerInfo()).server_info for client in clients]
    return [(info.head_sequence, info.account_count) for info in infos]


async def test_another_accounts_sids_are_not_found_wherever_they_are_said(
    serving: Serving,
) -> None:
    owner = await build(serving, serving.client, 1)
    stranger = await build_another(serving)
    before = await heads(owner.client, stranger.client)
    odd = {}
    for rpc, field in foreign_fields():
        value = foreign_value(owner, rpc, field)
        request = stranger.request(rpc, **{field.name: value})
        wanted = {"NOT_FOUND"}
        if field.name in {*BY_NAME, *HOLDING}:
            wanted = {"INVALID_ARGUMENT"}
        elif rpc.startswith(("List", "WatchEvents")):
            wanted = {"NOT_FOUND", "nothing"}
        if (rpc, field.name) == ("ListTasks", "task_channel"):
            wanted = {"nothing"}
        found = await outcome(stranger.client, rpc, request)
        if found not in wanted:
            odd[f"{rpc}.{field.name}"] = found

    assert odd == {}
    assert await heads(owner.client, stranger.client) == before


async def test_a_world_is_whole(serving: Serving) -> None:
    """The tests above would prove nothing with requests that are refused anyway."""
    world = await build(serving, serving.client)
    refused = {}
    for rpc in METHODS:
        other = await build_another(serving) if rpc in CONSUMING else world
        found = await outcome(other.client, rpc, other.request(rpc))
        if found != "something":
            refused[rpc] = found

    assert refused == {"ReplayDeadLetter": "FAILED_PRECONDITION"}
    assert [name for name, token in world.tokens.items() if not token] == []


#: what they leave is not what the others need
CONSUMING = {
    "CloseConversation",
    "CloseInteractionChannel",
    "RemoveParticipant",
    "RevokeKey",
    "CancelTask",
    "CompleteTask",
    "WrapReservation",
    "CompleteReservation",
    "DeleteTask",
    "RejectReservation",
}


async def test_a_chain_leads_to_nobody_of_another_account(serving: Serving) -> None:
    owner = await build(serving, serving.client, 1)
    stranger = await build_another(serving)
    odd = {}
    for prefix in ("WK", "WQ", "WW"):
        target = routing_pb2.RoutingTarget(sid=owner.sids[prefix])
        single = stranger.request("CreateTask", routing_targets=[target])
        task = routing_service_pb2.NewTask(routing_targets=[target])
        batch = stranger.request("BatchCreateTasks", tasks=[task])
        for rpc, request in (("CreateTask", single), ("BatchCreateTasks", batch)):
            found = await outcome(stranger.client, rpc, request)
            if found != "INVALID_ARGUMENT":
                odd[rpc, prefix] = found

    assert odd == {}


async def raw(serving: Serving, rpc: str, *authorization: str) -> str:
    """Call a method with headers of one's own and an empty request; return the code."""
    channel, path = serving.client.grpc_channel, path_of(METHODS[rpc])
    metadata = tuple(("authorization", each) for each in authorization)
    try:
        if rpc in STREAMS:
            await channel.unary_stream(path)(b"", metadata=metadata).read()
        else:
            await channel.unary_unary(path)(b"", metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def test_nothing_is_answered_without_a_good_credential(serving: Serving) -> None:
    made = await serving.client.admin.CreateKey(friendly_name="short-lived")
    key = f"Bearer {made.key.sid}.{made.secret}"
    assert await raw(serving, "GetServerInfo", key) == "OK"
    await serving.client.admin.RevokeKey(sid=made.key.sid)
    before = await heads(serving.client)
    bad = {
        "none": (),
        "malformed": ("Bearer nonsense",),
        "unknown": (f"Bearer {make_sid('SK', 1)}.{made.secret}",),
        "wrong": (re.sub(".$", "x", key),),
        "revoked": (key,),
    }
    odd = {
        (rpc, name): code
        for rpc in METHODS
        for name, authorization in bad.items()
        if (code := await raw(serving, rpc, *authorization)) != "UNAUTHENTICATED"
    }

    assert odd == {}
    assert await heads(serving.client) == before
