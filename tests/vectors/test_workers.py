"""What a worker has room for, and what becomes of offers when the worker changes."""

from tests.vectors.floor import Floor, Seen, refusal
from tests.vectors.registry import compat, vector


@vector(28)
def chats_of_every_kind(floor: Floor) -> Seen:
    floor.staff("A")
    floor.update_channel("A", "chat", configured_capacity=3)
    floor.add_task("wrapping", channel="chat")
    floor.accept("A")
    floor.wrap("wrapping")
    floor.add_task("pending", channel="chat")
    return {
        "offers": floor.offers("wrapping") + floor.offers("pending"),
        "assigned_tasks": floor.live("A", "chat", "assigned_tasks"),
        "percentage": floor.live("A", "chat", "available_capacity_percentage"),
    }


def test_vector_28_an_offer_and_a_wrap_up_take_room_and_are_not_assigned() -> None:
    assert compat(chats_of_every_kind) == {
        "offers": ["A wrapping", "A pending"],
        "assigned_tasks": 0,
        "percentage": 33,
    }


@vector(29)
def worker_has_no_capacity(floor: Floor) -> Seen:
    floor.staff("A")
    floor.update_channel("A", "voice", configured_capacity=0)
    floor.add_task()
    return {
        "task": floor.status(),
        "offers": floor.offers(),
        "percentage": floor.live("A", "voice", "available_capacity_percentage"),
    }


def test_vector_29_a_worker_without_capacity_gets_nothing() -> None:
    assert compat(worker_has_no_capacity) == {
        "task": "pending",
        "offers": [],
        "percentage": 0,
    }


@vector(30)
def channel_is_not_available(floor: Floor) -> Seen:
    floor.staff("A")
    floor.update_channel("A", "voice", available=False)
    floor.add_task()
    return {
        "offers": floor.offers(),
        "capacity": floor.live("A", "voice", "configured_capacity"),
    }


def test_vector_30_a_closed_channel_gets_nothing_and_keeps_its_capacity() -> None:
    assert compat(channel_is_not_available) == {"offers": [], "capacity": 1}


@vector(31)
def worker_leaves_with_an_offer(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.go("A", "Unavailable")
    seen: Seen = {"offers": floor.offers()}
    floor.accept("A")
    return seen | {"then": floor.offers(), "task": floor.status()}


def test_vector_31_a_worker_who_left_can_still_accept() -> None:
    assert compat(worker_leaves_with_an_offer) == {
        "offers": ["A pending"],
        "then": ["A accepted"],
        "task": "assigned",
    }


@vector(32)
def worker_leaves_and_rejects(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.add_task()
    floor.update_worker("A", activity="Unavailable", reject_pending_reservations=True)
    return {"offers": floor.offers()}


def test_vector_32_a_worker_who_leaves_can_give_all_offers_back() -> None:
    assert compat(worker_leaves_and_rejects) == {"offers": ["A rejected", "B pending"]}


@vector(33)
def worker_stays_and_rejects(floor: Floor) -> Seen:
    floor.add_activity("At the counter", available=True)
    floor.staff("A")
    floor.add_task()
    rejects = refusal(
        lambda: floor.update_worker(
            "A", activity="At the counter", reject_pending_reservations=True
        )
    )
    return {
        "is": rejects,
        "A": floor.activity("A"),
        "offers": floor.offers(),
    }


def test_vector_33_a_worker_who_stays_cannot_give_all_offers_back() -> None:
    assert compat(worker_stays_and_rejects) == {
        "is": "INVALID_ARGUMENT FIELD_INVALID",
        "A": "Available",
        "offers": ["A pending"],
    }


@vector(56)
def worker_leaves_the_queue_with_an_offer(floor: Floor) -> Seen:
    floor.update_queue("Q", target_workers="away != true")
    floor.staff("A")
    floor.add_task()
    floor.describe("A", away=True)
    floor.add_task("next")
    return {"offers": floor.offers(), "next": floor.offers("next")}


def test_vector_56_an_offer_stays_when_its_worker_leaves_the_queue() -> None:
    assert compat(worker_leaves_the_queue_with_an_offer) == {
        "offers": ["A pending"],
        "next": [],
    }


@vector(105)
def connection_is_lost(floor: Floor) -> Seen:
    floor.staff("A")
    floor.note("connect", "A")
    floor.add_task()
    floor.accept("A")
    floor.note("silence", "A")
    floor.wait(3600)
    return {"task": floor.status(), "offers": floor.offers()}


def test_vector_105_a_lost_connection_has_no_effect() -> None:
    assert compat(connection_is_lost) == {"task": "assigned", "offers": ["A accepted"]}
