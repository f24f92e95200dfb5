"""A process that ends at any moment, and what the next one on the same data knows."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import FlexcoreError, InvalidArgument, NotFound
from flexcore.domain.limits import HOUR, MILLISECOND, SECOND
from flexcore.domain.model import (
    Account,
    Conversation,
    Interaction,
    Key,
    Message,
    Reservation,
    Row,
    Task,
    Worker,
    Workspace,
)
from flexcore.domain.states import OPEN_TASK, OutboxState, TaskStatus
from flexcore.engine import commands as c
from flexcore.engine.checks import check_account
from flexcore.engine.directory import DIRECTORY_SID
from flexcore.engine.recovery import recovered
from flexcore.engine.routing.clocks import channel_of
from flexcore.engine.routing.matching import Matching
from flexcore.engine.timers import Deadlines, deadline_of
from flexcore.store.sqlite import SqliteStore
from tests.engines import Running
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


class Site:
    """A data folder, and the processes that run on it one after the other."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._time = VirtualClock().now()
        self._starts = 0
        self.running: Running | None = None

    async def start(self, later: int = 0) -> Running:
        """Start a process `later` than the last one ended."""
        self._starts += 1
        clock = VirtualClock(self._time + later)
        store = FaultyStore(SqliteStore(self._data))
        running = Running(self._data, clock, store, seed=self._starts)
        before, self.running = self.running, running
        await running.start()
        if before is not None:
            running.principal = before.principal
        await until(lambda: account_of(running).idle)
        return running

    async def kill(self) -> None:
        """End the process where it stands: what is not on disk is gone."""
        assert self.running is not None
        committer = self.running.engine._committer
        if committer._task is not None:
            committer._task.cancel()
            await asyncio.gather(committer._task, return_exceptions=True)
        committer._thread.shutdown()
        self.running.store.close()
        self._time = self.running.clock.now()

    async def restart(self, later: int = 0) -> Running:
        await self.kill()
        return await self.start(later)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path / "data")
    yield site
    if site.running is not None:
        await site.running.close()


async def pass_time(running: Running, microseconds: int) -> None:
    """Let time pass as it does: in steps, and what falls due is written."""
    until_ = running.clock.now() + microseconds
    while running.clock.now() < until_:
        step = min(500 * MILLISECOND, until_ - running.clock.now())
        running.clock.advance(step)
        await until(lambda: account_of(running).idle)


# --- what is there again ---------------------------------------------------------------


class Day:
    """A random day of an account: everything happens to what there is."""

    def __init__(self, running: Running, seed: int) -> None:
        self._running = running
        self._rng = random.Random(seed)
        self._count = 0

    async def act(self) -> None:
        """Do something; refusals are part of the day."""
        acts: list[Callable[[], c.Command]] = [
            self._create_task,
            self._create_task,
            self._answer,
            self._answer,
            self._end_task,
            self._end_task,
            self._move_worker,
            self._move_worker,
            self._receive,
            self._receive,
            self._send,
            self._report,
            self._close,
        ]
        with contextlib.suppress(FlexcoreError, IndexError):
            await self._running.submit(self._rng.choice(acts)())

    def _some(self, kind: type[Row], *statuses: str) -> Row:
        """Return a row, mostly one in these states; IndexError if there is none."""
        rows = list(state_of(self._running).of_kind(kind))
        if statuses and self._rng.random() < 0.9:
            rows = [row for row in rows if row.status in statuses]
        return self._rng.choice(rows)

    def _name(self) -> str:
        self._count += 1
        return f"{self._count}"

    def _create_task(self) -> c.Command:
        return c.CreateTask(
            priority=self._rng.randint(0, 3),
            timeout_seconds=self._rng.choice((0, 30, 300)),
            request_id=self._name(),
        )

    def _answer(self) -> c.Command:
        sid = self._some(Reservation, "pending").sid
        if self._rng.random() < 0.6:
            return c.AcceptReservation(sid=sid)
        return c.RejectReservation(sid=sid, activity="Unavailable")

    def _end_task(self) -> c.Command:
        kind = self._rng.choice((c.WrapTask, c.CompleteTask, c.CancelTask))
        return kind(sid=self._some(Task, "assigned", "wrapping").sid)

    def _move_worker(self) -> c.Command:
        return c.UpdateWorker(
            sid=self._some(Worker).sid,
            activity=self._rng.choice(("Available",) * 5 + ("Offline",)),
        )

    def _receive(self) -> c.Command:
        return c.ReceiveMessage(
            endpoint_id="e1",
            channel_message_sid=f"SM|{self._rng.randint(0, 500)}",
            address=f"+1555000{self._rng.randint(1000, 1010)}",
            proxy_address="+15550002222",
            body="hello",
        )

    def _send(self) -> c.Command:
        sid = self._some(Conversation).sid
        return c.SendMessage(conversation_sid=sid, author="system", body="hi")

    def _report(self) -> c.Command:
        entry = self._rng.choice(self._running.outbox)
        if entry.state == OutboxState.READY:
            return c.AttemptSend(sid=entry.sid)
        outcome = self._rng.choice(("sent", "retry", "unknown", "refused"))
        return c.ReportSend(sid=entry.sid, outcome=outcome, text="said the carrier")

    def _close(self) -> c.Command:
        return c.CloseInteractionChannel(
            interaction_sid=self._some(Interaction).sid,
            complete=self._rng.random() < 0.5,
        )


