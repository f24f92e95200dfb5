"""A supervisor: changes things while everybody works."""

import json
import random
from functools import partial

import msgspec

from flexcore.domain.limits import SECOND
from flexcore.domain.model import Task
from flexcore.engine import commands as c
from tests.simulation.company import CHANNELS, POLICIES, QUEUE_POLICIES, QUEUES, TOPICS
from tests.simulation.people import Agent, Crowd
from tests.simulation.site import Site

#: what is changed, how often of so many times
MEDDLING = tuple(
    name
    for name, weight in {
        "queue": 3,
        "workflow": 2,
        "workspace": 1,
        "skills": 4,
        "capacity": 4,
        "channel": 2,
        "priority": 3,
        "place": 2,
        "attributes": 3,
        "activity": 2,
        "name": 1,
        "papers": 2,
        "task": 1,
    }.items()
    for _ in range(weight)
)


class Supervisor:
    """Changes things while everybody works."""

    def __init__(self, crowd: Crowd, site: Site, rng: random.Random) -> None:
        self.crowd, self.company, self.site, self.rng = crowd, crowd.company, site, rng

    def meddle(self) -> None:
        """Change one thing."""
        getattr(self, f"change_{self.rng.choice(MEDDLING)}")()

    def _ask(self, command: c.Mutation) -> None:
        self.site.ask("SK-boss", command)

    def _agent(self) -> Agent:
        return self.rng.choice(self.crowd.agents)

    def change_queue(self) -> None:
        """Change who serves a queue, how, or in which order."""
        name = self.rng.choice(list(QUEUES))
        queue = QUEUES[name]
        command = c.UpdateTaskQueue(sid=self.company.queues[name])
        change: dict[str, object] = {
            "target_workers": self.rng.choice(queue.expressions)
        }
        chance = self.rng.random()
        if chance < 0.2:
            change = {"policies": self.company.policies(*QUEUE_POLICIES)}
        elif chance < 0.3 and queue.max_reserved_workers:
            change = {"max_reserved_workers": self.rng.choice((1, 2, 5))}
        elif chance < 0.4:
            change = {"task_order": self.rng.choice(("FIFO", "LIFO"))}
        self._ask(msgspec.structs.replace(command, **change))

    def change_workflow(self) -> None:
        """Save another revision; those who wait may have to move."""
        name = self.rng.choice(list(self.company.workflows))
        self._ask(
            c.UpdateWorkflow(
                sid=self.company.workflows[name],
                configuration=self.company.document(name),
                task_reservation_timeout_seconds=self.rng.choice((15, 20, 30)),
                re_evaluate_tasks=self.rng.random() < 0.6,
            )
        )

    def change_workspace(self) -> None:
        """Change what holds everywhere."""
        command = c.UpdateWorkspace(
            sid=self.company.workspace_sid, policies=self.company.policies(*POLICIES)
        )
        if self.rng.random() < 0.3:
            order = self.rng.choice(("FIFO", "LIFO"))
            command = c.UpdateWorkspace(
                sid=self.company.workspace_sid, prioritize_queue_order=order
            )
        self._ask(command)

    def change_name(self) -> None:
        """Rename an activity, as expressions read it."""
        name = self.rng.choice(("Backup", "Stand by"))
        sid = self.company.activities["Backup"]
        self._ask(c.UpdateActivity(sid=sid, friendly_name=name))

    def change_task(self) -> None:
        """Throw a task away, whoever has it."""
        task = self._task()
        if task is not None:
            self._ask(c.DeleteTask(sid=task.sid))

    def change_papers(self) -> None:
        """Put some papers there at once."""
        one = c.CreateTask(
            workspace_sid=self.company.workspace_sid,
            workflow_sid=self.company.workflows["service"],
            task_channel="sms",
            attributes='{"topic":"paper"}',
            timeout_seconds=1_800,
        )
        self._ask(c.BatchCreateTasks(tasks=(one,) * self.rng.randint(2, 6)))

    def change_skills(self) -> None:
        agent = self._agent()
        patch = json.dumps(agent._skills())
        self._ask(c.UpdateWorker(sid=agent.sid, attributes_patch=patch))

    def change_capacity(self) -> None:
        self._ask(
            c.UpdateWorkerChannel(
                worker_sid=self._agent().sid,
                task_channel=self.rng.choice(("chat", "sms", "voice")),
                configured_capacity=self.rng.choice((0, 1, 1, 2, 2, 3)),
            )
        )

    def change_channel(self) -> None:
        """Close a channel of somebody for two minutes."""
        sid, channel = self._agent().sid, self.rng.choice(CHANNELS)
        for available in (False, True):
            command = c.UpdateWorkerChannel(
                worker_sid=sid, task_channel=channel, available=available
            )
            self.site.time.after(0.001 + 120 * available, partial(self._ask, command))

    def _task(self) -> Task | None:
        open_tasks = list(self.crowd.tasks.values())
        return self.rng.choice(open_tasks) if open_tasks else None

    def change_priority(self) -> None:
        task = self._task()
        if task is not None:
            self._ask(c.UpdateTask(sid=task.sid, priority=self.rng.randrange(12)))

    def change_place(self) -> None:
        """Let somebody wait on another channel, or as if since long."""
        task = self._task()
        if task is not None:
            start = self.site.time.now() - self.rng.randrange(600 * SECOND)
            command = c.UpdateTask(sid=task.sid, virtual_start_time=start)
            if self.rng.random() < 0.5:
                channel = self.rng.choice(CHANNELS)
                command = c.UpdateTask(sid=task.sid, task_channel=channel)
            self._ask(command)

    def change_attributes(self) -> None:
        task = self._task()
        if task is not None:
            patch = json.dumps({"topic": self.rng.choice(TOPICS), "vip": None})
            self._ask(c.UpdateTask(sid=task.sid, attributes_patch=patch))

    def change_activity(self) -> None:
        """Send somebody to a training for five minutes, or to help out."""
        agent = self._agent()
        if agent.wants == "Available":
            agent.go(self.rng.choice(("Training", "Backup")))
            self.site.time.after(300, partial(agent.go, "Available"))
