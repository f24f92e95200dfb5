"""The company that the simulated work happens in: what is set up before anybody comes.

Every seed is another one: other policies, other queues of other kinds, other workflows.
"""

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from flexcore.domain.errors import FlexcoreError
from flexcore.domain.model import Row
from flexcore.engine import commands as c
from tests.simulation.site import Site

LANGUAGES = ("en", "en", "en", "es", "es", "fr")
TOPICS = ("billing", "billing", "orders", "orders", "repair", "paper")
CHANNELS = ("voice", "voice", "voice", "voice", "chat", "chat", "sms")


class Queue(NamedTuple):
    """A queue, and what supervisors make of its expression for a while."""

    expressions: tuple[str, ...]
    max_reserved_workers: int = 1
    task_order: str = "FIFO"


QUEUES: dict[str, Queue] = {
    "english": Queue(
        (
            "skills HAS 'en'",
            "skills HAS 'en' OR skills HAS 'es'",
            "skills HAS 'en' AND level >= 2",
        )
    ),
    "spanish": Queue(("skills HAS 'es'",)),
    "french": Queue(
        ("skills HAS 'fr'", "'fr' IN skills AND activity_name != 'Backup'")
    ),
    "billing": Queue(
        ("skills HAS 'billing' AND level >= 2", "skills HAS 'billing'", "level >= 2")
    ),
    "repair": Queue(
        ("skills HAS 'repair'", "skills HAS 'repair' OR level == 3", ""),
        task_order="LIFO",
    ),
    "seniors": Queue(("level >= 3", "level >= 2", "level >= 3 OR team == 'red'")),
    "rush": Queue(
        ("1==1", "team == 'blue'", "skills != 'none'", "'rush' NOT IN spared"),
        max_reserved_workers=3,
    ),
    "papers": Queue(("NOT skills HAS 'repair'",), max_reserved_workers=0),
    "all hands": Queue(("1==1",)),
}

ACTIVITIES = (("Break", False), ("Lunch", False), ("Training", False), ("Backup", True))

#: policies that differ from company to company; None is what the preset says
POLICIES: dict[str, tuple[str | int | bool | None, ...]] = {
    "priority_boost_seconds": (None, None, 20, 60),
    "worker_order": (
        None,
        None,
        "least_recently_offered",
        "least_utilized",
        "round_robin",
    ),
    "missed_offer": (None, None, "none", "soft_away"),
    "missed_offer_limit": (None, None, 1, 3),
    "refusal_scope": (None, None, None, "step", "queue"),
    "refusal_limit": (None, None, 2),
    "refusal_seconds": (None, None, 5, 0),
    "direct_ignore_capacity": (None, None, True),
    "wrap_limit_seconds": (None, 60, 120),
    "auto_complete": (None, None, False),
    "assigned_limit_seconds": (None, None, None, 1_200),
    "on_exhausted": (None, None, "repeat"),
    "step_clock": (None, None, "age"),
    "retention_seconds": (None, 900, 60),
    "type_mismatch": (None, None, "false"),
    "missing_array": (None, None, "false"),
    "vanished_worker": (None, "queue", "keep", "none"),
    "grace_seconds": (None, 5, 30),
    "second_session": (None, None, "all_ring"),
}
#: those that queues may have for themselves
QUEUE_POLICIES = ("worker_order", "missed_offer", "refusal_scope", "refusal_limit")


