"""What can be asked about routing in figures, and the answer.

`RealTime` is how things stand, `Cumulative` what happened in a window of time. Times and
durations are microseconds. What each figure means is docs/statistics.md.
"""

from enum import StrEnum

import msgspec

from flexcore.domain.buckets import Cell, Durations
from flexcore.domain.states import Connectivity, WorkState


class Scope(StrEnum):
    """What is asked about; the values are those of the fields that rows name it by."""

    WORKSPACE = "workspace_sid"
    TASK_QUEUE = "task_queue_sid"
    WORKFLOW = "workflow_sid"
    #: one worker
    WORKER = "worker_sid"
    #: all workers of a workspace
    WORKERS = "workers"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures of what, for which window.

    Without an end the window goes up to now; without a start it is `minutes` long, the
    default 15. `task_channel` is a sid or unique name; empty means all. A worker must be
    of the workspace that is named beside it.
    """

    scope: Scope
    sids: tuple[str, ...]
    start: int = 0
    end: int = 0
    minutes: int = 0
    task_channel: str = ""
    workspace_sid: str = ""


class ActivityWorkers(msgspec.Struct, frozen=True):
    """How many workers are in an activity now."""

    sid: str
    friendly_name: str
    workers: int


class TasksNow(msgspec.Struct, frozen=True, kw_only=True):
    """Open tasks, and which waits longest, since when; empty and 0 when none waits.

    Times and not ages, so that it changes only when something happens.
    """

    by_status: dict[str, int]
    by_priority: dict[int, int]
    longest_waiting_since: int
    longest_waiting_sid: str
    longest_in_queue_since: int
    longest_in_queue_sid: str


class WorkersNow(msgspec.Struct, frozen=True, kw_only=True):
    """Workers of a workspace, or those a queue is for.

    `available` are in an activity that takes offers, with or without room.
    """

    activities: tuple[ActivityWorkers, ...]
    total: int
    available: int


class ChannelNow(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker holds and may hold on a channel."""

    task_channel_sid: str
    task_channel_unique_name: str
    configured_capacity: int
    available: bool
    #: open reservations by status
    reservations: dict[str, int]


class WorkerNow(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker is doing, since when, and what the worker holds."""

    activity_sid: str
    activity_name: str
    available: bool
    activity_time: int
    channels: tuple[ChannelNow, ...]
    connectivity: Connectivity
    work_state: WorkState


class RealTime(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand; what is not asked about is None."""

    tasks: TasksNow | None = None
    #: the tasks of each channel alone, by its sid
    channels: dict[str, TasksNow] = {}
    workers: WorkersNow | None = None
    worker: WorkerNow | None = None


class ActivityTime(msgspec.Struct, frozen=True):
    """How long workers were in an activity within the window."""

    sid: str
    friendly_name: str
    available: bool
    durations: Durations


class WorkTime(msgspec.Struct, frozen=True, kw_only=True):
    """What workers did with the time of the window.

    `held` is how long each held at least one accepted task, `available` how long each
    was in an activity that takes offers.
    """

    activities: tuple[ActivityTime, ...] = ()
    held: int = 0
    available: int = 0

    @property
    def occupancy(self) -> float | None:
        """The share of available time with work in hand; None without such time."""
        return self.held / self.available if self.available else None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand with one resource, and what happened to it in the window.

    `channels` has a cell for each task channel by sid; their sum is `total`.
    """

    sid: str
    real_time: RealTime
    total: Cell
    channels: dict[str, Cell]
    work: WorkTime | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the window, when it was decided, and figures in the order asked for.

    `channel_names` are the unique names of task channels by sid.
    """

    start: int
    end: int
    time: int
    figures: tuple[Figures, ...]
    channel_names: dict[str, str]


class Standings(msgspec.Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """What changed about how a workspace and its task queues stand, since the one before.

    One that is `whole` says everything: a queue that is not in it is no more. One without
    figures is a heartbeat. Who gave the same to several gives them the same object.
    """

    time: int
    whole: bool = False
    workspace: RealTime | None = None
    task_queues: dict[str, RealTime] = {}
    channel_names: dict[str, str] = {}
