"""Every state machine as one table: state -> cause -> next state.

A transition is a look-up. What is not in a table cannot happen: `next_state` raises
`FailedPrecondition` and nothing has changed. The causes are the words of the field.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar, cast

from flexcore.domain.errors import FailedPrecondition


class TaskStatus(StrEnum):
    """Where a task is on its way to an agent."""

    PENDING = "pending"
    RESERVED = "reserved"
    ASSIGNED = "assigned"
    WRAPPING = "wrapping"
    COMPLETED = "completed"
    CANCELED = "canceled"


class ReservationStatus(StrEnum):
    """One offer of one task to one worker."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    WRAPPING = "wrapping"
    COMPLETED = "completed"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    RESCINDED = "rescinded"


class Connectivity(StrEnum):
    """Whether a session vouches for a worker; until one did nobody asks."""

    UNTRACKED = "untracked"
    CONNECTED = "connected"
    GRACE = "grace"
    LOST = "lost"


class WorkState(StrEnum):
    """What a worker has at hand; follows from open reservations, and is not stored."""

    IDLE = "idle"
    OFFERED = "offered"
    BUSY = "busy"
    WRAPPING = "wrapping"


class ConversationState(StrEnum):
    """A conversation; closed is final and releases its address pairs."""

    ACTIVE = "active"
    CLOSED = "closed"


class ChannelStatus(StrEnum):
    """An interaction channel; closed is final."""

    ACTIVE = "active"
    CLOSED = "closed"


class InviteStatus(StrEnum):
    """An invitation of an agent into a channel, carried by one task."""

    PENDING = "pending"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"


class ParticipantStatus(StrEnum):
    """A participant of an interaction channel."""

    JOINED = "joined"
    WRAPPING = "wrapping"
    LEFT = "left"


