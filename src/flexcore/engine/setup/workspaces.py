"""Workspaces, what they begin with, and how a request names what it means."""

import json
from collections.abc import Sequence
from itertools import chain, islice
from typing import TypeVar

from flexcore.domain import limits
from flexcore.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    Reason,
    ResourceExhausted,
)
from flexcore.domain.ids import RESOURCES
from flexcore.domain.model import (
    Activity,
    AddressConfiguration,
    Row,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.semantics import (
    DEFAULT_SEMANTICS,
    Semantics,
    check_overrides,
)
from flexcore.domain.workflow_names import named_sids
from flexcore.engine.commands import (
    CreateDefaults,
    CreateWorkspace,
    DeleteWorkspace,
    UpdateWorkspace,
)
from flexcore.engine.decision import Decision
from flexcore.engine.indexes import LookUp
from flexcore.engine.setup.rooms import open_channel

Rows = tuple[Row, ...]
#: rows that people know by a friendly name
Named = Activity | TaskQueue | Workflow | Workspace
N = TypeVar("N", Workflow, Workspace)


def create_workspace(decision: Decision, command: CreateWorkspace) -> Rows:
    """Create a workspace with three activities and three task channels."""
    name = required(command.friendly_name, "friendly_name")
    known = list(decision.state.of_kind(Workspace))
    refuse_taken(known, name)
    account = decision.state.account_sid
    refuse_full(len(known), limits.WORKSPACES_MAX, "workspaces", account)
    workspace = Workspace(
        sid=decision.ids.sid("WS"),
        friendly_name=name,
        semantics=Semantics(command.semantics or DEFAULT_SEMANTICS),
        policies=check_overrides(command.policies or {}),
        prioritize_queue_order=command.prioritize_queue_order or "FIFO",
    )
    activities = [
        Activity(
            sid=decision.ids.sid("WA"),
            workspace_sid=workspace.sid,
            friendly_name=activity,
            available=available,
        )
        for activity, available in _ACTIVITIES
    ]
    workspace = decision.create(
        workspace.evolve(
            default_activity_sid=_one_of(
                activities, command.default_activity, "default_activity"
            ),
            timeout_activity_sid=_one_of(
                activities, command.timeout_activity, "timeout_activity"
            ),
        ),
        "workspace.created",
    )
    for row in activities:
        decision.create(row, "activity.created")
    for unique_name, friendly_name in _TASK_CHANNELS:
        add_channel(decision, workspace.sid, unique_name, friendly_name)
    if command.template == "FIFO":
        _add_first_queue(decision, workspace)
    return (workspace,)


#: what a new workspace begins with, the one for those who do nothing first
_ACTIVITIES = (("Offline", False), ("Available", True), ("Unavailable", False))
_TASK_CHANNELS = (("default", "Default"), ("chat", "Chat"), ("sms", "SMS"))


def _one_of(activities: Sequence[Activity], text: str, field: str) -> str:
    """Return the sid of the activity `text` names; the first one if it is empty."""
    if not text:
        return activities[0].sid
    for row in activities:
        if text in (row.sid, row.friendly_name):
            return row.sid
    names = ", ".join(row.friendly_name for row in activities[:10])
    raise InvalidArgument(field, f"{text!r} is no activity here, there are {names}")


def create_defaults(decision: Decision, command: CreateDefaults) -> Rows:
    """Create what a first start needs, once: one workspace ready to route."""
    there = next(decision.state.of_kind(Workspace), None)
    if there is not None:
        return (there,)
    (workspace,) = create_workspace(decision, CreateWorkspace(friendly_name="default"))
    assert isinstance(workspace, Workspace)
    return (workspace, *_add_first_queue(decision, workspace))


def _add_first_queue(decision: Decision, workspace: Workspace) -> Rows:
    """Add a queue for everybody, and a workflow that puts every task into it."""
    queue = decision.create(
        TaskQueue(
            sid=decision.ids.sid("WQ"),
            workspace_sid=workspace.sid,
            friendly_name="everyone",
        ),
        "task-queue.created",
    )
    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    workflow = Workflow(
        sid=decision.ids.sid("WW"),
        workspace_sid=workspace.sid,
        friendly_name="default",
        configuration=json.dumps(routing),
        task_reservation_timeout_seconds=limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT,
    )
    return (queue, add_workflow(decision, workflow))


def add_workflow(decision: Decision, workflow: Workflow) -> Workflow:
    """Add a workflow with its first revision; what it says is checked already."""
    revision = WorkflowRevision(
        sid=decision.ids.sid("WV"),
        workspace_sid=workflow.workspace_sid,
        workflow_sid=workflow.sid,
        number=1,
        configuration=workflow.configuration,
        names=named_sids(workflow.configuration),
    )
    workflow = decision.create(
        workflow.evolve(revision_sid=revision.sid), "workflow.created"
    )
    decision.create(revision, "workflow.revision.created")
    return workflow


def update_workspace(decision: Decision, command: UpdateWorkspace) -> Rows:
    """Change how a workspace behaves; what is decided already stays as it is."""
    workspace = decision.get(command.sid, Workspace)
    decision.expect(workspace, command.expected_version)
    after = workspace
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        refuse_taken(list(decision.state.of_kind(Workspace)), name, but=workspace.sid)
        after = after.evolve(friendly_name=name)
    activities = decision.state.where(Activity, "workspace_sid", workspace.sid)
    for field in ("default_activity", "timeout_activity"):
        text = getattr(command, field)
        if text is not None:
            sid = _one_of(activities, required(text, field), field)
            after = after.evolve(**{f"{field}_sid": sid})
    if command.semantics is not None:
        after = after.evolve(semantics=Semantics(command.semantics))
    if command.policies is not None:
        after = after.evolve(policies=check_overrides(command.policies))
    if command.prioritize_queue_order is not None:
        after = after.evolve(prioritize_queue_order=command.prioritize_queue_order)
    if command.vanished_queue is not None:
        sid = _queue_sid(decision, workspace, command.vanished_queue)
        after = after.evolve(vanished_queue_sid=sid)
    if command.rotate_callback_secret:
        after = after.evolve(callback_secret=workspace.callback_secret + 1)
    return (decision.update(workspace, after, "workspace.updated"),)


def _queue_sid(decision: Decision, workspace: Workspace, text: str) -> str:
    """Return the sid of the queue `text` names; an empty one names none."""
    if not text:
        return ""
    for row in decision.state.each(TaskQueue, "workspace_sid", workspace.sid):
        if text in (row.sid, row.friendly_name):
            return row.sid
    raise InvalidArgument(
        "vanished_queue", f"{text!r} is no task queue of {workspace.sid}"
    )


def delete_workspace(decision: Decision, command: DeleteWorkspace) -> Rows:
    """Delete an empty workspace, with its activities and task channels."""
    workspace = decision.get(command.sid, Workspace)
    decision.expect(workspace, command.expected_version)
    state, sid = decision.state, workspace.sid
    refuse_used(
        decision,
        workspace,
        [
            (Worker, "workspace_sid", sid),
            (TaskQueue, "workspace_sid", sid),
            (Workflow, "workspace_sid", sid),
            (Task, "open_workspace_sid", sid),
        ],
        *configured(decision, "workspace_sid", sid),
    )
    for channel in state.where(TaskChannel, "workspace_sid", sid):
        decision.delete(channel, "task-channel.deleted")
    for activity in state.where(Activity, "workspace_sid", sid):
        decision.delete(activity, "activity.deleted")
    decision.delete(workspace, "workspace.deleted")
    return (workspace,)


def add_channel(
    decision: Decision,
    workspace_sid: str,
    name: str,
    friendly_name: str,
    *,
    optimized: bool = False,
) -> TaskChannel:
    """Add a task channel, and its worker channel for every worker."""
    return open_channel(
        decision,
        TaskChannel(
            sid=decision.ids.sid("TC"),
            workspace_sid=workspace_sid,
            unique_name=name,
            friendly_name=friendly_name,
            channel_optimized_routing=optimized,
        ),
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
        if text in (row.sid, row.unique_name) and not row.leaving:
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


def refuse_full(count: int, most: int, what: str, sid: str) -> None:
    """Raise ResourceExhausted when the resource `sid` has all it may have."""
    if count >= most:
        raise ResourceExhausted(
            f"{RESOURCES[sid[:2]]} {sid} has {most} {what}, the most allowed",
            metadata={"limit": str(most), "sid": sid},
        )


#: sids of those who use a resource that a refusal names
USERS_SHOWN = 10


def refuse_used(
    decision: Decision, row: Row, look_ups: Sequence[LookUp], *others: Row
) -> None:
    """Raise FailedPrecondition if something depends on a row; names who, and how many.

    Costs no more when many do.
    """
    state = decision.state
    count = sum(state.count(*look_up) for look_up in look_ups) + len(others)
    if not count:
        return
    users = chain(*(state.each(*look_up) for look_up in look_ups), others)
    shown = [user.sid for user in islice(users, USERS_SHOWN)]
    more = ", ..." if count > USERS_SHOWN else ""
    raise FailedPrecondition(
        f"{RESOURCES[row.sid[:2]]} {row.sid} is in use by {count}:"
        f" {', '.join(shown)}{more}",
        reason=Reason.RESOURCE_IN_USE,
        metadata={"sid": row.sid, "count": str(count), "sids": ",".join(shown)},
    )


def configured(decision: Decision, field: str, sid: str) -> list[AddressConfiguration]:
    """Return the address configurations whose `field` is a sid."""
    rows = decision.state.of_kind(AddressConfiguration)
    return [row for row in rows if getattr(row, field) == sid]
