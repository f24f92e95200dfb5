"""`flexcore explain`: why a task waits, or why who has it has it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.terminal import printable, reason

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@asks
async def explain(
    talk: Talk,
    sid: Annotated[str, typer.Argument(metavar="WT...", help="The task.")],
) -> None:
    """Say why a task waits, or who has it and why.

    Shows which workers fail on what, who is nearest, and what happens next.
    """
    response = await talk.call("routing", "ExplainTask", sid=sid)
    if talk.output.json:
        talk.output.message(response)
        return
    found = response.explanation
    typer.echo(printable(found.text))
    for row in found.reservations:
        chosen = await _chosen(talk, row)
        typer.echo(f"{row.sid}  {printable(row.worker_name)}  {chosen}")
        for problem in row.callback_problems:
            typer.echo(f"  its callback: {printable(problem.text)}")
    for step in found.steps:
        _show(step)
    if found.next_text:
        time = found.next_time.ToDatetime(UTC).isoformat(" ", "seconds")
        typer.echo(f"next, at {time}: {printable(found.next_text)}")


async def _chosen(talk: Talk, row: Any) -> str:
    """Say why this worker, and what was compared."""
    choice = row.choice
    text = reason(row)
    if choice.order_by:
        text += f" after {printable(choice.order_by)}"
    if choice.runner_up_sid:
        other = printable(await _name(talk, choice.runner_up_sid))
        keys = (choice.key, choice.runner_up_key)
        mine, others = (_compared(choice.rule, key) for key in keys)
        text += f": {mine}, before {other}: {others}"
    return text


async def _name(talk: Talk, worker_sid: str) -> str:
    """Return what a worker is called; the sid of one who was deleted since."""
    import grpc

    try:
        found = await talk.call("workspace", "GetWorker", sid=worker_sid)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return worker_sid
    return str(found.worker.friendly_name)


def _compared(rule: str, key: str) -> str:
    """Return what was compared, as people read it: microseconds are a time."""
    *before, last = key.split(", ")
    if rule != "round_robin":
        microseconds = int(last)
        time = EPOCH + timedelta(microseconds=microseconds)
        last = f"since {time.isoformat(' ')}" if microseconds else "never"
    return ", ".join((*before, last))


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
