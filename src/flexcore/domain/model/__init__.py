"""The resources as values: frozen rows, one per sid, changed only by `evolve`.

Times are microseconds since the epoch and 0 means "none". `attributes` is JSON text, as
on the wire. What the matcher needs after a restart is a field here, never only in memory.
"""

from flexcore.domain.model.addresses import AddressConfiguration, Sender
from flexcore.domain.model.configuration import (
    Activity,
    TaskChannel,
    TaskQueue,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.model.conversations import (
    Conversation,
    Message,
    Participant,
    Receipt,
)
from flexcore.domain.model.directory import Account, Claim, Key
from flexcore.domain.model.interactions import (
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
)
from flexcore.domain.model.row import Row
from flexcore.domain.model.tasks import Reservation, Task
from flexcore.domain.model.workers import Worker, WorkerChannel

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

__all__ = [
    "Account",
    "Activity",
    "AddressConfiguration",
    "Claim",
    "Conversation",
    "Interaction",
    "InteractionChannel",
    "InteractionParticipant",
    "Invite",
    "Key",
    "Message",
    "Participant",
    "Receipt",
    "Reservation",
    "Resource",
    "Row",
    "Sender",
    "Task",
    "TaskChannel",
    "TaskQueue",
    "Worker",
    "WorkerChannel",
    "Workflow",
    "WorkflowRevision",
    "Workspace",
]
