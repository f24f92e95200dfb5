"""Statistics as callers get them: figures, windows, refusals."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain.limits import SECOND
from flexcore.v1 import statistics_pb2, workspace_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


class Center:
    """A contact center in which a worker accepts, rejects, and customers give up."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.routing = serving.client.routing
        self.setup = serving.client.workspace

    async def open(self) -> None:
        self.workspace = (await self.setup.ListWorkspaces()).workspaces[0].sid
        self.queue = (await self.setup.ListTaskQueues()).task_queues[0].sid
        self.workflow = (await self.setup.ListWorkflows()).workflows[0].sid
        made = await self.setup.CreateWorker(friendly_name="ann", activity="Available")
        self.worker = made.worker.sid

    async def wait(self, seconds: int) -> None:
        """Let time pass a second at a time: offers keep the disk busy."""
        for _ in range(seconds):
            self.serving.clock.advance(SECOND)
            await self.routing.ListTasks(page_size=1)
            await self.setup.GetWorkspace(sid=self.workspace)

    async def offer(self) -> str:
        found = await self.routing.ListReservations(worker_sid=self.worker)
        return found.reservations[-1].sid

    async def day(self) -> None:
        """One handled for 30 s, 10 of them wrap-up; one given up after 3 s, one after 8."""
        task = (await self.routing.CreateTask(task_channel="chat")).task
        await self.wait(4)
        await self.routing.AcceptReservation(sid=await self.offer())
        await self.wait(20)
        await self.routing.WrapTask(sid=task.sid)
        await self.wait(10)
        await self.routing.CompleteTask(sid=task.sid)
        await self.setup.UpdateWorker(sid=self.worker, activity="Unavailable")
        first = (await self.routing.CreateTask(task_channel="sms")).task
        second = (await self.routing.CreateTask(task_channel="sms")).task
        await self.wait(3)
        await self.routing.CancelTask(sid=first.sid)
        await self.wait(5)
        await self.routing.CancelTask(sid=second.sid)
        self.waiting = (await self.routing.CreateTask(priority=5)).task
        await self.wait(2)


@pytest.fixture
async def center(serving: Serving) -> Center:
    found = Center(serving)
    await found.open()
    await found.day()
    return found


def seconds(number: float) -> Duration:
    return Duration(seconds=int(number), nanos=round(number % 1 * 1e9))


def durations(*values: int) -> statistics_pb2.DurationStatistics:
    """What is measured of these; 0 is unset."""
    found = statistics_pb2.DurationStatistics(count=len(values))
    for name, value in (
        ("avg", sum(values) / len(values)),
        ("min", min(values)),
        ("max", max(values)),
        ("total", sum(values)),
    ):
        getattr(found, name).CopyFrom(seconds(value))
    return found


async def test_the_figures_of_a_workspace(center: Center) -> None:
    response = await center.routing.GetWorkspaceStatistics(
        sid=center.workspace,
        split_by_wait_time=[3, 5],
        service_level_threshold=Duration(seconds=4),
        short_abandon_threshold=Duration(seconds=3),
    )
    found = response.workspace_statistics
    now, total = found.real_time, found.cumulative

    assert (now.total_tasks, now.tasks_by_status.pending) == (1, 1)
    assert dict(now.tasks_by_priority) == {5: 1}
    assert now.longest_task_waiting_age == seconds(2)
    assert now.longest_task_waiting_sid == center.waiting.sid
    assert found.total_workers == 1
    assert {a.friendly_name: a.workers for a in found.activity_statistics} == {
        "Available": 0,
        "Offline": 0,
        "Unavailable": 1,
    }
    assert total.reservations == statistics_pb2.ReservationCounts(
        reservations_created=1, reservations_accepted=1
    )
    assert (total.tasks_created, total.tasks_completed, total.tasks_canceled) == (
        4,
        1,
        2,
    )
    assert total.avg_task_acceptance_time == seconds(4)
    assert total.wait_duration_until_accepted == durations(4)
    assert total.wait_duration_until_canceled == durations(3, 8)
    assert total.handle_duration == durations(30)
    assert total.wrap_duration == durations(10)
    assert total.service_level == 1 / 3
    assert (total.tasks_abandoned_short, total.tasks_abandoned_long) == (1, 1)
    splits = {
        each.seconds: (
            each.below.reservations_accepted,
            each.below.tasks_canceled,
            each.above.reservations_accepted,
            each.above.tasks_canceled,
        )
        for each in total.split_by_wait_time
    }
    assert splits == {3: (0, 1, 1, 1), 5: (1, 1, 0, 1)}
    assert not total.HasField("tasks_entered")


