"""`flexcore task`: work that waits for a worker."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.options import InWorkspace, Workspace

task = typer.Typer(
    help="Tasks: create, get, list, claim, cancel, wrap, complete, delete.",
    no_args_is_help=True,
)

STATUSES = ("pending", "reserved", "assigned", "wrapping", "completed", "canceled")

Sid = Annotated[str, typer.Argument(metavar="WT...", help="The task.")]
Reason = Annotated[
    str, typer.Option(envvar="FLEXCORE_REASON", help="Kept on the task.")
]


@task.command()
@asks
async def create(
    talk: Talk,
    *,
    workspace: Workspace = "",
    attributes: Annotated[
        str,
        typer.Option(
            metavar="JSON", envvar="FLEXCORE_ATTRIBUTES", help="One JSON object."
        ),
    ] = "{}",
    workflow: Annotated[
        str,
        typer.Option(
            metavar="WW...",
            envvar="FLEXCORE_WORKFLOW",
            help="The workflow; may be left out when there is one.",
        ),
    ] = "",
    channel: Annotated[
        str, typer.Option(envvar="FLEXCORE_CHANNEL", help="The task channel.")
    ] = "",
    priority: Annotated[
        int, typer.Option(envvar="FLEXCORE_PRIORITY", help="Greater goes first.")
    ] = 0,
) -> None:
    """Create a task; it is offered at once if somebody is free."""
    response = await talk.call(
        "routing",
        "CreateTask",
        workspace_sid=workspace,
        attributes=attributes,
        workflow_sid=workflow,
        task_channel=channel,
        priority=priority,
    )
    talk.output.message(response.task)


@task.command()
@asks
async def get(talk: Talk, sid: Sid) -> None:
    """Show a task, open or finished."""
    response = await talk.call("routing", "GetTask", sid=sid)
    talk.output.message(response.task)


@task.command("list")
@asks
async def list_tasks(
    talk: Talk,
    *,
    workspace: InWorkspace = "",
    status: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(STATUSES),
            envvar="FLEXCORE_STATUS",
            help="Only those in this status; may be said several times.",
        ),
    ] = None,
    order_by: Annotated[
        str,
        typer.Option(
            metavar="ORDER",
            envvar="FLEXCORE_ORDER_BY",
            help="create_time; of open ones priority or virtual_start_time too, or both"
            " with a comma between; desc after one turns it round.",
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option(min=1, envvar="FLEXCORE_LIMIT", help="Most rows to show.")
    ] = 50,
) -> None:
    """List tasks, by creation or as they are served.

    Says on standard error when there are more than it shows.
    """
    where: dict[str, Any] = {"workspace_sid": workspace, "order_by": order_by}
    for each in status or ():
        if each not in STATUSES:
            raise typer.BadParameter(f"{each!r} is not one of {', '.join(STATUSES)}")
    where["statuses"] = [f"TASK_STATUS_{each.upper()}" for each in status or ()]
    found = talk.every("routing", "ListTasks", "tasks", limit + 1, **where)
    tasks = [each async for each in found]
    columns = ("sid", "status", "priority", "assignment_count", "attributes")
    talk.output.table(tasks[:limit], columns)
    if len(tasks) > limit:
        typer.echo(f"there are more than these {limit}; pass --limit", err=True)


def _ending(rpc: str, text: str) -> Callable[..., None]:
    async def end(talk: Talk, sid: Sid, *, reason: Reason = "") -> None:
        response = await talk.call("routing", rpc, sid=sid, reason=reason)
        talk.output.message(response.task)

    end.__doc__ = text
    return asks(end)


task.command("cancel")(_ending("CancelTask", "Give up a task nobody has accepted."))
task.command("wrap")(_ending("WrapTask", "Begin the wrap-up of an assigned task."))


@task.command()
@asks
async def complete(
    talk: Talk,
    sid: Sid,
    *,
    reason: Reason = "",
    disposition: Annotated[
        str, typer.Option(envvar="FLEXCORE_DISPOSITION", help="What came of it.")
    ] = "",
) -> None:
    """Complete a task."""
    response = await talk.call(
        "routing", "CompleteTask", sid=sid, reason=reason, disposition=disposition
    )
    talk.output.message(response.task)


@task.command()
@asks
async def claim(
    talk: Talk,
    sid: Sid,
    worker: Annotated[str, typer.Argument(metavar="WK...", help="Who takes it.")],
) -> None:
    """Give a waiting task to a worker who could be offered it."""
    response = await talk.call("routing", "ClaimTask", sid=sid, worker_sid=worker)
    talk.output.message(response.reservation)


@task.command()
@asks
async def delete(talk: Talk, sid: Sid) -> None:
    """Remove a task and its reservations for good."""
    response = await talk.call("routing", "DeleteTask", sid=sid)
    talk.output.message(response.task)
