"""The command line where there are several workspaces, as after every import."""

import json
from typing import Any

import pytest

from tests.api.test_migration import FLEXCORE, run
from tests.serving import Serving

pytestmark = pytest.mark.slow


async def command(serving: Serving, *words: str) -> tuple[int, str, str]:
    return await run(FLEXCORE, *words, FLEXCORE_DATA=str(serving.data))


async def answer(serving: Serving, *words: str) -> list[Any]:
    code, printed, told = await command(serving, *words, "--json")
    assert code == 0, told
    return [json.loads(line) for line in printed.splitlines()]


async def test_every_command_can_say_which_workspace(serving: Serving) -> None:
    made = await serving.client.workspace.CreateWorkspace(
        friendly_name="second", template="WORKSPACE_TEMPLATE_FIFO"
    )
    sid = made.workspace.sid
    refused = await command(serving, "task", "create")
    of = ("--workspace", sid)
    (queue,) = await answer(serving, "queue", "create", "vip", *of)
    (worker,) = await answer(serving, "worker", "create", "ann", *of)
    (task,) = await answer(serving, "task", "create", *of)

    assert refused[0] == 1
    assert sid in refused[2]
    # The clock stands still, so these two are as old as each other.
    known = await answer(serving, "workspace", "list")
    assert {each["friendly_name"] for each in known} == {"default", "second"}
    for row in (queue, worker, task):
        assert row["workspace_sid"] == sid
    for noun, sids in (
        ("queue", {queue["sid"], task["task_queue_sid"]}),
        ("worker", {worker["sid"]}),
        ("task", {task["sid"]}),
    ):
        listed = await answer(serving, noun, "list", *of)
        assert {each["sid"] for each in listed} == sids, noun


async def test_a_list_of_workers_says_what_they_are_doing(serving: Serving) -> None:
    setup = serving.client.workspace
    await setup.CreateWorker(friendly_name="ann", activity="Unavailable")
    _, printed, _ = await command(serving, "worker", "list")

    assert printed.splitlines()[1].split()[1:3] == ["ann", "Unavailable"]


async def test_a_workflow_says_in_which_workspace_a_task_is(serving: Serving) -> None:
    made = await serving.client.workspace.CreateWorkspace(
        friendly_name="second", template="WORKSPACE_TEMPLATE_FIFO"
    )
    sid = made.workspace.sid
    (listed,) = await answer(serving, "workflow", "list", "--workspace", sid)
    every = await answer(serving, "workflow", "list")
    (shown,) = await answer(serving, "workflow", "show", listed["sid"])
    (task,) = await answer(serving, "task", "create", "--workflow", listed["sid"])

    assert len(every) == 2
    assert (listed, shown["workspace_sid"]) == (shown, sid)
    assert "task_routing" in json.loads(shown["configuration"])
    assert task["workspace_sid"] == sid


async def test_activities_are_listed_with_whether_they_are_available(
    serving: Serving,
) -> None:
    (row,) = (await serving.client.workspace.ListWorkspaces()).workspaces
    await serving.client.workspace.CreateWorkspace(friendly_name="second")
    _, printed, _ = await command(serving, "activity", "list", "--workspace", row.sid)

    header, *lines = [line.split()[1:] for line in printed.splitlines()]
    assert header == ["friendly_name", "available"]
    assert sorted(lines) == [
        ["Available", "true"],
        ["Offline", "false"],
        ["Unavailable", "false"],
    ]
