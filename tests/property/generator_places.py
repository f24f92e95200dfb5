"""The part of the generator that knows how to choose, and changes where workers are."""

import random
from typing import Any

from tests.model import Model
from tests.property import choices
from tests.property.choices import NOTHING

Step = tuple[str, dict[str, Any]]


class PlaceActors:
    """Each method is an actor: it returns a step, or None when it has nothing to do."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pick = self.rng.choice
        self.breaks = 1

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def alive(self, rows: list[Any]) -> int:
        """One of those that are there, seldom one that is not."""
        if self.chance(0.04):
            return self.pick([*range(len(rows)), NOTHING])
        there = [n for n, row in enumerate(rows) if not row.gone]
        return self.pick(there or [NOTHING])

    # Activities, channels

    def create_activity(self, model: Model) -> Step | None:
        if len(model.activities) > 6:
            return None
        name = self.pick(sorted(model.names.values()))
        if not self.chance(0.2):
            # Never a name again, or it would mean two activities on a tape.
            self.breaks += 1
            name = f"Break {self.breaks}"
        return "create_activity", {"name": name, "available": self.chance(0.5)}

    def delete_activity(self, model: Model) -> Step:
        names = [name for name in model.activities if name != "Available"]
        return "delete_activity", {"name": self.pick([*names, "Coaching", "Lunch"])}

    def rename_activity(self, model: Model) -> Step:
        """Mostly one that expressions know by name, there and back."""
        name = self.pick(("Coaching", "Coaching", *model.activities, "Lunch"))
        shown = self.pick(("Coaching", "Tutoring", *model.names.values()))
        return "rename_activity", {"name": name, "shown": shown}

    def create_channel(self, _model: Model) -> Step:
        channel = self.pick(("pigeon", "pigeon", "chat", "default"))
        return "create_channel", {"channel": channel, "optimized": self.chance(0.3)}

    def delete_channel(self, _model: Model) -> Step:
        channel = self.pick((*["pigeon"] * 6, "sms", "default", "chat"))
        return "delete_channel", {"channel": channel}

    def task_channel(self, model: Model) -> str:
        """One for tasks: the common ones, and pigeons if there are any."""
        pigeons = ("pigeon",) * ("pigeon" in model.channels)
        return self.pick((*choices.CHANNELS, *pigeons))

    def update_task_channel(self, model: Model) -> Step:
        channel = self.pick(("default", "chat"))
        return "update_task_channel", {
            "channel": channel,
            "optimized": not model.channels.get(channel),
        }
