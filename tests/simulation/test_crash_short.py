"""The short form of crash.py, and the control that it would notice what is lost."""

from pathlib import Path

import pytest

from tests.simulation.crash import DATABASE, crash

#: less than the clients write before the first kill, more than their last commit
LOST_BYTES = 80 * 1024


@pytest.mark.slow
async def test_kills_lose_nothing_that_was_acknowledged() -> None:
    tally = await crash(8, seed=1, show=False)

    assert tally.problems == []
    assert tally.acknowledged > 8 * 20
    assert tally.accepted > 20
    assert tally.messages > 20
    assert tally.resumed > 8 * 4


def lose_the_end(data: Path) -> None:
    """Cut the last commits off, as a disk does that only said it wrote them."""
    path = data / f"{DATABASE}-wal"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - LOST_BYTES)


@pytest.mark.slow
async def test_lost_commits_are_noticed() -> None:
    """One kill may lose nothing anybody was told: the log can end before its file does."""
    noticed = ""
    for seed in range(2, 10):
        tally = await crash(1, seed=seed, show=False, damage=lose_the_end)
        noticed += "\n".join(tally.problems)
        if "is answered differently" in noticed and "stream" in noticed:
            break

    assert "is answered differently" in noticed
    assert "stream" in noticed