async def test_figures_come_with_those_of_each_channel(center: Center) -> None:
    response = await center.routing.GetWorkspaceStatistics(sid=center.workspace)
    found = response.workspace_statistics

    created = {
        each.task_channel_unique_name: each.tasks.tasks_created
        for each in found.cumulative_channels
    }
    assert created == {"chat": 1, "default": 1, "sms": 2}
    (now,) = found.real_time_channels
    assert (now.task_channel_unique_name, now.tasks.total_tasks) == ("default", 1)
    narrow = await center.routing.GetWorkspaceStatistics(
        sid=center.workspace, task_channel="sms"
    )
    (only,) = narrow.workspace_statistics.cumulative_channels
    assert only.tasks == narrow.workspace_statistics.cumulative
    assert only.tasks.tasks_canceled == 2
    assert narrow.workspace_statistics.real_time.total_tasks == 0


async def test_the_figures_of_queues(center: Center) -> None:
    other = await center.setup.CreateTaskQueue(
        friendly_name="nobody", target_workers="1==2"
    )
    sids = [other.task_queue.sid, center.queue]
    response = await center.routing.GetTaskQueueStatistics(sids=sids)
    empty, found = response.task_queue_statistics

    assert [empty.sid, found.sid] == sids
    assert (empty.total_eligible_workers, empty.cumulative.tasks_entered) == (0, 0)
    assert (found.total_eligible_workers, found.total_available_workers) == (1, 0)
    assert found.cumulative.tasks_entered == 4
    assert found.cumulative.wait_duration_in_queue_until_accepted == durations(4)
    assert found.real_time.longest_relative_task_sid_in_queue == center.waiting.sid
    assert not found.cumulative.HasField("tasks_created")
    assert not found.cumulative.HasField("tasks_timed_out_in_workflow")


async def test_the_figures_of_a_workflow(center: Center) -> None:
    response = await center.routing.GetWorkflowStatistics(sid=center.workflow)
    found = response.workflow_statistics

    assert found.cumulative.tasks_entered == 4
    assert found.cumulative.tasks_timed_out_in_workflow == 0
    assert found.cumulative.HasField("tasks_timed_out_in_workflow")
    assert found.real_time.total_tasks == 1


async def test_the_figures_of_a_worker(center: Center) -> None:
    response = await center.routing.GetWorkerStatistics(worker_sid=center.worker)
    found = response.worker_statistics

    assert found.real_time.activity_name == "Unavailable"
    untracked = workspace_pb2.CONNECTIVITY_UNTRACKED
    assert found.real_time.connectivity == untracked
    assert found.real_time.work_state == workspace_pb2.WORK_STATE_IDLE
    assert len(found.real_time.channels) == 3
    assert found.cumulative.reservations.reservations_accepted == 1
    assert found.cumulative.handle_duration == durations(30)
    assert {e.friendly_name: e.durations for e in found.activity_durations} == {
        "Available": durations(34),
        "Unavailable": durations(10),
    }
    assert found.busy_duration == seconds(30)
    assert found.available_duration == seconds(34)
    assert found.occupancy == 30 / 34


async def test_the_figures_of_all_workers(center: Center) -> None:
    await center.setup.CreateWorker(friendly_name="bob", activity="Available")
    await center.wait(6)
    response = await center.routing.GetWorkerStatistics(workspace_sid=center.workspace)
    found = response.worker_statistics

    assert (found.sid, found.total_workers) == (center.workspace, 2)
    assert not found.HasField("real_time")
    assert {a.friendly_name: a.workers for a in found.activity_statistics} == {
        "Available": 1,
        "Offline": 0,
        "Unavailable": 1,
    }
    by_name = {e.friendly_name: e.durations for e in found.activity_durations}
    assert by_name["Available"] == durations(34, 6)
    assert found.occupancy == 30 / 40


