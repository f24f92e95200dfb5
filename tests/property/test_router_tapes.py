"""Random tapes: Router against NaiveRouter, step by step.

A tape is a string of bytes. Each step takes its choice and its arguments from it, so that
hypothesis can shorten a failing tape, and a seed is enough to repeat a long one.
"""

import random
import sys
from collections import Counter
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexcore._routing import Router, StaleHandle
from tests.model import NaiveRouter

CHANNELS = (1, 5, 9)
PATHS = (
    ("skills",),
    ("level",),
    ("region",),
    ("team", "lead"),
    ("team", "days", 1),
)
SCALARS = (None, True, False, 0, 1, 1.0, 1.5, 2**53, 2**53 + 1, 2**70, "a", "ab", "é")
ARRAYS = ((), ("a",), ("a", "a"), ("a", "ab", 1), (1, True, None), (2**70, 1.5))
COMPARISONS = (
    "==", "!=", "<", "<=", ">", ">=", "has", "in", "not_in", "contains", "not_contains",
)  # fmt: skip


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

    def program(self, depth: int = 2) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind == 0:
            return ()
        # Half of the queues are easy to serve: offers are what this is about.
        return self.condition(depth) if kind < 4 else (("const", True),)

    def condition(self, depth: int) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind < 2 and depth:
            pair = (*self.condition(depth - 1), *self.condition(depth - 1))
            return (*pair, (self.pick(("and", "or")),))
        if kind == 2 and depth:
            return (*self.condition(depth - 1), ("not",))
        if kind == 3:
            return (self.operand(), (self.pick(("is_null", "is_not_null")),))
        if kind == 4:
            return (self.operand(),)
        return (self.operand(), self.operand(), (self.pick(COMPARISONS),))

    def operand(self) -> tuple[Any, ...]:
        kind = self.below(8)
        if kind < 5:
            return ("path", "worker", self.pick(PATHS))
        return ("const", self.pick(SCALARS if kind < 7 else ARRAYS))


class Size(NamedTuple):
    """Most of each, and how many steps pass between two full comparisons."""

    queues: int
    workers: int
    tasks: int
    steps: int


