"""The engine's side of a tape: a Decider that is driven like that of an account."""

import json
import random
from typing import Any

from flexcore.domain.clock import VirtualClock
from flexcore.domain.ids import Ids
from flexcore.domain.model import Reservation, Row, Task, WorkerChannel
from flexcore.engine import commands as c
from flexcore.engine.decider import Decided, Decider, handlers
from flexcore.engine.state import State
from flexcore.engine.vault import Vault
from tests.model import HELD

ACCOUNT = "AC" + "1" * 32
#: a number that nothing has
NOTHING = 99

#: every way a reservation may go, and nothing else
PATHS = frozenset(
    {
        ("", "pending"),
        ("pending", "rejected"),
        ("pending", "timeout"),
        ("pending", "canceled"),
        ("pending", "accepted"),
        ("accepted", "wrapping"),
        ("accepted", "completed"),
        ("wrapping", "completed"),
    }
)
#: the status of a task by those of its open reservations
TASK_STATUS = {
    ("pending",): "reserved",
    ("accepted",): "assigned",
    ("wrapping",): "wrapping",
}


class Subject:
    """A Decider, driven as an account drives it; tells what it did by number."""

    def __init__(self, seed: int) -> None:
        self.clock = VirtualClock()
        self.ids = Ids(self.clock, random.Random(seed))
        self._handlers = handlers(Vault(bytes(32), self.ids))
        self.decider = Decider(State(ACCOUNT), self.ids, self._handlers)
        self._principal = c.Principal(ACCOUNT, "SK1")
        #: sids by the kind their prefix says, in the order of creation
        self.sids: dict[str, list[str]] = {
            k: [] for k in ("WQ", "WW", "WK", "WT", "WR")
        }
        self.numbers: dict[str, int] = {}
        self.events: list[tuple[str, int]] = []
        self.history = History(self.decider.state)
        self._decide(c.CreateDefaults())
        self.workspace = next(sid for sid in self.rows if sid.startswith("WS"))

    @property
    def rows(self) -> dict[str, Row]:
        return self.decider.state.rows

    def step(self, name: str, arguments: dict[str, Any]) -> None:
        getattr(self, name)(**arguments)

    def _decide(self, command: c.Command) -> None:
        now = self.clock.now()
        self._follow(self.decider.decide(self._principal, command, now))
        while self.decider.matching.pending:
            self._follow(self.decider.decide(self._principal, c.Tick(), now))

    def _follow(self, decided: Decided) -> None:
        if decided.commit is None or decided.commit.change_set is None:
            return
        change_set = decided.commit.change_set
        for event in change_set.events:
            kind = event.sid[:2]
            if event.type.endswith(".created") and kind in self.sids:
                self.numbers[event.sid] = len(self.sids[kind])
                self.sids[kind].append(event.sid)
            if kind in ("WT", "WR"):
                self.events.append((event.type, self.numbers[event.sid]))
        self.history.follow(change_set.resources)

    def sid(self, kind: str, number: int) -> str:
        sids = self.sids[kind]
        return sids[number] if 0 <= number < len(sids) else f"{kind}{NOTHING:032x}"

    # Steps: what the oracle calls by the same name

    def pass_time(self, now: int) -> None:
        self.clock.advance(now - self.clock.now())
        while self.decider.due(now):
            self._follow(self.decider.expire_next(now))

    def restart(self) -> None:
        """Go on with what follows from the rows alone, in no particular order."""
        before = self.decider.state
        state = State(ACCOUNT)
        state.sequence = before.sequence
        for sid in sorted(before.rows, key=lambda sid: sid[::-1]):
            state.put(before.rows[sid])
        self.decider = Decider(state, self.ids, self._handlers)
        self.history.state = state
        self._decide(c.Tick())

    def create_activity(self, name: str, available: bool) -> None:
        self._decide(
            c.CreateActivity(
                workspace_sid=self.workspace, friendly_name=name, available=available
            )
        )

    def create_worker(self, activity: str, attributes: str) -> None:
        self._decide(
            c.CreateWorker(
                workspace_sid=self.workspace,
                friendly_name=f"worker {len(self.sids['WK'])}",
                activity=activity,
                attributes=attributes,
            )
        )

    def update_worker(
        self, worker: int, reject: bool = False, **changes: str | None
    ) -> None:
        self._decide(
            c.UpdateWorker(
                sid=self.sid("WK", worker),
                reject_pending_reservations=reject,
                **changes,
            )
        )

    def update_channel(
        self,
        worker: int,
        channel: str,
        capacity: int | None = None,
        available: bool | None = None,
    ) -> None:
        self._decide(
            c.UpdateWorkerChannel(
                worker_sid=self.sid("WK", worker),
                task_channel=channel,
                configured_capacity=capacity,
                available=available,
            )
        )

    def create_queue(self, expression: str) -> None:
        self._decide(
            c.CreateTaskQueue(
                workspace_sid=self.workspace,
                friendly_name=f"queue {len(self.sids['WQ'])}",
                target_workers=expression,
            )
        )

    def update_queue(self, queue: int, expression: str) -> None:
        self._decide(
            c.UpdateTaskQueue(sid=self.sid("WQ", queue), target_workers=expression)
        )

    def create_workflow(
        self,
        filters: list[tuple[str | None, list[dict[str, Any]]]],
        default: dict[str, Any] | None,
        reservation_timeout: int,
    ) -> None:
        self._decide(
            c.CreateWorkflow(
                workspace_sid=self.workspace,
                friendly_name=f"workflow {len(self.sids['WW'])}",
                configuration=self._document(filters, default),
                task_reservation_timeout_seconds=reservation_timeout,
            )
        )

    def update_workflow(
        self,
        workflow: int,
        filters: list[tuple[str | None, list[dict[str, Any]]]],
        default: dict[str, Any] | None,
        reservation_timeout: int,
    ) -> None:
        self._decide(
            c.UpdateWorkflow(
                sid=self.sid("WW", workflow),
                configuration=self._document(filters, default),
                task_reservation_timeout_seconds=reservation_timeout,
            )
        )

    def _document(
        self,
        filters: list[tuple[str | None, list[dict[str, Any]]]],
        default: dict[str, Any] | None,
    ) -> str:
        routing = {
            "filters": [
                {"expression": expression, "targets": list(map(self._target, targets))}
                for expression, targets in filters
            ],
            "default_filter": default and self._target(default),
        }
        return json.dumps({"task_routing": routing})

    def _target(self, target: dict[str, Any]) -> dict[str, Any]:
        queue = target["queue"]
        return {**target, "queue": None if queue is None else self.sid("WQ", queue)}

    def create_task(
        self, workflow: int, channel: str, timeout: int, start: int = 0, **fields: Any
    ) -> None:
        self._decide(
            c.CreateTask(
                workspace_sid=self.workspace,
                workflow_sid=self.sid("WW", workflow),
                task_channel=channel,
                timeout_seconds=timeout,
                virtual_start_time=start,
                **fields,
            )
        )

    def update_task(self, task: int, priority: int) -> None:
        self._decide(c.UpdateTask(sid=self.sid("WT", task), priority=priority))

    def cancel_task(self, task: int, reason: str = "") -> None:
        self._decide(c.CancelTask(sid=self.sid("WT", task), reason=reason))

    def wrap_task(self, task: int, reason: str = "") -> None:
        self._decide(c.WrapTask(sid=self.sid("WT", task), reason=reason))

    def complete_task(self, task: int, reason: str = "") -> None:
        self._decide(c.CompleteTask(sid=self.sid("WT", task), reason=reason))

    def accept(self, reservation: int) -> None:
        self._decide(c.AcceptReservation(sid=self.sid("WR", reservation)))

    def reject(self, reservation: int, activity: str = "") -> None:
        sid = self.sid("WR", reservation)
        self._decide(c.RejectReservation(sid=sid, activity=activity))

    def shift_offers(self, reservations: list[int], gap: int) -> None:
        sids = tuple(self.sid("WR", number) for number in reservations)
        self._decide(c.ShiftOffers(gap=gap, sids=sids))


