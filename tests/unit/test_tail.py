"""The contract of streams: ordered, no duplicates, no gaps, resumable or refused."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import OutOfRange, Reason
from flexcore.domain.log import ChangeSet, LogFilter
from flexcore.engine.port import TailBatch
from flexcore.engine.tail import Tail
from flexcore.store.sqlite import SqliteStore
from tests.factories import ACCOUNT, TIME, make_commit, make_task
from tests.staff import settle

#: as large as change sets say they are here: four of them fill the tail
LARGE = limits.TAIL_BYTES // 4


class Log:
    """A store and a tail that a test appends to, as a commit does."""

    def __init__(self, folder: Path, clock: VirtualClock) -> None:
        self.store = SqliteStore(folder)
        self.store.open_account(ACCOUNT)
        self.tail = Tail(ACCOUNT, 0, self.store, clock, clock)
        self.change_sets: list[ChangeSet] = []

    def append(self, *subjects: str, size: int = 100, events: int = 1) -> ChangeSet:
        rows = [make_task() for _ in range(events)]
        commit = make_commit(self.tail.head, *rows, subjects=subjects)
        assert self.store.commit([commit]) == {}
        assert commit.change_set is not None
        self.change_sets.append(commit.change_set)
        self.tail.publish(commit.change_set, size)
        return commit.change_set

    def after(self, position: int, *subjects: str) -> list[int]:
        """Return what a stream must be given, by last sequence."""
        return [
            change_set.last_sequence
            for change_set in self.change_sets
            if change_set.last_sequence > position
            and (not any(subjects) or {*subjects} & {*change_set.subjects})
        ]


@pytest.fixture
def log(tmp_path: Path, clock: VirtualClock) -> Iterator[Log]:
    log = Log(tmp_path / "data", clock)
    yield log
    log.store.close()


class Reading:
    """A stream that a test opened, and everything it was given."""

    def __init__(self, stream: AsyncIterator[TailBatch]) -> None:
        self.batches: list[TailBatch] = []
        self.task = asyncio.create_task(self._read(stream))

    async def _read(self, stream: AsyncIterator[TailBatch]) -> None:
        async for batch in stream:
            self.batches.append(batch)

    @property
    def given(self) -> list[int]:
        return [
            change_set.last_sequence
            for batch in self.batches
            for change_set in batch.change_sets
        ]

    @property
    def position(self) -> int:
        return self.batches[-1].position

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def read_to_end(log: Log, after: int | None, subject: str = "") -> Reading:
    """Follow a tail that is closed; it ends after everything was given."""
    reading = Reading(log.tail.follow(after, (subject,)))
    await reading.task
    return reading


async def test_a_stream_is_given_everything_once_and_in_order(log: Log) -> None:
    reading = Reading(log.tail.follow(0, ("",)))
    for count in (1, 3, 0, 5):
        for _ in range(count):
            log.append(events=2)
        await settle()

    assert reading.given == log.after(0) == list(range(2, 20, 2))
    assert reading.position == 18
    await reading.stop()


async def test_a_stream_without_a_position_begins_now(log: Log) -> None:
    log.append()
    reading = Reading(log.tail.follow(None, ("",)))
    await settle()
    log.append()
    await settle()

    assert reading.given == [2]
    await reading.stop()


async def test_one_slow_reader_holds_up_nobody(log: Log) -> None:
    slow = log.tail.follow(0, ("",))
    log.append()
    first = await anext(slow)
    fast = Reading(log.tail.follow(0, ("",)))
    for _ in range(10):
        log.append(size=LARGE)
        await settle()

    assert fast.given == log.after(0)
    given = [first]
    while given[-1].position < 11:
        given.append(await anext(slow))
    assert [c.last_sequence for batch in given for c in batch.change_sets] == [
        *range(1, 12)
    ]
    await slow.aclose()
    await fast.stop()


async def test_a_narrow_stream_is_given_what_concerns_its_subject(log: Log) -> None:
    log.append("WK1")
    reading = Reading(log.tail.follow(0, ("WK1",)))
    await settle()
    log.append("WK2")
    log.append("WK2", "WK1")
    log.append()
    await settle()

    assert reading.given == [1, 3]
    await reading.stop()


async def test_a_heartbeat_carries_the_position(log: Log, clock: VirtualClock) -> None:
    reading = Reading(log.tail.follow(0, ("WK1",)))
    await settle()
    log.append("WK2")
    log.append("WK2")
    await settle()
    assert reading.batches == []
    clock.advance(limits.HEARTBEAT_INTERVAL)
    await settle()

    assert reading.batches == [TailBatch((), 2)]
    clock.advance(limits.HEARTBEAT_INTERVAL)
    await settle()
    assert len(reading.batches) == 2
    await reading.stop()


@pytest.mark.parametrize("subject", ["", "WK1"])
@pytest.mark.parametrize("large", [0, 10])
async def test_a_stream_resumes_from_memory_and_from_the_store(
    log: Log, subject: str, large: int
) -> None:
    for n in range(12):
        log.append(f"WK{n % 3}", size=LARGE if large else 100)
    log.tail.close()

    for position in range(13):
        reading = await read_to_end(log, position, subject)
        assert reading.given == log.after(position, subject)


async def test_a_stream_reads_on_from_the_store_into_memory(log: Log) -> None:
    """A reader behind the tail catches up without a gap at the seam."""
    for _ in range(10):
        log.append("WK1", size=LARGE)
    whole = Reading(log.tail.follow(0, ("",)))
    narrow = Reading(log.tail.follow(0, ("WK1",)))
    other = Reading(log.tail.follow(0, ("WK2",)))
    await settle()
    log.append("WK1", "WK2")
    await settle()

    assert whole.given == narrow.given == log.after(0)
    assert other.given == [11]
    for reading in (whole, narrow, other):
        await reading.stop()


@pytest.mark.parametrize("seed", range(10))
async def test_streams_opened_and_cut_at_random_see_each_change_set_once(
    log: Log, clock: VirtualClock, seed: int
) -> None:
    rng = random.Random(seed)
    names = ("WK1", "WK2", "CH1")
    wishes = (("",), *((each,) for each in names), ("WK1", "WK2"), ("CH1", "WK1"))
    open_: list[tuple[tuple[str, ...], list[int], Reading]] = []
    for _ in range(120):
        act = rng.random()
        if act < 0.6:
            named = rng.sample(names, rng.randint(0, 3))
            log.append(*named, size=rng.choice((100, LARGE)), events=rng.randint(1, 3))
        elif act < 0.8 or not open_:
            subjects = rng.choice(wishes)
            open_.append((subjects, [], Reading(log.tail.follow(0, subjects))))
        elif act < 0.95:
            subjects, seen, reading = open_.pop(rng.randrange(len(open_)))
            await reading.stop()
            seen += reading.given
            position = reading.position if reading.batches else (seen or [0])[-1]
            follow = log.tail.follow(position, subjects)
            open_.append((subjects, seen, Reading(follow)))
        else:
            clock.advance(limits.HEARTBEAT_INTERVAL)
        if rng.random() < 0.5:
            await settle()
    log.tail.close()

    for subjects, seen, reading in open_:
        await reading.task
        assert seen + reading.given == log.after(0, *subjects)


@pytest.mark.parametrize("stored", [False, True])
async def test_who_wants_two_subjects_is_not_led_through_the_rest_of_the_log(
    log: Log, *, stored: bool
) -> None:
    log.append("WK1")
    log.append("WK1", "WS1")
    for _ in range(300):
        log.append("WK2")
    log.append("WS1")
    if stored:
        for _ in range(5):
            log.append("WK2", size=LARGE)
    assert (log.tail.floor > 303) is stored
    cursor = log.tail.open(0, ("WK1", "WS1"))
    pieces = []
    while cursor.behind:
        pieces.append([each.last_sequence for each in cursor.read()])
    cursor.close()

    assert [*chain(*pieces)] == [1, 2, 303]
    assert len(pieces) <= 4


async def test_a_busy_log_holds_up_no_heartbeat_of_who_wants_nothing_of_it(
    log: Log, clock: VirtualClock
) -> None:
    nothing = LogFilter(types=frozenset({"worker"}))
    reading = Reading(log.tail.follow(0, ("",), nothing))
    await settle()
    assert reading.batches == [TailBatch((), 0)]
    for n in range(1, 7):
        log.append()
        clock.advance(limits.HEARTBEAT_INTERVAL // 3)
        await settle()
        assert len(reading.batches) == 1 + n // 3

    assert reading.batches[1:] == [TailBatch((), 3), TailBatch((), 6)]
    await reading.stop()


@pytest.mark.parametrize("seed", range(5))
async def test_a_cursor_whose_subjects_come_and_go_is_given_what_concerns_them(
    log: Log, seed: int
) -> None:
    rng = random.Random(seed)
    subjects = [f"WK{n}" for n in range(5)]
    cursor = log.tail.open(0)
    watched: set[str] = set()
    given, wanted = [], []
    for _ in range(150):
        act = rng.random()
        if act < 0.6:
            named = rng.sample(subjects, rng.randint(0, 2))
            change_set = log.append(*named, size=rng.choice((100, LARGE)))
            if watched & set(named):
                wanted.append(change_set.last_sequence)
            continue
        while cursor.behind:
            given += [each.last_sequence for each in cursor.read()]
        subject = rng.choice(subjects)
        if subject in watched:
            watched.discard(subject)
            cursor.unwatch(subject)
        else:
            watched.add(subject)
            cursor.watch(subject)
    while cursor.behind:
        given += [each.last_sequence for each in cursor.read()]
    cursor.close()

    assert given == wanted
    assert len(given) > 20
    assert not any(strand.readers for strand in log.tail._strands.values())


async def test_a_cursor_reads_up_to_a_sequence_and_not_further(log: Log) -> None:
    cursor = log.tail.open(0)
    cursor.watch("WK1")
    for n in range(6):
        log.append("WK1" if n % 2 else "WK2")

    assert [each.last_sequence for each in cursor.read(until=3)] == [2]
    assert cursor.position == 3
    assert [each.last_sequence for each in cursor.read(until=6)] == [4, 6]
    cursor.close()


async def test_a_position_below_the_floor_is_out_of_range(log: Log) -> None:
    for _ in range(6):
        log.append("WK1", size=LARGE)
    assert log.store.clean_up(ACCOUNT, 1, TIME + limits.LOG_RETENTION + 1) == 6
    log.append("WK1")
    floor = log.store.bounds(ACCOUNT)[0]

    for subject in ("", "WK1"):
        with pytest.raises(OutOfRange) as refusal:
            await anext(log.tail.follow(floor - 1, (subject,)))
        assert refusal.value.reason is Reason.TOKEN_BELOW_FLOOR
        assert refusal.value.metadata == {"floor": str(floor)}
    assert (await anext(log.tail.follow(floor, ("",)))).position == floor + 1


async def test_a_reader_that_the_floor_overtakes_is_out_of_range(log: Log) -> None:
    """Clean-up went past a reader that had stopped reading: never a silent gap."""
    log.append()
    stream = log.tail.follow(0, ("",))
    await anext(stream)
    for _ in range(6):
        log.append(size=LARGE)
    assert log.store.clean_up(ACCOUNT, 1, TIME + limits.LOG_RETENTION + 1) == 7
    for _ in range(6):
        log.append(size=LARGE)

    with pytest.raises(OutOfRange):
        await anext(stream)


async def test_a_position_ahead_of_the_log_is_out_of_range(log: Log) -> None:
    log.append()

    with pytest.raises(OutOfRange) as refusal:
        await anext(log.tail.follow(2, ("",)))

    assert refusal.value.reason is Reason.TOKEN_AHEAD
    assert refusal.value.metadata == {"head": "1"}


async def test_a_closed_tail_ends_its_streams_after_everything_was_given(
    log: Log,
) -> None:
    waiting = Reading(log.tail.follow(0, ("WK1",)))
    await settle()
    log.append("WK1")
    log.tail.close()
    await waiting.task

    late = await read_to_end(log, 0, "WK1")
    assert waiting.given == late.given == [1]


async def test_memory_is_bounded_by_bytes_also_for_each_subject(log: Log) -> None:
    for n in range(300):
        log.append(f"WK{n % 2}", size=LARGE)

    assert log.tail._bytes <= limits.TAIL_BYTES
    kept = [len(strand._items) for strand in log.tail._strands.values()]
    assert sum(kept) <= 2 * 2 * 4 + len(kept)


async def test_what_is_read_at_once_is_bounded_by_bytes(log: Log) -> None:
    """Whoever waits for a reader holds it, and the tail may have dropped it by then."""
    size = limits.LOG_READ_BYTES // 4
    for _ in range(10):
        log.append("WK1", size=size)
    for subject in ("", "WK1"):
        position, pieces = 0, []
        while position < log.tail.head:
            found, position = log.tail.read(position, (subject,))
            pieces.append([each.last_sequence for each in found])

        assert [len(piece) for piece in pieces] == [4, 4, 2]
        assert [*chain(*pieces)] == log.after(0, subject)


async def test_streams_that_ended_leave_nothing_behind(log: Log) -> None:
    readings = [Reading(log.tail.follow(0, (f"WK{n}",))) for n in range(10)]
    await settle()
    for reading in readings:
        await reading.stop()

    assert list(log.tail._strands) == [""]


async def test_a_change_set_is_found_by_its_last_sequence(log: Log) -> None:
    for _ in range(8):
        log.append(size=LARGE, events=2)

    assert [log.tail.find(n) for n in (2, 16)] == [
        log.change_sets[0],
        log.change_sets[-1],
    ]
    assert log.tail.find(3) is None


async def test_what_is_stored_and_known_to_the_stream_is_not_read(log: Log) -> None:
    for _ in range(10):
        log.append(size=LARGE)
    known = {0: 2, 2: 5, 7: 9}
    reading = Reading(log.tail.follow(0, ("",), known=known.get))
    await settle()

    assert reading.batches[:2] == [TailBatch((), 2), TailBatch((), 5)]
    assert reading.given == log.after(5)
    await reading.stop()


async def test_what_is_in_memory_is_read_even_if_it_is_known(log: Log) -> None:
    asked: list[int] = []

    def known(position: int) -> int:
        asked.append(position)
        return position + 1

    for _ in range(10):
        log.append(size=LARGE)
    reading = Reading(log.tail.follow(0, ("",), known=known))
    await settle()

    assert asked == list(range(log.tail.floor))
    assert reading.given == log.after(log.tail.floor)
    await reading.stop()