SMALL = Size(queues=4, workers=8, tasks=12, steps=1)
#: beyond 64 of each the bits of queues and workers need a second word
LARGE = Size(queues=70, workers=100, tasks=200, steps=40)


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
        #: every handle the router gave out
        self.seen: set[tuple[str, int]] = set()
        self.number = 0
        self.now = 100

    def run(self) -> None:
        actors = [
            actor
            for name, weight in ACTORS.items()
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

    # Actors: each makes one step on both sides; True if there was something to do

    def set_queue(self) -> bool:
        queue, program = self.tape.below(self.size.queues), self.tape.program()
        self.router.set_queue(queue, program)
        self.naive.set_queue(queue, program)
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

    def add_worker(self) -> bool:
        if len(self.workers) == self.size.workers:
            return False
        # Clocks tie often, and are ahead of the time now and then.
        attributes, last = self.tape.attributes(), self.now - 2 + self.tape.below(4)
        # Orders have nothing to do with the order of slots.
        order = self.fresh() ^ self.tape.pick((0, 2**20))
        available = self.tape.below(4) > 0
        worker = self.router.add_worker(attributes, available, last, order)
        self.workers[worker] = self.naive.add_worker(attributes, available, last, order)
        assert ("worker", worker) not in self.seen
        self.seen.add(("worker", worker))
        return True

    def set_attributes(self) -> bool:
        if not self.workers:
            return False
        worker, attributes = self.worker(), self.tape.attributes()
        self.router.set_attributes(worker, attributes)
        self.naive.set_attributes(self.workers[worker], attributes)
        return True

    def set_available(self) -> bool:
        if not self.workers:
            return False
        worker, available = self.worker(), self.tape.below(3) > 0
        self.router.set_available(worker, available)
        self.naive.set_available(self.workers[worker], available)
        return True

    def set_channel(self) -> bool:
        if not self.workers:
            return False
        worker, channel = self.worker(), self.tape.pick(CHANNELS)
        capacity, occupied = self.tape.below(4), max(0, self.tape.below(6) - 3)
        self.router.set_channel(worker, channel, capacity, occupied)
        self.naive.set_channel(self.workers[worker], channel, capacity, occupied)
        return True

    def release(self) -> bool:
        if not self.workers:
            return False
        worker, channel = self.worker(), self.tape.pick(CHANNELS)
        try:
            self.naive.release(self.workers[worker], channel)
        except ValueError:
            with pytest.raises(ValueError, match="holds nothing"):
                self.router.release(worker, channel)
            return False
        self.router.release(worker, channel)
        return True

    def remove_worker(self) -> bool:
        if not self.workers:
            return False
        worker = self.worker()
        self.router.remove_worker(worker)
        self.naive.remove_worker(self.workers.pop(worker))
        with pytest.raises(StaleHandle):
            self.router.remove_worker(worker)
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
        task = self.router.add_task(*facts)
        self.tasks[task] = self.naive.add_task(*facts)
        assert ("task", task) not in self.seen
        self.seen.add(("task", task))
        return True

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
        offers = self.router.match(self.now, limit)
        while limit and (more := self.router.match(self.now, limit)):
            assert len(more) <= limit
            self.router.check()
            offers += more
        expected = self.naive.match(self.now)
        seen = [(self.tasks[task], self.workers[w], n) for task, w, n in offers]
        assert expected == seen
        for task, _, candidates in offers:
            del self.tasks[task]
            self.fired["offer of many candidates" if candidates > 1 else "offer"] += 1
        assert [] == self.router.match(self.now)
        return bool(offers)

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
        return True

    def rebuild(self) -> bool:
        """Go on with a router made from what the dump says."""
        facts = self.router.dump()
        rebuilt = Router()
        sequences = {self.naive.tasks[t].sequence: t for t in self.tasks.values()}
        orders = {self.naive.workers[w].order: w for w in self.workers.values()}
        self.workers, self.tasks, self.seen = {}, {}, set()
        for queue in reversed(facts["queues"]):
            rebuilt.set_queue(queue["queue"], queue["program"])
        for task in facts["tasks"]:
            handle = rebuilt.add_task(**task)
            self.tasks[handle] = sequences[task["sequence"]]
            self.seen.add(("task", handle))
        for row in reversed(facts["workers"]):
            worker = rebuilt.add_worker(
                row["attributes"], row["available"], row["last_offered"], row["order"]
            )
            for channel, capacity, occupied in row["channels"]:
                rebuilt.set_channel(worker, channel, capacity, occupied)
            self.workers[worker] = orders[row["order"]]
            self.seen.add(("worker", worker))
        rebuilt.check()
        assert facts == rebuilt.dump()
        self.router = rebuilt
        return True


#: how often each actor is chosen, of 64 times
ACTORS = {
    "match": 12,
    "add_task": 13,
    "release": 9,
    "set_channel": 6,
    "add_worker": 5,
    "pass_time": 4,
    "set_available": 3,
    "set_attributes": 3,
    "set_queue": 2,
    "remove_worker": 1,
    "remove_task": 1,
    "reprioritize": 1,
    "remove_queue": 1,
    "turn_clock_back": 1,
    "read": 1,
    "rebuild": 1,
}


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=64, max_size=600))
def test_router_agrees_with_the_oracle_on_short_tapes(data: bytes) -> None:
    Pair(data, SMALL).run()


@pytest.mark.parametrize("seed", range(4))
def test_router_agrees_with_the_oracle_on_long_tapes(seed: int) -> None:
    pair = Pair(random.Random(seed).randbytes(20_000), SMALL)
    pair.run()
    sys.stdout.write(f"seed {seed}: {dict(pair.fired.most_common())}\n")

    assert set(ACTORS) <= set(pair.fired)
    assert pair.fired["offer"] > 100
    assert pair.fired["offer of many candidates"] > 100


def test_router_agrees_with_the_oracle_in_a_crowd() -> None:
    rng = random.Random(5)
    pair = Pair(rng.randbytes(8_000), LARGE)
    for queue in range(LARGE.queues):
        program = (("path", "worker", PATHS[queue % 3]), ("is_not_null",))
        pair.router.set_queue(queue, program)
        pair.naive.set_queue(queue, program)
    pair.tape, tape = Tape(rng.randbytes(4_000)), pair.tape
    for _ in range(90):
        pair.add_worker()
        pair.add_task()
        pair.set_channel()
    pair.tape = tape
    pair.run()

    assert pair.fired["offer of many candidates"] > 50
