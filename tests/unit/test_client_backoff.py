"""How soon a client opens a stream again."""

from flexcore.client.resuming import BACKOFF_SECONDS, BACKOFF_SECONDS_MAX, Backoff


def test_a_stream_that_ends_soon_again_and_again_waits_twice_as_long_each_time() -> (
    None
):
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.after(0.1) for _ in range(8)]

    assert waits[:3] == [BACKOFF_SECONDS, 2 * BACKOFF_SECONDS, 4 * BACKOFF_SECONDS]
    assert waits[-1] == BACKOFF_SECONDS_MAX


def test_a_stream_that_lasted_comes_back_at_once() -> None:
    backoff = Backoff(lambda: 1.0)
    for _ in range(8):
        backoff.after(0.1)

    assert backoff.after(BACKOFF_SECONDS_MAX + 1) == BACKOFF_SECONDS


def test_those_who_come_back_are_spread_by_chance() -> None:
    assert Backoff(lambda: 0.25).after(0) == BACKOFF_SECONDS / 4
