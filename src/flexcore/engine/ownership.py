"""Ownership: what somebody who acts for one worker reaches.

With a worker's own token, what is not the worker's is not there, as if it were another
account's: NOT_FOUND tells nobody what others have. What a session says for a worker with a
key is only held to be about that worker.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from flexcore.domain.errors import InvalidArgument, NotFound, PermissionDenied
from flexcore.domain.ids import RESOURCES
from flexcore.domain.model import Activity, Reservation, Row, Task, Worker
from flexcore.engine import commands as c
from flexcore.engine.state import State


def refuse_others(state: State, principal: c.Principal, command: c.Command) -> None:
    """Raise unless a command is about what is the worker's that the caller acts for."""
    if not principal.worker_sid:
        return
    find = _FOUND.get(type(command))
    if find is None:
        if principal.is_worker:
            name = type(command).__name__
            raise PermissionDenied(name, f"a worker's token may not call {name}")
        return
    sid, workers = find(state, command)
    if workers is not None and principal.worker_sid not in workers:
        if principal.is_worker:
            raise NotFound(RESOURCES[sid[:2]], sid)
        raise InvalidArgument("worker_sid", f"is not the worker of {sid}")
    if principal.is_worker and isinstance(command, c.UpdateWorker):
        _refuse_fields(command)


def own_rows(
    state: State, principal: c.Principal, kind: type[Row], where: Mapping[str, c.Filter]
) -> Mapping[str, c.Filter]:
    """Return the filters of a list, narrowed to what is the caller's."""
    if not principal.is_worker:
        return where
    if kind is Reservation:
        name, value = "worker_sid", principal.worker_sid
    elif kind is Activity:
        worker = state.find(principal.worker_sid, Worker)
        if worker is None:  # deleted since the credential was looked at
            raise NotFound("worker", principal.worker_sid)
        name, value = "workspace_sid", worker.workspace_sid
    else:
        raise PermissionDenied("List", f"a worker's token may not list {kind.__name__}")
    asked = where.get(name, value)
    if asked != value:
        raise NotFound(RESOURCES[str(asked)[:2]], str(asked))
    return {**where, name: value}


#: the sid a command is about, and the workers it belongs to; None if it is not there
_Found = tuple[str, set[str] | None]


def _worker(state: State, command: c.UpdateWorker | c.GetWorker | c.Snapshot) -> _Found:
    return command.sid, {command.sid}


def _claiming(state: State, command: c.ClaimTask) -> _Found:
    return command.worker_sid, {command.worker_sid}


def _row(state: State, command: c.Get | c.AcceptReservation | c.WrapTask) -> _Found:
    """Find whose a reservation is, or to whom a task is or was offered."""
    row = state.find(command.sid, Row)
    if isinstance(row, Reservation):
        return row.sid, {row.worker_sid}
    if isinstance(row, Task):
        offers = state.each(Reservation, "task_sid", row.sid)
        return row.sid, {each.worker_sid for each in offers}
    return command.sid, None if row is None else set()


_FOUND: Final[Mapping[type[c.Command], Callable[[State, Any], _Found]]] = {
    c.Get: _row,
    c.AcceptReservation: _row,
    c.RejectReservation: _row,
    c.WrapTask: _row,
    c.CompleteTask: _row,
    c.ClaimTask: _claiming,
    c.GetWorker: _worker,
    c.Snapshot: _worker,
    c.UpdateWorker: _worker,
}


def _refuse_fields(command: c.UpdateWorker) -> None:
    """Let a worker move to another activity, and change nothing else of itself."""
    for field in ("friendly_name", "attributes", "attributes_patch"):
        if getattr(command, field) is not None:
            text = f"{field}: a worker's token changes the activity only"
            raise PermissionDenied("UpdateWorker", text)
