"""The task queue as one would write it in Python."""

from heapq import heappop, heappush
from typing import NamedTuple

from sortedcontainers import SortedKeyList


class Entry(NamedTuple):
    """A task as SortedKeyList keeps it."""

    item: int
    priority: int
    start: int
    sequence: int


def place(entry: Entry) -> tuple[int, int, int]:
    """Return the sort key of an entry."""
    return (-entry.priority, entry.start, entry.sequence)


class SortedKeyListQueue:
    """sortedcontainers.SortedKeyList; handles are sequences."""

    def __init__(self) -> None:
        self._entries = SortedKeyList(key=place)
        self._by_handle: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, item: int, priority: int, start: int, sequence: int) -> int:
        """Add an item."""
        entry = Entry(item, priority, start, sequence)
        self._entries.add(entry)
        self._by_handle[sequence] = entry
        return sequence

    def pop(self) -> int:
        """Take the first item."""
        entry = self._entries.pop(0)
        del self._by_handle[entry.sequence]
        return int(entry.item)

    def remove(self, handle: int) -> None:
        """Take an item out."""
        self._entries.remove(self._by_handle.pop(handle))

    def reprioritize(self, handle: int, priority: int) -> None:
        """Change the priority of an item."""
        entry = self._by_handle[handle]
        self._entries.remove(entry)
        changed = entry._replace(priority=priority)
        self._entries.add(changed)
        self._by_handle[handle] = changed


class HeapqQueue:
    """The heapq module; what was removed or moved is skipped when it comes up."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int]] = []
        #: handle -> (entry in force, item)
        self._by_handle: dict[int, tuple[tuple[int, int, int], int]] = {}

    def __len__(self) -> int:
        return len(self._by_handle)

    def push(self, item: int, priority: int, start: int, sequence: int) -> int:
        """Add an item."""
        entry = (-priority, start, sequence)
        heappush(self._heap, entry)
        self._by_handle[sequence] = (entry, item)
        return sequence

    def pop(self) -> int:
        """Take the first item."""
        while True:
            entry = heappop(self._heap)
            found = self._by_handle.get(entry[2])
            if found is not None and found[0] == entry:
                del self._by_handle[entry[2]]
                return found[1]

    def remove(self, handle: int) -> None:
        """Take an item out."""
        del self._by_handle[handle]

    def reprioritize(self, handle: int, priority: int) -> None:
        """Change the priority of an item."""
        (_, start, sequence), item = self._by_handle[handle]
        entry = (-priority, start, sequence)
        heappush(self._heap, entry)
        self._by_handle[handle] = (entry, item)
