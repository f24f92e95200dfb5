"""Tokens of workers: what they open, what they do not, and how they end."""

import asyncio
from typing import Any

import grpc
import jwt
import pytest

from flexcore.client import Client
from flexcore.domain import limits
from flexcore.domain.access_tokens import write_token
from flexcore.services.policy import Access, policy_of
from flexcore.services.registry import SERVICES
from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import worker_requests_pb2
from tests.api.refusals import Refusal, refusal
from tests.api.test_agent_session import desk, status_of
from tests.api.test_routing_service import beaten
from tests.api.world import METHODS, World, build, call, rules_of
from tests.factories import make_sid
from tests.serving import Serving

SECONDS = 1_700_000_000


def first_key(serving: Serving) -> tuple[str, str]:
    assert serving.server.first_key is not None
    return serving.server.first_key


def token_of(serving: Serving, worker_sid: str, minutes: int = 15) -> str:
    lifetime = minutes * limits.MINUTE
    return write_token(*first_key(serving), worker_sid, serving.clock.now(), lifetime)


async def hire(serving: Serving, name: str, workspace_sid: str = "") -> str:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity="Available", workspace_sid=workspace_sid
    )
    return str(made.worker.sid)


async def as_worker(serving: Serving, worker_sid: str) -> Client:
    return await serving.connect(token_of(serving, worker_sid))


async def offer_to(serving: Serving, worker_sid: str) -> Any:
    """Return a reservation that one worker is offered."""
    task = await serving.client.routing.CreateTask(
        routing_targets=[{"sid": worker_sid}]
    )
    listed = await serving.client.routing.ListReservations(task_sid=task.task.sid)
    (found,) = listed.reservations
    assert found.worker_sid == worker_sid
    return found


# --- what it opens ---------------------------------------------------------------------


