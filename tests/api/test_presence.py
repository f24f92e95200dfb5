"""Whether workers are there, by what their sessions say."""

import asyncio
from typing import Any

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from flexcore.client import Client
from flexcore.domain import limits
from flexcore.v1 import policy_pb2, workspace_pb2
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.refusals import refusal
from tests.api.test_agent_session import PATIENCE, Desk, desk, hire
from tests.factories import make_sid
from tests.serving import Serving

SECONDS = limits.SECOND
GRACE = 60


async def connect(session: Desk, *sids: str) -> None:
    await session.say(declare=pb.Declare(connected_worker_sids=sids))


async def becomes(client: Client, sid: str, word: str) -> Any:
    """Wait until a worker's connectivity is this, and return the worker."""
    async with asyncio.timeout(PATIENCE):
        while True:
            worker = (await client.workspace.GetWorker(sid=sid)).worker
            if (
                workspace_pb2.Connectivity.Name(worker.connectivity)
                == f"CONNECTIVITY_{word}"
            ):
                return worker


async def heard(session: Desk) -> None:
    """Wait until everything the session said was read."""
    await session.command("heard", "")
    await session.results(1)


def refused(response: pb.AgentSessionResponse) -> dict[str, tuple[str, str]]:
    """Return code and reason by worker, of those a session lost."""
    status = status_pb2.Status.FromString(response.unsubscribed.status)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    found = code_pb2.Code.Name(status.code), info.reason
    return dict.fromkeys(response.unsubscribed.worker_sids, found)


async def set_policies(serving: Serving, **policies: Any) -> None:
    workspace = serving.client.workspace
    (row,) = (await workspace.ListWorkspaces()).workspaces
    await workspace.UpdateWorkspace(
        sid=row.sid, policies=policy_pb2.Policies(**policies)
    )


