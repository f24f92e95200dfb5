"""What holds of reservations whatever the oracle says."""

from flexcore.domain.model import Reservation, Row, Task, WorkerChannel
from flexcore.engine.state import State
from tests.model_rows import FINISHED, HELD

#: every way a reservation may go, and nothing else
PATHS = frozenset(
    {
        ("", "pending"),
        ("", "accepted"),
        ("pending", "rejected"),
        ("pending", "timeout"),
        ("pending", "canceled"),
        ("pending", "rescinded"),
        ("pending", "accepted"),
        ("accepted", "wrapping"),
        ("accepted", "completed"),
        ("accepted", "canceled"),
        ("wrapping", "completed"),
    }
)
#: the status of a task by those of its open reservations
TASK_STATUS = {
    frozenset({"pending"}): "reserved",
    frozenset({"accepted"}): "assigned",
    frozenset({"wrapping"}): "wrapping",
}


class History:
    """Follows the rows that decisions touched."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._last: dict[str, str] = {}

    def follow(self, touched: tuple[Row, ...], deleted: tuple[str, ...]) -> None:
        tasks: dict[str, None] = {}
        for row in touched:
            if isinstance(row, Reservation):
                self._follow_reservation(row, deleted)
                tasks[row.task_sid] = None
            elif isinstance(row, Task):
                tasks[row.sid] = None
        for sid in tasks:
            self._check_task(sid)

    def _follow_reservation(self, row: Reservation, deleted: tuple[str, ...]) -> None:
        before = self._last.get(row.sid, "")
        self._last[row.sid] = row.status
        # There is no way back, so a reservation is accepted once at most.
        assert before == row.status or (before, row.status) in PATHS, (
            f"{row.sid} went from {before or 'nothing'} to {row.status}"
        )
        if row.sid in deleted:
            assert row.status not in HELD, f"{row.sid} is gone while {row.status}"
            return
        direct = row.choice is not None and row.choice.rule == "routing_target"
        if before or direct:
            return
        held = self.state.where(Reservation, "open_worker_sid", row.worker_sid)
        load = sum(other.task_channel_sid == row.task_channel_sid for other in held)
        channels = self.state.where(WorkerChannel, "worker_sid", row.worker_sid)
        (channel,) = (
            other
            for other in channels
            if other.task_channel_sid == row.task_channel_sid
        )
        assert load <= channel.configured_capacity, f"{row.sid} is one too many"

    def _check_task(self, sid: str) -> None:
        rows = self.state.where(Reservation, "task_sid", sid)
        task = self.state.find(sid, Task)
        if task is None:
            assert not rows, f"{sid} is gone and its reservations are not"
            return
        live = [row for row in rows if row.status in HELD]
        status = TASK_STATUS.get(frozenset(row.status.value for row in live))
        if live:
            assert status == task.status, f"{sid} is {task.status} with {live}"
        else:
            ends = task.status in ("pending", *FINISHED)
            assert ends, f"{sid} is {task.status} and nobody has it"
        # A task is offered to somebody once at a time, and held by one at most.
        workers = {row.worker_sid for row in live}
        assert len(workers) == len(live), f"{sid} is offered twice to a worker"
        assert status in ("reserved", None) or len(live) == 1, f"{sid} is held twice"
