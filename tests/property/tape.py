"""Random tapes of commands and time: the engine against the oracle, step by step.

A tape is a list of steps, each a name and arguments that mean the same to both sides:
things are numbered in the order they came to be. So a failing tape can be printed, cut
short and kept as a test. `python -m tests.property.tape N` runs tapes by themselves.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError
from flexcore.engine.routing.matching import Matching
from tests.model import Model
from tests.model_rows import Refused
from tests.property.compared import SIDES, differ, key_events
from tests.property.generator import Generator, Step
from tests.property.subject import Subject

STEPS = 50
#: steps between two looks at what costs more: the matcher inside and its rebuilt twin
LOOK_EVERY = 5
#: deadlines that are waited for one by one at the end of a tape
DRAIN_STEPS = 60
#: exit status when the two sides differed, unlike that of a program that broke
DIVERGED = 3


class Tape(NamedTuple):
    """What a run is made of; `limits` are those of domain/limits.py that it changes."""

    seed: int
    steps: list[Step]
    limits: Mapping[str, int] = {}


class Divergence(Exception):
    """Engine and oracle differ, or the engine broke, at the last step of `tape`."""

    def __init__(self, tape: Tape, found: str) -> None:
        steps = "".join(f"        {step!r},\n" for step in tape.steps)
        super().__init__(
            f"seed {tape.seed}, step {len(tape.steps)}: {found}\n"
            "As a regression test:\n"
            f"    replay(Tape({tape.seed}, [\n{steps}    ], {dict(tape.limits)}))"
        )
        self.tape = tape
        #: where they differ, of whatever row; a shorter tape has to fail the same way
        self.kind = re.sub(r"^(\w+) \d+", r"\1", found.split(" is ", maxsplit=1)[0])


class Pair:
    """Engine and oracle, given the same steps."""

    def __init__(self, tape: Tape, look_every: int = LOOK_EVERY) -> None:
        self.tape = tape
        self.look_every = look_every
        self.subject = Subject(tape.seed)
        self.model = Model(self.subject.clock.now(), tape.limits)
        self.refused: Counter[str] = Counter()
        #: how often which type of event came
        self.happened: Counter[str] = Counter()

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
        self.happened.update(event for event, _ in model.events)
        model.events, subject.events = [], []
        for what, (expected, found) in SIDES.items():
            differ(what, expected(model), found(subject))
        differ("next deadline", [model.next_due()], [subject.next_due()])

    def look(self) -> None:
        """Compare the matcher with the oracle, with itself, and with a rebuilt one."""
        decider = self.subject.decider
        for _, desk in decider.matching.desks():
            desk.router.check()
        live, rebuilt = decider.matching.dump(), Matching.rebuilt(decider.state).dump()
        differ("rebuilt matcher", rebuilt, live)

    def drain(self) -> None:
        """Let time run out: no deadline is left, and nothing waits that could go.

        Some tasks would be offered or repeat their workflow until their own end; after
        a while that is waited for.
        """
        for turn in count():
            due = self.model.next_due()
            if turn > DRAIN_STEPS:
                due = max(row.due() and row.end() for row in self.model.tasks)
            if not due:
                break
            self.apply(("pass_time", {"now": max(due, self.model.now)}))
        self.apply(("restart", {}))
        self.look()


@contextmanager
def limited(tape: Tape) -> Iterator[None]:
    """Set the limits that are out of reach otherwise to those of a tape."""
    before = {name: getattr(limits, name) for name in tape.limits}
    vars(limits).update(tape.limits)
    try:
        yield
    finally:
        vars(limits).update(before)


def run(seed: int, steps: int = STEPS) -> Pair:
    """Run the tape of a seed to the end of time; raises Divergence."""
    generator = Generator(seed)
    pair = Pair(Tape(seed, [], generator.limits))
    with limited(pair.tape):
        for step in generator.opening():
            pair.apply(step)
        for _ in range(steps):
            pair.apply(generator.step(pair.model))
        pair.drain()
    return pair


def replay(tape: Tape, *, drain: bool = True) -> Pair:
    """Run a tape that was printed, to the end of time; raises Divergence."""
    pair = Pair(tape._replace(steps=[]), look_every=1)
    with limited(tape):
        for step in tape.steps:
            pair.apply(step)
        if drain:
            pair.drain()
    return pair


def shortened(divergence: Divergence) -> Divergence:
    """Leave out every step without which the tape still fails, many at once first."""
    length = len(divergence.tape.steps) // 2
    while length:
        end = len(divergence.tape.steps)
        while end > 0:
            tape, start = divergence.tape, max(0, end - length)
            steps = tape.steps[:start] + tape.steps[end:]
            try:
                replay(tape._replace(steps=steps), drain=False)
            except Divergence as shorter:
                if shorter.kind == divergence.kind:
                    divergence = shorter
            end = min(start, len(divergence.tape.steps))
        length //= 2
    return divergence


def main(count: int, likely: int = 0) -> int:
    """Run a tape, then those of the first seeds, until engine and oracle differ."""
    for seed in (likely, *range(count)):
        try:
            run(seed)
        except Divergence as divergence:
            print(divergence)  # noqa: T201  # for who runs this as a program
            return DIVERGED
    print(f"{count} tapes: engine and oracle agree")  # noqa: T201  # for the same
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run random tapes against the oracle.")
    parser.add_argument("tapes", type=int, help="how many, of the first seeds")
    parser.add_argument(
        "likely", type=int, nargs="?", default=0, help="a seed to try first"
    )
    given = parser.parse_args()
    sys.exit(main(given.tapes, given.likely))
