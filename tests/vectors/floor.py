"""A workspace with its people and work, on the deciding core itself, in virtual time.

Everything has a name: workers `A` and `B`, queue `Q`, task `T`. A floor opens with the
task channel voice, queue `Q` that everybody serves, and a workflow that leads there and
gives 120 seconds to answer.
"""

import json
import random
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import FlexcoreError
from flexcore.domain.ids import Ids
from flexcore.domain.limits import SECOND
from flexcore.domain.model import (
    Activity,
    Reservation,
    Row,
    Task,
    TaskChannel,
    Worker,
    Workflow,
)
from flexcore.domain.parts import Route
from flexcore.engine import commands as c
from flexcore.engine.decider import Decided, Decider, handlers
from flexcore.engine.state import State
from flexcore.engine.vault import Vault

ACCOUNT = "AC" + "1" * 32

R = TypeVar("R", bound=Row)

#: what is seen of a scenario, in words
Seen: TypeAlias = dict[str, Any]
#: one step of a workflow: its queue by name, and what else a target may say
Step: TypeAlias = dict[str, Any]


def step(queue: str = "", **fields: Any) -> Step:
    """Return a step; without a queue it stays in that of the step before."""
    return {"queue": queue, **fields} if queue else fields


def refusal(act: Callable[[], object]) -> str:
    """Return with which code and reason something is refused, or `taken`."""
    try:
        act()
    except FlexcoreError as error:
        return f"{error.kind.name} {error.reason.name}"
    return "taken"


