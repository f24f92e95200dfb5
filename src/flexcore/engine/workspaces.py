"""Workspaces and their task channels, and how a request names what it means."""

import json
import re
from collections.abc import Sequence
from typing import TypeVar

from flexcore.domain import limits
from flexcore.domain.errors import (
    AlreadyExists,
    InvalidArgument,
    Reason,
    ResourceExhausted,
)
from flexcore.domain.model import (
    Activity,
    Row,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.engine.commands import (
    CreateDefaults,
    CreateTaskChannel,
    CreateWorkspace,
)
from flexcore.engine.decision import Decision

Rows = tuple[Row, ...]
#: rows that people know by a friendly name
Named = Activity | TaskQueue | Workflow | Workspace
N = TypeVar("N", Workflow, Workspace)

#: a task channel's unique name is an identifier in expressions
UNIQUE_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def create_workspace(decision: Decision, command: CreateWorkspace) -> Rows:
    """Create a workspace with three activities and the channel `default`."""
    name = required(command.friendly_name, "friendly_name")
    known = list(decision.state.of_kind(Workspace))
    refuse_taken(known, name)
    refuse_full(len(known), limits.WORKSPACES_MAX, "workspaces", "an account")
    workspace = Workspace(sid=decision.ids.sid("WS"), friendly_name=name)
    offline, *others = (
        Activity(
            sid=decision.ids.sid("WA"),
            workspace_sid=workspace.sid,
            friendly_name=activity,
            available=available,
        )
        for activity, available in (
            ("Offline", False),
            ("Available", True),
            ("Unavailable", False),
        )
    )
    workspace = decision.create(
        workspace.evolve(
            default_activity_sid=offline.sid, timeout_activity_sid=offline.sid
        ),
        "workspace.created",
    )
    for row in (offline, *others):
        decision.create(row, "activity.created")
    _add_channel(decision, workspace.sid, "default", "Default")
    return (workspace,)


def create_defaults(decision: Decision, command: CreateDefaults) -> Rows:
    """Create what a first start needs, once: one workspace ready to route."""
    there = next(decision.state.of_kind(Workspace), None)
    if there is not None:
        return (there,)
    (workspace,) = create_workspace(decision, CreateWorkspace(friendly_name="default"))
    _add_channel(decision, workspace.sid, "chat", "Chat")
    _add_channel(decision, workspace.sid, "sms", "SMS")
    queue = decision.create(
        TaskQueue(
            sid=decision.ids.sid("WQ"),
            workspace_sid=workspace.sid,
            friendly_name="everyone",
        ),
        "task-queue.created",
    )
    workflow = decision.create(
        Workflow(
            sid=decision.ids.sid("WW"),
            workspace_sid=workspace.sid,
            friendly_name="default",
            configuration=json.dumps(
                {"task_routing": {"default_filter": {"queue": queue.sid}}}
            ),
            task_reservation_timeout_seconds=limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT,
        ),
        "workflow.created",
    )
    return (workspace, queue, workflow)


def create_task_channel(decision: Decision, command: CreateTaskChannel) -> Rows:
    """Create a task channel, and its worker channel for every worker."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = command.unique_name
    if not UNIQUE_NAME.match(name):
        raise InvalidArgument(
            "unique_name",
            f"{name!r} is not a name: letters, digits, _ and $, not starting with a digit",
        )
    channels = decision.state.where(TaskChannel, "workspace_sid", workspace.sid)
    for channel in channels:
        if channel.unique_name == name:
            raise AlreadyExists(
                f"task channel {name} exists", metadata={"sid": channel.sid}
            )
    refuse_full(len(channels), limits.TASK_CHANNELS_MAX, "task channels")
    return (_add_channel(decision, workspace.sid, name, command.friendly_name or name),)


def _add_channel(
    decision: Decision, workspace_sid: str, name: str, friendly_name: str
) -> TaskChannel:
    channel = decision.create(
        TaskChannel(
            sid=decision.ids.sid("TC"),
            workspace_sid=workspace_sid,
            unique_name=name,
            friendly_name=friendly_name,
        ),
        "task-channel.created",
    )
    for worker in decision.state.where(Worker, "workspace_sid", workspace_sid):
        add_worker_channel(decision, worker, channel)
    return channel


def add_worker_channel(
    decision: Decision, worker: Worker, channel: TaskChannel
) -> WorkerChannel:
    """Give a worker room for one task of a channel."""
    return decision.create(
        WorkerChannel(
            sid=decision.ids.sid("WC"),
            workspace_sid=worker.workspace_sid,
            worker_sid=worker.sid,
            task_channel_sid=channel.sid,
            task_channel_unique_name=channel.unique_name,
        )
    )


def resolve_workspace(decision: Decision, sid: str) -> Workspace:
    """Return the workspace `sid`, or the only one there is when none is given."""
    if sid:
        return decision.get(sid, Workspace)
    return only_one(list(decision.state.of_kind(Workspace)), "workspace_sid")


def only_one(rows: Sequence[N], field: str) -> N:
    """Return the only row; INVALID_ARGUMENT lists the candidates otherwise."""
    if len(rows) == 1:
        return rows[0]
    names = ", ".join(f"{row.sid} ({row.friendly_name})" for row in rows[:10])
    raise InvalidArgument(
        field,
        f"must be given, there are {len(rows)}: {names}" if rows else "there is none",
        reason=Reason.DEFAULT_AMBIGUOUS,
        metadata={"candidates": ",".join(row.sid for row in rows[:10])},
    )


def resolve_task_channel(
    decision: Decision, workspace_sid: str, text: str
) -> TaskChannel:
    """Return a task channel by sid or unique name; empty is `default`."""
    text = text or "default"
    for row in decision.state.where(TaskChannel, "workspace_sid", workspace_sid):
        if text in (row.sid, row.unique_name):
            return row
    raise InvalidArgument(
        "task_channel", f"{text!r} is no task channel of {workspace_sid}"
    )


def required(text: str, field: str) -> str:
    """Return a text that must not be blank."""
    if not text.strip():
        raise InvalidArgument(field, "must not be empty")
    return text


def refuse_taken(rows: Sequence[Named], friendly_name: str, but: str = "") -> None:
    """Raise AlreadyExists if another row has this name, whatever its case."""
    for row in rows:
        if row.friendly_name.casefold() == friendly_name.casefold() and row.sid != but:
            raise AlreadyExists(
                f"friendly_name {friendly_name!r} is taken by {row.sid}",
                metadata={"sid": row.sid, "field": "friendly_name"},
            )


def refuse_full(count: int, most: int, what: str, holder: str = "a workspace") -> None:
    """Raise ResourceExhausted when somebody has all they may have."""
    if count >= most:
        raise ResourceExhausted(f"{holder} holds at most {most} {what}")
