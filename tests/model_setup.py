"""The oracle's configuration: workspace, queues, workflows, workers."""

import json
from typing import Any

from tests.model_places import Places
from tests.model_rows import (
    FINISHED,
    HELD,
    NUMBERS,
    POLICIES,
    ROUTE,
    WORDS,
    ModelQueue,
    ModelWorker,
    ModelWorkflow,
    Plan,
    patched,
)


class Setup(Places):
    """Commands that change who and what there is."""

    # Workspace

    def update_workspace(
        self,
        semantics: str | None = None,
        policies: dict[str, Any] | None = None,
        prefers: str | None = None,
        default_activity: str | None = None,
        timeout_activity: str | None = None,
        vanished_queue: int | None = None,
    ) -> None:
        self._check_policies(policies or {}, queue=False)
        known = (None, *self.activities)
        self.need("default_activity", default_activity in known)
        self.need("timeout_activity", timeout_activity in known)
        there = [n for n, queue in enumerate(self.queues) if not queue.gone]
        self.need("vanished_queue", vanished_queue in (None, -1, *there))
        row = self.workspace
        if vanished_queue is not None:
            row.vanished_queue = vanished_queue
        row.semantics = semantics or row.semantics
        row.policies = row.policies if policies is None else policies
        row.prefers = prefers or row.prefers
        row.default_activity = default_activity or row.default_activity
        row.timeout_activity = timeout_activity or row.timeout_activity

    def _check_policies(self, policies: dict[str, Any], *, queue: bool) -> None:
        for name, value in policies.items():
            self.need(name, name in POLICIES)
            self.need(name, POLICIES[name][2] or not queue)
            if name in WORDS:
                self.need(name, value in WORDS[name])
            else:
                least, most = NUMBERS[name]
                self.need(name, least <= value <= most)

    # Queues

    def create_queue(
        self,
        expression: str,
        fan_out: int = 1,
        order: str = "FIFO",
        policies: dict[str, Any] | None = None,
    ) -> None:
        self._check_queue(expression, fan_out, policies or {})
        self.queues.append(ModelQueue(expression, fan_out, order, policies or {}))

    def update_queue(
        self,
        queue: int,
        expression: str | None = None,
        fan_out: int | None = None,
        order: str | None = None,
        policies: dict[str, Any] | None = None,
    ) -> None:
        row = self.find(self.queues, queue)
        self._check_queue(expression or "", fan_out or 0, policies or {})
        row.expression = row.expression if expression is None else expression
        row.fan_out = row.fan_out if fan_out is None else fan_out
        row.order = order or row.order
        row.policies = row.policies if policies is None else policies

    def _check_queue(
        self, expression: str, fan_out: int, policies: dict[str, Any]
    ) -> None:
        self.need("expression", self.readable(expression))
        self.need("max_reserved_workers", 0 <= fan_out <= 50)
        self._check_policies(policies, queue=True)

    def delete_queue(self, queue: int) -> None:
        row = self.find(self.queues, queue)
        named = self._led_to("queue")
        for plan in self.live_plans():
            named |= plan.queues()
        for task in self.open_tasks():
            named |= {task.queue}
        self.hold("queue", queue not in named)
        self.hold("queue", queue != self.workspace.vanished_queue)
        row.gone = True

    def _led_to(self, kind: str) -> set[int]:
        """Return what links further on, of tasks nobody has taken, lead to."""
        return {
            link.number
            for task in self.open_tasks()
            if task.status in ("pending", "reserved")
            for link in task.routes[task.route + 1 :]
            if link.kind == kind
        }

    # Workflows

    def create_workflow(
        self,
        filters: list[dict[str, Any]],
        default: dict[str, Any] | None,
        reservation_timeout: int,
        on_exhausted: str | int | None = None,
        callbacks: int = 0,
    ) -> None:
        plan = Plan(filters, default, on_exhausted)
        self._check_plan(plan)
        self.workflows.append(
            ModelWorkflow(
                [plan], reservation_timeout, next(self.sequence), callbacks=callbacks
            )
        )

    def update_workflow(
        self,
        workflow: int,
        filters: list[dict[str, Any]],
        default: dict[str, Any] | None,
        reservation_timeout: int,
        on_exhausted: str | int | None = None,
        *,
        re_evaluate: bool = False,
        callbacks: int | None = None,
    ) -> None:
        """Who waits stays in the revision it entered, unless asked to move."""
        row = self.find(self.workflows, workflow)
        plan = Plan(filters, default, on_exhausted)
        self._check_plan(plan)
        row.reservation_timeout = reservation_timeout
        row.callbacks = row.callbacks if callbacks is None else callbacks
        if plan != row.revisions[-1]:
            row.revisions.append(plan)
        if re_evaluate:
            row.re_evaluate = self.now + 10_000 if self.outdated(workflow) else 0

    def _check_plan(self, plan: Plan) -> None:
        for queue in plan.queues():
            known = 0 <= queue < len(self.queues) and not self.queues[queue].gone
            self.need("queue", known)
        ends = [plan.on_exhausted, *(row.get("on_exhausted") for row in plan.filters)]
        self.need("on_exhausted", bool(plan.default) or "default" not in ends)

    def delete_workflow(self, workflow: int) -> None:
        row = self.find(self.workflows, workflow)
        for task in self.open_tasks():
            self.hold("workflow", task.workflow != workflow)
        self.hold("workflow", workflow not in self._led_to("workflow"))
        row.gone, row.re_evaluate = True, 0

    def outdated(self, workflow: int) -> list[int]:
        """Return the tasks that a re-evaluation still has to take up."""
        current = self.workflows[workflow].current
        return [
            number
            for number, row in enumerate(self.tasks)
            if row.workflow == workflow
            and row.revision != current
            and row.status not in FINISHED
            and not row.gone
        ]

    # Workers

    def _is_called(self, name: str, but: ModelWorker | None) -> bool:
        others = [row for row in self.workers if row is not but and not row.gone]
        return name.casefold() in [row.name.casefold() for row in others]

    def create_worker(self, activity: str, attributes: str) -> None:
        self._check_worker(activity, f"worker {len(self.workers)}")
        self._add_worker(activity, attributes)

    def create_workers(self, workers: list[dict[str, Any]]) -> None:
        """Create all of them or none."""
        for number, fields in enumerate(workers, len(self.workers)):
            self._check_worker(fields["activity"], f"worker {number}")
        for fields in workers:
            self._add_worker(**fields)

    def _check_worker(self, activity: str, name: str) -> None:
        self.need("activity", not activity or activity in self.activities)
        self.refuse_taken(self._is_called(name, but=None))

    def _add_worker(self, activity: str, attributes: str) -> None:
        self.decided["branch", "default activity"] += not activity
        activity = activity or self.workspace.default_activity
        self.workers.append(
            ModelWorker(
                name=f"worker {len(self.workers)}",
                attributes=attributes,
                activity=activity,
                sequence=next(self.sequence),
                available_since=self.now if self.activities[activity] else 0,
                capacity=dict.fromkeys(self.channels, 1),
            )
        )
        self.emit("worker.created", len(self.workers) - 1)

    def update_worker(
        self,
        worker: int,
        *,
        activity: str | None = None,
        attributes: str | None = None,
        patch: dict[str, Any] | None = None,
        name: str | None = None,
        reject: bool = False,
        after_work: bool = False,
    ) -> None:
        row = self.find(self.workers, worker)
        if patch is not None:
            attributes = json.dumps(patched(json.loads(row.attributes), patch))
        self.refuse_taken(name is not None and self._is_called(name, but=row))
        self.need("activity", activity is None or activity in self.activities)
        # Offers are taken back only from somebody who leaves.
        leaves = activity is not None and not self.activities[activity]
        self.need("reject", leaves or not reject)
        self.need("after work", activity is not None or not after_work)
        if name not in (None, row.name):
            row.name = name
            self.emit("worker.updated", worker)
        if attributes is not None and json.loads(attributes) != json.loads(
            row.attributes
        ):
            row.attributes = attributes
            self.emit("worker.attributes.update", worker)
        if activity is None:
            self.stir(worker)
        elif after_work:
            self.place_after_work(worker, activity)
        else:
            self.place(worker, activity)
        if reject:
            self._take_back(worker)

    def _take_back(self, worker: int) -> None:
        """Reject what the worker has now; what comes of that may be offered again."""
        offers = [
            number
            for number, row in enumerate(self.reservations)
            if (row.worker, row.status) == (worker, "pending") and not row.gone
        ]
        for number in offers:
            self.end_offer(number, "reject", "rejected")

    def delete_worker(self, worker: int) -> None:
        row = self.find(self.workers, worker)
        held = [
            other
            for other in self.reservations
            if other.worker == worker and other.status in HELD and not other.gone
        ]
        self.hold("worker", not held)
        waiting = [
            number
            for number, task in enumerate(self.tasks)
            if task.status == "pending" and not task.gone and task.step[0] == ROUTE
            if (task.routes[task.route].kind, task.routes[task.route].number)
            == ("worker", worker)
        ]
        self.hold("worker", len(waiting) <= self.limits["SENT_ON_MAX"])
        row.gone = True
        self.emit("worker.deleted", worker)
        for number in waiting:
            self.decided["branch", "sent on"] += 1
            self.take_link(number, self.tasks[number].route + 1)

    def update_channel(
        self,
        worker: int,
        channel: str,
        capacity: int | None = None,
        available: bool | None = None,
    ) -> None:
        row = self.find(self.workers, worker)
        self.need("channel", channel in self.channels)
        self.need("capacity", capacity is None or 0 <= capacity <= 50)
        if capacity is not None:
            row.capacity[channel] = capacity
        if available is not None:
            row.closed = row.closed - {channel} if available else row.closed | {channel}
        self.stir(worker)
