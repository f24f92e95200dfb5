"""The resources as values: frozen rows, one per sid, changed only by `evolve`.

Times are microseconds since the epoch and 0 means "none". `attributes` is JSON text, as
on the wire. What the matcher needs after a restart is a field here, never only in memory.
"""

from typing import Self

import msgspec

from flexcore.domain.parts import (
    CallbackProblem,
    Choice,
    Media,
    ReceiptEntry,
    Refusal,
    Route,
)
from flexcore.domain.semantics import DEFAULT_SEMANTICS, Semantics, Value
from flexcore.domain.states import (
    OPEN_RESERVATION,
    OPEN_TASK,
    WAITING_TASK,
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
    """A set of workers, queues and workflows that route among themselves.

    `policies` are those set for themselves; the others are those of `semantics`. Workers
    of queues of both orders empty those of `prioritize_queue_order` first.
    `callback_secret` counts how often the secret that signs callbacks was replaced.
    """

    friendly_name: str
    default_activity_sid: str = ""
    timeout_activity_sid: str = ""
    semantics: Semantics = DEFAULT_SEMANTICS
    policies: dict[str, Value] = {}
    prioritize_queue_order: str = "FIFO"
    callback_secret: int = 0


class Activity(Row, frozen=True, gc=False, kw_only=True, tag="activity"):
    """What a worker is doing; only an available one gets offers."""

    workspace_sid: str
    friendly_name: str
    available: bool


class TaskChannel(Row, frozen=True, gc=False, kw_only=True, tag="task_channel"):
    """A capacity class of tasks.

    `channel_optimized_routing` orders candidates by what they did on this channel alone.
    It comes to the workers, and leaves them, a few at a time: `spread_time` is when the
    next few follow and `spread_order` the order of the last one.
    """

    workspace_sid: str
    unique_name: str
    friendly_name: str
    channel_optimized_routing: bool = False
    leaving: bool = False
    spread_time: int = 0
    spread_order: int = -1


class TaskQueue(Row, frozen=True, gc=False, kw_only=True, tag="task_queue"):
    """Tasks waiting for the workers that satisfy `target_workers`.

    `max_reserved_workers` 0 makes it a pull queue: nothing is offered, workers claim.
    `policies` are those it overrides of its workspace. `cursor` is the order of the
    worker last offered something in turn (policy worker_order).
    """

    workspace_sid: str
    friendly_name: str
    target_workers: str = "1==1"
    max_reserved_workers: int = 1
    task_order: str = "FIFO"
    policies: dict[str, Value] = {}
    cursor: int = -1


class Workflow(Row, frozen=True, gc=False, kw_only=True, tag="workflow"):
    """Which queue a task enters, and when it moves on; `configuration` is JSON text.

    Every configuration is a revision; a task keeps the one it entered. While waiting
    tasks are moved to the current one, `re_evaluate_time` is when the next few are
    looked at and `re_evaluate_left` how many there are. URLs are the same for all of them.
    """

    workspace_sid: str
    friendly_name: str
    configuration: str
    task_reservation_timeout_seconds: int
    revision_sid: str = ""
    re_evaluate_time: int = 0
    re_evaluate_left: int = 0
    assignment_callback_url: str = ""
    fallback_assignment_callback_url: str = ""


class WorkflowRevision(
    Row, frozen=True, gc=False, kw_only=True, tag="workflow_revision"
):
    """One configuration of a workflow; never changes."""

    workspace_sid: str
    workflow_sid: str
    number: int
    configuration: str


class Worker(Row, frozen=True, gc=False, kw_only=True, tag="worker"):
    """Somebody who can be offered tasks; `order` breaks ties and never changes.

    `available_time` is since when the worker has been available without a break;
    `missed_offers` how many offers in a row ran out; `return_activity_sid` where the
    worker goes back to on the next sign of life (policy missed_offer).
    """

    workspace_sid: str
    friendly_name: str
    attributes: str
    activity_sid: str
    activity_time: int
    order: int
    available_time: int = 0
    missed_offers: int = 0
    return_activity_sid: str = ""

    @property
    def name_key(self) -> str:
        """What must be unique: the friendly name, whatever its case, per workspace."""
        return f"{self.workspace_sid}|{self.folded_name}"

    @property
    def folded_name(self) -> str:
        """The friendly name, whatever its case."""
        return self.friendly_name.casefold()


class WorkerChannel(Row, frozen=True, gc=False, kw_only=True, tag="worker_channel"):
    """How many tasks of one task channel a worker may hold, and its clocks.

    `last_offered` is when an offer was last made, `last_released` when one last ended.
    """

    workspace_sid: str
    worker_sid: str
    task_channel_sid: str
    task_channel_unique_name: str
    configured_capacity: int = 1
    available: bool = True
    last_offered: int = 0
    last_released: int = 0


# --- routing work ----------------------------------------------------------------------


class Task(Row, frozen=True, gc=False, kw_only=True, tag="task"):
    """Work that waits for a worker.

    `sequence` is the log position of its creation and breaks ties of waiting order.
    `step_*` say where in its workflow it is (domain/workflows.py); `step_start` is what
    its clock counts from, `skip_pending` says that skip_if is still to be asked. `routes`
    bypass the workflow; `route` is the one it is at, -1 none. `limit_time` ends its being
    assigned or wrapped up, `purge_time` its being kept, `hold_time` its being held back
    after `callback_failures` offers in a row that nobody answered for.
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
    disposition: str = ""
    assignment_count: int = 0
    invite_sid: str = ""
    workflow_revision_sid: str = ""
    step_start: int = 0
    skip_pending: bool = False
    routes: tuple[Route, ...] = ()
    route: int = -1
    refusals: tuple[Refusal, ...] = ()
    limit_time: int = 0
    purge_time: int = 0
    callback_failures: int = 0
    hold_time: int = 0

    @property
    def waits(self) -> bool:
        """Whether it may be offered to somebody.

        A pending task does not wait while it is held back, nor on its way past steps that
        are over: one that was over when the task came to it is left before anything else.
        """
        if self.status is not TaskStatus.PENDING or self.hold_time:
            return False
        return not 0 < self.step_deadline <= self.update_time

    @property
    def open_sids(self) -> tuple[str, str, str, str, str, tuple[str, ...]]:
        """Its workspace, queue, workflow, revision, channel and routes while it is open.

        Empty ones once it is not. Its queue is that of its step; its routes are what
        routing targets may lead to yet, and the worker it waits for.
        """
        if self.status not in OPEN_TASK:
            return ("", "", "", "", "", ())
        return (
            self.workspace_sid,
            self.task_queue_sid,
            self.workflow_sid,
            self.workflow_revision_sid,
            self.task_channel_sid,
            self._routes_left() if self.routes and self.status in WAITING_TASK else (),
        )

    def _routes_left(self) -> tuple[str, ...]:
        here = (self.task_queue_sid, self.workflow_sid)
        left = (link.sid for link in self.routes[max(self.route, 0) :])
        return tuple(dict.fromkeys(sid for sid in left if sid not in here))


class Reservation(Row, frozen=True, gc=False, kw_only=True, tag="reservation"):
    """One offer of one task to one worker, valid until `deadline`.

    `order` is the log position of its creation and breaks ties of deadlines.
    `accept_time` and `wrap_time` are when it was accepted and its wrap-up began.
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
    choice: Choice | None = None
    accept_time: int = 0
    wrap_time: int = 0
    callback_problems: tuple[CallbackProblem, ...] = ()

    @property
    def open_worker_sid(self) -> str:
        """The worker whose capacity it holds, if it still does."""
        return self.worker_sid if self.status in OPEN_RESERVATION else ""

    @property
    def open_task_sid(self) -> str:
        """The task it is of, as long as its worker may have that task."""
        return self.task_sid if self.status in OPEN_RESERVATION else ""


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
    | WorkflowRevision
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
