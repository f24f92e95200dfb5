"""The matcher: which worker is offered which task.

It knows integers and attribute values, nothing of the rest of flexcore. It is
synchronous and deterministic, belongs to one thread, reads no clock and calls nothing.

Numbers of queues, channels and activities, orders, sequences and items are the caller's;
handles are the matcher's, opaque, and never given out twice by one object. A handle whose
worker, task or spec is gone raises StaleHandle, a number that does not fit OverflowError.
A call that raises has changed nothing, unless memory ran out. Times are microseconds.

In the complexities below: n tasks wait in a queue; a worker belongs to q queues and has
c channels; w workers, p profiles (workers alike in all that programs read) and s specs
are in the router. A lane is a queue, channel and spec a task ever waited for; k classes
of tasks (alike in what their spec reads, in known and excluded) wait in one, and f
facets of workers (alike in what its spec reads) are free for it. Without a spec, known
and excluded, k and f are 1.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypedDict, final

_Program: TypeAlias = tuple[tuple[Any, ...], ...]
_OrderBy: TypeAlias = tuple[tuple[tuple[Any, ...], bool], ...]

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
    """A queue and what is counted in it; the facts are arguments of set_queue."""

    queue: int
    program: _Program
    lifo: bool
    preferred: bool
    fan_out: int
    order: int
    cursor: int
    members: int
    available: int
    waiting: int

class WorkerDump(TypedDict):
    """A worker; channels are arguments of set_channel, ascending, those ever used."""

    order: int
    attributes: dict[str, Any]
    activity: int
    available: bool
    available_since: int
    channels: list[tuple[int, int, int, int, bool, int, int]]
    queues: list[int]

class TaskDump(TypedDict):
    """A waiting task: arguments of add_task, with orders instead of worker handles.

    `known` has the order of the only worker, is empty for nobody, None for anybody.
    """

    queue: int
    channel: int
    priority: int
    start: int
    sequence: int
    pair: _Program
    order_by: _OrderBy
    attributes: dict[str, Any] | None
    known: tuple[int, ...] | None
    excluded: list[int]

class RouterDump(TypedDict):
    """What a router was told and what follows, without handles."""

    channels: list[int]
    """Those that are optimized."""
    queues: list[QueueDump]
    workers: list[WorkerDump]
    tasks: list[TaskDump]

@final
class Router:
    """Decides which offers follow from workers, queues and waiting tasks.

    A worker is a candidate for a task if the program of its queue holds for the worker's
    attributes, the worker is available and occupies less than their capacity on the
    channel of the task, which is open; if the pair program of the task's spec holds; and
    if the task is for anybody or for them, and does not exclude them. Changes are facts
    and decide nothing; match decides.

    Facts: set_queue, remove_queue, set_channel_optimized; add_worker, set_attributes,
    set_activity, set_channel, take, release, assign, remove_worker; open_spec,
    close_spec; add_task, remove_task, reprioritize.
    Decisions: match. Reading: waiting, members, available, in_activity, eligible, cursor,
    candidate, count, overruns, dump, check.
    """

    def __init__(self) -> None: ...

    # Queues

    def set_queue(
        self,
        queue: int,
        program: _Program,
        lifo: bool = False,
        preferred: bool = True,
        fan_out: int = 1,
        order: int = 0,
        cursor: int = -1,
    ) -> None:
        """Add a queue, or change it in place: its workers and tasks stay.

        program: whom the queue serves; no instructions serve nobody. Programs are
        postfix: ("const", value), ("path", "worker", segments), or an operator on what
        lies on the stack: "==", "!=", "<", "<=", ">", ">=", "has", "in", "not_in",
        "contains", "not_contains", "and", "or", "is_null", "is_not_null", "not". "!=",
        "not_in" and "not_contains" are exact negations. "unequal" and "lacks" are those
        of "==" and "contains" where neither side is an array or object; "not_in_array"
        wants an array without the left side, "not_in_known" anything but null that has
        it not, "not_in_or_missing" null or an array without it.
        lifo: the last start and sequence first, whatever the priority.
        preferred: all tasks of preferred queues go before those of all others.
        fan_out: to how many workers a task is offered at once, 0 to 50. With 0 nothing
        is offered.
        order: who is best. 0: offered something least recently; 1: longest idle, that is
        neither offered nor released anything nor made available; 2: least utilized,
        occupied by capacity over all channels in millionths, of equals the longest idle;
        3: the next worker order after the cursor, and around.
        cursor: order of the worker last offered something from the queue; it moves with
        every offer in order 3.

        Raises ValueError for what is none of this, and for a negative queue. With
        another program O(p + w), and O(w) more for each path no program read before;
        with another order O(w q c); with another lifo, preferred or fan_out O(n).
        """

    def remove_queue(self, queue: int) -> None:
        """Forget a queue; raises ValueError while tasks wait in it. O(p + w)."""

    def waiting(self, queue: int) -> int:
        """Count the tasks that wait in a queue; KeyError if there is none. O(1)."""

    def members(self, queue: int) -> int:
        """Count the workers whose attributes satisfy a queue. O(1)."""

    def available(self, queue: int) -> int:
        """Count the members who are available, with or without room. O(1)."""

    def in_activity(self, queue: int, activity: int) -> int:
        """Count the members who are in an activity. O(1)."""

    def eligible(self, queue: int, worker: int) -> bool:
        """Say whether a worker is a member of a queue. O(1)."""

    def cursor(self, queue: int) -> int:
        """Return the order of the worker last offered something, round robin. O(1)."""

    def set_channel_optimized(self, channel: int, optimized: bool) -> None:
        """Say whether clocks and utilization for a channel are of that channel alone.

        Else the latest clock over all channels counts, and what is occupied and may be
        on all of them. O(w q c).
        """

    # Workers

    def add_worker(
        self,
        attributes: dict[str, Any],
        activity: int,
        available: bool,
        order: int,
        available_since: int = 0,
    ) -> int:
        """Add a worker without room on any channel; return a handle.

        Attributes are JSON values, kept by reference and not to be changed in place.
        The order differs from every other worker's, else ValueError.
        O(q + s), and one evaluation per program for the first of a profile.
        """

    def set_attributes(self, worker: int, attributes: dict[str, Any]) -> None:
        """Replace the attributes; evaluates only programs that read a changed value.

        O(paths), and O(q c + s) if something reads a changed value.
        """

    def set_activity(
        self, worker: int, activity: int, available: bool, available_since: int
    ) -> None:
        """Say what a worker does, whether that takes offers, and since when. O(q c)."""

    def set_channel(
        self,
        worker: int,
        channel: int,
        capacity: int,
        occupied: int,
        assigned: int = 0,
        open: bool = True,  # noqa: A002  # what the rows call it
        offered: int = 0,
        released: int = 0,
    ) -> None:
        """Say all there is to a worker on a channel.

        occupied: how many they hold; assigned: how many of these they accepted.
        open: False takes no offers, whatever the capacity. offered, released: when they
        last were offered, and last gave back, something on the channel; 0 is never.
        Raises ValueError for a negative number, and for channel number 1,001. O(q + c).
        """

    def take(self, worker: int, channel: int, now: int) -> None:
        """Count one held more, offered outside of match; capacity is no bar. O(q)."""

    def release(self, worker: int, channel: int, now: int) -> None:
        """Count one held less, since now; ValueError if nothing is. O(q)."""

    def assign(self, worker: int, channel: int, step: int) -> None:
        """Count accepted tasks up or down; ValueError below zero. O(1), or O(q c)."""

    def remove_worker(self, worker: int) -> None:
        """Forget a worker. O(q c + s), amortized."""

    # What a task asks for beyond its queue

    def open_spec(self, pair: _Program, order_by: _OrderBy = ()) -> int:
        """Return the handle of a spec; equal arguments have one handle.

        pair: a program that also reads ("path", "task", segments) and
        ("live", channel, field) of the worker, where field is "configured_capacity",
        "assigned_tasks" or "available_capacity_percentage": what is not occupied, in
        percent, rounded down and not below 0; 0 at capacity 0. No instructions suit
        everybody.
        order_by: (operand, descending) pairs that come before the order of the queue;
        operands are ("path", "worker", ...) and ("live", ...). Only numbers count:
        anything else is missing, and who misses one comes last either way.

        Raises ValueError for anything else. O(size) if it is open, else O(w).
        """

    def close_spec(self, spec: int) -> None:
        """Forget a spec, however often it was opened.

        Raises ValueError while tasks wait with it. O(w), and of the lanes with it.
        """

    # Tasks

    def add_task(
        self,
        queue: int,
        channel: int,
        priority: int,
        start: int,
        sequence: int,
        spec: int = 0,
        attributes: dict[str, Any] | None = None,
        known: int | None = None,
        excluded: Iterable[int] = (),
    ) -> int:
        """Let a task wait in a queue; return a handle. O(log n + log k).

        spec: a handle, or 0 for none. attributes: of the task, kept by reference; a spec
        that reads them wants them, else ValueError. known: the handle of the only worker
        it is for, 0 for nobody, None for anybody. excluded: workers it is not for. Of
        workers who are gone, known means nobody and excluded nothing.

        Raises KeyError if the queue is not known. The sequence differs from every other
        waiting task's. The first task of a lane costs O(w).
        """

    def remove_task(self, task: int) -> None:
        """Take out a task that waits no longer. O(log n + log k)."""

    def reprioritize(self, task: int, priority: int) -> None:
        """Change the priority of a waiting task. O(log n + log k)."""

    def candidate(self, task: int, worker: int) -> bool:
        """Say whether a worker is a candidate for a task now, pull queues too. O(1)."""

    def count(self, task: int) -> int:
        """Count the candidates for a task now, of pull queues too.

        Right after a match without limit it is 0 for any other. O(f + excluded), and of
        the workers who became free since the last match.
        """

    # Decisions

    def match(
        self, now: int, limit: int | None = None
    ) -> list[tuple[int, int, int, int]]:
        """Make the offers that follow from what changed since the last call.

        Of all waiting tasks with a candidate, the first goes to the best: preferred
        queues first, FIFO before LIFO of equal preference; then by priority (high
        first), start and sequence over all queues, in LIFO the last start and sequence
        first. The best is who order_by puts first, then the order of the queue, then the
        lowest worker order. And again, until no waiting task has a candidate. A task
        nobody can take does not hold up others.

        Each offer is (task, worker, candidates, runner_up), in the order of decision.
        The task waits no longer and its handle is stale; the worker occupies one more on
        the channel and was last offered something there at `now`. candidates counts all
        there were before the offer; runner_up is the handle of the best who was not
        offered the task, 0 if there is none. A fan_out of more makes one tuple per
        worker, best first. `limit` counts tuples and splits no task's; the next call
        goes on where this one stopped.

        Per worker who became free O(q), with specs O(q k) at most, and O(q c log w) if
        nothing waits for them; per offer O(q + f + log n + log w), amortized.
        """

    # Inspection

    @property
    def overruns(self) -> int:
        """How often no task was found for a worker among the first 10,000 classes.

        Behind so many different wishes a task may wait though a worker who suits is
        free, until one of the tasks before it goes.
        """

    def check(self) -> None:
        """Raise AssertionError, with a dump, if an invariant is broken.

        Finds every count and every remembered answer again from the facts; for tests,
        the simulator and `flexcore check`. O(everything).
        """

    def dump(self) -> RouterDump:
        """Return the facts and what was derived from them, sorted, without handles.

        Two routers told the same facts dump the same, whatever came before.
        """
