"""A worker's streams tell of the activities of its workspace, as snapshots do."""

from typing import Any

from flexcore.client import Client
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.test_agent_session import Desk, desk, hire
from tests.serving import Serving


async def make_activity(client: Client, name: str, workspace_sid: str = "") -> str:
    made = await client.workspace.CreateActivity(
        friendly_name=name, workspace_sid=workspace_sid, available=True
    )
    return str(made.activity.sid)


async def two_workspaces(serving: Serving) -> tuple[list[str], list[str]]:
    """Return a worker and an activity of the first workspace, and of another one."""
    workspace = serving.client.workspace
    (first,) = (await workspace.ListWorkspaces()).workspaces
    other = (await workspace.CreateWorkspace(friendly_name="other")).workspace
    workers, activities = [], []
    for sid in (first.sid, other.sid):
        made = await workspace.CreateWorker(workspace_sid=sid, friendly_name="ann")
        workers.append(made.worker.sid)
        activities.append(await make_activity(serving.client, "Lunch", sid))
    return workers, activities


async def rename(serving: Serving, sid: str, name: str) -> None:
    await serving.client.workspace.UpdateActivity(sid=sid, friendly_name=name)


def told_by(session: Desk) -> list[tuple[str, str]]:
    """Return types and names of the activities a session was told of, in order."""
    return [
        (event.type, event.activity.friendly_name)
        for response in session.seen
        for event in response.events
        if event.HasField("activity")
    ]


async def heard(session: Desk, worker_sid: str) -> None:
    """Wait until the session was told of everything up to now."""
    await session.command(
        "now", worker_sid, update_worker={"sid": worker_sid, "attributes": '{"z":1}'}
    )
    await session.events(1)


async def test_a_session_is_told_of_an_activity_once_for_all_its_workers(
    serving: Serving,
) -> None:
    sids = await hire(serving, "ann", "bob", "eve")
    lunch = await make_activity(serving.client, "Lunch")
    async with desk(serving.client) as session:
        await session.subscribe(*sids)
        await session.snapshots(3)
        await rename(serving, lunch, "Meal")
        (event,) = await session.events(1)
        await serving.client.workspace.DeleteActivity(sid=lunch)
        (gone,) = await session.events(1)
        await heard(session, sids[0])

    assert (event.type, event.activity.sid) == ("activity.updated", lunch)
    assert (gone.type, gone.activity.sid) == ("activity.deleted", lunch)
    assert told_by(session) == [
        ("activity.updated", "Meal"),
        ("activity.deleted", "Meal"),
    ]


async def test_an_activity_is_told_of_before_a_worker_who_is_in_it(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    stream = serving.client.routing.StreamReservations(worker_sid=ann)
    token = (await stream.read()).resume_token
    lunch = await make_activity(serving.client, "Lunch")
    await serving.client.workspace.UpdateWorker(sid=ann, activity="Lunch")
    live: list[Any] = []
    while len(live) < 2:
        live += (await stream.read()).events
    stream.cancel()
    resumed = serving.client.routing.StreamReservations(
        worker_sid=ann, resume_token=token
    )
    again = list((await resumed.read()).events)
    resumed.cancel()

    assert again == live
    made, moved = live
    assert (made.type, made.activity.friendly_name) == ("activity.created", "Lunch")
    assert (moved.type, moved.worker.activity_sid) == ("worker.activity.update", lunch)


async def test_a_resumed_session_is_told_what_was_renamed_meanwhile(
    serving: Serving,
) -> None:
    (ann, _), (lunch, other) = await two_workspaces(serving)
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        token = session.token
    await rename(serving, other, "Siesta")
    await rename(serving, lunch, "Meal")
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=token)
        await resumed.events(1)
        await rename(serving, lunch, "Supper")
        await resumed.events(1)
        await heard(resumed, ann)

    assert told_by(resumed) == [
        ("activity.updated", "Meal"),
        ("activity.updated", "Supper"),
    ]


async def test_a_workspace_is_told_of_as_long_as_one_of_its_workers_is(
    serving: Serving,
) -> None:
    (ann, bob), (lunch, other) = await two_workspaces(serving)
    workspace = serving.client.workspace
    there = (await workspace.GetWorker(sid=bob)).worker.workspace_sid
    made = await workspace.CreateWorker(workspace_sid=there, friendly_name="eve")
    eve = made.worker.sid
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob, eve)
        await session.snapshots(3)
        for word, gone in (("all", ""), ("one", bob), ("none", eve)):
            if gone:
                await session.say(unsubscribe=pb.Unsubscribe(worker_sids=[gone]))
                await session.until(lambda each: each.HasField("unsubscribed"))
            await rename(serving, other, f"{word} there")
            await rename(serving, lunch, f"{word} here")
        await heard(session, ann)

    assert [name for _, name in told_by(session)] == [
        "all there",
        "all here",
        "one there",
        "one here",
        "none here",
    ]
