"""What sessions say of workers, until it is written down."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import Worker
from flexcore.engine import commands as c
from flexcore.engine.routing.presence import batches
from flexcore.engine.state import State
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


async def test_a_worker_who_is_deleted_meanwhile_is_passed_over(
    running: Running,
) -> None:
    sids = await sids_of(running, "ann", "bob")
    voucher = running.engine.vouch(running.principal, lambda: None)
    voucher.connect(sids)
    await until(lambda: connectivities(running) == {"connected"})
    await running.submit(c.DeleteWorker(sid=sids[0]))
    voucher.beat()
    voucher.close()
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