async def open_for_business(running: Running) -> None:
    await interact(running)
    for name in ("bob", "carol"):
        await hire(running, name)
    await outbound(running)
    configuration = c.CreateAddressConfiguration(
        address="+15550002222", auto_creation="interaction"
    )
    await running.submit(configuration)


#: what every random day must have seen, or it proves little
EVERYDAY = {
    "reservation.accepted",
    "reservation.rejected",
    "reservation.timeout",
    "task.wrapup",
    "task.completed",
    "task.canceled",
    "interaction.created",
    "invite.accepted",
    "channel.closed",
    "message.added",
    "receipt.updated",
}


@pytest.mark.parametrize("seed", range(5))
async def test_rebuilt_memory_equals_the_live_one(site: Site, seed: int) -> None:
    running = await site.start()
    await open_for_business(running)
    day = Day(running, seed)
    for n in range(60):
        await asyncio.gather(*(day.act() for _ in range(8)))
        await pass_time(running, 7 * SECOND if n % 10 else TIMEOUT)
    live = account_of(running)
    types = set(event_types(log_of(running)))
    assert types >= EVERYDAY

    rebuilt = recovered(live.sid, running.store.recover(live.sid))

    assert rebuilt.sequence == live.state.sequence
    assert {sid: live.state.rows[sid] for sid in rebuilt.rows} == rebuilt.rows
    open_ = [row.sid for row in live.state.of_kind(Task) if row.status in OPEN_TASK]
    assert set(open_) <= rebuilt.rows.keys()
    assert Matching.rebuilt(rebuilt).dump() == live.decider.matching.dump()
    deadlines = Deadlines()
    for row in rebuilt.rows.values():
        deadlines.follow(row)
    assert deadlines._due == live.decider.deadlines._due
    for sid in running.store.accounts():
        assert check_account(running.store, sid) == []


async def test_a_restart_changes_nothing_but_the_time_offers_have(site: Site) -> None:
    running = await site.start()
    await open_for_business(running)
    day = Day(running, 1)
    for _ in range(100):
        await day.act()
    before = {
        sid: row
        for sid, row in state_of(running).rows.items()
        if not isinstance(row, Reservation) or not deadline_of(row)
    }
    dump = account_of(running).decider.matching.dump()

    running = await site.restart()

    rows = state_of(running).rows
    assert rows
    assert {sid: before.get(sid, row) for sid, row in rows.items()} == rows
    assert account_of(running).decider.matching.dump() == dump


