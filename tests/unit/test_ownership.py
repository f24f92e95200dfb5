"""Who acts for one worker reaches what is the worker's, whatever the faces let through."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import InvalidArgument, NotFound, PermissionDenied
from flexcore.domain.model import Activity, Reservation, Task, Worker
from flexcore.engine import commands as c
from flexcore.engine.decider import handlers
from flexcore.engine.ownership import refuse_others
from flexcore.engine.vault import Vault
from tests.engines import Running


@pytest.fixture
async def running(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Running]:
    running = await Running(tmp_path / "data", clock).start()
    yield running
    await running.close()


async def hire(running: Running, name: str) -> str:
    make = c.CreateWorker(workspace_sid="", friendly_name=name, activity="Available")
    return (await running.submit(make)).rows[0].sid


def of(running: Running, worker_sid: str) -> c.Principal:
    """Return the principal of a worker's own token."""
    return c.Principal(running.principal.account_sid, worker_sid, worker_sid=worker_sid)


async def test_what_nobody_allowed_a_worker_is_denied(running: Running) -> None:
    ann = of(running, await hire(running, "ann"))
    state = running.engine.accounts()[ann.account_sid].state
    allowed = set()
    for kind in handlers(Vault(bytes(32), running.engine._ids)):
        fields = {f.name: "WK0" for f in structs.fields(kind) if f.required}
        try:
            refuse_others(state, ann, kind(**fields))
        except PermissionDenied:
            continue
        except NotFound:
            pass
        allowed.add(kind)
    with pytest.raises(PermissionDenied):
        await running.engine.submit(ann, c.CreateTask(attributes="{}"))

    assert {kind.__name__ for kind in allowed} == {
        "AcceptReservation",
        "ClaimTask",
        "CompleteTask",
        "Get",
        "GetWorker",
        "RejectReservation",
        "Snapshot",
        "UpdateWorker",
        "WrapTask",
    }


async def test_lists_that_nobody_narrowed_are_denied(running: Running) -> None:
    ann = of(running, await hire(running, "ann"))
    for kind in (Worker, Task):
        with pytest.raises(PermissionDenied):
            await running.engine.list(ann, kind, {}, None, 10)

    for allowed in (Activity, Reservation):
        await running.engine.list(ann, allowed, {}, None, 10)


async def test_a_task_is_anybodys_to_whom_it_was_offered(running: Running) -> None:
    ann = of(running, await hire(running, "ann"))
    task = (await running.submit(c.CreateTask(attributes="{}"))).rows[0]
    state = running.engine.accounts()[ann.account_sid].state
    (offered,) = state.where(Reservation, "task_sid", task.sid)
    bob = of(running, await hire(running, "bob"))
    get = c.Get(sid=task.sid)
    assert (await running.engine.submit(ann, get)).rows[0].sid == task.sid
    with pytest.raises(NotFound):
        await running.engine.submit(bob, get)
    await running.engine.submit(ann, c.RejectReservation(sid=offered.sid))

    assert (await running.engine.submit(bob, get)).rows[0].sid == task.sid
    assert (await running.engine.submit(ann, get)).rows[0].sid == task.sid


async def test_who_acts_for_a_worker_with_a_key_may_say_whom_it_is_about(
    running: Running,
) -> None:
    ann, bob = await hire(running, "ann"), await hire(running, "bob")
    await running.submit(c.CreateTask(attributes="{}"))
    state = running.engine.accounts()[running.principal.account_sid].state
    (offered,) = state.where(Reservation, "open_worker_sid", ann)
    accept = c.AcceptReservation(sid=offered.sid, request_id="r1")
    for_ann, for_bob = (
        structs.replace(running.principal, worker_sid=sid) for sid in (ann, bob)
    )
    with pytest.raises(InvalidArgument) as refused:
        await running.engine.submit(for_bob, accept)
    taken = await running.engine.submit(for_ann, accept)
    again = await running.submit(accept)

    assert refused.value.violations[0][0] == "worker_sid"
    assert again.repeated
    assert again.rows == taken.rows
