"""The resources as values: frozen rows, one per sid, changed only by `evolve`.

Times are microseconds since the epoch and 0 means "none". `attributes` is JSON text, as
on the wire. What the matcher needs after a restart is a field here, never only in memory.
"""

from typing import Self

import msgspec

from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    ChannelStatus,
    ConversationState,
    InviteStatus,
    ParticipantStatus,
    ReceiptStatus,
    ReservationStatus,
    TaskStatus,
)


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="kind"):
    """What every resource has: a sid, a version that grows by one, two times."""

    sid: str
    version: int = 1
    create_time: int = 0
    update_time: int = 0

    def evolve(self, **changes: object) -> Self:
        """Return a copy with `changes`."""
        return msgspec.structs.replace(self, **changes)


# --- directory -------------------------------------------------------------------------


class Account(Row, frozen=True, gc=False, kw_only=True, tag="account"):
    """A tenant, and the unit of ownership."""

    friendly_name: str
    epoch: int = 1


class Key(Row, frozen=True, gc=False, kw_only=True, tag="key"):
    """An API key; `sealed_secret` is encrypted with the data folder's key file."""

    account_sid: str
    friendly_name: str
    sealed_secret: bytes
    operator: bool = False
    revoke_time: int = 0


class Claim(Row, frozen=True, gc=False, kw_only=True, tag="claim"):
    """A business address that belongs to one account; `sid` is the address itself."""

    account_sid: str


# --- routing configuration -------------------------------------------------------------


class Workspace(Row, frozen=True, gc=False, kw_only=True, tag="workspace"):
    """A set of workers, queues and workflows that route among themselves."""

    friendly_name: str
    default_activity_sid: str = ""
    timeout_activity_sid: str = ""


class Activity(Row, frozen=True, gc=False, kw_only=True, tag="activity"):
    """What a worker is doing; only an available one gets offers."""

    workspace_sid: str
    friendly_name: str
    available: bool


class TaskChannel(Row, frozen=True, gc=False, kw_only=True, tag="task_channel"):
    """A capacity class of tasks."""

    workspace_sid: str
    unique_name: str
    friendly_name: str


class TaskQueue(Row, frozen=True, gc=False, kw_only=True, tag="task_queue"):
    """Tasks waiting for the workers that satisfy `target_workers`."""

    workspace_sid: str
    friendly_name: str
    target_workers: str = "1==1"


class Workflow(Row, frozen=True, gc=False, kw_only=True, tag="workflow"):
    """Which queue a task enters, and when it moves on; `configuration` is JSON text."""

    workspace_sid: str
    friendly_name: str
    configuration: str
    task_reservation_timeout_seconds: int


class Worker(Row, frozen=True, gc=False, kw_only=True, tag="worker"):
    """Somebody who can be offered tasks; `order` breaks ties and never changes."""

    workspace_sid: str
    friendly_name: str
    attributes: str
    activity_sid: str
    activity_time: int
    order: int

    @property
    def name_key(self) -> str:
        """What must be unique: the friendly name, whatever its case, per workspace."""
        return f"{self.workspace_sid}|{self.friendly_name.casefold()}"


class WorkerChannel(Row, frozen=True, gc=False, kw_only=True, tag="worker_channel"):
    """How many tasks of one task channel a worker may hold, and its offer clock."""

    workspace_sid: str
    worker_sid: str
    task_channel_sid: str
    task_channel_unique_name: str
    configured_capacity: int = 1
    available: bool = True
    last_offered: int = 0


# --- routing work ----------------------------------------------------------------------


class Task(Row, frozen=True, gc=False, kw_only=True, tag="task"):
    """Work that waits for a worker.

    `sequence` is the log position of its creation and breaks ties of waiting order.
    `step_*` say where in its workflow it is; `filter` -1 is the default filter.
    """

    workspace_sid: str
    workflow_sid: str
    task_queue_sid: str
    task_channel_sid: str
    task_channel_unique_name: str
    attributes: str
    priority: int
    status: TaskStatus
    sequence: int
    virtual_start_time: int
    timeout_seconds: int
    deadline: int
    step_filter: int
    step_target: int
    step_deadline: int
    queue_entered_time: int
    reason: str = ""
    assignment_count: int = 0
    invite_sid: str = ""

    @property
    def open_workspace_sid(self) -> str:
        """The workspace whose agents still have it to do, if they have."""
        return self.workspace_sid if self.status in OPEN_TASK else ""


class Reservation(Row, frozen=True, gc=False, kw_only=True, tag="reservation"):
    """One offer of one task to one worker, valid until `deadline`.

    `order` is the log position of its creation and breaks ties of deadlines.
    """

    workspace_sid: str
    workflow_sid: str
    task_queue_sid: str
    task_channel_sid: str
    task_sid: str
    worker_sid: str
    worker_name: str
    status: ReservationStatus
    deadline: int
    candidates: int
    order: int = 0
    reason: str = ""

    @property
    def open_worker_sid(self) -> str:
        """The worker whose capacity it holds, if it still does."""
        return self.worker_sid if self.status in OPEN_RESERVATION else ""


