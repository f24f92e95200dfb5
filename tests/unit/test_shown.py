"""What one stream showed, others of its kind show without converting it again."""

import pytest

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet
from flexcore.services.shown import Shown
from tests.factories import make_change_set, make_worker


class Showing:
    """Encodes a change set, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, change_set: ChangeSet) -> list[bytes]:
        self.count += 1
        return [str(change_set.last_sequence).encode() * 100]


@pytest.fixture
def log() -> list[ChangeSet]:
    return [make_change_set(head, make_worker()) for head in range(100)]


def test_streams_of_one_kind_share_what_is_shown(log: list[ChangeSet]) -> None:
    shown, show = Shown(), Showing()
    first = [shown.shared(b"all", show)(each) for each in log]
    second = [shown.shared(b"all", show)(each) for each in log]

    assert show.count == len(log)
    assert first == second == [[b"%d" % n * 100] for n in range(1, 101)]


def test_streams_of_another_kind_or_account_share_nothing(
    log: list[ChangeSet],
) -> None:
    shown, show, other = Shown(), Showing(), Showing()
    foreign = make_change_set(0, make_worker(), account_sid="AC" + "f" * 32)
    shown.shared(b"all", show)(log[0])
    shown.shared(b"some", other)(log[0])
    shown.shared(b"all", show)(foreign)

    assert (show.count, other.count) == (2, 1)


def test_what_is_held_is_bounded_and_the_rest_is_converted_again(
    log: list[ChangeSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHOWN_BYTES", 10_000)
    shown, show = Shown(), Showing()
    pieces = shown.shared(b"all", show)
    expected = [pieces(each) for each in log]
    again = [pieces(each) for each in log]

    assert again == expected
    assert len(shown._pieces) < 30
    assert show.count == 2 * len(log)
