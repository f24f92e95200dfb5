"""Reading a workspace document: JSON text becomes rows that are ready to be created.

One pass in the order of what refers to what. Faults are gathered with their paths, such
as `task_queues[3].target_workers`, and refused together at the end. A sid that is given
is kept, one that is not is minted.
"""

from collections.abc import Iterator, Mapping, Sequence

from flexcore.domain import limits
from flexcore.domain.documents.fields import (
    ACTIVITIES,
    DROPPED,
    TASK_CHANNELS,
    TASK_QUEUES,
    WORKERS,
    WORKFLOWS,
    WORKSPACE,
    decode_document,
)
from flexcore.domain.documents.routing import read_task_queue, read_workflow
from flexcore.domain.documents.scope import (
    ORDERS,
    Mint,
    Place,
    Scope,
    WorkspaceDocument,
)
from flexcore.domain.documents.workers import read_rooms, read_worker
from flexcore.domain.entries import Entry
from flexcore.domain.errors import ResourceExhausted
from flexcore.domain.model import (
    Activity,
    TaskChannel,
    Worker,
    WorkerChannel,
    Workspace,
)
from flexcore.domain.objects import NAME
from flexcore.domain.semantics import DEFAULT_SEMANTICS, Semantics

__all__ = ["Place", "WorkspaceDocument", "read_document"]

#: what every workspace has: where tasks go that name no task channel
DEFAULT = "default"


def read_document(
    text: str, mint: Mint, place: Place | None = None, *, allow_loopback: bool = False
) -> WorkspaceDocument:
    """Read a document: a whole workspace, or what is added to the one at `place`.

    URLs it names may be those of this machine with `allow_loopback`.
    Raises InvalidArgument naming every fault; ResourceExhausted when it holds more than
    one decision may change.
    """
    value = decode_document(text)
    _refuse_many(sum(len(each) for each in value.values() if isinstance(each, list)))
    scope = Scope(value, mint, place, allow_loopback=allow_loopback)
    found = _read_sections(scope, _read_workspace(scope))
    scope.document.close()
    scope.findings.refuse()
    _refuse_many(found.rows + (place is None))
    return found


def _refuse_many(count: int) -> None:
    most = limits.CHANGE_SET_RESOURCES
    if count > most:
        raise ResourceExhausted(
            f"one call may change {most} resources, this document comes to {count};"
            " import it in parts",
            metadata={"limit": str(most)},
        )


def _read_sections(scope: Scope, top: Entry | None) -> WorkspaceDocument:
    activities = [_activity(scope, each) for each in _entries(scope, ACTIVITIES)]
    scope.activities += activities
    if top is not None:
        _read_ends(scope, top)
    channels = [_task_channel(scope, each) for each in _entries(scope, TASK_CHANNELS)]
    if scope.place is None and all(row.unique_name != DEFAULT for row in channels):
        channels.append(_default(scope))
    scope.task_channels += channels
    queues = [read_task_queue(scope, each) for each in _entries(scope, TASK_QUEUES)]
    workflows = [read_workflow(scope, each) for each in _entries(scope, WORKFLOWS)]
    workers, rooms = _workers(scope)
    return WorkspaceDocument(
        workspace=scope.workspace,
        activities=activities,
        task_channels=channels,
        task_queues=queues,
        workflows=workflows,
        workers=workers,
        rooms=rooms,
        paths=scope.paths,
    )


def _entries(scope: Scope, section: str) -> Iterator[Entry]:
    return scope.document.entries(section)


def _workers(
    scope: Scope,
) -> tuple[list[Worker], Mapping[str, Sequence[WorkerChannel]]]:
    workers: list[Worker] = []
    rooms: dict[str, Sequence[WorkerChannel]] = {}
    for entry in _entries(scope, WORKERS):
        worker = read_worker(scope, entry)
        workers.append(worker)
        rooms[worker.sid] = read_rooms(scope, entry, worker)
        entry.close(DROPPED[WORKERS])
    return workers, rooms


def _read_workspace(scope: Scope) -> Entry | None:
    """Read the workspace, but for what refers to its activities; return its entry."""
    value = scope.document.raw(WORKSPACE)
    if scope.place is not None:
        if value is not None:
            refusal = "is there already; leave this section out"
            scope.document.note(WORKSPACE, refusal)
        return None
    if not isinstance(value, dict):
        refusal = "must be given" if value is None else "an object is required"
        scope.document.note(WORKSPACE, refusal)
        return None
    entry = Entry(value, WORKSPACE, scope.findings)
    if entry.raw("semantics") is None:
        # No guess: what comes from TaskRouter would behave otherwise, and nobody notice.
        entry.note("semantics", f"must be given: {' or '.join(Semantics)}")
    semantics = entry.choice("semantics", tuple(Semantics), DEFAULT_SEMANTICS)
    scope.workspace = Workspace(
        sid=scope.sid(entry, "WS"),
        friendly_name=scope.name(entry, Workspace),
        semantics=Semantics(semantics),
        policies=scope.policies(entry, queue=False),
        prioritize_queue_order=entry.choice("prioritize_queue_order", ORDERS, "FIFO"),
    )
    return entry


def _read_ends(scope: Scope, entry: Entry) -> None:
    """Read which activities workers come to by themselves, and the rest."""
    scope.workspace = scope.workspace.evolve(
        default_activity_sid=scope.activity(entry, "default_activity"),
        timeout_activity_sid=scope.activity(entry, "timeout_activity"),
        # Of a document in parts it may come later.
        vanished_queue_sid=entry.sid("WQ", "vanished_queue_sid"),
    )
    if not entry.boolean("multi_task_enabled", otherwise=True):
        entry.note("multi_task_enabled", "there is no single-tasking")
    entry.close(DROPPED[WORKSPACE])


def _activity(scope: Scope, entry: Entry) -> Activity:
    row = Activity(
        sid=scope.sid(entry, "WA"),
        workspace_sid=scope.workspace.sid,
        friendly_name=scope.name(entry, Activity),
        available=entry.boolean("available", otherwise=False),
    )
    entry.close(DROPPED[ACTIVITIES])
    return row


def _task_channel(scope: Scope, entry: Entry) -> TaskChannel:
    name = scope.name(entry, TaskChannel, "unique_name")
    if name and not NAME.fullmatch(name):
        refusal = "not letters, digits, _ and $, not beginning with a digit"
        entry.note("unique_name", refusal)
    friendly_name = entry.line("friendly_name", limits.FRIENDLY_NAME_CHARS)
    row = TaskChannel(
        sid=scope.sid(entry, "TC"),
        workspace_sid=scope.workspace.sid,
        unique_name=name,
        friendly_name=friendly_name or name,
        channel_optimized_routing=entry.boolean(
            "channel_optimized_routing", otherwise=False
        ),
    )
    entry.close(DROPPED[TASK_CHANNELS])
    return row


def _default(scope: Scope) -> TaskChannel:
    return TaskChannel(
        sid=scope.mint("TC"),
        workspace_sid=scope.workspace.sid,
        unique_name=DEFAULT,
        friendly_name="Default",
    )
