"""What every command and every answer is, whatever it is about."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from flexcore.domain.model import Row
from flexcore.store.interface import Place


class Principal(msgspec.Struct, frozen=True):
    """Who asks: the account comes from the credential, never from the request.

    With a `worker_sid` it acts for that worker and for no other (ownership.py).
    """

    account_sid: str
    actor: str
    operator: bool = False
    worker_sid: str = ""

    @property
    def is_worker(self) -> bool:
        """Whether it is the worker itself, with a token of its own."""
        return self.actor == self.worker_sid != ""


class Answer(msgspec.Struct, frozen=True):
    """The resources a command returns, the principal one first.

    `sequence` is the log position the answer is true at, `time` when it was decided;
    `repeated` says that it was given before to the same request_id. `names` are those of
    what the resources refer to, by sid.
    """

    sequence: int
    rows: tuple[Row, ...] = ()
    repeated: bool = False
    time: int = 0
    names: Mapping[str, str] = msgspec.field(default_factory=dict)


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all commands."""


class Mutation(Command, frozen=True, kw_only=True):
    """Base of commands that change something."""

    request_id: str = ""


class Get(Command, frozen=True, kw_only=True):
    """Return the resource `sid`, which must be of the kind its prefix says."""

    sid: str


class Snapshot(Command, frozen=True, kw_only=True):
    """Return what a narrow stream starts from.

    For a worker: the worker, its channels, the activities of its workspace, its open
    reservations and their tasks.
    For a conversation: the conversation and its participants.
    """

    sid: str


#: what a list may ask of a field: a value, or one of several
Filter: TypeAlias = str | int | bool | tuple[str, ...]


class Page(msgspec.Struct, frozen=True):
    """One page of a list, read at `time`; `after` of the next one, or None at the end.

    `names` are those of what the rows refer to, by sid.
    """

    rows: tuple[Row, ...]
    after: Place | None
    time: int = 0
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
