"""The rules of the matcher, one fact each; random tapes are in tests/property."""

import itertools
from typing import Any

import pytest

from flexcore import _routing
from flexcore._routing import Router, StaleHandle
from tests.model_router import BINARY, UNARY, satisfies

ANYBODY = (("const", True),)
VOICE, CHAT = 1, 2
AWAY, READY = 0, 1
OFFERED, IDLE, UTILIZATION, ROUND_ROBIN = range(4)


def skill(name: str) -> tuple[Any, ...]:
    return (("path", "worker", ("skills",)), ("const", name), ("has",))


class Desk:
    """A router with worker orders and task sequences counted up."""

    def __init__(self, **programs: tuple[Any, ...]) -> None:
        self.router = Router()
        self.queues = {name: number for number, name in enumerate(programs, 1)}
        for name, program in programs.items():
            self.router.set_queue(self.queues[name], program)
        self._count = itertools.count(1)

    def worker(
        self,
        *skills: str,
        available: bool = True,
        last_offered: int = 0,
        capacity: int = 1,
        channel: int = VOICE,
        **more: Any,
    ) -> int:
        attributes = {"skills": list(skills), **more}
        order = next(self._count)
        worker = self.router.add_worker(attributes, READY, available, order)
        self.router.set_channel(worker, channel, capacity, 0, offered=last_offered)
        return worker

    def task(
        self,
        queue: str,
        *,
        priority: int = 0,
        start: int = 0,
        channel: int = VOICE,
        **more: Any,
    ) -> int:
        number, sequence = self.queues[queue], next(self._count)
        return self.router.add_task(number, channel, priority, start, sequence, **more)

    def match(self, now: int = 100) -> list[tuple[int, int]]:
        offers = [(task, worker) for task, worker, *_ in self.router.match(now)]
        self.router.check()
        return offers


# Who gets the task


def test_a_waiting_task_goes_to_an_eligible_free_worker() -> None:
    desk = Desk(english=skill("en"))
    desk.worker("fr")
    worker = desk.worker("en")
    task = desk.task("english")

    assert [(task, worker)] == desk.match()


def test_the_least_recently_offered_worker_comes_first() -> None:
    desk = Desk(all=ANYBODY)
    desk.worker(last_offered=50)
    worker = desk.worker(last_offered=40)
    task = desk.task("all")

    assert [(task, worker)] == desk.match()


def test_order_breaks_ties_of_the_clock() -> None:
    """Otherwise it would depend on who came into the line before whom."""
    desk = Desk(all=ANYBODY)
    workers = [desk.worker(available=False) for _ in range(8)]
    desk.router.remove_task(desk.task("all"))  # the lane is there
    for worker in reversed(workers):
        desk.router.set_activity(worker, READY, True, 0)
        desk.match()
    tasks = [desk.task("all") for _ in range(8)]

    assert list(zip(tasks, workers, strict=True)) == desk.match()


def test_a_long_line_is_in_order_whoever_came_when() -> None:
    """More than are moved to let one in: the others go to the heap of the line."""
    desk = Desk(all=ANYBODY)
    clocks = [number * 37 % 90 for number in range(90)]
    workers = {
        clock: desk.worker(last_offered=clock, available=False) for clock in clocks
    }
    for clock, worker in workers.items():
        desk.router.set_channel(worker, VOICE, 2, 0, offered=clock)
        desk.router.set_channel(worker, CHAT, 2, 0)
        desk.router.set_activity(worker, READY, True, 0)
        desk.match()
    turns = [workers[clock] for clock in range(90)]
    found = []
    for now in range(100, 280):
        desk.task("all", channel=now % 2 + 1)
        found += [worker for _, worker in desk.match(now)]

    assert turns * 2 == found


def test_a_long_line_forgets_who_left_and_stays_in_order() -> None:
    """It is cleared out once more than twice as many entries are in it as workers."""
    desk = Desk(all=ANYBODY)
    clocks = [number * 61 % 90 for number in range(90)]
    workers = {clock: desk.worker(last_offered=clock) for clock in clocks}
    desk.router.remove_task(desk.task("all"))  # the lane is there, and all are in it
    desk.match()
    stay = [clock for clock in clocks if clock % 3 == 1]
    for clock in clocks:
        if clock not in stay:
            desk.router.set_activity(workers[clock], AWAY, False, 0)
    for clock in clocks[:12]:
        desk.router.set_activity(workers[clock], READY, True, 0)
        desk.match()
    free = sorted({*stay, *clocks[:12]})
    for _ in free:
        desk.task("all")

    assert [worker for _, worker in desk.match()] == [workers[clock] for clock in free]