async def test_what_was_not_written_is_wholly_absent(site: Site) -> None:
    running = await site.start()
    reservation = await offer(running)
    running.store.faults += [Fault.LOST] * 10
    accept = asyncio.create_task(
        running.submit(c.AcceptReservation(sid=reservation.sid, request_id="r-1"))
    )
    await until(lambda: len(running.store.faults) < 10)
    await attempted(running)
    assert not accept.done()

    running = await site.restart()
    accept.cancel()

    assert state_of(running).rows[reservation.sid].status == reservation.status
    assert "reservation.accepted" not in event_types(log_of(running))
    again = c.AcceptReservation(sid=reservation.sid, request_id="r-1")
    assert not (await running.submit(again)).repeated


async def test_a_task_of_which_something_is_left_goes_after_a_restart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REMOVED_AT_ONCE", 1)
    monkeypatch.setattr(limits, "BATCH_COMMANDS", 1)
    running = await site.start()
    worker = await hire(running)
    task = await add_task(running)
    for name in "bcd":
        (reservation,) = offers_of(running, worker)
        await running.submit(c.RejectReservation(sid=reservation.sid))
        worker = await hire(running, name)
    running.store.faults += [None] + [Fault.RETRY] * 10
    await running.submit(c.DeleteTask(sid=task.sid))
    await until(lambda: len(running.store.faults) < 10)

    running = await site.restart()

    deleted = [sid for each in log_of(running)[-3:] for sid in each.deleted]
    assert len(deleted) == 3 + 1
    assert deleted[-1] == task.sid
    assert state_of(running).where(Reservation, "task_sid", task.sid) == []
    with pytest.raises(NotFound):
        await running.submit(c.Get(sid=task.sid))


async def test_a_task_channel_goes_on_to_all_workers_after_a_restart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ROOMS_AT_ONCE", 2)
    monkeypatch.setattr(limits, "BATCH_COMMANDS", 1)
    running = await site.start()
    workers = [await hire(running, name) for name in "abcdef"]
    running.store.faults += [None] + [Fault.RETRY] * 10
    create = c.CreateTaskChannel(
        workspace_sid="", unique_name="video", friendly_name="video"
    )
    (channel,) = (await running.submit(create)).rows
    await until(lambda: len(running.store.faults) < 10)

    running = await site.restart()

    state = state_of(running)
    assert state.rows[channel.sid].spread_time == 0
    for worker in workers:
        assert channel_of(state, worker.sid, channel.sid) is not None
    running.store.faults += [None] + [Fault.RETRY] * 10
    await running.submit(c.DeleteTaskChannel(sid=channel.sid))
    await until(lambda: len(running.store.faults) < 10)

    running = await site.restart()

    state = state_of(running)
    assert channel.sid not in state.rows
    for worker in workers:
        assert channel_of(state, worker.sid, channel.sid) is None


async def test_a_repeat_after_a_restart_gets_the_same_answer(site: Site) -> None:
    running = await site.start()
    await hire(running)
    create = c.CreateTask(priority=1, request_id="r-1")
    answer = await running.submit(create)
    await running.submit(c.UpdateTask(sid=answer.rows[0].sid, priority=9))

    running = await site.restart()

    repeat = await running.submit(create)
    assert repeat == msgspec.structs.replace(answer, repeated=True)
    other = asyncio.ensure_future(
        running.submit(c.CreateTask(priority=2, request_id="r-1"))
    )
    assert isinstance(await error_of(other), InvalidArgument)


async def test_streams_go_on_where_they_were_before_the_restart(site: Site) -> None:
    running = await site.start()
    worker = await hire(running)
    position = account_of(running).tail.head
    await add_task(running)

    running = await site.restart()
    await running.submit(c.UpdateWorker(sid=worker.sid, activity="Offline"))
    await running.engine.end_streams()

    for subject in ("", worker.sid):
        stream = running.engine.tail(running.principal, position, (subject,))
        given = [c_ async for batch in stream for c_ in batch.change_sets]
        assert given[0].first_sequence == position + 1
        types = event_types(given)
        assert types.count("reservation.created") == 1
        assert types.count("worker.activity.update") == 1


