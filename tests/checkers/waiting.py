"""Who waits where: tasks in classes that the same workers are candidates for.

Tasks of one class are alike in all that decides who may have them, so a question about a
worker is asked once per class and answered by its first task.
"""

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sortedcontainers import SortedList

from flexcore.domain.model import Row, Task, TaskQueue, Workspace
from flexcore.domain.semantics import Policies, resolved

if TYPE_CHECKING:
    from tests.checkers.fold import Fold

R = TypeVar("R", bound=Row)
Rank = tuple[int, ...]

#: the step_filter of tasks that are in no step of their workflow is below it
STEPS = -2


class Spec(NamedTuple):
    """What decides who may have a task."""

    workspace_sid: str
    queue_sid: str
    task_channel_sid: str
    revision_sid: str
    step: tuple[int, int]
    attributes: str
    #: who refused it, and who of them is passed over
    refused_by: tuple[str, ...]
    passed_over: tuple[str, ...]
    #: whom a routing target names
    route: str | None


class Waiting:
    """The waiting tasks of a fold, and who is a candidate for them."""

    def __init__(self, fold: "Fold") -> None:
        self._fold = fold
        self.classes: dict[Spec, SortedList[tuple[Rank, str]]] = {}
        self._places: dict[str, tuple[Spec, Rank]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def put(self, task: Task) -> None:
        """Let a task wait, wherever it did before."""
        self.drop(task.sid)
        place = (self.spec(task), self.rank(task))
        self._places[task.sid] = place
        self.classes.setdefault(place[0], SortedList()).add((place[1], task.sid))

    def drop(self, task_sid: str) -> None:
        """Let a task wait no more."""
        place = self._places.pop(task_sid, None)
        if place is None:
            return
        tasks = self.classes[place[0]]
        tasks.remove((place[1], task_sid))
        if not tasks:
            del self.classes[place[0]]

    def sort(self) -> None:
        """Look at everybody anew: what ranks them has changed."""
        for sid in list(self._places):
            self.put(self.need(sid, Task))

    # what a task asks for

    def spec(self, task: Task) -> Spec:
        """Return what decides who may have a task."""
        route = None
        if 0 <= task.route < len(task.routes) and task.step_filter < STEPS:
            sid = task.routes[task.route].sid
            route = sid if sid.startswith("WK") else None
        return Spec(
            task.workspace_sid,
            task.task_queue_sid,
            task.task_channel_sid,
            task.workflow_revision_sid,
            (task.step_filter, task.step_target),
            task.attributes,
            tuple(row.worker_sid for row in task.refusals),
            tuple(row.worker_sid for row in task.refusals if row.passed_over),
            route,
        )

    def rank(self, task: Task) -> Rank:
        """Return what waiting tasks are offered by, low first, over all queues."""
        queue = self.queue(task.task_queue_sid)
        workspace = self.need(task.workspace_sid, Workspace)
        start, sequence = task.virtual_start_time, task.sequence
        # What a routing target sends to a worker is in no queue.
        task_order = queue.task_order if queue else "FIFO"
        second = task_order != workspace.prioritize_queue_order
        if task_order == "LIFO":
            return (second, 0, -start, -sequence)
        boost = self.policies(workspace).priority_boost_seconds * 1_000_000
        if boost:
            return (second, start - task.priority * boost, start, sequence)
        return (second, -task.priority, start, sequence)

    def policies(self, workspace: Workspace) -> Policies:
        """Return the policies of a workspace."""
        return resolved(workspace.semantics, workspace.policies)

    def queue(self, sid: str) -> TaskQueue | None:
        """Return a queue; None for tasks that are sent to a worker past all queues."""
        return self.need(sid, TaskQueue) if sid else None

    def need(self, sid: str, kind: type[R]) -> R:
        """Return a row that must be there."""
        row = self._fold.rows[sid]
        assert isinstance(row, kind), f"{sid} is a {type(row).__name__}"
        return row