def test_an_offer_sends_its_worker_to_the_back_of_the_line() -> None:
    desk = Desk(all=ANYBODY)
    first, second = desk.worker(capacity=3), desk.worker(capacity=3)
    tasks = [desk.task("all") for _ in range(2)]
    assert [(tasks[0], first), (tasks[1], second)] == desk.match(now=10)
    task = desk.task("all")

    assert [(task, first)] == desk.match(now=20)


def test_one_clock_rules_all_queues_and_channels() -> None:
    desk = Desk(all=ANYBODY, english=skill("en"))
    polyglot = desk.worker("en", capacity=2)
    desk.router.set_channel(polyglot, CHAT, 2, 0)
    plain = desk.worker(channel=CHAT)
    chat = desk.task("english")
    assert [(chat, polyglot)] == desk.match()
    task = desk.task("all", channel=CHAT)

    assert [(task, plain)] == desk.match()


def test_a_clock_that_was_turned_back_brings_the_worker_forward() -> None:
    desk = Desk(all=ANYBODY)
    ahead = desk.worker(last_offered=90, capacity=2)
    behind = desk.worker(last_offered=80, capacity=1, available=False)
    task = desk.task("all")
    assert [(task, ahead)] == desk.match(now=70)
    desk.router.set_activity(behind, READY, True, 0)
    task = desk.task("all")

    assert [(task, ahead)] == desk.match(now=75)


def test_candidates_count_the_free_members_winner_included() -> None:
    desk = Desk(english=skill("en"))
    for _ in range(3):
        desk.worker("en")
    desk.worker("en", available=False)
    desk.worker("fr")
    for _ in range(3):
        desk.task("english")

    assert [3, 2, 1] == [candidates for _, _, candidates, _ in desk.router.match(100)]


# Which task is next


def test_priority_is_compared_across_queues() -> None:
    desk = Desk(all=ANYBODY, english=skill("en"))
    worker = desk.worker("en")
    desk.task("english", priority=1, start=0)
    gold = desk.task("all", priority=10, start=50)

    assert [(gold, worker)] == desk.match()


def test_start_then_sequence_break_ties_across_queues() -> None:
    desk = Desk(all=ANYBODY, english=skill("en"))
    worker = desk.worker("en", capacity=3)
    late = desk.task("english", start=9)
    second = desk.task("all", start=5)
    third = desk.task("english", start=5)

    offered = [task for task, _ in desk.match()]

    assert [second, third, late] == offered
    assert worker


def test_a_task_without_takers_does_not_block_lower_ones() -> None:
    desk = Desk(spanish=skill("es"), english=skill("en"))
    worker = desk.worker("en")
    desk.task("spanish", priority=100)
    task = desk.task("english")

    assert [(task, worker)] == desk.match()
    assert 1 == desk.router.waiting(desk.queues["spanish"])


def test_reprioritize_decides_who_is_next() -> None:
    desk = Desk(all=ANYBODY)
    desk.task("all", priority=5)
    low = desk.task("all", priority=1)
    desk.router.reprioritize(low, 9)
    worker = desk.worker()

    assert [(low, worker)] == desk.match()


# What frees and what fills


def test_nothing_is_offered_beyond_capacity() -> None:
    desk = Desk(all=ANYBODY)
    desk.worker(capacity=2)
    for _ in range(3):
        desk.task("all")

    assert 2 == len(desk.match())
    assert [] == desk.match()


def test_release_makes_room_for_the_next_task() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    desk.task("all")
    waiting = desk.task("all")
    desk.match()
    desk.router.release(worker, VOICE, 50)

    assert [(waiting, worker)] == desk.match()


def test_room_on_one_channel_is_none_on_another() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker(channel=CHAT)
    desk.task("all", channel=VOICE)
    assert [] == desk.match()
    task = desk.task("all", channel=CHAT)

    assert [(task, worker)] == desk.match()


def test_a_worker_is_offered_nothing_until_a_channel_is_set() -> None:
    desk = Desk(all=ANYBODY)
    desk.router.add_worker({}, READY, True, 1)
    desk.task("all")

    assert [] == desk.match()


def test_capacity_zero_is_no_room() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker(capacity=0)
    task = desk.task("all")
    assert [] == desk.match()
    desk.router.set_channel(worker, VOICE, 1, 0)

    assert [(task, worker)] == desk.match()


