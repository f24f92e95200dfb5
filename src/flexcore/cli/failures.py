"""How commands fail: one line on standard error, and an exit code that says why.

1 refused, 2 wrong usage (typer's own), 3 the server cannot be reached, 130 Ctrl-C.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130

#: codes of a call that found nobody, unless the server gave it with a reason
_UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_PLACE = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


class Fail(Exception):
    """A command cannot go on; `facts` are what --json shows besides the text.

    `picture` is for people only, below the text.
    """

    def __init__(self, text: str, exit_code: int = REFUSED, **facts: object) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code
        self.facts = facts
        self.picture = ""


@contextmanager
def reported(*, json_output: bool) -> Iterator[None]:
    """Print what fails inside, and exit with its code."""
    try:
        yield
    except Fail as fail:
        facts = {"error": fail.text, **fail.facts}
        text = "\n".join(filter(None, (fail.text, fail.picture)))
        typer.echo(json.dumps(facts) if json_output else text, err=True)
        raise typer.Exit(fail.exit_code) from fail
    except KeyboardInterrupt as stopped:
        raise typer.Exit(INTERRUPTED) from stopped


def refusal(error: Any, asked: Mapping[str, object]) -> Fail:
    """Return what a failed call means; `asked` are the fields of its request.

    An expression that does not parse is shown with a caret under the place.
    """
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    facts: dict[str, object] = {"code": error.code().name}
    text = error.details() or error.code().name.lower().replace("_", " ")
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        _ = detail.Unpack(info) or detail.Unpack(bad)
    if info.reason:
        facts |= {"reason": info.reason, "metadata": dict(info.metadata)}
    # A call waits for a server that is not there; one that answers late says why.
    unreachable = error.code().name in _UNREACHABLE and not info.reason
    if unreachable:
        text = f"the server cannot be reached: {text}"
    fail = Fail(text, UNREACHABLE if unreachable else REFUSED, **facts)
    if "position" in info.metadata and bad.field_violations:
        expression = _expression(asked, bad.field_violations[0].field)
        if expression is not None:
            fail.picture = caret(expression, int(info.metadata["position"]))
    return fail


def caret(expression: str, position: int) -> str:
    """Return the line of an expression and, below it, a caret at a place from one."""
    before = expression[: position - 1]
    # Not splitlines: it breaks lines at more than those, and has none after the last one.
    line = expression.split("\n")[before.count("\n")]
    column = len(before) - (before.rfind("\n") + 1)
    # Tabs stay tabs, so that the caret stands where the reader looks.
    pad = "".join("\t" if each == "\t" else " " for each in line[:column])
    return f"  {line}\n  {pad.ljust(column)}^"


def _expression(asked: Mapping[str, object], field: str) -> str | None:
    """Find the text at a path such as `configuration.task_routing.filters[0].x`."""
    found: Any = asked
    for name, index in _PLACE.findall(field):
        if isinstance(found, str):
            found = json.loads(found)
        try:
            found = found[name] if name else found[int(index)]
        except (KeyError, IndexError, TypeError):
            return None
    return found if isinstance(found, str) else None
