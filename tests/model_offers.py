"""The oracle's offers: made to the best candidates, answered, missed, taken back."""

from tests.model_rows import (
    ANEW,
    EVERYBODY,
    ROUTE,
    SECOND,
    ModelRefusal,
    ModelReservation,
    Refused,
)
from tests.model_steps import Steps

#: for tasks that no workflow was ever asked for
RESERVATION_TIMEOUT = 120
#: seconds a task is held back, by how many callbacks failed in a row
CALLBACK_HOLDS = (1, 5, 15, 30, 60)


class Offers(Steps):
    """Matching, and what becomes of an offer."""

    # Matching

    def settle(self) -> None:
        """Offer what can be offered, then let tasks that found nobody skip their step."""
        self.match()
        while asked := [
            number
            for number, row in enumerate(self.tasks)
            if row.status == "pending" and row.skip_pending and not row.gone
            if not row.passing and not row.hold
        ]:
            for task in asked:
                self.skip_or_stay(task)
            self.match()

    def match(self) -> None:
        """Offer as long as some waiting task has somebody to go to."""
        while found := self._first_offer():
            task, candidates = found
            queue = self.tasks[task].queue
            most = 1 if queue == EVERYBODY else self.queues[queue].fan_out
            self.decided["branch", "one" if most == 1 else "several"] += 1
            self.ask("worker_order", queue)
            self.ask("priority_boost_seconds")
            self.offer(task, candidates[:most], len(candidates))

    def _first_offer(self) -> tuple[int, list[int]] | None:
        for task in self.in_line():
            queue = self.tasks[task].queue
            pulled = queue != EVERYBODY and not self.queues[queue].fan_out
            candidates = [] if pulled else self.candidates(task)
            if candidates:
                return task, candidates
        return None

    def offer(self, task: int, workers: list[int], candidates: int) -> None:
        """Offer a task to these workers at once."""
        row = self.tasks[task]
        self.turn("task", task, "offer", "reserved")
        row.assignments += 1
        row.skip_pending = False
        for worker in workers:
            self.reserve(task, worker, candidates)
        if row.queue != EVERYBODY and (
            self.policy("worker_order", row.queue) == "round_robin"
        ):
            self.queues[row.queue].cursor = workers[-1]

    def reserve(
        self, task: int, worker: int, candidates: int, *, asked: bool = True
    ) -> int:
        row = self.tasks[task]
        self.workers[worker].offered[row.channel] = self.now
        seconds, urls = RESERVATION_TIMEOUT, 0
        if row.workflow >= 0:
            workflow = self.workflows[row.workflow]
            seconds, urls = workflow.reservation_timeout, workflow.callbacks
        self.emit("reservation.created", len(self.reservations))
        self.reservations.append(
            ModelReservation(
                task=task,
                worker=worker,
                channel=row.channel,
                queue=row.queue,
                deadline=self.now + seconds * SECOND,
                candidates=candidates,
                sequence=next(self.sequence),
                urls=urls if asked else 0,
            )
        )
        return len(self.reservations) - 1

    # Answers

    def accept(self, reservation: int) -> None:
        row = self.allow(self.reservations, reservation, "pending")
        self.stir(row.worker)
        self.win(reservation, "accept")

    def win(self, reservation: int, cause: str) -> None:
        """Give a task to the worker of a pending reservation."""
        row = self.reservations[reservation]
        self.workers[row.worker].missed = 0
        self.turn("reservation", reservation, "accept", "accepted")
        self.emit("reservation.accepted", reservation)
        self.turn("task", row.task, cause, "assigned")
        task = self.tasks[row.task]
        seconds = self.ask("assigned_limit_seconds")
        task.limit = self.now + seconds * SECOND if seconds else 0
        task.step_deadline, task.skip_pending = 0, False
        task.refusals = {}
        task.callback_failures = task.hold = 0
        for number in self.held(row.task, "pending"):
            self.turn("reservation", number, "rescind", "rescinded")
            self.emit("reservation.rescinded", number)

    def reject(self, reservation: int, activity: str = "") -> None:
        row = self.allow(self.reservations, reservation, "pending")
        self.need("activity", not activity or activity in self.activities)
        self.stir(row.worker)
        if activity:
            self.place(row.worker, activity)
        self.end_offer(reservation, "reject", "rejected")

    def end_offer(self, reservation: int, cause: str, status: str) -> None:
        """End an offer without acceptance; the last one of its task gives it back."""
        row = self.reservations[reservation]
        self.turn("reservation", reservation, cause, status)
        self.emit(f"reservation.{status}", reservation)
        self._remember_refusal(row)
        if not self.held(row.task, "pending"):
            self.give_back(row.task)

    def _remember_refusal(self, reservation: ModelReservation) -> None:
        queue = reservation.queue
        if self.ask("refusal_scope", queue) == "none":
            return
        refusals = self.tasks[reservation.task].refusals
        before = refusals.pop(reservation.worker, ModelRefusal())
        # What the limit was then counts no more.
        refusal = ModelRefusal(before.count + 1)
        refusals[reservation.worker] = refusal
        if len(refusals) > self.limits["REFUSALS_MAX"]:
            self.decided["branch", "oldest refusal forgotten"] += 1
            del refusals[next(iter(refusals))]
        if refusal.count < self.policy("refusal_limit", queue):
            self.decided["branch", "refused too seldom"] += 1
            return
        seconds = self.ask("refusal_seconds", queue)
        refusal.passed_over = True
        refusal.until = self.now + seconds * SECOND if seconds else 0

    def forget_refusals(self, task: int) -> bool:
        """Drop the refusals that counted until now; say whether there were any."""
        row = self.tasks[task]
        left = {
            worker: refusal
            for worker, refusal in row.refusals.items()
            if not 0 < refusal.until <= self.now
        }
        over = len(row.refusals) > len(left)
        self.decided["branch", "refusal over"] += over
        row.refusals = left
        return over

    def give_back(self, task: int) -> None:
        """Let a reserved task wait again, where it was unless its time there is over."""
        self.turn("task", task, "unoffered", "pending")
        self.forget_refusals(task)
        row = self.tasks[task]
        row.skip_pending = bool(self.target(row).get("skip_if"))
        self.decided["branch", "skipping asked anew"] += row.skip_pending
        self.wait_or_go_on(task)

    def wait_or_go_on(self, task: int) -> None:
        row = self.tasks[task]
        if row.assignments >= self.limits["ASSIGNMENTS_MAX"]:
            self.cancel(task, "overrun", "Max assignment count exceeded")
        elif row.step[0] == ROUTE and row.routes[row.route].kind == "worker":
            self.take_link(task, row.route + 1)
        elif row.step[0] == ANEW:
            self.begin_or_exhaust(task)
        elif 0 < row.step_deadline <= self.now:
            self.leave_step(task)

    # Callbacks

    def answer_callback(
        self, reservation: int, answer: str, activity: str = ""
    ) -> None:
        """Take what somebody who was asked says; too late it means nothing."""
        asked = 0 <= reservation < len(self.reservations)
        if not asked or not self.reservations[reservation].urls:
            raise Refused("not_found")
        row = self.reservations[reservation]
        if row.gone or row.status != "pending":
            row.urls = 0
            self.decided["branch", "answered too late"] += 1
            return
        self.decided["callback", answer] += 1
        if answer == "failed" or (activity and activity not in self.activities):
            self._fail_callback(reservation)
            return
        row.urls = 0
        self._forget_callback_failures(row.task)
        if answer == "accept":
            self.accept(reservation)
        elif answer == "reject":
            self.reject(reservation, activity)
        elif answer == "nothing":
            self.emit("reservation.callback-undecided", reservation)

    def _fail_callback(self, reservation: int) -> None:
        """Ask the next one; after the last the offer is over and its task held back."""
        row = self.reservations[reservation]
        self.emit("reservation.callback-failed", reservation)
        row.urls -= 1
        if row.urls:
            self.decided["branch", "fallback asked"] += 1
            return
        self.turn("reservation", reservation, "cancel", "canceled")
        self.emit("reservation.canceled", reservation)
        task = self.tasks[row.task]
        task.callback_failures += 1
        place = min(task.callback_failures, len(CALLBACK_HOLDS)) - 1
        task.hold = self.now + CALLBACK_HOLDS[place] * SECOND
        if not self.held(row.task, "pending"):
            self.give_back(row.task)

    def _forget_callback_failures(self, task: int) -> None:
        row = self.tasks[task]
        if row.callback_failures:
            row.callback_failures = row.hold = 0
            self.emit("task.updated", task)

    # Missed offers, and what workers do

    def expire_offer(self, reservation: int) -> None:
        self.end_offer(reservation, "expire", "timeout")
        row = self.reservations[reservation]
        worker, away = self.workers[row.worker], self.workspace.timeout_activity
        worker.missed += 1
        self.emit("worker.missed-offer", row.worker)
        policy = self.ask("missed_offer", row.queue)
        if policy == "soft_away" and worker.activity != away:
            back = worker.away_from or worker.activity
            self.place(row.worker, away, then=worker.then)
            worker.away_from = back
        if policy == "offline":
            self.place(row.worker, away, then=worker.then)
        limit = self.policy("missed_offer_limit", row.queue)
        if policy == "away_after" and worker.missed >= limit:
            worker.missed = 0
            self.place(row.worker, away, then=worker.then)
        elif policy == "away_after":
            self.decided["branch", "missed too few"] += 1

    def place(self, worker: int, activity: str, then: str = "") -> None:
        """Let a worker do something else; the clock of the available runs through."""
        row = self.workers[worker]
        before = (row.away_from, row.then)
        row.away_from, row.then = "", then
        if row.activity != activity:
            row.activity = activity
            self.emit("worker.activity.update", worker)
        elif before != ("", then):
            self.emit("worker.updated", worker)
        self.clock_in(worker)

    def clock_in(self, worker: int) -> None:
        """Let the clock of the available run, or stop it."""
        row = self.workers[worker]
        since = row.available_since or self.now
        row.available_since = since if self.available(worker) else 0

    def place_after_work(self, worker: int, activity: str) -> None:
        """Let a worker do something else when nothing is left to do."""
        if not self.occupied(worker):
            self.place(worker, activity)
            return
        self.decided["branch", "to leave after work"] += 1
        self.place(worker, self.workers[worker].activity, then=activity)

    def work_ended(self, worker: int) -> None:
        then = self.workers[worker].then
        if then and not self.occupied(worker):
            self.decided["branch", "left after work"] += 1
            self.place(worker, then)

    def stir(self, worker: int) -> None:
        """A sign of life: whoever was put away for missing an offer comes back."""
        back = self.workers[worker].away_from
        if back:
            self.decided["branch", "came back"] += 1
            self.place(worker, back, then=self.workers[worker].then)
