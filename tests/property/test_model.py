"""The oracle by itself: scenes whose outcome the specification states."""

from typing import Any

import pytest

from flexcore.domain import limits
from tests.model import Model
from tests.model_rows import LIMITS, SECOND, ModelTask, Refused

START = 1_000 * SECOND
PLAIN = {"filters": [], "default": {"queue": 0}, "reservation_timeout": 120}


class Scene:
    """A workspace with the workflow 1 and some available workers."""

    def __init__(self, workers: int = 2, **workflow: Any) -> None:
        self.model = Model(START)
        for _ in range(workers):
            self.do("create_worker", activity="Available", attributes="{}")
        self.do("create_workflow", **(PLAIN | workflow))

    def do(self, command: str, **arguments: Any) -> None:
        self.model.decide(command, arguments)

    def task(self, **fields: Any) -> ModelTask:
        plain = {
            "workflow": 1,
            "channel": "chat",
            "attributes": "{}",
            "priority": 0,
            "timeout": 0,
        }
        self.do("create_task", **(plain | fields))
        return self.model.tasks[-1]

    def wait(self, seconds: float) -> None:
        self.model.pass_time(self.model.now + int(seconds * SECOND))

    def compat(self) -> "Scene":
        self.do("update_workspace", semantics="compat")
        return self

    def holders(self, status: str = "pending") -> list[int]:
        rows = self.model.reservations
        return [row.worker for row in rows if row.status == status and not row.gone]

    def happened(self, prefix: str) -> list[str]:
        return [event for event, _ in self.model.events if event.startswith(prefix)]


def test_rejecting_worker_is_offered_the_task_again_in_compat_alone() -> None:
    for scene, again in ((Scene(1).compat(), [0]), (Scene(1), [])):
        scene.task()
        scene.do("reject", reservation=0)

        assert scene.holders() == again


def test_refusal_is_forgotten_after_its_seconds() -> None:
    scene = Scene(1)
    scene.task()
    scene.do("reject", reservation=0)
    scene.wait(29)

    assert scene.holders() == []

    scene.wait(1)

    assert scene.holders() == [0]


def test_missed_offer_takes_the_worker_offline_in_compat() -> None:
    scene = Scene().compat()
    task = scene.task()
    scene.wait(120)

    assert scene.model.workers[0].activity == "Offline"
    assert (scene.holders(), task.assignments) == ([1], 2)


def test_batch_goes_to_two_and_the_first_accept_rescinds_the_other() -> None:
    scene = Scene()
    scene.do("update_queue", queue=0, fan_out=2)
    task = scene.task()

    assert (scene.holders(), task.assignments) == ([0, 1], 1)

    scene.do("accept", reservation=1)

    assert (task.status, scene.holders("rescinded")) == ("assigned", [0])
    assert scene.model.free(0, "chat")


def test_batch_stays_until_its_last_offer_ends() -> None:
    scene = Scene()
    scene.do("update_queue", queue=0, fan_out=2)
    task = scene.task()
    scene.do("reject", reservation=0)

    assert task.status == "reserved"

    scene.do("reject", reservation=1)

    assert task.status == "pending"


def test_priority_goes_before_age_in_fifo_and_not_in_lifo() -> None:
    for order, first in (("FIFO", 1), ("LIFO", 2)):
        scene = Scene(0)
        scene.do("update_queue", queue=0, order=order)
        for priority in (0, 5, 0):
            scene.task(priority=priority)
            scene.wait(1)
        scene.do("create_worker", activity="Available", attributes="{}")

        assert scene.model.reservations[0].task == first


def test_waiting_is_worth_priority() -> None:
    scene = Scene(0)
    scene.do("update_workspace", policies={"priority_boost_seconds": 10})
    scene.task(priority=0)
    scene.wait(21)
    scene.task(priority=2)
    scene.do("create_worker", activity="Available", attributes="{}")

    assert scene.model.reservations[0].task == 0


