"""What sessions say of workers, until it is written down."""

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Worker, Workspace
from flexcore.engine import commands as c
from flexcore.engine.routing.presence import batches
from flexcore.engine.state import State
from flexcore.engine.vouching import Voucher
from flexcore.store.sqlite import SqliteStore
from tests.effort import effort
from tests.engines import Running
from tests.factories import ACCOUNT, make_worker
from tests.faulty import Fault, FaultyStore
from tests.staff import (
    account_of,
    attempted,
    hire,
    log_of,
    settle,
    state_of,
    until,
)

EVENT = "worker.connectivity.update"


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    store = FaultyStore(SqliteStore(tmp_path / "data"))
    found = await Running(tmp_path / "data", clock, store).start()
    yield found
    await found.close()


async def sids_of(running: Running, *names: str) -> list[str]:
    return [(await hire(running, name)).sid for name in names]


def connectivities(running: Running) -> set[str]:
    return {row.connectivity.value for row in state_of(running).of_kind(Worker)}


def worker_of(running: Running) -> Worker:
    """Return ann, who came first."""
    return min(state_of(running).of_kind(Worker), key=lambda row: row.order)


def noted(running: Running) -> list[ChangeSet]:
    """Return the change sets about connectivity."""
    found = log_of(running)
    return [each for each in found if each.events[0].type == EVENT]


async def test_many_workers_are_written_down_a_few_at_a_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PRESENCE_AT_ONCE", 2)
    sids = await sids_of(running, *"abcde")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: connectivities(running) == {"connected"})
    voucher.close()
    await until(lambda: len(noted(running)) == 6)

    assert [len(each.events) for each in noted(running)] == [2, 2, 1] * 2
    assert {each.cause for each in noted(running)} == {"policy"}


async def test_a_note_that_is_not_taken_is_made_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    with monkeypatch.context() as full:
        full.setattr(limits, "MAILBOX_COMMANDS", 0)
        voucher.connect(sids)
    await until(lambda: running.engine._vouching[running.principal.account_sid]._retry)
    assert connectivities(running) == {"untracked"}

    running.clock.advance(limits.FAILURE_WAIT)
    await until(lambda: connectivities(running) == {"connected"})


