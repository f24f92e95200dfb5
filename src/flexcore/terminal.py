"""A terminal that talks: lines typed into it, and what happens printed as lines.

What others wrote is printed without its control characters, so that nobody steers the
terminal of somebody else.
"""

import asyncio
import json
import os
import re
import stat
import sys
from collections.abc import AsyncIterator
from typing import Any, TextIO

#: what a key such as an arrow puts into a line, whose text nobody typed
_KEYS = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])")


class Terminal:
    """Prints events as text, or as one JSON object per line."""

    def __init__(
        self, *, json_output: bool = False, file: TextIO | None = None
    ) -> None:
        from rich.console import Console

        self.json = json_output
        self._file = file or sys.stdout
        # A line stays a line: whoever reads it may be a program.
        self._console = Console(file=self._file, soft_wrap=True)

    def show(self, event: str, text: str, style: str = "", /, **facts: object) -> None:
        """Print `text`, or the event with its facts."""
        if self.json:
            print(json.dumps({"event": event, **facts}), file=self._file, flush=True)
            return
        shown = printable(text)
        self._console.print(
            shown, style=style, markup=False, highlight=False, emoji=False
        )
        self._file.flush()


def printable(text: str) -> str:
    """Return text without what could steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def short(sid: str) -> str:
    """Return a sid as people compare it: its kind and its end."""
    return f"{sid[:2]}..{sid[-2:]}"


def reason(reservation: Any) -> str:
    """Return in a few words why a reservation is that worker's."""
    rule = reservation.choice.rule
    words = {"claim": "claimed", "routing_target": "named by its routing target"}
    if rule in words:
        return words[rule]
    return f"{rule.replace('_', ' ') or 'one'} of {reservation.candidates}"


async def typed() -> AsyncIterator[str]:
    """Yield lines of standard input without a thread, which could not be stopped."""
    descriptor = sys.stdin.fileno()
    pending = b""
    while chunk := await _read(descriptor):
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield as_typed(line)
    if pending:
        yield as_typed(pending)


def as_typed(line: bytes) -> str:
    """Return the text of a line, without keys that stand for no character."""
    return _KEYS.sub("", line.decode(errors="replace"))


async def _read(descriptor: int) -> bytes:
    """Read what is there, once something is."""
    mode = os.fstat(descriptor).st_mode
    # A file, or /dev/null, is always readable and cannot be waited for.
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor):
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
    return os.read(descriptor, 4096)
