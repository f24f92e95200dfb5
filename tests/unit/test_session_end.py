"""A session leaves nothing in the tail, however it ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from flexcore.domain.clock import VirtualClock
from flexcore.services.agent_session import AgentSession
from flexcore.services.rules import Rules
from flexcore.services.session import begin
from flexcore.services.shown import Shown
from flexcore.v1 import routing_service_pb2 as pb
from tests.engines import Running
from tests.unit.test_streams import Keyless


async def silence() -> AsyncIterator[pb.AgentSessionRequest]:
    """A backend that says nothing."""
    await asyncio.get_running_loop().create_future()
    yield pb.AgentSessionRequest()


async def test_a_session_that_is_canceled_while_it_ends_leaves_no_cursor(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    tail = running.engine.accounts()[running.principal.account_sid].tail
    begin(Keyless(running.principal, ""))
    context: Any = None
    session = AgentSession(running.engine, Shown(), context, {}, Rules(()))
    task = asyncio.create_task(session.serve(silence()))
    await asyncio.sleep(0)
    held = len(tail._open)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await running.close()

    assert (held, len(tail._open)) == (1, 0)
