"""Which task is next, and which worker."""

from tests.vectors.floor import Floor, Seen, step
from tests.vectors.registry import compat, vector


def answer_in_turn(floor: Floor, count: int) -> list[str]:
    """Let A take and complete one task after the other; return them."""
    names = []
    for _ in range(count):
        names.append(name := floor.offered("A"))
        floor.accept("A")
        floor.complete(name)
    return names


def keep_busy(floor: Floor) -> None:
    """A is there, and on the phone with `now`."""
    floor.staff("A")
    floor.add_task("now")
    floor.accept("A")


@vector(9)
def urgent_task_comes_later(floor: Floor) -> Seen:
    keep_busy(floor)
    floor.add_task("old")
    floor.wait(60)
    floor.add_task("urgent", priority=5)
    floor.complete("now")
    return {"A is offered": floor.offered("A")}


def test_vector_09_the_higher_priority_is_first() -> None:
    assert compat(urgent_task_comes_later) == {"A is offered": "urgent"}


@vector(10)
def newer_task_has_waited_longer(floor: Floor) -> Seen:
    keep_busy(floor)
    floor.add_task("old")
    floor.wait(60)
    hour_ago = floor.clock.now() - 3_600_000_000
    floor.add_task("waiting for an hour", virtual_start_time=hour_ago)
    floor.complete("now")
    return {"A is offered": floor.offered("A")}


def test_vector_10_of_one_priority_the_earlier_virtual_start_time_is_first() -> None:
    assert compat(newer_task_has_waited_longer) == {
        "A is offered": "waiting for an hour"
    }


@vector(11)
def queue_takes_the_last_first(floor: Floor) -> Seen:
    floor.update_queue("Q", task_order="LIFO")
    keep_busy(floor)
    floor.add_task("old and urgent", priority=9)
    floor.wait(60)
    floor.add_task("new")
    floor.complete("now")
    return {"A is offered": floor.offered("A")}


def test_vector_11_in_a_lifo_queue_the_newest_is_first_whatever_its_priority() -> None:
    assert compat(queue_takes_the_last_first) == {"A is offered": "new"}


@vector(12)
def worker_serves_two_queues(floor: Floor) -> Seen:
    keep_busy(floor)
    floor.add_task("in Q", priority=1)
    floor.wait(60)
    floor.add_queue("Q2")
    floor.lead(step("Q2"))
    floor.add_task("in Q2", priority=10)
    floor.complete("now")
    return {"A is offered": floor.offered("A")}


def test_vector_12_priority_counts_across_the_queues_of_a_worker() -> None:
    assert compat(worker_serves_two_queues) == {"A is offered": "in Q2"}


@vector(13)
def worker_serves_queues_of_both_orders(floor: Floor) -> Seen:
    floor.update_workspace(prioritize_queue_order="FIFO")
    keep_busy(floor)
    floor.add_queue("last first", task_order="LIFO")
    to_lifo = floor.lead(step("last first"))
    to_fifo = floor.lead(step("Q"))
    for name, workflow in (("L", to_lifo), ("F", to_fifo)):
        for number in (1, 2, 3):
            floor.wait(1)
            floor.add_task(f"{name}{number}", workflow=workflow)
    floor.complete("now")
    return {"A has": answer_in_turn(floor, 6)}


def test_vector_13_queues_of_the_preferred_order_are_emptied_first() -> None:
    assert compat(worker_serves_queues_of_both_orders) == {
        "A has": ["F1", "F2", "F3", "L3", "L2", "L1"]
    }


@vector(41)
def step_orders_by_a_number(floor: Floor) -> Seen:
    floor.staff("B", "C", "A")
    floor.describe("A", lvl=3)
    floor.describe("C", lvl=2)
    floor.update_queue("Q", max_reserved_workers=3)
    floor.lead(step("Q", order_by="worker.lvl DESC"))
    floor.add_task()
    return {"offers": floor.offers()}


def test_vector_41_a_worker_without_the_number_comes_after_those_who_have_it() -> None:
    assert compat(step_orders_by_a_number) == {
        "offers": ["A pending", "C pending", "B pending"]
    }


@vector(42)
def step_orders_by_a_text(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.describe("A", lvl="1")
    floor.describe("B", lvl="9")
    floor.lead(step("Q", order_by="worker.lvl DESC"))
    floor.add_task()
    return {"offers": floor.offers()}


def test_vector_42_ordering_by_a_text_is_no_ordering() -> None:
    assert compat(step_orders_by_a_text) == {"offers": ["A pending"]}


def call_after_a_chat(floor: Floor) -> Seen:
    """A called an hour ago and chatted a minute ago, B called half an hour ago."""
    floor.hire("A")
    floor.hire("B")
    floor.update_channel("B", "chat", available=False)
    floor.wait(60)
    history = (("A", "voice", 30), ("B", "voice", 29), ("A", "chat", 1))
    for worker, channel, minutes in history:
        task = f"{worker}'s {channel}"
        floor.add_task(task, channel=channel)
        assert floor.offers(task) == [f"{worker} pending"]
        floor.accept(worker)
        floor.complete(task)
        floor.wait(minutes * 60)
    floor.add_task()
    return {"offers": floor.offers()}


@vector(43)
def channel_is_optimized(floor: Floor) -> Seen:
    floor.update_task_channel("voice", channel_optimized_routing=True)
    return call_after_a_chat(floor)


def test_vector_43_an_optimized_channel_counts_only_its_own_tasks() -> None:
    assert compat(channel_is_optimized) == {"offers": ["A pending"]}


@vector(44)
def channel_is_not_optimized(floor: Floor) -> Seen:
    return call_after_a_chat(floor)


def test_vector_44_otherwise_every_task_of_a_worker_counts() -> None:
    assert compat(channel_is_not_optimized) == {"offers": ["B pending"]}


@vector(102)
def long_call_and_short_call(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.add_task("long")
    floor.accept("A")
    floor.wait(600)
    floor.add_task("short")
    floor.accept("B")
    floor.wait(60)
    floor.complete("short")
    floor.wait(1_740)
    floor.complete("long")
    floor.wait(60)
    floor.add_task()
    return {"offers": floor.offers()}


def test_vector_102_whoever_was_offered_something_longest_ago_is_first() -> None:
    assert compat(long_call_and_short_call) == {"offers": ["A pending"]}
