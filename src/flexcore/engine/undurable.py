"""What an account has decided and the disk does not have yet, in order.

Nobody has been told of any of it. Bounded in number and in bytes; the age of the oldest
says whether the disk keeps up.
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


class Held(NamedTuple):
    """Something decided and not released: an answer, a refusal, a commit."""

    stamp: int
    entry: Entry | None
    result: Answer | FlexcoreError
    commit: Commit | None
    time: int


class Undurable:
    """A queue of what is held; commits leave it in the order they were decided."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Say whether nothing more may be decided before the disk has some of it."""
        return (
            len(self._held) >= limits.UNDURABLE_COMMANDS
            or self._bytes >= limits.UNDURABLE_BYTES
        )

    @property
    def since(self) -> int:
        """When the oldest was decided; 0 if there is none."""
        return self._held[0].time if self._held else 0

    def add(self, held: Held) -> None:
        """Hold one more."""
        self._held.append(held)
        if held.commit is not None:
            self._bytes += len(held.commit.body)

    def released(self, durable: int) -> Iterator[Held]:
        """Take out what rests on nothing later than the commit stamped `durable`."""
        while self._held:
            held = self._held[0]
            if held.commit is not None:
                if held.stamp > durable:
                    return
                self._bytes -= len(held.commit.body)
            yield self._held.popleft()

    def given_up(self) -> list[Held]:
        """Take out everything."""
        held = list(self._held)
        self._held.clear()
        self._bytes = 0
        return held

    def change_set(self, last_sequence: int) -> ChangeSet | None:
        """Return the change set that ends at `last_sequence`, if it is held."""
        for held in self._held:
            change_set = held.commit.change_set if held.commit is not None else None
            if change_set is not None and change_set.last_sequence == last_sequence:
                return change_set
        return None