async def test_a_declared_worker_is_connected_and_the_session_hears_of_it(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        stood = await session.snapshots(1)
        await connect(session, ann)
        (event,) = await session.events(1)

    before, after = stood[ann].worker.connectivity, event.worker.connectivity
    assert before == workspace_pb2.CONNECTIVITY_UNTRACKED
    assert event.type == "worker.connectivity.update"
    assert after == workspace_pb2.CONNECTIVITY_CONNECTED


async def test_a_worker_who_is_subscribed_alone_has_no_connectivity(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    stream = serving.client.routing.StreamReservations(worker_sid=bob)
    await stream.read()
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
    stream.cancel()
    serving.clock.advance(3600 * SECONDS)

    for sid in (ann, bob):
        assert (await becomes(serving.client, sid, "UNTRACKED")).available


async def test_the_end_of_a_session_begins_the_grace_period(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    await serving.client.routing.CreateTask()
    async with desk(serving.client) as session:
        await connect(session, ann)
        await becomes(serving.client, ann, "CONNECTED")
    worker = await becomes(serving.client, ann, "GRACE")
    end = worker.grace_time.ToMicroseconds()
    assert worker.available
    assert end == serving.clock.now() + GRACE * SECONDS

    serving.clock.advance(GRACE * SECONDS)
    worker = await becomes(serving.client, ann, "LOST")
    assert not worker.available
    listed = await serving.client.routing.ListReservations(worker_sid=ann)
    assert [row.reason for row in listed.reservations] == ["Worker connection lost"]


async def test_heartbeats_alone_keep_a_worker_connected(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await connect(session, ann)
        await becomes(serving.client, ann, "CONNECTED")
        for _ in range(3):
            serving.clock.advance(44 * SECONDS)
            await session.say(heartbeat=pb.Heartbeat())
            await heard(session)
            await becomes(serving.client, ann, "CONNECTED")

        # Whatever else it says does not vouch for anybody.
        serving.clock.advance(44 * SECONDS)
        await heard(session)
        serving.clock.advance(1 * SECONDS)
        await becomes(serving.client, ann, "GRACE")

        await session.say(heartbeat=pb.Heartbeat())
        await becomes(serving.client, ann, "CONNECTED")


async def test_a_worker_of_two_sessions_stays_as_long_as_one_vouches(
    serving: Serving,
) -> None:
    await set_policies(serving, second_session="SECOND_SESSION_ALL_RING")
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as one:
        await connect(one, ann)
        await becomes(serving.client, ann, "CONNECTED")
        async with desk(serving.client) as two:
            await connect(two, ann)
            await heard(two)
        await heard(one)
        serving.clock.advance(30 * SECONDS)
        assert (await becomes(serving.client, ann, "CONNECTED")).version == 2
    await becomes(serving.client, ann, "GRACE")


async def test_the_latest_session_wins_and_the_one_before_is_told(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as one, desk(serving.client) as two:
        await one.subscribe(ann, bob)
        await one.snapshots(2)
        await connect(one, ann, bob)
        await one.events(2)
        await connect(two, ann)
        left = await one.until(lambda each: each.HasField("unsubscribed") and each)
        assert refused(left) == {ann: ("ABORTED", "SESSION_REPLACED")}

        update = serving.client.workspace.UpdateWorker
        await update(sid=ann, attributes='{"n":1}')
        await update(sid=bob, attributes='{"n":1}')
        (event,) = await one.events(1)
        assert event.worker.sid == bob

    await becomes(serving.client, ann, "GRACE")


async def test_who_declares_anew_before_hearing_of_the_loss_keeps_the_worker(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss is told behind the events before it, which wait for acknowledgments."""
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 1)
    update = serving.client.workspace.UpdateWorker
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as one, desk(serving.client) as two:
        await one.subscribe(ann)
        await one.snapshots(1)
        await connect(one, ann)
        (event,) = await one.events(1)
        await update(sid=ann, attributes='{"n":1}')
        await connect(two, ann)
        await heard(two)
        await one.say(declare=pb.Declare(disconnected_worker_sids=(ann,)))
        await connect(one, ann)
        left = await two.until(lambda each: each.HasField("unsubscribed") and each)
        assert refused(left) == {ann: ("ABORTED", "SESSION_REPLACED")}

        while event.worker.attributes != '{"n":1}':
            await one.ack(event.sequence)
            (event,) = await one.events(1)
        await one.ack(event.sequence)
        await heard(one)
        assert not any(each.HasField("unsubscribed") for each in one.seen)
        await becomes(serving.client, ann, "CONNECTED")
    await becomes(serving.client, ann, "GRACE")


async def test_the_end_of_a_session_that_was_replaced_means_nothing(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as two:
        async with desk(serving.client) as one:
            await connect(one, ann)
            await heard(one)
            await connect(two, ann)
            await heard(two)
        await heard(two)
        serving.clock.advance(30 * SECONDS)
        assert (await becomes(serving.client, ann, "CONNECTED")).version == 2


async def test_a_worker_can_be_declared_away_and_be_forgotten(
    serving: Serving,
) -> None:
    ann, bob, eve = await hire(serving, "ann", "bob", "eve")
    async with desk(serving.client) as session:
        await session.subscribe(eve)
        await connect(session, ann, bob, eve)
        await becomes(serving.client, bob, "CONNECTED")
        away = pb.Declare(disconnected_worker_sids=[ann], untracked_worker_sids=[bob])
        await session.say(declare=away)
        await becomes(serving.client, ann, "GRACE")
        await becomes(serving.client, bob, "UNTRACKED")
        await session.say(unsubscribe=pb.Unsubscribe(worker_sids=[eve]))
        await becomes(serving.client, eve, "GRACE")


async def test_who_is_unknown_or_one_too_many_is_told_in_place(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_WORKERS", 1)
    ann, bob = await hire(serving, "ann", "bob")
    nobody = make_sid("WK", 7)
    async with desk(serving.client) as session:
        await connect(session, nobody, ann, bob)
        lost: dict[str, tuple[str, str]] = {}
        while len(lost) < 2:
            response = await session.read()
            if response.HasField("unsubscribed"):
                lost |= refused(response)
        await becomes(serving.client, ann, "CONNECTED")

    assert lost == {
        nobody: ("NOT_FOUND", "RESOURCE_NOT_FOUND"),
        bob: ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED"),
    }


async def test_a_declared_worker_who_is_deleted_takes_no_room(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_WORKERS", 1)
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await connect(session, ann)
        await becomes(serving.client, ann, "CONNECTED")
        await serving.client.workspace.UpdateWorker(sid=ann, activity="Offline")
        await serving.client.workspace.DeleteWorker(sid=ann)
        left = await session.until(lambda each: each.HasField("unsubscribed") and each)
        await connect(session, bob)
        await becomes(serving.client, bob, "CONNECTED")

    assert refused(left) == {ann: ("NOT_FOUND", "RESOURCE_NOT_FOUND")}


async def test_a_worker_who_was_declared_away_is_heard_of_no_more(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await session.subscribe(bob)
        await session.snapshots(1)
        await connect(session, ann)
        await session.say(declare=pb.Declare(untracked_worker_sids=[ann, bob]))
        await heard(session)
        await serving.client.workspace.UpdateWorker(sid=ann, activity="Offline")
        await serving.client.workspace.DeleteWorker(sid=ann)
        await serving.client.workspace.UpdateWorker(sid=bob, attributes='{"n":1}')
        (event,) = await session.events(1)
        await heard(session)

    assert event.worker.sid == bob
    assert not any(each.HasField("unsubscribed") for each in session.seen)


async def test_a_session_vouches_for_nobody_it_refused_to_tell_of(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_WORKERS", 1)
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await connect(session, bob)
        await becomes(serving.client, bob, "CONNECTED")
        await session.subscribe(ann, bob)
        left = await session.until(lambda each: each.HasField("unsubscribed") and each)
        await becomes(serving.client, bob, "GRACE")

    assert refused(left) == {bob: ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")}


async def test_a_declaration_of_something_else_ends_the_session(
    serving: Serving,
) -> None:
    async with desk(serving.client) as session:
        await connect(session, make_sid("WT", 1))
        found = await refusal(session.read())

    assert found.fields.keys() == {"declare.connected_worker_sids[0]"}


async def test_a_stopped_server_writes_nothing_of_its_sessions(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await connect(session, ann)
        before = await becomes(serving.client, ann, "CONNECTED")
        await serving.restart()
    after = await becomes(serving.client, ann, "GRACE")

    assert after.version == before.version + 1
    assert after.grace_time.ToMicroseconds() >= serving.clock.now() + 59 * SECONDS


async def test_the_work_state_comes_with_worker_and_channels(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    await serving.client.routing.CreateTask()
    found = await serving.client.workspace.GetWorker(sid=ann)
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        stood = (await session.snapshots(1))[ann]

    for each in (found, stood):
        assert each.worker.work_state == workspace_pb2.WORK_STATE_OFFERED
        states = {
            channel.task_channel_unique_name: channel.work_state
            for channel in each.worker_channels
        }
        idle = workspace_pb2.WORK_STATE_IDLE
        offered = workspace_pb2.WORK_STATE_OFFERED
        assert states == {"default": offered, "chat": idle, "sms": idle}
