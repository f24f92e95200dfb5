"""Workflows: which queue a task enters, and its walk through the steps."""

from functools import lru_cache
from typing import Any

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.errors import FailedPrecondition, InvalidArgument
from flexcore.domain.model import Task, TaskQueue, Workflow
from flexcore.domain.workflows import Step, WorkflowPlan, advance, enter, parse_workflow
from flexcore.engine.commands import CreateWorkflow, UpdateWorkflow
from flexcore.engine.decision import Decision, decoded
from flexcore.engine.workspaces import (
    Rows,
    only_one,
    refuse_full,
    refuse_taken,
    required,
    resolve_workspace,
)


@lru_cache(maxsize=limits.WORKFLOWS_MAX)
def plan_of(configuration: str) -> WorkflowPlan:
    """Return the plan of a configuration that was checked when it was saved."""
    return parse_workflow(configuration, lambda _: True)


def create_workflow(decision: Decision, command: CreateWorkflow) -> Rows:
    """Create a workflow; every queue it names must exist in the workspace."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    workflows = decision.state.where(Workflow, "workspace_sid", workspace.sid)
    refuse_taken(workflows, name)
    refuse_full(len(workflows), limits.WORKFLOWS_MAX, "workflows")
    _check_configuration(decision, workspace.sid, command.configuration)
    row = Workflow(
        sid=decision.ids.sid("WW"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        configuration=command.configuration,
        task_reservation_timeout_seconds=_timeout(
            command.task_reservation_timeout_seconds
        ),
    )
    return (decision.create(row, "workflow.created"),)


def update_workflow(decision: Decision, command: UpdateWorkflow) -> Rows:
    """Change a workflow; tasks that wait keep their place until their step ends."""
    workflow = decision.get(command.sid, Workflow)
    decision.expect(workflow, command.expected_version)
    changes: dict[str, object] = {}
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        rows = decision.state.where(Workflow, "workspace_sid", workflow.workspace_sid)
        refuse_taken(rows, name, but=workflow.sid)
        changes["friendly_name"] = name
    if command.configuration is not None:
        _check_configuration(decision, workflow.workspace_sid, command.configuration)
        changes["configuration"] = command.configuration
    if command.task_reservation_timeout_seconds is not None:
        changes["task_reservation_timeout_seconds"] = _timeout(
            command.task_reservation_timeout_seconds
        )
    return (decision.change(workflow, "workflow.updated", **changes),)


def _check_configuration(decision: Decision, workspace_sid: str, text: str) -> None:
    def queue_exists(sid: str) -> bool:
        queue = decision.state.find(sid, TaskQueue)
        return queue is not None and queue.workspace_sid == workspace_sid

    parse_workflow(text, queue_exists)


def _timeout(seconds: int) -> int:
    most = limits.RESERVATION_TIMEOUT_SECONDS_MAX
    if not 0 <= seconds <= most:
        raise InvalidArgument(
            "task_reservation_timeout", f"must be 1 to {most} seconds, is {seconds}"
        )
    return seconds or limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT


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


def first_step(workflow: Workflow, attributes: JsonObject) -> Step:
    """Return where a task enters; refused when no filter takes it."""
    step = enter(plan_of(workflow.configuration), attributes)
    if step is None:
        raise FailedPrecondition(
            f"workflow {workflow.sid} has no filter that matches the task's attributes"
            " and no default filter",
            metadata={"sid": workflow.sid},
        )
    return step


def next_step(decision: Decision, task: Task) -> Step | None:
    """Return where a task goes when its step ended, None at the end of the workflow."""
    workflow = decision.state.need(task.workflow_sid, Workflow)
    here = Step(task.step_filter, task.step_target, task.task_queue_sid, None, None)
    return advance(plan_of(workflow.configuration), here, decoded(task.attributes))


def step_changes(decision: Decision, step: Step, priority: int) -> dict[str, Any]:
    """Return the task fields that entering a step sets."""
    timeout = step.timeout_seconds
    return {
        "task_queue_sid": step.queue_sid,
        "priority": priority if step.priority is None else step.priority,
        "step_filter": step.filter_index,
        "step_target": step.target_index,
        "step_deadline": decision.now + timeout * limits.SECOND if timeout else 0,
        "queue_entered_time": decision.now,
    }
