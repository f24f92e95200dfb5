"""Participants: identities and external addresses that take part in a conversation."""

from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.attributes import canonical, check_attributes
from flexcore.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    Reason,
)
from flexcore.domain.model import (
    InteractionChannel,
    InteractionParticipant,
    Participant,
    Sender,
)
from flexcore.domain.states import ParticipantStatus
from flexcore.engine.commands import AddParticipant, RemoveParticipant
from flexcore.engine.decision import Decision, pair_key
from flexcore.engine.messaging.conversations import need_open, participants_of
from flexcore.engine.setup.workspaces import Rows, refuse_full


def add_participant(decision: Decision, command: AddParticipant) -> Rows:
    """Add a chat identity, or an external address behind one of our senders."""
    conversation = need_open(decision, command.conversation_sid)
    attributes = canonical(check_attributes(command.attributes))
    if bool(command.identity) == bool(command.address):
        raise InvalidArgument("identity", "give either an identity or an address")
    if command.identity:
        if len(command.identity) > limits.IDENTITY_CHARS:
            raise InvalidArgument(
                "identity", f"is longer than {limits.IDENTITY_CHARS} characters"
            )
        for row in participants_of(decision, conversation.sid):
            if row.identity == command.identity:
                raise AlreadyExists(
                    f"identity {command.identity!r} is taken by {row.sid}",
                    metadata={"sid": row.sid, "field": "identity"},
                )
        return (add_identity(decision, conversation.sid, command.identity, attributes),)
    address = str(parse_address(command.address, "address"))
    proxy = str(parse_address(command.proxy_address, "proxy_address"))
    if address == proxy:
        raise InvalidArgument("proxy_address", "must differ from the address")
    if not decision.state.where(Sender, "address", proxy):
        raise FailedPrecondition(
            f"no sender is configured for proxy_address {proxy}",
            reason=Reason.SENDER_MISSING,
            metadata={"address": proxy},
        )
    return (add_address(decision, conversation.sid, address, proxy, attributes),)


def add_identity(
    decision: Decision, conversation_sid: str, identity: str, attributes: str = "{}"
) -> Participant:
    """Let an identity take part, once: who is there already stays as it is."""
    present = participants_of(decision, conversation_sid)
    for row in present:
        if row.identity == identity:
            return row
    refuse_full(len(present), limits.PARTICIPANTS_MAX, "participants", conversation_sid)
    return decision.create(
        Participant(
            sid=decision.ids.sid("MB"),
            conversation_sid=conversation_sid,
            identity=identity,
            attributes=attributes,
        ),
        "participant.added",
    )


def add_address(
    decision: Decision,
    conversation_sid: str,
    address: str,
    proxy_address: str,
    attributes: str = "{}",
) -> Participant:
    """Bind a pair of addresses to a conversation; one open conversation holds it."""
    bound = decision.state.lookup(pair_key(address, proxy_address))
    if bound:
        raise AlreadyExists(
            f"{address} with {proxy_address} is bound to conversation {bound}",
            reason=Reason.PAIR_IN_USE,
            metadata={"sid": str(bound)},
        )
    present = participants_of(decision, conversation_sid)
    external = sum(bool(row.address) for row in present)
    refuse_full(len(present), limits.PARTICIPANTS_MAX, "participants", conversation_sid)
    most = limits.EXTERNAL_PARTICIPANTS_MAX
    refuse_full(external, most, "participants with an address", conversation_sid)
    decision.bind(address, proxy_address, conversation_sid)
    return decision.create(
        Participant(
            sid=decision.ids.sid("MB"),
            conversation_sid=conversation_sid,
            address=address,
            proxy_address=proxy_address,
            attributes=attributes,
        ),
        "participant.added",
    )


def remove_participant(decision: Decision, command: RemoveParticipant) -> Rows:
    """Remove a participant; an agent at work leaves through the interaction instead."""
    participant = decision.get(command.sid, Participant)
    if participant.remove_time:
        return (participant,)
    conversation = need_open(decision, participant.conversation_sid)
    if conversation.channel_sid:
        _refuse_at_work(decision, participant, conversation.channel_sid)
    return (remove(decision, participant),)


def remove(decision: Decision, participant: Participant) -> Participant:
    """End a participation and release its pair."""
    if participant.address:
        decision.bind(participant.address, participant.proxy_address, "")
    return decision.change(participant, "participant.removed", remove_time=decision.now)


def _refuse_at_work(
    decision: Decision, participant: Participant, channel_sid: str
) -> None:
    channel = decision.state.need(channel_sid, InteractionChannel)
    rows = decision.state.where(
        InteractionParticipant, "interaction_sid", channel.interaction_sid
    )
    for row in rows:
        joined = row.status == ParticipantStatus.JOINED
        if row.participant_sid == participant.sid and joined:
            raise FailedPrecondition(
                f"participant {participant.sid} is the {row.type} of interaction "
                f"{row.interaction_sid}; close the interaction or complete its task",
                reason=Reason.CHANNEL_OPEN,
                metadata={"sid": row.interaction_sid},
            )
