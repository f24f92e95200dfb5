"""What can be asked of an account: commands and answers, all of them plain values.

A field that is None was not given. Every mutating command may carry a `request_id`;
a repeat with the same one is answered like the first. Times and durations say their
unit; sids are checked for shape before a command is made.

What all commands are is command.py, those that set routing up are setup_commands.py, those
of the server itself inner_commands.py; this is the one module to import them from.
"""

from flexcore.domain.parts import Media, Route
from flexcore.domain.states import ReceiptStatus
from flexcore.engine.command import (
    Answer,
    Command,
    Filter,
    Get,
    Mutation,
    Page,
    Principal,
    Snapshot,
)
from flexcore.engine.inner_commands import (
    AttemptCallback,
    AttemptSend,
    NotePresence,
    ReportCallback,
    ReportSend,
    ShiftOffers,
    Tick,
)
from flexcore.engine.setup_commands import (
    BatchCreateWorkers,
    CreateActivity,
    CreateDefaults,
    CreateTaskChannel,
    CreateTaskQueue,
    CreateWorker,
    CreateWorkflow,
    CreateWorkspace,
    DeleteActivity,
    DeleteTaskChannel,
    DeleteTaskQueue,
    DeleteWorker,
    DeleteWorkflow,
    DeleteWorkspace,
    GetWorker,
    GetWorkerChannel,
    ImportWorkspace,
    UpdateActivity,
    UpdateTaskChannel,
    UpdateTaskQueue,
    UpdateWorker,
    UpdateWorkerChannel,
    UpdateWorkflow,
    UpdateWorkspace,
)
from flexcore.store.interface import Place

__all__ = [
    "AcceptReservation",
    "AddParticipant",
    "Answer",
    "AttemptCallback",
    "AttemptSend",
    "BatchCreateTasks",
    "BatchCreateWorkers",
    "CancelTask",
    "ClaimAddress",
    "ClaimTask",
    "CloseConversation",
    "CloseInteractionChannel",
    "Command",
    "CompleteTask",
    "CreateAccount",
    "CreateActivity",
    "CreateAddressConfiguration",
    "CreateConversation",
    "CreateDefaults",
    "CreateInteraction",
    "CreateInvite",
    "CreateKey",
    "CreateSender",
    "CreateTask",
    "CreateTaskChannel",
    "CreateTaskQueue",
    "CreateWorker",
    "CreateWorkflow",
    "CreateWorkspace",
    "DeleteActivity",
    "DeleteTask",
    "DeleteTaskChannel",
    "DeleteTaskQueue",
    "DeleteWorker",
    "DeleteWorkflow",
    "DeleteWorkspace",
    "Filter",
    "Get",
    "GetWorker",
    "GetWorkerChannel",
    "ImportWorkspace",
    "Mutation",
    "NotePresence",
    "Page",
    "Place",
    "Principal",
    "ReceiveMessage",
    "ReceiveStatus",
    "RejectReservation",
    "ReleaseAddress",
    "RemoveParticipant",
    "ReplayDeadLetter",
    "ReportCallback",
    "ReportSend",
    "RevokeKey",
    "SendMessage",
    "ShiftOffers",
    "Snapshot",
    "Tick",
    "UpdateActivity",
    "UpdateAddressConfiguration",
    "UpdateSender",
    "UpdateTask",
    "UpdateTaskChannel",
    "UpdateTaskQueue",
    "UpdateWorker",
    "UpdateWorkerChannel",
    "UpdateWorkflow",
    "UpdateWorkspace",
    "WrapTask",
]

# --- directory -------------------------------------------------------------------------


class CreateAccount(Mutation, frozen=True, kw_only=True):
    """Create a tenant; answers (Account,)."""

    friendly_name: str


class CreateKey(Mutation, frozen=True, kw_only=True):
    """Create an API key of an account; answers (Key,) whose secret is sealed."""

    account_sid: str
    friendly_name: str
    operator: bool = False


