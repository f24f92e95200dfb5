"""WatchStatistics on the wire: the values of the calls, ends, and the client's view."""

import asyncio
from typing import Any

import pytest

from flexcore.client import StatisticsView, resuming
from flexcore.domain.limits import SECOND
from flexcore.v1 import statistics_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


async def workspace_of(serving: Serving) -> str:
    found = await serving.client.workspace.ListWorkspaces()
    return str(found.workspaces[0].sid)


async def until_told(serving: Serving, views: Any, tasks: int) -> StatisticsView:
    """Let seconds pass until a view comes in which so many tasks are open."""
    async with asyncio.timeout(10):
        while True:
            waiting = asyncio.ensure_future(anext(views))
            while not (await asyncio.wait({waiting}, timeout=0.02))[0]:
                serving.clock.advance(SECOND)
            view = waiting.result()
            assert isinstance(view, StatisticsView)
            if view.workspace.real_time.total_tasks == tasks:
                return view


def without_windows(message: Any) -> Any:
    """Return what a call says of now, as the stream says it."""
    message.ClearField("cumulative")
    message.ClearField("cumulative_channels")
    for now in (
        message.real_time,
        *(each.tasks for each in message.real_time_channels),
    ):
        now.ClearField("longest_task_waiting_age")
        now.ClearField("longest_relative_task_age_in_queue")
    return message


async def test_values_are_those_of_the_calls(serving: Serving) -> None:
    client, sid = serving.client, await workspace_of(serving)
    await client.workspace.CreateTaskQueue(
        friendly_name="second", target_workers="1==2"
    )
    await client.workspace.CreateWorker(friendly_name="ann", activity="Available")
    views = aiter(client.statistics(sid))
    await anext(views)
    for number in range(6):
        await client.routing.CreateTask(priority=number % 2, task_channel="chat")
        view = await until_told(serving, views, number + 1)
    workspace = await client.routing.GetWorkspaceStatistics(sid=sid)
    queues = await client.routing.GetTaskQueueStatistics(sids=list(view.task_queues))

    assert len(view.task_queues) == 2
    assert view.workspace == without_windows(workspace.workspace_statistics)
    assert view.task_queues == {
        each.sid: without_windows(each) for each in queues.task_queue_statistics
    }
    await views.aclose()


async def test_calls_say_how_long_and_since_when(serving: Serving) -> None:
    task = (await serving.client.routing.CreateTask()).task
    serving.clock.advance(7 * SECOND)
    found = await serving.client.routing.GetTaskQueueStatistics(
        sids=[task.task_queue_sid]
    )
    now = found.task_queue_statistics[0].real_time

    assert now.longest_task_waiting_since_time == task.create_time
    assert now.longest_task_waiting_age.seconds == 7
    assert now.longest_relative_task_since_time_in_queue == task.create_time


async def test_a_change_comes_without_what_did_not_change(serving: Serving) -> None:
    client, sid = serving.client, await workspace_of(serving)
    await client.workspace.CreateTaskQueue(
        friendly_name="second", target_workers="1==2"
    )
    stream = client.routing.WatchStatistics(workspace_sid=sid)
    first = await stream.read()
    serving.clock.advance(SECOND)
    await client.routing.CreateTask()
    found = await stream.read()

    assert (first.whole, len(first.task_queue_statistics)) == (True, 2)
    assert (found.whole, len(found.task_queue_statistics)) == (False, 1)
    assert found.task_queue_statistics[0].real_time.total_tasks == 1
    assert not found.workspace_statistics.HasField("cumulative")
    stream.cancel()


async def test_a_stream_of_statistics_says_go_away(serving: Serving) -> None:
    sid = await workspace_of(serving)
    stream = serving.client.routing.WatchStatistics(workspace_sid=sid)
    await stream.read()
    await serving.server.engine.end_streams()

    assert (await stream.read()).go_away


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"workspace_sid": "WS"}, "NOT_FOUND"),
        ({"task_queue_sids": ["WQ"]}, "NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_not_watched(
    serving: Serving, fields: dict[str, Any], refused: str
) -> None:
    asked: dict[str, Any] = {"workspace_sid": await workspace_of(serving)}
    for name, value in fields.items():
        sids = [
            make_sid(prefix, 1) for prefix in ([value] if name[-1] == "d" else value)
        ]
        asked[name] = sids[0] if name[-1] == "d" else sids
    found = await refusal(serving.client.routing.WatchStatistics(**asked).read())

    assert found.code == refused


async def test_a_view_goes_on_after_the_server_was_away(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS", 0.001)
    client, sid = serving.client, await workspace_of(serving)
    watched = client.statistics(sid)
    views = aiter(watched)
    await client.routing.CreateTask()
    await until_told(serving, views, 1)
    await serving.restart_in_place()
    await client.routing.CreateTask()
    view = await until_told(serving, views, 2)

    (queue,) = view.task_queues.values()
    assert isinstance(queue, statistics_pb2.TaskQueueStatistics)
    assert queue.real_time.total_tasks == 2
    assert watched.resumed >= 1
    await views.aclose()
