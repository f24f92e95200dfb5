"""The matcher: which worker is offered which task.

It knows integers and attribute values, nothing of the rest of flexcore. It is
synchronous and deterministic, belongs to one thread, reads no clock and calls nothing.

Numbers of queues and channels, orders, sequences and items are the caller's; handles
are the matcher's, opaque, and never given out twice by one object. A handle whose
worker or task is gone raises StaleHandle, a number that does not fit OverflowError. A
call that raises has changed nothing, unless memory ran out.

In the complexities below: n tasks wait in a queue; a worker belongs to q queues and has
c channels; w workers, p profiles (workers alike in all that programs read) and g groups
(pairs of queue and channel a task ever waited for) are in the router.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias, TypedDict, final

_Program: TypeAlias = tuple[tuple[Any, ...], ...]

DEBUG: bool
"""Built with FLEXCORE_DEBUG=1: bounds, overflow and containers are checked."""

class StaleHandle(KeyError):
    """The handle was never given out, or what it stood for is gone."""

@final
class TaskQueue:
    """Items by priority (high first), start (low first), sequence (low first).

    The caller gives each task another sequence; that makes the order total, so the same
    tasks always leave in the same order. Iteration yields the items in that order and
    takes none: O(n log n).
    """

    def __init__(self) -> None: ...
    def push(self, item: int, priority: int, start: int, sequence: int) -> int:
        """Add an item; return its handle. O(log n)."""

    def peek(self) -> int:
        """Return the first item; raises IndexError if there is none. O(1)."""

    def pop(self) -> int:
        """Take the first item; raises IndexError if there is none. O(log n)."""

    def remove(self, handle: int) -> None:
        """Take an item out, wherever it is. O(log n)."""

    def reprioritize(self, handle: int, priority: int) -> None:
        """Change the priority of an item. O(log n)."""

    def check(self) -> None:
        """Raise AssertionError if an invariant is broken. O(n)."""

    def __len__(self) -> int: ...
    def __contains__(self, handle: int) -> bool: ...
    def __iter__(self) -> Iterator[int]: ...

class QueueDump(TypedDict):
    """A queue and what is counted in it."""

    queue: int
    program: _Program
    members: int
    available: int
    waiting: int

class WorkerDump(TypedDict):
    """A worker; channels are (channel, capacity, occupied), ascending."""

    order: int
    attributes: dict[str, Any]
    available: bool
    last_offered: int
    channels: list[tuple[int, int, int]]
    queues: list[int]

class TaskDump(TypedDict):
    """A waiting task; the keys are the arguments of add_task."""

    queue: int
    channel: int
    priority: int
    start: int
    sequence: int

class RouterDump(TypedDict):
    """What a router was told and what follows, without handles."""

    queues: list[QueueDump]
    workers: list[WorkerDump]
    tasks: list[TaskDump]

@final
class Router:
    """Decides which offers follow from workers, queues and waiting tasks.

    A worker is free for a task if the program of its queue holds for the worker's
    attributes, the worker is available and occupies less than their capacity on the
    channel of the task. Changes are facts and decide nothing; match decides:

    of all waiting tasks that have a free worker, the first by priority (high first),
    start and sequence, over all queues, goes to the free worker offered something least
    recently, of equals to the one of lowest order; and again, until no waiting task has
    a free worker. A task nobody can take does not hold up others.

    Facts: set_queue, remove_queue; add_worker, set_attributes, set_available,
    set_channel, release, remove_worker; add_task, remove_task, reprioritize.
    Decisions: match. Reading: waiting, members, available, eligible, dump, check.
    """

    def __init__(self) -> None: ...

    # Queues

    def set_queue(self, queue: int, program: _Program) -> None:
        """Add a queue or give it another program; no instructions match nobody.

        Programs are postfix: ("const", value), ("path", "worker", segments), or an
        operator on what lies on the stack: "==", "!=", "<", "<=", ">", ">=", "has",
        "in", "not_in", "contains", "not_contains", "and", "or", "is_null",
        "is_not_null", "not". Raises ValueError for anything else, and for a negative
        queue. O(p + w), and O(w) more for each path no program read before.
        """

    def remove_queue(self, queue: int) -> None:
        """Forget a queue; raises ValueError while tasks wait in it. O(p + w)."""

    def waiting(self, queue: int) -> int:
        """Count the tasks that wait in a queue; KeyError if there is none. O(1)."""

    def members(self, queue: int) -> int:
        """Count the workers whose attributes satisfy a queue. O(1)."""

    def available(self, queue: int) -> int:
        """Count the members who are available, with or without room. O(1)."""

    def eligible(self, queue: int, worker: int) -> bool:
        """Say whether a worker is a member of a queue. O(1)."""

    # Workers

    def add_worker(
        self,
        attributes: dict[str, Any],
        available: bool,
        last_offered: int,
        order: int,
    ) -> int:
        """Add a worker without room on any channel; return a handle.

        Attributes are JSON values, kept by reference and not to be changed in place.
        The order differs from every other worker's, else ValueError.
        O(q c), and one evaluation per program for the first of a profile.
        """

    def set_attributes(self, worker: int, attributes: dict[str, Any]) -> None:
        """Replace the attributes; evaluates only programs that read a changed value.

        O(paths), and O(q c) if a program reads a changed value.
        """

    def set_available(self, worker: int, available: bool) -> None:
        """Say whether the worker takes offers at all. O(q c)."""

    def set_channel(
        self, worker: int, channel: int, capacity: int, occupied: int
    ) -> None:
        """Say how much a worker may and does hold on a channel. O(q).

        Raises ValueError for a negative number, and for channel number 1,001.
        """

    def release(self, worker: int, channel: int) -> None:
        """Count one held less on a channel; ValueError if nothing is. O(q)."""

    def remove_worker(self, worker: int) -> None:
        """Forget a worker. O(q c + g), and a scan of the idle orders they are in."""

    # Tasks

    def add_task(
        self, queue: int, channel: int, priority: int, start: int, sequence: int
    ) -> int:
        """Let a task wait in a queue; return a handle. O(log n).

        Raises KeyError if the queue is not known. The sequence differs from every other
        waiting task's. The first task of a queue on a channel costs O(w).
        """

    def remove_task(self, task: int) -> None:
        """Take out a task that waits no longer. O(log n)."""

    def reprioritize(self, task: int, priority: int) -> None:
        """Change the priority of a waiting task. O(log n)."""

    # Decisions

    def match(self, now: int, limit: int | None = None) -> list[tuple[int, int, int]]:
        """Make the offers that follow from what changed since the last call.

        At most `limit` of them, if given; the next call goes on where this one stopped.
        Each is (task, worker, candidates), in the order of decision. The task waits no
        longer and its handle is stale; the worker occupies one more on the channel and
        was last offered something at `now`; candidates counts the free workers there
        were, the winner included. Per worker who became free O(q), and O(q c log w) if
        nothing waits for them; per offer O(q + log n + log w), amortized.
        """

    # Inspection

    def check(self) -> None:
        """Raise AssertionError, with a dump, if an invariant is broken.

        Finds every count and every remembered answer again from the facts; for tests,
        the simulator and `flexcore check`. O(everything).
        """

    def dump(self) -> RouterDump:
        """Return the facts and what was derived from them, sorted, without handles.

        Two routers told the same facts dump the same, whatever came before.
        """
