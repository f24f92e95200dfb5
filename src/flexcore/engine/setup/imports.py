"""Imports: a workspace, or a part of one, out of a document in one decision."""

from collections.abc import Iterator, Mapping

from flexcore.domain import limits
from flexcore.domain.documents.reader import Place, WorkspaceDocument, read_document
from flexcore.domain.errors import AlreadyExists
from flexcore.domain.model import (
    Activity,
    Row,
    TaskChannel,
    TaskQueue,
    Worker,
    Workflow,
    Workspace,
)
from flexcore.engine.commands import ImportWorkspace
from flexcore.engine.decision import Decision
from flexcore.engine.setup.rooms import open_channel
from flexcore.engine.setup.workspaces import Rows, add_workflow, refuse_full

#: what a workspace holds, of each kind at most so many
_KINDS: tuple[tuple[type[Row], int, str], ...] = (
    (Activity, limits.ACTIVITIES_MAX, "activities"),
    (TaskChannel, limits.TASK_CHANNELS_MAX, "task channels"),
    (TaskQueue, limits.TASK_QUEUES_MAX, "task queues"),
    (Workflow, limits.WORKFLOWS_MAX, "workflows"),
    (Worker, limits.WORKERS_MAX, "workers"),
)


def import_workspace(
    decision: Decision, command: ImportWorkspace, *, allow_loopback: bool
) -> Rows:
    """Create all that a document holds, or nothing of it.

    Lists show it in the order of the document. Answers the workspace, and the new task
    queues and workflows, about which there may be something to say.
    """
    place = _place(decision, command.workspace_sid)
    document = read_document(
        command.document, decision.ids.sid, place, allow_loopback=allow_loopback
    )
    _refuse_sids(decision, document)
    _refuse_names(decision, document)
    _refuse_counts(decision, document)
    decision.line_up(document.rows + (place is None))
    workspace = document.workspace
    if place is None:
        workspace = decision.create(workspace, "workspace.created")
    for activity in document.activities:
        decision.create(activity, "activity.created")
    for channel in document.task_channels:
        open_channel(decision, channel)
    queues = [
        decision.create(row, "task-queue.created") for row in document.task_queues
    ]
    workflows = [add_workflow(decision, row) for row in document.workflows]
    for worker in document.workers:
        _add_worker(decision, worker)
        for room in document.rooms[worker.sid]:
            decision.create(room)
    return workspace, *queues, *workflows


def _add_worker(decision: Decision, row: Worker) -> None:
    activity = decision.state.need(row.activity_sid, Activity)
    decision.create(
        row.evolve(
            activity_time=decision.now,
            available_time=decision.now if activity.available else 0,
            order=decision.next_sequence,
        ),
        "worker.created",
    )


def _place(decision: Decision, workspace_sid: str) -> Place | None:
    """Return the workspace that is added to; None if the document makes a new one."""
    if not workspace_sid:
        return None
    workspace = decision.get(workspace_sid, Workspace)
    state = decision.state
    queues = {
        name: row.sid
        for row in state.where(TaskQueue, "workspace_sid", workspace.sid)
        for name in (row.friendly_name, row.sid)
    }
    return Place(
        workspace=workspace,
        activities=state.where(Activity, "workspace_sid", workspace.sid),
        task_channels=state.where(TaskChannel, "workspace_sid", workspace.sid),
        queue=lambda text: queues.get(text, ""),
    )


def _new(document: WorkspaceDocument) -> Iterator[Row]:
    """Yield what has a name and is new."""
    if document.workspace.sid in document.paths:
        yield document.workspace
    yield from document.activities
    yield from document.task_channels
    yield from document.task_queues
    yield from document.workflows
    yield from document.workers


def _refuse_sids(decision: Decision, document: WorkspaceDocument) -> None:
    """Refuse sids that something else has."""
    used = [sid for sid in document.paths if sid in decision.state.rows]
    if used:
        field = f"{document.paths[used[0]]}.sid"
        more = f", and {len(used) - 1} more are" if used[1:] else ""
        raise AlreadyExists(
            f"{field}: {used[0]} is in use{more}",
            metadata={"sid": used[0], "field": field, "count": str(len(used))},
        )


def _refuse_names(decision: Decision, document: WorkspaceDocument) -> None:
    """Refuse names that others of the workspace have, or other workspaces."""
    taken = _taken(decision, document.workspace.sid)
    for row in _new(document):
        there = taken.get((type(row), _name(row)), "")
        if isinstance(row, Worker):
            workers = decision.state.where(Worker, "name_key", row.name_key)
            there = workers[0].sid if workers else ""
        if there:
            name = "unique_name" if isinstance(row, TaskChannel) else "friendly_name"
            field = f"{document.paths[row.sid]}.{name}"
            raise AlreadyExists(
                f"{field}: is that of {there}", metadata={"sid": there, "field": field}
            )


def _taken(
    decision: Decision, workspace_sid: str
) -> Mapping[tuple[type[Row], str], str]:
    """Return the names that are taken, of all but workers."""
    state = decision.state
    rows: list[Row] = list(state.of_kind(Workspace))
    for kind in (Activity, TaskChannel, TaskQueue, Workflow):
        rows += state.where(kind, "workspace_sid", workspace_sid)
    return {(type(row), _name(row)): row.sid for row in rows}


def _name(row: Row) -> str:
    """Return what is unique of a row: its name, whatever the case but for channels."""
    if isinstance(row, TaskChannel):
        return row.unique_name
    assert isinstance(row, Workspace | Activity | TaskQueue | Workflow | Worker)
    return row.friendly_name.casefold()


def _refuse_counts(decision: Decision, document: WorkspaceDocument) -> None:
    new = list(_new(document))
    for kind, most, what in _KINDS:
        count = sum(type(row) is kind for row in new)
        if count:
            there = decision.state.count(kind, "workspace_sid", document.workspace.sid)
            refuse_full(there + count - 1, most, what, document.workspace.sid)
    if document.workspace in new:
        count = decision.state.count_of(Workspace)
        account = decision.state.account_sid
        refuse_full(count, limits.WORKSPACES_MAX, "workspaces", account)