def test_capacity_below_what_is_occupied_waits_for_releases() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    desk.router.set_channel(worker, VOICE, 1, 3)
    task = desk.task("all")
    desk.router.release(worker, VOICE, 50)
    desk.router.release(worker, VOICE, 50)
    assert [] == desk.match()
    desk.router.release(worker, VOICE, 50)

    assert [(task, worker)] == desk.match()


def test_an_unavailable_worker_is_offered_nothing_until_they_return() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker(available=False)
    task = desk.task("all")
    assert [] == desk.match()
    desk.router.set_activity(worker, READY, True, 0)

    assert [(task, worker)] == desk.match()


def test_new_attributes_bring_a_worker_into_a_queue_and_out_of_another() -> None:
    desk = Desk(english=skill("en"), french=skill("fr"))
    worker = desk.worker("en")
    desk.task("english")
    french = desk.task("french")
    desk.router.set_attributes(worker, {"skills": ["fr"]})

    assert [(french, worker)] == desk.match()
    assert (0, 1) == tuple(map(desk.router.members, desk.queues.values()))


def test_a_new_program_re_evaluates_every_worker() -> None:
    desk = Desk(team=skill("en"))
    worker = desk.worker("fr")
    task = desk.task("team")
    assert [] == desk.match()
    desk.router.set_queue(desk.queues["team"], skill("fr"))

    assert [(task, worker)] == desk.match()


def test_a_program_may_read_a_key_that_no_program_read_before() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.router.add_worker({"team": {"id": [7, 8]}}, READY, True, 1)
    program = (("path", "worker", ("team", "id", 1)), ("const", 8), ("==",))
    desk.router.set_queue(99, program)

    assert desk.router.eligible(99, worker)
    desk.router.check()


def test_an_empty_program_matches_nobody() -> None:
    desk = Desk(nobody=())
    worker = desk.worker("en")
    desk.task("nobody")

    assert [] == desk.match()
    assert not desk.router.eligible(desk.queues["nobody"], worker)


def test_a_removed_worker_is_offered_nothing_and_neither_is_its_slot() -> None:
    desk = Desk(all=ANYBODY)
    gone = desk.worker(last_offered=1)
    desk.task("all")
    desk.match()
    desk.router.remove_worker(gone)
    newcomer = desk.worker(last_offered=50)
    other = desk.worker(last_offered=40)
    task = desk.task("all")

    assert newcomer != gone
    assert [(task, other)] == desk.match()


# Which worker is best


def queue(desk: Desk, name: str, **manner: Any) -> int:
    """Give a queue another manner and keep its program."""
    number = desk.queues[name]
    (row,) = [q for q in desk.router.dump()["queues"] if q["queue"] == number]
    desk.router.set_queue(number, row["program"], **manner)
    return number


def test_the_longest_idle_worker_is_who_ended_something_or_came_back_first() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", order=IDLE)
    ended, came, offered = desk.worker(), desk.worker(), desk.worker()
    desk.router.set_channel(ended, VOICE, 1, 0, offered=1, released=40)
    desk.router.set_activity(came, READY, True, 30)
    desk.router.set_channel(offered, VOICE, 1, 0, offered=35)
    tasks = [desk.task("all") for _ in range(3)]

    assert list(zip(tasks, (came, offered, ended), strict=True)) == desk.match()


def test_the_least_utilized_worker_holds_the_smallest_share_of_what_they_may() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", order=UTILIZATION)
    half, third = desk.worker(capacity=2), desk.worker(capacity=3)
    desk.router.take(half, VOICE, 10)
    desk.router.take(third, VOICE, 20)
    task = desk.task("all")

    assert [(task, third)] == desk.match()


def test_equal_utilization_goes_by_who_is_longest_idle() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", order=UTILIZATION)
    one, other = desk.worker(), desk.worker()
    desk.router.set_activity(one, READY, True, 20)
    desk.router.set_activity(other, READY, True, 10)
    task = desk.task("all")

    assert [(task, other)] == desk.match()


def test_utilization_counts_all_channels_and_falls_with_a_release() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", order=UTILIZATION)
    one, other = desk.worker(), desk.worker()
    for worker in (one, other):
        desk.router.set_channel(worker, CHAT, 3, 2)
    assert [] == desk.match()
    desk.router.release(other, CHAT, 50)
    task = desk.task("all")

    assert [(task, other)] == desk.match()


def test_round_robin_goes_on_after_the_cursor_and_around() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", order=ROUND_ROBIN)
    workers = [desk.worker(capacity=3) for _ in range(3)]
    for _ in range(4):
        desk.task("all")

    offered = [worker for _, worker in desk.match()]
    assert [*workers, workers[0]] == offered
    assert 1 == desk.router.cursor(desk.queues["all"])


