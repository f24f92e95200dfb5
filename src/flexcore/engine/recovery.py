"""How an account's memory is built from what the store holds."""

from flexcore.engine.decision import outbox_key
from flexcore.engine.state import State
from flexcore.store.interface import Recovery


def recovered(account_sid: str, found: Recovery) -> State:
    """Return the state an account begins with: configuration, open work, the outbox."""
    state = State(account_sid, found.epoch)
    state.sequence = found.head_sequence
    for row in found.rows:
        state.put(row)
        state.note(row)
    for entry in found.outbox:
        state.remember(outbox_key(entry.sid), entry)
        state.follow(entry)
    return state
