"""What random tapes are made of: the values that a generator chooses from."""

from typing import Any

#: a number that nothing has
NOTHING = 99

ACTIVITIES = ("Offline", "Available", "Unavailable", "Coaching")
CHANNELS = ("default", "default", "chat")
QUEUES = (
    "1==1",
    "level >= 2",
    "'es' IN skills",
    "skills HAS 'es' OR level == 3",
    "activity_name != 'Coaching'",
    "'es' NOT IN skills",
    "skills != 'es'",
    "skills NOT CONTAINS 'e' AND friendly_name != 'worker 3'",
    "",
)
WORKERS = (
    '{"level":1,"skills":["es"]}',
    '{"level":2,"skills":[]}',
    '{"level":3,"skills":["es","fr"],"routing":{"rank":7}}',
    '{"level":"high","skills":"es","routing":{"rank":2.5}}',
    "{}",
)
#: what is merged into the attributes of a worker
WORKER_PATCHES: tuple[dict[str, Any], ...] = (
    {"level": 2},
    {"skills": None},
    {"routing": {"rank": 5}},
    {},
)
FILTERS = (
    "lang == 'es'",
    "vip",
    "lang IS NOT NULL",
    "'es' NOT IN tags",
    "tags != 'x'",
    "agent IN refused_by",
    None,
)
PAIRS = (
    "task.lang IN worker.skills",
    "worker.level >= 2",
    "task.lang NOT IN worker.skills",
    "worker.channel.chat.available_capacity_percentage >= 50",
    "worker.channel.default.assigned_tasks == 0",
    "worker.channel.chat.configured_capacity > 1 OR task.vip",
    "worker.channel.pigeon.assigned_tasks IS NULL AND worker.activity_name != 'Coaching'",
    "worker.sid NOT IN task.refused_by",
    "worker.friendly_name != task.agent",
)
ORDERS = (
    "worker.level DESC",
    "worker.level ASC",
    "worker.routing.rank DESC, worker.level ASC",
    "worker.skills ASC",
    "worker.channel.chat.available_capacity_percentage DESC",
    "worker.channel.default.assigned_tasks ASC, worker.level DESC",
)
#: a name in braces stands for the sid of an activity
SKIPS = (
    "1 == 1",
    "workers.available == 0",
    "workers.unavailable > 0",
    "workers.{Coaching} >= 1",
    "workers.available < 2 AND workers.{Offline} == 0",
    "workers.{Break 1} > 0 OR workers.available > 1",
)
KNOWN = (("sid", "agent"), ("friendly_name", "agent"))
SECONDS = (1, 5, 5, 10, 15, 30)

#: what each policy is set to
POLICIES: dict[str, tuple[Any, ...]] = {
    "step_clock": ("age", "step"),
    "on_exhausted": ("cancel", "default", "repeat", "repeat"),
    "refusal_scope": ("none", "none", "none", "step", "queue", "queue", "task"),
    "refusal_limit": (1, 2, 3),
    "refusal_seconds": (0, 5, 20),
    "missed_offer": ("none", "soft_away", "soft_away", "away_after", "offline"),
    "missed_offer_limit": (1, 2, 3),
    "type_mismatch": ("negate", "false"),
    "missing_array": ("empty", "false"),
    "worker_order": (
        "longest_idle",
        "least_recently_offered",
        "least_utilized",
        "round_robin",
    ),
    "direct_ignore_capacity": (True, False),
    "wrap_limit_seconds": (0, 5, 20),
    "auto_complete": (True, False),
    "assigned_limit_seconds": (0, 10, 40),
    "priority_boost_seconds": (0, 3, 10),
    "vanished_worker": ("none", "keep", "requeue", *["queue"] * 4),
    "grace_seconds": (0, 0, 5, 20),
    "retention_seconds": (0, 5, 30, 2_592_000),
}
#: what becomes of who vouches for workers
PRESENCE = (
    "connect",
    "connect",
    "silence",
    "silence",
    "silence",
    "restart",
    "forget",
    "forget",
)
#: those that a queue may set for itself
OF_QUEUES = (
    "refusal_scope",
    "refusal_limit",
    "refusal_seconds",
    "missed_offer",
    "missed_offer_limit",
    "worker_order",
    "wrap_limit_seconds",
    "auto_complete",
)
BAD_POLICIES: tuple[dict[str, Any], ...] = (
    {"refusal_limit": 0},
    {"missed_offer": "sometimes"},
    {"wrap_limit_seconds": 86_401},
    {"kindness": "high"},
)
#: one wrong argument each
BAD_TASKS: tuple[dict[str, Any], ...] = (
    {"workflow": NOTHING},
    {"channel": "pigeon"},
    {"priority": -1},
    {"timeout": -1},
    {"start": NOTHING},
    {"routes": ({"kind": "worker", "number": NOTHING},)},
    {"routes": ({"kind": "workflow", "number": 0}, {"kind": "queue", "number": 0})},
    {"routes": ({"kind": "workflow", "number": 0, "wait": 5},)},
    {"routes": ({"kind": "queue", "number": 0, "ignore_capacity": True},)},
)