class Company:
    """Sids by name, as everybody knows them."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.site = site
        self.rng = rng
        self.workspace_sid = ""
        self.activities: dict[str, str] = {}
        self.queues: dict[str, str] = {}
        self.workflows: dict[str, str] = {}
        #: on some days everything takes longer, and people have to wait
        self.bustle = rng.choice((0.7, 1.0, 1.0, 1.5, 2.5))
        self._waiting = 0

    def set_up(self) -> None:
        """Create what everything else needs."""
        self._ask(c.CreateDefaults(), self._fill)

    def _fill(self, rows: tuple[Row, ...]) -> None:
        self.workspace_sid = rows[0].sid
        self._ask(
            c.UpdateWorkspace(
                sid=self.workspace_sid,
                semantics=self.rng.choice(("strict", "strict", "compat")),
                policies=self.policies(*POLICIES),
                prioritize_queue_order=self.rng.choice(("FIFO", "FIFO", "LIFO")),
            )
        )
        for name, available in ACTIVITIES:
            self._ask(
                c.CreateActivity(
                    workspace_sid=self.workspace_sid,
                    friendly_name=name,
                    available=available,
                )
            )
        self._ask(
            c.CreateTaskChannel(
                workspace_sid=self.workspace_sid,
                unique_name="voice",
                friendly_name="Voice",
                channel_optimized_routing=self.rng.random() < 0.5,
            )
        )
        for name, queue in QUEUES.items():
            self._ask(
                c.CreateTaskQueue(
                    workspace_sid=self.workspace_sid,
                    friendly_name=name,
                    target_workers=queue.expressions[0],
                    max_reserved_workers=queue.max_reserved_workers,
                    task_order=queue.task_order,
                    policies=self.policies(*QUEUE_POLICIES),
                ),
                lambda rows, name=name: self.queues.update({name: rows[0].sid}),
            )

    def policies(self, *names: str) -> dict[str, Any]:
        """Draw policies for the workspace or for a queue."""
        drawn = {name: self.rng.choice(POLICIES[name]) for name in names}
        return {name: value for name, value in drawn.items() if value is not None}

    def open(self) -> None:
        """Create the workflows, once there are queues."""
        everybody = self.queues["all hands"]
        self._ask(c.UpdateWorkspace(sid=self.workspace_sid, vanished_queue=everybody))
        urls = self.rng.choice((0, 1, 1, 2))
        for name in ("service", "sales"):
            asked = ["https://one.example.org/", "https://two.example.org/"][:urls]
            first, fallback, *_ = *(asked if name == "sales" else ()), "", ""
            self._ask(
                c.CreateWorkflow(
                    workspace_sid=self.workspace_sid,
                    friendly_name=name,
                    configuration=self.document(name),
                    task_reservation_timeout_seconds=self.rng.choice((15, 20, 30)),
                    assignment_callback_url=first,
                    fallback_assignment_callback_url=fallback,
                ),
                lambda rows, name=name: self.workflows.update({name: rows[0].sid}),
            )

    def _ask(
        self, command: c.Mutation, then: Callable[[Any], None] | None = None
    ) -> None:
        self._waiting += 1

        def answered(found: c.Answer | FlexcoreError) -> None:
            self._waiting -= 1
            if isinstance(found, FlexcoreError):
                raise found
            if then is not None:
                then(found.rows)

        self.site.ask("SK-set-up", command, answered)

    @property
    def ready(self) -> bool:
        """Say whether all of it was answered."""
        return self._waiting == 0

    # workflows

    def document(self, name: str) -> str:
        """Return a configuration; each time another one of the same kind."""
        filters = self._service() if name == "service" else self._sales()
        routing: dict[str, Any] = {
            "filters": filters,
            "default_filter": {"queue": self.queues["all hands"]},
        }
        if self.rng.random() < 0.2:
            routing["on_exhausted"] = {
                "action": "queue",
                "queue": self.queues["all hands"],
            }
        return json.dumps({"task_routing": routing})

    def _service(self) -> list[dict[str, Any]]:
        some = self.rng.choice
        return [
            self._filter(
                "agent IS NOT NULL",
                self._target(
                    "all hands",
                    known_worker_sid="task.agent",
                    timeout=some((10, 30)),
                    skip_if=some((None, "1==1", "workers.available < 3")),
                ),
            ),
            self._filter(
                "vip",
                self._target("seniors", priority=8, timeout=some((10, 40))),
                self._target("rush", priority=10, timeout=some((60, 600))),
            ),
            self._filter(
                "topic == 'billing'",
                self._target(
                    "billing",
                    timeout=some((30, 60, 120)),
                    skip_if=some((None, "workers.available <= 2")),
                    order_by=some((None, "worker.level DESC", "worker.level ASC")),
                ),
                self._target(
                    "english",
                    priority=3,
                    timeout=some((60, 300)),
                    expression="worker.level >= task.least OR task.least IS NULL",
                ),
                self._target("all hands", priority=5, timeout=some((60, 900))),
            ),
            self._filter(
                "topic == 'repair'",
                self._target("repair", timeout=some((60, 600))),
                on_exhausted=some((None, "cancel", "repeat", "default")),
            ),
            self._filter("topic == 'paper'", self._target("papers")),
        ]

    def _sales(self) -> list[dict[str, Any]]:
        alone = "worker.channel.voice.available_capacity_percentage == 100"
        return [
            self._filter(
                f"lang == '{code}'",
                self._target(
                    name,
                    timeout=self.rng.choice((15, 45, 90)),
                    expression=self.rng.choice(
                        (None, alone, "task.lang IN worker.skills")
                    ),
                    order_by="worker.channel.chat.assigned_tasks ASC, worker.level DESC",
                ),
                self._target("all hands", priority=self.rng.choice((1, 4))),
            )
            for code, name in (("en", "english"), ("es", "spanish"), ("fr", "french"))
        ]

    def _filter(
        self, expression: str, *targets: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        return {"expression": expression, "targets": list(targets), **more}

    def _target(self, queue: str, **more: Any) -> dict[str, Any]:
        return {"queue": self.queues[queue], **more}


class Profile(NamedTuple):
    """How large and how busy it is."""

    agents: int
    tasks: int
    hours: float

    @property
    def day(self) -> bool:
        """Say whether people come along the curve of a day, and in shifts."""
        return self.hours > 6
