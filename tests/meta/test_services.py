"""The services are those that were agreed on, and keep what they say in common."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc_tools
import pytest
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from flexcore.domain import limits
from flexcore.domain.errors import Kind, Reason
from flexcore.domain.ids import RESOURCES
from flexcore.server import GRPC_OPTIONS
from flexcore.services import (
    admin,
    channel,
    conversation,
    event,
    interaction,
    routing,
    workspace,
)
from flexcore.services.policy import Access, policy_of
from flexcore.services.registry import SERVICES
from flexcore.v1 import error_pb2, rules_pb2
from tests.api.refusals import examples

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"

NAMES = [
    "RoutingService",
    "InteractionService",
    "ConversationService",
    "WorkspaceService",
    "ChannelService",
    "EventService",
    "AdminService",
]
READ_FIRST = NAMES[:3]
SERVICERS = (
    routing.RoutingService,
    interaction.InteractionService,
    conversation.ConversationService,
    workspace.WorkspaceService,
    channel.ChannelService,
    event.EventService,
    admin.AdminService,
)
METHODS = [method for service in SERVICES for method in service.methods]
READS = ("Get", "List", "Stream", "Watch", "Explain", "Export", "AgentSession")
CODES = {kind.name for kind in Kind}

#: what a field of this name may hold, everywhere
FIELD_LIMITS = {
    "friendly_name": {limits.FRIENDLY_NAME_CHARS, limits.CONVERSATION_NAME_CHARS},
    "unique_name": {limits.UNIQUE_NAME_CHARS},
    "identity": {limits.IDENTITY_CHARS},
    "author": {limits.IDENTITY_CHARS},
    "address": {limits.ADDRESS_CHARS},
    "proxy_address": {limits.ADDRESS_CHARS},
    "request_id": {limits.REQUEST_ID_CHARS},
    "reason": {limits.REASON_CHARS},
    "body": {limits.BODY_CHARS},
    "target_workers": {limits.EXPRESSION_CHARS},
    "target_workers_expression": {limits.EXPRESSION_CHARS},
    "attributes_expression": {limits.EXPRESSION_CHARS},
    "disposition": {limits.DISPOSITION_CHARS},
    "base_url": {limits.URL_CHARS},
    "public_url": {limits.URL_CHARS},
}
FIELD_MAXIMA = {
    "timeout": limits.TASK_TIMEOUT_SECONDS_MAX,
    "task_reservation_timeout": limits.RESERVATION_TIMEOUT_SECONDS_MAX,
    "configured_capacity": limits.CAPACITY_MAX,
    "minutes": limits.STATISTICS_MINUTES_MAX,
    "max_reserved_workers": limits.RESERVED_WORKERS_MAX,
    "wait": limits.TASK_TIMEOUT_SECONDS_MAX,
}
FIELD_ITEMS = {
    "media": limits.MEDIA_COUNT,
    "routing_targets": limits.ROUTES_MAX,
    "tasks": limits.BATCH_MAX,
    "workers": limits.BATCH_MAX,
    "split_by_wait_time": limits.SPLITS_MAX,
    "sids": limits.STATISTICS_QUEUES_MAX,
    "task_queue_sids": limits.STATISTICS_QUEUES_MAX,
}


#: the tag and the length of a field, or the tag and a number
OVERHEAD_BYTES = 16
SID_CHARS = 34


def name_of(method: MethodDescriptor) -> str:
    return str(method.name)


def mutating(method: MethodDescriptor) -> bool:
    return not method.name.startswith(READS)


def fields_of(message: Descriptor) -> Iterator[FieldDescriptor]:
    """Yield the fields of a message and of our own messages in it."""
    for field in message.fields:
        yield field
        if field.message_type and field.message_type.file.package == "flexcore.v1":
            yield from fields_of(field.message_type)


def rules_of(field: FieldDescriptor) -> rules_pb2.FieldRules:
    return field.GetOptions().Extensions[rules_pb2.rules]


@pytest.fixture(scope="module")
def comments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The comment of every RPC and service, from the protos themselves."""
    out = tmp_path_factory.mktemp("descriptors") / "set"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "--include_source_info"),
            *(f"-I{PROTOS}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"),
            f"--descriptor_set_out={out}",
            *map(str, PROTOS.rglob("*_service.proto")),
        ],
        check=True,
    )
    found = {}
    for file in FileDescriptorSet.FromString(out.read_bytes()).file:
        for location in file.source_code_info.location:
            match list(location.path):
                case [6, service, 2, rpc]:
                    name = file.service[service].method[rpc].name
                    found[name] = location.leading_comments
                case [12]:
                    head = location.leading_comments
                    found[file.service[0].name] = head
    return found


