"""A refused call says why: a code, a reason, the fields, and nothing it should not."""

import asyncio
import base64
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2, routing_service_pb2_grpc
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

NOBODY = make_sid("WT", 1)


async def get_task(serving: Serving, *authorization: str) -> Any:
    """Call GetTask with these headers and nothing else."""
    stub = routing_service_pb2_grpc.RoutingServiceStub(serving.client.grpc_channel)
    metadata = tuple(("authorization", each) for each in authorization)
    request = routing_service_pb2.GetTaskRequest(sid=NOBODY)
    return await stub.GetTask(request, metadata=metadata)


def first_key(serving: Serving) -> tuple[str, str]:
    key = serving.server.first_key
    assert key is not None
    return key


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


async def test_a_call_without_a_credential_is_unauthenticated(serving: Serving) -> None:
    refused = await refusal(get_task(serving))

    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_INVALID"]
    assert refused.domain == "flexcore.dev"


@pytest.mark.parametrize(
    "form",
    [
        "Bearer {sid}",
        "Bearer {sid}.{wrong}",
        "Bearer {sid}.",
        "Bearer {other}.{secret}",
        "Digest {sid}.{secret}",
        "Basic {sid}:{secret}",
        "Basic /w==",
        "{sid}.{secret}",
        "",
    ],
)
async def test_a_wrong_credential_is_unauthenticated(
    serving: Serving, form: str
) -> None:
    sid, secret = first_key(serving)
    authorization = form.format(
        sid=sid, secret=secret, wrong=secret[:-1], other=make_sid("SK", 1)
    )
    refused = await refusal(get_task(serving, authorization))

    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_INVALID"]
    assert secret not in refused.text


async def test_basic_separates_with_a_colon(serving: Serving) -> None:
    refused = await refusal(get_task(serving, basic(".".join(first_key(serving)))))

    assert refused.code == "UNAUTHENTICATED"


async def test_basic_and_bearer_are_both_understood(serving: Serving) -> None:
    sid, secret = first_key(serving)

    for authorization in (f"Bearer {sid}.{secret}", basic(f"{sid}:{secret}")):
        refused = await refusal(get_task(serving, authorization))
        assert refused.code == "NOT_FOUND"


async def test_the_credential_is_asked_for_before_the_request_is_read(
    serving: Serving,
) -> None:
    stub = routing_service_pb2_grpc.RoutingServiceStub(serving.client.grpc_channel)
    refused = await refusal(stub.GetTask(routing_service_pb2.GetTaskRequest()))

    assert refused.code == "UNAUTHENTICATED"


async def test_every_bad_field_is_named_at_once(serving: Serving) -> None:
    refused = await refusal(
        serving.client.routing.CreateTask(priority=-1, workspace_sid="nowhere")
    )

    assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    assert refused.fields["priority"] == "-1 is below 0"
    assert refused.fields.keys() == {"priority", "workspace_sid"}


async def test_what_is_inside_the_attributes_is_named_like_a_field(
    serving: Serving,
) -> None:
    call = serving.client.routing.CreateTask(attributes='{"a": 1, "a": 2}')
    refused = await refusal(call)

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields.keys() == {"attributes"}


async def test_an_unknown_sid_is_not_found_and_named(serving: Serving) -> None:
    refused = await refusal(serving.client.routing.GetTask(sid=NOBODY))

    assert [*refused] == ["NOT_FOUND", "RESOURCE_NOT_FOUND"]
    assert refused.metadata == {"sid": NOBODY}
    assert refused.text == f"task {NOBODY} not found"


async def test_a_stale_version_is_aborted_with_the_current_one(
    serving: Serving,
) -> None:
    routing = serving.client.routing
    task = (await routing.CreateTask()).task
    await routing.UpdateTask(sid=task.sid, version=task.version, priority=1)
    call = routing.UpdateTask(sid=task.sid, version=task.version, priority=2)
    refused = await refusal(call)

    assert [*refused] == ["ABORTED", "VERSION_MISMATCH"]
    assert refused.metadata == {"sid": task.sid, "version": str(task.version + 1)}


async def test_an_illegal_transition_says_from_where(serving: Serving) -> None:
    routing = serving.client.routing
    task = (await routing.CreateTask()).task
    refused = await refusal(routing.CompleteTask(sid=task.sid))

    assert [*refused] == ["FAILED_PRECONDITION", "ILLEGAL_TRANSITION"]
    assert refused.metadata["state"] == "pending"


async def test_a_repeated_request_id_gets_the_same_answer(serving: Serving) -> None:
    routing = serving.client.routing
    first = await routing.CreateTask(request_id="r1", priority=1)
    again = await routing.CreateTask(request_id="r1", priority=1)

    assert again == first
    assert len((await routing.ListTasks()).tasks) == 1


async def test_a_request_id_used_for_something_else_is_refused(
    serving: Serving,
) -> None:
    routing = serving.client.routing
    await routing.CreateTask(request_id="r1", priority=1)
    refused = await refusal(routing.CreateTask(request_id="r1", priority=2))

    assert [*refused] == ["INVALID_ARGUMENT", "REQUEST_ID_REUSED"]


