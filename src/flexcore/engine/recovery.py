"""How an account's memory is built from what the store holds."""

from flexcore.domain.model import Row, WorkflowRevision
from flexcore.domain.workflow_names import named_sids
from flexcore.engine.decision import outbox_key
from flexcore.engine.state import State
from flexcore.store.interface import Recovery


def recovered(account_sid: str, found: Recovery) -> State:
    """Return the state an account begins with: configuration, open work, the outbox."""
    state = State(account_sid, found.epoch)
    state.sequence = found.head_sequence
    for row in map(_named, found.rows):
        state.put(row)
        state.note(row)
    for entry in found.outbox:
        state.remember(outbox_key(entry.sid), entry)
        state.follow(entry)
    return state


def _named(row: Row) -> Row:
    """Note with a revision what it names that was saved before that was noted.

    Here, so that no delete has to read documents while others wait for it.
    """
    if isinstance(row, WorkflowRevision) and row.names is None:
        return row.evolve(names=named_sids(row.configuration))
    return row
