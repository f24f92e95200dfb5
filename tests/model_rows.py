"""What the oracle remembers: facts, numbered in the order in which they came to be."""

from dataclasses import dataclass, field
from typing import Any

SECOND = 1_000_000
FINISHED = ("completed", "canceled")
HELD = ("pending", "accepted", "wrapping")

#: what a command states the version of: the first of these that it names
VERSIONED = ("reservation", "task", "queue", "workflow", "worker")

OFFLINE = "Offline"
#: the queue of a task that waits for one worker and is in none
EVERYBODY = -1
#: the filter of a step: the default filter, the queue that an exhaustion leads to, a
#: link of a routing target, the top of another revision once the offers have ended
DEFAULT, EXHAUSTED, ROUTE, ANEW = -1, -2, -3, -4

#: what the oracle knows of limits; tapes set some of them lower
LIMITS = {
    "ASSIGNMENTS_MAX": 1_000,
    "RE_EVALUATE_TASKS": 50,
    "REMOVED_AT_ONCE": 50,
    "SENT_ON_MAX": 50,
    "STEPS_AT_ONCE": 100,
    "REFUSALS_MAX": 100,
    "VANISHED_AT_ONCE": 50,
}

#: every policy by what it is called: strict, compat, and whether a queue may set it
POLICIES: dict[str, tuple[Any, Any, bool]] = {
    "step_clock": ("step", "age", False),
    "on_exhausted": ("default", "cancel", False),
    "refusal_scope": ("task", "none", True),
    "refusal_limit": (1, 1, True),
    "refusal_seconds": (30, 0, True),
    "missed_offer": ("away_after", "offline", True),
    "missed_offer_limit": (2, 1, True),
    "type_mismatch": ("negate", "false", False),
    "missing_array": ("empty", "false", False),
    "worker_order": ("longest_idle", "least_recently_offered", True),
    "direct_ignore_capacity": (False, True, False),
    "wrap_limit_seconds": (3_600, 0, True),
    "auto_complete": (True, False, True),
    "assigned_limit_seconds": (0, 86_400, False),
    "priority_boost_seconds": (0, 0, False),
    "vanished_worker": ("requeue", "none", False),
    "grace_seconds": (60, 60, False),
    "second_session": ("latest_wins", "all_ring", False),
    "retention_seconds": (0, 300, False),
}
#: the words a policy may be; the others are numbers from the first to the second
WORDS: dict[str, tuple[Any, ...]] = {
    "step_clock": ("step", "age"),
    "on_exhausted": ("cancel", "default", "repeat"),
    "refusal_scope": ("none", "step", "queue", "task"),
    "missed_offer": ("none", "soft_away", "away_after", "offline"),
    "type_mismatch": ("negate", "false"),
    "missing_array": ("empty", "false"),
    "worker_order": (
        "longest_idle",
        "least_recently_offered",
        "least_utilized",
        "round_robin",
    ),
    "direct_ignore_capacity": (True, False),
    "vanished_worker": ("none", "keep", "requeue", "queue"),
    "second_session": ("latest_wins", "all_ring"),
    "auto_complete": (True, False),
}
NUMBERS = {
    "refusal_limit": (1, 100),
    "refusal_seconds": (0, 86_400),
    "missed_offer_limit": (1, 100),
    "wrap_limit_seconds": (0, 86_400),
    "assigned_limit_seconds": (0, 1_209_600),
    "priority_boost_seconds": (0, 86_400),
    "grace_seconds": (0, 3_600),
    "retention_seconds": (0, 31_622_400),
}


class Refused(Exception):
    """Nothing has changed; the argument is the kind of the error."""


@dataclass
class ModelWorkspace:
    semantics: str = "strict"
    policies: dict[str, Any] = field(default_factory=dict)
    #: the kind of queue that is emptied first
    prefers: str = "FIFO"
    default_activity: str = OFFLINE
    timeout_activity: str = OFFLINE
    #: for what vanished workers had accepted, -1 for none
    vanished_queue: int = -1


@dataclass
class ModelWorker:
    name: str
    attributes: str
    activity: str
    sequence: int
    #: since when it has been available, 0 while it is not
    available_since: int = 0
    capacity: dict[str, int] = field(default_factory=dict)
    #: channels on which the worker takes nothing for now
    closed: set[str] = field(default_factory=set)
    offered: dict[str, int] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)
    missed: int = 0
    #: where it comes back to with the next sign of life
    away_from: str = ""
    #: what it does once nothing is left to do
    then: str = ""
    connectivity: str = "untracked"
    #: end of the grace period, or when the next few reservations of a lost worker end
    grace: int = 0
    #: lost, where that has effects
    out: bool = False
    gone: bool = False

    def due(self) -> int:
        return 0 if self.gone else self.grace


