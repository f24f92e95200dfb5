"""The oracle's work: tasks created, changed, claimed, wrapped up, completed, removed."""

import json
from dataclasses import replace
from typing import Any

from tests.model_rows import (
    ANEW,
    FINISHED,
    HELD,
    ROUTE,
    SECOND,
    Link,
    ModelTask,
    patched,
)
from tests.model_setup import Setup

ROUTES_MAX = 10


class Tasks(Setup):
    """Commands about tasks."""

    # Beginning

    def create_task(self, **fields: Any) -> None:
        self._check_task(**fields)
        self._add_task(**fields)

    def create_tasks(self, tasks: list[dict[str, Any]]) -> None:
        """Create all of them or none."""
        for fields in tasks:
            self._check_task(**fields)
        for fields in tasks:
            self._add_task(**fields)

    def _check_task(
        self,
        *,
        workflow: int,
        channel: str,
        attributes: str,
        priority: int,
        timeout: int,
        start: int | None = None,
        routes: tuple[dict[str, Any], ...] = (),
    ) -> None:
        self._check_routes(routes)
        workflow = self._workflow(workflow, routed=bool(routes))
        self.need("channel", channel in self.channels)
        self.need("start", start is None or start <= self.now)
        self.need("priority", 0 <= priority < 2**31)
        self.need("timeout", 0 <= timeout <= 14 * 86_400)
        if routes and routes[0]["kind"] == "workflow":
            workflow = routes[0]["number"]
        elif routes:
            return
        self._need_entry(workflow, self.workflows[workflow].current, attributes)

    def _check_routes(self, routes: tuple[dict[str, Any], ...]) -> None:
        self.need("routes", len(routes) <= ROUTES_MAX)
        for place, link in enumerate(Link(**fields) for fields in routes):
            rows: Any = getattr(self, link.kind + "s")
            known = 0 <= link.number < len(rows) and not rows[link.number].gone
            last = place + 1 == len(routes)
            self.need("routes", known and (link.kind != "workflow" or last))
            waits = link.kind != "workflow" and not link.ignore_capacity
            self.need("wait", waits or not link.wait)
            self.need("at once", link.kind == "worker" or not link.ignore_capacity)

    def _spelled_out(self, link: Link) -> Link:
        """Settle whether a link ignores capacity, once and for all."""
        if link.ignore_capacity is not None:
            return link
        ignores = link.kind == "worker" and not link.wait
        ignores = ignores and self.ask("direct_ignore_capacity")
        return replace(link, ignore_capacity=ignores)

    def _workflow(self, workflow: int, *, routed: bool) -> int:
        """Return the workflow named, or the only one; a routed task may have none."""
        if workflow >= 0:
            self.find(self.workflows, workflow)
            return workflow
        there = [n for n, row in enumerate(self.workflows) if not row.gone]
        self.need("workflow", routed or len(there) == 1)
        return there[0] if len(there) == 1 else -1

    def _need_entry(self, workflow: int, revision: int, attributes: str) -> None:
        """Refuse attributes that no filter takes."""
        task = self._task(
            workflow=workflow, revision=revision, channel="", attributes=attributes
        )
        self.need("attributes", self.top(task) is not None)

    def _task(
        self,
        *,
        workflow: int,
        revision: int,
        channel: str,
        attributes: str,
        priority: int = 0,
        timeout: int = 0,
        start: int | None = None,
        sequence: int = 0,
    ) -> ModelTask:
        return ModelTask(
            workflow=workflow,
            revision=revision,
            channel=channel,
            attributes=attributes,
            priority=priority,
            start=self.now if start is None else start,
            created=self.now,
            queue_entered=self.now,
            timeout=timeout or 86_400,
            deadline=self.now + (timeout or 86_400) * SECOND,
            sequence=sequence,
        )

    def _add_task(
        self,
        *,
        workflow: int,
        channel: str,
        attributes: str,
        priority: int,
        timeout: int,
        start: int | None = None,
        routes: tuple[dict[str, Any], ...] = (),
    ) -> None:
        number = len(self.tasks)
        workflow = self._workflow(workflow, routed=bool(routes))
        revision = self.workflows[workflow].current if workflow >= 0 else 0
        sequence = next(self.sequence)
        row = self._task(
            workflow=workflow,
            revision=revision,
            channel=channel,
            attributes=attributes,
            priority=priority,
            timeout=timeout,
            start=start,
            sequence=sequence,
        )
        row.routes = [self._spelled_out(Link(**fields)) for fields in routes]
        self.tasks.append(row)
        self.emit("task.created", number)
        if routes:
            self.take_link(number, 0)
        else:
            self.begin(number)

    # Changing

    def update_task(
        self,
        task: int,
        attributes: str | None = None,
        patch: dict[str, Any] | None = None,
        priority: int | None = None,
        channel: str | None = None,
        start: int | None = None,
    ) -> None:
        """Change an open task; one nobody has and that differs enters its workflow anew."""
        row = self.find(self.tasks, task)
        self.hold("status", row.status not in FINISHED)
        self.need("priority", priority is None or 0 <= priority < 2**31)
        self.need("start", start is None or start <= self.now)
        self.need("channel", channel is None or channel in self.channels)
        self.hold("channel", channel in (None, row.channel) or row.status == "pending")
        before = (json.loads(row.attributes), row.channel)
        after = attributes or row.attributes
        if patch is not None:
            after = json.dumps(patched(json.loads(after), patch))
        waits = row.status in ("pending", "reserved") and row.step[0] != ROUTE
        anew = waits and before != (json.loads(after), channel or row.channel)
        if anew:
            fits = self.top(replace(row, attributes=after)) is not None
            self.need("attributes", fits)
        was = replace(row, attributes=json.loads(row.attributes))
        row.attributes, row.channel = after, channel or row.channel
        ranked = waits and self.target(row).get("priority") is not None
        if priority is not None and (anew or not ranked):
            row.priority = priority
        self.decided["branch", "ranked by its step"] += priority is not None and ranked
        if start is not None:
            row.start = start
        if was != replace(row, attributes=json.loads(after)):
            self.emit("task.updated", task)
            for number in self.held(task, *HELD):
                self.emit("reservation.task-updated", number)
        if anew and row.status == "pending":
            self.decided["branch", "entered anew"] += 1
            self.begin(task)
        elif anew:
            self.decided["branch", "entered anew later"] += 1
            row.step = (ANEW, row.step[1])

    # Ending

    def cancel_task(self, task: int, reason: str = "") -> None:
        self.allow(self.tasks, task, "pending", "reserved")
        self.cancel(task, "cancel", reason)

    def delete_task(self, task: int) -> None:
        self.find(self.tasks, task)
        self.remove(task, "task.deleted")

    def wrap_task(self, task: int, reason: str = "") -> None:
        row = self.allow(self.tasks, task, "assigned")
        self._stir_holders(task)
        self._follow(task, "wrap", "wrapping", "wrapup")
        row.reason = reason or row.reason
        seconds = self.ask("wrap_limit_seconds", row.queue)
        row.limit = self.now + seconds * SECOND if seconds else 0

    def wrap_reservation(self, reservation: int) -> None:
        row = self.allow(self.reservations, reservation, "accepted")
        self.wrap_task(row.task)

    def complete_task(
        self,
        task: int,
        reason: str = "",
        disposition: str = "",
        patch: dict[str, Any] | None = None,
    ) -> None:
        row = self.allow(self.tasks, task, "assigned", "wrapping")
        self._stir_holders(task)
        row.disposition = disposition or row.disposition
        if patch is not None:
            row.attributes = json.dumps(patched(json.loads(row.attributes), patch))
        self._complete(task, reason)

    def complete_reservation(self, reservation: int, **fields: Any) -> None:
        row = self.allow(self.reservations, reservation, "accepted", "wrapping")
        self.complete_task(row.task, **fields)

    def _complete(self, task: int, reason: str) -> None:
        self._follow(task, "complete", "completed", "completed")
        self.tasks[task].reason = reason or self.tasks[task].reason
        self.keep(task)

    def _stir_holders(self, task: int) -> None:
        for number in self.held(task, *HELD):
            self.stir(self.reservations[number].worker)

    def _follow(self, task: int, cause: str, status: str, event: str) -> None:
        self.turn("task", task, cause, status)
        self.emit(f"task.{event}", task)
        for number in self.held(task, *HELD):
            self.turn("reservation", number, cause, status)
            self.emit(f"reservation.{event}", number)

    # Claiming

    def claim_task(self, task: int, worker: int) -> None:
        """Let a worker take a waiting task unasked, if it could be offered it."""
        row = self.allow(self.tasks, task, "pending")
        found = self.find(self.workers, worker)
        back, activity = found.away_from, found.activity
        found.activity = back or activity
        able = self.able(row, worker)
        found.activity = activity
        self.hold("eligible", able)
        self.stir(worker)
        row.assignments += 1
        reservation = self.reserve(task, worker, candidates=1, asked=False)
        self.win(reservation, "claim")

    # Time

    def expire_task(self, task: int) -> None:
        """Act on what is due of a task: its own end, that of its step or of a refusal."""
        row = self.tasks[task]
        if row.status in FINISHED:
            self.remove(task, "task.purged")
        elif row.status in ("pending", "reserved") and row.deadline <= self.now:
            # Whatever became of the step while nobody looked.
            self.cancel(task, "expire", "Task TTL Exceeded")
        elif row.status == "pending":
            if 0 < row.hold <= self.now:
                row.hold = 0
                self.emit("task.hold-expired", task)
            if self.forget_refusals(task):
                self.emit("task.refusal-expired", task)
            if 0 < row.step_deadline <= self.now:
                self.leave_step(task)
        elif row.status == "assigned":
            self.remove(task, "task.system-deleted")
        elif self.ask("auto_complete", row.queue):
            self._complete(task, "Wrap-up limit reached")
        else:
            row.limit = 0
            self.emit("task.wrapup-overdue", task)

    def re_evaluate(self, workflow: int) -> None:
        """Take up the next few tasks of earlier revisions."""
        row = self.workflows[workflow]
        most = self.limits["RE_EVALUATE_TASKS"]
        for number in self.outdated(workflow)[:most]:
            task = self.tasks[number]
            task.revision = row.current
            if task.step[0] == ROUTE:
                continue
            if task.status == "pending":
                self.decided["branch", "re-evaluated"] += 1
                self.begin_or_exhaust(number)
            elif task.status in ("reserved", "assigned"):
                self.decided["branch", "re-evaluated later"] += 1
                task.step = (ANEW, task.step[1])
        row.re_evaluate = self.now + 10_000 if self.outdated(workflow) else 0
