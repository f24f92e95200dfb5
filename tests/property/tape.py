"""Random tapes of commands and time: the engine against the oracle, step by step.

A tape is a list of steps, each a name and arguments that mean the same to both sides:
things are numbered in the order they came to be. So a failing tape can be printed, cut
short and kept as a test. `python -m tests.property.tape` runs tapes by themselves.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError
from flexcore.domain.model import Reservation, Task, Worker, WorkerChannel
from flexcore.engine.matching import Matching
from tests.model import Model, Refused
from tests.property.generator import Generator, Step
from tests.property.subject import Subject

STEPS = 50
#: steps between two looks at what costs more: the matcher inside and its rebuilt twin
LOOK_EVERY = 5
#: exit status when the two sides differed, unlike that of a program that broke
DIVERGED = 3


class Tape(NamedTuple):
    """What a run is made of; `assignments_max` stands in for the limit of that name."""

    seed: int
    assignments_max: int
    steps: list[Step]


class Divergence(Exception):
    """Engine and oracle differ, or the engine broke, at the last step of `tape`."""

    def __init__(self, tape: Tape, found: str) -> None:
        steps = "".join(f"        {step!r},\n" for step in tape.steps)
        super().__init__(
            f"seed {tape.seed}, step {len(tape.steps)}: {found}\n"
            "As a regression test:\n"
            f"    replay(Tape({tape.seed}, {tape.assignments_max}, [\n{steps}    ]))"
        )
        self.tape = tape


class Pair:
    """Engine and oracle, given the same steps."""

    def __init__(self, tape: Tape, look_every: int = LOOK_EVERY) -> None:
        self.tape = tape
        self.look_every = look_every
        self.subject = Subject(tape.seed)
        self.model = Model(self.subject.clock.now(), tape.assignments_max)
        self.refused: Counter[str] = Counter()

    def apply(self, step: Step) -> None:
        """Take one step on both sides and compare; Divergence says what differs."""
        self.tape.steps.append(step)
        try:
            self._apply(*step)
            self.compare()
            if len(self.tape.steps) % self.look_every == 0:
                self.look()
        except AssertionError as error:
            raise Divergence(self.tape, str(error)) from error
        except Exception as error:
            raise Divergence(self.tape, f"{type(error).__name__}: {error}") from error

    def _apply(self, name: str, arguments: dict[str, Any]) -> None:
        expected = found = ""
        if name == "pass_time":
            self.model.pass_time(**arguments)
        elif name != "restart":
            try:
                self.model.decide(name, arguments)
            except Refused as refusal:
                expected = str(refusal.args[0])
                self.refused[expected] += 1
        try:
            self.subject.step(name, arguments)
        except FlexcoreError as error:
            found = error.kind.value
        assert expected == found, f"{name}: {found or 'done'}, not {expected or 'done'}"

    def compare(self) -> None:
        """Compare everything that can be read, and the events since last time."""
        subject, model = self.subject, self.model
        differ("events", key_events(model.events), key_events(subject.events))
        differ("walk", sorted(model.events), sorted(subject.events))
        model.events, subject.events = [], []
        differ("tasks", self._expected_tasks(), self._found_tasks())
        differ(
            "reservations", self._expected_reservations(), self._found_reservations()
        )
        differ("workers", self._expected_workers(), self._found_workers())
        first = subject.decider.deadlines.first()
        differ("next deadline", [model.next_due()], [first[0] if first else 0])

    def look(self) -> None:
        """Compare the matcher with the oracle, with itself, and with a rebuilt one."""
        decider = self.subject.decider
        for _, desk in decider.matching.desks():
            desk.router.check()
        live, rebuilt = decider.matching.dump(), Matching.rebuilt(decider.state).dump()
        differ("rebuilt matcher", rebuilt, live)

    def _expected_tasks(self) -> list[Any]:
        return [
            (
                task.status,
                task.queue,
                task.step,
                task.priority,
                task.assignments,
                task.reason,
                task.deadline,
                task.step_deadline,
            )
            for task in self.model.tasks
        ]

    def _found_tasks(self) -> list[Any]:
        rows, numbers = self.subject.rows, self.subject.numbers
        return [
            (
                row.status.value,
                numbers[row.task_queue_sid],
                (row.step_filter, row.step_target),
                row.priority,
                row.assignment_count,
                row.reason,
                row.deadline,
                row.step_deadline,
            )
            for sid in self.subject.sids["WT"]
            if isinstance(row := rows[sid], Task)
        ]

    def _expected_reservations(self) -> list[Any]:
        return [
            (row.task, row.worker, row.status, row.candidates, row.deadline)
            for row in self.model.reservations
        ]

    def _found_reservations(self) -> list[Any]:
        rows, numbers = self.subject.rows, self.subject.numbers
        return [
            (
                numbers[row.task_sid],
                numbers[row.worker_sid],
                row.status.value,
                row.candidates,
                row.deadline,
            )
            for sid in self.subject.sids["WR"]
            if isinstance(row := rows[sid], Reservation)
        ]

    def _expected_workers(self) -> list[Any]:
        model = self.model
        return [
            (
                worker.activity,
                worker.last_offered,
                {
                    name: (
                        0 if name in worker.closed else worker.capacity[name],
                        model.occupied(number, name),
                    )
                    for name in model.channels
                },
            )
            for number, worker in enumerate(model.workers)
        ]

    def _found_workers(self) -> list[Any]:
        state, found = self.subject.decider.state, []
        for sid in self.subject.sids["WK"]:
            worker = state.need(sid, Worker)
            channels = state.where(WorkerChannel, "worker_sid", sid)
            room = {
                channel.task_channel_unique_name: (
                    channel.configured_capacity if channel.available else 0,
                    self.subject.decider.matching.occupied(channel),
                )
                for channel in channels
            }
            activity = self.subject.rows[worker.activity_sid].friendly_name
            offered = max(channel.last_offered for channel in channels)
            found.append((activity, offered, room))
        return found

    def drain(self) -> None:
        """Let time run out: no deadline is left, and nothing waits that could go."""
        while due := self.model.next_due():
            self.apply(("pass_time", {"now": due}))
        self.apply(("restart", {}))
        self.look()


def key_events(events: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those whose order is promised."""
    return [event for event in events if event[0].startswith(("task.", "reservation."))]


