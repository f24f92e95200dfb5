"""`flexcore dead-letter`: what was given up, and once more."""

from typing import Annotated

import typer

from flexcore.cli.calls import Talk, asks

dead_letter = typer.Typer(
    help="Messages given up or refused: list, replay.", no_args_is_help=True
)


@dead_letter.command("list")
@asks
async def list_dead_letters(talk: Talk) -> None:
    """List messages that came to nothing, with the reason."""
    found = talk.every("channel", "ListDeadLetters", "dead_letters")
    columns = ("sid", "channel_message_sid", "create_time", "reason")
    talk.output.table([each async for each in found], columns)


@dead_letter.command()
@asks
async def replay(
    talk: Talk,
    sid: Annotated[str, typer.Argument(metavar="OB...", help="The outbox entry.")],
) -> None:
    """Send a message that was given up once more."""
    await talk.call("channel", "ReplayDeadLetter", sid=sid)
    talk.output.line(f"{sid} is on its way again", {"sid": sid})
