"""Activities: what workers do. Who does what is intent.py."""

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.model import Activity, Row, TaskQueue, Worker, Workspace
from flexcore.engine.commands import (
    CreateActivity,
    DeleteActivity,
    UpdateActivity,
)
from flexcore.engine.decision import Decision
from flexcore.engine.setup.workflows import leading_to
from flexcore.engine.setup.workspaces import (
    Rows,
    refuse_full,
    refuse_taken,
    refuse_used,
    required,
    resolve_workspace,
)


def create_activity(decision: Decision, command: CreateActivity) -> Rows:
    """Create an activity; its name is unique in the workspace."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    activities = decision.state.where(Activity, "workspace_sid", workspace.sid)
    refuse_taken(activities, name)
    refuse_full(len(activities), limits.ACTIVITIES_MAX, "activities", workspace.sid)
    row = Activity(
        sid=decision.ids.sid("WA"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        available=command.available,
    )
    return (decision.create(row, "activity.created"),)


def update_activity(decision: Decision, command: UpdateActivity) -> Rows:
    """Rename an activity. Whether it is available never changes.

    Offers depend on it and so does what workers expect of their choice; make another
    activity and move the workers there.
    """
    activity = decision.get(command.sid, Activity)
    decision.expect(activity, command.expected_version)
    if command.friendly_name is None:
        return (activity,)
    name = required(command.friendly_name, "friendly_name")
    others = decision.state.where(Activity, "workspace_sid", activity.workspace_sid)
    refuse_taken(others, name, but=activity.sid)
    after = activity.evolve(friendly_name=name)
    return (decision.update(activity, after, "activity.updated"),)


def delete_activity(decision: Decision, command: DeleteActivity) -> Rows:
    """Delete an activity nobody is in, or comes to by itself, and no expression names.

    Named by its sid, that is: a name in an expression is a text like any other.
    """
    activity = decision.get(command.sid, Activity)
    decision.expect(activity, command.expected_version)
    state, sid = decision.state, activity.sid
    workspace = state.need(activity.workspace_sid, Workspace)
    ends_there = sid in (workspace.default_activity_sid, workspace.timeout_activity_sid)
    refuse_used(
        decision,
        activity,
        [
            (Worker, "activity_sid", sid),
            (Worker, "return_activity_sid", sid),
            (Worker, "next_activity_sid", sid),
        ],
        *((workspace,) if ends_there else ()),
        *_naming(decision, activity),
    )
    decision.delete(activity, "activity.deleted")
    return (activity,)


def _naming(decision: Decision, activity: Activity) -> list[Row]:
    """Return the queues and workflows with an expression that names an activity."""
    workspace_sid, sid = activity.workspace_sid, activity.sid
    queues = decision.state.where(TaskQueue, "workspace_sid", workspace_sid)
    return [
        *(row for row in queues if sid in row.target_workers),
        *leading_to(decision, workspace_sid, sid),
    ]


def resolve_activity(decision: Decision, workspace_sid: str, text: str) -> Activity:
    """Return an activity by sid or friendly name."""
    for row in decision.state.where(Activity, "workspace_sid", workspace_sid):
        if text in (row.sid, row.friendly_name):
            return row
    raise InvalidArgument("activity", f"{text!r} is no activity of {workspace_sid}")