class History:
    """What holds of reservations whatever the oracle says, checked per decision."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._last: dict[str, str] = {}

    def follow(self, touched: tuple[Row, ...]) -> None:
        tasks: dict[str, None] = {}
        for row in touched:
            if isinstance(row, Reservation):
                self._follow_reservation(row)
                tasks[row.task_sid] = None
            elif isinstance(row, Task):
                tasks[row.sid] = None
        for sid in tasks:
            self._check_task(self.state.need(sid, Task))

    def _follow_reservation(self, row: Reservation) -> None:
        before = self._last.get(row.sid, "")
        self._last[row.sid] = row.status
        # There is no way back, so a reservation is accepted once at most.
        assert before == row.status or (before, row.status) in PATHS, (
            f"{row.sid} went from {before or 'nothing'} to {row.status}"
        )
        if before:
            return
        held = self.state.where(Reservation, "open_worker_sid", row.worker_sid)
        load = sum(other.task_channel_sid == row.task_channel_sid for other in held)
        channels = self.state.where(WorkerChannel, "worker_sid", row.worker_sid)
        (channel,) = (
            other
            for other in channels
            if other.task_channel_sid == row.task_channel_sid
        )
        assert load <= channel.configured_capacity, f"{row.sid} is one too many"

    def _check_task(self, task: Task) -> None:
        rows = self.state.where(Reservation, "task_sid", task.sid)
        live = tuple(row.status.value for row in rows if row.status in HELD)
        # At most one live reservation, so at most one of a worker.
        expected = TASK_STATUS.get(live) if live else task.status
        assert expected == task.status, f"{task.sid} is {task.status} with {live}"
        finished = task.status in ("pending", "completed", "canceled")
        assert live or finished, f"{task.sid} is {task.status} and nobody has it"
