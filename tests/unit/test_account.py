"""The promises of an account's one writer, kept while its store fails in every way."""

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Reason,
    Unavailable,
)
from flexcore.domain.limits import MILLISECOND, SECOND
from flexcore.domain.model import Reservation, Row, Task, Workspace
from flexcore.domain.states import ReservationStatus, TaskStatus
from flexcore.engine import commands as c
from flexcore.engine.decision import Decision
from flexcore.engine.port import TailBatch
from flexcore.store.interface import Commit
from flexcore.store.sqlite import SqliteStore
from tests.engines import Running
from tests.factories import make_sid
from tests.faulty import Fault, FaultyStore
from tests.staff import (
    account_of,
    add_task,
    attempted,
    error_of,
    event_types,
    hire,
    interact,
    log_of,
    offer,
    offers_of,
    outbound,
    settle,
    state_of,
    until,
)

TIMEOUT = limits.RESERVATION_TIMEOUT_SECONDS_DEFAULT * SECOND


@pytest.fixture
def store(tmp_path: Path) -> FaultyStore:
    return FaultyStore(SqliteStore(tmp_path / "data"))


@pytest.fixture
async def running(
    tmp_path: Path, clock: VirtualClock, store: FaultyStore
) -> AsyncIterator[Running]:
    running = await Running(tmp_path / "data", clock, store).start()
    yield running
    await running.close()


def submit(running: Running, command: c.Command) -> "asyncio.Task[c.Answer]":
    return asyncio.create_task(running.submit(command))


def watch(running: Running) -> "asyncio.Task[TailBatch]":
    """Wait for the next thing a stream is shown, heartbeats left out."""
    head = account_of(running).tail.head

    async def shown() -> TailBatch:
        async for batch in running.engine.tail(running.principal, head):
            if batch.change_sets:
                return batch
        raise AssertionError("the tail was closed")

    return asyncio.create_task(shown())


def poisoned(commit: Commit) -> bool:
    """Say whether a commit holds a task that cannot be written."""
    rows = commit.change_set.resources if commit.change_set else ()
    return any(isinstance(row, Task) and "poison" in row.attributes for row in rows)


# --- nothing is shown before it is durable ---------------------------------------------


async def test_nothing_is_released_before_what_it_rests_on_is_durable(
    running: Running, store: FaultyStore
) -> None:
    worker = await hire(running)
    stream = watch(running)

    with store.held() as held:
        success = submit(running, c.CreateTask())
        read = submit(running, c.Get(sid=worker.sid))
        snapshot = submit(running, c.Snapshot(sid=worker.sid))
        refusal = submit(running, c.Get(sid=make_sid("WT")))
        shown = (success, read, snapshot, refusal, stream)
        await held.arrived()
        await settle()

        assert offers_of(running, worker), "it is decided already"
        assert not any(future.done() for future in shown)

    task = (await success).rows[0]
    assert task in (await snapshot).rows
    assert (await read).rows[0].sid == worker.sid
    assert isinstance(await error_of(refusal), NotFound)
    assert (await stream).change_sets[0].rows()[task.sid] == task


async def test_reads_are_answered_at_once_when_nothing_is_undurable(
    running: Running, store: FaultyStore
) -> None:
    worker = await hire(running)
    batches = len(store.batches)

    answer = await running.submit(c.Get(sid=worker.sid))

    assert answer.rows == (worker,)
    assert len(store.batches) == batches


async def test_everything_decided_during_a_commit_goes_into_the_next_one(
    running: Running, store: FaultyStore
) -> None:
    before = len(store.batches)
    with store.held() as held:
        tasks = [submit(running, c.CreateTask())]
        await held.arrived()
        tasks += [submit(running, c.CreateTask()) for _ in range(100)]
        await until(lambda: len(list(state_of(running).of_kind(Task))) == 101)

    await asyncio.gather(*tasks)

    assert [len(batch) for batch in store.batches[before:]] == [1, 100]


async def test_a_canceled_caller_changes_nothing_for_the_others(
    running: Running, store: FaultyStore
) -> None:
    with store.held() as held:
        tasks = [submit(running, c.CreateTask(priority=n)) for n in range(100)]
        await held.arrived()
        tasks[50].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(answers.pop(50), asyncio.CancelledError)
    assert sorted(a.rows[0].priority for a in answers) == [
        n for n in range(100) if n != 50
    ]
    durable = running.store.list(running.principal.account_sid, Task, {}, None, 1000)
    assert sorted(row.priority for row in durable) == list(range(100)), "it is whole"


