"""Every refusal the domain and the engine can give, as a typed value.

An error knows its kind (the canonical code, without naming gRPC), one machine-readable
reason, and metadata for whoever has to act on it. `services/status.py` is the only place
that turns it into a status; texts are lower case, say what was found, and end without a
full stop.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum

from flexcore.domain import limits


class Kind(Enum):
    """The canonical code of a refusal; names equal those of gRPC."""

    INVALID_ARGUMENT = "invalid_argument"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    FAILED_PRECONDITION = "failed_precondition"
    ABORTED = "aborted"
    OUT_OF_RANGE = "out_of_range"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    UNAVAILABLE = "unavailable"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL = "internal"


class Reason(Enum):
    """Why a call was refused; the names are those of ErrorReason in error.proto."""

    FIELD_INVALID = "FIELD_INVALID"
    EXPRESSION_INVALID = "EXPRESSION_INVALID"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    DEFAULT_AMBIGUOUS = "DEFAULT_AMBIGUOUS"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    RESOURCE_EXISTS = "RESOURCE_EXISTS"
    PAIR_IN_USE = "PAIR_IN_USE"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    NOT_ELIGIBLE = "NOT_ELIGIBLE"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    CHANNEL_OPEN = "CHANNEL_OPEN"
    CONVERSATION_CLOSED = "CONVERSATION_CLOSED"
    SENDER_MISSING = "SENDER_MISSING"
    CUSTOMER_MISSING = "CUSTOMER_MISSING"
    RESOURCE_IN_USE = "RESOURCE_IN_USE"
    RESOURCE_REQUIRED = "RESOURCE_REQUIRED"
    NO_FILTER_MATCHED = "NO_FILTER_MATCHED"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    WRITER_BEHIND = "WRITER_BEHIND"
    SERVER_DRAINING = "SERVER_DRAINING"
    READER_BEHIND = "READER_BEHIND"
    SESSION_REPLACED = "SESSION_REPLACED"
    TOKEN_BELOW_FLOOR = "TOKEN_BELOW_FLOOR"
    TOKEN_AHEAD = "TOKEN_AHEAD"
    TOKEN_EPOCH = "TOKEN_EPOCH"
    STATISTICS_TOO_OLD = "STATISTICS_TOO_OLD"
    CREDENTIAL_INVALID = "CREDENTIAL_INVALID"
    CREDENTIAL_EXPIRED = "CREDENTIAL_EXPIRED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"


class FlexcoreError(Exception):
    """Base of all refusals; `str(error)` is what the caller reads."""

    kind = Kind.INTERNAL
    reason = Reason.INTERNAL
    #: the fields at fault and what is wrong with them, of what is about fields
    violations: Sequence[tuple[str, str]] = ()

    def __init__(
        self,
        text: str,
        *,
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason or type(self).reason
        self.metadata = dict(metadata or {})
        #: microseconds after which a retry makes sense, or None
        self.retry_after = retry_after


class InvalidArgument(FlexcoreError):
    """A field of the request is malformed; names every bad field it knows of."""

    kind = Kind.INVALID_ARGUMENT
    reason = Reason.FIELD_INVALID

    def __init__(
        self,
        field: str,
        text: str,
        *,
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{field}: {text}", reason=reason, metadata=metadata)
        self.violations = ((field, text),)

    def below(self, path: str, beside: Collection[str] = ()) -> "InvalidArgument":
        """Return the same error about a message that stands at `path` in another.

        Fields that stand `beside` it, for all such messages, keep their names.
        """
        return self.named(lambda field: field if field in beside else f"{path}.{field}")

    def named(self, name: Callable[[str], str]) -> "InvalidArgument":
        """Return the same error with its fields called as `name` says."""
        error = InvalidArgument.of(
            [(name(field), text) for field, text in self.violations]
        )
        error.reason, error.metadata = self.reason, self.metadata
        return error

    @classmethod
    def of(cls, violations: Sequence[tuple[str, str]]) -> "InvalidArgument":
        """Build one error out of (field, text) pairs, in the order found."""
        error = cls(*violations[0])
        error.violations = tuple(violations)
        error.text = "; ".join(f"{field}: {text}" for field, text in violations)
        error.args = (error.text,)
        return error


class NotFound(FlexcoreError):
    """The sid is well formed and nothing of this account answers to it."""

    kind = Kind.NOT_FOUND
    reason = Reason.RESOURCE_NOT_FOUND

    def __init__(self, resource: str, sid: str) -> None:
        super().__init__(f"{resource} {sid} not found", metadata={"sid": sid})


class AlreadyExists(FlexcoreError):
    """Something that must be unique is taken; metadata holds the blocking sid."""

    kind = Kind.ALREADY_EXISTS
    reason = Reason.RESOURCE_EXISTS


class FailedPrecondition(FlexcoreError):
    """The resource is in a state that does not allow the call."""

    kind = Kind.FAILED_PRECONDITION
    reason = Reason.ILLEGAL_TRANSITION


class Aborted(FlexcoreError):
    """Somebody else was first: another version is current, or a later session."""

    kind = Kind.ABORTED
    reason = Reason.VERSION_MISMATCH


class OutOfRange(FlexcoreError):
    """A resume token lies outside what the log still holds."""

    kind = Kind.OUT_OF_RANGE
    reason = Reason.TOKEN_BELOW_FLOOR

    def of_field(self, field: str, text: str) -> "OutOfRange":
        """Return the same error about a field that said the place, and no token."""
        error = OutOfRange(
            f"{field}: {text}", reason=self.reason, metadata=self.metadata
        )
        error.violations = ((field, text),)
        return error


class ResourceExhausted(FlexcoreError):
    """A stated limit is reached."""

    kind = Kind.RESOURCE_EXHAUSTED
    reason = Reason.LIMIT_EXCEEDED


class Unavailable(FlexcoreError):
    """The server cannot take this now; a retry with the same request_id is safe."""

    kind = Kind.UNAVAILABLE
    reason = Reason.WRITER_BEHIND


class Draining(Unavailable):
    """The server is stopping and takes nothing new."""

    reason = Reason.SERVER_DRAINING

    def __init__(self) -> None:
        super().__init__("the server is shutting down", retry_after=limits.SECOND)


class Unauthenticated(FlexcoreError):
    """No valid credential."""

    kind = Kind.UNAUTHENTICATED
    reason = Reason.CREDENTIAL_INVALID


class PermissionDenied(FlexcoreError):
    """The credential does not allow this method."""

    kind = Kind.PERMISSION_DENIED
    reason = Reason.PERMISSION_DENIED

    def __init__(self, method: str, text: str) -> None:
        super().__init__(text, metadata={"method": method})


class DeadlineExceeded(FlexcoreError):
    """The caller's deadline passed before the command was decided."""

    kind = Kind.DEADLINE_EXCEEDED
    reason = Reason.DEADLINE_EXCEEDED


class Internal(FlexcoreError):
    """A bug of ours; the text carries an error id, the chain is in the log only."""