async def test_a_bug_is_internal_and_keeps_its_text_to_itself(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret is 1234")

    monkeypatch.setattr(serving.server.engine, "list", fail)
    refused = await refusal(serving.client.routing.ListTasks())

    assert [*refused] == ["INTERNAL", "INTERNAL"]
    assert refused.text == f"internal error {refused.metadata['error_id']}"


async def test_an_exception_whose_text_fails_is_internal_too(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail(*_: object) -> None:
        raise Unprintable

    monkeypatch.setattr(serving.server.engine, "list", fail)

    assert (await refusal(serving.client.routing.ListTasks())).code == "INTERNAL"


async def test_a_call_without_a_deadline_is_given_one(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(serving.server.engine, "list", hang)
    monkeypatch.setattr(limits, "CALL_DEADLINE_DEFAULT", 50_000)
    refused = await refusal(serving.client.routing.ListTasks(deadline_seconds=None))

    assert [*refused] == ["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]


async def test_a_long_deadline_is_capped(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(serving.server.engine, "list", hang)
    monkeypatch.setattr(limits, "CALL_DEADLINE_MAX", 50_000)
    refused = await refusal(serving.client.routing.ListTasks(deadline_seconds=3_600))

    assert refused.reason == "DEADLINE_EXCEEDED"


async def test_a_canceled_call_cancels_its_handler(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(serving.server.engine, "list", hang)
    call = serving.client.routing.ListTasks()
    await begun.wait()
    call.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


@pytest.mark.parametrize("letter", ["x", "ü", "\U0001f469"])
async def test_a_refusal_of_much_text_arrives_whole(
    serving: Serving, letter: str
) -> None:
    names = [f"{letter * 60}{number}" for number in range(64)]
    refused = await refusal(serving.client.event.WatchEvents(types=names).read())

    assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    assert 1 <= len(refused.fields) <= 64


async def test_a_message_over_the_limit_is_refused_before_it_is_read(
    serving: Serving,
) -> None:
    call = serving.client.routing.CreateTask(attributes="x" * limits.MESSAGE_BYTES)

    assert [*await refusal(call)] == ["RESOURCE_EXHAUSTED", ""]


async def test_a_field_that_is_as_large_as_a_message_is_named(serving: Serving) -> None:
    most = limits.MESSAGE_BYTES - 1_000
    for call, field in (
        (serving.client.routing.CreateTask(attributes="x" * most), "attributes"),
        (serving.client.workspace.ImportWorkspace(document="x" * most), "document"),
    ):
        refused = await refusal(call)
        assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
        assert refused.fields.keys() == {field}


async def test_a_document_as_large_as_documents_may_be_is_read(
    serving: Serving,
) -> None:
    text = "{}".ljust(limits.DOCUMENT_BYTES)
    refused = await refusal(serving.client.workspace.ImportWorkspace(document=text))

    assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    assert "bytes" not in refused.text


async def test_an_unknown_method_is_unimplemented(serving: Serving) -> None:
    call = serving.client.grpc_channel.unary_unary(
        "/flexcore.v1.RoutingService/Nothing"
    )

    assert (await refusal(call(b""))).code == "UNIMPLEMENTED"


async def test_health_is_open_to_everybody(serving: Serving) -> None:
    stub = health_pb2_grpc.HealthStub(serving.client.grpc_channel)
    request = health_pb2.HealthCheckRequest(service="flexcore.v1.RoutingService")

    answer = await stub.Check(request)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_needs_a_key(serving: Serving) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(serving.client.grpc_channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    refused = await refusal(stub.ServerReflectionInfo(iter([request])).read())
    assert refused.code == "UNAUTHENTICATED"
    authorization = "Bearer " + ".".join(first_key(serving))
    call = stub.ServerReflectionInfo(
        iter([request]), metadata=(("authorization", authorization),)
    )
    listed = (await call.read()).list_services_response.service
    assert "flexcore.v1.RoutingService" in {service.name for service in listed}


async def test_another_accounts_resources_are_not_found(serving: Serving) -> None:
    task = (await serving.client.routing.CreateTask()).task
    stranger = await strange_client(serving)

    for call in (
        stranger.routing.GetTask(sid=task.sid),
        stranger.routing.UpdateTask(sid=task.sid, priority=3),
        stranger.routing.CancelTask(sid=task.sid),
        stranger.routing.CreateTask(workspace_sid=task.workspace_sid),
        stranger.routing.CreateTask(workflow_sid=task.workflow_sid),
        stranger.workspace.GetWorkspace(sid=task.workspace_sid),
    ):
        assert (await refusal(call)).code == "NOT_FOUND"
    assert not (await stranger.routing.ListTasks()).tasks


async def test_another_accounts_streams_are_not_found(serving: Serving) -> None:
    worker = (await serving.client.workspace.CreateWorker(friendly_name="a")).worker
    talk = (await serving.client.conversation.CreateConversation()).conversation
    stranger = await strange_client(serving)

    for stream in (
        stranger.routing.StreamReservations(worker_sid=worker.sid),
        stranger.conversation.WatchConversation(conversation_sid=talk.sid),
    ):
        assert (await refusal(stream.read())).code == "NOT_FOUND"


async def strange_client(serving: Serving) -> Any:
    """Return a client of another account."""
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    return await serving.connect(f"{made.key.sid}.{made.secret}")


async def test_a_reached_limit_is_told_with_whose_it_is(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = serving.client.workspace
    (workspace,) = (await setup.ListWorkspaces()).workspaces
    monkeypatch.setattr(limits, "ACTIVITIES_MAX", 3)
    refused = await refusal(setup.CreateActivity(friendly_name="Lunch"))

    assert refused.metadata == {"limit": "3", "sid": workspace.sid}
    assert (
        refused.text == f"workspace {workspace.sid} has 3 activities, the most allowed"
    )


async def test_a_call_that_changes_too_much_is_told_how_much_it_may(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHANGE_SET_RESOURCES", 100)
    workers = [{"friendly_name": f"w{number}"} for number in range(101)]
    refused = await refusal(
        serving.client.workspace.BatchCreateWorkers(workers=workers)
    )

    assert [*refused] == ["RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"]
    assert refused.metadata == {"limit": "100"}