def test_round_robin_passes_over_the_busy_and_begins_where_it_is_told() -> None:
    desk = Desk(all=ANYBODY)
    first, second, third = (desk.worker() for _ in range(3))
    queue(desk, "all", order=ROUND_ROBIN, cursor=1)
    desk.router.set_channel(second, VOICE, 1, 1)
    tasks = [desk.task("all") for _ in range(2)]

    assert [(tasks[0], third), (tasks[1], first)] == desk.match()


def test_an_optimized_channel_has_clocks_of_its_own() -> None:
    """Vectors 43 and 44: A had a chat just now, but no call for long."""
    desk = Desk(all=ANYBODY)
    chatted, called = desk.worker(last_offered=10), desk.worker(last_offered=50)
    desk.router.set_channel(chatted, CHAT, 1, 0, offered=90)
    task = desk.task("all")
    assert [(task, called)] == desk.match()
    desk.router.release(called, VOICE, 110)
    desk.router.set_channel_optimized(VOICE, True)
    task = desk.task("all")

    assert [(task, chatted)] == desk.match()


# Which task is next in queues of another manner


def test_the_newest_task_of_a_lifo_queue_comes_first_whatever_its_priority() -> None:
    desk = Desk(all=ANYBODY)
    desk.task("all", start=5, priority=9)
    newest = desk.task("all", start=7)
    queue(desk, "all", lifo=True)
    worker = desk.worker()

    assert [(newest, worker)] == desk.match()


def test_a_queue_that_is_lifo_no_longer_goes_by_priority_again() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", lifo=True)
    first = desk.task("all", start=5, priority=9)
    low = desk.task("all", start=7)
    desk.router.reprioritize(low, 3)
    queue(desk, "all")
    worker = desk.worker(capacity=2)

    assert [(first, worker), (low, worker)] == desk.match()


def test_all_tasks_of_preferred_queues_go_before_all_others() -> None:
    desk = Desk(fifo=ANYBODY, lifo=ANYBODY)
    queue(desk, "lifo", lifo=True, preferred=False)
    worker = desk.worker(capacity=4)
    lifo = [desk.task("lifo", start=start, priority=99) for start in (1, 2)]
    fifo = [desk.task("fifo", start=start) for start in (1, 2)]

    assert [*fifo, *reversed(lifo)] == [task for task, _ in desk.match()]
    assert worker


# Several offers at once, and none


def test_a_task_is_offered_to_as_many_workers_as_the_queue_says() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", fan_out=2)
    first, second, third = (desk.worker() for _ in range(3))
    task = desk.task("all")

    expected = [(task, first, 3, third), (task, second, 3, third)]
    assert expected == desk.router.match(100)
    desk.router.check()


def test_fewer_are_offered_a_task_if_fewer_are_free() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", fan_out=3)
    workers = [desk.worker() for _ in range(2)]
    task = desk.task("all")
    desk.task("all")

    assert [(task, worker) for worker in workers] == desk.match()


def test_a_batch_is_never_split_by_the_limit() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", fan_out=2)
    for _ in range(4):
        desk.worker()
        desk.task("all")

    assert [2, 2, 0] == [len(desk.router.match(100, 1)) for _ in range(3)]


def test_nothing_is_offered_of_a_pull_queue_and_candidates_are_known() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", fan_out=0)
    worker = desk.worker()
    task = desk.task("all")

    assert [] == desk.match()
    assert (1, True) == (desk.router.count(task), desk.router.candidate(task, worker))


def test_a_pull_queue_that_offers_again_offers_what_waits() -> None:
    desk = Desk(all=ANYBODY)
    queue(desk, "all", fan_out=0)
    worker = desk.worker()
    task = desk.task("all")
    assert [] == desk.match()
    queue(desk, "all", fan_out=1)

    assert [(task, worker)] == desk.match()


def test_the_runner_up_is_the_best_who_was_not_offered() -> None:
    desk = Desk(all=ANYBODY)
    winner, runner_up = desk.worker(), desk.worker(last_offered=5)
    desk.worker(last_offered=6)
    tasks = [desk.task("all") for _ in range(3)]

    offers = desk.router.match(100)
    assert (tasks[0], winner, 3, runner_up) == offers[0]
    assert 0 == offers[2][3]


# What a task asks for beyond the queue


def wants(name: str) -> tuple[Any, ...]:
    """Return a pair program: the worker's skills have what the task calls `name`."""
    worker, task = ("path", "worker", ("skills",)), ("path", "task", (name,))
    return (worker, task, ("has",))


