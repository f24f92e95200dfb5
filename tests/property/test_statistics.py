"""Figures folded from the log of random tapes are those of a recount."""

import random
from contextlib import suppress
from typing import Any

import pytest

from flexcore.domain.buckets import COUNTS, MEASURES, Bucket, Cell
from flexcore.domain.errors import FlexcoreError
from flexcore.domain.fold import fold, known_types
from flexcore.domain.log import ChangeSet, decode_change_set, encode_change_set
from flexcore.domain.model import Task
from flexcore.domain.states import WAITING_TASK
from flexcore.engine.decider import Decided
from flexcore.engine.reporting.figures import Figures
from tests.model import Model
from tests.model_rows import Refused
from tests.property.generator import Generator
from tests.property.subject import Subject
from tests.property.tape import STEPS, Tape, limited
from tests.recount import Recount, recounted, values

TAPES = 150


class Recording(Subject):
    """A Decider whose log is kept, and whose figures are looked at all the time."""

    def __init__(self, seed: int) -> None:
        self.log: list[ChangeSet] = []
        super().__init__(seed)

    def _tell(self, decided: Decided) -> None:
        super()._tell(decided)
        if decided.commit is not None and decided.commit.change_set is not None:
            body = encode_change_set(decided.commit.change_set)
            self.log.append(decode_change_set(body))
        tasks = [row for row in self.rows.values() if isinstance(row, Task)]
        assert shown(self.decider.figures, tasks) == shown(
            Figures.rebuilt(tasks), tasks
        )


def shown(figures: Figures, tasks: list[Task]) -> dict[Any, Any]:
    """Return everything figures say, of what tasks were ever in."""
    sids = {
        sid
        for task in tasks
        for sid in (task.workspace_sid, task.task_queue_sid, task.workflow_sid)
    }
    return {
        (sid, channel): (
            one.by_status,
            one.by_priority,
            list(one.created),
            list(one.entered),
        )
        for sid in sids
        for channel, one in figures.of(sid).items()
    }


def history(seed: int) -> Recording:
    """Run the tape of a seed; whether it goes as it should is for others to say."""
    generator = Generator(seed)
    recording = Recording(seed)
    tape = Tape(seed, [], generator.limits)
    model = Model(recording.clock.now(), tape.limits)
    with limited(tape):
        steps = [*generator.opening()]
        for number in range(len(steps) + STEPS):
            name, arguments = (
                steps[number] if number < len(steps) else generator.step(model)
            )
            if name == "pass_time":
                model.pass_time(**arguments)
            elif name != "restart":
                with suppress(Refused):
                    model.decide(name, arguments)
            with suppress(FlexcoreError):
                recording.step(name, arguments)
    return recording


def of(bucket: Bucket, *sids: str) -> Cell:
    """Return the cell of all places that lie in all of these."""
    cell = Cell()
    for place, each in bucket.cells.items():
        if set(place).issuperset(sids):
            cell.merge(each)
    return cell


@pytest.mark.slow
def test_folding_the_log_is_counting_what_happened() -> None:
    everything = Cell()
    for seed in range(TAPES):
        recording = history(seed)
        compare(recording, random.Random(seed))
        types = {event.type for each in recording.log for event in each.events}
        assert types <= known_types()
        everything.merge(of(fold(recording.log)))

    # Or nothing would have been compared.
    assert everything.counts.keys() == set(COUNTS)
    assert everything.durations.keys() == set(MEASURES)


def compare(recording: Recording, rng: random.Random) -> None:
    """Compare the whole log, and windows of it, by everything it can be asked by."""
    log, recount = recording.log, Recount(recording.log)
    first, last = log[0].time, log[-1].time + 1
    windows = [(first, last)]
    for _ in range(5):
        start, end = sorted((rng.randint(first, last), rng.randint(first, last)))
        windows.append((start, end))
    tasks = [row for row in recording.rows.values() if isinstance(row, Task)]
    scopes = [(recording.workspace,)]
    scopes += [(sid,) for kind in ("WQ", "WW") for sid in recording.sids[kind]]
    scopes += [(recording.workspace, row.task_channel_sid) for row in tasks[:2]]
    for start, end in windows:
        inside = [each for each in log if start <= each.time < end]
        place = rng.randint(0, len(inside))
        bucket = fold(inside[:place])
        bucket.merge(fold(inside[place:]))
        for sids in scopes:
            expected = recounted(recount.values(start, end, *sids))
            assert values(of(bucket, *sids)) == expected, (start, end, sids)
        for sid in recording.sids["WK"]:
            found = values(of(fold(inside, worker_sid=sid)))
            assert found == recounted(recount.values(start, end, sid))


@pytest.mark.slow
def test_the_longest_waiting_task_is_the_oldest_that_nobody_has() -> None:
    for seed in range(TAPES, TAPES + 5):
        recording = history(seed)
        tasks = [row for row in recording.rows.values() if isinstance(row, Task)]
        waiting = sorted(
            (t.create_time, t.sid) for t in tasks if t.status in WAITING_TASK
        )
        standings = recording.decider.figures.of(recording.workspace).values()
        assert sorted(e for one in standings for e in one.created) == waiting
