"""What streams showed lately: those that see the same share it.

A change set is encoded once for streams of every kind. What streams with one filter write
after a position is put together once for all of them: a stream that catches up behind
another one need not even read the log.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

import msgspec

from flexcore.domain import limits
from flexcore.domain.log import ChangeSet
from flexcore.services.encoded import Encoded, encode
from flexcore.services.pieces import fits, messages_of

#: bytes an entry takes besides what it holds
_ENTRY_BYTES = 400

#: the pieces of messages that show a change set, each small enough for one
Show: TypeAlias = Callable[[ChangeSet], Sequence[bytes]]


class Told(msgspec.Struct, frozen=True, gc=False):
    """The bytes of messages, without their tokens: one, or several of one change set.

    They tell `taken` change sets, and so everything up to the sequence `end`. They are
    `full` when the next change set there was did not fit.
    """

    messages: tuple[bytes, ...]
    taken: int
    end: int
    full: bool

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return sum(map(len, self.messages))


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


V = TypeVar("V", bound=_Sized)


class _Kept(Generic[V]):
    """What was made lately, at most SHOWN_BYTES of it; the oldest goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, V] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> V | None:
        return self._kept.get(key)

    def put(self, key: Hashable, made: V) -> V:
        before = self._kept.pop(key, None)
        if before is not None:
            self._bytes -= before.size + _ENTRY_BYTES
        self._kept[key] = made
        self._bytes += made.size + _ENTRY_BYTES
        while self._bytes > limits.SHOWN_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size + _ENTRY_BYTES
        return made


class Shown:
    """What all streams of a server share."""

    def __init__(self) -> None:
        self._encoded: _Kept[Encoded] = _Kept()
        self._told: _Kept[Told] = _Kept()

    def encode(self, change_set: ChangeSet) -> Encoded:
        """Return a change set encoded."""
        key = change_set.account_sid, change_set.last_sequence
        found = self._encoded.get(key)
        return found or self._encoded.put(key, encode(change_set))

    def telling(self, account_sid: str, stream: bytes, show: Show) -> "Telling":
        """Return what tells of change sets, and shares that with streams of the same hash.

        `show`, and which change sets there are, have to be the same for all of them.
        """
        return Telling(self._told, (account_sid, stream), show)


class Telling:
    """What streams of one hash write, as it follows from where they are."""

    # There is one for each stream.
    __slots__ = ("_show", "_stream", "_told")

    def __init__(
        self, told: _Kept[Told], stream: tuple[str, bytes], show: Show
    ) -> None:
        self._told = told
        self._stream = stream
        self._show = show

    def known(self, after: int) -> Told | None:
        """Return what a stream told lately that was at this position."""
        return self._told.get((*self._stream, after))

    def tell(self, after: int, change_sets: Sequence[ChangeSet], until: int) -> Told:
        """Tell of the change sets between two positions, as many as a message takes."""
        found = self.known(after)
        # Others may have seen fewer, and told them, when there was no more.
        if found is not None:
            more = len(change_sets) - found.taken
            if not more or (found.full and more > 0):
                return found
        made = _tell(change_sets, until, self._show)
        return self._told.put((*self._stream, after), made)


def _tell(change_sets: Sequence[ChangeSet], until: int, show: Show) -> Told:
    pieces: list[bytes] = []
    size = 0
    for taken, change_set in enumerate(change_sets):
        more = show(change_set)
        added = sum(map(len, more))
        if not fits(len(pieces) + len(more), size + added):
            if taken:
                end = change_set.first_sequence - 1
                return Told((b"".join(pieces),), taken, end, full=True)
            rest = change_sets[1:]
            end = rest[0].first_sequence - 1 if rest else until
            return Told(tuple(messages_of(more)), 1, end, full=True)
        pieces += more
        size += added
    return Told((b"".join(pieces),), len(change_sets), until, full=False)