async def test_a_window_counts_what_lies_in_it(center: Center) -> None:
    end = center.serving.clock.now() // SECOND
    response = await center.routing.GetWorkspaceStatistics(
        sid=center.workspace,
        start_time=Timestamp(seconds=end - 10),
        end_time=Timestamp(seconds=end - 2),
    )
    total = response.workspace_statistics.cumulative

    assert response.window.start_time.seconds == end - 10
    assert response.window.end_time.seconds == end - 2
    assert response.time.seconds == end
    assert (total.tasks_created, total.tasks_canceled) == (2, 1)
    later = await center.routing.GetWorkspaceStatistics(
        sid=center.workspace, start_time=Timestamp(seconds=end - 2)
    )
    total = later.workspace_statistics.cumulative
    assert (total.tasks_created, total.tasks_canceled) == (1, 1)


async def test_figures_survive_a_restart(center: Center) -> None:
    before = await center.routing.GetWorkerStatistics(workspace_sid=center.workspace)
    await center.serving.restart()
    routing = center.serving.client.routing
    after = await routing.GetWorkerStatistics(workspace_sid=center.workspace)

    assert after == before


@pytest.mark.parametrize(
    ("rpc", "fields", "refused"),
    [
        ("GetWorkspaceStatistics", {"sid": "WS"}, "NOT_FOUND"),
        ("GetWorkflowStatistics", {"sid": "WW"}, "NOT_FOUND"),
        ("GetTaskQueueStatistics", {"sids": ["WQ"]}, "NOT_FOUND"),
        ("GetWorkerStatistics", {"worker_sid": "WK"}, "NOT_FOUND"),
        ("GetWorkerStatistics", {"workspace_sid": "WS"}, "NOT_FOUND"),
        ("GetTaskQueueStatistics", {}, "INVALID_ARGUMENT"),
        ("GetTaskQueueStatistics", {"sids": ["WQ"] * 51}, "INVALID_ARGUMENT"),
        ("GetWorkerStatistics", {}, "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_not_there_or_not_said_is_refused(
    serving: Serving, rpc: str, fields: dict[str, Any], refused: str
) -> None:
    given = {
        name: make_sid(value, 7)
        if isinstance(value, str)
        else [make_sid(v, 7) for v in value]
        for name, value in fields.items()
    }
    found = await refusal(getattr(serving.client.routing, rpc)(**given))

    assert found.code == refused


async def test_one_queue_that_is_not_there_refuses_them_all(center: Center) -> None:
    sids = [center.queue, make_sid("WQ", 7)]
    found = await refusal(center.routing.GetTaskQueueStatistics(sids=sids))

    assert [*found] == ["NOT_FOUND", "RESOURCE_NOT_FOUND"]
    assert found.metadata == {"sid": sids[1]}


@pytest.mark.parametrize(
    "fields",
    [
        {"minutes": 10_081},
        {"minutes": 5, "start_time": Timestamp(seconds=1_699_999_999)},
        {"start_time": Timestamp(seconds=9_000_000_000)},
        {"task_channel": "pigeon"},
        {"split_by_wait_time": [0]},
        {"split_by_wait_time": [1] * 21},
        {"service_level_threshold": Duration(seconds=1, nanos=5)},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    center: Center, fields: dict[str, Any]
) -> None:
    call = center.routing.GetWorkspaceStatistics(sid=center.workspace, **fields)
    found = await refusal(call)

    assert [*found] == ["INVALID_ARGUMENT", "FIELD_INVALID"]
    assert {name.partition("[")[0] for name in found.fields} <= fields.keys()


async def test_a_window_before_the_log_is_refused(center: Center) -> None:
    engine = center.serving.server.engine
    (account,) = (one for sid, one in engine.accounts().items() if sid.strip("AC0"))
    center.serving.clock.advance(8 * 86_400 * SECOND)
    engine._store.clean_up(account.sid, account.epoch, center.serving.clock.now())
    now = center.serving.clock.now() // SECOND
    call = center.routing.GetWorkspaceStatistics(
        sid=center.workspace, start_time=Timestamp(seconds=now - 8 * 86_400)
    )
    found = await refusal(call)

    assert [*found] == ["OUT_OF_RANGE", "STATISTICS_TOO_OLD"]
    assert found.metadata.keys() == {"floor_time"}
    await center.routing.GetWorkspaceStatistics(sid=center.workspace)
