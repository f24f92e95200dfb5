"""Making assignment callbacks: what the outbox does with an entry that is one.

Nothing is decided here. That somebody is asked is a command, durable before the socket
opens and answered with what is to be told; what came back is the next command.
"""

from collections.abc import Callable, Sequence

from flexcore.domain import limits
from flexcore.domain.model import Reservation, Row, Task, Worker
from flexcore.engine.command import Answer
from flexcore.engine.commands import ReportCallback
from flexcore.engine.port import CallbackRequest, Caller
from flexcore.store.interface import OutboxEntry

Secrets = Callable[[str, Row], Sequence[bytes]]


class Calls:
    """Asks whomever a workflow names, behind a Caller."""

    def __init__(self, caller: Caller, secrets: Secrets) -> None:
        self._caller = caller
        self._secrets = secrets

    async def call(
        self, account_sid: str, entry: OutboxEntry, attempted: Answer
    ) -> ReportCallback:
        """Tell of the offer an attempt was written down for, and say what came back."""
        assert entry.callback is not None
        workspace = attempted.rows[-1]
        answer = await self._caller.call(
            CallbackRequest(
                url=entry.callback.urls[0],
                reference=entry.sid,
                form=_form(account_sid, attempted),
                secrets=tuple(self._secrets(account_sid, workspace)),
                time=attempted.time,
            )
        )
        return ReportCallback(
            sid=entry.sid,
            instruction=answer.instruction,
            activity=answer.activity,
            problem=answer.problem,
            text=answer.text,
        )


def _form(account_sid: str, attempted: Answer) -> tuple[tuple[str, str], ...]:
    """Return the fields that TaskRouter sends, in its order."""
    reservation, task, worker, workspace = attempted.rows
    assert isinstance(reservation, Reservation)
    assert isinstance(task, Task)
    assert isinstance(worker, Worker)
    age = attempted.time - task.create_time
    return (
        ("Timestamp", str(reservation.create_time // limits.SECOND)),
        ("AccountSid", account_sid),
        ("WorkspaceSid", workspace.sid),
        ("WorkflowSid", reservation.workflow_sid),
        ("TaskQueueSid", reservation.task_queue_sid),
        ("WorkerSid", worker.sid),
        ("WorkerAttributes", worker.attributes),
        ("TaskSid", task.sid),
        ("TaskAttributes", task.attributes),
        ("TaskAge", str(age // limits.SECOND)),
        ("TaskPriority", str(task.priority)),
        ("ReservationSid", reservation.sid),
    )
