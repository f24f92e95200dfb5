"""Field rules refuse what breaks them, and name every field that does."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain.errors import InvalidArgument
from flexcore.services.registry import SERVICES
from flexcore.services.rules import Rules
from flexcore.v1 import (
    channel_service_pb2,
    conversation_pb2,
    conversation_service_pb2,
    event_service_pb2,
    policy_pb2,
    routing_pb2,
    routing_service_pb2,
    worker_requests_pb2,
    workflow_requests_pb2,
    workspace_requests_pb2,
)
from tests.factories import make_sid

RULES = Rules(method.input_type for each in SERVICES for method in each.methods)

CreateTask = routing_service_pb2.CreateTaskRequest
UpdateTask = routing_service_pb2.UpdateTaskRequest
ListTasks = routing_service_pb2.ListTasksRequest
CreateWorkflow = workflow_requests_pb2.CreateWorkflowRequest
SendMessage = conversation_service_pb2.SendMessageRequest
Media = conversation_pb2.Media

CONVERSATION = make_sid("CH", 1)
PNG = Media(url="https://example.org/a.png", content_type="image/png")


def refused(request: Message) -> dict[str, str]:
    """Return what is wrong, by field; empty when nothing is."""
    try:
        RULES.check(request)
    except InvalidArgument as refusal:
        return dict(refusal.violations)
    return {}


def test_a_request_within_its_rules_passes() -> None:
    request = CreateTask(
        workspace_sid=make_sid("WS", 1),
        request_id="5f0c1e9a",
        attributes='{"skill": "billing"}',
        priority=2**31 - 1,
        timeout=Duration(seconds=60),
        virtual_start_time=Timestamp(seconds=1_700_000_000, nanos=5),
    )

    assert refused(request) == {}


def test_an_empty_request_without_required_fields_passes() -> None:
    assert refused(CreateTask()) == {}


def test_every_bad_field_is_named_in_order() -> None:
    request = CreateTask(
        workspace_sid="WK1",
        request_id="x" * 129,
        priority=-1,
        timeout=Duration(seconds=1_209_601),
    )

    assert list(refused(request)) == [
        "workspace_sid",
        "request_id",
        "priority",
        "timeout",
    ]


@pytest.mark.parametrize(
    "sid",
    [
        make_sid("WK", 1),
        make_sid("WT", 1)[:-1],
        make_sid("WT", 1) + "0",
        make_sid("WT", 10**9).upper(),
        make_sid("WT", 1) + "\n",
        "WT" + "\u0660" * 32,
    ],
    ids=["prefix", "short", "long", "upper", "newline", "digits"],
)
def test_what_is_no_sid_is_refused(sid: str) -> None:
    assert "sid" in refused(routing_service_pb2.GetTaskRequest(sid=sid))


def test_a_required_field_must_be_given() -> None:
    assert refused(routing_service_pb2.GetTaskRequest()) == {"sid": "must be given"}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"body"}),
        ({"body": "hello"}, set()),
        ({"media": [PNG]}, set()),
    ],
    ids=["neither", "one", "other"],
)
def test_a_field_required_without_another(
    given: dict[str, object], wrong: set[str]
) -> None:
    request = SendMessage(conversation_sid=CONVERSATION, author="alice", **given)

    assert refused(request).keys() == wrong


@pytest.mark.parametrize(
    "timeout",
    [Duration(seconds=1, nanos=1), Duration(seconds=0), Duration(seconds=-5)],
    ids=["fraction", "zero", "negative"],
)
def test_a_duration_counts_whole_seconds_within_its_range(timeout: Duration) -> None:
    assert refused(CreateTask(timeout=timeout)).keys() == {"timeout"}


@pytest.mark.parametrize(
    "time",
    [
        Timestamp(nanos=1_000_000_000),
        Timestamp(nanos=-1),
        Timestamp(seconds=-2_208_988_801),
        Timestamp(seconds=253_402_300_800),
    ],
    ids=["nanos", "negative nanos", "1899", "year 10000"],
)
def test_a_time_lies_within_its_range(time: Timestamp) -> None:
    request = CreateTask(virtual_start_time=time)

    assert refused(request).keys() == {"virtual_start_time"}


def test_an_undeclared_enum_value_is_refused() -> None:
    request = ListTasks(statuses=[1, 99])  # type: ignore[list-item]

    assert refused(request) == {"statuses[1]": "99 is not a known value"}


def test_an_unspecified_value_is_none_of_several() -> None:
    request = ListTasks(statuses=[0])  # type: ignore[list-item]

    assert refused(request) == {"statuses[0]": "0 is not a known value"}


def test_what_is_wrong_in_a_message_is_named_by_its_path() -> None:
    create = workspace_requests_pb2.CreateWorkspaceRequest
    bad = policy_pb2.Policies(refusal_limit=0, wrap_limit_seconds=86_401)

    assert refused(create(friendly_name="a", policies=bad)) == {
        "policies.refusal_limit": "0 is below 1",
        "policies.wrap_limit_seconds": "86401 is above 86400",
    }
    fine = policy_pb2.Policies(refusal_limit=1, wrap_limit_seconds=0)
    assert refused(create(friendly_name="a", policies=fine)) == {}


def test_what_is_wrong_in_one_of_many_is_named_by_its_path() -> None:
    batch = routing_service_pb2.BatchCreateTasksRequest
    target = routing_pb2.RoutingTarget(sid="WT1")
    tasks = [
        routing_service_pb2.NewTask(),
        routing_service_pb2.NewTask(priority=-1, routing_targets=[target]),
    ]
    found = refused(batch(tasks=tasks))

    assert found.keys() == {"tasks[1].priority", "tasks[1].routing_targets[0].sid"}
    assert refused(batch()) == {"tasks": "must be given"}
    many = batch(tasks=[tasks[0]] * 201)
    assert refused(many) == {"tasks": "201 items, at most 200 are allowed"}


def test_a_negative_page_size_is_refused_and_a_huge_one_is_not() -> None:
    assert refused(ListTasks(page_size=-1)) == {"page_size": "-1 is below 0"}
    assert refused(ListTasks(page_size=2**31 - 1)) == {}


def test_characters_are_counted_not_bytes() -> None:
    named = {"conversation_sid": CONVERSATION, "body": "x"}

    assert refused(SendMessage(author="ä" * 256, **named)) == {}
    assert refused(SendMessage(author="ä" * 257, **named)).keys() == {"author"}


def test_bytes_are_counted_not_characters() -> None:
    fits = '{"a":"' + "ä" * (32 * 1024 - 4) + '"}'

    assert refused(CreateTask(attributes=fits)) == {}
    assert refused(CreateTask(attributes=fits + " ")) == {
        "attributes": "65537 bytes, at most 65536 are allowed"
    }


def test_a_workflow_may_be_larger_than_attributes() -> None:
    named = {"friendly_name": "w"}

    assert refused(CreateWorkflow(configuration="x" * 1_038_576, **named)) == {}
    assert refused(CreateWorkflow(configuration="x" * 1_038_577, **named)).keys() == {
        "configuration"
    }


def test_items_are_counted_and_checked_one_by_one() -> None:
    bad = Media(url="ftp://example.org/a", content_type="image/png")
    named = {"conversation_sid": CONVERSATION, "author": "alice"}

    assert refused(SendMessage(media=[PNG, bad, Media()], **named)).keys() == {
        "media[1].url",
        "media[2].url",
        "media[2].content_type",
    }
    assert refused(SendMessage(media=[PNG] * 11, **named)) == {
        "media": "11 items, at most 10 are allowed"
    }


def test_repeated_strings_are_checked_one_by_one() -> None:
    request = event_service_pb2.WatchEventsRequest(
        types=["task", "task.created", "", "Task"]
    )

    assert refused(request).keys() == {"types[3]"}


def test_an_optional_field_is_judged_when_it_is_given() -> None:
    update = worker_requests_pb2.UpdateWorkerRequest
    sid = make_sid("WK", 1)

    assert refused(update(sid=sid)) == {}
    assert refused(update(sid=sid, friendly_name="")) == {
        "friendly_name": "0 characters, at least 1 are needed"
    }
    assert refused(UpdateTask(sid=make_sid("WT", 1), priority=-2)) == {
        "priority": "-2 is below 0"
    }


@pytest.mark.parametrize("name", ["a\nb", "a\x00", "\x1b[31m", "a\u2028b"])
def test_a_line_has_no_control_characters(name: str) -> None:
    create = workspace_requests_pb2.CreateWorkspaceRequest

    assert refused(create(friendly_name=name)).keys() == {"friendly_name"}


@pytest.mark.parametrize("name", ["Zoë", "علي", "👩‍💻", "a  b"])
def test_a_line_takes_any_script(name: str) -> None:
    assert (
        refused(workspace_requests_pb2.CreateWorkspaceRequest(friendly_name=name)) == {}
    )


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://api.example.org", True),
        ("http://127.0.0.1:8080/base", True),
        ("https://user:pass@example.org", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://example.org/a b", False),
    ],
)
def test_a_url_is_http_without_a_user(url: str, fine: bool) -> None:
    request = channel_service_pb2.CreateSenderRequest(
        address="+15550000001",
        provider="twilio",
        base_url=url,
        public_url="https://example.org",
        carrier_account_sid="AC1",
        auth_token="t",
    )

    assert refused(request).keys() == (set() if fine else {"base_url"})


def test_an_address_says_what_is_wrong_with_it() -> None:
    request = conversation_service_pb2.AddParticipantRequest(
        conversation_sid=CONVERSATION, address="fax:1", proxy_address="+15550000001"
    )

    assert refused(request) == {
        "address": "fax is not one of sms, whatsapp, messenger, chat"
    }


def test_only_listed_words_are_allowed() -> None:
    request = channel_service_pb2.UpdateSenderRequest(sid=make_sid("XE", 1))
    assert refused(request) == {}
    create = channel_service_pb2.CreateSenderRequest(provider="pigeon")

    assert refused(create)["provider"] == "not one of twilio"
