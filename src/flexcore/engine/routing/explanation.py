"""What Explain answers, as values."""

from collections.abc import Mapping

import msgspec

from flexcore.domain.model import Reservation, Task


class FailureCount(msgspec.Struct, frozen=True):
    """How many workers fail on a condition first."""

    condition: str
    text: str
    workers: int


class NearMiss(msgspec.Struct, frozen=True):
    """A worker who fails on little, and what would make them a candidate."""

    worker_sid: str
    worker_name: str
    failures: tuple[str, ...]
    remedies: tuple[str, ...]


class StepExplanation(msgspec.Struct, frozen=True):
    """One step of a task's way, as things are now.

    `eligible` workers satisfy every expression, `candidates` could be offered it now. In a
    `pull` queue nothing is offered; candidates could claim it.
    """

    filter_index: int
    target_index: int
    route: int
    task_queue_sid: str
    task_queue_name: str
    expression: str
    current: bool
    pull: bool
    workers: int
    eligible: int
    candidates: int
    failures: tuple[FailureCount, ...] = ()
    nearest: tuple[NearMiss, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """Why a task is where it is.

    `next_time` is when something happens to it by itself, 0 for never; `next_text` is what.
    """

    task: Task
    text: str
    next_time: int = 0
    next_text: str = ""
    steps: tuple[StepExplanation, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    #: when it was answered
    time: int = 0
    #: of what the task refers to, by sid
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
