"""`flexcore workflow` and `flexcore activity`: ways to workers, and what these are doing."""

from typing import Annotated

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.options import InWorkspace

workflow = typer.Typer(help="Workflows: list, show.", no_args_is_help=True)
activity = typer.Typer(help="Activities: list.", no_args_is_help=True)

Workflow = Annotated[str, typer.Argument(metavar="WW...", help="The workflow.")]


@workflow.command("list")
@asks
async def list_workflows(talk: Talk, *, workspace: InWorkspace = "") -> None:
    """List workflows in order of creation."""
    found = talk.every(
        "workspace", "ListWorkflows", "workflows", workspace_sid=workspace
    )
    columns = ("sid", "friendly_name", "task_reservation_timeout")
    talk.output.table([each async for each in found], columns)


@workflow.command("show")
@asks
async def show_workflow(talk: Talk, sid: Workflow) -> None:
    """Show a workflow: its configuration, and tasks still to be moved to it."""
    response = await talk.call("workspace", "GetWorkflow", sid=sid)
    talk.output.message(response.workflow)


@activity.command("list")
@asks
async def list_activities(talk: Talk, *, workspace: InWorkspace = "") -> None:
    """List activities in order of creation, and whether they are available."""
    found = talk.every(
        "workspace", "ListActivities", "activities", workspace_sid=workspace
    )
    columns = ("sid", "friendly_name", "available")
    talk.output.table([each async for each in found], columns)