def test_a_pair_program_reads_the_task_and_the_worker() -> None:
    desk = Desk(all=ANYBODY)
    spec = desk.router.open_spec(wants("language"))
    desk.worker("es")
    english = desk.worker("en")
    task = desk.task("all", spec=spec, attributes={"language": "en"})

    assert [(task, english)] == desk.match()


def test_tasks_that_want_something_else_do_not_hold_each_other_up() -> None:
    desk = Desk(all=ANYBODY)
    spec = desk.router.open_spec(wants("language"))
    for _ in range(20):
        desk.task("all", spec=spec, attributes={"language": "es"}, priority=9)
    task = desk.task("all", spec=spec, attributes={"language": "en"})
    worker = desk.worker("en")

    assert [(task, worker)] == desk.match()


def test_who_suits_no_task_whatever_counts_nowhere_until_attributes_change() -> None:
    """Such workers stand in no line; they have to come into it when they may suit."""
    desk = Desk(all=ANYBODY)
    grade = ("path", "worker", ("grade",))
    able = (grade, ("const", "trainee"), ("!=",))
    spec = desk.router.open_spec((*able, *wants("language"), ("and",)))
    trainee = desk.worker("en", grade="trainee")
    task = desk.task("all", spec=spec, attributes={"language": "en"})
    assert [] == desk.match()
    assert (0, False) == (desk.router.count(task), desk.router.candidate(task, trainee))
    desk.router.set_attributes(trainee, {"skills": ["en"], "grade": "agent"})

    assert [(task, trainee)] == desk.match()


def test_order_by_comes_before_the_clock_and_missing_is_last() -> None:
    desk = Desk(all=ANYBODY)
    level = ("path", "worker", ("level",))
    desk.worker()
    desk.worker(level="high")
    low, high = desk.worker(level=1), desk.worker(last_offered=90, level=2.5)
    for descending, best in ((True, high), (False, low)):
        spec = desk.router.open_spec((), ((level, descending),))
        task = desk.task("all", spec=spec)
        assert [(task, best)] == desk.match()
        desk.router.release(best, VOICE, 100)


def test_a_live_value_excludes_whoever_has_a_call() -> None:
    desk = Desk(all=ANYBODY)
    percentage = ("live", VOICE, "available_capacity_percentage")
    spec = desk.router.open_spec((percentage, ("const", 100), ("==",)))
    worker = desk.worker()
    desk.router.set_channel(worker, CHAT, 2, 0)
    desk.router.take(worker, VOICE, 10)
    task = desk.task("all", spec=spec, channel=CHAT)
    assert [] == desk.match()
    desk.router.release(worker, VOICE, 20)

    assert [(task, worker)] == desk.match()


def test_an_offer_may_make_its_worker_a_candidate_of_another_task() -> None:
    desk = Desk(all=ANYBODY)
    percentage = ("live", VOICE, "available_capacity_percentage")
    spec = desk.router.open_spec((percentage, ("const", 50), ("<=",)))
    worker = desk.worker()
    desk.router.set_channel(worker, CHAT, 1, 0)
    chat = desk.task("all", spec=spec, channel=CHAT, priority=9)
    call = desk.task("all")

    assert [(call, worker), (chat, worker)] == desk.match()


@pytest.mark.parametrize(
    ("capacity", "occupied", "percentage"),
    [(0, 0, 0), (3, 2, 33), (3, 1, 66), (10, 9, 10), (1, 0, 100), (1, 2, 0)],
)
def test_available_capacity_percentage_is_rounded_down_exactly(
    capacity: int, occupied: int, percentage: int
) -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    desk.router.set_channel(worker, CHAT, capacity, occupied)
    live = ("live", CHAT, "available_capacity_percentage")
    spec = desk.router.open_spec((live, ("const", percentage), ("==",)))
    task = desk.task("all", spec=spec)

    assert [(task, worker)] == desk.match()


def test_assigned_tasks_follow_assign() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    live = ("live", CHAT, "assigned_tasks")
    spec = desk.router.open_spec((live, ("const", 1), ("==",)))
    task = desk.task("all", spec=spec)
    assert [] == desk.match()
    desk.router.assign(worker, CHAT, 1)

    assert [(task, worker)] == desk.match()


def test_a_task_for_somebody_known_waits_for_them() -> None:
    desk = Desk(all=ANYBODY)
    desk.worker()
    known = desk.worker(available=False)
    task = desk.task("all", known=known)
    assert [] == desk.match()
    desk.router.set_activity(known, READY, True, 10)

    assert [(task, known)] == desk.match()


