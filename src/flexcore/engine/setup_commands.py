"""Commands that set routing up: workspaces and what they hold.

`policies` are by name (domain/semantics.py); None leaves them, a mapping replaces all that
are set. What is deleted must not be in use.
"""

from flexcore.domain.semantics import Value
from flexcore.engine.command import Command, Mutation

# --- workspaces and activities ---------------------------------------------------------


class CreateDefaults(Mutation, frozen=True, kw_only=True):
    """Create the workspace `default` of an empty account; answers (Workspace,)."""


class CreateWorkspace(Mutation, frozen=True, kw_only=True):
    """Create a workspace with three activities and the task channel `default`.

    Answers (Workspace,); the activities are Offline, Available and Unavailable, and the
    default and timeout activity are one of them. `template` "FIFO" adds a queue for
    everybody and a workflow into it.
    """

    friendly_name: str
    template: str = ""
    default_activity: str = ""
    timeout_activity: str = ""
    semantics: str = ""
    policies: dict[str, Value] | None = None
    prioritize_queue_order: str = ""


class UpdateWorkspace(Mutation, frozen=True, kw_only=True):
    """Answers (Workspace,); activities and queue by sid or friendly name."""

    sid: str
    friendly_name: str | None = None
    default_activity: str | None = None
    timeout_activity: str | None = None
    semantics: str | None = None
    policies: dict[str, Value] | None = None
    prioritize_queue_order: str | None = None
    rotate_callback_secret: bool = False
    vanished_queue: str | None = None
    expected_version: int = 0


class DeleteWorkspace(Mutation, frozen=True, kw_only=True):
    """Delete an empty workspace, with its activities and task channels.

    Answers (Workspace,) as it was last, as do the others that delete.
    """

    sid: str
    expected_version: int = 0


class ImportWorkspace(Mutation, frozen=True, kw_only=True):
    """Create what a document holds (domain/documents/fields.py), all of it or nothing.

    A workspace, or with `workspace_sid` what is added to that one. Answers (Workspace,
    TaskQueue ..., Workflow ...), the new ones.
    """

    document: str
    workspace_sid: str = ""


class CreateActivity(Mutation, frozen=True, kw_only=True):
    """Answers (Activity,)."""

    workspace_sid: str
    friendly_name: str
    available: bool


class UpdateActivity(Mutation, frozen=True, kw_only=True):
    """Rename an activity; answers (Activity,)."""

    sid: str
    friendly_name: str | None = None
    expected_version: int = 0


class DeleteActivity(Mutation, frozen=True, kw_only=True):
    """Delete an activity nobody is in or goes to by itself; answers (Activity,)."""

    sid: str
    expected_version: int = 0


# --- task channels ---------------------------------------------------------------------


class CreateTaskChannel(Mutation, frozen=True, kw_only=True):
    """Create a task channel, and a worker channel for every worker."""

    workspace_sid: str
    unique_name: str
    friendly_name: str
    channel_optimized_routing: bool = False


class UpdateTaskChannel(Mutation, frozen=True, kw_only=True):
    """Answers (TaskChannel,)."""

    sid: str
    friendly_name: str | None = None
    channel_optimized_routing: bool | None = None
    expected_version: int = 0


class DeleteTaskChannel(Mutation, frozen=True, kw_only=True):
    """Delete a task channel with its worker channels; answers (TaskChannel,)."""

    sid: str
    expected_version: int = 0


# --- task queues -----------------------------------------------------------------------


class CreateTaskQueue(Mutation, frozen=True, kw_only=True):
    """Answers (TaskQueue, Workspace)."""

    workspace_sid: str
    friendly_name: str
    target_workers: str = "1==1"
    max_reserved_workers: int = 1
    task_order: str = ""
    policies: dict[str, Value] | None = None


class UpdateTaskQueue(Mutation, frozen=True, kw_only=True):
    """Answers (TaskQueue, Workspace)."""

    sid: str
    friendly_name: str | None = None
    target_workers: str | None = None
    max_reserved_workers: int | None = None
    task_order: str | None = None
    policies: dict[str, Value] | None = None
    expected_version: int = 0


class DeleteTaskQueue(Mutation, frozen=True, kw_only=True):
    """Delete a queue nothing waits in and no workflow names; answers (TaskQueue,)."""

    sid: str
    expected_version: int = 0


# --- workflows -------------------------------------------------------------------------


class CreateWorkflow(Mutation, frozen=True, kw_only=True):
    """Create a workflow and its first revision; answers (Workflow, Workspace)."""

    workspace_sid: str
    friendly_name: str
    configuration: str
    task_reservation_timeout_seconds: int
    assignment_callback_url: str = ""
    fallback_assignment_callback_url: str = ""


class UpdateWorkflow(Mutation, frozen=True, kw_only=True):
    """Change a workflow; another configuration is another revision.

    Waiting tasks keep theirs, unless `re_evaluate_tasks` moves them to the current one.
    Answers (Workflow, Workspace).
    """

    sid: str
    friendly_name: str | None = None
    configuration: str | None = None
    task_reservation_timeout_seconds: int | None = None
    assignment_callback_url: str | None = None
    fallback_assignment_callback_url: str | None = None
    re_evaluate_tasks: bool = False
    expected_version: int = 0


class DeleteWorkflow(Mutation, frozen=True, kw_only=True):
    """Delete a workflow no open task is in, with its revisions; answers (Workflow,)."""

    sid: str
    expected_version: int = 0


# --- workers ---------------------------------------------------------------------------


class CreateWorker(Mutation, frozen=True, kw_only=True):
    """Answers (Worker, WorkerChannel ...); activity by sid or friendly name."""

    workspace_sid: str
    friendly_name: str
    attributes: str = "{}"
    activity: str = ""


class BatchCreateWorkers(Mutation, frozen=True, kw_only=True):
    """Create all of these workers, in this order, or none; answers (Worker, ...)."""

    workers: tuple[CreateWorker, ...]


class UpdateWorker(Mutation, frozen=True, kw_only=True):
    """Answers (Worker, WorkerChannel ...).

    With `after_current_work` the worker moves to `activity` once nothing is left to do.
    """

    sid: str
    friendly_name: str | None = None
    attributes: str | None = None
    attributes_patch: str | None = None
    activity: str | None = None
    after_current_work: bool = False
    reject_pending_reservations: bool = False
    expected_version: int = 0


class DeleteWorker(Mutation, frozen=True, kw_only=True):
    """Delete a worker who holds nothing, with its channels; answers (Worker,)."""

    sid: str
    expected_version: int = 0


class UpdateWorkerChannel(Mutation, frozen=True, kw_only=True):
    """Change capacity or availability on one channel (sid or unique name)."""

    worker_sid: str
    task_channel: str
    configured_capacity: int | None = None
    available: bool | None = None
    expected_version: int = 0


class GetWorker(Command, frozen=True, kw_only=True):
    """Return a worker with all it has.

    Answers (Worker, Activity, WorkerChannel ..., Reservation ...), the open ones.
    """

    sid: str


class GetWorkerChannel(Command, frozen=True, kw_only=True):
    """Return a channel of a worker and what is held of it.

    `task_channel` is a sid or unique name. Answers (WorkerChannel, Reservation ...).
    """

    worker_sid: str
    task_channel: str
