"""What routes tasks: workspaces and what belongs to them, but for workers."""

import msgspec

from flexcore.domain.model.row import Row
from flexcore.domain.semantics import DEFAULT_SEMANTICS, Semantics, Value


class Workspace(Row, frozen=True, gc=False, kw_only=True, tag="workspace"):
    """A set of workers, queues and workflows that route among themselves.

    `policies` are those set for themselves; the others are those of `semantics`. Workers
    of queues of both orders empty those of `prioritize_queue_order` first.
    `vanished_queue_sid` is where the policy vanished_worker `queue` leads.
    `callback_secret` counts how often the secret that signs callbacks was replaced.
    """

    friendly_name: str
    default_activity_sid: str = ""
    timeout_activity_sid: str = ""
    semantics: Semantics = DEFAULT_SEMANTICS
    policies: dict[str, Value] = msgspec.field(default_factory=dict)
    prioritize_queue_order: str = "FIFO"
    callback_secret: int = 0
    vanished_queue_sid: str = ""


class Activity(Row, frozen=True, gc=False, kw_only=True, tag="activity"):
    """What a worker is doing; only an available one gets offers."""

    workspace_sid: str
    friendly_name: str
    available: bool


class TaskChannel(Row, frozen=True, gc=False, kw_only=True, tag="task_channel"):
    """A capacity class of tasks.

    `channel_optimized_routing` orders candidates by what they did on this channel alone.
    It comes to the workers, and leaves them, a few at a time: `spread_time` is when the
    next few follow and `spread_order` the order of the last one.
    """

    workspace_sid: str
    unique_name: str
    friendly_name: str
    channel_optimized_routing: bool = False
    leaving: bool = False
    spread_time: int = 0
    spread_order: int = -1


class TaskQueue(Row, frozen=True, gc=False, kw_only=True, tag="task_queue"):
    """Tasks waiting for the workers that satisfy `target_workers`.

    `max_reserved_workers` 0 makes it a pull queue: nothing is offered, workers claim.
    `policies` are those it overrides of its workspace. `cursor` is the order of the
    worker last offered something in turn (policy worker_order).
    """

    workspace_sid: str
    friendly_name: str
    target_workers: str = "1==1"
    max_reserved_workers: int = 1
    task_order: str = "FIFO"
    policies: dict[str, Value] = msgspec.field(default_factory=dict)
    cursor: int = -1


class Workflow(Row, frozen=True, gc=False, kw_only=True, tag="workflow"):
    """Which queue a task enters, and when it moves on; `configuration` is JSON text.

    Every configuration is a revision; a task keeps the one it entered. While waiting
    tasks are moved to the current one, `re_evaluate_time` is when the next few are
    looked at and `re_evaluate_left` how many there are. URLs are the same for all of them.
    """

    workspace_sid: str
    friendly_name: str
    configuration: str
    task_reservation_timeout_seconds: int
    revision_sid: str = ""
    re_evaluate_time: int = 0
    re_evaluate_left: int = 0
    assignment_callback_url: str = ""
    fallback_assignment_callback_url: str = ""


class WorkflowRevision(
    Row, frozen=True, gc=False, kw_only=True, tag="workflow_revision"
):
    """One configuration of a workflow; never changes.

    `names` are the sids of the task queues and activities it names; None only in the store,
    where an older version saved it.
    """

    workspace_sid: str
    workflow_sid: str
    number: int
    configuration: str
    names: tuple[str, ...] | None = None
