"""The keys a command needs in memory before it can be decided.

Asked again after each fetch, since a pair leads to a conversation and a task to its
interaction; an empty answer means: decide. Keys of open work are always in memory, so
that for most commands this costs a dictionary look-up.
"""

from collections.abc import Callable, Iterator
from typing import Any

from flexcore.domain.addresses import parse_address
from flexcore.domain.errors import FlexcoreError
from flexcore.domain.model import (
    Conversation,
    Interaction,
    InteractionChannel,
    Invite,
    Participant,
    Reservation,
    Task,
)
from flexcore.engine import commands as c
from flexcore.engine.decision import inbox_key, outbox_key, pair_key, request_key
from flexcore.engine.messaging.messages import entry_sid
from flexcore.engine.state import State
from flexcore.store.interface import OutboxEntry

Keys = Iterator[str]


def missing_keys(state: State, actor: str, command: c.Command) -> list[str]:
    """Return the keys that must be fetched before `command` is decided."""
    missing = [key for key in _needs(state, command) if not state.knows(key)]
    request_id = getattr(command, "request_id", "")
    if request_id:
        key = request_key(actor, type(command).__name__, request_id)
        if not state.knows(key):
            missing.append(key)
    return missing


def _needs(state: State, command: c.Command) -> Keys:
    needs = _NEEDS.get(type(command))
    return needs(state, command) if needs is not None else iter(())


def _sid(state: State, command: c.Get) -> Keys:
    yield command.sid


def _task(state: State, command: c.CancelTask) -> Keys:
    if command.sid.startswith("WR"):
        yield from _reservation(state, command)
    else:
        yield from _task_with_interaction(state, command.sid)


def _reservation(state: State, command: c.AcceptReservation | c.CancelTask) -> Keys:
    yield command.sid
    row = state.find(command.sid, Reservation)
    if row is not None:
        yield from _task_with_interaction(state, row.task_sid)


def _task_with_interaction(state: State, sid: str) -> Keys:
    yield sid
    task = state.find(sid, Task)
    if task is not None and task.invite_sid:
        yield task.invite_sid
        invite = state.find(task.invite_sid, Invite)
        if invite is not None:
            yield from _interaction_with_conversation(state, invite.interaction_sid)


def _interaction_with_conversation(state: State, sid: str) -> Keys:
    yield sid
    interaction = state.find(sid, Interaction)
    if interaction is not None:
        yield interaction.conversation_sid


def _interaction(state: State, command: c.CreateInvite) -> Keys:
    yield from _interaction_with_conversation(state, command.interaction_sid)
    for invite in state.where(Invite, "interaction_sid", command.interaction_sid):
        yield invite.task_sid


def _conversation(state: State, command: c.SendMessage) -> Keys:
    yield from _conversation_with_channel(state, command.conversation_sid)


def _closing(state: State, command: c.CloseConversation) -> Keys:
    yield from _conversation_with_channel(state, command.sid)


def _conversation_with_channel(state: State, sid: str) -> Keys:
    yield sid
    conversation = state.find(sid, Conversation)
    if conversation is not None and conversation.channel_sid:
        yield conversation.channel_sid
        channel = state.find(conversation.channel_sid, InteractionChannel)
        if channel is not None:
            yield channel.interaction_sid


def _participant_pair(state: State, command: c.AddParticipant) -> Keys:
    yield command.conversation_sid
    yield from _pair(command.address, command.proxy_address)


def _participant(state: State, command: c.RemoveParticipant) -> Keys:
    yield command.sid
    row = state.find(command.sid, Participant)
    if row is not None:
        yield from _conversation_with_channel(state, row.conversation_sid)


def _inbound(state: State, command: c.ReceiveMessage) -> Keys:
    yield inbox_key(command.endpoint_id, command.channel_message_sid)
    for key in _pair(command.address, command.proxy_address):
        yield key
        if state.knows(key):
            bound = state.lookup(key)
            if isinstance(bound, str):
                yield from _conversation_with_channel(state, bound)


def _pair(address: str, proxy_address: str) -> Keys:
    """Yield the pair's key; a malformed address is refused later, by its handler."""
    if not address or not proxy_address:
        return
    try:
        yield pair_key(
            str(parse_address(address, "address")),
            str(parse_address(proxy_address, "proxy_address")),
        )
    except FlexcoreError:
        return


def _receipt(state: State, command: c.ReceiveStatus) -> Keys:
    if command.receipt_sid:
        yield command.receipt_sid
        yield outbox_key(entry_sid(command.receipt_sid))


def _outbox(state: State, command: c.AttemptSend) -> Keys:
    yield outbox_key(command.sid)
    if state.knows(outbox_key(command.sid)):
        entry = state.lookup(outbox_key(command.sid))
        if isinstance(entry, OutboxEntry):
            yield entry.receipt_sid


def _callback(state: State, command: c.AttemptCallback) -> Keys:
    yield outbox_key(command.sid)
    if state.knows(outbox_key(command.sid)):
        entry = state.lookup(outbox_key(command.sid))
        if isinstance(entry, OutboxEntry) and entry.callback is not None:
            yield from _reservation(
                state, c.AcceptReservation(sid=entry.callback.reservation_sid)
            )


_NEEDS: dict[type[c.Command], Callable[[State, Any], Keys]] = {
    c.Get: _sid,
    c.Snapshot: _sid,
    c.UpdateTask: _task,
    c.CancelTask: _task,
    c.DeleteTask: _task,
    c.ClaimTask: _task,
    c.WrapTask: _task,
    c.CompleteTask: _task,
    c.AcceptReservation: _reservation,
    c.RejectReservation: _reservation,
    c.CloseConversation: _closing,
    c.SendMessage: _conversation,
    c.AddParticipant: _participant_pair,
    c.RemoveParticipant: _participant,
    c.CreateInteraction: _conversation,
    c.CreateInvite: _interaction,
    c.CloseInteractionChannel: _interaction,
    c.ReceiveMessage: _inbound,
    c.ReceiveStatus: _receipt,
    c.AttemptSend: _outbox,
    c.ReportSend: _outbox,
    c.ReplayDeadLetter: _outbox,
    c.AttemptCallback: _callback,
    c.ReportCallback: _callback,
}
