"""Where random tapes come from: a generator that knows where things are."""

import random
from collections.abc import Iterator
from typing import Any

from flexcore.domain import limits
from tests.model import SECOND, Model
from tests.property.subject import NOTHING

Step = tuple[str, dict[str, Any]]

ACTIVITIES = ("Offline", "Available", "Unavailable", "Coaching")
CHANNELS = ("default", "default", "chat")
QUEUES = (
    "1==1",
    "level >= 2",
    "'es' IN skills",
    "skills HAS 'es' OR level == 3",
    "activity_name != 'Coaching'",
    "",
)
WORKERS = (
    '{"level":1,"skills":["es"]}',
    '{"level":2,"skills":[]}',
    '{"level":3,"skills":["es","fr"]}',
    "{}",
)
TASKS = ('{"lang":"es","vip":true}', '{"lang":"fr"}', "{}")
FILTERS = ("lang == 'es'", "vip", "lang IS NOT NULL", None)
SECONDS = (1, 5, 5, 10, 15, 30)


class Generator:
    """Chooses steps by what the oracle knows, so that most of them do something."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pick = self.rng.choice
        few = self.rng.random() < 0.4
        self.assignments_max = self.rng.randint(1, 3) if few else limits.ASSIGNMENTS_MAX

    def opening(self) -> Iterator[Step]:
        """A small contact center."""
        yield "create_activity", {"name": "Coaching", "available": True}
        for _ in range(2):
            yield "create_queue", {"expression": self.pick(QUEUES[:-1])}
        for _ in range(2):
            yield self.create_workflow(queues=3)
        for _ in range(self.rng.randint(1, 3)):
            yield self.create_worker()

    def step(self, model: Model) -> Step:
        """The next step, given where things are."""
        while True:
            name = self.pick(ACTORS)
            step: Step | None = getattr(self, name)(model)
            if step is not None:
                return step

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def number(self, rows: list[Any], *statuses: str) -> int | None:
        """One of these, seldom any other, seldom one that does not exist."""
        if self.chance(0.08):
            return self.pick([*range(len(rows)), NOTHING])
        fit = [n for n, row in enumerate(rows) if row.status in statuses]
        return self.pick(fit) if fit else None

    def create_worker(self, model: Model | None = None) -> Step | None:
        if model and len(model.workers) == 4:
            return None
        activity = self.pick(("Available", "Available", "Available", *ACTIVITIES))
        unknown = model is not None and self.chance(0.1)
        return "create_worker", {
            "activity": "Lunch" if unknown else activity,
            "attributes": self.pick(WORKERS),
        }

    def change_activity(self, model: Model) -> Step:
        activity = self.pick(("Available", "Available", *ACTIVITIES, "Lunch"))
        arguments = {"worker": self.worker(model), "activity": activity}
        if self.chance(0.4):
            arguments["reject"] = True
        return "update_worker", arguments

    def change_attributes(self, model: Model) -> Step:
        arguments = {"worker": self.worker(model), "attributes": self.pick(WORKERS)}
        if self.chance(0.1):
            arguments["reject"] = True
        return "update_worker", arguments

    def bring_back(self, model: Model) -> Step | None:
        away = [n for n, row in enumerate(model.workers) if row.activity == "Offline"]
        if not away:
            return None
        return "update_worker", {"worker": self.pick(away), "activity": "Available"}

    def update_channel(self, model: Model) -> Step:
        arguments: dict[str, Any] = {
            "worker": self.worker(model),
            "channel": self.pick(
                (*CHANNELS, "pigeon") if self.chance(0.1) else CHANNELS
            ),
        }
        if self.chance(0.7):
            arguments["capacity"] = self.pick((0, 1, 2, 2, 3, 51))
        else:
            arguments["available"] = self.chance(0.6)
        return "update_channel", arguments

    def worker(self, model: Model) -> int:
        return NOTHING if self.chance(0.03) else self.rng.randrange(len(model.workers))

    def update_queue(self, model: Model) -> Step:
        queue = self.rng.randrange(len(model.queues) + self.chance(0.05))
        expression = "level >=" if self.chance(0.05) else self.pick(QUEUES)
        return "update_queue", {"queue": queue, "expression": expression}

    def create_queue(self, model: Model) -> Step | None:
        if len(model.queues) == 6:
            return None
        return "create_queue", {"expression": self.pick(QUEUES)}

    def create_workflow(self, model: Model | None = None, queues: int = 0) -> Step:
        queues = queues or len(model.queues if model else ()) + self.chance(0.05)
        filters = [
            (self.pick(FILTERS), self._targets(queues))
            for _ in range(self.rng.randint(0, 3))
        ]
        default = {"queue": self.rng.randrange(queues)} if self.chance(0.8) else None
        if default and self.chance(0.3):
            default["priority"] = self.rng.randrange(3)
        return "create_workflow", {
            "filters": filters,
            "default": default,
            "reservation_timeout": self.pick(SECONDS),
        }

    def update_workflow(self, model: Model) -> Step:
        arguments = self.create_workflow(model)[1]
        workflow = self.rng.randrange(len(model.workflows) + self.chance(0.05))
        return "update_workflow", {"workflow": workflow, **arguments}

    def _targets(self, queues: int) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = []
        for number in range(self.rng.randint(1, 3)):
            inherits = number and self.chance(0.5)
            target = {"queue": None if inherits else self.rng.randrange(queues)}
            if self.chance(0.8):
                target["timeout"] = self.pick(SECONDS)
            if self.chance(0.4):
                target["priority"] = self.rng.randrange(4)
            targets.append(target)
        return targets

    def create_task(self, model: Model) -> Step | None:
        if (
            sum(task.status not in ("completed", "canceled") for task in model.tasks)
            > 5
        ):
            return None
        arguments: dict[str, Any] = {
            "workflow": self.rng.randrange(len(model.workflows)),
            "channel": self.pick(CHANNELS),
            "attributes": self.pick(TASKS),
            "priority": self.pick((0, 0, 1, 2)),
            "timeout": self.pick((0, 0, *SECONDS, 60, 60)),
        }
        if self.chance(0.2):
            arguments["start"] = model.now - self.pick((60, 10, 0)) * SECOND
        if self.chance(0.04):
            arguments |= self.pick(BAD_TASKS)
        if arguments.get("start") == NOTHING:
            arguments["start"] = model.now + 1
        return "create_task", arguments

    def update_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "pending", "reserved", "assigned")
        if task is None:
            return None
        priority = -1 if self.chance(0.05) else self.rng.randrange(5)
        return "update_task", {"task": task, "priority": priority}

    def cancel_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "pending", "reserved")
        return None if task is None else ("cancel_task", {"task": task, "reason": "no"})

    def wrap_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "assigned")
        return None if task is None else ("wrap_task", {"task": task})

    def complete_task(self, model: Model) -> Step | None:
        task = self.number(model.tasks, "assigned", "wrapping")
        reason = self.pick(("", "done"))
        return (
            task
            if task is None
            else ("complete_task", {"task": task, "reason": reason})
        )

    def accept(self, model: Model) -> Step | None:
        reservation = self.number(model.reservations, "pending")
        return None if reservation is None else ("accept", {"reservation": reservation})

    def reject(self, model: Model) -> Step | None:
        reservation = self.number(model.reservations, "pending")
        if reservation is None:
            return None
        arguments: dict[str, Any] = {"reservation": reservation}
        if self.chance(0.4):
            arguments["activity"] = self.pick((*ACTIVITIES, "Lunch"))
        return "reject", arguments

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

    def shift_offers(self, model: Model) -> Step | None:
        if not model.reservations:
            return None
        fit = range(len(model.reservations))
        chosen = self.rng.sample(fit, self.rng.randint(1, len(fit)))
        gap = self.pick((1, SECOND, 10 * SECOND))
        return "shift_offers", {"reservations": chosen, "gap": gap}

    def restart(self, model: Model) -> Step | None:
        return ("restart", {}) if model.workers else None


#: one wrong argument each
BAD_TASKS = (
    {"workflow": NOTHING},
    {"channel": "pigeon"},
    {"priority": -1},
    {"timeout": -1},
    {"start": NOTHING},
)

#: how often each actor is asked, of 102 times
ACTORS = [
    name
    for name, weight in {
        "create_task": 24,
        "accept": 12,
        "reject": 10,
        "complete_task": 9,
        "reach_deadline": 9,
        "bring_back": 7,
        "pass_time": 5,
        "wrap_task": 4,
        "change_activity": 4,
        "change_attributes": 2,
        "update_channel": 4,
        "create_worker": 2,
        "cancel_task": 2,
        "update_task": 2,
        "update_queue": 1,
        "create_queue": 1,
        "create_workflow": 1,
        "update_workflow": 1,
        "shift_offers": 1,
        "restart": 1,
    }.items()
    for _ in range(weight)
]
