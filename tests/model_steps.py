"""The oracle's walk: through a workflow, through a routing target, and out of both."""

import re
from typing import Any

from flexcore.domain.expressions import Context, parse
from tests.model_rows import (
    DEFAULT,
    EVERYBODY,
    EXHAUSTED,
    FINISHED,
    HELD,
    ROUTE,
    SECOND,
    Link,
    ModelTask,
    Plan,
)
from tests.model_world import World

Step = tuple[int, int]
#: how long a worker named by a routing target is waited for
ROUTE_WAIT = 120


class Steps(World):
    """Which step comes after which, and what entering and ending does."""

    # Which step

    def plan(self, task: ModelTask) -> Plan:
        return self.workflows[task.workflow].revisions[task.revision]

    def _filter(self, task: ModelTask, start: int) -> Step | None:
        """Return the first step of the first filter from `start` on that is true."""
        attributes = self.values(task)
        for number, row in enumerate(self.plan(task).filters):
            text = row["expression"]
            if number >= start and (
                text is None
                or parse(text, Context.TASK, dialect=self.dialect).evaluate(attributes)
            ):
                return number, 0
        return None

    def _default(self, task: ModelTask) -> Step | None:
        return (DEFAULT, 0) if self.plan(task).default else None

    def top(self, task: ModelTask) -> Step | None:
        return self._filter(task, 0) or self._default(task)

    def _after_timeout(self, task: ModelTask) -> Step | None:
        number, place = task.step
        if number < 0:
            return None
        if place + 1 < len(self.plan(task).filters[number]["targets"]):
            return number, place + 1
        return self._filter(task, number + 1)

    def _after_skip(self, task: ModelTask) -> Step | None:
        if task.step[0] < 0:
            return None
        return self._after_timeout(task) or self._default(task)

    def _queue_of(self, task: ModelTask, step: Step) -> int:
        """Return the queue of a step: its own, or that of a target before it."""
        number, place = step
        plan = self.plan(task)
        if number == DEFAULT:
            return int((plan.default or {})["queue"])
        targets = plan.filters[number]["targets"][: place + 1]
        named = [row["queue"] for row in targets if row.get("queue") is not None]
        return int(named[-1])

    # Entering

    def begin(self, task: int) -> None:
        """Enter the workflow at its top, as old as the task is."""
        row = self.tasks[task]
        self.emit("workflow.entered", task)
        step = self.top(row)
        assert step is not None
        self.enter(task, step, self._queue_of(row, step), row.created)

    def enter(self, task: int, step: Step, queue: int, start: int) -> None:
        """Enter a step; one that is over already, by the clock `age`, is left at once."""
        self._enter(task, step, queue, start)
        if self.tasks[task].passing:
            self.leave_step(task)

    def _enter(self, task: int, step: Step, queue: int, start: int) -> None:
        row = self.tasks[task]
        row.step = step
        self.move(task, queue)
        target = self.target(row)
        if target.get("priority") is not None:
            row.priority = target["priority"]
        row.step_start = start if self.ask("step_clock") == "age" else self.now
        timeout = target.get("timeout") or 0
        row.step_deadline = row.step_start + timeout * SECOND if timeout else 0
        row.skip_pending = bool(target.get("skip_if"))
        self.emit("task-queue.entered", task)
        self.emit("workflow.target-matched", task)
        if self.wants_in_vain(row):
            self.emit("workflow.known-worker-missing", task)
        row.passing = 0 < row.step_deadline <= self.now
        self.decided["branch", "entered too late"] += row.passing

    def move(self, task: int, queue: int) -> None:
        """Begin another step, in this queue; refusals may count for so long only."""
        row = self.tasks[task]
        before, row.queue = row.queue, queue
        scope = self.policy("refusal_scope", queue)
        if scope in ("none", "step") or (scope == "queue" and before != queue):
            self.decided["branch", f"refusals end with {scope}"] += bool(row.refusals)
            row.refusals = {}
        if before != queue:
            row.queue_entered = self.now
        if before != queue and EVERYBODY not in (before, queue):
            self.emit("task-queue.moved", task)

    def begin_step_anew(self, task: int) -> None:
        """Give a task that comes back the whole time of its step, or of its link."""
        row = self.tasks[task]
        if row.step[0] == ROUTE:
            wait, row.step_start = row.routes[row.route].wait, self.now
        else:
            wait = self.target(row).get("timeout") or 0
            row.skip_pending = bool(self.target(row).get("skip_if"))
            if self.ask("step_clock") == "step":
                row.step_start = self.now
        row.step_deadline = row.step_start + wait * SECOND if wait else 0

    # Leaving

    def leave_step(self, task: int) -> None:
        """Go on from a step, or a link, that timed out; past so many at once."""
        row = self.tasks[task]
        for _ in range(self.limits["STEPS_AT_ONCE"]):
            row.passing = False
            self.emit("task-queue.timeout", task)
            if row.step[0] == ROUTE:
                self.take_link(task, row.route + 1)
                return
            step = self._after_timeout(row)
            if not step:
                self.exhaust(task, row.step[0])
                return
            self._enter(task, step, self._queue_of(row, step), row.step_deadline)
            if not row.passing:
                return
        self.decided["branch", "passing steps one by one"] += 1

    def exhaust(self, task: int, number: int, *, matched: bool = True) -> None:
        """Do what filter, document or policy say about the end of a workflow."""
        row = self.tasks[task]
        self.emit("workflow.exhausted", task)
        plan = self.plan(row)
        action: Any = plan.filters[number].get("on_exhausted") if number >= 0 else None
        owner = -1 if action is None else number
        action = plan.on_exhausted if action is None else action
        action = self.ask("on_exhausted") if action is None else action
        if isinstance(action, int):
            self.decided["branch", "exhausted into a queue"] += 1
            self.enter(task, (EXHAUSTED, owner), action, self.now)
            return
        step = None
        if action != "cancel":
            step = self._default(row) if action == "default" else self.top(row)
        self.decided["branch", f"exhausted, {action if step else 'cancel'}"] += 1
        if step:
            self.enter(task, step, self._queue_of(row, step), self.now)
        elif not matched:
            self.cancel(task, "unmatched", "No filter matched")
        else:
            self.emit("workflow.timeout", task)
            self.cancel(task, "exhaust", "Workflow timed out")

    def skip_or_stay(self, task: int) -> None:
        """Ask a task that found nobody on entering its step whether it goes on."""
        row = self.tasks[task]
        row.skip_pending = False
        text = self.target(row)["skip_if"]
        if not self._skips(row, text):
            self.decided["branch", "not skipped"] += 1
            self.emit("workflow.step-kept", task)
        elif step := self._after_skip(row):
            self.decided["branch", "skipped"] += 1
            start = row.step_deadline or row.step_start
            if step[0] != row.step[0]:
                self.decided["branch", "skipped out of its filter"] += 1
                start = row.step_start - self._spent(row) * SECOND
            self.enter(task, step, self._queue_of(row, step), start)
        else:
            self.emit("workflow.skipped", task)
            self.cancel(task, "skip", "Workflow skipped")

    def _spent(self, task: ModelTask) -> int:
        """Add up the timeouts of the targets of a filter that a task is past."""
        number, place = task.step
        targets = self.plan(task).filters[number]["targets"][:place]
        return sum(target.get("timeout") or 0 for target in targets)

    def _skips(self, task: ModelTask, text: str) -> bool:
        """Evaluate skip_if over the members of the queue, by what they do."""
        numbers = range(len(self.workers))
        members = [number for number in numbers if self.eligible(task.queue, number)]
        doing = [self.workers[number].activity for number in members]
        counts = {activity_sid(name): doing.count(name) for name in self.activities}
        counts["available"] = sum(self.available(number) for number in members)
        counts["unavailable"] = len(members) - counts["available"]
        text = re.sub(r"\{([\w ]+)\}", lambda name: activity_sid(name[1]), text)
        return parse(text, Context.SKIP, dialect=self.dialect).evaluate(counts)

    # Routing targets

    def take_link(self, task: int, place: int) -> None:
        """Go to a link of the routing target; behind the last one is the end."""
        row = self.tasks[task]
        if place == len(row.routes):
            self.emit("reservation.failed", task)
            self.cancel(task, "unplaceable", "RoutingTarget not available")
            return
        link = row.routes[place]
        rows: list[Any] = getattr(self, link.kind + "s")
        if rows[link.number].gone:
            self.decided["link", "gone"] += 1
            self.take_link(task, place + 1)
            return
        self.decided["link", link.kind + " at once" * bool(link.ignore_capacity)] += 1
        row.route, row.step = place, (ROUTE, 0)
        row.skip_pending = False
        getattr(self, f"_to_{link.kind}")(task, link)

    def _to_worker(self, task: int, link: Link) -> None:
        row = self.tasks[task]
        self.move(task, EVERYBODY)
        self.emit("task.routed", task)
        row.step_start, row.step_deadline = self.now, 0
        if link.ignore_capacity:
            self.offer(task, [link.number], 1)
        else:
            row.step_deadline = self.now + (link.wait or ROUTE_WAIT) * SECOND

    def _to_queue(self, task: int, link: Link) -> None:
        """Wait in a queue, as long as the link says."""
        row = self.tasks[task]
        self.move(task, link.number)
        self.emit("task.routed", task)
        row.step_start = self.now
        row.step_deadline = self.now + link.wait * SECOND if link.wait else 0
        self.emit("task-queue.entered", task)

    def _to_workflow(self, task: int, link: Link) -> None:
        row = self.tasks[task]
        row.workflow = link.number
        row.revision = self.workflows[link.number].current
        self.begin_or_exhaust(task)

    def begin_or_exhaust(self, task: int) -> None:
        """Enter the workflow, or leave it at once when no filter takes the task."""
        if self.top(self.tasks[task]):
            self.begin(task)
        else:
            self.exhaust(task, DEFAULT, matched=False)

    # Ending

    def emit(self, event: str, number: int) -> None:
        self.events.append((event, number))

    def turn(self, machine: str, number: int, cause: str, status: str) -> None:
        """Change a status; the end of an open reservation gives the worker room."""
        rows: list[Any] = self.tasks if machine == "task" else self.reservations
        row = rows[number]
        self.fired[machine, row.status, cause] += 1
        row.status = status
        if machine == "reservation" and status not in HELD:
            self.workers[row.worker].released[row.channel] = self.now
            self.work_ended(row.worker)

    def held(self, task: int, *statuses: str) -> list[int]:
        """Return the reservations of a task in these statuses, the oldest first."""
        return [
            number
            for number, row in enumerate(self.reservations)
            if row.task == task and row.status in statuses and not row.gone
        ]

    def cancel(self, task: int, cause: str, reason: str) -> None:
        row = self.tasks[task]
        self.turn("task", task, cause, "canceled")
        row.reason, row.step_deadline, row.hold = reason, 0, 0
        self.emit("task.canceled", task)
        self.keep(task)
        for number in self.held(task, "pending"):
            self.turn("reservation", number, "cancel", "canceled")
            self.emit("reservation.canceled", number)

    def keep(self, task: int) -> None:
        """Set when a finished task is removed, if ever."""
        row = self.tasks[task]
        seconds = self.ask("retention_seconds")
        row.limit, row.purge = 0, self.now + seconds * SECOND if seconds else 0
        row.skip_pending = False

    def remove(self, task: int, event: str) -> None:
        """Remove a task with its reservations for good; open ones end first.

        What is left of one that was offered very often is finished, and goes next.
        """
        row = self.tasks[task]
        waits = row.status in ("pending", "reserved")
        cause, status = ("cancel", "canceled") if waits else ("complete", "completed")
        for number in self.held(task, *HELD):
            self.turn("reservation", number, cause, status)
            self.emit(f"reservation.{status}", number)
        left = [one for one in self.reservations if one.task == task and not one.gone]
        for one in left[: self.limits["REMOVED_AT_ONCE"]]:
            one.gone = True
        row.gone = left == [] or left[-1].gone
        purging = event == "task.purged" and not row.gone
        self.emit("task.purging" if purging else event, task)
        if not row.gone:
            self.decided["branch", "removed in steps"] += 1
            row.status = row.status if row.status in FINISHED else status
            row.step_deadline = row.limit = 0
            row.skip_pending, row.purge = False, self.now

    def offer(self, task: int, workers: list[int], candidates: int) -> None:
        raise NotImplementedError

    def work_ended(self, worker: int) -> None:
        raise NotImplementedError


def activity_sid(name: str) -> str:
    """Return what stands for the sid of an activity."""
    return "WA" + name.encode().hex().ljust(32, "0")
