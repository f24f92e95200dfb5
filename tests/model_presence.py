"""The oracle's presence: who is vouched for, and what follows when nobody does."""

from tests.model_rows import ANEW, SECOND, Link
from tests.model_tasks import Tasks

#: state -> cause -> state
CONNECTIVITY = {
    "untracked": {"connect": "connected"},
    "connected": {"silence": "grace", "restart": "grace", "forget": "untracked"},
    "grace": {"connect": "connected", "restart": "grace", "forget": "untracked"},
    "lost": {"connect": "connected", "forget": "untracked"},
}


class Presence(Tasks):
    """Commands of whoever knows which sessions there are."""

    def note_presence(self, cause: str, workers: list[int]) -> None:
        for number in workers:
            if not 0 <= number < len(self.workers) or self.workers[number].gone:
                continue
            row = self.workers[number]
            after = CONNECTIVITY[row.connectivity].get(cause)
            if after is None:
                continue
            self.fired["connectivity", row.connectivity, cause] += 1
            seconds = self.policy("grace_seconds")
            row.connectivity, row.out = after, False
            row.grace = self.now + seconds * SECOND if after == "grace" else 0
            self.clock_in(number)
            self.emit("worker.connectivity.update", number)

    def lose(self, worker: int) -> None:
        """Let go of a worker who did not come back, and of some of the work."""
        row = self.workers[worker]
        rule = self.ask("vanished_worker")
        row.grace = 0
        if row.connectivity == "grace":
            self.fired["connectivity", "grace", "expire"] += 1
            row.connectivity, row.out = "lost", rule != "none"
            self.clock_in(worker)
        self.emit("worker.connectivity.update", worker)
        moves = rule in ("requeue", "queue")
        ending = ["pending"] * (rule != "none") + ["accepted"] * moves
        held = [
            number
            for number, one in enumerate(self.reservations)
            if one.worker == worker and one.status in ending and not one.gone
        ]
        most = self.limits["VANISHED_AT_ONCE"]
        for number in held[:most]:
            self._take_away(number, rule)
        if held[most:]:
            self.decided["branch", "vanished in steps"] += 1
            row.grace = self.now

    def _take_away(self, reservation: int, rule: str) -> None:
        row = self.reservations[reservation]
        was = row.status
        self.turn("reservation", reservation, "vanish", "canceled")
        self.emit("reservation.canceled", reservation)
        if was == "accepted":
            self._requeue(row.task, rule)
        elif not self.held(row.task, "pending"):
            self.give_back(row.task)

    def _requeue(self, task: int, rule: str) -> None:
        """Let a task wait in its old place, with all of its time."""
        row = self.tasks[task]
        self.turn("task", task, "vanish", "pending")
        row.deadline, row.limit = self.now + row.timeout * SECOND, 0
        if row.step[0] != ANEW:
            self.begin_step_anew(task)
        self.emit("task.requeued", task)
        queue = self.workspace.vanished_queue if rule == "queue" else -1
        if queue < 0 or row.assignments >= self.limits["ASSIGNMENTS_MAX"]:
            self.wait_or_go_on(task)
            return
        self.decided["branch", "sent to the queue of the vanished"] += 1
        way = row.routes[: row.route + 1]
        link = Link("queue", queue, ignore_capacity=False)
        row.routes = way if way and way[-1] == link else [*way, link]
        self.take_link(task, len(row.routes) - 1)