def test_preferred_kind_of_queue_is_emptied_first() -> None:
    for prefers, first in (("FIFO", 0), ("LIFO", 1)):
        scene = Scene(0)
        scene.do("create_queue", expression="1==1", order="LIFO")
        scene.do("create_workflow", **(PLAIN | {"default": {"queue": 1}}))
        scene.do("update_workspace", prefers=prefers)
        scene.task()
        scene.task(workflow=2)
        scene.do("create_worker", activity="Available", attributes="{}")

        assert scene.model.reservations[0].task == first


def steps(*targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    filters = [{"expression": None, "targets": list(targets)}]
    return {"filters": filters, **more}


TEN = {"queue": 0, "timeout": 10}


def test_step_times_out_into_the_next_which_keeps_the_priority() -> None:
    targets = ({"queue": 0, "timeout": 15, "priority": 5}, {"queue": None})
    scene = Scene(0, **steps(*targets))
    task = scene.task(priority=7)

    assert task.priority == 5

    scene.wait(15)

    assert (task.step, task.priority, task.step_deadline) == ((0, 1), 5, 0)


def test_default_filter_is_no_net_for_timeouts_in_compat() -> None:
    for scene, status in (
        (Scene(0, **steps(TEN)), "pending"),
        (Scene(0, **steps(TEN)).compat(), "canceled"),
    ):
        task = scene.task()
        scene.wait(10)

        assert task.status == status
        assert scene.happened("workflow.exhausted")


def test_exhausted_workflow_repeats() -> None:
    scene = Scene(0, **steps(TEN, on_exhausted="repeat", default=None))
    task = scene.task()
    scene.wait(10)

    assert (task.status, task.step) == ("pending", (0, 0))
    assert task.step_deadline == START + 20 * SECOND


@pytest.mark.parametrize(("until", "step"), [(25, (0, 2)), (35, None)])
def test_age_is_the_clock_of_all_steps_in_compat(
    until: int, step: tuple[int, int] | None
) -> None:
    scene = Scene(0, **steps(TEN, TEN, TEN, default=None)).compat()
    task = scene.task()
    scene.wait(3)
    scene.do("create_worker", activity="Available", attributes="{}")
    scene.wait(until - 3)
    scene.do("reject", reservation=0, activity="Offline")

    if step is None:
        assert task.status == "canceled"
    else:
        assert (task.step, task.step_deadline) == (step, START + 30 * SECOND)


def test_no_step_is_passed_over_untried_in_strict() -> None:
    scene = Scene(1, **steps(TEN, TEN, default=None))
    task = scene.task()
    scene.wait(35)
    scene.do("reject", reservation=0, activity="Offline")

    assert (task.step, task.step_deadline) == ((0, 1), START + 45 * SECOND)


NOBODY = {"queue": 0, "skip_if": "workers.available == 0"}


def test_step_is_skipped_into_the_default_or_out_of_the_workflow() -> None:
    for default, status, event in (
        ({"queue": 0}, "pending", []),
        (None, "canceled", ["workflow.skipped"]),
    ):
        scene = Scene(0, **steps(NOBODY, default=default))
        task = scene.task()

        assert (task.status, scene.happened("workflow.skipped")) == (status, event)


def test_skipping_is_not_asked_of_who_can_be_offered_and_looks_at_activities() -> None:
    scene = Scene(1, **steps({"queue": 0, "skip_if": "1==1"}))

    assert scene.task().status == "reserved"
    assert scene.task().step == (-1, 0)

    scene = Scene(1, **steps(NOBODY))
    scene.task()

    assert scene.task().step == (0, 0)


def test_known_worker_is_waited_for() -> None:
    known = {"queue": 0, "timeout": 10, "known": ("sid", "agent")}
    scene = Scene(2, **steps(known, {"queue": None}))

    assert scene.task(attributes='{"agent":"WK#1"}').status == "reserved"
    assert scene.holders() == [1]

    task = scene.task(attributes='{"agent":null}')

    assert task.status == "pending"

    scene.wait(10)

    assert scene.model.reservations[-1].task == 1


def test_percentage_counts_everything_held() -> None:
    scene = Scene(1)
    scene.do("update_channel", worker=0, channel="chat", capacity=3)
    scene.task()
    scene.do("accept", reservation=0)
    scene.do("wrap_task", task=0)
    scene.task()

    chat = scene.model.shown(0)["channel"]["chat"]
    assert (chat["assigned_tasks"], chat["available_capacity_percentage"]) == (0, 33)


def test_order_by_puts_who_has_no_number_last() -> None:
    order = {"queue": 0, "order_by": "worker.lvl DESC"}
    scene = Scene(1, **steps(order))
    scene.do("create_worker", activity="Available", attributes='{"lvl":3}')
    scene.task()

    assert scene.holders() == [1]


def test_optimized_channel_has_clocks_of_its_own() -> None:
    for optimized, winner in ((True, 0), (False, 1)):
        scene = Scene(2).compat()
        scene.do("update_task_channel", channel="sms", optimized=optimized)
        for channel in ("sms", "sms", "chat"):
            scene.task(channel=channel)
            scene.do("accept", reservation=len(scene.model.reservations) - 1)
            scene.do("complete_task", task=len(scene.model.tasks) - 1)
            scene.wait(60)
        scene.task(channel="sms")

        assert scene.holders() == [winner]


def link(kind: str, number: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "number": number, **more}


def test_routing_target_reaches_the_worker_whatever_they_do() -> None:
    scene = Scene(1)
    scene.do("update_worker", worker=0, activity="Offline")
    scene.task(routes=(link("worker", 0, ignore_capacity=True),))

    assert scene.holders() == [0]

    scene.do("reject", reservation=0)

    assert scene.model.tasks[0].reason == "RoutingTarget not available"
    assert scene.happened("reservation.failed")


def test_routing_target_waits_for_the_worker_and_goes_on() -> None:
    scene = Scene(1)
    scene.do("update_worker", worker=0, activity="Offline")
    task = scene.task(routes=(link("worker", 0, wait=5), link("queue", 0)))
    scene.wait(5)

    assert (task.route, task.status, task.queue) == (1, "pending", 0)


def test_update_brings_a_waiting_task_to_the_filter_it_now_matches() -> None:
    filters = [{"expression": "vip", "targets": [{"queue": 0}]}]
    scene = Scene(0, filters=filters)
    task = scene.task()

    assert task.step == (-1, 0)

    scene.do("update_task", task=0, patch={"vip": True})

    assert task.step == (0, 0)


def test_revision_is_pinned_unless_asked_to_move() -> None:
    for asked, queue in ((False, 0), (True, 1)):
        scene = Scene(0)
        scene.do("create_queue", expression="1==1")
        task = scene.task()
        changed = PLAIN | {"default": {"queue": 1}}
        scene.do("update_workflow", workflow=1, re_evaluate=asked, **changed)
        scene.wait(1)

        assert task.queue == queue


def test_claim_takes_from_a_pull_queue_and_not_over_capacity() -> None:
    scene = Scene(1)
    scene.do("update_queue", queue=0, fan_out=0)
    scene.task()
    scene.task()
    scene.do("claim_task", task=1, worker=0)

    assert scene.model.tasks[1].status == "assigned"
    with pytest.raises(Refused, match="failed_precondition"):
        scene.do("claim_task", task=0, worker=0)


def test_wrap_up_ends_by_itself_in_strict_and_finished_tasks_go_in_compat() -> None:
    scene = Scene(1)
    task = scene.task()
    scene.do("accept", reservation=0)
    scene.do("wrap_task", task=0)
    scene.wait(3_600)

    assert (task.status, task.reason) == ("completed", "Wrap-up limit reached")

    scene = Scene(1).compat()
    task = scene.task()
    scene.do("accept", reservation=0)
    scene.do("complete_task", task=0)
    scene.wait(300)

    assert task.gone


def test_soft_away_ends_with_a_sign_of_life() -> None:
    scene = Scene(1)
    scene.do("update_channel", worker=0, channel="chat", capacity=2)
    scene.do("update_workspace", policies={"missed_offer": "soft_away"})
    scene.task()
    scene.wait(60)
    scene.task()
    scene.wait(60)

    assert scene.model.workers[0].activity == "Offline"

    scene.do("accept", reservation=1)

    assert scene.model.workers[0].activity == "Available"


def test_the_oracle_knows_the_limits_as_they_are() -> None:
    assert {name: getattr(limits, name) for name in LIMITS} == LIMITS
