"""The short form of leaks.py: what a stream leaves is seen long before it is a problem."""

import pytest

from tests.simulation.leaks import run


@pytest.mark.slow
async def test_streams_that_are_opened_and_canceled_leave_nothing() -> None:
    leak = await run(cycles=1_500, seed=1)

    assert (leak.tasks, leak.cursors) == (0, 0)
    # An object that is kept for every stream would be at least one.
    assert leak.blocks < 0.5, leak
