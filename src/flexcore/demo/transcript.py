"""What the audience reads: who did what when, and in the end the figures."""

import json
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from rich.console import Console

from flexcore.terminal import printable

_STYLES = {"server": "yellow", "customer": "cyan", "agent": "green", "demo": "magenta"}


class Transcript:
    """Prints as things happen; with --json only the figures, at the end."""

    def __init__(self, *, json_output: bool) -> None:
        self._json = json_output
        self._console = Console(soft_wrap=True)
        self._began = perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return perf_counter() - self._began

    def say(self, who: str, text: str) -> None:
        """Print a line with its time."""
        self._print(f"{self.seconds:<6.2f}", who, text)

    def close(self, figures: dict[str, Any], next_steps: Sequence[str]) -> None:
        """Print the figures, and what to try next."""
        if self._json:
            print(json.dumps(figures))
            return
        text = (
            f"{figures['messages']} messages, {figures['events']} events, "
            f"{figures['commits']} commits, offer p50 {figures['offer_p50_ms']:.1f} ms "
            f"p99 {figures['offer_p99_ms']:.1f} ms"
        )
        self._print("", "done", text)
        self._print("", "next", "a terminal for each of these:")
        for command in next_steps:
            self._print("", "", command)

    def _print(self, time: str, who: str, text: str) -> None:
        if self._json:
            return
        line = f"{time}[{_STYLES.get(who, 'bold')}]{who:<9}[/] "
        if not time:
            line = f"[bold]{who:<15}[/] "
        self._console.print(line, end="", highlight=False)
        self._console.print(printable(text), markup=False, highlight=False)
