"""The part of the generator that changes who and what there is."""

import json
from typing import Any

from tests.model import Model
from tests.model_presence import CONNECTIVITY
from tests.property import choices
from tests.property.choices import NOTHING
from tests.property.generator_places import PlaceActors, Step


class SetupActors(PlaceActors):
    """Each method is an actor: it returns a step, or None when it has nothing to do."""

    # Policies

    def policies(self, *, queue: bool = False) -> dict[str, Any]:
        """Up to four policies."""
        if self.chance(0.02):
            return dict(self.pick(choices.BAD_POLICIES))
        names = choices.OF_QUEUES if queue else tuple(choices.POLICIES)
        if self.chance(0.02):
            names = tuple(choices.POLICIES)
        chosen = {self.pick(names) for _ in range(self.pick((0, 1, 2, 3, 4)))}
        if self.chance(0.3):
            chosen |= {
                "refusal_scope",
                self.pick(("missed_offer", "missed_offer", "auto_complete")),
            }
        if not queue and self.chance(0.8):
            chosen |= {"vanished_worker", "grace_seconds"}
        return {name: self.pick(choices.POLICIES[name]) for name in sorted(chosen)}

    def update_workspace(self, model: Model) -> Step:
        arguments: dict[str, Any] = {}
        if self.chance(0.3):
            arguments["semantics"] = self.pick(("strict", "compat"))
        if self.chance(0.7):
            arguments["policies"] = self.policies()
        if self.chance(0.2):
            arguments["prefers"] = self.pick(("FIFO", "LIFO"))
        for field in ("default_activity", "timeout_activity"):
            if self.chance(0.1):
                arguments[field] = self.pick(("Offline", "Unavailable", "Lunch"))
        if self.chance(0.3):
            number = -1 if self.chance(0.2) else self.alive(model.queues)
            arguments["vanished_queue"] = number
        return "update_workspace", arguments

    # Queues

    def queue_fields(self) -> dict[str, Any]:
        return {
            "expression": self.pick(choices.QUEUES[:-1]),
            "fan_out": self.pick((1, 1, 2, 2, 3, 0)),
            "order": self.pick(("FIFO", "FIFO", "LIFO")),
            "policies": self.policies(queue=True) if self.chance(0.5) else {},
        }

    def create_queue(self, model: Model) -> Step | None:
        if sum(not row.gone for row in model.queues) > 5:
            return None
        return "create_queue", self.queue_fields()

    def update_queue(self, model: Model) -> Step:
        fields = self.queue_fields()
        fields["expression"] = self.pick(choices.QUEUES)
        chosen = self.rng.sample(sorted(fields), self.pick((1, 1, 2, 4)))
        arguments = {"queue": self.alive(model.queues)}
        arguments |= {name: fields[name] for name in chosen}
        if self.chance(0.05):
            arguments |= self.pick(({"expression": "level >="}, {"fan_out": 51}))
        return "update_queue", arguments

    def delete_queue(self, model: Model) -> Step:
        return "delete_queue", {"queue": self.alive(model.queues)}

    # Workflows

    def workflow_fields(self, queues: list[int]) -> dict[str, Any]:
        filters = [
            {
                "expression": self.pick(choices.FILTERS),
                "targets": self._targets(queues),
                "on_exhausted": self._exhaustion(queues) if self.chance(0.2) else None,
            }
            for _ in range(self.rng.randint(0, 3))
        ]
        if self.chance(0.1):
            # A way out that few documents have: skipped, and nothing else fits.
            target = {"queue": self.pick(queues), "skip_if": self.pick(choices.SKIPS)}
            filters[-1:] = [{"expression": None, "targets": [target]}]
        default = self._default(queues) if self.chance(0.6) else None
        return {
            "filters": filters,
            "default": default,
            "on_exhausted": self._exhaustion(queues) if self.chance(0.2) else None,
            "reservation_timeout": self.pick(choices.SECONDS),
            "callbacks": self.pick((0, 0, 1, 2)),
        }

    def _exhaustion(self, queues: list[int]) -> str | int:
        return self.pick(("cancel", "default", "repeat", *[self.pick(queues)] * 2))

    def _default(self, queues: list[int]) -> dict[str, Any]:
        default: dict[str, Any] = {"queue": self.pick(queues)}
        if self.chance(0.3):
            default["priority"] = self.rng.randrange(3)
        if self.chance(0.1):
            default["expression"] = self.pick(choices.PAIRS)
        return default

    def _targets(self, queues: list[int]) -> list[dict[str, Any]]:
        targets: list[dict[str, Any]] = []
        for number in range(self.rng.randint(1, 3)):
            inherits = number and self.chance(0.4)
            target: dict[str, Any] = {"queue": None if inherits else self.pick(queues)}
            if self.chance(0.8):
                target["timeout"] = self.pick(choices.SECONDS)
            if self.chance(0.3):
                target["priority"] = self.rng.randrange(4)
            if self.chance(0.25):
                target["expression"] = self.pick(choices.PAIRS)
            if self.chance(0.25):
                target["order_by"] = self.pick(choices.ORDERS)
            if self.chance(0.3):
                target["skip_if"] = self.pick(choices.SKIPS)
            if self.chance(0.2):
                target["known"] = self.pick(choices.KNOWN)
            targets.append(target)
        return targets

    def _queues(self, model: Model) -> list[int]:
        if self.chance(0.05):
            return [*range(len(model.queues)), NOTHING]
        return [n for n, row in enumerate(model.queues) if not row.gone] or [NOTHING]

    def create_workflow(self, model: Model) -> Step | None:
        if sum(not row.gone for row in model.workflows) > 4:
            return None
        return "create_workflow", self.workflow_fields(self._queues(model))

    def update_workflow(self, model: Model) -> Step:
        fields = self.workflow_fields(self._queues(model))
        workflow = self.alive(model.workflows)
        # Two workflows that are due at the same time go by their sids, which are random.
        busy = any(row.re_evaluate for row in model.workflows)
        if self.chance(0.6) and not busy:
            fields["re_evaluate"] = True
        if self.chance(0.2) and workflow < len(model.workflows):
            plan = model.workflows[workflow].revisions[-1]
            fields |= {"filters": plan.filters, "default": plan.default}
            fields["on_exhausted"] = plan.on_exhausted
        return "update_workflow", {"workflow": workflow, **fields}

    def delete_workflow(self, model: Model) -> Step | None:
        if sum(not row.gone for row in model.workflows) < 2:
            return None
        return "delete_workflow", {"workflow": self.alive(model.workflows)}

    # Workers

    def worker(self, model: Model) -> int:
        return self.alive(model.workers)

    def _worker(self) -> dict[str, Any]:
        activity = self.pick(
            ("Available", "Available", "Available", "", *choices.ACTIVITIES)
        )
        return {
            "activity": "Lunch" if self.chance(0.1) else activity,
            "attributes": self.pick(choices.WORKERS),
        }

    def create_worker(self, model: Model) -> Step | None:
        if sum(not row.gone for row in model.workers) > 4:
            return None
        return "create_worker", self._worker()

    def create_workers(self, model: Model) -> Step | None:
        if sum(not row.gone for row in model.workers) > 4:
            return None
        workers = [self._worker() for _ in range(self.rng.randint(1, 2))]
        return "create_workers", {"workers": workers}

    def change_activity(self, model: Model) -> Step:
        activity = self.pick(("Available", "Available", *model.activities, "Lunch"))
        arguments = {"worker": self.worker(model), "activity": activity}
        if self.chance(0.4):
            arguments["reject"] = True
        if self.chance(0.4):
            arguments["after_work"] = True
        return "update_worker", arguments

    def note_presence(self, model: Model) -> Step:
        """Mostly of those it means something to, and who hold something."""
        cause = self.pick(choices.PRESENCE)
        numbers = range(len(model.workers))
        fit = [
            n for n in numbers if cause in CONNECTIVITY[model.workers[n].connectivity]
        ]
        held = [row for row in model.reservations if not row.gone]
        for statuses in (("accepted",), ("pending", "accepted")):
            busy = {row.worker for row in held if row.status in statuses}
            if busy & set(fit) and self.chance(0.7):
                fit = [n for n in fit if n in busy]
                break
        if not fit or self.chance(0.1):
            fit = [*numbers, NOTHING]
        chosen = self.rng.sample(fit, self.rng.randint(1, min(2, len(fit))))
        return "note_presence", {"cause": cause, "workers": chosen}

    def change_worker(self, model: Model) -> Step:
        away = [n for n, row in enumerate(model.workers) if row.away_from]
        worker = self.pick(away) if away and self.chance(0.7) else self.worker(model)
        arguments: dict[str, Any] = {"worker": worker}
        if self.chance(0.6):
            arguments["attributes"] = self.pick(choices.WORKERS)
        elif self.chance(0.3):
            arguments["patch"] = self.pick(choices.WORKER_PATCHES)
        asked = self._asked_for(model)
        if self.chance(0.8 if asked else 0.3):
            arguments["name"] = self.pick(asked or [f"worker {self.rng.randrange(6)}"])
        if self.chance(0.1):
            arguments["reject"] = True
        return "update_worker", arguments

    def bring_back(self, model: Model) -> Step | None:
        away = [
            number
            for number, row in enumerate(model.workers)
            if not row.gone and not model.activities[row.activity]
        ]
        if not away:
            return None
        return "update_worker", {"worker": self.pick(away), "activity": "Available"}

    def _asked_for(self, model: Model) -> list[str]:
        """Names that waiting tasks ask for and nobody has."""
        missing = [
            json.loads(row.attributes)["agent"]
            for row in model.tasks
            if row.status == "pending" and not row.gone and model.wanted(row) == -1
            if "agent" in row.attributes
        ]
        return [name for name in missing if str(name).casefold().startswith("worker")]

    def update_channel(self, model: Model) -> Step:
        channel = self.pick(choices.CHANNELS)
        arguments: dict[str, Any] = {
            "worker": self.worker(model),
            "channel": "pigeon" if self.chance(0.05) else channel,
        }
        if self.chance(0.7):
            arguments["capacity"] = self.pick((0, 1, 2, 2, 3, 51))
        else:
            arguments["available"] = self.chance(0.6)
        return "update_channel", arguments

    def delete_worker(self, model: Model) -> Step | None:
        if sum(not row.gone for row in model.workers) < 2:
            return None
        named = [
            link.number
            for task in model.tasks
            if task.status in ("pending", "reserved")
            for link in task.routes[max(task.route, 0) :]
            if link.kind == "worker" and not model.workers[link.number].gone
        ]
        worker = self.pick(named) if named and self.chance(0.8) else self.worker(model)
        return "delete_worker", {"worker": worker}
