"""Tasks, and the reservations that offer them."""

from flexcore.domain.model.row import Row
from flexcore.domain.parts import CallbackProblem, Choice, Refusal, Route
from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    WAITING_TASK,
    ReservationStatus,
    TaskStatus,
)


class Task(Row, frozen=True, gc=False, kw_only=True, tag="task"):
    """Work that waits for a worker.

    `sequence` is the log position of its creation and breaks ties of waiting order.
    `step_*` say where in its workflow it is (domain/workflows.py); `step_start` is what
    its clock counts from, `skip_pending` says that skip_if is still to be asked. `routes`
    bypass the workflow; `route` is the one it is at, -1 none. `limit_time` ends its being
    assigned or wrapped up, `purge_time` its being kept, `hold_time` its being held back
    after `callback_failures` offers in a row that nobody answered for.
    """

    workspace_sid: str
    workflow_sid: str
    task_queue_sid: str
    task_channel_sid: str
    task_channel_unique_name: str
    attributes: str
    priority: int
    status: TaskStatus
    sequence: int
    virtual_start_time: int
    timeout_seconds: int
    deadline: int
    step_filter: int
    step_target: int
    step_deadline: int
    queue_entered_time: int
    reason: str = ""
    disposition: str = ""
    assignment_count: int = 0
    invite_sid: str = ""
    workflow_revision_sid: str = ""
    step_start: int = 0
    skip_pending: bool = False
    routes: tuple[Route, ...] = ()
    route: int = -1
    refusals: tuple[Refusal, ...] = ()
    limit_time: int = 0
    purge_time: int = 0
    callback_failures: int = 0
    hold_time: int = 0

    @property
    def waits(self) -> bool:
        """Whether it may be offered to somebody.

        A pending task does not wait while it is held back, nor on its way past steps that
        are over: one that was over when the task came to it is left before anything else.
        """
        if self.status is not TaskStatus.PENDING or self.hold_time:
            return False
        return not 0 < self.step_deadline <= self.update_time

    @property
    def open_sids(self) -> tuple[str, str, str, str, str, tuple[str, ...]]:
        """Its workspace, queue, workflow, revision, channel and routes while it is open.

        Empty ones once it is not. Its queue is that of its step; its routes are what
        routing targets may lead to yet, and the worker it waits for.
        """
        if self.status not in OPEN_TASK:
            return ("", "", "", "", "", ())
        return (
            self.workspace_sid,
            self.task_queue_sid,
            self.workflow_sid,
            self.workflow_revision_sid,
            self.task_channel_sid,
            self._routes_left() if self.routes and self.status in WAITING_TASK else (),
        )

    def _routes_left(self) -> tuple[str, ...]:
        here = (self.task_queue_sid, self.workflow_sid)
        left = (link.sid for link in self.routes[max(self.route, 0) :])
        return tuple(dict.fromkeys(sid for sid in left if sid not in here))


class Reservation(Row, frozen=True, gc=False, kw_only=True, tag="reservation"):
    """One offer of one task to one worker, valid until `deadline`.

    `order` is the log position of its creation and breaks ties of deadlines.
    `accept_time` and `wrap_time` are when it was accepted and its wrap-up began.
    """

    workspace_sid: str
    workflow_sid: str
    task_queue_sid: str
    task_channel_sid: str
    task_sid: str
    worker_sid: str
    worker_name: str
    status: ReservationStatus
    deadline: int
    candidates: int
    order: int = 0
    reason: str = ""
    choice: Choice | None = None
    accept_time: int = 0
    wrap_time: int = 0
    callback_problems: tuple[CallbackProblem, ...] = ()

    @property
    def open_worker_sid(self) -> str:
        """The worker whose capacity it holds, if it still does."""
        return self.worker_sid if self.status in OPEN_RESERVATION else ""

    @property
    def open_task_sid(self) -> str:
        """The task it is of, as long as its worker may have that task."""
        return self.task_sid if self.status in OPEN_RESERVATION else ""
