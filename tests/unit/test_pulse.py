"""Heartbeats come in time, with one timer for all of them."""

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.engine.pulse import Pulse

INTERVAL = limits.HEARTBEAT_INTERVAL
GRAIN = limits.HEARTBEAT_GRAIN


class Stream:
    """Remembers when it was woken, and tells something then if it is to go on."""

    def __init__(self, clock: VirtualClock, pulse: Pulse) -> None:
        self.beats: list[int] = []
        self.goes_on = True
        self._clock = clock
        self._pulse = pulse
        pulse.put_off(self)

    def beat(self) -> None:
        self.beats.append(self._clock.now())
        if self.goes_on:
            self._pulse.put_off(self)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(0)


@pytest.fixture
def pulse(clock: VirtualClock) -> Pulse:
    return Pulse(clock, clock)


def test_a_stream_beats_every_interval(clock: VirtualClock, pulse: Pulse) -> None:
    stream = Stream(clock, pulse)
    clock.advance(3 * INTERVAL)

    assert stream.beats == [INTERVAL, 2 * INTERVAL, 3 * INTERVAL]


def test_whoever_told_something_is_put_off(clock: VirtualClock, pulse: Pulse) -> None:
    busy, quiet = Stream(clock, pulse), Stream(clock, pulse)
    clock.advance(INTERVAL // 2)
    pulse.put_off(busy)
    clock.advance(INTERVAL)

    assert quiet.beats == [INTERVAL]
    assert busy.beats == [INTERVAL + INTERVAL // 2]


def test_those_due_soon_are_woken_with_the_first_and_none_is_late(
    clock: VirtualClock, pulse: Pulse
) -> None:
    first = Stream(clock, pulse)
    clock.advance(GRAIN)
    with_it = Stream(clock, pulse)
    clock.advance(1)
    later = Stream(clock, pulse)
    clock.advance(INTERVAL)

    assert with_it.beats == first.beats == [INTERVAL]
    assert later.beats == [INTERVAL + GRAIN + 1]


def test_who_tells_nothing_is_not_woken_again(
    clock: VirtualClock, pulse: Pulse
) -> None:
    stalled, other = Stream(clock, pulse), Stream(clock, pulse)
    stalled.goes_on = False
    clock.advance(2 * INTERVAL)

    assert stalled.beats == [INTERVAL]
    assert other.beats == [INTERVAL, 2 * INTERVAL]


def test_who_is_the_last_to_be_woken_is_woken_again_once_put_off(
    clock: VirtualClock, pulse: Pulse
) -> None:
    stalled = Stream(clock, pulse)
    stalled.goes_on = False
    clock.advance(2 * INTERVAL)
    pulse.put_off(stalled)
    clock.advance(INTERVAL)

    assert stalled.beats == [INTERVAL, 3 * INTERVAL]


def test_who_is_forgotten_is_not_woken_and_leaves_no_timer(
    clock: VirtualClock, pulse: Pulse
) -> None:
    gone = Stream(clock, pulse)
    pulse.forget(gone)
    pulse.forget(gone)
    assert not any(handle.callback for _, _, handle in clock._calls)
    clock.advance(INTERVAL)
    fresh = Stream(clock, pulse)
    clock.advance(INTERVAL)

    assert gone.beats == []
    assert fresh.beats == [2 * INTERVAL]


def test_all_have_one_timer(clock: VirtualClock, pulse: Pulse) -> None:
    for _ in range(100):
        Stream(clock, pulse)
        clock.advance(INTERVAL // 50)

    assert len(clock._calls) == 1
