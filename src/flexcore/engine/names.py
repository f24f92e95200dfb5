"""What the things are called that an answer refers to by their sids."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from flexcore.domain.model import (
    Activity,
    Row,
    Task,
    TaskQueue,
    Worker,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.workflow_names import named_sids
from flexcore.engine.state import State

_Named: TypeAlias = Activity | TaskQueue | Workflow

_REFERENCES: Mapping[type[Row], tuple[tuple[str, type[_Named]], ...]] = {
    Workspace: (
        ("default_activity_sid", Activity),
        ("timeout_activity_sid", Activity),
    ),
    Worker: (("activity_sid", Activity),),
    Task: (("task_queue_sid", TaskQueue), ("workflow_sid", Workflow)),
}


def names_of(state: State, rows: Iterable[Row]) -> Mapping[str, str]:
    """Return the names of what `rows` refer to, by sid, as they are now.

    They are no part of the rows: a renamed queue would be a change of each of its tasks.
    What was deleted since has none. Those of a workflow are the activities of its workspace
    that its configuration names.
    """
    found: dict[str, str] = {}
    for row in rows:
        if isinstance(row, Workflow):
            for activity in _activities_of(state, row):
                found[activity.sid] = activity.friendly_name
        for field, kind in _REFERENCES.get(type(row), ()):
            named = state.find(getattr(row, field), kind)
            if named is not None:
                found[named.sid] = named.friendly_name
    return found


def _activities_of(state: State, workflow: Workflow) -> Iterator[Activity]:
    revision = state.find(workflow.revision_sid, WorkflowRevision)
    names = revision.names if revision else named_sids(workflow.configuration)
    for sid in names or ():
        activity = state.find(sid, Activity)
        if activity and activity.workspace_sid == workflow.workspace_sid:
            yield activity
