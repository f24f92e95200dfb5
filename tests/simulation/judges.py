"""Who checks the log of a run: this process when it has ended, or another meanwhile."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Protocol

from flexcore.domain.log import ChangeSet, decode_change_set, encode_change_set
from tests.checkers import violations


class Judge(Protocol):
    """Is told of every change set in order, and asked once for what is wrong."""

    def take(self, change_set: ChangeSet) -> None: ...

    def found(self) -> list[str]: ...


class Here:
    """Checks when it is asked: the other cores have seeds of their own."""

    def __init__(self) -> None:
        self._log: list[ChangeSet] = []

    def take(self, change_set: ChangeSet) -> None:
        self._log.append(change_set)

    def found(self) -> list[str]:
        return list(violations(self._log))


class Beside:
    """Checks in a process of its own while the run goes on: for one long run."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_check, args=(self._pipe, other), daemon=True
        )
        self._process.start()
        other.close()

    def take(self, change_set: ChangeSet) -> None:
        self._pipe.send_bytes(encode_change_set(change_set))

    def found(self) -> list[str]:
        self._pipe.send_bytes(b"")
        problems: list[str] = self._pipe.recv()
        self._process.join()
        return problems


def _check(parent: Connection, pipe: Connection) -> None:
    parent.close()  # so that the pipe ends with whoever began this
    pipe.send(list(violations(_received(pipe))))


def _received(pipe: Connection) -> Iterator[ChangeSet]:
    while body := pipe.recv_bytes():
        yield decode_change_set(body)
