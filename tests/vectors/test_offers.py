"""Who is offered a task, and what follows from each answer."""

import pytest

from tests.vectors.floor import Floor, Seen, refusal
from tests.vectors.registry import compat, vector


@vector(1)
def task_finds_two_free_workers(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.add_task()
    return {
        "offers": floor.offers(),
        "task": floor.status(),
        "A has left": floor.live("A", "voice", "available_capacity_percentage"),
    }


def test_vector_01_a_task_goes_to_the_worker_who_had_none_for_longest() -> None:
    assert compat(task_finds_two_free_workers) == {
        "offers": ["A pending"],
        "task": "reserved",
        "A has left": 0,
    }


@vector(2)
def worker_rejects_and_stays(floor: Floor) -> Seen:
    floor.staff("A", "B", "C")
    floor.add_task()
    floor.wait(5)
    floor.reject("A")
    floor.add_task("next")
    return {
        "A": floor.activity("A"),
        "offers": floor.offers(),
        "next": floor.offers("next"),
    }


def test_vector_02_a_worker_who_rejects_stays_and_goes_to_the_end_of_the_line() -> None:
    assert compat(worker_rejects_and_stays) == {
        "A": "Available",
        "offers": ["A rejected", "B pending"],
        "next": ["C pending"],
    }


@vector(3)
def only_worker_rejects(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.reject("A")
    at_once = floor.offers()
    floor.wait(30)
    return {"at once": at_once, "30 seconds later": floor.offers()}


def test_vector_03_the_only_worker_is_offered_again_what_they_rejected() -> None:
    assert compat(only_worker_rejects) == {
        "at once": ["A rejected", "A pending"],
        "30 seconds later": ["A rejected", "A pending"],
    }


@vector(4)
def nobody_answers(floor: Floor) -> Seen:
    floor.staff("A", "B")
    floor.add_task()
    floor.wait(119)
    at_119 = floor.offers()
    floor.wait(1)
    return {
        "at 119": at_119,
        "offers": floor.offers(),
        "A": floor.activity("A"),
        "count": floor.task().assignment_count,
    }


def test_vector_04_a_worker_who_lets_an_offer_run_out_is_sent_offline() -> None:
    assert compat(nobody_answers) == {
        "at 119": ["A pending"],
        "offers": ["A timeout", "B pending"],
        "A": "Offline",
        "count": 2,
    }


def offer_to_two(floor: Floor) -> None:
    """A and B are offered one task at once."""
    floor.staff("A", "B")
    floor.update_queue("Q", max_reserved_workers=2)
    floor.add_task()


@vector(5)
def two_are_asked_at_once(floor: Floor) -> Seen:
    offer_to_two(floor)
    return {"offers": floor.offers(), "count": floor.task().assignment_count}


def test_vector_05_a_task_offered_to_two_at_once_is_one_assignment() -> None:
    assert compat(two_are_asked_at_once) == {
        "offers": ["A pending", "B pending"],
        "count": 1,
    }


@vector(6)
def second_of_two_accepts(floor: Floor) -> Seen:
    offer_to_two(floor)
    floor.accept("B")
    seen = {
        "task": floor.status(),
        "offers": floor.offers(),
        "A": floor.activity("A"),
    }
    floor.add_task("next")
    return {**seen, "next": floor.offers("next")}


def test_vector_06_the_first_to_accept_frees_the_others() -> None:
    assert compat(second_of_two_accepts) == {
        "task": "assigned",
        "offers": ["A rescinded", "B accepted"],
        "A": "Available",
        "next": ["A pending"],
    }


@vector(7)
def one_of_two_rejects(floor: Floor) -> Seen:
    offer_to_two(floor)
    floor.reject("A")
    return {"task": floor.status(), "offers": floor.offers()}


def test_vector_07_a_task_stays_reserved_while_one_of_two_has_not_answered() -> None:
    assert compat(one_of_two_rejects) == {
        "task": "reserved",
        "offers": ["A rejected", "B pending"],
    }


@vector(8)
def both_reject(floor: Floor) -> Seen:
    offer_to_two(floor)
    floor.reject("A")
    floor.reject("B")
    return {"offers": floor.offers(), "count": floor.task().assignment_count}


def test_vector_08_a_task_that_both_rejected_is_looked_at_anew() -> None:
    assert compat(both_reject) == {
        "offers": ["A rejected", "B rejected", "A pending", "B pending"],
        "count": 2,
    }


@vector(52)
def two_accept_at_the_same_instant(floor: Floor) -> Seen:
    offer_to_two(floor)
    seen: Seen = {
        "A": refusal(lambda: floor.accept("A")),
        "then B": refusal(lambda: floor.accept("B")),
        "offers": floor.offers(),
    }
    floor.complete()
    floor.add_task("again")
    return seen | {
        "B": refusal(lambda: floor.accept("B")),
        "then A": refusal(lambda: floor.accept("A")),
        "offers again": floor.offers("again"),
    }


def test_vector_52_of_two_who_accept_at_the_same_instant_one_has_the_task() -> None:
    assert compat(two_accept_at_the_same_instant) == {
        "A": "taken",
        "then B": "FAILED_PRECONDITION ILLEGAL_TRANSITION",
        "offers": ["A accepted", "B rescinded"],
        "B": "taken",
        "then A": "FAILED_PRECONDITION ILLEGAL_TRANSITION",
        "offers again": ["A rescinded", "B accepted"],
    }


@vector(53)
def answer_comes_when_time_is_up(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    floor.arrive(120)
    seen: Seen = {"accepts": refusal(lambda: floor.accept("A"))}
    floor.expire()
    seen["accepted first"] = floor.offers()
    floor.complete()
    floor.add_task("late")
    floor.arrive(120)
    floor.expire()
    floor.go("A", "Offline")
    return seen | {
        "accepts late": refusal(lambda: floor.accept("A")),
        "timed out first": floor.offers("late"),
    }


def test_vector_53_an_answer_at_the_instant_of_the_timeout_wins_or_loses() -> None:
    assert compat(answer_comes_when_time_is_up) == {
        "accepts": "taken",
        "accepted first": ["A accepted"],
        "accepts late": "FAILED_PRECONDITION RESERVATION_EXPIRED",
        "timed out first": ["A timeout"],
    }


@vector(54)
def task_grows_old_while_it_is_offered(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task(timeout_seconds=60)
    floor.wait(60)
    return {
        "task": floor.status(),
        "offers": floor.offers(),
        "A": floor.activity("A"),
    }


def test_vector_54_a_task_that_grows_too_old_takes_its_offer_along() -> None:
    assert compat(task_grows_old_while_it_is_offered) == {
        "task": "canceled: Task TTL Exceeded",
        "offers": ["A canceled"],
        "A": "Available",
    }


@vector(55)
def everybody_rejects_a_thousand_times(floor: Floor) -> Seen:
    floor.staff("A")
    floor.add_task()
    for _ in range(999):
        floor.reject("A")
        floor.wait(30)
    seen: Seen = {"after 999": floor.offers()[-1]}
    floor.reject("A")
    return seen | {
        "after 1,000": floor.offers()[-1],
        "task": floor.status(),
        "count": floor.task().assignment_count,
    }


@pytest.mark.slow
def test_vector_55_a_task_that_was_rejected_a_thousand_times_is_canceled() -> None:
    assert compat(everybody_rejects_a_thousand_times) == {
        "after 999": "A pending",
        "after 1,000": "A rejected",
        "task": "canceled: Max assignment count exceeded",
        "count": 1_000,
    }