async def test_outbox_entries_come_back_and_so_do_those_being_sent(
    site: Site,
) -> None:
    running = await site.start()
    first = await outbound(running)
    conversation = next(state_of(running).of_kind(Conversation))
    say = c.SendMessage(conversation_sid=conversation.sid, author="system", body="two")
    await running.submit(say)
    await running.submit(c.AttemptSend(sid=first.sid))

    running = await site.restart()

    assert [(row.body, row.state) for row in running.outbox] == [
        ("hello", OutboxState.ATTEMPTING),
        ("two", OutboxState.READY),
    ]
    await running.submit(c.ReportSend(sid=first.sid, outcome="unknown"))
    assert running.outbox[-1].state == OutboxState.UNKNOWN


async def test_messages_go_on_at_the_next_index(site: Site) -> None:
    running = await site.start()
    await outbound(running)
    conversation = next(state_of(running).of_kind(Conversation))
    say = c.SendMessage(conversation_sid=conversation.sid, author="system", body="two")
    for _ in range(3):
        running = await site.restart()
        await running.submit(say)

    where = {"conversation_sid": conversation.sid}
    sid = running.principal.account_sid
    messages = running.store.list(sid, Message, where, None, 10)
    assert [message.index for message in messages] == [0, 1, 2, 3]


# --- time ------------------------------------------------------------------------------


async def test_offers_get_back_the_time_nobody_could_answer(site: Site) -> None:
    running = await site.start()
    reservation = await offer(running)
    await pass_time(running, 30 * SECOND)

    running = await site.restart(later=HOUR)

    now = running.clock.now()
    remaining = state_of(running).rows[reservation.sid].deadline - now
    lost = limits.WATERMARK_INTERVAL
    assert TIMEOUT - 30 * SECOND <= remaining <= TIMEOUT - 30 * SECOND + lost
    assert event_types(log_of(running)[-1:]) == ["reservation.extended"]


async def test_many_restarts_take_no_more_than_a_second_each_from_an_offer(
    site: Site,
) -> None:
    running = await site.start()
    reservation = await offer(running)
    for _ in range(5):
        await pass_time(running, SECOND)
        running = await site.restart(later=HOUR)

    now = running.clock.now()
    remaining = state_of(running).rows[reservation.sid].deadline - now
    assert TIMEOUT - 5 * SECOND <= remaining <= TIMEOUT


async def test_more_offers_than_one_decision_holds_all_get_their_time_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHIFT_OFFERS", 2)
    running = await site.start()
    for name in "abcde":
        await hire(running, name)
        await add_task(running)
    before = {row.sid: row.deadline for row in state_of(running).of_kind(Reservation)}

    running = await site.restart(later=HOUR)

    after = {row.sid: row.deadline for row in state_of(running).of_kind(Reservation)}
    assert after == {sid: deadline + HOUR for sid, deadline in before.items()}
    assert event_types(log_of(running)[-3:]) == ["reservation.extended"] * 5


async def test_deadlines_due_while_down_are_decided_in_order_after_the_shift(
    site: Site,
) -> None:
    running = await site.start()
    reservation = await offer(running)
    tasks = [await add_task(running, timeout_seconds=n) for n in (30, 10, 20)]
    head = len(log_of(running))

    running = await site.restart(later=HOUR)

    shift, *ends = log_of(running)[head:]
    assert event_types([shift]) == ["reservation.extended"]
    assert event_types(ends) == ["task.canceled"] * 3
    assert [end.events[0].sid for end in ends] == [tasks[n].sid for n in (1, 2, 0)]
    accepted = await running.submit(c.AcceptReservation(sid=reservation.sid))
    assert accepted.rows[1].status == TaskStatus.ASSIGNED


async def test_whoever_was_connected_or_in_grace_has_a_whole_grace_period_from_a_restart(
    site: Site,
) -> None:
    running = await site.start()
    workers = [await hire(running, name) for name in ("ann", "bob", "eve")]
    sids = [worker.sid for worker in workers]
    connect = c.NotePresence(cause="connect", worker_sids=tuple(sids[:2]))
    await running.submit(connect)
    await running.submit(c.NotePresence(cause="silence", worker_sids=(sids[1],)))
    await pass_time(running, 50 * SECOND)

    running = await site.restart(later=HOUR)

    end = running.clock.now() + 60 * SECOND
    found = [state_of(running).need(sid, Worker) for sid in sids]
    assert [row.connectivity for row in found] == ["grace", "grace", "untracked"]
    assert [row.grace_time for row in found] == [end, end, 0]

    await running.submit(c.NotePresence(cause="connect", worker_sids=(sids[0],)))
    await pass_time(running, 60 * SECOND)
    found = [state_of(running).need(sid, Worker) for sid in sids]
    assert [row.connectivity for row in found] == ["connected", "lost", "untracked"]


