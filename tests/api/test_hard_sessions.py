"""AgentSession with backends that are slow, hasty, or no longer allowed to be there."""

import asyncio

import pytest

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.refusals import Refusal, refusal
from tests.api.test_agent_session import PATIENCE, Desk, away, desk, hire
from tests.serving import Serving


async def change(serving: Serving, sid: str, *numbers: int) -> None:
    """Let so many things happen to a worker."""
    for n in numbers:
        await serving.client.workspace.UpdateWorker(sid=sid, attributes=f'{{"n":{n}}}')


def numbers_of(events: list[pb.ReservationEvent]) -> list[str]:
    return [event.worker.attributes for event in events]


async def to_the_end(session: Desk) -> None:
    while True:
        await session.read()


async def ended(session: Desk) -> Refusal:
    async with asyncio.timeout(PATIENCE):
        return await refusal(to_the_end(session))


# --- who may no longer -----------------------------------------------------------------


async def test_a_command_after_its_key_was_revoked_has_no_effect(
    serving: Serving,
) -> None:
    admin = serving.client.admin
    made = await admin.CreateKey(friendly_name="short")
    (ann,) = await hire(serving, "ann")
    client = await serving.connect(f"{made.key.sid}.{made.secret}")
    async with desk(client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await admin.RevokeKey(sid=made.key.sid)
        await session.command("late", ann, **away(ann, 7))
        refused = await ended(session)

    assert refused.code == "UNAUTHENTICATED"
    worker = (await serving.client.workspace.GetWorker(sid=ann)).worker
    assert worker.attributes == "{}"


# --- who does not acknowledge ----------------------------------------------------------


async def test_who_acknowledges_nothing_is_ended_though_it_gives_commands(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers keep the session from being quiet, and heartbeats from being due."""
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await change(serving, ann, *range(5))
        await session.events(2)

        async def go_on() -> None:
            for n in range(30 * limits.SECOND // (5 * limits.SECOND) + 1):
                serving.clock.advance(5 * limits.SECOND)
                await session.command(f"{n}", ann, **away(ann, n))
                await session.results(1)

        refused = await refusal(go_on())

    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]
