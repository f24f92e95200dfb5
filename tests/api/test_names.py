"""Names beside sids: what answers, lists and snapshots call what a row refers to."""

from typing import Any

from tests.serving import Serving


async def a_task(serving: Serving) -> Any:
    created = await serving.client.routing.CreateTask(request_id="once")
    return created.task


async def test_a_task_tells_the_names_of_its_queue_and_workflow_as_they_are_now(
    serving: Serving,
) -> None:
    setup, routing = serving.client.workspace, serving.client.routing
    made = await a_task(serving)
    (queue,) = (await setup.ListTaskQueues()).task_queues
    (workflow,) = (await setup.ListWorkflows()).workflows
    await setup.UpdateTaskQueue(sid=queue.sid, friendly_name="renamed")
    shown = [
        (await routing.GetTask(sid=made.sid)).task,
        (await routing.ListTasks()).tasks[0],
        (await routing.ExplainTask(sid=made.sid)).task,
        await a_task(serving),
    ]

    assert made.task_queue_friendly_name == queue.friendly_name
    assert {each.task_queue_friendly_name for each in shown} == {"renamed"}
    assert {each.workflow_friendly_name for each in shown} == {workflow.friendly_name}
    assert {each.version for each in shown} == {made.version}


async def test_a_worker_tells_the_name_of_its_activity(serving: Serving) -> None:
    setup, routing = serving.client.workspace, serving.client.routing
    made = (await setup.CreateWorker(friendly_name="ann", activity="Available")).worker
    stream = routing.StreamReservations(worker_sid=made.sid)
    try:
        first = await stream.read()
    finally:
        stream.cancel()

    assert made.activity_name == "Available"
    assert (await setup.ListWorkers()).workers[0].activity_name == "Available"
    assert first.snapshot.worker.activity_name == "Available"


async def test_a_workspace_tells_the_names_of_its_activities(serving: Serving) -> None:
    setup = serving.client.workspace
    (listed,) = (await setup.ListWorkspaces()).workspaces
    got = (await setup.GetWorkspace(sid=listed.sid)).workspace

    assert got == listed
    assert got.default_activity_name == "Offline"
    assert got.timeout_activity_name == "Offline"
