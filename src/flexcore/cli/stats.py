"""`flexcore stats`: routing in figures, how things stand and what happened of late."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.failures import Fail
from flexcore.cli.output import print_table
from flexcore.terminal import printable

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

#: queues that one call asks about
QUEUES_AT_ONCE = 50

Sids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WS...|WQ...|WW...|WK...]...",
        help="Of these; left out: every workspace with its queues.",
    ),
]
Minutes = Annotated[
    int, typer.Option(envvar="FLEXCORE_MINUTES", help="The window, up to now.")
]
Channel = Annotated[
    str, typer.Option(envvar="FLEXCORE_TASK_CHANNEL", help="Only this task channel.")
]
Level = Annotated[
    int,
    typer.Option(
        metavar="SECONDS",
        envvar="FLEXCORE_SERVICE_LEVEL",
        help="A task accepted after at most so long is in time.",
    ),
]


@asks
async def stats(
    talk: Talk,
    sids: Sids = None,
    *,
    minutes: Minutes = 15,
    task_channel: Channel = "",
    service_level: Level = 20,
) -> None:
    """Show how routing stands, and what happened of late."""
    names = await _names(talk)
    asked = sids or [sid for sid in names if sid[:2] in ("WS", "WQ")]
    for sid in asked:
        if sid[:2] not in ("WS", "WW", "WQ", "WK"):
            raise Fail(f"{sid} is no workspace, task queue, workflow or worker")
    window = {"minutes": minutes, "task_channel": task_channel}
    level = {**window, "service_level_threshold": {"seconds": service_level}}
    tasks, work = [], []
    for sid in asked:
        if sid.startswith("WS"):
            found = await talk.call(
                "routing", "GetWorkspaceStatistics", sid=sid, **level
            )
            tasks.append(found.workspace_statistics)
        if sid.startswith("WW"):
            found = await talk.call(
                "routing", "GetWorkflowStatistics", sid=sid, **level
            )
            tasks.append(found.workflow_statistics)
        if sid.startswith(("WS", "WK")):
            of = {"workspace_sid" if sid.startswith("WS") else "worker_sid": sid}
            found = await talk.call("routing", "GetWorkerStatistics", **of, **window)
            work.append(found.worker_statistics)
    tasks += await _queues(talk, [sid for sid in asked if sid.startswith("WQ")], level)
    _print(talk, "tasks", tasks, _TASKS, names)
    _print(talk, "workers", work, _WORK, names)


async def _queues(
    talk: Talk, sids: Sequence[str], fields: Mapping[str, Any]
) -> list[Any]:
    found: list[Any] = []
    for first in range(0, len(sids), QUEUES_AT_ONCE):
        some = sids[first : first + QUEUES_AT_ONCE]
        response = await talk.call(
            "routing", "GetTaskQueueStatistics", sids=some, **fields
        )
        found += response.task_queue_statistics
    return found


async def _names(talk: Talk) -> dict[str, str]:
    """Return what everything that can be asked about is called, workspaces first."""
    names: dict[str, str] = {}
    for rpc, field in (
        ("ListWorkspaces", "workspaces"),
        ("ListTaskQueues", "task_queues"),
        ("ListWorkflows", "workflows"),
        ("ListWorkers", "workers"),
    ):
        async for row in talk.every("workspace", rpc, field):
            names[getattr(row, "sid")] = getattr(row, "friendly_name")  # noqa: B009  # of any
    return names


# --- what is shown ---------------------------------------------------------------------

Columns = Mapping[str, Callable[[Any], object]]


def _time(duration: "Duration") -> str:
    """Return a duration as people read it."""
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _share(message: Any, field: str) -> str:
    return f"{getattr(message, field):.0%}" if message.HasField(field) else ""


def _entered(row: Any) -> int:
    total = row.cumulative
    return int(
        total.tasks_entered if total.HasField("tasks_entered") else total.tasks_created
    )


_TASKS: Columns = {
    "waiting": lambda row: (
        row.real_time.tasks_by_status.pending + row.real_time.tasks_by_status.reserved
    ),
    "longest": lambda row: _time(row.real_time.longest_task_waiting_age),
    "working": lambda row: row.real_time.tasks_by_status.assigned,
    "wrapping": lambda row: row.real_time.tasks_by_status.wrapping,
    "entered": _entered,
    "accepted": lambda row: row.cumulative.reservations.reservations_accepted,
    "abandoned": lambda row: row.cumulative.tasks_canceled,
    "in time": lambda row: _share(row.cumulative, "service_level"),
    "wait": lambda row: _time(row.cumulative.wait_duration_until_accepted.avg),
    "handled": lambda row: _time(row.cumulative.handle_duration.avg),
    "workers": lambda row: getattr(
        row, "total_available_workers", getattr(row, "total_workers", "")
    ),
}
_WORK: Columns = {
    "activity": lambda row: printable(row.real_time.activity_name),
    "offered": lambda row: row.cumulative.reservations.reservations_created,
    "accepted": lambda row: row.cumulative.reservations.reservations_accepted,
    "rejected": lambda row: row.cumulative.reservations.reservations_rejected,
    "missed": lambda row: row.cumulative.reservations.reservations_timed_out,
    "handled": lambda row: _time(row.cumulative.handle_duration.avg),
    "wrap-up": lambda row: _time(row.cumulative.wrap_duration.avg),
    "available": lambda row: _time(row.available_duration),
    "busy": lambda row: _time(row.busy_duration),
    "occupancy": lambda row: _share(row, "occupancy"),
}


def _print(
    talk: Talk,
    title: str,
    rows: Sequence[Any],
    columns: Columns,
    names: Mapping[str, str],
) -> None:
    if talk.output.json:
        talk.output.table(rows, ())
        return
    if not rows:
        return
    shown = [
        [
            printable(names.get(row.sid, row.sid)),
            *(str(show(row)) for show in columns.values()),
        ]
        for row in rows
    ]
    print_table((title, *columns), shown, right=columns.keys() - {"activity"})