class RevokeKey(Mutation, frozen=True, kw_only=True):
    """End the use of a key at once; answers (Key,)."""

    account_sid: str
    sid: str


class ClaimAddress(Mutation, frozen=True, kw_only=True):
    """Make a business address belong to an account; answers (Claim,)."""

    address: str
    account_sid: str


class ReleaseAddress(Mutation, frozen=True, kw_only=True):
    """Take back a claim that nothing came of."""

    address: str
    account_sid: str


# --- routing ---------------------------------------------------------------------------


class CreateTask(Mutation, frozen=True, kw_only=True):
    """Answers (Task,); task channel by sid or unique name, empty = default.

    `routes` bypass the workflow: workers, queues or workflows, one after the other.
    """

    workspace_sid: str = ""
    workflow_sid: str = ""
    task_channel: str = ""
    attributes: str = "{}"
    priority: int = 0
    timeout_seconds: int = 0
    virtual_start_time: int | None = None
    routes: tuple[Route, ...] = ()


class BatchCreateTasks(Mutation, frozen=True, kw_only=True):
    """Create all of these tasks, in this order, or none; answers (Task, ...)."""

    tasks: tuple[CreateTask, ...]


class UpdateTask(Mutation, frozen=True, kw_only=True):
    """Change an open task; a waiting one is routed anew. Answers (Task,)."""

    sid: str
    attributes: str | None = None
    attributes_patch: str | None = None
    priority: int | None = None
    task_channel: str | None = None
    virtual_start_time: int | None = None
    expected_version: int = 0


class CancelTask(Mutation, frozen=True, kw_only=True):
    """Cancel a pending or reserved task; answers (Task,)."""

    sid: str
    reason: str = ""
    expected_version: int = 0


class DeleteTask(Mutation, frozen=True, kw_only=True):
    """Remove a task with its reservations for good; answers (Task,) as it was last."""

    sid: str
    expected_version: int = 0


class WrapTask(Mutation, frozen=True, kw_only=True):
    """Begin wrap-up of an assigned task; answers (Task, Reservation).

    `sid` is that of the task or of its accepted reservation.
    """

    sid: str
    reason: str = ""
    expected_version: int = 0


class CompleteTask(Mutation, frozen=True, kw_only=True):
    """Complete an assigned or wrapping task; answers (Task, Reservation).

    `sid` is that of the task or of its reservation.
    """

    sid: str
    reason: str = ""
    disposition: str = ""
    attributes_patch: str | None = None
    expected_version: int = 0


class ClaimTask(Mutation, frozen=True, kw_only=True):
    """Take a waiting task unasked; answers (Reservation, Task[, Participant])."""

    sid: str
    worker_sid: str
    expected_version: int = 0


class AcceptReservation(Mutation, frozen=True, kw_only=True):
    """Answers (Reservation, Task[, Participant of the conversation])."""

    sid: str
    expected_version: int = 0


class RejectReservation(Mutation, frozen=True, kw_only=True):
    """Answers (Reservation, Task); `activity` (sid or name) moves the worker."""

    sid: str
    activity: str = ""
    expected_version: int = 0


# --- conversations ---------------------------------------------------------------------


class CreateConversation(Mutation, frozen=True, kw_only=True):
    """Answers (Conversation,)."""

    friendly_name: str = ""
    attributes: str = "{}"


class CloseConversation(Mutation, frozen=True, kw_only=True):
    """Close a conversation that no open interaction channel uses."""

    sid: str
    expected_version: int = 0


class AddParticipant(Mutation, frozen=True, kw_only=True):
    """Add an identity, or an address behind a proxy address; answers (Participant,)."""

    conversation_sid: str
    identity: str = ""
    address: str = ""
    proxy_address: str = ""
    attributes: str = "{}"


class RemoveParticipant(Mutation, frozen=True, kw_only=True):
    """Remove a participant and release its pair; answers (Participant,)."""

    sid: str


