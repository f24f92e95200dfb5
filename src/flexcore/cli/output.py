"""What commands print: text for people, or with --json one object per line."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from flexcore.terminal import printable

if TYPE_CHECKING:
    from google.protobuf.message import Message

#: cells that are left of the last column of a table, however narrow the terminal
LAST_WIDTH = 20


class Output:
    """Prints in one of the two ways."""

    def __init__(self, *, json_output: bool) -> None:
        self.json = json_output

    def line(self, text: str, facts: Mapping[str, Any]) -> None:
        """Print a line, or the facts it tells."""
        typer.echo(json.dumps(facts) if self.json else text)

    def message(self, message: "Message") -> None:
        """Print every field of a resource."""
        if self.json:
            typer.echo(json.dumps(as_dict(message)))
            return
        fields = _readable(message)
        width = max(map(len, fields), default=0)
        for name, value in fields.items():
            typer.echo(f"{name:<{width}}  {value}")

    def table(self, messages: Iterable["Message"], columns: Sequence[str]) -> None:
        """Print some fields of many resources, or with --json all of them."""
        if self.json:
            for message in messages:
                typer.echo(json.dumps(as_dict(message)))
            return
        rows = [
            [row.get(name, "") for name in columns] for row in map(_readable, messages)
        ]
        print_table(columns, rows)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Container[str] = ()
) -> None:
    """Print rows below their header; the columns `right` are aligned to the right.

    Only the last column is cut, and on a terminal alone: a sid is there to be copied,
    and a line that is piped somewhere must stay one line.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    lines = [[Text(cell) for cell in cells] for cells in (header, *rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(header, *rows, strict=True)]
    if console.is_terminal:
        left = console.width - sum(widths[:-1]) - 2 * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left, LAST_WIDTH))
    for number, cells in enumerate(lines):
        for name, cell, width in zip(header, cells, widths, strict=True):
            cell.truncate(width, overflow="ellipsis")
            cell.align("right" if name in right else "left", width)
        line = Text("  ").join(cells)
        line.rstrip()
        console.print(line, style="" if number else "dim")


def as_dict(message: "Message") -> dict[str, Any]:
    """Return a message as JSON values, named as in the proto."""
    from google.protobuf.json_format import MessageToDict

    fields: dict[str, Any] = MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return fields


def _readable(message: "Message") -> dict[str, str]:
    """Return what is set of a message, as text for people."""
    fields = as_dict(message)
    for field in message.DESCRIPTOR.fields:
        if field.enum_type is not None and isinstance(fields.get(field.name), str):
            # TASK_STATUS_PENDING is pending: values share the prefix of the zero value.
            zero = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
            fields[field.name] = fields[field.name].removeprefix(zero).lower()
    return {name: _shown(value) for name, value in fields.items() if value != ""}


def _shown(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value))
