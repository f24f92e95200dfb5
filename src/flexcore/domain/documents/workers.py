"""Workers of a workspace document, each with the channels it has room on."""

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import canonical, check_attributes
from flexcore.domain.documents.fields import CHANNELS, DROPPED
from flexcore.domain.documents.scope import Scope
from flexcore.domain.entries import Entry
from flexcore.domain.model import TaskChannel, Worker, WorkerChannel


def read_worker(scope: Scope, entry: Entry) -> Worker:
    """Read a worker; without an activity it begins in the workspace's default one."""
    # "-" where there is no workspace, which is a fault that is noted.
    default = scope.workspace.default_activity_sid or "-"
    return Worker(
        sid=scope.sid(entry, "WK"),
        workspace_sid=scope.workspace.sid,
        friendly_name=scope.name(entry, Worker),
        attributes=_attributes(scope, entry),
        activity_sid=scope.activity(entry, "activity", default),
        activity_time=0,
        order=0,
    )


def _attributes(scope: Scope, entry: Entry) -> str:
    found = entry.raw("attributes")
    if found is None:
        if entry.has("attributes"):
            # TaskRouter's lists leave them out; as none they would be lost.
            entry.note("attributes", "null; get the worker itself, not from a list")
        return "{}"
    if not isinstance(found, str | dict):
        entry.note("attributes", "an object is required")
        return "{}"
    text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
    at = entry.at("attributes")
    return scope.findings.read(lambda: canonical(check_attributes(text, at)), "{}")


def read_rooms(scope: Scope, entry: Entry, worker: Worker) -> list[WorkerChannel]:
    """Read a worker's channels; those that are not listed have room for one task."""
    given: dict[str, WorkerChannel] = {}
    for each in entry.entries(CHANNELS):
        channel = _channel_of(scope, each)
        if channel is None:
            continue
        if channel.sid in given:
            each.note("task_channel_sid", f"{channel.unique_name} is listed twice")
        room = room_of(worker, channel, scope.sid(each, "WC"))
        given[channel.sid] = room.evolve(
            configured_capacity=each.integer(
                "configured_capacity", 0, limits.CAPACITY_MAX, 1
            ),
            available=each.boolean("available", otherwise=True),
        )
        each.close(DROPPED[CHANNELS])
    return [
        given.get(channel.sid) or room_of(worker, channel, scope.mint("WC"))
        for channel in scope.task_channels
    ]


def _channel_of(scope: Scope, entry: Entry) -> TaskChannel | None:
    """Return the task channel that an entry of a worker is about."""
    by_sid, by_name = "task_channel_sid", "task_channel_unique_name"
    sid, name = entry.text(by_sid), entry.text(by_name)
    if not (sid or name):
        entry.note(by_name, f"must be given, or {by_sid}")
        return None
    for row in scope.task_channels:
        if sid == row.sid or (not sid and name == row.unique_name):
            if name and name != row.unique_name:
                entry.note(by_name, f"{sid} is {row.unique_name!r}")
            return row
    entry.note(by_sid if sid else by_name, f"{sid or name!r} is no task channel here")
    return None


def room_of(worker: Worker, channel: TaskChannel, sid: str) -> WorkerChannel:
    """Return a worker channel with room for one task."""
    return WorkerChannel(
        sid=sid,
        workspace_sid=worker.workspace_sid,
        worker_sid=worker.sid,
        task_channel_sid=channel.sid,
        task_channel_unique_name=channel.unique_name,
    )
