"""`flexcore events`: the account's log, as it was and as it grows."""

import errno
import os
import select
import sys
from typing import Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.failures import UNREACHABLE, Fail
from flexcore.cli.output import as_dict


@asks
async def events(
    talk: Talk,
    *,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            envvar="FLEXCORE_TYPE",
            help="Only these: task.created, or task for all about tasks.",
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(envvar="FLEXCORE_TOKEN", help="Go on after this resume token."),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option(
            envvar="FLEXCORE_FOLLOW", help="Wait for more; else end at the newest."
        ),
    ] = True,
) -> None:
    """Print the events of the log, and go on as it grows."""
    import grpc

    info = await talk.call("admin", "GetServerInfo")
    newest = info.server_info.head_sequence
    talk.asked = {"types": types or [], "resume_token": token}
    stream = talk.client.event.WatchEvents(**talk.asked)
    seen = 0
    try:
        while follow or seen < newest:
            response = await stream.read()
            if response is grpc.aio.EOF:
                # A server that shuts down ends its streams in order.
                raise _gone(token)
            for change_set in response.change_sets:
                _show(talk, change_set)
                seen = change_set.last_sequence
            token = response.resume_token
            if not response.change_sets:
                seen = newest
                require_reader()
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        raise _gone(token) from error
    finally:
        # An abandoned stream is neither canceled nor collected by itself.
        stream.cancel()


def require_reader() -> None:
    """End when nobody reads what is printed, as after `flexcore events | head`.

    While nothing happens nothing is written, and so nothing fails.
    """
    poll = select.poll()
    # No event is asked for: what is wrong with the other end is told all the same.
    poll.register(sys.stdout, 0)
    if poll.poll(0):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _gone(token: str) -> Fail:
    return Fail(
        f"the server went away; go on with --token {token}",
        UNREACHABLE,
        resume_token=token,
    )


def _show(talk: Talk, change_set: Any) -> None:
    if talk.output.json:
        talk.output.line("", as_dict(change_set))
        return
    time = change_set.time.ToJsonString()
    for event in change_set.events:
        typer.echo(f"{event.sequence:>8}  {time}  {event.type:<32} {event.sid}")
