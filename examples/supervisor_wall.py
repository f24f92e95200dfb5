"""A supervisor's wall: how a workspace stands, as it changes.

    python examples/supervisor_wall.py
    python examples/supervisor_wall.py --seconds 60
    python examples/supervisor_wall.py --once

What stands now comes as a stream, once a second at most and only when something changes;
how long the first in line waits is counted here, from when it began. The service level is
of a window, so it is asked for again now and then. Without a terminal a line is printed
for each queue whenever something changed.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import grpc
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flexcore.client import Client, StatisticsView, connect
from flexcore.terminal import printable
from flexcore.v1 import statistics_pb2

#: how often the service level is asked for, and of how many queues a call asks
LEVEL_SECONDS = 10
QUEUES_AT_ONCE = 50


class Wall:
    """What is on the wall: the newest view, and what does not come with it."""

    def __init__(self, client: Client, workspace_sid: str) -> None:
        self._client = client
        self._workspace_sid = workspace_sid
        self._names: dict[str, str] = {}
        self._levels: dict[str, str] = {}
        self.view: StatisticsView | None = None
        #: this clock less the server's
        self._ahead = timedelta(0)

    async def follow(self, view: StatisticsView) -> None:
        """Take a new view."""
        self.view = view
        self._ahead = datetime.now(UTC) - view.time
        if not view.task_queues.keys() <= self._names.keys():
            await self._read_names()
            await self.read_levels()

    async def read_levels(self) -> None:
        """Ask which share of the tasks of the last 15 minutes was accepted in time."""
        sids = list(self.view.task_queues) if self.view else []
        for first in range(0, len(sids), QUEUES_AT_ONCE):
            found = await self._client.routing.GetTaskQueueStatistics(
                sids=sids[first : first + QUEUES_AT_ONCE]
            )
            for each in found.task_queue_statistics:
                counted = each.cumulative.HasField("service_level")
                level = f"{each.cumulative.service_level:.0%}" if counted else "-"
                self._levels[each.sid] = level

    async def _read_names(self) -> None:
        token = ""
        while True:
            page = await self._client.workspace.ListTaskQueues(
                workspace_sid=self._workspace_sid, page_token=token, page_size=1_000
            )
            for queue in page.task_queues:
                self._names[queue.sid] = printable(queue.friendly_name)
            token = page.next_page_token
            if not token:
                return

    def queues(self) -> list[tuple[str, ...]]:
        """Return the rows of the queues, by name."""
        assert self.view is not None
        now = datetime.now(UTC) - self._ahead
        return sorted(
            (
                self._names.get(sid, sid),
                str(waiting(each.real_time)),
                longest(each.real_time, now),
                self._levels.get(sid, "-"),
                f"{each.total_available_workers} of {each.total_eligible_workers}",
            )
            for sid, each in self.view.task_queues.items()
        )

    def totals(self) -> Mapping[str, Mapping[str, int]]:
        """Return tasks by status and workers by activity."""
        assert self.view is not None
        workspace = self.view.workspace
        tasks = workspace.real_time.tasks_by_status
        return {
            "tasks": {
                name: getattr(tasks, name)
                for name in ("pending", "reserved", "assigned", "wrapping")
            },
            "workers": {
                printable(each.friendly_name): each.workers
                for each in workspace.activity_statistics
            },
        }


def waiting(now: statistics_pb2.RealTimeTaskStatistics) -> int:
    """Return how many tasks wait."""
    return now.tasks_by_status.pending + now.tasks_by_status.reserved


def longest(stats: statistics_pb2.RealTimeTaskStatistics, now: datetime) -> str:
    """Return how long the first in line has waited in the queue."""
    if not stats.HasField("longest_relative_task_since_time_in_queue"):
        return "-"
    since = stats.longest_relative_task_since_time_in_queue.ToDatetime(UTC)
    seconds = max(0, round((now - since).total_seconds()))
    return f"{seconds // 60}:{seconds % 60:02}"


COLUMNS = ("queue", "waiting", "longest", "in time", "workers")


def lines(wall: Wall) -> str:
    """Return the wall as plain lines."""
    found = [
        " ".join((title, *(f"{name}={number}" for name, number in row.items())))
        for title, row in wall.totals().items()
    ]
    for name, *row in wall.queues():
        cells = (f"{k}={v}" for k, v in zip(COLUMNS[1:], row, strict=True))
        found.append("  ".join((f"queue {name}", *cells)))
    return "\n".join(found)


class Screen:
    """The wall on a terminal, drawn anew whenever rich refreshes it."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall

    def __rich__(self) -> RenderableType:
        if self._wall.view is None:
            return Text("connecting")
        shown: list[RenderableType] = []
        for title, row in self._wall.totals().items():
            table = Table(title=title, title_justify="left", box=None)
            for name in row:
                table.add_column(Text(name), justify="right")
            table.add_row(*map(str, row.values()))
            shown.append(table)
        table = Table(title="queues", title_justify="left", box=None)
        for column in COLUMNS:
            table.add_column(column, justify="left" if column == "queue" else "right")
        for cells in self._wall.queues():
            table.add_row(*map(Text, cells))
        return Group(*shown, table)


async def watch(wall: Wall, client: Client, workspace_sid: str, *, once: bool) -> None:
    """Keep the wall up to date; for ever, or until it was shown once."""
    console = Console()
    live = Live(Screen(wall), console=console, refresh_per_second=1)
    views = aiter(client.statistics(workspace_sid))
    with live if console.is_terminal else contextlib.nullcontext():
        async for view in views:
            await wall.follow(view)
            if not console.is_terminal:
                print(lines(wall), flush=True)
            if once:
                live.refresh()
                await views.aclose()
                return


async def keep_levels(wall: Wall) -> None:
    """Ask for the service level now and then."""
    while True:
        await asyncio.sleep(LEVEL_SECONDS)
        # A server that is away is asked again; the view goes on by itself.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await wall.read_levels()


async def main(workspace_sid: str, seconds: float | None, *, once: bool) -> None:
    """Show the wall of a workspace, the first one unless it is named."""
    async with connect() as client:
        if not workspace_sid:
            found = await client.workspace.ListWorkspaces(page_size=1)
            workspace_sid = found.workspaces[0].sid
        wall = Wall(client, workspace_sid)
        levels = asyncio.create_task(keep_levels(wall))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await watch(wall, client, workspace_sid, once=once)
        levels.cancel()
        await asyncio.gather(levels, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show how a workspace stands.")
    parser.add_argument("workspace", nargs="?", default="", help="its sid")
    parser.add_argument("--seconds", type=float, help="end after so long")
    parser.add_argument("--once", action="store_true", help="show it once")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given.workspace, given.seconds, once=given.once))
