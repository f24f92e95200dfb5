"""Workflows and their revisions: which steps a task walks through.

A configuration never changes: another one is another revision, and a task keeps the one it
entered until it is moved. The walk itself is steps.py.
"""

from collections.abc import Mapping

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument, ResourceExhausted
from flexcore.domain.model import (
    Interaction,
    InteractionChannel,
    Task,
    TaskQueue,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.states import ChannelStatus
from flexcore.domain.urls import check_url
from flexcore.domain.workflow_names import named_sids
from flexcore.domain.workflows import parse_workflow
from flexcore.engine.commands import CreateWorkflow, DeleteWorkflow, UpdateWorkflow
from flexcore.engine.decision import Decision
from flexcore.engine.routing import re_evaluation
from flexcore.engine.setup.policies import dialect_of, policies_of
from flexcore.engine.setup.workspaces import (
    Rows,
    add_workflow,
    configured,
    only_one,
    refuse_full,
    refuse_taken,
    refuse_used,
    required,
    resolve_workspace,
)

_URLS = ("assignment_callback_url", "fallback_assignment_callback_url")


def create_workflow(
    decision: Decision, command: CreateWorkflow, *, allow_loopback: bool
) -> Rows:
    """Create a workflow; every queue it names must exist in the workspace."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    workflows = decision.state.where(Workflow, "workspace_sid", workspace.sid)
    refuse_taken(workflows, name)
    refuse_full(len(workflows), limits.WORKFLOWS_MAX, "workflows", workspace.sid)
    _check_configuration(decision, workspace.sid, command.configuration)
    seconds = _timeout(command.task_reservation_timeout_seconds)
    workflow = Workflow(
        sid=decision.ids.sid("WW"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        configuration=command.configuration,
        task_reservation_timeout_seconds=seconds,
    ).evolve(**_urls(command, allow_loopback=allow_loopback))
    return (add_workflow(decision, workflow), workspace)


def _urls(
    command: CreateWorkflow | UpdateWorkflow, *, allow_loopback: bool
) -> Mapping[str, str]:
    """Return the callback URLs that are given, checked; an empty one is none."""
    given = {field: getattr(command, field) for field in _URLS}
    return {
        field: check_url(text, field, allow_loopback=allow_loopback)
        for field, text in given.items()
        if text is not None
    }


def update_workflow(
    decision: Decision, command: UpdateWorkflow, *, allow_loopback: bool
) -> Rows:
    """Change a workflow; tasks keep their revision unless they are to be moved."""
    workflow = decision.get(command.sid, Workflow)
    decision.expect(workflow, command.expected_version)
    after = workflow
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        rows = decision.state.where(Workflow, "workspace_sid", workflow.workspace_sid)
        refuse_taken(rows, name, but=workflow.sid)
        after = after.evolve(friendly_name=name)
    if command.task_reservation_timeout_seconds is not None:
        seconds = _timeout(command.task_reservation_timeout_seconds)
        after = after.evolve(task_reservation_timeout_seconds=seconds)
    after = after.evolve(**_urls(command, allow_loopback=allow_loopback))
    text = command.configuration
    if text is not None and text != workflow.configuration:
        _check_configuration(decision, workflow.workspace_sid, text)
        revision = _add_revision(decision, workflow, text)
        after = after.evolve(configuration=text, revision_sid=revision.sid)
    if command.re_evaluate_tasks:
        workflow = decision.replace(workflow, after, "workflow.updated")
        workflow = re_evaluation.begin(decision, workflow)
    else:
        workflow = decision.update(workflow, after, "workflow.updated")
    return (workflow, decision.state.need(workflow.workspace_sid, Workspace))


def _add_revision(
    decision: Decision, workflow: Workflow, configuration: str
) -> WorkflowRevision:
    rows = decision.state.where(WorkflowRevision, "workflow_sid", workflow.sid)
    rows.sort(key=lambda row: row.number)
    if len(rows) >= limits.REVISIONS_MAX:
        _drop_oldest(decision, workflow, rows)
    revision = WorkflowRevision(
        sid=decision.ids.sid("WV"),
        workspace_sid=workflow.workspace_sid,
        workflow_sid=workflow.sid,
        number=rows[-1].number + 1 if rows else 1,
        configuration=configuration,
        names=named_sids(configuration),
    )
    return decision.create(revision, "workflow.revision.created")


def _drop_oldest(
    decision: Decision, workflow: Workflow, rows: list[WorkflowRevision]
) -> None:
    """Delete the oldest revision that no open task is in; the last one may be it."""
    for row in rows:
        if not decision.state.count(Task, "open_revision_sid", row.sid):
            decision.delete(row, "workflow.revision.deleted")
            return
    raise ResourceExhausted(
        f"open tasks are in each of the {len(rows)} revisions of {workflow.sid}; move"
        " them with re_evaluate_tasks",
        metadata={"limit": str(limits.REVISIONS_MAX), "sid": workflow.sid},
    )


def delete_workflow(decision: Decision, command: DeleteWorkflow) -> Rows:
    """Delete a workflow that no work is in or may come into, with its revisions."""
    workflow = decision.get(command.sid, Workflow)
    decision.expect(workflow, command.expected_version)
    refuse_used(
        decision,
        workflow,
        [
            (Task, "open_workflow_sid", workflow.sid),
            (Task, "open_route_sids", workflow.sid),
        ],
        *_open_interactions(decision, workflow),
        *configured(decision, "workflow_sid", workflow.sid),
    )
    for row in decision.state.where(WorkflowRevision, "workflow_sid", workflow.sid):
        decision.delete(row, "workflow.revision.deleted")
    decision.delete(workflow, "workflow.deleted")
    return (workflow,)


def _open_interactions(decision: Decision, workflow: Workflow) -> list[Interaction]:
    """Return the interactions that may still invite somebody through a workflow."""
    state = decision.state
    return [
        row
        for row in state.each(Interaction, "workflow_sid", workflow.sid)
        if state.need(row.channel_sid, InteractionChannel).status
        is ChannelStatus.ACTIVE
    ]


def leading_to(decision: Decision, workspace_sid: str, sid: str) -> list[Workflow]:
    """Return the workflows with a configuration that names a task queue or an activity.

    The one that is current, or an earlier one that open tasks are in still.
    """
    state = decision.state
    return [
        workflow
        for workflow in state.where(Workflow, "workspace_sid", workspace_sid)
        if any(
            sid in _names(revision)
            for revision in state.where(WorkflowRevision, "workflow_sid", workflow.sid)
            if revision.sid == workflow.revision_sid
            or state.count(Task, "open_revision_sid", revision.sid)
        )
    ]


def _names(revision: WorkflowRevision) -> tuple[str, ...]:
    assert revision.names is not None, "noted when it was saved, or recovered"
    return revision.names


def _check_configuration(decision: Decision, workspace_sid: str, text: str) -> None:
    def queue_exists(sid: str) -> bool:
        queue = decision.state.find(sid, TaskQueue)
        return queue is not None and queue.workspace_sid == workspace_sid

    dialect = dialect_of(policies_of(decision.state, workspace_sid))
    parse_workflow(text, queue_exists, dialect=dialect)


def _timeout(seconds: int) -> int:
    most = limits.RESERVATION_TIMEOUT_SECONDS_MAX
    if not 0 <= seconds <= most:
        raise InvalidArgument(
            "task_reservation_timeout", f"must be 1 to {most} seconds, is {seconds}"
        )
    return seconds or limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT


def resolve_routing_workspace(
    decision: Decision, workspace_sid: str, workflow_sid: str
) -> Workspace:
    """Return the workspace that is given, or that of the workflow, or the only one."""
    if workflow_sid and not workspace_sid:
        workspace_sid = decision.get(workflow_sid, Workflow).workspace_sid
    return resolve_workspace(decision, workspace_sid)


def resolve_workflow(decision: Decision, workspace_sid: str, sid: str) -> Workflow:
    """Return the workflow `sid` of a workspace, or the only one there is."""
    if not sid:
        rows = decision.state.where(Workflow, "workspace_sid", workspace_sid)
        return only_one(rows, "workflow_sid")
    workflow = decision.get(sid, Workflow)
    if workflow.workspace_sid != workspace_sid:
        raise InvalidArgument(
            "workflow_sid", f"{sid} belongs to workspace {workflow.workspace_sid}"
        )
    return workflow