async def test_more_workers_than_one_decision_holds_all_have_a_grace_period(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PRESENCE_AT_ONCE", 2)
    running = await site.start()
    sids = tuple([(await hire(running, name)).sid for name in "abcde"])
    await running.submit(c.NotePresence(cause="connect", worker_sids=sids))

    running = await site.restart()

    rows = state_of(running).of_kind(Worker)
    assert [row.connectivity for row in rows] == ["grace"] * 5
    assert len(log_of(running)[-1].events) == 1


async def test_the_clock_never_goes_below_what_the_store_has_seen(site: Site) -> None:
    running = await site.start()
    await pass_time(running, HOUR)
    task = await add_task(running)
    await site.kill()
    site._time -= 2 * HOUR

    running = await site.start()

    assert (await add_task(running)).create_time >= task.create_time


# --- the first start -------------------------------------------------------------------


async def usable(running: Running) -> None:
    """Check that there is one account with a workspace, and a key that opens it."""
    directory = running.engine.accounts()[DIRECTORY_SID].state
    (account,) = directory.of_kind(Account)
    (key,) = directory.of_kind(Key)
    principal = running.engine.authenticate(
        f"{key.sid}.{running.engine.key_secret(key)}"
    )
    assert principal == c.Principal(account.sid, key.sid, operator=True)
    (workspace,) = running.engine.accounts()[account.sid].state.of_kind(Workspace)
    assert workspace.friendly_name == "default"
    await running.engine.submit(principal, c.CreateTask())


async def test_a_second_start_creates_nothing(site: Site) -> None:
    running = await site.start()
    heads = [running.store.bounds(sid) for sid in running.store.accounts()]

    running = await site.restart()

    assert [running.store.bounds(sid) for sid in running.store.accounts()] == heads
    await usable(running)


@pytest.mark.parametrize("commits", range(3))
async def test_a_first_start_cut_short_is_finished_by_the_next(
    tmp_path: Path, commits: int
) -> None:
    """Account, workspace and key are a commit each."""
    clock = VirtualClock()
    store = FaultyStore(SqliteStore(tmp_path / "data"))
    running = Running(tmp_path / "data", clock, store)
    starting: Awaitable[Running] = asyncio.create_task(running.start())
    await until(lambda: len(store.batches) == commits)
    store.faults += [Fault.LOST] * 100
    await until(lambda: len(store.batches) == commits + 1)
    await settle()
    starting.cancel()
    running.engine._committer._task.cancel()
    running.engine._committer._thread.shutdown()
    store.close()

    running = await Running(tmp_path / "data", clock, seed=2).start()

    await usable(running)
    await running.close()


async def test_request_that_changed_nothing_is_answered_like_the_first_time(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    hire = c.CreateWorker(workspace_sid="", friendly_name="ann", activity="Offline")
    worker = (await running.submit(hire)).rows[0]
    leave = c.UpdateWorker(sid=worker.sid, activity="Offline", request_id="once")
    first = await running.submit(leave)
    come = c.UpdateWorker(sid=worker.sid, activity="Available")
    activity = (await running.submit(come)).rows[0].activity_sid
    repeats = [await running.submit(leave)]
    actor = running.principal
    await running.close()
    running = await Running(tmp_path / "data", clock).start()
    running.principal = actor
    repeats.append(await running.submit(leave))

    assert [answer.rows for answer in repeats] == [first.rows] * 2
    assert (await running.submit(c.Get(sid=worker.sid))).rows[
        0
    ].activity_sid == activity
    await running.close()