async def test_a_note_that_somebody_left_is_made_again_too(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else says it: whoever left sends no heartbeat."""
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: account_of(running).idle and len(noted(running)) == 1)
    await settle()
    with monkeypatch.context() as full:
        full.setattr(limits, "MAILBOX_COMMANDS", 0)
        voucher.close()
    await until(lambda: running.engine._vouching[running.principal.account_sid]._retry)
    assert connectivities(running) == {"connected"}

    running.clock.advance(limits.FAILURE_WAIT)
    await until(lambda: connectivities(running) == {"grace"})


async def test_sessions_that_end_with_the_server_say_nothing(running: Running) -> None:
    """The start that follows begins the grace period of everybody."""
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: account_of(running).idle and len(noted(running)) == 1)
    await settle()
    running.engine._vouching[running.principal.account_sid].close()
    voucher.close()
    await settle()
    await until(lambda: account_of(running).idle)

    assert connectivities(running) == {"connected"}


async def test_who_sends_no_heartbeat_vouches_for_nobody_until_the_next(
    running: Running,
) -> None:
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    for _ in range(2):
        await until(lambda: connectivities(running) == {"connected"})
        running.clock.advance(limits.PRESENCE_SILENCE - 1)
        voucher.beat()
        running.clock.advance(limits.PRESENCE_SILENCE - 1)
        await settle()
        assert not voucher.silent
        running.clock.advance(1)
        assert voucher.silent
        await until(lambda: connectivities(running) == {"grace"})
        voucher.beat()


async def test_who_is_in_grace_has_a_whole_grace_period_once_the_disk_is_back(
    running: Running,
) -> None:
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: account_of(running).idle and len(noted(running)) == 1)
    await settle()
    voucher.close()
    await until(lambda: account_of(running).idle and len(noted(running)) == 2)
    grace = worker_of(running).grace_time - running.clock.now()
    running.store.faults.append(Fault.RETRY)
    hired = asyncio.create_task(hire(running, "bob"))
    await until(lambda: not running.store.faults)
    await attempted(running)
    running.clock.advance(2 * grace)
    await hired
    await until(lambda: len(noted(running)) == 3)

    assert worker_of(running).connectivity == "grace"
    assert worker_of(running).grace_time == running.clock.now() + grace


async def test_a_note_looks_at_as_many_as_it_tells_of(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart everybody comes back at once."""
    monkeypatch.setattr(limits, "PRESENCE_AT_ONCE", 2)
    account_sid = running.principal.account_sid
    efforts = []
    for count in (4, 60):
        workers = (
            c.CreateWorker(workspace_sid="", friendly_name=f"{count}.{n}")
            for n in range(count)
        )
        hired = await running.submit(c.BatchCreateWorkers(workers=tuple(workers)))
        voucher = running.engine.vouch(running.principal, lambda: None)
        with monkeypatch.context() as full:
            full.setattr(limits, "MAILBOX_COMMANDS", 0)
            voucher.connect([row.sid for row in hired.rows])
        await until(lambda: running.engine._vouching[account_sid]._retry)
        efforts.append(effort(lambda: running.clock.advance(limits.FAILURE_WAIT)))
        await until(lambda: connectivities(running) == {"connected"})

    assert efforts[1] < efforts[0] + 60


async def test_a_note_whose_commit_is_lost_is_decided_again(running: Running) -> None:
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    running.store.faults.append(Fault.LOST)
    voucher.connect(sids)
    await until(lambda: not running.store.faults)
    await attempted(running)
    running.clock.advance(limits.COMMIT_RETRY_FIRST)
    await until(lambda: len(noted(running)) == 1)

    assert connectivities(running) == {"connected"}


async def test_a_worker_who_comes_back_before_the_note_is_written_stays(
    running: Running,
) -> None:
    sids = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: account_of(running).idle and len(noted(running)) == 1)
    await settle()
    voucher.disconnect(sids)
    voucher.connect(sids)
    await until(lambda: len(noted(running)) == 3)

    assert connectivities(running) == {"connected"}


@pytest.mark.parametrize("second_session", ["latest_wins", "all_ring"])
@pytest.mark.parametrize("full", [False, True])
async def test_what_is_said_at_once_ends_as_what_is_said_one_after_the_other(
    running: Running, monkeypatch: pytest.MonkeyPatch, full: bool, second_session: str
) -> None:
    """Whatever two sessions say of a worker, whether its notes are taken or not."""
    workspace = next(state_of(running).of_kind(Workspace))
    policies = {"second_session": second_session}
    await running.submit(c.UpdateWorkspace(sid=workspace.sid, policies=policies))
    vouchers = [running.engine.vouch(running.principal, lambda: None) for _ in "ab"]
    says = (_connect, _disconnect, _untrack)
    stories = list(product(product(says, vouchers), repeat=3))
    slow, fast = [await _hire_many(running, len(stories)) for _ in range(2)]
    for said in zip(*stories, strict=True):
        for sid, (say, voucher) in zip(slow, said, strict=True):
            say(voucher, sid)
        await _noted(running)
    with monkeypatch.context() as patched:
        if full:
            patched.setattr(limits, "MAILBOX_COMMANDS", 0)
        for sid, story in zip(fast, stories, strict=True):
            for say, voucher in story:
                say(voucher, sid)
        await settle()
    running.clock.advance(limits.FAILURE_WAIT)
    await _noted(running)

    state = state_of(running)
    stands = {sid: state.need(sid, Worker).connectivity.value for sid in (*slow, *fast)}
    assert {*stands.values()} == {"untracked", "connected", "grace"}
    for one, other, story in zip(slow, fast, stories, strict=True):
        words = [(say.__name__, vouchers.index(voucher)) for say, voucher in story]
        assert stands[one] == stands[other], words


