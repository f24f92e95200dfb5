"""The presets of a workspace: what `strict` and `compat` stand for, and nowhere else.

Engine and matcher read policies and never a preset. A policy is looked for in the task
queue (if it may override it), then in the workspace, then in the workspace's preset.
docs/semantics.md is printed from this table.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument

Value: TypeAlias = str | int | bool
#: policies somebody set, by name; what is not there comes from further up
Overrides: TypeAlias = Mapping[str, Value]


class Semantics(StrEnum):
    """A preset: `strict` is flexcore's own, `compat` behaves as TaskRouter does."""

    STRICT = "strict"
    COMPAT = "compat"


#: the preset of a workspace that names none
DEFAULT_SEMANTICS = Semantics.STRICT


class Policy(NamedTuple):
    """One line of the table: one of some words, a number within a range, or a boolean."""

    strict: Value
    compat: Value
    words: tuple[str, ...]
    range: tuple[int, int] | None
    #: a task queue may set it for itself
    queue: bool
    meaning: str


POLICIES: Mapping[str, Policy] = {
    "step_clock": Policy(
        "step",
        "age",
        ("step", "age"),
        None,
        False,
        "what the timeout of a routing step counts from: `step`, from entering "
        "it, so that no step is passed over untried; `age`, the sum of the "
        "timeouts up to it from the task's creation, but those of filters that were "
        "skipped",
    ),
    "on_exhausted": Policy(
        "default",
        "cancel",
        ("cancel", "default", "repeat"),
        None,
        False,
        "what follows when the last step timed out and no later filter matches: "
        "`cancel` the task; go to the `default` filter, if there is one, else "
        "cancel; `repeat` from the first filter that matches; a workflow may say "
        "otherwise",
    ),
    "refusal_scope": Policy(
        "task",
        "none",
        ("none", "step", "queue", "task"),
        None,
        True,
        "how long the refusals of a task by a worker count: not at all, or while "
        "the task is in the same `step`, in the same `queue`, or as long as there "
        "is the `task`; a rejected and a missed offer are refusals, and those of the "
        f"latest {limits.REFUSALS_MAX} workers count; expressions read these workers as "
        "`task.refused_by`, which is empty where none counts",
    ),
    "refusal_limit": Policy(
        1,
        1,
        (),
        (1, 100),
        True,
        "refusals after which a worker is passed over",
    ),
    "refusal_seconds": Policy(
        30,
        0,
        (),
        (0, 86400),
        True,
        "how long the worker is passed over for that task; 0 means as long as the "
        "refusals count",
    ),
    "missed_offer": Policy(
        "away_after",
        "offline",
        ("none", "soft_away", "away_after", "offline"),
        None,
        True,
        "what a missed offer does to its worker: nothing; `soft_away`, to the "
        "timeout activity until the worker accepts, rejects, claims, wraps up or "
        "completes something, or is changed by UpdateWorker or UpdateWorkerChannel "
        "(a message is no such sign); `away_after`, to "
        "the timeout activity after missed_offer_limit in a row; `offline`, to "
        "the timeout activity at once",
    ),
    "missed_offer_limit": Policy(
        2,
        1,
        (),
        (1, 100),
        True,
        "offers missed in a row that `away_after` waits for",
    ),
    "type_mismatch": Policy(
        "negate",
        "false",
        ("negate", "false"),
        None,
        False,
        "what `!=`, NOT IN and NOT CONTAINS are for operands of the wrong kind "
        "(an array where a single value belongs, or the other way round): the "
        "exact opposite of the positive operator, or false",
    ),
    "missing_array": Policy(
        "empty",
        "false",
        ("empty", "false"),
        None,
        False,
        "what `x NOT IN a` is where a is missing: true, as for an `empty` array, "
        "or false",
    ),
    "worker_order": Policy(
        "longest_idle",
        "least_recently_offered",
        ("longest_idle", "least_recently_offered", "least_utilized", "round_robin"),
        None,
        True,
        "which of the candidates is first, after the order_by of the step: "
        "`longest_idle` since becoming available, the last offer or the end of "
        "the last one; `least_recently_offered`; `least_utilized`, by held over "
        "capacity, then longest idle; `round_robin`, the next one in order of "
        "creation",
    ),
    "direct_ignore_capacity": Policy(
        False,
        True,
        (),
        None,
        False,
        "whether a routing target that names a worker ignores the worker's capacity and "
        "activity, if the target says nothing about that and states no wait",
    ),
    "wrap_limit_seconds": Policy(
        3600,
        0,
        (),
        (0, 86400),
        True,
        "how long a wrap-up may take, the same on every task channel and not to be "
        "extended by a call; 0 means no limit",
    ),
    "auto_complete": Policy(
        True,
        False,
        (),
        None,
        True,
        "whether the server completes a task at its wrap-up limit, or only says so",
    ),
    "assigned_limit_seconds": Policy(
        0,
        86400,
        (),
        (0, 1209600),
        False,
        "how long a task may be assigned before it is deleted; 0 means no limit",
    ),
    "priority_boost_seconds": Policy(
        0,
        0,
        (),
        (0, 86400),
        False,
        "how many seconds of waiting are worth one point of priority in FIFO queues: a "
        "task with n points more that came n times as many seconds later does not "
        "overtake; 0 means that waiting does not count",
    ),
    "vanished_worker": Policy(
        "requeue",
        "none",
        ("none", "keep", "requeue", "queue"),
        None,
        False,
        "what follows when no session vouches for a worker any more and the grace period "
        "is over: nothing; or the worker is not available and loses pending "
        "offers, and what the worker has accepted stays (`keep`), or goes back to its "
        "queue, in its old place (`requeue`), or to the workspace's queue for that "
        "(`queue`; where there is none, to its own); what is being wrapped up stays always",
    ),
    "grace_seconds": Policy(
        60,
        60,
        (),
        (0, 3600),
        False,
        "how long nothing changes for a worker for whom no session vouches any more",
    ),
    "second_session": Policy(
        "latest_wins",
        "all_ring",
        ("latest_wins", "all_ring"),
        None,
        False,
        "what follows when a second agent session declares a worker: the first session is "
        "told that it is replaced, and hears of the worker no more; or both are told of "
        "offers, and either vouches",
    ),
    "retention_seconds": Policy(
        0,
        300,
        (),
        (0, limits.RETENTION_SECONDS_MAX),
        False,
        "how long a finished task can be read before it is deleted; 0 means for ever; "
        "counts for tasks that end while it is set",
    ),
}


