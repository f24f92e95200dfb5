"""`flexcore queue` and `flexcore worker`: where work waits, and who does it."""

from typing import Annotated

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.options import InWorkspace, Workspace

queue = typer.Typer(
    help="Task queues: create, list, update, delete.", no_args_is_help=True
)
worker = typer.Typer(
    help="Workers: create, list, show, update, delete.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="For people; unique in the workspace.")]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="EXPRESSION",
        envvar="FLEXCORE_TARGET_WORKERS",
        help="The workers its tasks are offered to; left out: everybody.",
    ),
]
Reserved = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=50,
        metavar="WORKERS",
        envvar="FLEXCORE_MAX_RESERVED_WORKERS",
        help="Workers a task is offered to at once; 0: workers claim its tasks.",
    ),
]
Queue = Annotated[str, typer.Argument(metavar="WQ...", help="The queue.")]
Worker = Annotated[str, typer.Argument(metavar="WK...", help="The worker.")]
Attributes = Annotated[
    str | None,
    typer.Option(metavar="JSON", envvar="FLEXCORE_ATTRIBUTES", help="One JSON object."),
]
Activity = Annotated[
    str | None,
    typer.Option(envvar="FLEXCORE_ACTIVITY", help="What the worker is doing."),
]


@queue.command("create")
@asks
async def create_queue(
    talk: Talk,
    name: Name,
    *,
    workspace: Workspace = "",
    target_workers: Target = None,
    max_reserved_workers: Reserved = None,
) -> None:
    """Create a task queue."""
    response = await talk.call(
        "workspace",
        "CreateTaskQueue",
        workspace_sid=workspace,
        friendly_name=name,
        target_workers=target_workers,
        max_reserved_workers=max_reserved_workers,
    )
    talk.output.message(response.task_queue)


@queue.command("list")
@asks
async def list_queues(talk: Talk, *, workspace: InWorkspace = "") -> None:
    """List task queues in order of creation."""
    found = talk.every(
        "workspace", "ListTaskQueues", "task_queues", workspace_sid=workspace
    )
    columns = ("sid", "friendly_name", "target_workers")
    talk.output.table([each async for each in found], columns)


@queue.command("update")
@asks
async def update_queue(
    talk: Talk,
    sid: Queue,
    *,
    target_workers: Target = None,
    max_reserved_workers: Reserved = None,
) -> None:
    """Change whom a queue offers its tasks, and to how many."""
    response = await talk.call(
        "workspace",
        "UpdateTaskQueue",
        sid=sid,
        target_workers=target_workers,
        max_reserved_workers=max_reserved_workers,
    )
    talk.output.message(response.task_queue)


@queue.command("delete")
@asks
async def delete_queue(talk: Talk, sid: Queue) -> None:
    """Delete a queue nothing waits in and no workflow names."""
    response = await talk.call("workspace", "DeleteTaskQueue", sid=sid)
    talk.output.message(response.task_queue)


@worker.command("create")
@asks
async def create_worker(
    talk: Talk,
    name: Name,
    *,
    workspace: Workspace = "",
    attributes: Attributes = None,
    activity: Activity = None,
) -> None:
    """Create a worker."""
    response = await talk.call(
        "workspace",
        "CreateWorker",
        workspace_sid=workspace,
        friendly_name=name,
        attributes=attributes,
        activity=activity,
    )
    talk.output.message(response.worker)


@worker.command("list")
@asks
async def list_workers(
    talk: Talk,
    *,
    workspace: InWorkspace = "",
    target_workers: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION",
            envvar="FLEXCORE_TARGET_WORKERS",
            help="Only those who satisfy it.",
        ),
    ] = "",
    queue: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            envvar="FLEXCORE_QUEUE",
            help="Only those who belong to this task queue.",
        ),
    ] = "",
) -> None:
    """List workers in order of creation, with what they are doing."""
    found = talk.every(
        "workspace",
        "ListWorkers",
        "workers",
        workspace_sid=workspace,
        target_workers_expression=target_workers,
        task_queue_name=queue,
    )
    columns = ("sid", "friendly_name", "activity_name", "connectivity", "attributes")
    talk.output.table([each async for each in found], columns)


@worker.command("update")
@asks
async def update_worker(
    talk: Talk,
    sid: Worker,
    *,
    attributes: Attributes = None,
    activity: Activity = None,
    after_current_work: Annotated[
        bool,
        typer.Option(
            "--after-current-work",
            envvar="FLEXCORE_AFTER_CURRENT_WORK",
            help="Change the activity once the present work is done.",
        ),
    ] = False,
) -> None:
    """Change a worker's attributes or activity."""
    response = await talk.call(
        "workspace",
        "UpdateWorker",
        sid=sid,
        attributes=attributes,
        activity=activity,
        after_current_work=after_current_work,
    )
    talk.output.message(response.worker)


@worker.command("show")
@asks
async def show_worker(talk: Talk, sid: Worker) -> None:
    """Show a worker: activity, connectivity, and what is at hand."""
    response = await talk.call("workspace", "GetWorker", sid=sid)
    talk.output.message(response.worker)


@worker.command("delete")
@asks
async def delete_worker(talk: Talk, sid: Worker) -> None:
    """Delete a worker who holds nothing."""
    response = await talk.call("workspace", "DeleteWorker", sid=sid)
    talk.output.message(response.worker)
