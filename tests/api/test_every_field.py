"""No field is accepted and ignored: each one, set to another value, makes a difference.

A difference is in the answer, in the refusal, or in what the log says of the change. Two
copies of one world are asked, one with the field and one without; a field that has no value in
the tables below fails, so that a new one comes with its own.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.services.excerpt import change_set_to_proto
from flexcore.v1 import (
    channel_pb2,
    conversation_pb2,
    interaction_pb2,
    policy_pb2,
    routing_pb2,
    routing_service_pb2,
    worker_requests_pb2,
    workspace_requests_pb2,
)
from tests.api.refusals import refusal, unpacked
from tests.api.world import (
    CONFIGURATION,
    METHODS,
    Template,
    World,
    call,
    mutating,
    rules_of,
)
from tests.factories import make_sid
from tests.serving import Serving

PICTURE = conversation_pb2.Media(
    url="https://example.org/a.png", content_type="image/png"
)


def now(world: World) -> Timestamp:
    """The time at which a world is complete."""
    seconds, rest = divmod(world.serving.clock.now(), limits.SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


#: another value than the default, by field, wherever it is
VALUES: dict[str, Any] = {
    "activity": "Unavailable",
    "activity_name": "Offline",
    "assignment_callback_url": "http://127.0.0.1:9/offers",
    "attributes_expression": "a > 5",
    "after_index": 0,
    "attributes": '{"z":1}',
    "attributes_patch": '{"z":1}',
    "auth_token": "another secret",
    "author": "system",
    "auto_creation": channel_pb2.AUTO_CREATION_NONE,
    "available": True,
    "base_url": "http://127.0.0.1:10",
    "body": "bye",
    "carrier_account_sid": "AC2",
    "configuration": lambda world: CONFIGURATION % world.tokens["other_queue"],
    "configured_capacity": 5,
    "deduplicates": True,
    "default_activity": "Available",
    "disposition": "sold",
    "document": '{"activities":[{"friendly_name":"another"}]}',
    "end_time": lambda world: Timestamp(seconds=now(world).seconds),
    "fallback_assignment_callback_url": "https://example.org/offers",
    "friendly_name": "another",
    "identity": "carl",
    "max_reserved_workers": 5,
    "media": [PICTURE],
    "minutes": 1,
    "mode": interaction_pb2.CLOSE_MODE_COMPLETE,
    "operator": True,
    "order_by": "create_time desc",
    "page_size": 1,
    "policies": policy_pb2.Policies(refusal_limit=7),
    "prioritize_queue_order": policy_pb2.TASK_ORDER_LIFO,
    "priority": 7,
    "provider": "pigeon",
    "public_url": "https://other.example.org",
    "reason": "enough",
    "routing_targets": lambda world: [
        routing_pb2.RoutingTarget(sid=world.tokens["other_queue"])
    ],
    "service_level_threshold": Duration(seconds=33),
    "short_abandon_threshold": Duration(seconds=33),
    "start_now": True,
    "start_sequence": 30,
    "sids": lambda world: [world.tokens["other_queue"]],
    "split_by_wait_time": [7],
    "start_time": now,
    "semantics": policy_pb2.SEMANTICS_COMPAT,
    "state": conversation_pb2.CONVERSATION_STATE_CLOSED,
    "target_workers": "a > 5",
    "target_workers_expression": "a > 5",
    "task_channel": "sms",
    "task_order": policy_pb2.TASK_ORDER_LIFO,
    "task_queue_name": "shut",
    "task_queue_sids": lambda world: [world.tokens["other_queue"]],
    "task_queue_sid": lambda world: world.tokens["other_queue"],
    "task_reservation_timeout": Duration(seconds=33),
    "tasks": lambda world: [
        routing_service_pb2.NewTask(workflow_sid=world.sids["WW"], priority=3)
    ],
    "template": workspace_requests_pb2.WORKSPACE_TEMPLATE_FIFO,
    "timeout": Duration(seconds=60),
    "timeout_activity": "Available",
    "types": ["message"],
    "unique_name": "another",
    "vanished_queue": "shut",
    "version": 99,
    "virtual_start_time": Timestamp(seconds=1_000),
    "worker_attributes": '{"a":1}',
    "workers": [worker_requests_pb2.NewWorker(friendly_name="another")],
    "workflow_name": "second",
    "workflow_sid": lambda world: world.tokens["other_workflow"],
    "workspace_sid": lambda world: world.tokens["other_workspace"],
}
#: the same, where one RPC differs
VALUES_OF: dict[tuple[str, str], Any] = {
    ("AddParticipant", "address"): lambda world: world.address(20),
    ("AddParticipant", "proxy_address"): lambda world: world.address(2),
    ("CreateAddressConfiguration", "address"): lambda world: world.address(21),
    ("CreateSender", "address"): lambda world: world.address(21),
    ("ListInvites", "status"): interaction_pb2.INVITE_STATUS_ACCEPTED,
    ("ListReservations", "statuses"): [routing_pb2.RESERVATION_STATUS_ACCEPTED],
    ("ListTasks", "statuses"): [routing_pb2.TASK_STATUS_ASSIGNED],
    ("ListReceipts", "message_sid"): lambda world: world.sids["IM"],
    ("UpdateWorkerChannel", "available"): False,
}
#: what a field needs beside it to mean something, in both requests
BESIDE: dict[tuple[str, str], Any] = {
    # All of a world happened within a second; a start and a length are one too many.
    **{
        (rpc, "minutes"): lambda world: {"start_time": now(world)}
        for rpc in METHODS
        if rpc.endswith("Statistics")
    },
    ("AddParticipant", "address"): lambda world: {
        "identity": "",
        "address": world.address(22),
        "proxy_address": world.address(1),
    },
    ("AddParticipant", "proxy_address"): lambda world: {
        "identity": "",
        "address": world.address(22),
        "proxy_address": world.address(1),
    },
    ("ListReceipts", "conversation_sid"): lambda world: {
        "message_sid": world.sids["IM"],
        "conversation_sid": "",
    },
    **{
        ("UpdateWorker", field): lambda _: {"activity": "Unavailable"}
        for field in ("reject_pending_reservations", "after_current_work")
    },
}
#: what these do is in a log that is no account's
DIRECTORY = {"CreateAccount", "CreateKey", "RevokeKey"}
SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
#: fields that all lists, or all streams, or all mutations have
PLACES = {"page_token", "resume_token"}
#: what only shows where there is more than one page
PAGED = {"page_token", "order_by"}
REPEATS = "request_id"


def _fields(rpc: str) -> list[FieldDescriptor]:
    fields = METHODS[rpc].input_type.fields
    return [field for field in fields if field.name != REPEATS]


def value_of(world: World, rpc: str, field: FieldDescriptor) -> Any:
    """Return a value of a field that no request has by itself."""
    if field.name in PLACES:
        return world.tokens[rpc]
    value = VALUES_OF.get((rpc, field.name), VALUES.get(field.name))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL and value is None:
        value = True
    if value is None and rules_of(field).sid:
        value = make_sid(rules_of(field).sid[0], 1)
    assert value is not None, f"{rpc}.{field.name} has no other value in this test"
    return value(world) if callable(value) else value


def beside(world: World, rpc: str, field: str) -> dict[str, Any]:
    base = {"page_size": 1} if field in PAGED else {}
    return BESIDE[rpc, field](world) if (rpc, field) in BESIDE else base


class Observer:
    """Asks, and tells what can be seen of it, in words that two worlds share."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._engine = serving.server.engine

    async def outcome(self, world: World, rpc: str, request: Message) -> str:
        account_sid = world.sids["AC"]
        head = self._engine.accounts()[account_sid].tail.head
        try:
            response = await call(world.client, rpc, request)
        except grpc.aio.AioRpcError as error:
            refused = unpacked(error)
            seen: list[Any] = [refused.code, refused.reason, sorted(refused.fields)]
        else:
            seen = [MessageToDict(response)]
            seen += self._tokens(response)
            if rpc in DIRECTORY:
                del seen[0]["sequence"]
        seen += self._events(account_sid, head)
        return _without_names(world, json.dumps(_ordered(seen)))

    def _events(self, account_sid: str, after: int) -> list[Any]:
        """Return what the log says of the change."""
        found = []
        store = self._serving.server._store
        for change_set in store.read_log(account_sid, after, "", 1 << 24):
            shown = change_set_to_proto(change_set)
            assert shown is not None
            shown.command_id = ""
            found.append(MessageToDict(shown))
        return found

    def _tokens(self, response: Any) -> list[str]:
        """Return the secrets of a carrier or of callbacks, which no answer shows."""
        if response.DESCRIPTOR.name == "UpdateWorkspaceResponse":
            sid = response.workspace.sid
            rows = (each.state.rows for each in self._engine.accounts().values())
            row = next(found[sid] for found in rows if sid in found)
            secrets = self._engine.callback_secrets("AC", row)
            return [secret.hex() for secret in secrets]
        if "sender" not in response.DESCRIPTOR.fields_by_name:
            return []
        endpoint = self._engine.endpoint(response.sender.inbound_url.rpartition("/")[2])
        return [endpoint.auth_token]


