"""Routing targets: a task's way past its workflow, link by link.

A link is a worker, a task queue or a workflow. A worker who takes a link ignoring
capacity is offered the task at once, whatever they do; otherwise it waits for that worker,
or in that queue, for as long as the link says. A workflow is the last link: from there on
the task is like any other.
"""

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.model import Row, Task, TaskQueue, Worker, Workflow
from flexcore.domain.parts import Choice, Route
from flexcore.domain.plans import RESTART, ROUTED
from flexcore.domain.states import TaskStatus
from flexcore.engine.decision import Decision
from flexcore.engine.routing import offers, refusals, steps
from flexcore.engine.routing.endings import end_task
from flexcore.engine.setup.policies import policies_of
from flexcore.engine.state import State

_KINDS: dict[str, type[Row]] = {"WK": Worker, "WQ": TaskQueue, "WW": Workflow}
FIELD = "routing_targets"


def check_routes(
    decision: Decision, workspace_sid: str, routes: tuple[Route, ...]
) -> None:
    """Refuse a chain that is too long or leads nowhere, naming the link."""
    if len(routes) > limits.ROUTES_MAX:
        raise InvalidArgument(FIELD, f"at most {limits.ROUTES_MAX} links are allowed")
    for number, link in enumerate(routes):
        field = f"{FIELD}[{number}].sid"
        kind = _KINDS.get(link.sid[:2])
        if kind is None:
            raise InvalidArgument(field, "is no worker, task queue or workflow")
        row = decision.state.find(link.sid, kind)
        if getattr(row, "workspace_sid", "") != workspace_sid:
            raise InvalidArgument(field, f"{link.sid} is not in {workspace_sid}")
        if kind is Workflow and number + 1 < len(routes):
            raise InvalidArgument(field, "a workflow can only be the last link")
        _check_link(f"{FIELD}[{number}]", kind, link)


def spelled_out(
    state: State, workspace_sid: str, routes: tuple[Route, ...]
) -> tuple[Route, ...]:
    """Return a chain in which every link says whether it ignores capacity.

    It is asked once: a policy that changes later does not change what a task is about.
    """
    default = policies_of(state, workspace_sid).direct_ignore_capacity
    return tuple(
        link
        if link.ignore_capacity is not None
        else msgspec.structs.replace(
            link,
            ignore_capacity=default
            and link.sid.startswith("WK")
            and not link.wait_seconds,
        )
        for link in routes
    )


def _check_link(field: str, kind: type[Row], link: Route) -> None:
    """Refuse what would mean nothing at a link of this kind."""
    if link.ignore_capacity and kind is not Worker:
        raise InvalidArgument(f"{field}.ignore_capacity", "is for a worker")
    if link.wait_seconds and kind is Workflow:
        raise InvalidArgument(f"{field}.wait", "is not for a workflow")
    if link.wait_seconds and link.ignore_capacity:
        raise InvalidArgument(f"{field}.wait", "is not for what is offered at once")


def current(task: Task) -> Route | None:
    """Return the link a task is at."""
    return task.routes[task.route] if 0 <= task.route < len(task.routes) else None


def is_direct(task: Task) -> bool:
    """Say whether a task is meant for one worker at present."""
    link = current(task)
    return link is not None and link.sid.startswith("WK")


def asked_worker(state: State, task: Task) -> str | None:
    """Return the one worker a task is for, by its route or its step; "" if unknown.

    None: it is for anybody.
    """
    link = current(task)
    if task.step_filter == ROUTED and link is not None:
        return link.sid if link.sid.startswith("WK") else None
    return steps.known_worker(state, task)


def waiting_for(state: State, worker: Worker) -> list[Task]:
    """Return the tasks whose route waits for a worker, the oldest first."""
    tasks = state.each(Task, "open_route_sids", worker.sid)
    here = [
        task
        for task in tasks
        if task.status is TaskStatus.PENDING and _link_sid(task) == worker.sid
    ]
    return sorted(here, key=lambda task: task.sequence)


