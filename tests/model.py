"""The oracle: what a workspace does with commands and time, by lists and full scans.

Below Model, from the bottom: facts (model_rows), questions (model_world), the walk of a
task (model_steps), offers (model_offers), configuration (model_places, model_setup),
commands about tasks (model_tasks), who is there (model_presence). The oracle of the matcher
is model_router.
"""

from typing import Any

from tests.model_presence import Presence
from tests.model_rows import (
    VERSIONED,
    ModelReservation,
    ModelTask,
    ModelWorker,
    ModelWorkflow,
    Refused,
)


class Model(Presence):
    """One workspace: a command is a method; `decide` calls it and what follows at once.

    Before it, the caller lets time pass.
    """

    def decide(self, command: str, arguments: dict[str, Any]) -> None:
        """Decide a command; Refused is raised before anything changes.

        With `stale` it states a version that is not the current one.
        """
        arguments = dict(arguments)
        if arguments.pop("stale", False):
            kind = next(kind for kind in VERSIONED if kind in arguments)
            self.find(getattr(self, kind + "s"), arguments[kind])
            raise Refused("aborted")
        getattr(self, command)(**arguments)
        self.settle()
        self.pass_time(self.now)

    def shift_offers(self, reservations: list[int], gap: int) -> None:
        for number in reservations:
            row = self.reservations[number]
            if row.status == "pending" and not row.gone:
                row.deadline += gap
                self.emit("reservation.extended", number)

    def next_due(self) -> int:
        return min((row.due() for row in self._pending_rows()), default=0)

    def pass_time(self, now: int) -> None:
        """Decide whatever is due, the earliest first, of equals the older one."""
        self.now = now
        while rows := [row for row in self._pending_rows() if row.due() <= now]:
            row = min(rows, key=lambda row: (row.due(), row.sequence))
            if isinstance(row, ModelReservation):
                self.expire_offer(position(self.reservations, row))
            elif isinstance(row, ModelTask):
                self.expire_task(position(self.tasks, row))
            elif isinstance(row, ModelWorker):
                self.lose(position(self.workers, row))
            else:
                number = position(self.workflows, row)
                self.re_evaluate(number)
            self.settle()

    def _pending_rows(
        self,
    ) -> list[ModelTask | ModelReservation | ModelWorkflow | ModelWorker]:
        rows = (*self.tasks, *self.reservations, *self.workflows, *self.workers)
        return [row for row in rows if row.due()]


def position(rows: list[Any], row: Any) -> int:
    """Return the number of this very row, not of one that equals it."""
    return next(number for number, other in enumerate(rows) if other is row)