class Policies(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A value for every policy of the table above."""

    step_clock: str
    on_exhausted: str
    refusal_scope: str
    refusal_limit: int
    refusal_seconds: int
    missed_offer: str
    missed_offer_limit: int
    type_mismatch: Literal["negate", "false"]
    missing_array: Literal["empty", "false"]
    worker_order: str
    direct_ignore_capacity: bool
    wrap_limit_seconds: int
    auto_complete: bool
    assigned_limit_seconds: int
    priority_boost_seconds: int
    vanished_worker: str
    grace_seconds: int
    second_session: str
    retention_seconds: int


_PRESETS: Mapping[Semantics, Mapping[str, Value]] = {
    Semantics.STRICT: {name: policy.strict for name, policy in POLICIES.items()},
    Semantics.COMPAT: {name: policy.compat for name, policy in POLICIES.items()},
}


def resolved(semantics: str, *overrides: Overrides) -> Policies:
    """Return the policies of a preset with overrides, the later ones first."""
    return _resolved(semantics, *(tuple(sorted(each.items())) for each in overrides))


@lru_cache(maxsize=1_024)
def _resolved(semantics: str, *overrides: tuple[tuple[str, Value], ...]) -> Policies:
    values = dict(_PRESETS[Semantics(semantics)])
    for each in overrides:
        values.update(each)
    return msgspec.convert(values, Policies)


def check_overrides(
    given: Overrides, field: str = "policies", *, queue: bool = False
) -> dict[str, Value]:
    """Return checked overrides; INVALID_ARGUMENT names every bad one."""
    bad = [
        (f"{field}.{name}", refusal)
        for name, value in given.items()
        if (refusal := _refusal(name, value, queue=queue))
    ]
    if bad:
        raise InvalidArgument.of(bad)
    return dict(sorted(given.items()))


def _refusal(name: str, value: Value, *, queue: bool) -> str:
    policy = POLICIES.get(name)
    if policy is None:
        return "there is no such policy"
    if queue and not policy.queue:
        return "is a policy of the workspace, not of a queue"
    if isinstance(policy.strict, bool):
        return "" if isinstance(value, bool) else "must be true or false"
    if not policy.range:
        words = ", ".join(policy.words)
        return "" if value in policy.words else f"must be one of {words}"
    least, most = policy.range
    if isinstance(value, bool) or not isinstance(value, int):
        return "must be a whole number"
    return "" if least <= value <= most else f"must be {least} to {most}, is {value}"