def _link_sid(task: Task) -> str:
    link = current(task)
    return link.sid if link is not None else ""


def begin(decision: Decision, task: Task) -> Task:
    """Put a new task on its first link."""
    return _take(decision, task, 0)


def go_on(decision: Decision, task: Task) -> Task:
    """Put a waiting task on its next link, or give it up after the last."""
    return _take(decision, task, task.route + 1)


def link_from(
    state: State, task: Task, number: int
) -> tuple[int, Worker | TaskQueue | Workflow] | None:
    """Return the first link from `number` on that leads somewhere, and where to."""
    for place in range(number, len(task.routes)):
        sid = task.routes[place].sid
        row = state.find(sid, _KINDS[sid[:2]])
        if isinstance(row, Worker | TaskQueue | Workflow):
            return place, row
    return None  # the others were deleted meanwhile


def placed(
    state: State, task: Task, number: int, row: Worker | TaskQueue, now: int
) -> Task:
    """Return the task as it is at a link that is no workflow."""
    queue_sid = row.sid if isinstance(row, TaskQueue) else ""
    policies = policies_of(state, task.workspace_sid, queue_sid)
    moved = queue_sid != task.task_queue_sid
    return task.evolve(
        route=number,
        task_queue_sid=queue_sid,
        queue_entered_time=now if moved else task.queue_entered_time,
        step_filter=ROUTED,
        step_target=0,
        step_start=now,
        step_deadline=_due(task, number, row, now),
        skip_pending=False,
        refusals=refusals.kept(task, policies, moved=moved),
    )


def _due(task: Task, number: int, row: Worker | TaskQueue, now: int) -> int:
    """Return until when a task is at a link; 0: until somebody has it, or it ends."""
    link = task.routes[number]
    seconds = link.wait_seconds
    if isinstance(row, Worker) and not link.ignore_capacity:
        seconds = seconds or limits.ROUTE_WAIT_SECONDS_DEFAULT
    return now + seconds * limits.SECOND if seconds else 0


def send_to(decision: Decision, task: Task, queue: TaskQueue) -> Task:
    """Let a task wait in a queue until somebody has it, by one link more at most.

    What was to follow of its way is given up: the queue is for it now.
    """
    link = Route(queue.sid, 0, ignore_capacity=False)
    way = task.routes[: task.route + 1]
    if way[-1:] != (link,):
        way = (*way, link)
    return _take(decision, task.evolve(routes=way), len(way) - 1)


def begun_anew(task: Task, now: int) -> Task:
    """Return the task with the whole wait of its link before it."""
    link = current(task)
    seconds = 0 if link is None else link.wait_seconds
    due = now + seconds * limits.SECOND if seconds else 0
    return task.evolve(step_start=now, step_deadline=due)


def _take(decision: Decision, task: Task, number: int) -> Task:
    found = link_from(decision.state, task, number)
    if found is None:
        decision.emit("reservation.failed", task)
        return end_task(decision, task, "unplaceable", "RoutingTarget not available")
    number, row = found
    if isinstance(row, Workflow):
        return _to_workflow(decision, task, number, row)
    after = placed(decision.state, task, number, row, decision.now)
    before, task = task, decision.replace(task, after, "task.routed")
    steps.emit_moved(decision, before, task)
    if task.task_queue_sid:
        decision.emit("task-queue.entered", task)
    if isinstance(row, Worker) and task.routes[number].ignore_capacity:
        offers.make(decision, task, row, 1, Choice(rule="routing_target"))
    return decision.state.need(task.sid, Task)


def _to_workflow(
    decision: Decision, task: Task, number: int, workflow: Workflow
) -> Task:
    fresh = task.route == -1
    task = decision.change(
        task,
        route=number,
        workflow_sid=workflow.sid,
        workflow_revision_sid=workflow.revision_sid,
        step_filter=RESTART,
    )
    if fresh:
        steps.required_step(decision.state, task)
    return steps.reenter(decision, task)