def test_a_task_for_nobody_waits() -> None:
    desk = Desk(all=ANYBODY)
    desk.worker()
    gone = desk.worker()
    desk.router.remove_worker(gone)
    desk.task("all", known=0)
    desk.task("all", known=gone)

    assert [] == desk.match()


def test_who_is_excluded_is_neither_offered_nor_counted() -> None:
    desk = Desk(all=ANYBODY)
    refused, other, last = desk.worker(), desk.worker(), desk.worker()
    task = desk.task("all", excluded=(refused, refused))

    assert [(task, other, 2, last)] == desk.router.match(100)
    desk.router.check()
    task = desk.task("all")
    assert [(task, refused)] == desk.match()


def test_a_slot_that_is_used_again_is_not_excluded() -> None:
    desk = Desk(all=ANYBODY)
    crowd = [desk.worker() for _ in range(200)]
    task = desk.task("all", excluded=tuple(crowd))
    for worker in crowd:
        desk.router.remove_worker(worker)
    newcomer = desk.worker()

    assert [(task, newcomer)] == desk.match()


def test_a_closed_channel_takes_no_offers_and_keeps_its_capacity() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    desk.router.set_channel(worker, VOICE, 2, 0, open=False)
    task = desk.task("all")
    assert [] == desk.match()
    live = ("live", VOICE, "configured_capacity")
    spec = desk.router.open_spec((live, ("const", 2), ("==",)))
    desk.router.set_channel(worker, CHAT, 1, 0)
    chat = desk.task("all", channel=CHAT, spec=spec)

    assert [(chat, worker)] == desk.match()
    assert task


def test_take_may_exceed_the_capacity() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    desk.router.take(worker, VOICE, 10)
    desk.router.take(worker, VOICE, 20)
    desk.task("all")
    desk.router.release(worker, VOICE, 30)

    assert [] == desk.match()


def test_equal_specs_have_one_handle_and_equal_numbers_are_not_enough() -> None:
    router = Router()
    one = router.open_spec((("const", 1),))

    assert one == router.open_spec((("const", 1),))
    assert one != router.open_spec((("const", True),))


def test_a_spec_is_closed_when_nothing_waits_with_it() -> None:
    desk = Desk(all=ANYBODY)
    spec = desk.router.open_spec(wants("language"))
    task = desk.task("all", spec=spec, attributes={"language": "en"})
    with pytest.raises(ValueError, match="1 tasks wait with the spec"):
        desk.router.close_spec(spec)
    desk.router.remove_task(task)
    desk.router.close_spec(spec)

    desk.router.check()
    with pytest.raises(StaleHandle):
        desk.task("all", spec=spec, attributes={})


def test_members_are_counted_by_activity() -> None:
    desk = Desk(english=skill("en"))
    worker = desk.worker("en")
    desk.worker("fr")
    number = desk.queues["english"]
    before = [desk.router.in_activity(number, a) for a in (AWAY, READY)]
    desk.router.set_activity(worker, AWAY, False, 0)

    assert [0, 1] == before
    assert [1, 0] == [desk.router.in_activity(number, a) for a in (AWAY, READY)]


# What is refused


def test_remove_queue_is_refused_while_tasks_wait() -> None:
    desk = Desk(all=ANYBODY)
    task = desk.task("all")
    with pytest.raises(ValueError, match="1 tasks wait in queue 1"):
        desk.router.remove_queue(1)
    desk.router.remove_task(task)
    desk.router.remove_queue(1)

    desk.router.check()
    with pytest.raises(KeyError, match="queue 1 is not known"):
        desk.router.waiting(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda router: router.add_task(9, 0, 0, 0, 1),
        lambda router: router.remove_queue(9),
        lambda router: router.members(9),
        lambda router: router.available(9),
        lambda router: router.eligible(9, 0),
        lambda router: router.cursor(9),
        lambda router: router.in_activity(9, 0),
    ],
)
def test_unknown_queues_are_key_errors(call: Any) -> None:
    with pytest.raises(KeyError, match="queue 9 is not known"):
        call(Router())


@pytest.mark.parametrize("handle", [-1, 0, 1, 2**32, 2**63 - 1])
def test_invented_handles_are_stale(handle: int) -> None:
    router = Router()
    router.set_queue(1, ANYBODY)
    calls = [
        lambda: router.set_attributes(handle, {}),
        lambda: router.set_activity(handle, READY, True, 0),
        lambda: router.set_channel(handle, 1, 1, 0),
        lambda: router.release(handle, 1, 50),
        lambda: router.remove_worker(handle),
        lambda: router.eligible(1, handle),
        lambda: router.remove_task(handle),
        lambda: router.reprioritize(handle, 1),
    ]
    for call in calls:
        with pytest.raises(StaleHandle):
            call()


