"""What the readers of a workspace document share: who is who in it, and what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from flexcore.domain import limits
from flexcore.domain.attributes import JsonObject
from flexcore.domain.entries import Entry, Findings
from flexcore.domain.errors import ResourceExhausted
from flexcore.domain.expressions import Dialect
from flexcore.domain.model import (
    Activity,
    Row,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.domain.semantics import Value, check_overrides, resolved

ORDERS = ("FIFO", "LIFO")

Mint: TypeAlias = Callable[[str], str]


class Place(msgspec.Struct, frozen=True):
    """A workspace a document is added to, with what its entries may refer to.

    `queue` returns the sid of a task queue by that or its friendly name, or nothing.
    """

    workspace: Workspace
    activities: Sequence[Activity]
    task_channels: Sequence[TaskChannel]
    queue: Callable[[str], str]


class WorkspaceDocument(msgspec.Struct, frozen=True):
    """What a document holds, as rows in the order of their creation.

    `rooms` are the worker channels by worker; `paths` say where a sid stands.
    """

    workspace: Workspace
    activities: Sequence[Activity]
    task_channels: Sequence[TaskChannel]
    task_queues: Sequence[TaskQueue]
    workflows: Sequence[Workflow]
    workers: Sequence[Worker]
    rooms: Mapping[str, Sequence[WorkerChannel]]
    paths: Mapping[str, str]

    @property
    def rows(self) -> int:
        """How many rows it comes to, the revisions of workflows included."""
        sections = (self.activities, self.task_channels, self.task_queues, self.workers)
        count = sum(map(len, sections)) + 2 * len(self.workflows)
        return count + sum(map(len, self.rooms.values()))


class Scope:
    """The workspace that is read, with the names and sids found so far."""

    def __init__(
        self,
        value: JsonObject,
        mint: Mint,
        place: Place | None,
        *,
        allow_loopback: bool = False,
    ) -> None:
        self.allow_loopback = allow_loopback
        self.findings = Findings()
        self.document = Entry(value, "", self.findings)
        self.mint = mint
        self.place = place
        self.workspace = (
            place.workspace if place else Workspace(sid="", friendly_name="")
        )
        self.activities = list(place.activities if place else ())
        self.task_channels = list(place.task_channels if place else ())
        #: sids of task queues by sid and by friendly name
        self.queues: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self._parts = 0
        #: paths by kind and name, whatever its case but for task channels
        self._names: dict[tuple[type[Row], str], str] = {}

    @property
    def dialect(self) -> Dialect:
        """How the expressions of the workspace are read."""
        policies = resolved(self.workspace.semantics, self.workspace.policies)
        return Dialect(policies.type_mismatch, policies.missing_array)

    def spend(self, parts: int) -> None:
        """Count what is read of expressions and workflows; refuse very many of them."""
        self._parts += parts
        most = limits.DOCUMENT_PARTS
        if self._parts > most:
            raise ResourceExhausted(
                f"one call may bring {most} filters, targets, and words and signs of"
                " expressions; import this document in parts",
                metadata={"limit": str(most)},
            )

    def sid(self, entry: Entry, prefix: str) -> str:
        """Return the sid of an entry, or a new one."""
        sid = entry.sid(prefix) or self.mint(prefix)
        if sid in self.paths:
            entry.note("sid", f"is that of {self.paths[sid]}")
            sid = self.mint(prefix)
        self.paths[sid] = entry.path
        return sid

    def name(self, entry: Entry, kind: type[Row], key: str = "friendly_name") -> str:
        """Return the name of an entry, which no other of its kind may have."""
        name = entry.line(key, limits.FRIENDLY_NAME_CHARS, required=True)
        unique = name if kind is TaskChannel else name.casefold()
        there = self._names.setdefault((kind, unique), entry.path)
        if name and there != entry.path:
            entry.note(key, f"{name!r} is that of {there}")
        return name

    def policies(self, entry: Entry, *, queue: bool) -> dict[str, Value]:
        """Return the policies an entry sets."""
        # What is no word, number or boolean is no value of any policy.
        values: dict[str, Value] = {
            name: value if isinstance(value, str | int) else ""
            for name, value in entry.object("policies").items()
        }
        at = entry.at("policies")
        return self.findings.read(lambda: check_overrides(values, at, queue=queue), {})

    def activity(self, entry: Entry, key: str, otherwise: str = "") -> str:
        """Return the sid of the activity that `<key>_sid` or `<key>_name` names."""
        by_sid, by_name = f"{key}_sid", f"{key}_name"
        sid, name = entry.text(by_sid), entry.text(by_name)
        if not (sid or name):
            if not otherwise:
                entry.note(by_sid, f"must be given, or {by_name}")
            return otherwise
        for row in self.activities:
            if sid == row.sid or (not sid and name == row.friendly_name):
                if name and row.friendly_name != name:
                    entry.note(by_name, f"{sid} is {row.friendly_name!r}")
                return row.sid
        entry.note(by_sid if sid else by_name, f"{sid or name!r} is no activity here")
        return otherwise
