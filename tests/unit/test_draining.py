"""What a server that stops says to those who come too late."""

from pathlib import Path

import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import Reason, Unavailable
from flexcore.engine import commands as c
from tests.engines import Running


async def test_command_after_the_end_is_refused_because_the_server_stops(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    await running.close()

    with pytest.raises(Unavailable) as refused:
        await running.submit(c.CreateTask())
    assert refused.value.reason is Reason.SERVER_DRAINING
    assert refused.value.retry_after