def test_the_handle_of_an_offered_task_is_stale() -> None:
    desk = Desk(all=ANYBODY)
    desk.worker()
    task = desk.task("all")
    desk.match()

    with pytest.raises(StaleHandle):
        desk.router.remove_task(task)


def test_negative_numbers_are_value_errors() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    router = desk.router
    with pytest.raises(ValueError, match="queue -1 is negative"):
        router.set_queue(-1, ANYBODY)
    with pytest.raises(ValueError, match="channel -1 is negative"):
        router.add_task(1, -1, 0, 0, 1)
    with pytest.raises(ValueError, match="channel -1 is negative"):
        router.set_channel(worker, -1, 1, 0)
    with pytest.raises(ValueError, match="capacity -1 is negative"):
        router.set_channel(worker, 1, -1, 0)
    with pytest.raises(ValueError, match="occupied -1 is negative"):
        router.set_channel(worker, 1, 1, -1)
    with pytest.raises(ValueError, match="assigned -1 is negative"):
        router.set_channel(worker, 1, 1, 0, -1)
    with pytest.raises(ValueError, match="activity -1 is negative"):
        router.add_worker({}, -1, True, 99)
    with pytest.raises(ValueError, match="activity -1 is negative"):
        router.set_activity(worker, -1, True, 0)
    with pytest.raises(ValueError, match="is assigned 0"):
        router.assign(worker, 1, -1)

    router.check()


def test_numbers_beyond_their_width_overflow() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    with pytest.raises(OverflowError):
        desk.router.set_channel(worker, 1, 2**31, 0)
    with pytest.raises(OverflowError):
        desk.router.add_task(1, 1, 2**63, 0, 1)
    with pytest.raises(OverflowError):
        desk.router.match(2**63)

    desk.router.check()


def test_release_of_nothing_is_refused() -> None:
    desk = Desk(all=ANYBODY)
    worker = desk.worker()
    for channel in (VOICE, CHAT):
        with pytest.raises(ValueError, match="holds nothing on channel"):
            desk.router.release(worker, channel, 50)


def test_an_order_belongs_to_one_worker() -> None:
    router = Router()
    worker = router.add_worker({}, READY, True, 7)
    with pytest.raises(ValueError, match="order 7 is taken"):
        router.add_worker({}, READY, True, 7)
    router.remove_worker(worker)

    assert router.add_worker({}, READY, True, 7)


def test_a_thousand_channels_are_the_limit() -> None:
    router = Router()
    worker = router.add_worker({}, READY, True, 1)
    for channel in range(1_000):
        router.set_channel(worker, channel, 1, 0)
    with pytest.raises(ValueError, match="more than 1000 channels"):
        router.set_channel(worker, 1_000, 1, 0)

    router.check()


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ((("==",),), "instruction 0 lacks operands"),
        ((("const", 1), ("and",)), "instruction 1 lacks operands"),
        ((("const", 1), ("const", 2)), "leaves 2 values instead of one"),
        ((("jump",),), "instruction 0 is not known"),
        ((("const",),), "instruction 0 is not known"),
        ((("const", [1]),), "instruction 0 is not known"),
        ((("const", ((1,),)),), "instruction 0 is not known"),
        ((("path", "task", ("a",)),), "instruction 0 is not known"),
        ((("path", "worker", ("a", 1.5)),), "instruction 0 is not known"),
        ((("path", "worker", ["a"]),), "instruction 0 is not known"),
        (("const",), "instruction 0 is no tuple"),
        (((),), "instruction 0 is no tuple"),
    ],
)
def test_a_malformed_program_is_refused_and_changes_nothing(
    program: tuple[Any, ...], text: str
) -> None:
    desk = Desk(all=ANYBODY)
    before = desk.router.dump()
    with pytest.raises(ValueError, match=text):
        desk.router.set_queue(1, program)

    assert before == desk.router.dump()
    desk.router.check()


@pytest.mark.parametrize(
    "manner", [{"fan_out": -1}, {"fan_out": 51}, {"order": 4}, {"order": -1}]
)
def test_a_manner_that_is_not_known_is_refused(manner: dict[str, int]) -> None:
    desk = Desk(all=ANYBODY)
    before = desk.router.dump()
    with pytest.raises(ValueError, match="is not"):
        desk.router.set_queue(1, ANYBODY, **manner)

    assert before == desk.router.dump()


