"""Tokens of workers: how they end, and what ends with them."""

import asyncio
from typing import Any

import grpc

from flexcore.domain import limits
from flexcore.domain.access_tokens import write_token
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.refusals import Refusal, refusal
from tests.api.test_agent_session import desk, status_of
from tests.api.test_routing_service import beaten
from tests.api.token_holders import (
    SECONDS,
    as_worker,
    first_key,
    hire,
    offer_to,
    token_of,
    update,
)
from tests.serving import Serving


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