def _ordered(seen: Any) -> Any:
    """Sort what one command made and is listed in any order."""
    if isinstance(seen, dict):
        return {name: _ordered(value) for name, value in seen.items()}
    if not isinstance(seen, list):
        return seen
    return sorted(map(_ordered, seen), key=lambda each: SID.sub("", json.dumps(each)))


def _without_names(world: World, text: str) -> str:
    """Name sids and times by their first appearance; cut what is drawn or its own."""
    names = dict(world.names)

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"{found[0][:2]}#{len(names)}")

    text = re.sub(rf"{SID.pattern}|\d{{4}}-\d\d-\d\dT[0-9:.]+Z", name, text)
    text = re.sub(r"/inbound/twilio/[^/\"]+", "/inbound", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "secret", text)
    text = re.sub(r'"(?:nextPageToken|resumeToken)": "[^"]*"', '"token"', text)
    return text.replace(f"+1555{world.number:03}", "+1555")


class Asker:
    """Asks one RPC: one world is enough for reads, a change takes a new one."""

    def __init__(self, template: Template, folder: Path, rpc: str) -> None:
        self._template = template
        self._folder = folder
        self._rpc = rpc
        self._asked = 0

    async def ask(self, field: FieldDescriptor, *, changed: bool) -> str:
        """Return what is seen with a field changed, or as it is beside it."""
        self._asked += 1
        rpc = self._rpc
        async with self._template.copied(self._folder / str(self._asked)) as world:
            fields = beside(world, rpc, field.name)
            if changed:
                fields[field.name] = value_of(world, rpc, field)
            request = world.request(rpc, **fields)
            return await Observer(world.serving).outcome(world, rpc, request)


