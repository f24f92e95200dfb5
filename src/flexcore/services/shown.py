"""What streams showed lately: those that see the same of a change set share it.

Converting and encoding is most of what a stream costs that catches up, or that many follow.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet

#: bytes an entry takes besides what it holds
_ENTRY_BYTES = 400

Show = Callable[[ChangeSet], Sequence[bytes]]


class Shown:
    """Pieces of messages, at most SHOWN_BYTES of them."""

    def __init__(self) -> None:
        #: by stream, account and change set; the one shown longest ago first
        self._pieces: OrderedDict[tuple[bytes, str, int], Sequence[bytes]] = (
            OrderedDict()
        )
        self._bytes = 0

    def shared(self, stream: bytes, show: Show) -> Show:
        """Return `show`, which is the same for all streams of that hash, as one that shares."""

        def shared(change_set: ChangeSet) -> Sequence[bytes]:
            key = (stream, change_set.account_sid, change_set.last_sequence)
            pieces = self._pieces.get(key)
            if pieces is None:
                pieces = self._pieces[key] = show(change_set)
                self._bytes += _size(pieces)
                self._shrink()
            return pieces

        return shared

    def _shrink(self) -> None:
        while self._bytes > limits.SHOWN_BYTES:
            _, pieces = self._pieces.popitem(last=False)
            self._bytes -= _size(pieces)


def _size(pieces: Sequence[bytes]) -> int:
    return sum(map(len, pieces)) + _ENTRY_BYTES
