"""Parts: what rows hold that is no row itself. Times are microseconds, 0 means none."""

from enum import StrEnum

import msgspec

from flexcore.domain.states import ReceiptStatus


class Route(msgspec.Struct, frozen=True, gc=False):
    """One link of a routing target: a worker, a queue or a workflow.

    It takes `wait_seconds` at most; 0 is the default for a worker, and no limit of its own
    for a queue. `ignore_capacity` offers it at once, whatever the worker does and holds;
    None is asked of the policy when a task is created, and never in a row.
    """

    sid: str
    wait_seconds: int = 0
    ignore_capacity: bool | None = None


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """How often a worker refused a task; passed over until `until`, 0 = for good."""

    worker_sid: str
    count: int
    passed_over: bool = False
    until: int = 0


class Choice(msgspec.Struct, frozen=True, gc=False):
    """Why an offer went to whom it went.

    `rule` is the policy worker_order, or claim or routing_target; `order_by` is that of
    the step. `key` is what was compared of the winner: values of order_by, then what the
    rule looks at (clocks.key_of). `runner_up` is the best candidate who was not offered
    the task, if there was one.
    """

    rule: str
    key: str = ""
    order_by: str = ""
    runner_up_sid: str = ""
    runner_up_key: str = ""


class CallbackReason(StrEnum):
    """What is wrong with the answer to an assignment callback."""

    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    STATUS = "status"
    CONTENT_TYPE = "content_type"
    UNPARSABLE = "unparsable"
    INSTRUCTION_MISSING = "instruction_missing"
    INSTRUCTION_UNKNOWN = "instruction_unknown"
    INSTRUCTION_UNSUPPORTED = "instruction_unsupported"
    ACTIVITY_INVALID = "activity_invalid"
    REFUSED = "refused"


class CallbackProblem(msgspec.Struct, frozen=True, gc=False):
    """An answer that is none; `fallback` says that it is that of the second URL."""

    reason: CallbackReason
    text: str
    time: int
    fallback: bool = False


class Media(msgspec.Struct, frozen=True, gc=False):
    """One file of a message."""

    url: str
    content_type: str


class ReceiptEntry(msgspec.Struct, frozen=True, gc=False):
    """One line of a receipt's timeline."""

    status: ReceiptStatus
    time: int
    error_code: int = 0