async def test_a_worker_works_a_day_with_a_token(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    offered = await offer_to(serving, ann)
    routing = client.routing

    me = await client.workspace.GetWorker(sid=ann)
    activities = (await client.workspace.ListActivities()).activities
    (listed,) = (await routing.ListReservations()).reservations
    task = (await routing.GetTask(sid=offered.task_sid)).task
    accepted = await routing.AcceptReservation(sid=offered.sid)
    await routing.WrapReservation(sid=offered.sid)
    done = await routing.CompleteReservation(sid=offered.sid)
    again = (await routing.GetReservation(sid=offered.sid)).reservation
    rejected = await routing.RejectReservation(sid=(await offer_to(serving, ann)).sid)
    moved = await client.workspace.UpdateWorker(sid=ann, activity="Offline")

    assert me.worker.sid == ann
    assert {each.friendly_name for each in activities} >= {"Available", "Offline"}
    assert listed.sid == offered.sid
    assert task.sid == accepted.task.sid == done.task.sid
    assert again == done.reservation
    assert rejected.reservation.worker_sid == ann
    assert moved.worker.activity_sid != me.worker.activity_sid


async def test_a_worker_claims_from_its_queues_only(serving: Serving) -> None:
    workspace, routing = serving.client.workspace, serving.client.routing
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    tasks = []
    for target in ("name == 'ann'", "name == 'bob'"):
        queue = await workspace.CreateTaskQueue(
            friendly_name=target, target_workers=target, max_reserved_workers=0
        )
        made = await routing.CreateTask(routing_targets=[{"sid": queue.task_queue.sid}])
        tasks.append(made.task.sid)
    await workspace.UpdateWorker(sid=ann, attributes='{"name":"ann"}')
    taken = await client.routing.ClaimTask(sid=tasks[0], worker_sid=ann)
    refused = await refusal(client.routing.ClaimTask(sid=tasks[1], worker_sid=ann))

    assert taken.reservation.worker_sid == ann
    assert [*refused] == ["FAILED_PRECONDITION", "NOT_ELIGIBLE"]
    assert refused.metadata["condition"] == "queue"


async def test_a_stream_of_a_worker_opens_with_its_token(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    stream = client.routing.StreamReservations(worker_sid=ann)
    first = await stream.read()
    offered = await offer_to(serving, ann)
    second = await stream.read()
    stream.cancel()

    assert first.snapshot.worker.sid == ann
    assert second.events[-1].reservation.sid == offered.sid


# --- what it does not ------------------------------------------------------------------


@pytest.fixture
async def world(serving: Serving) -> World:
    return await build(serving, serving.client)


async def test_no_other_method_is_open_to_it(serving: Serving, world: World) -> None:
    client = await as_worker(serving, world.sids["WK"])
    policy = policy_of(SERVICES)
    odd = {}
    for rpc, method in METHODS.items():
        path = f"/{method.containing_service.full_name}/{rpc}"
        if policy[path] is Access.WORKER:
            continue
        refused = await refusal(call(client, rpc, world.request(rpc)))
        if refused.code != "PERMISSION_DENIED" or refused.metadata["method"] != rpc:
            odd[rpc] = refused

    assert odd == {}
    assert sum(access is Access.WORKER for access in policy.values()) == 13


async def test_others_are_not_there_for_it(serving: Serving, world: World) -> None:
    """Whatever it may call, with what another worker has, is as with what nobody has."""
    other = await hire(serving, "eve", world.sids["WS"])
    # There are tasks that wait for somebody like her.
    listed = await serving.client.routing.ListReservations(worker_sid=other)
    offered = listed.reservations[0]
    client = await as_worker(serving, world.sids["WK"])
    theirs = {"WK": other, "WR": offered.sid, "WT": offered.task_sid}
    nobodys = {prefix: make_sid(prefix, 1) for prefix in theirs}
    before = (await serving.client.admin.GetServerInfo()).server_info.head_sequence
    odd = {}
    for rpc, field in (
        ("GetWorker", "sid"),
        ("UpdateWorker", "sid"),
        ("ListReservations", "worker_sid"),
        ("ClaimTask", "worker_sid"),
        ("GetTask", "sid"),
        ("GetReservation", "sid"),
        ("AcceptReservation", "sid"),
        ("RejectReservation", "sid"),
        ("WrapReservation", "sid"),
        ("CompleteReservation", "sid"),
        ("StreamReservations", "worker_sid"),
    ):
        found = []
        for sids in (theirs, nobodys):
            sid = sids[rules_of(METHODS[rpc].input_type.fields_by_name[field]).sid[0]]
            refused = await refusal(
                call(client, rpc, world.request(rpc, **{field: sid}))
            )
            found.append((refused.code, refused.text.replace(sid, "")))
        if found[0] != found[1] or found[0][0] != "NOT_FOUND":
            odd[rpc] = found

    assert odd == {}
    info = (await serving.client.admin.GetServerInfo()).server_info
    assert info.head_sequence == before


async def test_lists_hold_what_is_its_own(serving: Serving, world: World) -> None:
    ann = world.sids["WK"]
    other = await hire(serving, "eve", world.sids["WS"])
    client = await as_worker(serving, ann)
    everyones = (await serving.client.routing.ListReservations()).reservations
    mine = (await client.routing.ListReservations()).reservations
    activities = (await client.workspace.ListActivities()).activities
    elsewhere = (
        await serving.client.workspace.CreateWorkspace(friendly_name="another")
    ).workspace.sid
    asked = client.workspace.ListActivities(workspace_sid=elsewhere)

    assert {each.worker_sid for each in everyones} >= {ann, other}
    assert {each.worker_sid for each in mine} == {ann}
    assert {each.workspace_sid for each in activities} == {world.sids["WS"]}
    assert (await refusal(asked)).code == "NOT_FOUND"


async def test_a_worker_changes_its_activity_and_nothing_else(
    serving: Serving,
) -> None:
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    for field, value in (
        ("friendly_name", "boss"),
        ("attributes", '{"skill":"all"}'),
        ("attributes_patch", '{"skill":"all"}'),
    ):
        change = client.workspace.UpdateWorker(
            sid=ann, activity="Offline", **{field: value}
        )
        refused = await refusal(change)
        assert [*refused] == ["PERMISSION_DENIED", "PERMISSION_DENIED"]
        assert refused.text.startswith(f"{field}: ")

    worker = (await serving.client.workspace.GetWorker(sid=ann)).worker
    assert (worker.friendly_name, worker.attributes, worker.version) == ("ann", "{}", 1)


# --- sessions --------------------------------------------------------------------------


def update(worker_sid: str, **fields: Any) -> dict[str, Any]:
    request = worker_requests_pb2.UpdateWorkerRequest(sid=worker_sid, **fields)
    return {"update_worker": request}


def accept(sid: str) -> dict[str, Any]:
    return {"accept_reservation": pb.AcceptReservationRequest(sid=sid)}


async def test_a_session_with_a_token_is_that_of_its_worker(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann"), await hire(serving, "bob")
    mine, theirs = await offer_to(serving, ann), await offer_to(serving, bob)
    async with desk(await as_worker(serving, ann)) as session:
        await session.subscribe(bob, ann)
        left = await session.until(lambda each: each.HasField("unsubscribed") and each)
        stood = await session.snapshots(1)
        await session.command("1", ann, **accept(mine.sid))
        for command_id, worker_sid, fields in (
            ("2", ann, accept(theirs.sid)),
            ("3", bob, accept(theirs.sid)),
            ("4", bob, accept(mine.sid)),
            ("5", bob, update(bob, activity="Offline")),
            ("6", ann, update(ann, attributes='{"a":1}')),
        ):
            await session.command(command_id, worker_sid, **fields)
        results = {each.command_id: each for each in await session.results(6)}

    assert list(left.unsubscribed.worker_sids) == [bob]
    assert set(stood) == {ann}
    assert results["1"].accept_reservation.task.sid == mine.task_sid
    codes = {sid: status_of(each)[0] for sid, each in results.items() if sid != "1"}
    assert codes == dict.fromkeys("2345", "NOT_FOUND") | {"6": "PERMISSION_DENIED"}


async def test_a_place_of_others_is_none_of_a_token(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann"), await hire(serving, "bob")
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        await session.snapshots(2)
    async with desk(await as_worker(serving, ann)) as stolen:
        await stolen.subscribe(ann, bob, token=session.token)
        refused = await refusal(stolen.results(1))

    assert refused.code == "INVALID_ARGUMENT"
    assert "resume_token" in refused.fields


async def test_a_command_is_about_its_worker(serving: Serving) -> None:
    """With a key too: the order of a worker's commands would be none otherwise."""
    ann, bob = await hire(serving, "ann"), await hire(serving, "bob")
    offered = await offer_to(serving, bob)
    commands = (
        accept(offered.sid),
        {"reject_reservation": pb.RejectReservationRequest(sid=offered.sid)},
        {"wrap_reservation": pb.WrapReservationRequest(sid=offered.sid)},
        {"complete_reservation": pb.CompleteReservationRequest(sid=offered.sid)},
    )
    async with desk(serving.client) as session:
        for number, command in enumerate(commands):
            await session.command(str(number), ann, **command)
        refused = await session.results(len(commands))
        await session.command("right", bob, **accept(offered.sid))
        (taken,) = await session.results(1)

    assert {status_of(each) for each in refused} == {
        ("INVALID_ARGUMENT", "FIELD_INVALID")
    }
    assert b"worker_sid" in refused[0].status
    assert taken.accept_reservation.task.sid == offered.task_sid


# --- how it ends -----------------------------------------------------------------------


async def end_of(serving: Serving, stream: Any) -> Refusal:
    """Let time pass until a stream ends; return with what it is refused."""

    async def read_on() -> None:
        while await stream.read() is not grpc.aio.EOF:
            pass

    ending = asyncio.ensure_future(refusal(read_on()))
    for _ in range(100):
        serving.clock.advance(limits.HEARTBEAT_INTERVAL)
        await serving.client.workspace.ListWorkspaces()
        if ending.done():
            break
    return await ending


async def test_a_stream_ends_with_its_token_and_goes_on_with_another(
    serving: Serving,
) -> None:
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    stream = client.routing.StreamReservations(worker_sid=ann)
    await stream.read()
    serving.clock.advance(10 * limits.MINUTE)
    place = (await beaten(serving, stream)).resume_token
    refused = await end_of(serving, stream)
    late = serving.clock.now() // limits.SECOND - SECONDS - 15 * 60
    offered = await offer_to(serving, ann)
    again = await as_worker(serving, ann)
    resumed = again.routing.StreamReservations(worker_sid=ann, resume_token=place)
    first = await resumed.read()
    resumed.cancel()

    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_EXPIRED"]
    assert 0 <= late <= 60
    assert not first.HasField("snapshot")
    assert first.events[-1].reservation.sid == offered.sid
    expired = await refusal(client.workspace.GetWorker(sid=ann))
    assert [*expired] == ["UNAUTHENTICATED", "CREDENTIAL_EXPIRED"]


async def test_a_session_ends_with_its_token_unless_it_is_given_another(
    serving: Serving,
) -> None:
    ann = await hire(serving, "ann")
    async with desk(await as_worker(serving, ann)) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        serving.clock.advance(10 * limits.MINUTE)
        await beaten(serving, session)
        fresh = pb.RefreshTokenRequest(token=token_of(serving, ann))
        await session.command("fresh", "", refresh_token=fresh)
        (taken,) = await session.results(1)
        serving.clock.advance(10 * limits.MINUTE)
        await beaten(serving, session)
        await session.command("on", ann, **update(ann, activity="Offline"))
        (moved,) = await session.results(1)
        refused = await end_of(serving, session)

    assert taken.WhichOneof("result") == "refresh_token"
    assert moved.update_worker.worker.sid == ann
    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_EXPIRED"]


async def test_a_token_ends_with_its_key_and_with_its_worker(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann"), await hire(serving, "bob")
    made = await serving.client.admin.CreateKey(friendly_name="desk")
    now = serving.clock.now()
    of_key = await serving.connect(write_token(made.key.sid, made.secret, ann, now))
    of_worker = await as_worker(serving, bob)
    streams = [
        client.routing.StreamReservations(worker_sid=sid)
        for client, sid in ((of_key, ann), (of_worker, bob))
    ]
    for stream in streams:
        await stream.read()
    await serving.client.admin.RevokeKey(sid=made.key.sid)
    await serving.client.workspace.UpdateWorker(sid=bob, activity="Offline")
    await serving.client.workspace.DeleteWorker(sid=bob)
    ended = [await end_of(serving, stream) for stream in streams]
    refused = [
        await refusal(client.workspace.GetWorker(sid=sid))
        for client, sid in ((of_key, ann), (of_worker, bob))
    ]

    for each in (*ended, *refused):
        assert [*each] == ["UNAUTHENTICATED", "CREDENTIAL_INVALID"]
    assert "revoked" in refused[0].text
    assert "no such worker" in refused[1].text


async def test_a_credential_is_replaced_by_one_that_stands_for_the_same(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann"), await hire(serving, "bob")
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="acme")).account.sid
    acme = await admin.CreateKey(account_sid=account, friendly_name="main")
    key = ".".join(first_key(serving))
    mine, theirs = token_of(serving, ann), token_of(serving, bob)
    foreign = f"{acme.key.sid}.{acme.secret}"
    expired = write_token(*first_key(serving), ann, serving.clock.now() - limits.HOUR)
    outcomes = []
    for held, others in (
        (mine, (theirs, key, foreign, expired, "nonsense", "x.y.z")),
        (key, (mine, foreign, "nonsense")),
    ):
        async with desk(await serving.connect(held)) as session:
            for number, other in enumerate((*others, held)):
                asked = pb.RefreshTokenRequest(token=other)
                await session.command(str(number), "", refresh_token=asked)
            results = await session.results(len(others) + 1)
            assert results.pop().WhichOneof("result") == "refresh_token"
            outcomes.append([":".join(status_of(each)) for each in results])

    denied = "PERMISSION_DENIED:PERMISSION_DENIED"
    invalid = "UNAUTHENTICATED:CREDENTIAL_INVALID"
    gone = "UNAUTHENTICATED:CREDENTIAL_EXPIRED"
    assert outcomes == [
        [denied, denied, denied, gone, invalid, invalid],
        [denied, denied, invalid],
    ]


# --- what is no good token -------------------------------------------------------------


def forged(
    serving: Serving,
    worker_sid: str,
    *,
    secret: str | None = None,
    kid: object = None,
    algorithm: str | None = "HS256",
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Return a token as ours, but for what is given; a claim that is None is left out."""
    sid, own = first_key(serving)
    all_claims = {
        "iat": SECONDS,
        "exp": SECONDS + 900,
        "grants": {"worker_sid": worker_sid},
        **claims,
    }
    header = {"kid": sid if kid is None else kid, **(headers or {})}
    return jwt.encode(
        {name: value for name, value in all_claims.items() if value is not None},
        own if secret is None else secret,
        algorithm,
        headers={name: value for name, value in header.items() if value != ""},
    )


async def test_only_what_its_key_signed_and_knows_is_a_token(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    admin = serving.client.admin
    (own,) = (await admin.ListKeys()).keys
    account = (await admin.CreateAccount(friendly_name="acme")).account.sid
    acme = await admin.CreateKey(account_sid=account, friendly_name="main")
    good = forged(serving, ann)
    head, body, signature = good.split(".")
    other = forged(serving, await hire(serving, "bob")).split(".")[1]
    bad = {
        "none": forged(serving, ann, secret="", algorithm=None),
        "unsigned": f"{head}.{body}.",
        "HS384": forged(serving, ann, algorithm="HS384"),
        "HS512": forged(serving, ann, algorithm="HS512"),
        "signature": forged(serving, ann, secret="x" * 64),
        "body swapped": f"{head}.{other}.{signature}",
        "no kid": forged(serving, ann, kid=""),
        "unknown kid": forged(serving, ann, kid=make_sid("SK", 1)),
        "kid is no key": forged(serving, ann, kid=account),
        "another account's key": forged(
            serving, ann, kid=acme.key.sid, secret=acme.secret
        ),
        "another account": forged(serving, ann, sub=account),
        "critical extension": forged(serving, ann, headers={"crit": ["x"], "x": 1}),
        "no exp": forged(serving, ann, exp=None),
        "no iat": forged(serving, ann, iat=None),
        "exp is a text": forged(serving, ann, exp=str(SECONDS + 900)),
        "exp beyond all bounds": forged(serving, ann, exp=2**70),
        "exp is not a number": forged(serving, ann, exp=float("nan")),
        "lives too long": forged(serving, ann, exp=SECONDS + 86_401),
        "iat ahead": forged(serving, ann, iat=SECONDS + 31),
        "nbf ahead": forged(serving, ann, nbf=SECONDS + 31),
        "no grants": forged(serving, ann, grants=None),
        "empty grants": forged(serving, ann, grants={}),
        "unknown grant": forged(
            serving, ann, grants={"worker_sid": ann, "identity": "ann"}
        ),
        "no worker": forged(serving, make_sid("WK", 1)),
        "worker is none": forged(serving, own.sid),
        "worker is a list": forged(serving, ann, grants={"worker_sid": [ann]}),
        "for others": forged(serving, ann, aud="somebody"),
        "not a JWT": "a.b.c",
        "dots": "..",
        "oversize": forged(serving, ann, padding="x" * limits.CREDENTIAL_CHARS),
    }
    odd = {}
    for name, token in bad.items():
        client = await serving.connect(token)
        refused = await refusal(client.workspace.GetWorker(sid=ann))
        if [*refused] != ["UNAUTHENTICATED", "CREDENTIAL_INVALID"]:
            odd[name] = refused

    assert odd == {}
    for token in (
        good,
        forged(serving, ann, sub=own.account_sid),
        forged(serving, ann, exp=SECONDS + 86_400),
        forged(serving, ann, iat=SECONDS + 30, nbf=SECONDS + 30),
    ):
        client = await serving.connect(token)
        assert (await client.workspace.GetWorker(sid=ann)).worker.sid == ann


async def test_a_token_ends_to_the_second(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    serving.clock.advance(15 * limits.MINUTE - 1)
    await client.workspace.GetWorker(sid=ann)
    serving.clock.advance(1)
    refused = await refusal(client.workspace.GetWorker(sid=ann))

    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_EXPIRED"]


async def test_tokens_beyond_the_cache_are_verified_anew(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOKENS_CACHED", 2)
    workers = [await hire(serving, name) for name in ("ann", "bob", "eve")]
    clients = [await as_worker(serving, sid) for sid in workers]
    for _ in range(2):
        for client, sid in zip(clients, workers, strict=True):
            assert (await client.workspace.GetWorker(sid=sid)).worker.sid == sid

    verified = serving.server.engine._credentials._verified
    assert len(verified) == 2


def test_what_refreshes_may_be_as_long_as_what_opens() -> None:
    field = pb.RefreshTokenRequest.DESCRIPTOR.fields_by_name["token"]
    assert rules_of(field).max_chars == limits.CREDENTIAL_CHARS