# --- a statement is refused ------------------------------------------------------------


async def test_accept_that_cannot_be_written_is_told_to_nobody(
    running: Running, store: FaultyStore
) -> None:
    reservation = await offer(running)
    head = len(log_of(running))
    store.refuses = lambda commit: any(
        event.type == "reservation.accepted" for event in commit.change_set.events
    )
    stream = watch(running)

    error = await error_of(submit(running, c.AcceptReservation(sid=reservation.sid)))

    assert isinstance(error, Internal)
    assert re.fullmatch(r"internal error [0-9a-f]{12}", error.text)
    assert error.text.endswith(error.metadata["error_id"])
    await settle()
    assert not stream.done()
    stream.cancel()
    assert len(log_of(running)) == head
    found = (await running.submit(c.Get(sid=reservation.sid))).rows[0]
    assert found == reservation


async def test_a_refused_account_does_not_touch_the_others(
    running: Running, store: FaultyStore
) -> None:
    other = await second_account(running)
    store.refuses = poisoned
    with store.held() as held:
        first = submit(running, c.CreateTask())
        await held.arrived()
        mine = [submit(running, c.CreateTask(priority=n)) for n in range(3)]
        bad = submit(running, c.CreateTask(attributes='{"poison":1}'))
        mine += [submit(running, c.CreateTask(priority=n)) for n in range(3, 6)]
        read = submit(running, c.Get(sid=make_sid("WT")))
        theirs = asyncio.create_task(running.engine.submit(other, c.CreateTask()))
        await settle()
        before = len(store.batches)

    await first
    assert (await theirs).rows
    assert [answer.rows[0].priority for answer in await asyncio.gather(*mine)] == [
        *range(6)
    ]
    assert isinstance(await error_of(bad), Internal)
    assert isinstance(await error_of(read), NotFound)
    again = [
        [commit.account_sid for commit in batch]
        for batch in store.batches[before + 2 :]
    ]
    assert again == [[running.principal.account_sid]] * 7, "one command per commit"
    sequences = [(await future).sequence for future in (first, *mine)]
    assert sequences == sorted(sequences), "in the order they came"


async def second_account(running: Running) -> c.Principal:
    create = c.CreateAccount(friendly_name="other")
    row = (await running.submit(create)).rows[0]
    return c.Principal(row.sid, "test")


async def test_an_account_that_cannot_be_rebuilt_stops_and_others_go_on(
    running: Running, store: FaultyStore
) -> None:
    other = await second_account(running)
    store.refuses = poisoned
    store.recover_error = OSError("database disk image is malformed")
    with store.held() as held:
        first = submit(running, c.CreateTask())
        await held.arrived()
        bad = submit(running, c.CreateTask(attributes='{"poison":1}'))
        good = submit(running, c.CreateTask())
        await settle()
    await first

    for task in (bad, good, submit(running, c.CreateTask())):
        assert isinstance(await error_of(task), Unavailable)
    assert (await running.engine.submit(other, c.CreateTask())).rows