class Floor:
    """Commands in, offers out; nothing happens by itself but by `wait`."""

    def __init__(self, semantics: str, **policies: Any) -> None:
        self.clock = VirtualClock()
        self._ids = Ids(self.clock, random.Random(1))
        self.decider = self._decider_of(State(ACCOUNT))
        self.principal = c.Principal(ACCOUNT, "SK1")
        self._sids: dict[str, str] = {}
        #: what happened to which sid, in order
        self._events: list[tuple[str, str]] = []
        self._workflow = ""
        workspace = c.CreateWorkspace(
            friendly_name="floor", semantics=semantics, policies=policies
        )
        self._workspace = self.do(workspace)[0].sid
        for activity in self.state.of_kind(Activity):
            self._sids[activity.friendly_name] = activity.sid
        for channel in self.state.of_kind(TaskChannel):
            self._sids[channel.unique_name] = channel.sid
        self.add_channel("voice")
        self.add_queue("Q")
        self.lead(step("Q"))

    def _decider_of(self, state: State) -> Decider:
        return Decider(state, self._ids, handlers(Vault(bytes(32), self._ids)))

    @property
    def state(self) -> State:
        return self.decider.state

    def sid(self, name: str) -> str:
        return self._sids[name]

    def do(self, command: c.Command) -> tuple[Row, ...]:
        """Decide a command now, whatever became due, and what it makes due at once."""
        now = self.clock.now()
        late = self.decider.due(now)
        decided = self._follow(self.decider.decide(self.principal, command, now))
        while self.decider.matching.pending:
            self._follow(self.decider.decide(self.principal, c.Tick(), now))
        if not late:
            self.expire()
        return decided.rows

    def _follow(self, decided: Decided) -> Decided:
        if decided.commit is not None and decided.commit.change_set is not None:
            events = decided.commit.change_set.events
            self._events += ((event.type, event.sid) for event in events)
        return decided

    # time

    def wait(self, seconds: float) -> None:
        """Let time pass; what becomes due on the way is decided when it is due."""
        until = self.clock.now() + int(seconds * SECOND)
        while (first := self.decider.deadlines.first()) and first[0] <= until:
            self.clock.advance(max(0, first[0] - self.clock.now()))
            self.expire()
        self.clock.advance(until - self.clock.now())

    def arrive(self, seconds: float) -> None:
        """Let time pass, and leave to the caller what comes first of what is due."""
        self.clock.advance(int(seconds * SECOND))

    def expire(self) -> None:
        """Decide what has become due."""
        now = self.clock.now()
        while self.decider.due(now):
            self._follow(self.decider.expire_next(now))
            self.do(c.Tick())

    # the workspace

    def add_channel(self, name: str, **fields: Any) -> None:
        self._add(
            name,
            c.CreateTaskChannel(
                workspace_sid=self._workspace,
                unique_name=name,
                friendly_name=name,
                **fields,
            ),
        )

    def update_task_channel(self, name: str, **changes: Any) -> None:
        self.do(c.UpdateTaskChannel(sid=self._sids[name], **changes))

    def add_queue(self, name: str, target_workers: str = "1==1", **fields: Any) -> None:
        self._add(
            name,
            c.CreateTaskQueue(
                workspace_sid=self._workspace,
                friendly_name=name,
                target_workers=target_workers,
                **fields,
            ),
        )

    def update_queue(self, name: str, **changes: Any) -> None:
        self.do(c.UpdateTaskQueue(sid=self._sids[name], **changes))

    def delete_workflow(self, name: str) -> None:
        self.do(c.DeleteWorkflow(sid=self._sids[name]))

    def delete_queue(self, name: str) -> None:
        self.do(c.DeleteTaskQueue(sid=self._sids[name]))

    def update_workspace(self, **changes: Any) -> None:
        self.do(c.UpdateWorkspace(sid=self._workspace, **changes))

    def add_activity(self, name: str, *, available: bool) -> None:
        self._add(
            name,
            c.CreateActivity(
                workspace_sid=self._workspace, friendly_name=name, available=available
            ),
        )

    def lead(self, *steps: Step, default: str = "", name: str = "") -> str:
        """Lead tasks through steps from now on; return the workflow's name."""
        return self.lead_by(("1==1", steps), default=default, name=name)

    def lead_by(
        self, *filters: tuple[str, tuple[Step, ...]], default: str = "", name: str = ""
    ) -> str:
        """Lead tasks by the first filter that matches from now on."""
        self._workflow = name or f"workflow {len(self._sids)}"
        create = c.CreateWorkflow(
            workspace_sid=self._workspace,
            friendly_name=self._workflow,
            configuration=self._document(filters, default),
            task_reservation_timeout_seconds=120,
        )
        self._add(self._workflow, create)
        return self._workflow

    def update_workflow(self, name: str, *steps: Step, **changes: Any) -> None:
        """Change where a workflow leads, for tasks to come."""
        configuration = self._document((("1==1", steps),), "")
        update = c.UpdateWorkflow(
            sid=self._sids[name], configuration=configuration, **changes
        )
        self.do(update)

    def exhaust(self, name: str, action: str | dict[str, str]) -> None:
        """Say what becomes of tasks to come that are through with a workflow."""
        text = self.row(name, Workflow).configuration
        document = json.loads(text)
        document["task_routing"]["on_exhausted"] = action
        configuration = json.dumps(document)
        self.do(c.UpdateWorkflow(sid=self._sids[name], configuration=configuration))

    def _document(
        self, filters: tuple[tuple[str, tuple[Step, ...]], ...], default: str
    ) -> str:
        routing: dict[str, Any] = {
            "filters": [
                {"expression": expression, "targets": list(map(self._target, steps))}
                for expression, steps in filters
            ]
        }
        if default:
            routing["default_filter"] = self._target(step(default))
        return json.dumps({"task_routing": routing})

    def _target(self, fields: Step) -> Step:
        if "queue" not in fields:
            return fields
        return {**fields, "queue": self._sids[fields["queue"]]}

    def delete_activity(self, name: str) -> None:
        self.do(c.DeleteActivity(sid=self._sids[name]))

    # people

    def staff(self, *names: str) -> None:
        """Hire people who are free; each has had a call, in this order, a minute ago."""
        for name in names:
            self.hire(name)
        tasks = [f"the call {name} had" for name in names]
        for name, task in zip(names, tasks, strict=True):
            self.wait(1)
            self.add_task(task)
            self.accept(name)
        for task in tasks:
            self.wait(1)
            self.complete(task)
        self.wait(60)

    def hire(self, name: str, activity: str = "Available", **attributes: Any) -> None:
        self._add(
            name,
            c.CreateWorker(
                workspace_sid=self._workspace,
                friendly_name=name,
                activity=activity,
                attributes=json.dumps(attributes),
            ),
        )

    def dismiss(self, name: str) -> None:
        self.do(c.DeleteWorker(sid=self._sids[name]))

    def update_worker(self, name: str, **changes: Any) -> None:
        self.do(c.UpdateWorker(sid=self._sids[name], **changes))

    def go(self, name: str, activity: str) -> None:
        """Change a worker's activity."""
        self.update_worker(name, activity=activity)

    def describe(self, name: str, **attributes: Any) -> None:
        """Replace a worker's attributes."""
        self.update_worker(name, attributes=json.dumps(attributes))

    def note(self, cause: str, *names: str) -> None:
        """Say what became of who vouches for workers."""
        sids = tuple(self._sids[name] for name in names)
        self.do(c.NotePresence(cause=cause, worker_sids=sids))

    def update_channel(self, name: str, channel: str, **changes: Any) -> None:
        """Change capacity or availability of a worker on a task channel."""
        self.do(
            c.UpdateWorkerChannel(
                worker_sid=self._sids[name], task_channel=channel, **changes
            )
        )

    # work

    def add_task(
        self,
        name: str = "T",
        *,
        channel: str = "voice",
        workflow: str = "",
        **fields: Any,
    ) -> None:
        """Create a task in the workflow last made; attributes as a dict."""
        fields["attributes"] = json.dumps(fields.get("attributes", {}))
        self._add(
            name,
            c.CreateTask(
                workspace_sid=self._workspace,
                workflow_sid=self._sids[workflow or self._workflow],
                task_channel=channel,
                **fields,
            ),
        )

    def add_direct_task(
        self, worker: str, *, ignore_capacity: bool | None = None
    ) -> None:
        """Create a task `T` that only one worker may have."""
        self.add_task(routes=(Route(self._sids[worker], 0, ignore_capacity),))

    def update_task(self, name: str = "T", **changes: Any) -> None:
        self.do(c.UpdateTask(sid=self._sids[name], **changes))

    def cancel(self, name: str = "T") -> None:
        self.do(c.CancelTask(sid=self._sids[name]))

    def wrap(self, name: str = "T") -> None:
        self.do(c.WrapTask(sid=self._sids[name]))

    def complete(self, name: str = "T") -> None:
        self.do(c.CompleteTask(sid=self._sids[name]))

    def accept(self, worker: str) -> None:
        """Let a worker take what they were offered last."""
        self.do(c.AcceptReservation(sid=self._last_offer(worker).sid))

    def reject(self, worker: str, activity: str = "") -> None:
        """Let a worker decline what they were offered last."""
        sid = self._last_offer(worker).sid
        self.do(c.RejectReservation(sid=sid, activity=activity))

    def claim(self, worker: str, task: str = "T") -> None:
        """Let a worker take a task unasked."""
        self.do(c.ClaimTask(sid=self._sids[task], worker_sid=self._sids[worker]))

    def _last_offer(self, worker: str) -> Reservation:
        return self._sorted("worker_sid", worker)[-1]

    def _sorted(self, field: str, name: str) -> list[Reservation]:
        rows = self.state.of_kind(Reservation)
        found = (row for row in rows if getattr(row, field) == self._sids[name])
        return sorted(found, key=lambda row: row.order)

    def _add(self, name: str, command: c.Command) -> None:
        # Named at once: what it causes may already speak of it.
        self._sids[name] = self.do(command)[0].sid

    # looking

    def row(self, name: str, kind: type[R]) -> R:
        return self.state.need(self._sids[name], kind)

    def task(self, name: str = "T") -> Task:
        return self.row(name, Task)

    def status(self, name: str = "T") -> str:
        """Return a task's status with its reason, or `gone`."""
        task = self.state.find(self._sids[name], Task)
        if task is None:
            return "gone"
        return f"{task.status}: {task.reason}" if task.reason else task.status.value

    def offers(self, name: str = "T") -> list[str]:
        """Return who was offered a task, and what became of it."""
        return [
            f"{row.worker_name} {row.status}" for row in self._sorted("task_sid", name)
        ]

    def offered(self, worker: str) -> str:
        """Return the task a worker is being offered, or an empty text."""
        pending = [
            r for r in self._sorted("worker_sid", worker) if r.status == "pending"
        ]
        return self._name(pending[-1].task_sid) if pending else ""

    def queue(self, name: str = "T") -> str:
        """Return the queue a task is in."""
        return self._name(self.task(name).task_queue_sid)

    def step(self, name: str = "T") -> int:
        """Return which step of its filter a task is in, the first is 1."""
        return self.task(name).step_target + 1

    def left(self, name: str = "T") -> float:
        """Return how many seconds of its step a task has left."""
        return (self.task(name).step_deadline - self.clock.now()) / SECOND

    def activity(self, worker: str) -> str:
        return self._name(self.row(worker, Worker).activity_sid)

    def live(self, worker: str, channel: str, field: str) -> int:
        """Return a live value of a worker, 0 to 100, as expressions of steps see it.

        It is found by tasks for that worker which need so much and are offered or not.
        """
        least, most = 0, 100
        while least < most:
            middle = (least + most + 1) // 2
            if self._fits(worker, f"worker.channel.{channel}.{field} >= {middle}"):
                least = middle
            else:
                most = middle - 1
        return least

    def _fits(self, worker: str, expression: str) -> bool:
        if "probe" not in self._sids:
            self.add_channel("probe")
        workflow = self._workflow
        known = f"worker.sid == '{self._sids[worker]}'"
        self.lead(step("Q", expression=f"{known} AND {expression}"))
        name = self._workflow.replace("workflow", "probe")
        self.add_task(name, channel="probe")
        fits = bool(self.offers(name))
        self.cancel(name)
        self._workflow = workflow
        return fits

    def events(self, *types: str, name: str = "T") -> list[str]:
        """Return which of these events a task had, in the order they came."""
        sid = self._sids[name]
        return [each for each, of in self._events if of == sid and each in types]

    def _name(self, sid: str) -> str:
        return next(name for name, known in self._sids.items() if known == sid)


class ForgetfulFloor(Floor):
    """A floor that starts anew from its rows before everything it is told."""

    def do(self, command: c.Command) -> tuple[Row, ...]:
        self._start_anew()
        return super().do(command)

    def expire(self) -> None:
        self._start_anew()
        super().expire()

    def _start_anew(self) -> None:
        before, state = self.state, State(ACCOUNT)
        state.sequence = before.sequence
        for sid in sorted(before.rows, key=lambda sid: sid[::-1]):
            state.put(before.rows[sid])
        self.decider = self._decider_of(state)


class MeasuredFloor(Floor):
    """A floor that notes how many resources and events each decision came to."""

    sizes: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()

    def _follow(self, decided: Decided) -> Decided:
        if decided.commit is not None and decided.commit.change_set is not None:
            self.sizes += (len(decided.commit.change_set.resources),)
            self.lengths += (len(decided.commit.change_set.events),)
        return super()._follow(decided)
