"""Rows, change sets and commits with defaults; a test writes only what it is about.

Sids are counted, not drawn: the same test makes the same ones.
"""

import itertools

from flexcore.domain.log import Cause, ChangeSet, Event, encode_change_set
from flexcore.domain.model import (
    Account,
    Activity,
    AddressConfiguration,
    Claim,
    Conversation,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Key,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Sender,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.states import (
    OutboxState,
    ReceiptStatus,
    ReservationStatus,
    TaskStatus,
)
from flexcore.store.interface import (
    Commit,
    InboxEntry,
    InboxState,
    OutboxEntry,
    RequestEntry,
)

#: 2023-11-14, where the virtual clock starts
TIME = 1_700_000_000_000_000

_numbers = itertools.count(1_000_000)


def make_sid(prefix: str, number: int | None = None) -> str:
    return f"{prefix}{next(_numbers) if number is None else number:032x}"


ACCOUNT = make_sid("AC", 1)
WORKSPACE = make_sid("WS", 1)
WORKFLOW = make_sid("WW", 1)
TASK_QUEUE = make_sid("WQ", 1)
TASK_CHANNEL = make_sid("TC", 1)
ACTIVITY = make_sid("WA", 1)
WORKER = make_sid("WK", 1)
TASK = make_sid("WT", 1)
CONVERSATION = make_sid("CH", 1)
INTERACTION = make_sid("KD", 1)
INTERACTION_CHANNEL = make_sid("UO", 1)
MESSAGE = make_sid("IM", 1)
PARTICIPANT = make_sid("MB", 1)

_PREFIXES = {
    Account: "AC",
    Key: "SK",
    Workspace: "WS",
    Activity: "WA",
    TaskChannel: "TC",
    TaskQueue: "WQ",
    Workflow: "WW",
    WorkflowRevision: "WV",
    Worker: "WK",
    WorkerChannel: "WC",
    Task: "WT",
    Reservation: "WR",
    Conversation: "CH",
    Participant: "MB",
    Message: "IM",
    Receipt: "DY",
    Interaction: "KD",
    InteractionChannel: "UO",
    InteractionParticipant: "UT",
    Invite: "KG",
    AddressConfiguration: "IG",
    Sender: "XE",
}

_DEFAULTS = {
    Account: {"friendly_name": "acme"},
    Key: {"account_sid": ACCOUNT, "friendly_name": "main", "sealed_secret": b"sealed"},
    Claim: {"sid": "+15550000001", "account_sid": ACCOUNT},
    Workspace: {"friendly_name": "default"},
    Activity: {
        "workspace_sid": WORKSPACE,
        "friendly_name": "Available",
        "available": True,
    },
    TaskChannel: {
        "workspace_sid": WORKSPACE,
        "unique_name": "chat",
        "friendly_name": "Chat",
    },
    TaskQueue: {"workspace_sid": WORKSPACE, "friendly_name": "everyone"},
    Workflow: {
        "workspace_sid": WORKSPACE,
        "friendly_name": "default",
        "configuration": "{}",
        "task_reservation_timeout_seconds": 120,
    },
    WorkflowRevision: {
        "workspace_sid": WORKSPACE,
        "workflow_sid": WORKFLOW,
        "number": 1,
        "configuration": "{}",
    },
    Worker: {
        "workspace_sid": WORKSPACE,
        "friendly_name": "alice",
        "attributes": "{}",
        "activity_sid": ACTIVITY,
        "activity_time": TIME,
        "order": 1,
    },
    WorkerChannel: {
        "workspace_sid": WORKSPACE,
        "worker_sid": WORKER,
        "task_channel_sid": TASK_CHANNEL,
        "task_channel_unique_name": "chat",
    },
    Task: {
        "workspace_sid": WORKSPACE,
        "workflow_sid": WORKFLOW,
        "task_queue_sid": TASK_QUEUE,
        "task_channel_sid": TASK_CHANNEL,
        "task_channel_unique_name": "chat",
        "attributes": "{}",
        "priority": 0,
        "status": TaskStatus.PENDING,
        "sequence": 1,
        "virtual_start_time": TIME,
        "timeout_seconds": 86_400,
        "deadline": 0,
        "step_filter": 0,
        "step_target": 0,
        "step_deadline": 0,
        "queue_entered_time": TIME,
    },
    Reservation: {
        "workspace_sid": WORKSPACE,
        "workflow_sid": WORKFLOW,
        "task_queue_sid": TASK_QUEUE,
        "task_channel_sid": TASK_CHANNEL,
        "task_sid": TASK,
        "worker_sid": WORKER,
        "worker_name": "alice",
        "status": ReservationStatus.PENDING,
        "deadline": 0,
        "candidates": 1,
    },
    Conversation: {},
    Participant: {"conversation_sid": CONVERSATION},
    Message: {
        "conversation_sid": CONVERSATION,
        "index": 0,
        "author": "+15551234567",
        "participant_sid": PARTICIPANT,
        "body": "hello",
    },
    Receipt: {
        "sender_sid": "XE" + "0" * 32,
        "conversation_sid": CONVERSATION,
        "message_sid": MESSAGE,
        "participant_sid": PARTICIPANT,
        "status": ReceiptStatus.QUEUED,
    },
    Interaction: {
        "workspace_sid": WORKSPACE,
        "workflow_sid": WORKFLOW,
        "channel_sid": INTERACTION_CHANNEL,
        "conversation_sid": CONVERSATION,
        "initiated_by": "customer",
        "attributes": "{}",
    },
    InteractionChannel: {
        "interaction_sid": INTERACTION,
        "conversation_sid": CONVERSATION,
        "type": "sms",
    },
    InteractionParticipant: {
        "interaction_sid": INTERACTION,
        "channel_sid": INTERACTION_CHANNEL,
        "type": "agent",
        "participant_sid": PARTICIPANT,
    },
    Invite: {
        "interaction_sid": INTERACTION,
        "channel_sid": INTERACTION_CHANNEL,
        "task_sid": TASK,
    },
    AddressConfiguration: {"address": "+15550000001"},
    Sender: {
        "address": "+15550000001",
        "provider": "twilio",
        "endpoint_id": "e" * 32,
        "base_url": "http://127.0.0.1:1",
        "public_url": "http://127.0.0.1:2",
        "carrier_account_sid": ACCOUNT,
        "sealed_auth_token": b"sealed",
    },
}

#: every kind of row there is
KINDS = tuple(_DEFAULTS)


def make_row(kind: type[Row], **changes: object) -> Row:
    times = {"create_time": TIME, "update_time": TIME}
    sid = {"sid": make_sid(_PREFIXES[kind])} if kind in _PREFIXES else {}
    return kind(**{**times, **sid, **_DEFAULTS[kind], **changes})


def make_task(**changes: object) -> Task:
    return make_row(Task, **changes)


def make_reservation(**changes: object) -> Reservation:
    return make_row(Reservation, **changes)


def make_worker(**changes: object) -> Worker:
    return make_row(Worker, **changes)


def make_worker_channel(**changes: object) -> WorkerChannel:
    return make_row(WorkerChannel, **changes)


def make_conversation(**changes: object) -> Conversation:
    return make_row(Conversation, **changes)


def make_participant(**changes: object) -> Participant:
    return make_row(Participant, **changes)


def make_message(**changes: object) -> Message:
    return make_row(Message, **changes)


def make_interaction(**changes: object) -> Interaction:
    return make_row(Interaction, **changes)


def make_interaction_channel(**changes: object) -> InteractionChannel:
    return make_row(InteractionChannel, **changes)


def make_interaction_participant(**changes: object) -> InteractionParticipant:
    return make_row(InteractionParticipant, **changes)


def make_invite(**changes: object) -> Invite:
    return make_row(Invite, **changes)


def make_change_set(head: int, *rows: Row, **changes: object) -> ChangeSet:
    """The change set after sequence `head`: one event per row."""
    events = tuple(
        Event(f"{type(row).__name__.lower()}.updated", row.sid, row.version)
        for row in rows
    )
    defaults = {
        "account_sid": ACCOUNT,
        "first_sequence": head + 1,
        "last_sequence": head + len(events),
        "time": TIME,
        "command_id": f"{next(_numbers):032x}",
        "actor": "test",
        "cause": Cause.REQUEST,
        "events": events,
        "resources": rows,
    }
    return ChangeSet(**{**defaults, **changes})


def make_commit(
    head: int, *rows: Row, account_sid: str = ACCOUNT, epoch: int = 1, **changes: object
) -> Commit:
    """A commit of one change set after `head`, or of none when there are no rows.

    `changes` are fields of the change set if it has them, else of the commit.
    """
    of_change_set = {
        name: changes.pop(name)
        for name in ChangeSet.__struct_fields__
        if name in changes
    }
    change_set = None
    if rows:
        change_set = make_change_set(
            head, *rows, account_sid=account_sid, **of_change_set
        )
        changes.setdefault("body", encode_change_set(change_set))
    return Commit(
        account_sid=account_sid, epoch=epoch, change_set=change_set, **changes
    )


def make_request(**changes: object) -> RequestEntry:
    defaults = {
        "actor": "SK1",
        "method": "CreateTask",
        "request_id": "r-1",
        "fingerprint": b"\x01" * 16,
        "sequence": 1,
        "time": TIME,
    }
    return RequestEntry(**{**defaults, **changes})


def make_inbox(**changes: object) -> InboxEntry:
    defaults = {
        "endpoint_id": "e1",
        "channel_message_sid": "SM1",
        "time": TIME,
        "state": InboxState.APPLIED,
        "reason": "",
        "form": b"Body=hi",
    }
    return InboxEntry(**{**defaults, **changes})


def make_outbox(**changes: object) -> OutboxEntry:
    defaults = {
        "sid": make_sid("OB"),
        "pair": "+15551234567|+15550000001",
        "sequence": 1,
        "state": OutboxState.READY,
        "sender_sid": make_sid("XE", 1),
        "receipt_sid": make_sid("DY", 1),
        "to": "+15551234567",
        "sent_from": "+15550000001",
        "body": "hello",
        "media": (),
        "create_time": TIME,
        "due": TIME,
    }
    return OutboxEntry(**{**defaults, **changes})