#: RPCs that change something; no world has given a message up
CHANGING = [
    rpc
    for rpc, method in METHODS.items()
    if mutating(method) and rpc != "ReplayDeadLetter"
]
#: what makes an update one that changes something
CHANGE: dict[str, dict[str, Any]] = {
    "UpdateWorker": {"friendly_name": "carl"},
    "UpdateWorkerChannel": {"configured_capacity": 5},
    "UpdateActivity": {"friendly_name": "carl"},
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("template") / "data")


@pytest.mark.slow
@pytest.mark.parametrize("rpc", [rpc for rpc in METHODS if _fields(rpc)])
async def test_every_field_makes_a_difference(
    template: Template, tmp_path: Path, rpc: str
) -> None:
    asker, ignored = Asker(template, tmp_path, rpc), []
    #: by what is beside the field, which most have nothing
    plain: dict[str, str] = {}
    for field in _fields(rpc):
        key = (
            field.name
            if (rpc, field.name) in BESIDE or field.name in {*PLACES, *PAGED}
            else ""
        )
        if key not in plain:
            plain[key] = await asker.ask(field, changed=False)
        if await asker.ask(field, changed=True) == plain[key]:
            ignored.append(field.name)

    assert ignored == []
    # Or everything would look like a difference.
    first = _fields(rpc)[0]
    assert await asker.ask(first, changed=False) == plain[""]


def nested() -> Iterator[tuple[str, FieldDescriptor, FieldDescriptor]]:
    """Yield every field of a message that is itself in a request."""
    for rpc, method in METHODS.items():
        for field in method.input_type.fields:
            if field.message_type and field.message_type.file.package == "flexcore.v1":
                yield from (
                    (rpc, field, inner)
                    for inner in field.message_type.fields
                    # A file has the fields of Media tested elsewhere.
                    if field.message_type.name != "Media"
                )


#: what such a message holds besides, by its name
INNER: dict[str, Any] = {
    "NewTask": lambda world: {"workflow_sid": world.sids["WW"]},
    "NewWorker": lambda _: {"friendly_name": "newer"},
    "Policies": lambda _: {},
    "RoutingTarget": lambda world: {"sid": world.sids["WK"]},
}


def inner_value(world: World, field: FieldDescriptor) -> Any:
    """Return another value of a field of such a message."""
    if field.name in VALUES or rules_of(field).sid:
        return value_of(world, "", field)
    if field.name == "wait":
        return Duration(seconds=7)
    # A policy: of words the one that no preset has, if there is one.
    words = [each.number for each in field.enum_type.values] if field.enum_type else [7]
    return True if field.cpp_type == field.CPPTYPE_BOOL else words[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rpc", "field", "inner"),
    list(nested()),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
async def test_every_field_in_a_field_makes_a_difference(
    template: Template,
    tmp_path: Path,
    rpc: str,
    field: FieldDescriptor,
    inner: FieldDescriptor,
) -> None:
    seen = []
    kind = GetMessageClass(field.message_type)
    for changed in (False, True):
        async with template.copied(tmp_path / str(changed)) as world:
            given = INNER[field.message_type.name](world)
            if changed:
                given[inner.name] = inner_value(world, inner)
            value = kind(**given)
            request = world.request(
                rpc, **{field.name: [value] if field.is_repeated else value}
            )
            observer = Observer(world.serving)
            seen.append(await observer.outcome(world, rpc, request))

    assert seen[0] != seen[1]


@pytest.mark.parametrize("rpc", CHANGING)
async def test_every_request_id_makes_a_repeat_safe(
    template: Template, tmp_path: Path, rpc: str
) -> None:
    async with template.copied(tmp_path / "data") as world:
        fields = {"request_id": "once", **CHANGE.get(rpc, {})}
        request = world.request(rpc, **fields)
        first, again = [await call(world.client, rpc, request) for _ in range(2)]
        field = next(each for each in _fields(rpc) if each.name not in fields)
        fields[field.name] = value_of(world, rpc, field)
        refused = await refusal(call(world.client, rpc, world.request(rpc, **fields)))

    assert again == first
    assert [*refused] == ["INVALID_ARGUMENT", "REQUEST_ID_REUSED"]
