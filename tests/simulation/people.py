"""Who is in the contact center: agents who answer, customers who wait.

Everybody knows only what a stream would show and what answers said, and acts on the
clock. Some are slow, some do not answer, some give up. Who changes things meanwhile is
supervisor.py.
"""

import json
import random
from collections.abc import Sequence
from functools import partial

from flexcore.domain.errors import FlexcoreError
from flexcore.domain.limits import SECOND
from flexcore.domain.log import Cause, ChangeSet
from flexcore.domain.model import Activity, Reservation, Task, Worker
from flexcore.domain.parts import Route
from flexcore.domain.states import ReservationStatus, TaskStatus
from flexcore.engine import commands as c
from tests.simulation.company import CHANNELS, LANGUAGES, TOPICS, Company

#: median seconds of handling a task, by channel
HANDLING = {"voice": 200.0, "chat": 300.0, "sms": 250.0}
FINISHED = (TaskStatus.COMPLETED, TaskStatus.CANCELED)


class Agent:
    """Comes, takes what is offered, goes on breaks and home."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self.crowd, self.company, self.rng = crowd, crowd.company, crowd.rng
        self.site = crowd.company.site
        self.number = number
        self.sid = ""
        self.pace = self.rng.uniform(0.7, 1.4)
        self.wants = "Offline"
        self.moved_away = False

    @property
    def actor(self) -> str:
        return f"SK-agent-{self.number}"

    def hire(self) -> None:
        """Become a worker, with skills and some capacity."""
        rng = self.rng
        attributes = {"team": rng.choice(("red", "blue")), **self._skills()}
        command = c.CreateWorker(
            workspace_sid=self.company.workspace_sid,
            friendly_name=f"agent {self.number}",
            attributes=json.dumps(attributes),
        )
        self.site.ask(self.actor, command, self._hired)

    def _skills(self) -> dict[str, object]:
        rng = self.rng
        skills = (
            {rng.choice(LANGUAGES): 1, "en": 1} if rng.random() < 0.9 else {"fr": 1}
        )
        for topic in dict.fromkeys(TOPICS):
            if rng.random() < 0.5:
                skills[topic] = 1
        return {"skills": list(skills), "level": rng.choice((1, 1, 2, 2, 3))}

    def _hired(self, found: c.Answer | FlexcoreError) -> None:
        assert isinstance(found, c.Answer), found
        self.sid = found.rows[0].sid
        for channel, capacity in (
            ("chat", self.rng.choice((0, 1, 1, 2))),
            ("sms", self.rng.choice((0, 0, 1))),
        ):
            command = c.UpdateWorkerChannel(
                worker_sid=self.sid, task_channel=channel, configured_capacity=capacity
            )
            self.site.ask(self.actor, command)

    # the shift

    def work(self, shifts: Sequence[tuple[float, str]]) -> None:
        """Go from activity to activity, at seconds from now."""
        for seconds, activity in shifts:
            self.site.time.after(seconds, partial(self.go, activity))

    def go(self, activity: str) -> None:
        """Change the activity; whoever leaves may give back what is offered."""
        self.wants = activity
        leaving = activity not in ("Available", "Backup")
        command = c.UpdateWorker(
            sid=self.sid,
            activity=activity,
            reject_pending_reservations=leaving and self.rng.random() < 0.6,
            after_current_work=self.rng.random() < 0.3,
        )
        self.site.ask(self.actor, command)

    def notice_worker(self, row: Worker) -> None:
        """Come back some time after having been sent away."""
        away = row.activity_sid not in (
            self.company.activities.get(self.wants),
            self.company.activities["Backup"],
        )
        if away and self.wants == "Available" and not self.moved_away:
            self.moved_away = True
            self.site.time.after(self.rng.uniform(5, 120), self._return)

    def _return(self) -> None:
        self.moved_away = False
        if self.wants == "Available":
            self.go("Available")

    def look_for_work(self) -> None:
        """Take something that waits to be claimed, now and then, also what is not for us."""
        self.site.time.after(self.rng.uniform(40, 200), self.look_for_work)
        queue = "papers" if self.rng.random() < 0.95 else "all hands"
        waiting = self.crowd.waiting(queue)
        if self.wants == "Available" and waiting:
            task = self.rng.choice(waiting[:3])
            command = c.ClaimTask(sid=task.sid, worker_sid=self.sid)
            self.site.ask(self.actor, command, self._answered)

    # offers

    def notice_offer(self, row: Reservation) -> None:
        """Answer, in time or not, or not at all."""
        rng, chance = self.rng, self.rng.random()
        if chance < 0.04:
            return
        think = rng.lognormvariate(1.4, 0.7) * self.pace
        if chance < 0.08:
            activity = rng.choice(("", "", "Break"))
            command: c.Mutation = c.RejectReservation(sid=row.sid, activity=activity)
            self.site.time.after(think, partial(self._answer, command))
            if activity:
                self.wants = activity
                self.site.time.after(think + 300, partial(self.go, "Available"))
        else:
            command = c.AcceptReservation(sid=row.sid)
            self.site.time.after(think, partial(self._answer, command))

    def _answer(self, command: c.Mutation) -> None:
        self.site.ask(self.actor, command, self._answered)

    def _answered(self, found: c.Answer | FlexcoreError) -> None:
        if isinstance(found, FlexcoreError):
            return
        reservation, task = found.rows[:2]
        assert isinstance(reservation, Reservation)
        assert isinstance(task, Task)
        if reservation.status == ReservationStatus.ACCEPTED:
            self.handle(task)

    def handle(self, task: Task) -> None:
        """Talk, then wrap up or be done."""
        median = HANDLING.get(task.task_channel_unique_name, 150.0)
        seconds = median * self.pace * self.rng.lognormvariate(0, 0.5)
        seconds *= self.company.bustle
        self.site.time.after(seconds, partial(self._end, task.sid))

    def _end(self, task_sid: str) -> None:
        if self.rng.random() < 0.3:
            self._complete(task_sid)
            return
        self.site.ask(self.actor, c.WrapTask(sid=task_sid))
        wrap = self.rng.uniform(3, 40) * self.pace
        if self.rng.random() < 0.05:  # forgets it
            wrap += self.rng.uniform(60, 1_500)
        self.site.time.after(wrap, partial(self._complete, task_sid))

    def _complete(self, task_sid: str) -> None:
        command = c.CompleteTask(
            sid=task_sid,
            reason="done",
            disposition=self.rng.choice(("", "sold", "solved")),
            attributes_patch=self.rng.choice((None, '{"rated":5}')),
        )
        self.site.ask(self.actor, command)


class Customer:
    """Comes once, waits for a while, and gives up or is served."""

    def __init__(self, crowd: "Crowd") -> None:
        self.crowd = crowd
        self.sid = ""

    def come(self) -> None:
        """Ask for somebody."""
        company, rng = self.crowd.company, self.crowd.rng
        attributes = self._attributes()
        start = None
        if rng.random() < 0.05:  # waited elsewhere before
            start = company.site.time.now() - rng.randrange(300 * SECOND)
        command = c.CreateTask(
            workspace_sid=company.workspace_sid,
            workflow_sid=company.workflows[rng.choice(("service", "service", "sales"))],
            task_channel=rng.choice(CHANNELS),
            attributes=json.dumps(attributes),
            priority=rng.choice((0, 0, 0, 1, 2)),
            timeout_seconds=rng.choice((0, 0, 0, 300, 1800)),
            virtual_start_time=start,
            routes=self._routes() if rng.random() < 0.06 else (),
        )
        company.site.ask("SK-web", command, self._come)

    def _attributes(self) -> dict[str, object]:
        rng = self.crowd.rng
        found = {"lang": rng.choice(LANGUAGES), "topic": rng.choice(TOPICS)}
        if rng.random() < 0.1:
            found["vip"] = True
        if rng.random() < 0.1:
            found["agent"] = rng.choice(self.crowd.agents).sid
        if rng.random() < 0.3:
            found["least"] = rng.choice((1, 2, 3))
        return found

    def _routes(self) -> tuple[Route, ...]:
        """Ask for somebody in particular, and for somebody else then."""
        company, rng = self.crowd.company, self.crowd.rng
        sid, wait = rng.choice(self.crowd.agents).sid, rng.choice((0, 10, 60))
        at_once = rng.random() < 0.5
        whole = [
            Route(sid, ignore_capacity=True) if at_once else Route(sid, wait),
            Route(company.queues[rng.choice(("english", "rush"))], rng.choice((0, 30))),
            Route(company.workflows["sales"]),
        ]
        return tuple(link for link in whole if rng.random() < 0.7)

    def _come(self, found: c.Answer | FlexcoreError) -> None:
        if isinstance(found, FlexcoreError):
            self.crowd.turned_away += 1
            return
        self.sid = found.rows[0].sid
        patience = self.crowd.rng.expovariate(1 / 400) + 10
        if self.crowd.is_paper(self.sid):
            patience = min(patience * 8, 5_400)
        give_up = partial(self.crowd.hang_up, self.sid)
        self.crowd.company.site.time.after(patience, give_up)


class Crowd:
    """Everybody, and what they are shown."""

    def __init__(self, company: Company, rng: random.Random) -> None:
        self.company = company
        self.rng = rng
        self.agents: list[Agent] = []
        self.by_sid: dict[str, Agent] = {}
        #: open tasks as they were shown last
        self.tasks: dict[str, Task] = {}
        self._by_queue: dict[str, dict[str, None]] = {}
        self.turned_away = 0

    def notice(self, change_set: ChangeSet) -> None:
        """Tell everybody what concerns them."""
        rows = change_set.rows()
        for row in rows.values():
            if isinstance(row, Task):
                self._notice_task(row)
            elif isinstance(row, Activity):
                self.company.activities[row.friendly_name] = row.sid
        for sid in change_set.deleted:
            self._forget(sid)
        said_for_them = change_set.cause is Cause.PROVIDER
        for event in change_set.events:
            row = rows[event.sid]
            if isinstance(row, Reservation):
                self._notice_reservation(event.type, row, said_for_them)
            elif event.type == "task.requeued":
                # Whoever was served already has some patience left.
                patience = self.rng.uniform(60, 600)
                give_up = partial(self.hang_up, event.sid)
                self.company.site.time.after(patience, give_up)
            elif event.type == "worker.activity.update" and isinstance(row, Worker):
                self.agent(row.sid).notice_worker(row)

    def _notice_reservation(
        self, event: str, row: Reservation, said_for_them: bool
    ) -> None:
        agent = self.agent(row.worker_sid)
        pending = row.status == ReservationStatus.PENDING
        if event == "reservation.created" and pending:
            agent.notice_offer(row)
        elif event == "reservation.accepted" and said_for_them:
            agent.handle(self.tasks[row.task_sid])

    def hang_up(self, task_sid: str) -> None:
        """Give up a task that still waits."""
        task = self.tasks.get(task_sid)
        waits = (TaskStatus.PENDING, TaskStatus.RESERVED)
        if task is not None and task.status in waits:
            command = c.CancelTask(sid=task_sid, reason="hangup")
            self.company.site.ask("SK-web", command)

    def _notice_task(self, row: Task) -> None:
        self._forget(row.sid)
        if row.status not in FINISHED:
            self.tasks[row.sid] = row
        if row.status == TaskStatus.PENDING:
            self._by_queue.setdefault(row.task_queue_sid, {})[row.sid] = None

    def _forget(self, sid: str) -> None:
        task = self.tasks.pop(sid, None)
        if task is not None:
            self._by_queue.get(task.task_queue_sid, {}).pop(sid, None)

    def waiting(self, queue: str) -> list[Task]:
        """Return what waits in a queue, the longest there first."""
        sids = self._by_queue.get(self.company.queues[queue], {})
        return [self.tasks[sid] for sid in sids]

    def is_paper(self, task_sid: str) -> bool:
        """Say whether a task waits to be claimed."""
        task = self.tasks.get(task_sid)
        papers = self.company.queues["papers"]
        return task is not None and task.task_queue_sid == papers

    def agent(self, worker_sid: str) -> Agent:
        """Return who a worker is."""
        if worker_sid not in self.by_sid:
            self.by_sid = {agent.sid: agent for agent in self.agents}
        return self.by_sid[worker_sid]
