"""What an account has decided and the disk does not have yet, in order.

Nobody has been told of any of it. Bounded in number and in bytes; the age of the oldest
says whether the disk keeps up. Deadlines come by the thousand at one instant: so few of
them are undurable at once that this age means what it says, and they make no call
unavailable. It waits for its turn; only what others called for keeps new calls away.
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError
from flexcore.domain.log import ChangeSet
from flexcore.engine.commands import Answer, Command, Principal
from flexcore.store.interface import Commit

if TYPE_CHECKING:
    import asyncio


class Entry(NamedTuple):
    """A command in the mailbox; internal ones have nobody who waits."""

    principal: Principal
    command: Command
    caller: "asyncio.Future[Answer] | None"


def release(entry: Entry | None, result: Answer | FlexcoreError) -> None:
    """Tell a caller what became of a command, if somebody waits for it still."""
    if entry is None or entry.caller is None or entry.caller.done():
        return
    if isinstance(result, FlexcoreError):
        entry.caller.set_exception(result)
    else:
        entry.caller.set_result(result)


class Held(NamedTuple):
    """Something decided and not released: an answer, a refusal, a commit."""

    stamp: int
    entry: Entry | None
    result: Answer | FlexcoreError
    commit: Commit | None
    time: int

    @property
    def size(self) -> int:
        """How many bytes of it have to be written."""
        return 0 if self.commit is None else len(self.commit.body)

    @property
    def asked(self) -> bool:
        """Say whether somebody called for it."""
        return self.entry is not None and self.entry.caller is not None


class _Room:
    """How much of what may be undurable is taken."""

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0

    @property
    def full(self) -> bool:
        return (
            self.number >= limits.UNDURABLE_COMMANDS
            or self.bytes >= limits.UNDURABLE_BYTES
        )

    def take(self, held: Held) -> None:
        self.number += 1
        self.bytes += held.size

    def free(self, held: Held) -> None:
        self.number -= 1
        self.bytes -= held.size


class Undurable:
    """A queue of what is held; commits leave it in the order they were decided."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()
        self._all = _Room()
        self._asked = _Room()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Say whether nothing more may be decided before the disk has some of it."""
        return self._all.full

    @property
    def full_of_calls(self) -> bool:
        """Say whether calls alone have filled it, and new ones have to stay away."""
        return self._asked.full

    @property
    def unasked(self) -> int:
        """How many of it nobody called for: deadlines and what follows by itself."""
        return self._all.number - self._asked.number

    @property
    def since(self) -> int:
        """When the oldest was decided; 0 if there is none."""
        return self._held[0].time if self._held else 0

    def add(self, held: Held) -> None:
        """Hold one more."""
        self._held.append(held)
        self._all.take(held)
        if held.asked:
            self._asked.take(held)

    def released(self, durable: int) -> Iterator[Held]:
        """Take out what rests on nothing later than the commit stamped `durable`."""
        while self._held:
            held = self._held[0]
            if held.commit is not None and held.stamp > durable:
                return
            self._all.free(held)
            if held.asked:
                self._asked.free(held)
            yield self._held.popleft()

    def given_up(self) -> list[Held]:
        """Take out everything."""
        held = list(self._held)
        self._held.clear()
        self._all, self._asked = _Room(), _Room()
        return held

    def change_set(self, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`, if it is held."""
        for held in self._held:
            change_set = held.commit.change_set if held.commit is not None else None
            if change_set is not None and change_set.last_sequence == last_sequence:
                return change_set
        return None