def _connect(voucher: Voucher, sid: str) -> None:
    voucher.connect([sid])


def _disconnect(voucher: Voucher, sid: str) -> None:
    voucher.disconnect([sid])


def _untrack(voucher: Voucher, sid: str) -> None:
    voucher.disconnect([sid], forget=True)


async def _hire_many(running: Running, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        few = min(limits.BATCH_MAX, count - len(found))
        names = (str(running.clock.now() + len(found) + n) for n in range(few))
        workers = (
            c.CreateWorker(workspace_sid="", friendly_name=name) for name in names
        )
        made = await running.submit(c.BatchCreateWorkers(workers=tuple(workers)))
        found += [row.sid for row in made.rows if isinstance(row, Worker)]
    running.clock.advance(limits.SECOND)
    return found


async def _noted(running: Running) -> None:
    """Wait until everything that was said is written down."""
    vouching = running.engine._vouching[running.principal.account_sid]
    await until(lambda: not (vouching._noting or vouching._unsettled))
    await until(lambda: account_of(running).idle)


@pytest.mark.parametrize("others", ["", "bob"])
async def test_who_was_untracked_and_came_back_has_a_grace_period_once_gone(
    running: Running, others: str
) -> None:
    """All of it said while one note is being written, another's or that of the first word."""
    ann, *sids = await sids_of(running, "ann", *filter(None, [others]))
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect([ann])
    await _noted(running)
    voucher.connect(sids)
    voucher.disconnect([ann], forget=True)
    voucher.connect([ann])
    voucher.disconnect([ann])
    await _noted(running)

    assert worker_of(running).connectivity.value == "grace"


async def test_who_came_and_went_while_nothing_was_taken_has_a_grace_period(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = await sids_of(running, "ann")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.beat()  # so that ann is looked at once, by what is said of her
    with monkeypatch.context() as full:
        full.setattr(limits, "MAILBOX_COMMANDS", 0)
        voucher.connect([ann])
        voucher.disconnect([ann])
    await until(lambda: running.engine._vouching[running.principal.account_sid]._retry)
    running.clock.advance(limits.FAILURE_WAIT)
    await _noted(running)

    assert worker_of(running).connectivity.value == "grace"


async def test_a_worker_who_is_deleted_meanwhile_is_passed_over(
    running: Running,
) -> None:
    sids = await sids_of(running, "ann", "bob")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: account_of(running).idle and len(noted(running)) == 1)
    await settle()
    delete = c.DeleteWorker(sid=sids[0])
    deleting = account_of(running).submit(running.principal, delete)
    voucher.close()  # both are noted behind the delete, which is not decided yet
    await deleting
    await until(lambda: connectivities(running) == {"grace"})


def test_workers_with_large_attributes_are_fewer_to_a_decision() -> None:
    state = State(ACCOUNT)
    large = '{"a":"' + "x" * (limits.ATTRIBUTES_BYTES - 8) + '"}'
    rows = [make_worker(attributes=large) for _ in range(20)]
    for row in rows:
        state.put(row)

    found = list(batches(state, [row.sid for row in rows]))

    assert [sid for few in found for sid in few] == [row.sid for row in rows]
    assert [len(few) for few in found] == [8, 8, 4]


async def test_heartbeats_one_after_the_other_look_at_nobody_again(
    running: Running,
) -> None:
    """A backend may send one for each of its thousand workers."""
    sids = await sids_of(running, *"abcdefgh")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: connectivities(running) == {"connected"})
    running.clock.advance(limits.PRESENCE_SETTLED)
    first, again = effort(voucher.beat), effort(voucher.beat)
    running.clock.advance(limits.PRESENCE_SETTLED)

    assert again < len(sids) < first
    assert effort(voucher.beat) == first
