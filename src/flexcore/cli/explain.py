"""`flexcore explain`: why a task waits, or why who has it has it."""

from datetime import UTC
from typing import Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.terminal import printable, reason


@asks
async def explain(
    talk: Talk,
    sid: Annotated[str, typer.Argument(metavar="WT...", help="The task.")],
) -> None:
    """Say why a task waits: who fails on what, who is nearest, what happens next."""
    response = await talk.call("routing", "ExplainTask", sid=sid)
    if talk.output.json:
        talk.output.message(response)
        return
    found = response.explanation
    typer.echo(printable(found.text))
    for row in found.reservations:
        typer.echo(f"{row.sid}  {printable(row.worker_name)}  {_chosen(row)}")
        for problem in row.callback_problems:
            typer.echo(f"  its callback: {printable(problem.text)}")
    for step in found.steps:
        _show(step)
    if found.next_text:
        time = found.next_time.ToDatetime(UTC).isoformat(" ", "seconds")
        typer.echo(f"next, at {time}: {printable(found.next_text)}")


def _chosen(row: Any) -> str:
    """Say why this worker, and what was compared."""
    choice = row.choice
    text = reason(row)
    if choice.order_by:
        text += f" after {printable(choice.order_by)}"
    if choice.runner_up_sid:
        text += f": {choice.key}, before {choice.runner_up_sid}: {choice.runner_up_key}"
    return text


def _show(step: Any) -> None:
    place = "now" if step.current else "then"
    queue = printable(step.task_queue_name)
    where = f"in {queue}" if queue else "for one worker"
    can = "claim it" if step.pull else "be offered it"
    typer.echo(
        f"{place} {where}: {step.eligible} of {step.workers} workers suit it, "
        f"{step.candidates} could {can}"
    )
    for row in step.failures:
        typer.echo(f"  {row.workers:>6}  {printable(row.text)}")
    for near in step.nearest:
        ways = " and ".join(near.remedies)
        typer.echo(f"  {printable(near.worker_name)} would match {printable(ways)}")
