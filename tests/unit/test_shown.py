"""What one stream showed, others show without converting it again or reading the log."""

from collections.abc import Sequence

import pytest

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet
from flexcore.services.shown import Shown, Telling
from tests.factories import ACCOUNT, make_change_set, make_worker


class Showing:
    """Shows a change set as `count` pieces of `size` bytes, and counts how often."""

    def __init__(self, size: int = 200, count: int = 1) -> None:
        self.shown: list[int] = []
        self._size = size
        self._count = count

    def __call__(self, change_set: ChangeSet) -> list[bytes]:
        self.shown.append(change_set.last_sequence)
        return [b"%*d" % (self._size, change_set.last_sequence)] * self._count


@pytest.fixture
def log() -> list[ChangeSet]:
    return [make_change_set(head, make_worker()) for head in range(100)]


def telling(shown: Shown, show: Showing, stream: bytes = b"all") -> Telling:
    return shown.telling(ACCOUNT, stream, show)


def numbers(messages: Sequence[bytes], size: int = 200) -> list[list[int]]:
    """Return which change sets messages tell."""
    return [
        [int(each[at : at + size]) for at in range(0, len(each), size)]
        for each in messages
    ]


def test_streams_of_every_kind_share_what_is_encoded(log: list[ChangeSet]) -> None:
    shown = Shown()
    encoded = [shown.encode(each) for each in log]
    other = make_change_set(0, make_worker(), account_sid="AC" + "f" * 32)

    assert all(a is shown.encode(b) for a, b in zip(encoded, log, strict=True))
    assert shown.encode(other) is not encoded[0]


def test_streams_of_one_kind_share_what_is_told(log: list[ChangeSet]) -> None:
    shown, show, second = Shown(), Showing(), Showing()
    told = telling(shown, show).tell(0, log, 100)
    again = telling(shown, second).tell(0, log, 100)

    assert numbers(told.messages) == [list(range(1, 101))]
    assert (told.taken, told.end) == (100, 100)
    assert again is told
    assert second.shown == []


def test_streams_of_another_kind_or_account_share_nothing(
    log: list[ChangeSet],
) -> None:
    shown, show = Shown(), Showing()
    telling(shown, show).tell(0, log, 100)
    foreign = shown.telling("AC" + "f" * 32, b"all", show)

    assert telling(shown, show, b"some").known(0) is None
    assert foreign.known(0) is None
    assert telling(shown, show).known(1) is None


def test_a_message_ends_before_the_change_set_that_does_not_fit(
    log: list[ChangeSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 600)
    some = telling(Shown(), Showing())
    first = some.tell(10, log[20:30], 50)
    second = some.tell(first.end, log[23:30], 50)

    assert numbers(first.messages) == [[21, 22, 23]]
    assert (first.taken, first.end) == (3, 23)
    assert numbers(second.messages) == [[24, 25, 26]]
    last = some.tell(29, log[29:30], 50)
    assert (numbers(last.messages), last.end) == ([[30]], 50)


def test_a_message_has_so_many_pieces(
    log: list[ChangeSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_EVENTS", 4)
    told = telling(Shown(), Showing(count=2)).tell(0, log, 100)
    many = telling(Shown(), Showing(count=9)).tell(0, log, 100)

    assert numbers(told.messages) == [[1, 1, 2, 2]]
    assert numbers(many.messages) == [[1] * 4, [1] * 4, [1]]


def test_a_change_set_larger_than_a_message_is_told_in_several(
    log: list[ChangeSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 600)
    some = telling(Shown(), Showing(count=5))
    told = some.tell(0, log, 100)
    alone = some.tell(99, log[99:], 120)

    assert numbers(told.messages) == [[1, 1, 1], [1, 1]]
    assert (told.taken, told.end) == (1, 1)
    assert (alone.taken, alone.end) == (1, 120)


def test_who_comes_late_does_not_follow_in_small_steps(log: list[ChangeSet]) -> None:
    shown, show = Shown(), Showing()
    for number in range(50):
        telling(shown, show).tell(number, log[number : number + 1], number + 1)
    late = telling(shown, show).tell(0, log, 100)

    assert numbers(late.messages) == [list(range(1, 101))]


def test_who_saw_less_is_not_led_past_it(log: list[ChangeSet]) -> None:
    some = telling(Shown(), Showing())
    some.tell(0, log, 100)
    less = some.tell(0, log[:10], 10)

    assert (numbers(less.messages), less.end) == ([list(range(1, 11))], 10)


def test_a_full_message_is_followed_however_much_comes_after(
    log: list[ChangeSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 600)
    several, alone = telling(Shown(), Showing()), telling(Shown(), Showing(count=5))
    first, large = several.tell(0, log[:5], 5), alone.tell(0, log[:2], 2)

    assert several.tell(0, log[:4], 4) is first
    assert several.tell(0, log, 100) is first
    assert alone.tell(0, log, 100) is large


def test_what_is_kept_is_bounded_and_the_rest_is_made_again(
    log: list[ChangeSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHOWN_BYTES", 10_000)
    shown, show = Shown(), Showing()
    some = telling(shown, show)
    expected = [some.tell(n, log[n : n + 1], n + 1).messages for n in range(100)]
    again = [some.tell(n, log[n : n + 1], n + 1).messages for n in range(100)]
    encoded = [shown.encode(each) for each in log]

    assert again == expected
    assert len(show.shown) == 200
    assert 10 < len(shown._told._kept) < 20
    assert shown._told._bytes <= 10_000
    assert 1 < len(shown._encoded._kept) < 20
    assert shown.encode(log[0]) is not encoded[0]


def test_what_is_told_anew_takes_the_place_of_what_was(
    log: list[ChangeSet],
) -> None:
    shown = Shown()
    some = telling(shown, Showing())
    for end in range(1, 100):
        some.tell(0, log[:end], end)

    assert len(shown._told._kept) == 1
    assert shown._told._bytes < 99 * 200 + 1_000