def errors_of(comment: str) -> set[str]:
    _, _, errors = comment.partition("\n Errors:")
    return set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", errors))


def test_there_are_these_services() -> None:
    assert [service.name for service in SERVICES] == NAMES


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_has_few_rpcs(service: ServiceDescriptor) -> None:
    """What is read first at most 25; set-up has five for each kind of thing."""
    most = 25 if service.name in READ_FIRST else 40

    assert 1 <= len(service.methods) <= most


@pytest.mark.parametrize("name", READ_FIRST)
def test_what_is_read_first_opens_with_its_model_and_a_normal_day(
    name: str, comments: dict[str, str]
) -> None:
    head = comments[name]

    assert 12 <= len(head.strip().splitlines()) <= 18
    assert "The five calls of a normal day:" in head


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_an_rpc_names_the_codes_it_fails_with(
    method: MethodDescriptor, comments: dict[str, str]
) -> None:
    words = errors_of(comments[method.name])
    named = words & CODES
    fields = method.input_type.fields_by_name

    assert named, "the comment has no line that begins with Errors:"
    assert words <= CODES | {reason.name for reason in Reason}
    if "sid" in fields:
        assert "NOT_FOUND" in named
    if "version" in fields:
        assert "ABORTED" in named
    if "page_token" in fields:
        assert "INVALID_ARGUMENT" in named
    if "resume_token" in fields:
        assert named >= {"OUT_OF_RANGE", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED"}


@pytest.mark.parametrize(
    "method", [each for each in METHODS if mutating(each)], ids=name_of
)
def test_a_mutating_rpc_takes_a_request_id_and_returns_a_sequence(
    method: MethodDescriptor,
) -> None:
    assert "request_id" in method.input_type.fields_by_name
    assert "sequence" in method.output_type.fields_by_name


@pytest.mark.parametrize(
    "method", [each for each in METHODS if each.name.startswith("List")], ids=name_of
)
def test_a_list_is_paged(method: MethodDescriptor) -> None:
    assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
    assert "next_page_token" in method.output_type.fields_by_name


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_string_of_a_request_has_a_limit(method: MethodDescriptor) -> None:
    for field in fields_of(method.input_type):
        if field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
            continue
        rules = rules_of(field)
        bounded = rules.max_chars or rules.max_bytes or rules.json_object or rules.sid
        assert bounded or getattr(rules, "in"), field.full_name


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_the_limits_of_the_protos_are_those_of_the_domain(
    method: MethodDescriptor,
) -> None:
    for field in fields_of(method.input_type):
        rules = rules_of(field)
        if field.name in FIELD_LIMITS:
            assert rules.max_chars in FIELD_LIMITS[field.name], field.full_name
        if field.name in FIELD_MAXIMA:
            assert rules.max == FIELD_MAXIMA[field.name], field.full_name
        if field.name == "configuration":
            assert rules.max_bytes == limits.WORKFLOW_BYTES
        if field.name == "document":
            assert rules.max_bytes == limits.DOCUMENT_BYTES
        if field.name in FIELD_ITEMS:
            assert rules.max_items == FIELD_ITEMS[field.name]
        if FIELD_ITEMS.get(field.name) == limits.BATCH_MAX:
            assert rules.max_bytes == limits.BATCH_BYTES
        assert set(rules.sid) <= RESOURCES.keys()


def most_bytes(message: Descriptor) -> int:
    """Return how large a message may be as its rules allow it, tags and lengths included."""
    return sum(most_bytes_of(field) + OVERHEAD_BYTES for field in message.fields)


def most_bytes_of(field: FieldDescriptor) -> int:
    rules = rules_of(field)
    if field.message_type:
        one = most_bytes(field.message_type)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        chars = rules.max_chars or max(
            map(len, getattr(rules, "in")), default=SID_CHARS
        )
        attributes = limits.ATTRIBUTES_BYTES if rules.json_object else 0
        one = rules.max_bytes or attributes or 4 * chars
    else:
        one = OVERHEAD_BYTES
    if not field.is_repeated:
        return one
    every = (one + OVERHEAD_BYTES) * rules.max_items
    if field.message_type and rules.max_bytes:
        return min(every, rules.max_bytes + rules.max_items * OVERHEAD_BYTES)
    return every


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_request_that_keeps_the_rules_is_received(method: MethodDescriptor) -> None:
    most = most_bytes(method.input_type)

    assert most < limits.MESSAGE_BYTES
    assert dict(GRPC_OPTIONS)["grpc.max_receive_message_length"] == limits.MESSAGE_BYTES


@pytest.mark.parametrize("servicer", SERVICERS, ids=lambda each: each.__name__)
def test_every_rpc_is_implemented_by_a_coroutine(servicer: type) -> None:
    (service,) = (each for each in SERVICES if each.name == servicer.__name__)

    for method in service.methods:
        assert inspect.iscoroutinefunction(vars(servicer)[method.name]), method.name


def test_every_rpc_has_a_policy() -> None:
    policy = policy_of(SERVICES)

    for method in METHODS:
        name = f"/{method.containing_service.full_name}/{method.name}"
        assert policy[name] is not Access.OPEN


def test_an_rpc_without_a_policy_stops_the_server() -> None:
    table = {
        service.name: {Access.KEY: " ".join(method.name for method in service.methods)}
        for service in SERVICES
    }
    assert policy_of(SERVICES, table)
    table["EventService"] = {}

    with pytest.raises(ValueError, match="EventService differ: ListEvents, Watch"):
        policy_of(SERVICES, table)


def test_a_policy_without_an_rpc_stops_the_server() -> None:
    table = {
        service.name: {Access.KEY: " ".join(method.name for method in service.methods)}
        for service in SERVICES
    }
    table["EventService"] = {Access.KEY: "ListEvents WatchEvents WatchNothing"}

    with pytest.raises(ValueError, match="EventService differ: WatchNothing"):
        policy_of(SERVICES, table)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_an_rpc_names_a_reason_with_its_code(
    method: MethodDescriptor, comments: dict[str, str]
) -> None:
    """`CODE ... with REASON`: the code is the one that error.proto shows for it."""
    _, _, errors = comments[method.name].partition("\n Errors:")
    code = ""
    for word in re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", errors):
        if word in CODES:
            code = word
        else:
            assert code == examples()[word].code, word


def test_the_reasons_of_the_wire_are_those_of_the_domain() -> None:
    names = {
        name.removeprefix("ERROR_REASON_") for name, _ in error_pb2.ErrorReason.items()
    }

    assert names - {"UNSPECIFIED"} == {reason.value for reason in Reason}


def test_every_reason_has_an_example() -> None:
    text = (PROTOS / "flexcore/v1/error.proto").read_text()

    for reason in Reason:
        assert text.count(f'reason: "{reason.value}"') == 1, reason


def test_every_limit_is_read_by_the_code_or_held_to_a_proto() -> None:
    """One that is written down and read nowhere would limit nothing."""
    package = ROOT / "src/flexcore"
    table = (package / "domain/limits.py").read_text()
    names = set(re.findall(r"^([A-Z_0-9]+) = ", table, re.MULTILINE))
    read = set(
        re.findall(r"\w+", " ".join(re.findall(r" = (.*)$", table, re.MULTILINE)))
    )
    for path in (*package.rglob("*.py"), *package.rglob("*.pyx"), Path(__file__)):
        read |= set(re.findall(r"\blimits\.([A-Z_0-9]+)", path.read_text()))

    assert names - read == set()
