"""Pages of the stored log: what streams that come back after a while read together.

After a restart everybody comes back, and reads the same. A page ends where the number of
its last event passes a multiple of LOG_PAGE_EVENTS, wherever it was begun, so that streams
that came from different places read the same pages from then on.
"""

from collections import OrderedDict
from itertools import groupby

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet
from flexcore.store.interface import Reader


class Pages:
    """The pages read last, at most LOG_PAGES of them.

    What is stored does not change, so a page is right as long as its place is in the log.
    """

    def __init__(self, account_sid: str, store: Reader) -> None:
        self._account_sid = account_sid
        self._store = store
        #: by the sequence each begins after; the one longest unread first
        self._pages: OrderedDict[int, list[ChangeSet]] = OrderedDict()

    def after(self, position: int) -> list[ChangeSet]:
        """Return the next change sets that are stored, oldest first; not to be changed."""
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
        first: list[ChangeSet] = []
        for _, group in groupby(found, _page_of):
            if position in self._pages:
                break  # others are here already, and go on from where it ends
            page = list(group)
            first = first or page
            self._pages[position] = page
            position = page[-1].last_sequence
        while len(self._pages) > limits.LOG_PAGES:
            self._pages.popitem(last=False)
        return first


def _page_of(change_set: ChangeSet) -> int:
    return change_set.last_sequence // limits.LOG_PAGE_EVENTS
