"""Pages of the stored log: what streams that come back after a while read together.

After a restart everybody comes back, and reads the same. A page ends where the number of
its last event passes a multiple of LOG_PAGE_EVENTS, wherever it was begun, so that streams
that came from different places read the same pages from then on.
"""

from collections import OrderedDict
from itertools import groupby

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, Handle
from flexcore.domain.log import ChangeSet
from flexcore.store.interface import Reader


class Pages:
    """The pages read last, at most LOG_PAGES of them, as long as anybody reads.

    What is stored does not change, so a page is right as long as its place is in the log.
    """

    def __init__(
        self, account_sid: str, store: Reader, clock: Clock, alarm: Alarm
    ) -> None:
        self._account_sid = account_sid
        self._store = store
        self._clock = clock
        self._alarm = alarm
        #: when a page was read last, and what forgets them all some time after
        self._used = 0
        self._handle: Handle | None = None
        #: by the sequence each begins after; the one longest unread first
        self._pages: OrderedDict[int, list[ChangeSet]] = OrderedDict()

    def after(self, position: int) -> list[ChangeSet]:
        """Return the next change sets that are stored, oldest first; not to be changed."""
        self._used = self._clock.now()
        page = self._pages.get(position)
        if page is None:
            page = self._read(position)
        else:
            self._pages.move_to_end(position)
        return page

    def _read(self, position: int) -> list[ChangeSet]:
        found = self._store.read_log(
            self._account_sid, position, "", limits.LOG_READ_BYTES
        )
        groups = [list(group) for _, group in groupby(found, _page_of)]
        if len(groups) > 1:
            groups.pop()  # it may go on beyond what was read
        first = groups[0] if groups else []
        for page in groups:
            if position in self._pages:
                break  # others are here already, and go on from where it ends
            self._pages[position] = page
            position = page[-1].last_sequence
        while len(self._pages) > limits.LOG_PAGES:
            self._pages.popitem(last=False)
        if self._pages and self._handle is None:
            self._forget_later()
        return first

    def _forget_later(self) -> None:
        end = self._used + limits.LOG_PAGES_KEPT
        self._handle = self._alarm.call_at(end, self._forget)

    def _forget(self) -> None:
        self._handle = None
        if self._clock.now() < self._used + limits.LOG_PAGES_KEPT:
            self._forget_later()
        else:
            self._pages.clear()


def _page_of(change_set: ChangeSet) -> int:
    return change_set.last_sequence // limits.LOG_PAGE_EVENTS
