"""Where random tapes come from: a generator that knows where things are."""

from collections.abc import Iterator
from typing import Any

from tests.model import Model
from tests.model_rows import FINISHED, LIMITS, SECOND
from tests.property import choices
from tests.property.choices import NOTHING
from tests.property.generator_setup import SetupActors, Step

__all__ = ["Generator", "Step"]


class Generator(SetupActors):
    """Chooses steps by what the oracle knows, so that most of them do something."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        few = self.chance(0.3)
        #: limits that are out of a tape's reach otherwise
        self.limits = {
            "ASSIGNMENTS_MAX": self.rng.randint(1, 3)
            if few
            else LIMITS["ASSIGNMENTS_MAX"],
            "RE_EVALUATE_TASKS": self.rng.randint(1, 2),
            "REMOVED_AT_ONCE": self.rng.randint(1, 2),
            "SENT_ON_MAX": self.rng.randint(1, 2),
            "STEPS_AT_ONCE": self.rng.randint(1, 2),
            "REFUSALS_MAX": self.rng.randint(1, 3),
            "VANISHED_AT_ONCE": 1,
            "TOLD_AT_ONCE": self.rng.randint(1, 3),
            "CACHE_ENTRIES": self.pick((0, 3, 100)),
        }

    def opening(self) -> Iterator[Step]:
        """A small contact center of one semantics, with a few policies of its own."""
        yield "create_activity", {"name": "Coaching", "available": True}
        yield "create_activity", {"name": "Break 1", "available": False}
        semantics = self.pick(("strict", "compat"))
        policies = self.policies() if self.chance(0.8) else {}
        chosen = {"semantics": semantics, "policies": policies}
        if self.chance(0.3):
            chosen["prefers"] = "LIFO"
        chosen["vanished_queue"] = 0
        yield "update_workspace", chosen
        if self.chance(0.4):
            fields = self.queue_fields()
            chosen = {name: fields[name] for name in ("fan_out", "order", "policies")}
            yield "update_queue", {"queue": 0, **chosen}
        for _ in range(2):
            yield "create_queue", self.queue_fields()
        for _ in range(2):
            yield "create_workflow", self.workflow_fields([0, 0, 0, 1, 2])
        for _ in range(self.rng.randint(1, 4)):
            yield (
                "create_worker",
                {
                    "activity": self.pick(
                        ("Available", "Available", *choices.ACTIVITIES)
                    ),
                    "attributes": self.pick(choices.WORKERS),
                },
            )

    def step(self, model: Model) -> Step:
        """The next step, given where things are."""
        while True:
            name = self.pick(ACTORS)
            step: Step | None = getattr(self, name)(model)
            if step is not None:
                return self._with_version(step)

    def _with_version(self, step: Step) -> Step:
        """Let a command seldom state a version that is not the current one."""
        name, arguments = step
        versioned = name in STATING and self.chance(0.03)
        return (name, {**arguments, "stale": True}) if versioned else step

    def number(self, rows: list[Any], *statuses: str) -> int | None:
        """One of these, seldom any other, seldom one that does not exist."""
        if self.chance(0.06):
            return self.pick([*range(len(rows)), NOTHING])
        fit = [n for n, row in enumerate(rows) if row.status in statuses]
        fit = [n for n in fit if not rows[n].gone]
        return self.pick(fit) if fit else None

    # Tasks

    def _attributes(self, model: Model) -> str:
        number = self.rng.randrange(len(model.workers))
        agents = (
            f'"WK#{number}"',
            f'"WK#{number}"',
            f'"Worker {number}"',
            f'"worker {number}"',
            f'"worker {self.rng.randrange(8)}"',
            "null",
            '"WK#99"',
        )
        keys = {
            "lang": self.pick(('"es"', '"fr"', '"es"')),
            "vip": "true",
            "agent": self.pick(agents),
            "tags": self.pick(('["es"]', "[]", '"x"')),
            "refused_by": self.pick((f'["WK#{number}"]', '"x"')),
        }
        chosen = [key for key in keys if self.chance(0.4)]
        return "{" + ",".join(f'"{key}":{keys[key]}' for key in chosen) + "}"

    def _link(self, model: Model, *, last: bool) -> dict[str, Any]:
        kinds = ("worker", "worker", "queue", *(("workflow",) if last else ()))
        kind = self.pick(kinds)
        link: dict[str, Any] = {
            "kind": kind,
            "number": self.alive(getattr(model, kind + "s")),
        }
        if kind == "worker" and self.chance(0.6):
            link["ignore_capacity"] = self.pick((True, True, None, False))
        elif kind != "workflow" and self.chance(0.6):
            link["wait"] = self.pick((3, 10))
        return link

    def _task(self, model: Model) -> dict[str, Any]:
        workflow = self.alive(model.workflows)
        arguments: dict[str, Any] = {
            "workflow": workflow,
            "channel": self.task_channel(model),
            "attributes": self._attributes(model),
            "priority": self.pick((0, 0, 1, 2)),
            "timeout": self.pick((0, 0, *choices.SECONDS, 60, 60)),
        }
        if self.chance(0.2):
            arguments["start"] = model.now - self.pick((60, 10, 0)) * SECOND
        if self.chance(0.3):
            length = self.rng.randint(1, 4)
            links = range(1, length + 1)
            routes = tuple(self._link(model, last=n == length) for n in links)
            arguments["routes"] = routes
            arguments["workflow"] = self.pick((-1, workflow))
        if self.chance(0.04):
            arguments |= self.pick(choices.BAD_TASKS)
        if arguments.get("start") == NOTHING:
            arguments["start"] = model.now + 1
        return arguments

    def _crowded(self, model: Model) -> bool:
        open_ = [row for row in model.tasks if row.status not in FINISHED]
        return sum(not row.gone for row in open_) > 6

    def create_task(self, model: Model) -> Step | None:
        return None if self._crowded(model) else ("create_task", self._task(model))

    def create_tasks(self, model: Model) -> Step | None:
        if self._crowded(model):
            return None
        tasks = [self._task(model) for _ in range(self.rng.randint(1, 3))]
        return "create_tasks", {"tasks": tasks}

    def update_task(self, model: Model) -> Step | None:
        statuses = ("pending", "pending", "reserved", "assigned")
        task = self.number(model.tasks, self.pick(statuses))
        if task is None:
            return None
        arguments: dict[str, Any] = {"task": task}
        match self.rng.randrange(6):
            case 0:
                arguments["attributes"] = self._attributes(model)
            case 1:
                arguments["patch"] = self.pick(({"vip": True}, {"lang": None}, {}))
            case 2 | 5:
                bad = self.chance(0.1)
                arguments["priority"] = -1 if bad else self.rng.randrange(5)
            case 3:
                arguments["channel"] = self.pick((*choices.CHANNELS, "sms"))
            case _:
                seconds = self.pick((60, 5, 0))
                arguments["start"] = model.now - seconds * SECOND
        return "update_task", arguments

    def cancel_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "pending", "reserved")
        return None if task is None else ("cancel_task", {"task": task, "reason": "no"})

    def delete_task(self, model: Model) -> Step | None:
        statuses = ("pending", "reserved", "assigned", "wrapping", *FINISHED)
        task = self.number(model.tasks, self.pick(statuses))
        return None if task is None else ("delete_task", {"task": task})

    def wrap_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "assigned")
        return None if task is None else ("wrap_task", {"task": task})

    def complete_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "assigned", "wrapping")
        if task is None:
            return None
        arguments: dict[str, Any] = {"task": task, "reason": self.pick(("", "done"))}
        if self.chance(0.3):
            arguments |= {"disposition": "sold", "patch": {"sold": True}}
        return "complete_task", arguments

    def wrap_reservation(self, model: Model) -> Step | None:
        number = self.number(model.reservations, "accepted")
        return None if number is None else ("wrap_reservation", {"reservation": number})

    def complete_reservation(self, model: Model) -> Step | None:
        number = self.number(model.reservations, "accepted", "wrapping")
        if number is None:
            return None
        arguments = {"reservation": number, "reason": self.pick(("", "done"))}
        return "complete_reservation", arguments

    def claim_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "pending")
        if task is None:
            return None
        worker = self.worker(model)
        waits = task < len(model.tasks) and model.tasks[task].status == "pending"
        if waits and self.chance(0.8):
            row = model.tasks[task]
            able = [n for n in range(len(model.workers)) if model.able(row, n)]
            worker = self.pick(able) if able else worker
        return "claim_task", {"task": task, "worker": worker}

    # Answers

    def accept(self, model: Model) -> Step | None:
        reservation = self.number(model.reservations, "pending")
        return None if reservation is None else ("accept", {"reservation": reservation})

    def reject(self, model: Model) -> Step | None:
        reservation = self.number(model.reservations, "pending")
        if reservation is None:
            return None
        arguments: dict[str, Any] = {"reservation": reservation}
        if self.chance(0.3):
            arguments["activity"] = self.pick((*model.activities, "Lunch"))
        return "reject", arguments

    def answer_callback(self, model: Model) -> Step | None:
        late = self.chance(0.1)
        asked = [
            number
            for number, row in enumerate(model.reservations)
            if row.urls and (late or row.status == "pending")
        ]
        if self.chance(0.06):
            asked = [*range(len(model.reservations)), NOTHING]
        if not asked:
            return None
        again = [
            number
            for number in asked
            if number < len(model.reservations)
            and model.tasks[model.reservations[number].task].callback_failures
        ]
        asked = again if again and self.chance(0.7) else asked
        answer = self.pick(("accept", "reject", "failed", "failed", "later", "nothing"))
        arguments = {"reservation": self.pick(asked), "answer": answer}
        if answer == "reject" and self.chance(0.4):
            arguments["activity"] = self.pick((*model.activities, "Lunch"))
        return "answer_callback", arguments

    def shift_offers(self, model: Model) -> Step | None:
        if not model.reservations:
            return None
        fit = range(len(model.reservations))
        chosen = self.rng.sample(fit, self.rng.randint(1, len(fit)))
        gap = self.pick((1, SECOND, 10 * SECOND))
        return "shift_offers", {"reservations": chosen, "gap": gap}

    # Time

    def pass_time(self, model: Model) -> Step:
        return "pass_time", {"now": model.now + self.pick((1, SECOND, 2 * SECOND))}

    def reach_deadline(self, model: Model) -> Step | None:
        """To the next deadline exactly, just before it, or past several of them."""
        due = model.next_due()
        if not due:
            return None
        now = due + self.pick((0, 0, 0, -1, 3, 10, 20)) * (
            1 if self.chance(0.2) else SECOND
        )
        return "pass_time", {"now": max(now, model.now)}

    def restart(self, _model: Model) -> Step:
        return "restart", {}


#: steps that may state a version
STATING = (
    *("update_task", "cancel_task", "delete_task", "claim_task", "accept", "reject"),
    *("wrap_task", "complete_task", "wrap_reservation", "complete_reservation"),
    *("update_queue", "delete_queue", "update_workflow", "delete_workflow"),
    *("update_worker", "delete_worker"),
)
#: how often each actor is asked
ACTORS = [
    name
    for name, weight in {
        "create_task": 26,
        "create_tasks": 2,
        "accept": 14,
        "reject": 12,
        "answer_callback": 14,
        "reach_deadline": 16,
        "complete_task": 8,
        "bring_back": 8,
        "claim_task": 8,
        "pass_time": 5,
        "wrap_task": 8,
        "update_task": 10,
        "change_activity": 4,
        "change_worker": 9,
        "update_channel": 5,
        "create_worker": 3,
        "update_workflow": 4,
        "update_queue": 3,
        "update_workspace": 3,
        "cancel_task": 2,
        "delete_task": 2,
        "restart": 2,
        "create_queue": 1,
        "create_workflow": 1,
        "create_activity": 1,
        "delete_activity": 1,
        "delete_queue": 1,
        "delete_workflow": 1,
        "delete_worker": 7,
        "update_task_channel": 1,
        "create_workers": 1,
        "rename_activity": 3,
        "create_channel": 2,
        "delete_channel": 2,
        "wrap_reservation": 2,
        "complete_reservation": 2,
        "shift_offers": 1,
        "note_presence": 16,
    }.items()
    for _ in range(weight)
]
