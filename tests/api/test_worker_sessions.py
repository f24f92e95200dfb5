"""Agent sessions that a worker holds with a token of its own."""

from typing import Any

from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import workspace_pb2
from tests.api.refusals import refusal
from tests.api.test_agent_session import desk, status_of
from tests.api.token_holders import (
    as_worker,
    hire,
    offer_to,
    update,
)
from tests.serving import Serving


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


async def test_a_token_vouches_for_its_worker_only(serving: Serving) -> None:
    ann, bob, carl = [await hire(serving, name) for name in ("ann", "bob", "carl")]
    async with desk(serving.client) as backend:
        await backend.say(declare=pb.Declare(connected_worker_sids=[bob, carl]))
        await backend.say(declare=pb.Declare(disconnected_worker_sids=[carl]))
        await backend.subscribe(carl)
        await backend.snapshots(1)
        async with desk(await as_worker(serving, ann)) as session:
            await session.subscribe(ann)
            await session.say(
                declare=pb.Declare(
                    connected_worker_sids=[ann, bob], untracked_worker_sids=[carl]
                )
            )
            left = [
                sid
                for _ in range(2)
                for sid in await session.until(
                    lambda each: each.unsubscribed.worker_sids
                )
            ]
            await session.command("1", ann, **update(ann, activity="Offline"))
            await session.results(1)
        workers = (await serving.client.workspace.ListWorkers()).workers
    found = {row.friendly_name: row.connectivity for row in workers}

    assert sorted(left) == sorted([bob, carl])
    assert found["bob"] == workspace_pb2.CONNECTIVITY_CONNECTED
    assert found["carl"] == workspace_pb2.CONNECTIVITY_GRACE
