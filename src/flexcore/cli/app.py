"""The commands by name, and nothing else."""

import typer

from flexcore import __version__
from flexcore.cli.account import key, status, token
from flexcore.cli.agent import agent
from flexcore.cli.check import check
from flexcore.cli.dead_letter import dead_letter
from flexcore.cli.demo import demo
from flexcore.cli.events import events
from flexcore.cli.explain import explain
from flexcore.cli.phone import phone
from flexcore.cli.queue import queue, worker
from flexcore.cli.serve import serve
from flexcore.cli.stats import stats
from flexcore.cli.task import task
from flexcore.cli.workflow import activity, workflow
from flexcore.cli.workspace import workspace

app = typer.Typer(
    name="flexcore",
    help="The core of a contact center: serve it, look at it, talk through it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"flexcore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Say which."
    ),
) -> None:
    """The core of a contact center: serve it, look at it, talk through it."""


for command in (serve, demo, check, status, stats, events, explain, phone, agent):
    app.command()(command)
for name, group in (
    ("key", key),
    ("token", token),
    ("workspace", workspace),
    ("task", task),
    ("queue", queue),
    ("worker", worker),
    ("workflow", workflow),
    ("activity", activity),
    ("dead-letter", dead_letter),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; ends the process."""
    app()
