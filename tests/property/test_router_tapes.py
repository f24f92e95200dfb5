"""Random tapes: Router against NaiveRouter, step by step.

A tape is a string of bytes. Each step takes its choice and its arguments from it, so that
hypothesis can shorten a failing tape, and a seed is enough to repeat a long one.
"""

import random
import sys
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexcore._routing import Router, StaleHandle
from tests.model_router import BINARY, NaiveRouter, NaiveTask

CHANNELS = (1, 5, 9)
FIELDS = ("configured_capacity", "assigned_tasks", "available_capacity_percentage")
PATHS = (
    ("skills",),
    ("level",),
    ("region",),
    ("team", "lead"),
    ("team", "days", 1),
)
SCALARS = (None, True, False, 0, 1, 1.0, 1.5, 2**53, 2**53 + 1, 2**70, "a", "ab", "é")
ARRAYS = ((), ("a",), ("a", "a"), ("a", "ab", 1), (1, True, None), (2**70, 1.5))
COMPARISONS = tuple(name for name in BINARY if name not in ("and", "or"))


class End(Exception):
    """The tape has no more bytes."""


class Tape:
    """Chooses numbers, values and programs from bytes."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def below(self, limit: int) -> int:
        number = next(self._bytes, None)
        if number is None:
            raise End
        return number % limit

    def pick(self, choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in ("skills", "level", "region"):
            if self.below(4):
                found[key] = self.value()
        if self.below(2):
            found["team"] = {"lead": self.value(), "days": [1, self.value()]}
        return found

    def value(self) -> Any:
        return list(self.pick(ARRAYS)) if self.below(2) else self.pick(SCALARS)

    def program(self) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind == 0:
            return ()
        # Most of the queues are easy to serve: offers are what this is about.
        return self.condition(2, pair=False) if kind < 3 else (("const", True),)

    def pair(self) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind < 2:
            return ()
        if kind < 5:
            return self.condition(2, pair=True)
        # It holds, and puts workers elsewhere with every offer.
        return (self.live(), ("const", 0), (">=",))

    def condition(self, depth: int, *, pair: bool) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind < 2 and depth:
            both = [self.condition(depth - 1, pair=pair) for _ in range(2)]
            return (*both[0], *both[1], (self.pick(("and", "or")),))
        if kind == 2 and depth:
            return (*self.condition(depth - 1, pair=pair), ("not",))
        if kind == 3:
            operand = self.operand(pair=pair)
            return (operand, (self.pick(("is_null", "is_not_null")),))
        if kind == 4:
            return (self.operand(pair=pair),)
        operands = [self.operand(pair=pair) for _ in range(2)]
        return (*operands, (self.pick(COMPARISONS),))

    def operand(self, *, pair: bool) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind < 2 and pair:
            return ("path", "task", self.pick(PATHS))
        if kind == 2 and pair:
            return self.live()
        if kind < 5:
            return ("path", "worker", self.pick(PATHS))
        return ("const", self.pick(SCALARS if kind < 7 else ARRAYS))

    def live(self) -> tuple[Any, ...]:
        return ("live", self.pick(CHANNELS), self.pick(FIELDS))

    def order_by(self) -> tuple[Any, ...]:
        return tuple(
            (
                self.live()
                if self.below(4) == 0
                else ("path", "worker", self.pick(PATHS)),
                self.below(2) == 0,
            )
            for _ in range(self.below(3))
        )


class Size(NamedTuple):
    """Most of each, how many steps pass between two full comparisons, and over how long a
    time clocks are spread.
    """

    queues: int
    workers: int
    tasks: int
    specs: int
    steps: int
    span: int = 4


SMALL = Size(queues=4, workers=8, tasks=12, specs=4, steps=1)
#: beyond 64 of each the bits of queues and workers need a second word
LARGE = Size(queues=70, workers=100, tasks=200, specs=8, steps=40)
#: lines so long that not everybody is let in near their end
LINES = Size(queues=2, workers=150, tasks=30, specs=0, steps=25, span=250)


class Pair:
    """A Router and the oracle, given the same facts."""

    def __init__(self, data: bytes, size: Size) -> None:
        self.tape = Tape(data)
        self.size = size
        self.router = Router()
        self.naive = NaiveRouter()
        self.fired: Counter[str] = Counter()
        #: handle -> handle of the oracle
        self.workers: dict[int, int] = {}
        self.tasks: dict[int, int] = {}
        self.specs: dict[int, int] = {}
        #: every handle the router gave out
        self.seen: set[tuple[str, int]] = set()
        #: worker handles of the router and the oracle that are stale
        self.gone: list[tuple[int, int]] = []
        self.number = 0
        self.now = 100

    def run(self, weights: Mapping[str, int] | None = None) -> None:
        actors = [
            actor
            for name, weight in (weights or ACTORS).items()
            for actor in [getattr(self, name)] * weight
        ]
        try:
            for step in count():
                actor = self.tape.pick(actors)
                if actor():
                    self.fired[actor.__name__] += 1
                if step % self.size.steps == 0:
                    self.router.check()
                    self.naive.check()
                    assert self.naive.dump() == self.router.dump()
        except End:
            self.match()
            self.rebuild()

    def fresh(self) -> int:
        self.number += 1
        return self.number

    def worker(self) -> int:
        return list(self.workers)[self.tape.below(len(self.workers))]

    def task(self) -> int:
        return list(self.tasks)[self.tape.below(len(self.tasks))]

    def queue(self) -> int:
        # Low numbers more often, so that some queues grow long.
        count = len(self.naive.queues)
        return sorted(self.naive.queues)[self.tape.below(1 + self.tape.below(count))]

    def time(self) -> int:
        # Clocks tie often, and are ahead of the time now and then.
        return self.now + 1 - self.tape.below(self.size.span)

    # Actors: each makes one step on both sides; True if there was something to do

    def set_queue(self) -> bool:
        queue = self.tape.below(self.size.queues)
        program = self.tape.program()
        if queue in self.naive.queues and self.tape.below(2):
            program = self.naive.queues[queue].program
        manner = {
            "lifo": self.tape.below(4) == 0,
            "preferred": self.tape.below(4) > 0,
            "fan_out": self.tape.pick((1, 1, 1, 1, 2, 2, 3, 0)),
            "order": self.tape.below(4),
            "cursor": self.tape.below(self.number + 2) - 1,
        }
        self.router.set_queue(queue, program, **manner)
        self.naive.set_queue(queue, program, **manner)
        return True

    def remove_queue(self) -> bool:
        if not self.naive.queues:
            return False
        queue = self.queue()
        if self.naive.waiting(queue):
            with pytest.raises(ValueError, match="tasks wait"):
                self.router.remove_queue(queue)
            return False
        self.router.remove_queue(queue)
        self.naive.remove_queue(queue)
        return True

    def set_channel_optimized(self) -> bool:
        channel, optimized = self.tape.pick(CHANNELS), self.tape.below(2) == 0
        self.router.set_channel_optimized(channel, optimized)
        self.naive.set_channel_optimized(channel, optimized=optimized)
        return True

    def add_worker(self) -> bool:
        if len(self.workers) == self.size.workers:
            return False
        facts = (
            self.tape.attributes(),
            self.tape.below(3),
            self.tape.below(4) > 0,
            # Orders have nothing to do with the order of slots.
            self.fresh() ^ self.tape.pick((0, 2**20)),
            self.time(),
        )
        worker = self.router.add_worker(*facts)
        self.workers[worker] = self.naive.add_worker(*facts)
        assert ("worker", worker) not in self.seen
        self.seen.add(("worker", worker))
        return True

    def let_in(self) -> bool:
        """Add a worker who is free on all channels."""
        if not self.add_worker():
            return False
        worker, oracle = list(self.workers.items())[-1]
        for channel in CHANNELS:
            facts = (3, 0, 0, True, self.time(), self.time())
            self.router.set_channel(worker, channel, *facts)
            self.naive.set_channel(oracle, channel, *facts)
        activity = (1, True, self.time())
        self.router.set_activity(worker, *activity)
        self.naive.set_activity(oracle, *activity)
        return True

    def set_attributes(self) -> bool:
        if not self.workers:
            return False
        worker, attributes = self.worker(), self.tape.attributes()
        self.router.set_attributes(worker, attributes)
        self.naive.set_attributes(self.workers[worker], attributes)
        return True

    def set_activity(self) -> bool:
        if not self.workers:
            return False
        worker = self.worker()
        facts = (self.tape.below(3), self.tape.below(3) > 0, self.time())
        self.router.set_activity(worker, *facts)
        self.naive.set_activity(self.workers[worker], *facts)
        return True

    def set_channel(self) -> bool:
        if not self.workers:
            return False
        worker, channel = self.worker(), self.tape.pick(CHANNELS)
        facts: tuple[Any, ...] = (
            self.tape.below(4),
            max(0, self.tape.below(6) - 3),
            max(0, self.tape.below(4) - 1),
            self.tape.below(4) > 0,
            self.time(),
            self.time(),
        )
        facts = facts[: 2 + self.tape.below(5)]
        self.router.set_channel(worker, channel, *facts)
        self.naive.set_channel(self.workers[worker], channel, *facts)
        return True

    def take(self) -> bool:
        if not self.workers:
            return False
        worker, channel, now = self.worker(), self.tape.pick(CHANNELS), self.time()
        self.router.take(worker, channel, now)
        self.naive.take(self.workers[worker], channel, now)
        return True

    def release(self) -> bool:
        if not self.workers:
            return False
        worker, channel, now = self.worker(), self.tape.pick(CHANNELS), self.time()
        try:
            self.naive.release(self.workers[worker], channel, now)
        except ValueError:
            with pytest.raises(ValueError, match="holds nothing"):
                self.router.release(worker, channel, now)
            return False
        self.router.release(worker, channel, now)
        return True

    def assign(self) -> bool:
        if not self.workers:
            return False
        worker, channel = self.worker(), self.tape.pick(CHANNELS)
        step = self.tape.pick((1, -1))
        try:
            self.naive.assign(self.workers[worker], channel, step)
        except ValueError:
            with pytest.raises(ValueError, match="is assigned"):
                self.router.assign(worker, channel, step)
            return False
        self.router.assign(worker, channel, step)
        return True

    def remove_worker(self) -> bool:
        if not self.workers:
            return False
        worker = self.worker()
        self.router.remove_worker(worker)
        self.gone.append((worker, self.workers[worker]))
        self.naive.remove_worker(self.workers.pop(worker))
        with pytest.raises(StaleHandle):
            self.router.remove_worker(worker)
        return True

    def open_spec(self) -> bool:
        if len(self.specs) == self.size.specs:
            return False
        facts = (self.tape.pair(), self.tape.order_by())
        spec = self.router.open_spec(*facts)
        assert spec == self.router.open_spec(*facts)
        self.specs.setdefault(spec, self.naive.open_spec(*facts))
        return True

    def close_spec(self) -> bool:
        if not self.specs:
            return False
        spec = self.tape.pick(list(self.specs))
        try:
            self.router.close_spec(spec)
        except ValueError:
            return False
        del self.specs[spec]
        with pytest.raises(StaleHandle):
            self.router.close_spec(spec)
        return True

    def add_task(self) -> bool:
        if not self.naive.queues or len(self.tasks) == self.size.tasks:
            return False
        facts = (
            self.queue(),
            self.tape.pick(CHANNELS),
            self.tape.below(3),
            self.tape.below(3),
            self.fresh() ^ self.tape.pick((0, 2**20)),
        )
        kind = self.tape.below(4)
        if kind < 2:
            task = self.router.add_task(*facts)
            self.tasks[task] = self.naive.add_task(*facts)
        else:
            task = self.add_choosy_task(facts)
        assert ("task", task) not in self.seen
        self.seen.add(("task", task))
        return True

    def add_choosy_task(self, facts: tuple[int, ...]) -> int:
        """Add a task with a spec, a known worker or some who are excluded."""
        ours: dict[str, Any] = {"spec": 0}
        theirs: dict[str, Any] = {"spec": 0}
        if self.specs and self.tape.below(4):
            ours["spec"] = self.tape.pick(list(self.specs))
            theirs["spec"] = self.specs[ours["spec"]]
            ours["attributes"] = theirs["attributes"] = self.tape.attributes()
        people = [*self.workers.items(), *self.gone]
        if people and self.tape.below(4) == 0:
            ours["known"], theirs["known"] = self.tape.pick([*people, (0, 0)])
        if people and self.tape.below(2) == 0:
            number = self.tape.below(4)
            excluded = [self.tape.pick(people) for _ in range(number)]
            ours["excluded"] = tuple(worker for worker, _ in excluded)
            theirs["excluded"] = tuple(worker for _, worker in excluded)
        task = self.router.add_task(*facts, **ours)
        self.tasks[task] = self.naive.add_task(*facts, **theirs)
        return task

    def remove_task(self) -> bool:
        if not self.tasks:
            return False
        task = self.task()
        self.router.remove_task(task)
        self.naive.remove_task(self.tasks.pop(task))
        with pytest.raises(StaleHandle):
            self.router.remove_task(task)
        return True

    def reprioritize(self) -> bool:
        if not self.tasks:
            return False
        task, priority = self.task(), self.tape.below(5)
        self.router.reprioritize(task, priority)
        self.naive.reprioritize(self.tasks[task], priority)
        return True

    def match(self) -> bool:
        limit = self.now % 4 or None
        before = {task: self.naive.tasks[oracle] for task, oracle in self.tasks.items()}
        offers = self.router.match(self.now, limit)
        while limit and (more := self.router.match(self.now, limit)):
            assert len(more) < limit + 3
            self.router.check()
            offers += more
        expected = self.naive.match(self.now)
        runners_up = {0: 0, **self.workers}
        seen = [
            (self.tasks[task], self.workers[worker], number, runners_up[runner_up])
            for task, worker, number, runner_up in offers
        ]
        assert expected == seen
        for task, _, candidates, runner_up in offers:
            self.tasks.pop(task, None)
            self.fired["offer of many candidates" if candidates > 1 else "offer"] += 1
            self.fired["runner-up"] += runner_up > 0
            self.note(before[task])
        assert [] == self.router.match(self.now)
        return bool(offers)

    def note(self, task: NaiveTask) -> None:
        """Count what the offer of a task was about."""
        queue = self.naive.queues[task.queue]
        self.fired[f"offer in order {queue.order}"] += 1
        self.fired["offer of LIFO"] += queue.lifo
        self.fired["offer in a batch"] += queue.fan_out > 1
        self.fired["offer by a pair"] += bool(task.pair)
        self.fired["offer by order_by"] += bool(task.order_by)
        self.fired["offer to somebody known"] += task.known is not None
        self.fired["offer with some excluded"] += bool(task.excluded)

    def pass_time(self) -> bool:
        self.now += self.tape.below(8)
        return True

    def turn_clock_back(self) -> bool:
        self.now -= 3
        return True

    def read(self) -> bool:
        for queue in self.naive.queues:
            for worker, oracle in self.workers.items():
                expected = self.naive.eligible(queue, oracle)
                assert expected == self.router.eligible(queue, worker)
            assert self.naive.members(queue) == self.router.members(queue)
            assert self.naive.available(queue) == self.router.available(queue)
            assert self.naive.waiting(queue) == self.router.waiting(queue)
            assert self.naive.cursor(queue) == self.router.cursor(queue)
            for activity in range(3):
                number = self.naive.in_activity(queue, activity)
                assert number == self.router.in_activity(queue, activity)
        return True

    def look(self) -> bool:
        """Ask who could take what, without a match before."""
        if not self.tasks:
            return False
        task = self.task()
        assert self.naive.count(self.tasks[task]) == self.router.count(task)
        for worker, oracle in self.workers.items():
            expected = self.naive.candidate(self.tasks[task], oracle)
            assert expected == self.router.candidate(task, worker)
        return True

    def rebuild(self) -> bool:
        """Go on with a router made from what the dump says."""
        facts: Any = self.router.dump()
        rebuilt = Router()
        sequences = {self.naive.tasks[t].sequence: t for t in self.tasks.values()}
        orders = {self.naive.workers[w].order: w for w in self.workers.values()}
        self.workers, self.tasks, self.seen = {}, {}, set()
        self.gone = []
        handles: dict[int, int] = {}
        for queue in reversed(facts["queues"]):
            for counted in ("members", "available", "waiting"):
                del queue[counted]
            rebuilt.set_queue(queue.pop("queue"), **queue)
        for row in reversed(facts["workers"]):
            worker = rebuilt.add_worker(
                row["attributes"],
                row["activity"],
                row["available"],
                row["order"],
                row["available_since"],
            )
            for room in row["channels"]:
                rebuilt.set_channel(worker, *room)
            self.workers[worker] = orders[row["order"]]
            handles[row["order"]] = worker
            self.seen.add(("worker", worker))
        self.respecify(rebuilt)
        for task in facts["tasks"]:
            spec = (task.pop("pair"), task.pop("order_by"))
            task["spec"] = rebuilt.open_spec(*spec) if any(spec) else 0
            known = task.pop("known")
            if known is not None:
                task["known"] = handles[known[0]] if known else 0
            task["excluded"] = [handles[order] for order in task["excluded"]]
            handle = rebuilt.add_task(**task)
            self.tasks[handle] = sequences[task["sequence"]]
            self.seen.add(("task", handle))
        for channel in facts["channels"]:
            rebuilt.set_channel_optimized(channel, True)
        rebuilt.check()
        assert self.router.dump() == rebuilt.dump()
        self.router = rebuilt
        return True

    def respecify(self, router: Router) -> None:
        self.specs = {
            router.open_spec(*self.naive.specs[spec]): spec
            for spec in self.specs.values()
        }


#: how often each actor is chosen, of 83 times
ACTORS = {
    "match": 14,
    "add_task": 18,
    "release": 9,
    "set_channel": 8,
    "add_worker": 6,
    "pass_time": 4,
    "set_activity": 2,
    "set_attributes": 2,
    "set_queue": 2,
    "take": 1,
    "assign": 3,
    "open_spec": 3,
    "close_spec": 1,
    "set_channel_optimized": 1,
    "remove_worker": 1,
    "remove_task": 2,
    "reprioritize": 1,
    "remove_queue": 1,
    "turn_clock_back": 1,
    "read": 1,
    "look": 2,
    "rebuild": 1,
}
#: and where lines are to stay long
IN_LINES = {
    "match": 14,
    "add_task": 14,
    "release": 14,
    "take": 4,
    "set_activity": 2,
    "let_in": 2,
    "remove_worker": 1,
    "pass_time": 4,
    "turn_clock_back": 1,
}


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=64, max_size=600))
def test_router_agrees_with_the_oracle_on_short_tapes(data: bytes) -> None:
    Pair(data, SMALL).run()


@pytest.mark.parametrize("seed", range(4))
def test_router_agrees_with_the_oracle_on_long_tapes(seed: int) -> None:
    pair = Pair(random.Random(seed).randbytes(30_000), SMALL)
    pair.run()
    sys.stdout.write(f"seed {seed}: {dict(pair.fired.most_common())}\n")

    assert set(ACTORS) <= set(pair.fired)
    assert pair.fired["offer"] > 60
    assert pair.fired["offer of many candidates"] > 60
    assert pair.fired["runner-up"] > 40
    for order in range(4):
        assert pair.fired[f"offer in order {order}"] > 10
    for feature in (
        "of LIFO",
        "in a batch",
        "by a pair",
        "by order_by",
        "with some excluded",
    ):
        assert pair.fired[f"offer {feature}"] > 5, feature
    assert pair.fired["offer to somebody known"] > 0


def test_router_agrees_with_the_oracle_in_a_crowd() -> None:
    rng = random.Random(5)
    pair = Pair(rng.randbytes(8_000), LARGE)
    for queue in range(LARGE.queues):
        program = (("path", "worker", PATHS[queue % 3]), ("is_not_null",))
        manner = {"order": queue % 4, "fan_out": 1 + queue % 2}
        pair.router.set_queue(queue, program, **manner)
        pair.naive.set_queue(queue, program, **manner)
    pair.tape, tape = Tape(rng.randbytes(8_000)), pair.tape
    for _ in range(90):
        pair.add_worker()
        pair.add_task()
        pair.set_channel()
    pair.tape = tape
    pair.run()

    assert pair.fired["offer of many candidates"] > 50


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("span", [20, 250])
def test_router_agrees_with_the_oracle_in_long_lines(order: int, span: int) -> None:
    rng = random.Random(order)
    pair = Pair(rng.randbytes(6_000), LINES._replace(span=span))
    for queue in range(LINES.queues):
        pair.router.set_queue(queue, (("const", True),), order=order)
        pair.naive.set_queue(queue, (("const", True),), order=order)
    pair.tape, tape = Tape(rng.randbytes(20_000)), pair.tape
    for number in range(LINES.workers):
        pair.let_in()
        # Lanes are there as soon as somebody waited: from then on lines grow one by one.
        if number % 30 == 0:
            pair.add_task()
        pair.match()
    pair.tape = tape
    pair.run(IN_LINES)

    assert pair.fired["offer of many candidates"] > 50