async def test_a_timer_that_cannot_be_written_does_not_spin(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    reservation = await offer(running)
    store.refuses = lambda commit: (
        "reservation.timeout" in event_types([commit.change_set])
    )
    before = len(store.batches)
    clock.advance(TIMEOUT)
    await until(lambda: len(store.batches) == before + 1)
    await attempted(running)

    assert len(store.batches) == before + 1

    store.refuses = lambda _: False
    clock.advance(limits.FAILURE_WAIT)
    await until(lambda: state_of(running).rows[reservation.sid].version > 1)


# --- the disk takes nothing ------------------------------------------------------------


async def test_a_full_disk_gets_the_same_batch_again_with_backoff(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    before = len(store.batches)
    store.faults += [Fault.RETRY] * 4
    task = submit(running, c.CreateTask())
    wait = limits.COMMIT_RETRY_FIRST
    for attempt in range(1, 5):
        await until(lambda n=before + attempt: len(store.batches) == n)
        await attempted(running)
        clock.advance(wait - 1)
        await settle()

        assert len(store.batches) == before + attempt
        assert not task.done()

        clock.advance(1)
        wait *= 2

    assert (await task).rows
    tried = [[id(commit) for commit in batch] for batch in store.batches[before:]]
    assert tried == [tried[0]] * 5


async def test_deadlines_stand_still_while_the_disk_is_full(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    offers = [await offer(running)]
    bob = await hire(running, "bob")
    await add_task(running)
    offers += offers_of(running, bob)
    before = len(store.batches)
    stream = watch(running)
    store.faults += [Fault.RETRY]
    task = submit(running, c.CreateTask(priority=5))
    await until(lambda: len(store.batches) == before + 1)
    await attempted(running)

    clock.advance(2 * TIMEOUT)
    await task

    batch = await stream
    assert "task.created" in event_types([batch.change_sets[0]])
    await until(lambda: account_of(running).idle)
    shift = log_of(running)[-1]
    assert event_types([shift]) == ["reservation.extended"] * 2
    for row in offers:
        found = (await running.submit(c.Get(sid=row.sid))).rows[0]
        assert found.status == ReservationStatus.PENDING
        assert found.deadline == row.deadline + 2 * TIMEOUT

    clock.advance(offers[0].deadline + 2 * TIMEOUT - clock.now() - 1)
    await settle()
    assert state_of(running).rows[offers[0].sid].status == ReservationStatus.PENDING
    clock.advance(1)
    await until(lambda: "reservation.timeout" in event_types(log_of(running)))


async def test_time_that_was_given_back_is_not_lost_with_the_next_commit(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    reservation = await offer(running)
    before = len(store.batches)
    store.faults += [Fault.RETRY, None, Fault.LOST]
    task = submit(running, c.CreateTask())
    await until(lambda: len(store.batches) == before + 1)
    await attempted(running)
    clock.advance(2 * TIMEOUT)
    await task
    await until(lambda: not store.faults)
    await attempted(running)
    clock.advance(limits.COMMIT_RETRY_FIRST)
    await until(lambda: account_of(running).idle)

    found = (await running.submit(c.Get(sid=reservation.sid))).rows[0]

    assert found.status == ReservationStatus.PENDING
    gaps = 2 * TIMEOUT + limits.COMMIT_RETRY_FIRST
    assert found.deadline == reservation.deadline + gaps


async def test_new_work_is_unavailable_while_the_disk_is_full(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    other = await second_account(running)
    before = len(store.batches)
    store.faults += [Fault.RETRY] * 100
    task = submit(running, c.CreateTask())
    await until(lambda: len(store.batches) == before + 1)
    await attempted(running)

    waiting = asyncio.create_task(running.engine.submit(other, c.CreateTask()))
    await settle()
    assert not waiting.done(), "a moment is waited out"

    clock.advance(limits.UNDURABLE_TIME + 1)
    await settle()
    for who in (running.principal, other):
        call = running.engine.submit(who, c.CreateTask(priority=9))
        error = await error_of(asyncio.ensure_future(call))
        assert isinstance(error, Unavailable)
        assert error.reason is Reason.WRITER_BEHIND
        assert error.retry_after == SECOND

    store.faults.clear()
    clock.advance(limits.COMMIT_RETRY_MAX)
    await asyncio.gather(task, waiting)
    assert "priority=9" not in str(list(state_of(running).of_kind(Task)))


# --- nobody knows the outcome ----------------------------------------------------------


async def test_unknown_outcome_that_was_written_is_answered_and_shown_once(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    head = len(log_of(running))
    stream = watch(running)
    store.faults += [Fault.WRITTEN]
    task = submit(running, c.CreateTask(request_id="once"))
    await until(lambda: not store.faults)
    await attempted(running)
    assert not task.done()
    clock.advance(limits.COMMIT_RETRY_FIRST)

    answer = await task

    assert len(log_of(running)) == head + 1
    assert [change_set.last_sequence for change_set in (await stream).change_sets] == [
        answer.sequence
    ]
    assert len(list(state_of(running).of_kind(Task))) == 1


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.BUG])
async def test_unknown_outcome_that_was_not_written_is_decided_again(
    running: Running, store: FaultyStore, clock: VirtualClock, fault: Fault
) -> None:
    reservation = await offer(running)
    head = len(log_of(running))
    store.faults += [fault]
    accept = submit(running, c.AcceptReservation(sid=reservation.sid))
    await until(lambda: not store.faults)
    await attempted(running)
    clock.advance(limits.COMMIT_RETRY_FIRST)

    answer = await accept

    assert answer.rows[0].status == ReservationStatus.ACCEPTED
    types = event_types(log_of(running)[head:])
    assert types.count("reservation.accepted") == 1


async def test_unknown_outcome_is_asked_for_until_the_store_answers(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    store.faults += [Fault.WRITTEN]
    store.bounds_errors += [OSError("disk I/O error")] * 3
    task = submit(running, c.CreateTask())
    await until(lambda: not store.faults)
    await attempted(running)
    for _ in range(4):
        await settle()
        assert not task.done()
        clock.advance(limits.COMMIT_RETRY_MAX)

    assert (await task).rows


async def test_outbox_entries_come_back_after_a_lost_commit(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    entry = await outbound(running)
    running.outbox.clear()
    store.faults += [Fault.LOST]
    attempt = submit(running, c.AttemptSend(sid=entry.sid))
    await until(lambda: not store.faults)
    await attempted(running)
    clock.advance(limits.COMMIT_RETRY_FIRST)
    await attempt

    assert [(row.sid, row.state) for row in running.outbox] == [
        (entry.sid, "ready"),
        (entry.sid, "attempting"),
    ]


# --- more than the disk takes ----------------------------------------------------------


async def test_undurable_commands_are_bounded_and_the_rest_is_unavailable(
    running: Running, store: FaultyStore
) -> None:
    read = c.Snapshot(sid=(await hire(running)).sid)
    with store.held() as held:
        first = submit(running, c.CreateTask())
        await held.arrived()
        reads = [submit(running, read) for _ in range(limits.UNDURABLE_COMMANDS - 1)]
        await until(lambda: account_of(running)._held.full)
        head = state_of(running).sequence

        error = await error_of(submit(running, c.CreateTask()))

        assert isinstance(error, Unavailable)
        assert error.retry_after == SECOND
        assert state_of(running).sequence == head
    await asyncio.gather(first, *reads)
    assert (await running.submit(c.CreateTask())).rows


@pytest.mark.parametrize("limit", ["UNDURABLE_COMMANDS", "UNDURABLE_UNASKED"])
async def test_calls_wait_while_very_many_deadlines_are_decided(
    running: Running,
    store: FaultyStore,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    due = [await add_task(running, timeout_seconds=10) for _ in range(25)]
    monkeypatch.setattr(limits, limit, 10)
    pass_unnoticed(clock, 11 * SECOND)
    head = len(log_of(running))
    with store.held() as held:
        calls = [submit(running, c.Get(sid=due[-1].sid))]
        await held.arrived()
        await until(account_of(running)._blocked)
        calls += [submit(running, c.CreateTask()) for _ in range(20)]
        await settle()

        assert not any(call.done() for call in calls)
        tasks = list(state_of(running).of_kind(Task))
        assert [task.status for task in tasks].count(TaskStatus.CANCELED) == 10
    found, *_ = await asyncio.gather(*calls)

    assert found.rows[0].status == TaskStatus.CANCELED
    told = event_types(log_of(running)[head:])
    assert told[:25] == ["task.canceled"] * 25
    assert told.count("task.created") == 20


async def test_a_deadline_is_decided_while_very_many_calls_are_undurable(
    running: Running,
    store: FaultyStore,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "UNDURABLE_UNASKED", 5)
    task = await add_task(running, timeout_seconds=10)
    with store.held() as held:
        calls = [submit(running, c.CreateTask(priority=n)) for n in range(20)]
        await held.arrived()
        pass_unnoticed(clock, 10 * SECOND)
        account_of(running)._schedule()
        await settle()

        found = state_of(running).find(task.sid, Task)
        assert found is not None
        assert found.status == TaskStatus.CANCELED
    await asyncio.gather(*calls)


async def test_undurable_bytes_are_bounded(
    running: Running, store: FaultyStore
) -> None:
    large = c.CreateTask(attributes='{"text":"%s"}' % ("x" * 60_000))
    with store.held() as held:
        tasks = [submit(running, large)]
        await held.arrived()
        tasks += [submit(running, large) for _ in range(300)]
        await until(lambda: account_of(running)._held.full)

        assert isinstance(await error_of(submit(running, large)), Unavailable)
        decided = len(list(state_of(running).of_kind(Task)))
        assert decided <= limits.UNDURABLE_BYTES // 60_000 + 1
    await asyncio.gather(*tasks)


async def test_what_is_undurable_for_a_second_makes_new_work_unavailable(
    running: Running, store: FaultyStore, clock: VirtualClock
) -> None:
    with store.held() as held:
        first = submit(running, c.CreateTask())
        await held.arrived()
        clock.advance(limits.UNDURABLE_TIME)
        second = submit(running, c.CreateTask())
        await settle()
        assert not second.done(), "a second is allowed"
        clock.advance(1)

        assert isinstance(await error_of(submit(running, c.CreateTask())), Unavailable)
    await asyncio.gather(first, second)


# --- the same request again ------------------------------------------------------------


async def test_a_repeat_before_durability_joins_the_answer(
    running: Running, store: FaultyStore
) -> None:
    create = c.CreateTask(request_id="r-1")
    with store.held() as held:
        first = submit(running, create)
        await held.arrived()
        second = submit(running, create)
        await settle()
        assert not second.done()

    answer, repeat = await first, await second

    assert repeat == msgspec.structs.replace(answer, repeated=True)
    assert len(list(state_of(running).of_kind(Task))) == 1


async def test_a_repeat_gets_the_answer_as_it_was(running: Running) -> None:
    create = c.CreateTask(request_id="r-1")
    answer = await running.submit(create)
    await running.submit(c.UpdateTask(sid=answer.rows[0].sid, priority=7))

    repeat = await running.submit(create)

    assert repeat == msgspec.structs.replace(answer, repeated=True)


async def test_a_repeat_gets_rows_that_its_command_did_not_touch(
    running: Running,
) -> None:
    interaction = await interact(running)
    close = c.CloseInteractionChannel(
        interaction_sid=interaction.sid, complete=True, request_id="r-1"
    )
    answer = await running.submit(close)
    assert interaction in answer.rows

    assert (await running.submit(close)).rows == answer.rows


async def test_another_request_under_the_same_id_is_invalid(running: Running) -> None:
    await running.submit(c.CreateTask(request_id="r-1"))

    error = await error_of(submit(running, c.CreateTask(request_id="r-1", priority=1)))

    assert isinstance(error, InvalidArgument)
    assert error.reason is Reason.REQUEST_ID_REUSED
    assert len(list(state_of(running).of_kind(Task))) == 1


async def test_a_request_id_belongs_to_one_caller_and_method(running: Running) -> None:
    task = (await running.submit(c.CreateTask(request_id="r-1"))).rows[0]
    somebody = c.Principal(running.principal.account_sid, "somebody else")

    theirs = await running.engine.submit(somebody, c.CreateTask(request_id="r-1"))
    update = c.UpdateTask(sid=task.sid, priority=1, request_id="r-1")
    updated = await running.submit(update)

    assert theirs.rows[0].sid != task.sid
    assert updated.rows[0].priority == 1


async def test_only_successes_are_kept(running: Running) -> None:
    reservation = await offer(running)
    complete = c.CompleteTask(sid=reservation.task_sid, request_id="r-1")
    assert isinstance(await error_of(submit(running, complete)), FailedPrecondition)
    await running.submit(c.AcceptReservation(sid=reservation.sid))

    answer = await running.submit(complete)

    assert answer.rows[0].status == TaskStatus.COMPLETED
    assert not answer.repeated


# --- the mailbox -----------------------------------------------------------------------


async def test_commands_are_decided_in_order_however_fetches_arrive(
    running: Running, store: FaultyStore
) -> None:
    store.delays_fetches = True
    order = [f"r-{n}" for n in range(3)]
    tasks = [
        submit(running, c.CreateTask(priority=n, request_id=request_id))
        for n, request_id in enumerate(order)
    ]
    last = submit(running, c.CreateTask(priority=3))
    await settle()
    keys = store.delayed
    assert len(keys) == 3, "missing keys are fetched at once"

    for key in reversed(keys[1:]):
        store.deliver(key)
        await settle()
        assert not list(state_of(running).of_kind(Task)), "the head waits for its keys"
    store.deliver(keys[0])

    answers = [await task for task in (*tasks, last)]
    sequences = [answer.sequence for answer in answers]
    assert sequences == sorted(sequences)
    assert [answer.rows[0].priority for answer in answers] == [0, 1, 2, 3]


async def test_one_fetch_per_key_goes_at_a_time(
    running: Running, store: FaultyStore
) -> None:
    store.delays_fetches = True
    store.fetched.clear()
    create = c.CreateTask(request_id="r-1")
    tasks = [submit(running, create) for _ in range(3)]
    await settle()

    assert len(store.fetched) == 1

    store.deliver()
    answers = [await task for task in tasks]
    assert [answer.repeated for answer in answers] == [False, True, True]


async def test_a_fetch_that_fails_is_its_own_commands_error(
    running: Running, store: FaultyStore
) -> None:
    store.fetch_error = OSError("disk I/O error")
    failed = await error_of(submit(running, c.CreateTask(request_id="r-1")))
    fine = await running.submit(c.CreateTask())
    store.fetch_error = None
    again = await running.submit(c.CreateTask(request_id="r-1"))

    assert isinstance(failed, Internal)
    assert fine.rows[0].sid != again.rows[0].sid


async def test_a_fetch_that_fails_in_the_queue_does_not_stop_the_queue(
    running: Running, store: FaultyStore
) -> None:
    """The second look-up of a command, for what the first one led to, fails."""
    reservation = await offer(running)
    await running.submit(c.AcceptReservation(sid=reservation.sid))
    await running.submit(c.CompleteTask(sid=reservation.task_sid))
    state_of(running).shrink(1 << 62, entries=0)
    assert reservation.sid not in state_of(running).rows
    store.delays_fetches = True
    head = submit(running, c.CreateTask(request_id="r-1"))
    late = submit(running, c.Get(sid=reservation.sid))
    await settle()
    state_of(running).shrink(1 << 62, entries=0)
    store.deliver()
    state_of(running).shrink(1 << 62, entries=0)
    store.delays_fetches = False
    store.fetch_error = OSError("disk I/O error")
    after = submit(running, c.CreateTask())

    errors = [await error_of(head), await error_of(late)]
    assert [type(error) for error in errors] == [Internal, Internal]
    assert (await after).rows


async def test_reading_alone_does_not_fill_the_memory(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_ENTRIES", 3)
    for _ in range(20):
        await error_of(submit(running, c.Get(sid=make_sid("WT"))))

    assert len(state_of(running)._lookups) <= 3


async def test_a_turn_lets_others_run_after_so_many_commands(running: Running) -> None:
    tasks = [submit(running, c.CreateTask()) for _ in range(200)]
    seen: list[int] = []
    while not seen or seen[-1] < 200:
        await asyncio.sleep(0)
        seen.append(len(list(state_of(running).of_kind(Task))))

    steps = [after - before for before, after in pairwise(seen)]
    assert max(steps) <= limits.TURN_COMMANDS
    await asyncio.gather(*tasks)


async def test_the_mailbox_is_bounded(running: Running, store: FaultyStore) -> None:
    store.delays_fetches = True
    head = submit(running, c.CreateTask(request_id="r-1"))
    await settle()
    account = account_of(running)
    read = c.Get(sid=make_sid("WT"))
    state_of(running).deliver(read.sid, None)
    waiting = [
        account.submit(running.principal, read)
        for _ in range(limits.MAILBOX_COMMANDS - 1)
    ]

    error = await error_of(account.submit(running.principal, read))

    assert isinstance(error, Unavailable)
    store.deliver()
    await head
    assert isinstance(await error_of(waiting[-1]), NotFound)
    for future in waiting:
        future.exception()


# --- time ------------------------------------------------------------------------------


def pass_unnoticed(clock: VirtualClock, microseconds: int) -> None:
    """Let time pass while the loop is busy: no timer has rung when it goes on."""
    clock.raise_floor(clock.now() + microseconds)


async def test_accept_after_the_deadline_is_failed_precondition(
    running: Running, clock: VirtualClock
) -> None:
    reservation = await offer(running)
    pass_unnoticed(clock, TIMEOUT + 800 * MILLISECOND)

    error = await error_of(submit(running, c.AcceptReservation(sid=reservation.sid)))

    assert isinstance(error, FailedPrecondition)
    assert error.text == (
        f"reservation {reservation.sid} timed out 0.8 s before this call;"
        " its task is back in queue everyone"
    )
    assert error.reason is Reason.RESERVATION_EXPIRED


async def test_accept_at_the_deadline_loses_and_just_before_it_wins(
    running: Running, clock: VirtualClock
) -> None:
    reservation = await offer(running)
    bob = await hire(running, "bob")
    await add_task(running)
    (second,) = offers_of(running, bob)
    pass_unnoticed(clock, TIMEOUT - 1)
    answer = await running.submit(c.AcceptReservation(sid=reservation.sid))
    pass_unnoticed(clock, 1)

    error = await error_of(submit(running, c.AcceptReservation(sid=second.sid)))

    assert answer.rows[0].status == ReservationStatus.ACCEPTED
    assert isinstance(error, FailedPrecondition)


async def test_everything_due_is_decided_before_a_command_in_order(
    running: Running, clock: VirtualClock
) -> None:
    tasks = [await add_task(running, timeout_seconds=n) for n in (30, 10, 20)]
    pass_unnoticed(clock, 25 * SECOND)

    await running.submit(c.CreateTask(priority=1))

    *_, first, second, last = log_of(running)
    assert [first.events[0].sid, second.events[0].sid] == [tasks[1].sid, tasks[2].sid]
    assert event_types([first, second]) == ["task.canceled"] * 2
    assert event_types([last])[0] == "task.created"


async def test_a_deadline_that_cannot_be_decided_does_not_stop_the_rest(
    running: Running, clock: VirtualClock
) -> None:
    reservation = await offer(running)
    state_of(running).drop(reservation.worker_sid)  # a bug of ours
    pass_unnoticed(clock, TIMEOUT)

    answer = await running.submit(c.CreateTask())

    assert answer.rows
    assert state_of(running).rows[reservation.sid] == reservation, "whole or absent"


async def test_a_tick_that_fails_is_not_tried_again_at_once(
    running: Running, clock: VirtualClock
) -> None:
    ticks: list[c.Command] = []

    def broken(_: Decision, command: c.Tick) -> tuple[Row, ...]:
        ticks.append(command)
        raise RuntimeError("a bug of ours")

    decider = account_of(running).decider
    decider._handlers = {**decider._handlers, c.Tick: broken}
    decider.matching.desk(next(state_of(running).of_kind(Workspace)).sid)
    task = submit(running, c.CreateTask())
    await settle()

    assert len(ticks) == 1
    assert not task.done()

    clock.advance(limits.FAILURE_WAIT)
    await settle()
    assert len(ticks) == 2

    decider._handlers = {**decider._handlers, c.Tick: lambda *_: ()}
    clock.advance(limits.FAILURE_WAIT)
    assert (await task).rows


# --- the end ---------------------------------------------------------------------------


async def test_closing_makes_what_is_queued_durable(running: Running) -> None:
    tasks = [submit(running, c.CreateTask()) for _ in range(5)]
    await asyncio.sleep(0)
    await running.engine.close()

    assert len({answer.rows[0].sid for answer in await asyncio.gather(*tasks)}) == 5
    error = await error_of(submit(running, c.CreateTask()))
    assert isinstance(error, Unavailable)


async def test_closing_with_a_full_disk_tells_everybody_and_ends(
    running: Running, store: FaultyStore
) -> None:
    before = len(store.batches)
    store.faults += [Fault.RETRY] * 100
    decided = submit(running, c.CreateTask())
    await until(lambda: len(store.batches) == before + 1)
    await attempted(running)
    queued = submit(running, c.CreateTask())
    await settle()

    await running.engine.close()

    for task in (decided, queued):
        assert isinstance(await error_of(task), Unavailable)
    store.faults.clear()


async def test_calls_are_decided_while_the_matcher_is_told_of_many(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [await add_task(running) for _ in range(20)]
    monkeypatch.setattr(limits, "TOLD_AT_ONCE", 1)
    monkeypatch.setattr(limits, "TURN_COMMANDS", 1)
    account = account_of(running)
    change = c.UpdateWorkspace(
        sid=tasks[0].workspace_sid, policies={"priority_boost_seconds": 10}
    )
    failing = [c.CancelTask(sid="WT" + "0" * 32) for _ in range(5)]
    calls = [submit(running, each) for each in (change, *failing)]
    await until(lambda: account.decider.matching.behind)
    await until(lambda: not account._mailbox)

    assert account.decider.matching.behind
    await hire(running)
    await until(lambda: account.idle)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in results[1:]] == [NotFound] * 5
    (offered,) = state_of(running).of_kind(Reservation)
    assert offered.task_sid == tasks[0].sid
