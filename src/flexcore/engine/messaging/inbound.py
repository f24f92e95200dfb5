"""What a carrier's webhook sets off: one command, from the inbox row to the task.

A message that cannot be taken is not lost: its inbox row alone is written, as a dead
letter with the reason, and the carrier still gets its 200.
"""

from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.attributes import canonical, check_attributes
from flexcore.domain.errors import (
    FailedPrecondition,
    FlexcoreError,
    InvalidArgument,
    Reason,
)
from flexcore.domain.model import (
    AddressConfiguration,
    Conversation,
    Participant,
    TaskChannel,
    Workflow,
)
from flexcore.engine.commands import ReceiveMessage
from flexcore.engine.decision import Decision, inbox_key, pair_key
from flexcore.engine.messaging.conversations import add_conversation, participants_of
from flexcore.engine.messaging.interactions import Routing, bind
from flexcore.engine.messaging.messages import append
from flexcore.engine.messaging.participants import add_address
from flexcore.engine.setup.workspaces import Rows
from flexcore.store.interface import InboxEntry, InboxState


def receive_message(decision: Decision, command: ReceiveMessage) -> Rows:
    """Take a customer's message once, into the conversation its pair is bound to."""
    key = inbox_key(command.endpoint_id, command.channel_message_sid)
    if decision.state.lookup(key) is not None:
        return ()
    _note(decision, command, key, InboxState.APPLIED, "")
    return _apply(decision, command)


def refuse_message(
    decision: Decision, command: ReceiveMessage, error: FlexcoreError
) -> Rows:
    """Keep a message that was refused, with the reason, and change nothing else."""
    key = inbox_key(command.endpoint_id, command.channel_message_sid)
    _note(decision, command, key, InboxState.DEAD, error.text)
    return ()


def _note(
    decision: Decision,
    command: ReceiveMessage,
    key: str,
    state: InboxState,
    reason: str,
) -> None:
    entry = InboxEntry(
        endpoint_id=command.endpoint_id,
        channel_message_sid=command.channel_message_sid,
        time=decision.now,
        state=state,
        reason=reason,
        form=command.form,
    )
    decision.inbox = entry
    decision.remember(key, entry)


def _apply(decision: Decision, command: ReceiveMessage) -> Rows:
    address = str(parse_address(command.address, "From"))
    proxy = str(parse_address(command.proxy_address, "To"))
    if len(command.body) > limits.BODY_CHARS:
        raise InvalidArgument("Body", f"is longer than {limits.BODY_CHARS} characters")
    if len(command.media) > limits.MEDIA_COUNT:
        raise InvalidArgument("NumMedia", f"is more than {limits.MEDIA_COUNT}")
    attributes = canonical(check_attributes(command.attributes))
    bound = decision.state.lookup(pair_key(address, proxy))
    if bound:
        conversation = decision.get(str(bound), Conversation)
        customer = _customer(decision, conversation, address, proxy)
    else:
        conversation, customer = _begin(decision, address, proxy)
    conversation, message = append(
        decision,
        conversation,
        address,
        customer,
        body=command.body,
        media=command.media,
        attributes=attributes,
        channel_message_sid=command.channel_message_sid,
    )
    if not bound:
        _start_interaction(decision, conversation, customer)
    return (message, decision.get(conversation.sid, Conversation))


def _customer(
    decision: Decision, conversation: Conversation, address: str, proxy: str
) -> Participant:
    for row in participants_of(decision, conversation.sid):
        if (row.address, row.proxy_address) == (address, proxy):
            return row
    raise AssertionError(f"pair bound to {conversation.sid} without its participant")


def _begin(
    decision: Decision, address: str, proxy: str
) -> tuple[Conversation, Participant]:
    """Start the conversation that the business address is configured to start."""
    found = decision.state.where(AddressConfiguration, "address", proxy)
    if not found or found[0].auto_creation == "none":
        raise FailedPrecondition(
            f"no conversation is open with {proxy} and none is created automatically",
            reason=Reason.RESOURCE_NOT_FOUND,
        )
    conversation = add_conversation(decision, address_configuration_sid=found[0].sid)
    return conversation, add_address(decision, conversation.sid, address, proxy)


def _start_interaction(
    decision: Decision, conversation: Conversation, customer: Participant
) -> None:
    """Bring an agent into a new conversation, if its address says so."""
    configuration = decision.state.need(
        conversation.address_configuration_sid, AddressConfiguration
    )
    if configuration.auto_creation != "interaction":
        return
    routing = Routing(
        decision.state.need(configuration.workflow_sid, Workflow),
        decision.state.need(configuration.task_channel_sid, TaskChannel),
        configuration.attributes,
        configuration.priority,
        configuration.timeout_seconds,
    )
    bind(decision, conversation, customer, routing, initiated_by="customer")