def differ(what: str, expected: list[Any], found: list[Any]) -> None:
    """Raise AssertionError that names the first entry at which two lists differ."""
    if expected == found:
        return
    for number, pair in enumerate(zip(expected, found, strict=False)):
        if pair[0] != pair[1]:
            raise AssertionError(f"{what} {number} is {pair[1]}, not {pair[0]}")
    raise AssertionError(f"{what}: {found}, not {expected}")


@contextmanager
def assignments_limited(most: int) -> Iterator[None]:
    """Let a task be offered at most so often: the real limit is out of reach."""
    before = limits.ASSIGNMENTS_MAX
    limits.ASSIGNMENTS_MAX = most
    try:
        yield
    finally:
        limits.ASSIGNMENTS_MAX = before


def run(seed: int, steps: int = STEPS) -> Pair:
    """Run the tape of a seed to the end of time; raises Divergence."""
    generator = Generator(seed)
    pair = Pair(Tape(seed, generator.assignments_max, []))
    with assignments_limited(generator.assignments_max):
        for step in generator.opening():
            pair.apply(step)
        for _ in range(steps):
            pair.apply(generator.step(pair.model))
        pair.drain()
    return pair


def replay(tape: Tape) -> Pair:
    """Run a tape that was printed, to the end of time; raises Divergence."""
    pair = Pair(tape._replace(steps=[]), look_every=1)
    with assignments_limited(tape.assignments_max):
        for step in tape.steps:
            pair.apply(step)
        pair.drain()
    return pair


def shortened(divergence: Divergence) -> Divergence:
    """Leave out every step without which the tape still fails."""
    kept = 0
    while kept < len(divergence.tape.steps):
        tape, place = divergence.tape, len(divergence.tape.steps) - 1 - kept
        try:
            replay(tape._replace(steps=tape.steps[:place] + tape.steps[place + 1 :]))
        except Divergence as shorter:
            divergence = shorter
        else:
            kept += 1
    return divergence


def main(count: int) -> int:
    """Run the tapes of the first seeds until engine and oracle differ."""
    for seed in range(count):
        try:
            run(seed)
        except Divergence as divergence:
            print(divergence)  # noqa: T201  # for who runs this as a program
            return DIVERGED
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
