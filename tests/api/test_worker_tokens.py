"""Tokens of workers: what they open, and what they do not."""

import pytest

from flexcore.services.policy import Access, policy_of
from flexcore.services.registry import SERVICES
from tests.api.refusals import refusal
from tests.api.token_holders import (
    as_worker,
    hire,
    offer_to,
)
from tests.api.world import METHODS, World, build, call, rules_of
from tests.factories import make_sid
from tests.serving import Serving

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