class ReceiptStatus(StrEnum):
    """What is known of one message on its way to one external participant."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    UNDELIVERED = "undelivered"
    FAILED = "failed"


class OutboxState(StrEnum):
    """A side effect on its way out; `unknown` must be asked for before it is resent."""

    READY = "ready"
    ATTEMPTING = "attempting"
    UNKNOWN = "unknown"
    DONE = "done"
    DEAD = "dead"


Table = Mapping[StrEnum, Mapping[str, StrEnum]]
_S = TypeVar("_S", bound=StrEnum)

_T, _R = TaskStatus, ReservationStatus

TASK: Table = {
    _T.PENDING: {
        "offer": _T.RESERVED,
        "claim": _T.ASSIGNED,
        "cancel": _T.CANCELED,
        "expire": _T.CANCELED,
        "exhaust": _T.CANCELED,
        "unmatched": _T.CANCELED,
        "skip": _T.CANCELED,
        "overrun": _T.CANCELED,
        "unplaceable": _T.CANCELED,
    },
    _T.RESERVED: {
        "unoffered": _T.PENDING,
        "accept": _T.ASSIGNED,
        "cancel": _T.CANCELED,
        "expire": _T.CANCELED,
    },
    _T.ASSIGNED: {
        "wrap": _T.WRAPPING,
        "complete": _T.COMPLETED,
        "vanish": _T.PENDING,
    },
    _T.WRAPPING: {"complete": _T.COMPLETED},
    _T.COMPLETED: {},
    _T.CANCELED: {},
}

RESERVATION: Table = {
    _R.PENDING: {
        "accept": _R.ACCEPTED,
        "reject": _R.REJECTED,
        "expire": _R.TIMEOUT,
        "cancel": _R.CANCELED,
        "rescind": _R.RESCINDED,
        "vanish": _R.CANCELED,
    },
    _R.ACCEPTED: {
        "wrap": _R.WRAPPING,
        "complete": _R.COMPLETED,
        "vanish": _R.CANCELED,
    },
    _R.WRAPPING: {"complete": _R.COMPLETED},
    _R.COMPLETED: {},
    _R.REJECTED: {},
    _R.TIMEOUT: {},
    _R.CANCELED: {},
    _R.RESCINDED: {},
}

_C = Connectivity

CONNECTIVITY: Table = {
    _C.UNTRACKED: {"connect": _C.CONNECTED},
    _C.CONNECTED: {
        "silence": _C.GRACE,
        "restart": _C.GRACE,
        "forget": _C.UNTRACKED,
    },
    _C.GRACE: {
        "connect": _C.CONNECTED,
        "restart": _C.GRACE,
        "expire": _C.LOST,
        "forget": _C.UNTRACKED,
    },
    _C.LOST: {"connect": _C.CONNECTED, "forget": _C.UNTRACKED},
}

CONVERSATION: Table = {
    ConversationState.ACTIVE: {"close": ConversationState.CLOSED},
    ConversationState.CLOSED: {},
}

CHANNEL: Table = {
    ChannelStatus.ACTIVE: {"close": ChannelStatus.CLOSED},
    ChannelStatus.CLOSED: {},
}

_I = InviteStatus

INVITE: Table = {
    _I.PENDING: {
        "offer": _I.OFFERED,
        "cancel": _I.CANCELED,
        "expire": _I.TIMED_OUT,
    },
    _I.OFFERED: {
        "unoffered": _I.PENDING,
        "accept": _I.ACCEPTED,
        "cancel": _I.CANCELED,
        "expire": _I.TIMED_OUT,
    },
    _I.ACCEPTED: {"vanish": _I.PENDING},
    _I.TIMED_OUT: {},
    _I.CANCELED: {},
}

_P = ParticipantStatus

PARTICIPANT: Table = {
    _P.JOINED: {"wrap": _P.WRAPPING, "leave": _P.LEFT},
    _P.WRAPPING: {"leave": _P.LEFT},
    _P.LEFT: {},
}

_O = OutboxState

OUTBOX: Table = {
    _O.READY: {"attempt": _O.ATTEMPTING, "done": _O.DONE, "drop": _O.DEAD},
    _O.ATTEMPTING: {
        "done": _O.DONE,
        "retry": _O.READY,
        "lose": _O.UNKNOWN,
        "drop": _O.DEAD,
    },
    _O.UNKNOWN: {
        "done": _O.DONE,
        "retry": _O.READY,
        "lose": _O.UNKNOWN,
        "drop": _O.DEAD,
    },
    _O.DONE: {},
    _O.DEAD: {"replay": _O.READY},
}

#: a receipt never goes back to a lower rank; equal ranks keep the first
RECEIPT_RANK: Mapping[ReceiptStatus, int] = {
    ReceiptStatus.QUEUED: 0,
    ReceiptStatus.SENT: 1,
    ReceiptStatus.FAILED: 2,
    ReceiptStatus.UNDELIVERED: 2,
    ReceiptStatus.DELIVERED: 3,
    ReceiptStatus.READ: 4,
}

#: the machines by the name errors and diagrams use
MACHINES: Mapping[str, Table] = {
    "task": TASK,
    "reservation": RESERVATION,
    "connectivity": CONNECTIVITY,
    "conversation": CONVERSATION,
    "interaction channel": CHANNEL,
    "invite": INVITE,
    "interaction participant": PARTICIPANT,
    "outbox entry": OUTBOX,
}


class Consequence(NamedTuple):
    """What a cause brings about: the events in order, and what else follows."""

    events: tuple[str, ...]
    effect: str


#: every cause of the routing machines, as docs/states.md prints it
CONSEQUENCES: Mapping[str, Mapping[str, Consequence]] = {
    "task": {
        "offer": Consequence(
            ("reservation.created",),
            "a batch of offers counts once in assignment_count; each takes capacity",
        ),
        "claim": Consequence(
            ("reservation.created", "reservation.accepted"),
            "a worker takes it unasked; counts once in assignment_count",
        ),
        "unoffered": Consequence(
            (),
            "its last pending reservation ended; it goes on if its step is over, else it"
            " waits in its place",
        ),
        "accept": Consequence(
            ("reservation.accepted", "reservation.rescinded"),
            "the other offers are rescinded; timeouts of step and task no longer apply,"
            " the assigned limit begins",
        ),
        "wrap": Consequence(
            ("task.wrapup", "reservation.wrapup"),
            "capacity stays taken; the wrap limit begins",
        ),
        "complete": Consequence(
            ("task.completed", "reservation.completed"),
            "by a call, or at the wrap limit; capacity is free, retention begins",
        ),
        "vanish": Consequence(
            ("reservation.canceled", "task.requeued"),
            "its worker vanished and the policy vanished_worker gives it to another; it"
            " waits in its place, the timeouts of its step and its own begin anew, its"
            " agent leaves the conversation",
        ),
        "cancel": Consequence(
            ("task.canceled", "reservation.canceled"), "by a call, or with its channel"
        ),
        "expire": Consequence(
            ("task.canceled", "reservation.canceled"), "its own timeout passed"
        ),
        "exhaust": Consequence(
            ("workflow.exhausted", "workflow.timeout", "task.canceled"),
            "the last step timed out and nothing else is configured to follow",
        ),
        "unmatched": Consequence(
            ("workflow.exhausted", "task.canceled"),
            "no filter of the workflow it was to enter anew took it, and nothing else is"
            " configured to follow",
        ),
        "skip": Consequence(
            ("workflow.skipped", "task.canceled"), "the last step was skipped"
        ),
        "overrun": Consequence(
            ("task.canceled",), "it was offered 1,000 times and came back once more"
        ),
        "unplaceable": Consequence(
            ("reservation.failed", "task.canceled"),
            "no link of its routing target took it",
        ),
    },
    "reservation": {
        "accept": Consequence(
            ("reservation.accepted",),
            "the worker has missed no offer in a row any more",
        ),
        "reject": Consequence(
            ("reservation.rejected",),
            "counts as a refusal; the worker may change activity; capacity is free",
        ),
        "expire": Consequence(
            ("reservation.timeout", "worker.missed-offer"),
            "counts as a refusal; the policy missed_offer applies; capacity is free",
        ),
        "cancel": Consequence(
            ("reservation.canceled",),
            "its task was canceled, or its callbacks came to nothing and the task is held"
            " for a while; capacity is free",
        ),
        "rescind": Consequence(
            ("reservation.rescinded",),
            "another worker accepted; no refusal, the activity stays; capacity is free",
        ),
        "wrap": Consequence(("reservation.wrapup",), "capacity stays taken"),
        "complete": Consequence(("reservation.completed",), "capacity is free"),
        "vanish": Consequence(
            ("reservation.canceled",),
            "its worker vanished, which the reason says; no refusal, capacity is free",
        ),
    },
    "connectivity": {
        "connect": Consequence(
            ("worker.connectivity.update",),
            "a session declared the worker, or vouches again; a worker who was taken out"
            " is available again if the activity is",
        ),
        "silence": Consequence(
            ("worker.connectivity.update",),
            "no session vouches any more; the grace period begins, and nothing else"
            " changes yet",
        ),
        "restart": Consequence(
            ("worker.connectivity.update",),
            "nobody could vouch while the server was down, or wrote nothing; the grace"
            " period begins anew",
        ),
        "expire": Consequence(
            ("worker.connectivity.update",),
            "the grace period is over; the policy vanished_worker applies",
        ),
        "forget": Consequence(
            ("worker.connectivity.update",),
            "a session said so; connectivity has no effect until it is declared again",
        ),
    },
}

#: a task in one of these can still be worked on; its rows stay in memory
OPEN_TASK = frozenset({_T.PENDING, _T.RESERVED, _T.ASSIGNED, _T.WRAPPING})
#: open tasks that nobody has yet
WAITING_TASK = frozenset({_T.PENDING, _T.RESERVED})
#: a reservation in one of these holds capacity of its worker
OPEN_RESERVATION = frozenset({_R.PENDING, _R.ACCEPTED, _R.WRAPPING})


def work_state(statuses: Iterable[ReservationStatus]) -> WorkState:
    """Return what reservations make of the worker who holds them."""
    held = set(statuses)
    if _R.ACCEPTED in held:
        return WorkState.BUSY
    if _R.WRAPPING in held:
        return WorkState.WRAPPING
    return WorkState.OFFERED if _R.PENDING in held else WorkState.IDLE


def next_state(machine: str, sid: str, state: _S, cause: str) -> _S:
    """Return the state after `cause`; FailedPrecondition if the table has none."""
    after = MACHINES[machine][state].get(cause)
    if after is None:
        raise FailedPrecondition(
            f"{machine} {sid} is {state}, which does not allow {cause}",
            metadata={"sid": sid, "state": state.value, "cause": cause},
        )
    return cast("_S", after)
