"""The engine's side of a tape: a Decider that is driven like that of an account."""

import json
import random
import re
from collections import Counter
from typing import Any

import msgspec

from flexcore.domain.clock import VirtualClock
from flexcore.domain.ids import Ids
from flexcore.domain.model import Activity, Row, TaskChannel, Worker, Workflow
from flexcore.domain.parts import CallbackReason, Route
from flexcore.domain.states import OutboxState
from flexcore.engine import commands as c
from flexcore.engine.decider import Decided, Decider, handlers
from flexcore.engine.decision import outbox_key
from flexcore.engine.keys import missing_keys
from flexcore.engine.purges import Purges
from flexcore.engine.routing.callbacks import entry_sid
from flexcore.engine.state import State
from flexcore.engine.vault import Vault
from tests.model_rows import Plan
from tests.property.choices import NOTHING
from tests.property.history import History
from tests.property.shelf import Shelf

ACCOUNT = "AC" + "1" * 32
#: events of these are compared
TOLD = ("WT", "WR", "WK")
_PLACE = re.compile(r"\{([\w ]+)\}")
_PREFIX = {"worker": "WK", "queue": "WQ", "workflow": "WW"}


class Subject:
    """A Decider, driven as an account drives it; tells what it did by number."""

    def __init__(self, seed: int) -> None:
        self.clock = VirtualClock()
        self.ids = Ids(self.clock, random.Random(seed))
        self._handlers = handlers(Vault(bytes(32), self.ids))
        self.shelf = Shelf()
        self._begin(State(ACCOUNT))
        self._principal = c.Principal(ACCOUNT, "SK1")
        #: sids by the kind their prefix says, in the order of creation
        self.sids: dict[str, list[str]] = {
            k: [] for k in ("WQ", "WW", "WK", "WT", "WR")
        }
        #: activities by name, whether they are still there or not
        self.activities: dict[str, str] = {}
        #: task channels by sid, whether they are still there or not
        self.channels: dict[str, str] = {}
        #: which commands were done, how often
        self.done: Counter[str] = Counter()
        self._stale = False
        #: revisions of each workflow in order
        self.revisions: dict[str, list[str]] = {}
        self.numbers: dict[str, int] = {"": -1}
        #: the number of a worker by its `order`
        self.orders: dict[int, int] = {-1: -1}
        self.events: list[tuple[str, int]] = []
        self.history = History(self.decider.state)
        self._decide(c.CreateDefaults())
        self.workspace = next(sid for sid in self.rows if sid.startswith("WS"))

    def _begin(self, state: State) -> None:
        self.decider = Decider(state, self.ids, self._handlers)
        self.purges = Purges(self.shelf, state, self._fetch)

    def _fetch(self, key: str) -> None:
        if not self.decider.state.knows(key):
            self.decider.deliver(key, self.shelf.find(key))

    @property
    def rows(self) -> dict[str, Row]:
        return self.decider.state.rows

    def find(self, sid: str) -> Row | None:
        """Return a row, whether memory holds it or not."""
        return self.rows.get(sid) or self.shelf.rows.get(sid)

    def next_due(self) -> int:
        """When something happens by itself, whether memory knows of it or not."""
        first = self.decider.deadlines.first()
        stored, known = self.shelf.next_purge(), self.purges.next_time
        kept = stored in (due for due, _, _ in self.decider.deadlines._due)
        assert kept or not stored or 0 < known <= stored, "a purge would be missed"
        return min(filter(None, (first[0] if first else 0, stored)), default=0)

    def step(self, name: str, arguments: dict[str, Any]) -> None:
        arguments = dict(arguments)
        self._stale = arguments.pop("stale", False)
        getattr(self, name)(**arguments)

    def _decide(self, command: c.Command) -> None:
        now, state = self.clock.now(), self.decider.state
        if self._stale:
            command = self._stating_another_version(command)
        while missing := missing_keys(state, self._principal.actor, command):
            for key in missing:
                self._fetch(key)
        self._follow(self.decider.decide(self._principal, command, now))
        self.done[type(command).__name__] += 1
        self._go_on(now)

    def _stating_another_version(self, command: Any) -> c.Command:
        self._stale = False
        row = self.find(command.sid)
        version = row.version + 1 if row else 1
        return msgspec.structs.replace(command, expected_version=version)

    def _go_on(self, now: int) -> None:
        """Decide what is due, and what else follows by itself."""
        decider, tick = self.decider, c.Tick()
        while True:
            if self.purges.due(now):
                self.purges.read(now)
            elif decider.due(now):
                self._follow(decider.expire_next(now))
            elif decider.matching.pending:
                self._follow(decider.decide(self._principal, tick, now))
            else:
                break
        for time in decider.shrink(decider.state.stamp, now):
            self.purges.leave((time, 0))

    def _follow(self, decided: Decided) -> None:
        if decided.commit is None:
            return
        self.shelf.follow(decided.commit)
        self._tell(decided)
        for entry in decided.commit.outbox:
            if entry.state == OutboxState.READY:
                # As the outbox does at once.
                self._decide(c.AttemptCallback(sid=entry.sid))

    def _tell(self, decided: Decided) -> None:
        assert decided.commit is not None
        if decided.commit.change_set is None:
            return
        change_set = decided.commit.change_set
        for row in change_set.resources:
            self._learn(row)
        for event in change_set.events:
            kind = event.sid[:2]
            if event.type.endswith(".created") and kind in self.sids:
                self.numbers[event.sid] = len(self.sids[kind])
                self.sids[kind].append(event.sid)
            if kind in TOLD:
                self.events.append((event.type, self.numbers[event.sid]))
        for row in change_set.resources:
            if isinstance(row, Worker):
                self.orders[row.order] = self.numbers[row.sid]
        self.history.follow(change_set.resources, change_set.deleted)

    def _learn(self, row: Row) -> None:
        """Note how a tape calls something, by the first name it has."""
        if isinstance(row, Activity) and row.sid not in self.activities.values():
            self.activities[row.friendly_name] = row.sid
        elif isinstance(row, TaskChannel):
            self.channels[row.sid] = row.unique_name
        elif isinstance(row, Workflow):
            known = self.revisions.setdefault(row.sid, [])
            known += [row.revision_sid] * (row.revision_sid not in known)

    def sid(self, kind: str, number: int) -> str:
        sids = self.sids[kind]
        return sids[number] if 0 <= number < len(sids) else f"{kind}{NOTHING:032x}"

    def _text(self, text: str | None) -> str | None:
        """Put sids in place of WK#n."""
        if text is None:
            return None
        return re.sub(r"WK#(\d+)", lambda found: self.sid("WK", int(found[1])), text)

    # Steps: what the oracle calls by the same name

    def pass_time(self, now: int) -> None:
        self.clock.advance(now - self.clock.now())
        self._go_on(now)

    def restart(self) -> None:
        """Go on with what follows from the rows alone, in no particular order."""
        before = self.decider.state
        state = State(ACCOUNT)
        state.sequence = before.sequence
        for sid in sorted(before.rows, key=lambda sid: sid[::-1]):
            if not self.shelf.finished(sid):
                state.put(before.rows[sid])
                state.note(before.rows[sid])
        for entry in self.shelf.living():
            state.remember(outbox_key(entry.sid), entry)
            state.follow(entry)
        self._begin(state)
        self.history.state = state
        self._decide(c.Tick())

    # Configuration

    def update_workspace(
        self,
        prefers: str | None = None,
        default_activity: str | None = None,
        timeout_activity: str | None = None,
        vanished_queue: int | None = None,
        **changes: Any,
    ) -> None:
        if vanished_queue is not None:
            sid = "" if vanished_queue < 0 else self.sid("WQ", vanished_queue)
            changes["vanished_queue"] = sid
        self._decide(
            c.UpdateWorkspace(
                sid=self.workspace,
                prioritize_queue_order=prefers,
                default_activity=self._activity(default_activity),
                timeout_activity=self._activity(timeout_activity),
                **changes,
            )
        )

    def create_activity(self, name: str, available: bool) -> None:
        self._decide(
            c.CreateActivity(
                workspace_sid=self.workspace, friendly_name=name, available=available
            )
        )

    def _activity(self, name: str | None) -> str | None:
        """Return the sid of an activity by its first name; what is none as it is."""
        return None if name is None else self.activities.get(name, name)

    def rename_activity(self, name: str, shown: str) -> None:
        sid = self.activities.get(name, f"WA{NOTHING:032x}")
        self._decide(c.UpdateActivity(sid=sid, friendly_name=shown))

    def delete_activity(self, name: str) -> None:
        sid = self.activities.get(name, f"WA{NOTHING:032x}")
        self._decide(c.DeleteActivity(sid=sid))

    def _channel(self, channel: str) -> str:
        """Return the sid of a task channel, that of nothing if there is none."""
        sids = (sid for sid in self.rows if self.channels.get(sid) == channel)
        return next(sids, f"TC{NOTHING:032x}")

    def create_channel(self, channel: str, optimized: bool) -> None:
        self._decide(
            c.CreateTaskChannel(
                workspace_sid=self.workspace,
                unique_name=channel,
                friendly_name=channel,
                channel_optimized_routing=optimized,
            )
        )

    def update_task_channel(self, channel: str, optimized: bool) -> None:
        sid = self._channel(channel)
        self._decide(c.UpdateTaskChannel(sid=sid, channel_optimized_routing=optimized))

    def delete_channel(self, channel: str) -> None:
        self._decide(c.DeleteTaskChannel(sid=self._channel(channel)))

    def create_queue(self, **fields: Any) -> None:
        self._decide(
            c.CreateTaskQueue(
                workspace_sid=self.workspace,
                friendly_name=f"queue {len(self.sids['WQ'])}",
                **_queue(fields),
            )
        )

    def update_queue(self, queue: int, **changes: Any) -> None:
        self._decide(c.UpdateTaskQueue(sid=self.sid("WQ", queue), **_queue(changes)))

    def delete_queue(self, queue: int) -> None:
        self._decide(c.DeleteTaskQueue(sid=self.sid("WQ", queue)))

    def create_workflow(
        self, reservation_timeout: int, callbacks: int = 0, **plan: Any
    ) -> None:
        self._decide(
            c.CreateWorkflow(
                workspace_sid=self.workspace,
                friendly_name=f"workflow {len(self.sids['WW'])}",
                configuration=self._document(Plan(**plan)),
                task_reservation_timeout_seconds=reservation_timeout,
                **_urls(callbacks),
            )
        )

    def update_workflow(
        self,
        workflow: int,
        reservation_timeout: int,
        re_evaluate: bool = False,
        callbacks: int | None = None,
        **plan: Any,
    ) -> None:
        self._decide(
            c.UpdateWorkflow(
                sid=self.sid("WW", workflow),
                configuration=self._document(Plan(**plan)),
                task_reservation_timeout_seconds=reservation_timeout,
                re_evaluate_tasks=re_evaluate,
                **({} if callbacks is None else _urls(callbacks)),
            )
        )

    def delete_workflow(self, workflow: int) -> None:
        self._decide(c.DeleteWorkflow(sid=self.sid("WW", workflow)))

    def _document(self, plan: Plan) -> str:
        routing = {
            "filters": [
                {
                    "expression": row["expression"],
                    "targets": list(map(self._target, row["targets"])),
                    "on_exhausted": self._exhaustion(row.get("on_exhausted")),
                }
                for row in plan.filters
            ],
            "default_filter": plan.default and self._target(plan.default),
            "on_exhausted": self._exhaustion(plan.on_exhausted),
        }
        return json.dumps({"task_routing": routing})

    def _exhaustion(self, action: str | int | None) -> Any:
        if isinstance(action, int):
            return {"action": "queue", "queue": self.sid("WQ", action)}
        return action

    def _target(self, target: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = dict(target)
        queue, known = changed["queue"], changed.pop("known", None)
        changed["queue"] = None if queue is None else self.sid("WQ", queue)
        if known:
            changed[f"known_worker_{known[0]}"] = f"task.{known[1]}"
        if "skip_if" in changed:
            nothing = f"WA{NOTHING:032x}"
            changed["skip_if"] = _PLACE.sub(
                lambda found: self.activities.get(found[1], nothing), changed["skip_if"]
            )
        return changed

    def create_worker(self, **fields: str) -> None:
        self._decide(self._hiring(0, **fields))

    def create_workers(self, workers: list[dict[str, str]]) -> None:
        hired = (self._hiring(n, **fields) for n, fields in enumerate(workers))
        self._decide(c.BatchCreateWorkers(workers=tuple(hired)))

    def _hiring(self, place: int, activity: str, attributes: str) -> c.CreateWorker:
        return c.CreateWorker(
            workspace_sid=self.workspace,
            friendly_name=f"worker {len(self.sids['WK']) + place}",
            activity=self._activity(activity) or "",
            attributes=attributes,
        )

    def update_worker(
        self,
        worker: int,
        *,
        reject: bool = False,
        name: str | None = None,
        after_work: bool = False,
        activity: str | None = None,
        patch: dict[str, Any] | None = None,
        attributes: str | None = None,
    ) -> None:
        self._decide(
            c.UpdateWorker(
                sid=self.sid("WK", worker),
                friendly_name=name,
                reject_pending_reservations=reject,
                after_current_work=after_work,
                activity=self._activity(activity),
                attributes=attributes,
                attributes_patch=None if patch is None else json.dumps(patch),
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

    def note_presence(self, cause: str, workers: list[int]) -> None:
        sids = tuple(self.sid("WK", number) for number in workers)
        self._decide(c.NotePresence(cause=cause, worker_sids=sids))

    def delete_worker(self, worker: int) -> None:
        self._decide(c.DeleteWorker(sid=self.sid("WK", worker)))

    # Work

    def create_task(self, **fields: Any) -> None:
        self._decide(self._creation(**fields))

    def create_tasks(self, tasks: list[dict[str, Any]]) -> None:
        created = tuple(self._creation(**fields) for fields in tasks)
        self._decide(c.BatchCreateTasks(tasks=created))

    def _creation(
        self,
        workflow: int,
        channel: str,
        attributes: str,
        timeout: int,
        start: int | None = None,
        routes: tuple[dict[str, Any], ...] = (),
        **fields: Any,
    ) -> c.CreateTask:
        return c.CreateTask(
            workspace_sid=self.workspace,
            workflow_sid="" if workflow < 0 else self.sid("WW", workflow),
            task_channel=channel,
            attributes=self._text(attributes) or "",
            timeout_seconds=timeout,
            virtual_start_time=start,
            routes=tuple(self._route(**link) for link in routes),
            **fields,
        )

    def _route(
        self,
        kind: str,
        number: int,
        wait: int = 0,
        ignore_capacity: bool | None = None,
    ) -> Route:
        return Route(self.sid(_PREFIX[kind], number), wait, ignore_capacity)

    def update_task(
        self,
        task: int,
        attributes: str | None = None,
        patch: dict[str, Any] | None = None,
        priority: int | None = None,
        channel: str | None = None,
        start: int | None = None,
    ) -> None:
        self._decide(
            c.UpdateTask(
                sid=self.sid("WT", task),
                attributes=self._text(attributes),
                attributes_patch=None if patch is None else json.dumps(patch),
                priority=priority,
                task_channel=channel,
                virtual_start_time=start,
            )
        )

    def cancel_task(self, task: int, reason: str = "") -> None:
        self._decide(c.CancelTask(sid=self.sid("WT", task), reason=reason))

    def delete_task(self, task: int) -> None:
        self._decide(c.DeleteTask(sid=self.sid("WT", task)))

    def wrap_task(self, task: int, reason: str = "") -> None:
        self._decide(c.WrapTask(sid=self.sid("WT", task), reason=reason))

    def complete_task(
        self, task: int, patch: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        text = None if patch is None else json.dumps(patch)
        sid = self.sid("WT", task)
        self._decide(c.CompleteTask(sid=sid, attributes_patch=text, **fields))

    def wrap_reservation(self, reservation: int) -> None:
        self._decide(c.WrapTask(sid=self.sid("WR", reservation)))

    def complete_reservation(self, reservation: int, reason: str) -> None:
        sid = self.sid("WR", reservation)
        self._decide(c.CompleteTask(sid=sid, reason=reason))

    def claim_task(self, task: int, worker: int) -> None:
        worker_sid = self.sid("WK", worker)
        self._decide(c.ClaimTask(sid=self.sid("WT", task), worker_sid=worker_sid))

    def accept(self, reservation: int) -> None:
        self._decide(c.AcceptReservation(sid=self.sid("WR", reservation)))

    def reject(self, reservation: int, activity: str = "") -> None:
        sid = self.sid("WR", reservation)
        activity = self._activity(activity) or ""
        self._decide(c.RejectReservation(sid=sid, activity=activity))

    def answer_callback(
        self, reservation: int, answer: str, activity: str = ""
    ) -> None:
        sid = entry_sid(self.sid("WR", reservation))
        problems = {
            "failed": CallbackReason.STATUS,
            "nothing": CallbackReason.INSTRUCTION_MISSING,
        }
        self._decide(
            c.ReportCallback(
                sid=sid,
                instruction=answer if answer in ("accept", "reject") else "",
                activity=self._activity(activity) or "",
                problem=problems.get(answer),
                text=answer,
            )
        )

    def shift_offers(self, reservations: list[int], gap: int) -> None:
        sids = tuple(self.sid("WR", number) for number in reservations)
        self._decide(c.ShiftOffers(gap=gap, sids=sids))


def _urls(count: int) -> dict[str, str]:
    """Return as many callback URLs."""
    urls = ["https://one.example.com", "https://two.example.com"][:count]
    fields = ("assignment_callback_url", "fallback_assignment_callback_url")
    return dict(zip(fields, (*urls, "", ""), strict=False))


def _queue(fields: dict[str, Any]) -> dict[str, Any]:
    """Name the fields of a queue as the engine does."""
    names = {
        "expression": "target_workers",
        "fan_out": "max_reserved_workers",
        "order": "task_order",
        "policies": "policies",
    }
    return {names[name]: value for name, value in fields.items()}
