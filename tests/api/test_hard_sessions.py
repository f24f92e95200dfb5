"""AgentSession with backends that are slow, hasty, or no longer allowed to be there."""

import asyncio

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