class SendMessage(Mutation, frozen=True, kw_only=True):
    """Say something; answers (Message, Receipt ...), a receipt per external participant.

    `author` is the identity or address of a participant, or free text such as `system`.
    """

    conversation_sid: str
    author: str
    body: str = ""
    media: tuple[Media, ...] = ()
    attributes: str = "{}"


# --- interactions ----------------------------------------------------------------------


class CreateInteraction(Mutation, frozen=True, kw_only=True):
    """Bind a conversation to routing.

    Answers (Interaction, InteractionChannel, Invite, Task).
    """

    conversation_sid: str
    workspace_sid: str = ""
    workflow_sid: str = ""
    task_channel: str = ""
    attributes: str = "{}"
    priority: int = 0
    timeout_seconds: int = 0


class CreateInvite(Mutation, frozen=True, kw_only=True):
    """Invite one more agent; empty fields are those of the interaction.

    Answers (Invite, Task).
    """

    interaction_sid: str
    workflow_sid: str = ""
    task_channel: str = ""
    attributes_patch: str = "{}"
    priority: int = 0
    timeout_seconds: int = 0


class CloseInteractionChannel(Mutation, frozen=True, kw_only=True):
    """End an interaction: close its channel and conversation, cancel pending invites.

    Tasks go to wrapping, or to completed when `complete`. May be repeated: the second
    call can complete what the first one wrapped. Answers (Interaction,
    InteractionChannel, Conversation, Task ...).
    """

    interaction_sid: str
    complete: bool = False


# --- channels --------------------------------------------------------------------------


class CreateAddressConfiguration(Mutation, frozen=True, kw_only=True):
    """Answers (AddressConfiguration,)."""

    address: str
    friendly_name: str = ""
    auto_creation: str = "default"
    workspace_sid: str = ""
    workflow_sid: str = ""
    task_channel: str = ""
    attributes: str = "{}"
    priority: int = 0
    timeout_seconds: int = 0


class UpdateAddressConfiguration(Mutation, frozen=True, kw_only=True):
    """Applies to conversations created afterwards; answers (AddressConfiguration,)."""

    sid: str
    friendly_name: str | None = None
    auto_creation: str | None = None
    workflow_sid: str | None = None
    task_channel: str | None = None
    attributes: str | None = None
    priority: int | None = None
    timeout_seconds: int | None = None
    expected_version: int = 0


class CreateSender(Mutation, frozen=True, kw_only=True):
    """Answers (Sender,), whose `endpoint_id` names its webhook URLs."""

    address: str
    provider: str
    base_url: str
    public_url: str
    carrier_account_sid: str
    auth_token: str
    deduplicates: bool = False


class UpdateSender(Mutation, frozen=True, kw_only=True):
    """Going live changes a base URL and credentials; answers (Sender,)."""

    sid: str
    base_url: str | None = None
    public_url: str | None = None
    carrier_account_sid: str | None = None
    auth_token: str | None = None
    deduplicates: bool | None = None
    expected_version: int = 0


class ReceiveMessage(Mutation, frozen=True, kw_only=True):
    """A customer's message from a carrier's webhook.

    Answers () when refused (the inbox keeps it as dead letter) or repeated, else
    (Message, Conversation).
    """

    endpoint_id: str
    channel_message_sid: str
    address: str
    proxy_address: str
    body: str
    media: tuple[Media, ...] = ()
    attributes: str = "{}"
    form: bytes = b""


class ReceiveStatus(Mutation, frozen=True, kw_only=True):
    """A delivery status from a carrier's webhook; answers (Receipt,) or ()."""

    endpoint_id: str
    receipt_sid: str
    channel_message_sid: str
    status: ReceiptStatus
    error_code: int = 0


class ReplayDeadLetter(Mutation, frozen=True, kw_only=True):
    """Put a dead outbox entry back on its way."""

    sid: str
