"""`flexcore workspace`: a whole workspace to a file, and back."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.failures import Fail, refusal
from flexcore.terminal import printable

if TYPE_CHECKING:
    from flexcore.client.documents import Document, Part

workspace = typer.Typer(
    help="Workspaces: list, export, import, the secret of callbacks.",
    no_args_is_help=True,
)

Sid = Annotated[
    str,
    typer.Argument(metavar="[WS...]", help="The workspace; needless if there is one."),
]
File = Annotated[str, typer.Argument(metavar="FILE", help="The document; - is stdin.")]
Into = Annotated[
    str,
    typer.Option(
        metavar="WS...",
        envvar="FLEXCORE_INTO",
        help="Add to this workspace; with --part, go on with an import.",
    ),
]
First = Annotated[
    int,
    typer.Option(
        "--part",
        min=1,
        envvar="FLEXCORE_PART",
        help="Begin with this part of the file.",
    ),
]


@workspace.command("list")
@asks
async def list_workspaces(talk: Talk) -> None:
    """List workspaces in order of creation."""
    found = talk.every("workspace", "ListWorkspaces", "workspaces")
    columns = ("sid", "friendly_name", "semantics")
    talk.output.table([each async for each in found], columns)


@workspace.command("export")
@asks
async def export_workspace(talk: Talk, sid: Sid = "") -> None:
    """Print a workspace with all it holds as one JSON document."""
    from flexcore.client.documents import export_document, text_of

    document = await export_document(talk.client, sid or await _only_one(talk))
    if talk.output.json:
        typer.echo(json.dumps(document))
    else:
        typer.echo(text_of(document), nl=False)


@workspace.command("callback-secret")
@asks
async def callback_secret(talk: Talk, sid: Sid = "") -> None:
    """Print the secret that signs assignment callbacks."""
    sid = sid or await _only_one(talk)
    found = await talk.call("workspace", "GetCallbackSecret", sid=sid)
    talk.output.line(found.secret, {"workspace_sid": sid, "secret": found.secret})


async def _only_one(talk: Talk) -> str:
    every = talk.every("workspace", "ListWorkspaces", "workspaces")
    found: list[Any] = [each async for each in every]
    if len(found) == 1:
        return str(found[0].sid)
    names = [f"\n  {each.sid}  {printable(each.friendly_name)}" for each in found]
    raise Fail(f"there are {len(found)} workspaces, say which:{''.join(names)}")


@workspace.command("import")
@asks
async def import_workspace(
    talk: Talk, file: File, *, into: Into = "", first: First = 1
) -> None:
    """Create the workspace of a JSON document.

    A document of up to 1,000 resources is imported all or not at all, a larger one in
    parts of that size.
    """
    from flexcore.client.documents import parts

    if first > 1 and not into:
        raise typer.BadParameter("--part needs --into, the workspace that is there")
    found = list(parts(_document(file)))
    warnings: list[str] = []
    for number, part in enumerate(found, 1):
        if number >= first:
            into, said = await _import(talk, part, into, (number, len(found)))
            warnings += said
    for text in warnings:
        typer.echo(f"warning: {printable(text)}", err=True)
    talk.output.line(into, {"workspace_sid": into, "warnings": warnings})


def _document(file: str) -> "Document":
    from flexcore.client.documents import document_of

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
        return document_of(text)
    except OSError as error:
        raise Fail(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Fail(f"{file} is no document: {error}") from error


async def _import(
    talk: Talk, part: "Part", into: str, place: tuple[int, int]
) -> tuple[str, Sequence[str]]:
    """Import a part of the file, and say so when there are several."""
    import grpc

    from flexcore.client.documents import import_part

    number, count = place
    if count > 1:
        typer.echo(f"part {number} of {count}: {part}", err=True)
    try:
        return await import_part(talk.client, part, into)
    except grpc.aio.AioRpcError as error:
        # Paths of a refusal lead into the part.
        fail = refusal(error, part.document)
        fail.text = part.placed(fail.text)
        if number > 1:
            fail.text += (
                f"\nparts 1 to {number - 1} are in {into}; mend the file and go on with"
                f" --into {into} --part {number}"
            )
        raise fail from error