# --- conversations ---------------------------------------------------------------------


class Conversation(Row, frozen=True, gc=False, kw_only=True, tag="conversation"):
    """A thread; `message_count` is the index of its next message."""

    friendly_name: str = ""
    attributes: str = "{}"
    state: ConversationState = ConversationState.ACTIVE
    message_count: int = 0
    last_message_time: int = 0
    channel_sid: str = ""
    address_configuration_sid: str = ""


class Participant(Row, frozen=True, gc=False, kw_only=True, tag="participant"):
    """Who takes part: a chat identity, or an external address behind a proxy address.

    With a `remove_time` it took part once and is listed no more.
    """

    conversation_sid: str
    identity: str = ""
    address: str = ""
    proxy_address: str = ""
    attributes: str = "{}"
    remove_time: int = 0


class Media(msgspec.Struct, frozen=True, gc=False):
    """One file of a message."""

    url: str
    content_type: str


class Message(Row, frozen=True, gc=False, kw_only=True, tag="message"):
    """What somebody said; `index` has no gaps within its conversation."""

    conversation_sid: str
    index: int
    author: str
    participant_sid: str
    body: str
    media: tuple[Media, ...] = ()
    attributes: str = "{}"
    channel_message_sid: str = ""


class ReceiptEntry(msgspec.Struct, frozen=True, gc=False):
    """One line of a receipt's timeline."""

    status: ReceiptStatus
    time: int
    error_code: int = 0


class Receipt(Row, frozen=True, gc=False, kw_only=True, tag="receipt"):
    """How one message fared on its way to one external participant.

    What stands after the last `queued` of its timeline is its present life: a dead
    letter that is replayed begins a new one.
    """

    conversation_sid: str
    message_sid: str
    participant_sid: str
    sender_sid: str
    status: ReceiptStatus
    error_code: int = 0
    channel_message_sid: str = ""
    timeline: tuple[ReceiptEntry, ...] = ()


# --- interactions ----------------------------------------------------------------------


class Interaction(Row, frozen=True, gc=False, kw_only=True, tag="interaction"):
    """Who works on a conversation; has one channel."""

    workspace_sid: str
    workflow_sid: str
    channel_sid: str
    conversation_sid: str
    initiated_by: str
    attributes: str


class InteractionChannel(
    Row, frozen=True, gc=False, kw_only=True, tag="interaction_channel"
):
    """Binds one interaction to one conversation; `type` is the kind of medium."""

    interaction_sid: str
    conversation_sid: str
    type: str
    status: ChannelStatus = ChannelStatus.ACTIVE
    close_reason: str = ""


class InteractionParticipant(
    Row, frozen=True, gc=False, kw_only=True, tag="interaction_participant"
):
    """A customer or an agent of a channel; an agent holds an open reservation."""

    interaction_sid: str
    channel_sid: str
    type: str
    participant_sid: str
    status: ParticipantStatus = ParticipantStatus.JOINED
    task_sid: str = ""
    worker_sid: str = ""
    reservation_sid: str = ""
    leave_time: int = 0


class Invite(Row, frozen=True, gc=False, kw_only=True, tag="invite"):
    """An invitation of an agent into a channel; makes exactly one task."""

    interaction_sid: str
    channel_sid: str
    task_sid: str
    status: InviteStatus = InviteStatus.PENDING
    reservation_sid: str = ""


# --- channels --------------------------------------------------------------------------


class AddressConfiguration(
    Row, frozen=True, gc=False, kw_only=True, tag="address_configuration"
):
    """What a first message to a business address starts.

    `auto_creation` is `none` (dead letter), `default` (a conversation) or `interaction`
    (a conversation, its interaction, an invite and a task).
    """

    address: str
    friendly_name: str = ""
    auto_creation: str = "default"
    workspace_sid: str = ""
    workflow_sid: str = ""
    task_channel_sid: str = ""
    attributes: str = "{}"
    priority: int = 0
    timeout_seconds: int = 0


class Sender(Row, frozen=True, gc=False, kw_only=True, tag="sender"):
    """A business address at a carrier: where to send, and how its webhooks are signed.

    `endpoint_id` is the unguessable part of its webhook URLs; `deduplicates` says that
    the carrier drops a repeated client reference, so that an unknown send may be resent.
    """

    address: str
    provider: str
    endpoint_id: str
    base_url: str
    public_url: str
    carrier_account_sid: str
    sealed_auth_token: bytes
    deduplicates: bool = False


Resource = (
    Account
    | Key
    | Claim
    | Workspace
    | Activity
    | TaskChannel
    | TaskQueue
    | Workflow
    | Worker
    | WorkerChannel
    | Task
    | Reservation
    | Conversation
    | Participant
    | Message
    | Receipt
    | Interaction
    | InteractionChannel
    | InteractionParticipant
    | Invite
    | AddressConfiguration
    | Sender
)
