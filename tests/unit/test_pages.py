"""Streams that catch up read the stored log together, in pages."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.log import ChangeSet
from flexcore.engine.pages import Pages
from tests.factories import ACCOUNT, make_change_set, make_worker


class Log:
    """A stored log of change sets of one event each; counts what is read of it."""

    def __init__(self, head: int, at_once: int = 70) -> None:
        self.reads: list[int] = []
        self._head = head
        self._at_once = at_once

    def read_log(
        self, _account_sid: str, after: int, _subject: str, _bytes_max: int
    ) -> Sequence[ChangeSet]:
        self.reads.append(after)
        last = min(self._head, after + self._at_once)
        return [make_change_set(head, make_worker()) for head in range(after, last)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_PAGE_EVENTS", 50)


def read(pages: Pages, after: int) -> Iterator[list[int]]:
    while found := pages.after(after):
        yield [each.last_sequence for each in found]
        after = found[-1].last_sequence


def pages_of(log: Any, clock: VirtualClock | None = None) -> Pages:
    clock = clock or VirtualClock()
    return Pages(ACCOUNT, log, clock, clock)


def test_everything_is_read_in_order_and_once() -> None:
    numbers = [number for page in read(pages_of(Log(333)), 7) for number in page]

    assert numbers == list(range(8, 334))


def test_who_comes_second_reads_nothing_again() -> None:
    log = Log(333)
    pages = pages_of(log)
    first = list(read(pages, 7))
    before = len(log.reads)
    again = list(read(pages, 7))

    assert again == first
    assert log.reads[before:] == [333]


def test_those_from_different_places_meet_at_the_next_page() -> None:
    log = Log(333)
    pages = pages_of(log)
    list(read(pages, 7))
    before = len(log.reads)
    other = list(read(pages, 20))

    assert [number for page in other for number in page] == list(range(21, 334))
    assert log.reads[before:] == [20, 333]


def test_a_page_is_whole_though_a_read_ends_within_one() -> None:
    ends = [page[-1] for page in read(pages_of(Log(333)), 7)]

    assert ends == [49, 99, 149, 199, 249, 299, 333]


def test_what_is_read_at_once_is_several_pages() -> None:
    log = Log(333, at_once=170)
    ends = [page[-1] for page in read(pages_of(log), 0)]

    assert ends == [49, 99, 149, 199, 249, 299, 333]
    assert log.reads == [0, 149, 299, 333]


def test_the_page_longest_unread_is_the_first_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "LOG_PAGES", 3)
    log = Log(333)
    pages = pages_of(log)
    for after in (0, 49, 99, 0, 149):
        assert pages.after(after)
    assert log.reads == [0, 49, 99, 149]
    for after in (0, 99, 149, 49):
        assert pages.after(after)

    assert log.reads == [0, 49, 99, 149, 49]


def test_few_pages_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_PAGES", 3)
    pages = pages_of(Log(1_000))
    list(read(pages, 0))

    assert len(pages._pages) <= 3


def test_pages_are_forgotten_once_nobody_reads(clock: VirtualClock) -> None:
    pages = pages_of(Log(333), clock)
    list(read(pages, 0))
    assert len(clock._calls) == 1
    clock.advance(limits.LOG_PAGES_KEPT - 1)
    assert pages.after(0)
    clock.advance(limits.LOG_PAGES_KEPT - 1)
    assert len(pages._pages) == 7
    clock.advance(1)

    assert not pages._pages
    assert [number for page in read(pages, 0) for number in page][-1] == 333
    clock.advance(limits.LOG_PAGES_KEPT)
    assert not pages._pages
