"""The short form of streams.py, and its check of itself."""

from tests.simulation.streams import Plan, planted_gap, run


async def test_streams_that_are_cut_tell_everything_once_and_in_order() -> None:
    plan = Plan(subscribers=40, changes=3_000, cuts=5, kept_seconds=0.5)
    tally = await run(plan)

    assert tally.problems == []
    assert tally.cuts == 40 * 5
    assert tally.delivered > 2_000


async def test_a_change_set_that_is_lost_is_noticed() -> None:
    plan = Plan(subscribers=20, changes=1_000, cuts=2, kept_seconds=0.5)
    with planted_gap(every=100):
        tally = await run(plan)

    assert any("gap" in problem for problem in tally.problems), tally.line()