@dataclass
class ModelQueue:
    expression: str
    fan_out: int = 1
    order: str = "FIFO"
    policies: dict[str, Any] = field(default_factory=dict)
    #: the worker offered something last, -1 before the first
    cursor: int = -1
    gone: bool = False


@dataclass
class Plan:
    """One revision of a workflow.

    `filters` are dicts of expression (None takes every task), targets and on_exhausted;
    `default` is a target or None. A target is a dict of queue (that of the one before if
    None), priority, timeout, expression, order_by, skip_if and known, a pair of how and
    the path of a task attribute. `on_exhausted` is None, a word, or the number of a queue.
    """

    filters: list[dict[str, Any]]
    default: dict[str, Any] | None
    on_exhausted: str | int | None = None
    #: not one of those that come with a workspace, whose text is another
    written: bool = True

    def targets(self) -> list[dict[str, Any]]:
        own = [target for row in self.filters for target in row["targets"]]
        return own + ([self.default] if self.default else [])

    def queues(self) -> set[int]:
        """Name every queue it may lead to."""
        exits = [self.on_exhausted, *(row.get("on_exhausted") for row in self.filters)]
        named = [target.get("queue") for target in self.targets()]
        return {queue for queue in [*named, *exits] if isinstance(queue, int)}


@dataclass
class ModelWorkflow:
    revisions: list[Plan]
    reservation_timeout: int
    sequence: int = 0
    #: when the next few waiting tasks are moved to the current revision, 0 at no time
    re_evaluate: int = 0
    #: how many URLs are asked about an offer, one after the other
    callbacks: int = 0
    gone: bool = False

    def due(self) -> int:
        return self.re_evaluate

    @property
    def current(self) -> int:
        return len(self.revisions) - 1


@dataclass
class Link:
    """One link of a routing target: a worker, queue or workflow by number."""

    kind: str
    number: int
    wait: int = 0
    #: None when it does not say so; a task of the oracle asks when it is created
    ignore_capacity: bool | None = None


@dataclass
class ModelRefusal:
    count: int = 0
    passed_over: bool = False
    until: int = 0


@dataclass
class ModelTask:
    workflow: int
    revision: int
    channel: str
    attributes: str
    priority: int
    start: int
    created: int
    deadline: int
    sequence: int
    #: seconds it may wait in all
    timeout: int = 0
    status: str = "pending"
    #: number of the filter, or DEFAULT, EXHAUSTED, ROUTE, ANEW, and of the target
    step: tuple[int, int] = (ROUTE, 0)
    queue: int = EVERYBODY
    queue_entered: int = 0
    step_start: int = 0
    step_deadline: int = 0
    #: in a step that was over when the task came, from which it goes on at once
    passing: bool = False
    skip_pending: bool = False
    assignments: int = 0
    reason: str = ""
    disposition: str = ""
    refusals: dict[int, ModelRefusal] = field(default_factory=dict)
    routes: list[Link] = field(default_factory=list)
    #: number of the link it is at, -1 at none
    route: int = -1
    #: end of its being assigned or wrapped up, and of its being kept
    limit: int = 0
    purge: int = 0
    #: offers in a row whose callbacks failed, and until when it is not offered for that
    callback_failures: int = 0
    hold: int = 0
    gone: bool = False

    def due(self) -> int:
        """What ends the waiting of a task; a reserved one has its own deadline only."""
        if self.gone:
            return 0
        if self.status == "pending":
            ends = [refusal.until for refusal in self.refusals.values()]
            ends += [self.deadline, self.step_deadline, self.hold]
            return min(end for end in ends if end)
        if self.status == "reserved":
            return self.deadline
        return self.purge if self.status in FINISHED else self.limit

    def end(self) -> int:
        """When waiting is over whatever happens, else what is due."""
        return self.deadline if self.status in ("pending", "reserved") else self.due()


@dataclass
class ModelReservation:
    task: int
    worker: int
    channel: str
    queue: int
    deadline: int
    candidates: int
    sequence: int
    status: str = "pending"
    #: how many URLs may still be asked, or are being asked
    urls: int = 0
    gone: bool = False

    def due(self) -> int:
        return self.deadline if self.status == "pending" and not self.gone else 0


def patched(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = patched(merged.get(key), value)
    return merged
