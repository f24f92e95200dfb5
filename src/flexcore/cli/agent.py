"""`flexcore agent`: a worker at a terminal, offered tasks and talking to customers."""

from typing import Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.options import Workspace
from flexcore.terminal import Terminal, typed


@asks
async def agent(
    talk: Talk,
    name: Annotated[str, typer.Argument(help="The worker's; made if there is none.")],
    *,
    workspace: Workspace = "",
    attributes: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            envvar="FLEXCORE_ATTRIBUTES",
            help="Of a worker that is made: one JSON object.",
        ),
    ] = "{}",
    activity: Annotated[
        str,
        typer.Option(envvar="FLEXCORE_ACTIVITY", help="What the worker is doing."),
    ] = "Available",
    leaving: Annotated[
        str,
        typer.Option(
            envvar="FLEXCORE_LEAVING", help="The worker's activity at the end."
        ),
    ] = "Offline",
) -> None:
    """Be a worker at this terminal.

    Type accept, reject, end or complete; any other line goes to the customer.
    """
    from flexcore.agent import Desk

    worker = await _worker(talk, name, attributes, activity, workspace)
    desk = Desk(talk.client, worker, Terminal(json_output=talk.output.json))
    await desk.move_to(activity)
    try:
        await desk.work(typed())
    finally:
        await desk.move_to(leaving)


async def _worker(
    talk: Talk, name: str, attributes: str, activity: str, workspace: str
) -> tuple[str, str]:
    """Return sid and name of the worker called `name`, whatever its case."""
    where: dict[str, Any] = {"workspace_sid": workspace, "friendly_name": name}
    async for each in talk.every("workspace", "ListWorkers", "workers", **where):
        return getattr(each, "sid", ""), getattr(each, "friendly_name", "")
    # With the activity, so that one there is none of leaves no worker behind.
    about = {"attributes": attributes, "activity": activity}
    made = await talk.call("workspace", "CreateWorker", **where, **about)
    return made.worker.sid, made.worker.friendly_name
