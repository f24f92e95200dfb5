"""Activities: what workers do, and moving a worker from one to another."""

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.model import Activity, Worker
from flexcore.engine.commands import CreateActivity
from flexcore.engine.decision import Decision
from flexcore.engine.workspaces import (
    Rows,
    refuse_full,
    refuse_taken,
    required,
    resolve_workspace,
)


def create_activity(decision: Decision, command: CreateActivity) -> Rows:
    """Create an activity; its name is unique in the workspace."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    activities = decision.state.where(Activity, "workspace_sid", workspace.sid)
    refuse_taken(activities, name)
    refuse_full(len(activities), limits.ACTIVITIES_MAX, "activities")
    row = Activity(
        sid=decision.ids.sid("WA"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        available=command.available,
    )
    return (decision.create(row, "activity.created"),)


def resolve_activity(decision: Decision, workspace_sid: str, text: str) -> Activity:
    """Return an activity by sid or friendly name."""
    for row in decision.state.where(Activity, "workspace_sid", workspace_sid):
        if text in (row.sid, row.friendly_name):
            return row
    raise InvalidArgument("activity", f"{text!r} is no activity of {workspace_sid}")


def move_to(decision: Decision, worker: Worker, activity: Activity) -> Worker:
    """Change what a worker is doing; no event when nothing changes."""
    if worker.activity_sid == activity.sid:
        return worker
    return decision.change(
        worker,
        "worker.activity.update",
        activity_sid=activity.sid,
        activity_time=decision.now,
    )