@pytest.mark.parametrize(
    "order_by",
    [
        (("path", "worker", ("a",)),),
        ((("path", "task", ("a",)), True),),
        ((("live", 1, "capacity"), True),),
        ((("live", -1, "assigned_tasks"), True),),
        ((("const", 1), True),),
        (((), True),),
    ],
)
def test_an_order_by_that_is_not_understood_is_refused(order_by: Any) -> None:
    router = Router()
    with pytest.raises(ValueError, match="order_by is not understood"):
        router.open_spec((), order_by)

    router.check()


def test_a_spec_that_reads_attributes_wants_them() -> None:
    desk = Desk(all=ANYBODY)
    spec = desk.router.open_spec(wants("language"))
    with pytest.raises(ValueError, match="the task has none"):
        desk.task("all", spec=spec)

    desk.router.check()


# What programs mean

VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, -0.0, -1, 0.5, 1.5, -0.5,
    2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 2**63, float(2**63),
    2**64 + 1, -(2**70), 10**400, -(10**400), 1e308, float("inf"), float("-inf"),
    "", "a", "ab", "b", "A", "é", "\uffff", "\U0001f600", "a\0b", "1",
    [], [1], ["a", 1, True], [None, 0.5], [["a"], {"a": 1}], ["a", "a"],
    {}, {"a": 1},
]  # fmt: skip
PATHS = (("path", "worker", ("left",)), ("path", "worker", ("right",)))


@pytest.mark.parametrize("operator", BINARY)
def test_binary_operators_agree_with_the_oracle_on_all_pairs(operator: str) -> None:
    router = Router()
    program = (*PATHS, (operator,))
    router.set_queue(1, program)
    worker = router.add_worker({}, READY, True, 1)
    for left, right in itertools.product(VALUES, VALUES):
        attributes = {"left": left, "right": right}
        router.set_attributes(worker, attributes)
        expected = satisfies(program, attributes)
        assert expected == router.eligible(1, worker), f"{left!r} {operator} {right!r}"

    router.check()


@pytest.mark.parametrize("operator", UNARY)
def test_unary_operators_agree_with_the_oracle(operator: str) -> None:
    router = Router()
    program = (PATHS[0], (operator,))
    router.set_queue(1, program)
    worker = router.add_worker({}, READY, True, 1)
    for value in VALUES:
        router.set_attributes(worker, {"left": value})
        expected = satisfies(program, {"left": value})
        assert expected == router.eligible(1, worker), f"{operator} {value!r}"


def test_constants_compare_like_attributes() -> None:
    router = Router()
    worker = router.add_worker({}, READY, True, 1)
    for value in VALUES:
        constant = tuple(value) if isinstance(value, list) else value
        if isinstance(value, dict) or value == [["a"], {"a": 1}]:
            continue
        program = (PATHS[0], ("const", constant), ("==",))
        router.set_queue(1, program)
        for left in VALUES:
            router.set_attributes(worker, {"left": left})
            expected = satisfies(program, {"left": left})
            assert expected == router.eligible(1, worker), f"{left!r} == {value!r}"

    router.check()


def test_not_a_number_equals_nothing() -> None:
    router = Router()
    nan = float("nan")
    worker = router.add_worker({"left": nan, "right": nan}, READY, True, 1)
    for operator in ("==", "<", "<=", ">", ">="):
        router.set_queue(1, (*PATHS, (operator,)))
        assert not router.eligible(1, worker)


@pytest.mark.parametrize(
    ("segments", "found"),
    [
        (("a",), {"b": [10, {"c": 3}]}),
        (("a", "b", 0), 10),
        (("a", "b", 1, "c"), 3),
        (("a", "b", 2), None),
        (("a", "b", -1), None),
        (("a", "b", "0"), None),
        (("a", 0), None),
        (("z", "b"), None),
        (("a", "b", 0, "c"), None),
    ],
)
def test_paths_lead_through_objects_and_arrays(
    segments: tuple[str | int, ...], found: Any
) -> None:
    router = Router()
    worker = router.add_worker({"a": {"b": [10, {"c": 3}]}}, READY, True, 1)
    router.set_queue(1, (("path", "worker", segments), ("is_null",)))
    router.set_queue(
        2,
        (("path", "worker", segments), ("const", found), ("==",))
        if not isinstance(found, dict)
        else ANYBODY,
    )

    assert (found is None) == router.eligible(1, worker)
    assert router.eligible(2, worker)


# The build


def test_debug_says_how_the_matcher_was_built() -> None:
    assert isinstance(_routing.DEBUG, bool)
