"""What a command is answered: what was decided, or again what was answered before."""

from collections.abc import Callable

from flexcore.domain.log import ChangeSet, decode_rows
from flexcore.domain.model import Row
from flexcore.engine.command import Answer
from flexcore.engine.decider import Decided
from flexcore.engine.names import names_of
from flexcore.engine.state import State
from flexcore.store.interface import RequestEntry

#: returns the change set that ends at a sequence, if the log still holds it
FindChangeSet = Callable[[int], ChangeSet | None]


def answered(state: State, decided: Decided, find: FindChangeSet, now: int) -> Answer:
    """Return the answer to a command that was just decided."""
    entry = decided.repeats
    if entry is None:
        names = names_of(state, decided.rows)
        return Answer(state.sequence, decided.rows, time=now, names=names)
    rows = _answered_before(entry, find)
    names = names_of(state, rows)
    return Answer(entry.sequence, rows, repeated=True, time=entry.time, names=names)


def _answered_before(entry: RequestEntry, find: FindChangeSet) -> tuple[Row, ...]:
    """Rebuild what was answered from its change set, or from the answer itself."""
    if entry.answer:
        return decode_rows(entry.answer)
    change_set = find(entry.sequence)
    if change_set is None:
        return ()
    told = change_set.rows() | {row.sid: row for row in change_set.beside}
    return tuple(told[sid] for sid in change_set.answer)
