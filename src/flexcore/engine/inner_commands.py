"""Commands that the server gives itself: of the outbox, of time, of presence."""

from flexcore.domain.parts import CallbackReason
from flexcore.engine.command import Mutation


class AttemptSend(Mutation, frozen=True, kw_only=True):
    """Write down that an entry is being sent, before its socket opens."""

    sid: str


class ReportSend(Mutation, frozen=True, kw_only=True):
    """What became of an attempt.

    `outcome`: sent (the carrier named it `channel_message_sid`), refused (never again),
    retry (proven not taken), unknown (nobody knows).
    """

    sid: str
    outcome: str
    channel_message_sid: str = ""
    error_code: int = 0
    text: str = ""
    retry_after: int = 0


class AttemptCallback(Mutation, frozen=True, kw_only=True):
    """Write down that an offer's callback is being made, before its socket opens.

    Answers (Reservation, Task, Worker, Workspace), or () when nobody need be asked any
    more.
    """

    sid: str


class ReportCallback(Mutation, frozen=True, kw_only=True):
    """What a callback was answered; too late for an offer that is over, it does nothing.

    `instruction`: accept, reject (`activity` moves the worker), or empty: somebody else
    will say. A `problem` says that it was no answer, unless it is instruction_missing.
    """

    sid: str
    instruction: str = ""
    activity: str = ""
    problem: CallbackReason | None = None
    text: str = ""


class Tick(Mutation, frozen=True, kw_only=True):
    """Nothing but the passage of time: what is due is decided."""


class ShiftOffers(Mutation, frozen=True, kw_only=True):
    """Give pending offers back the time nobody could answer in (microseconds)."""

    gap: int
    sids: tuple[str, ...]


class NotePresence(Mutation, frozen=True, kw_only=True):
    """What became of who vouches for workers, by a cause of domain/states.py.

    Answers (Worker ...), those whom it changes.
    """

    cause: str
    worker_sids: tuple[str, ...]
