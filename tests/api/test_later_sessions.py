"""Which of two sessions has a worker: the one that declared it later, cut or not."""

from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.refusals import refusal
from tests.api.test_agent_session import Desk, desk, hire
from tests.api.test_presence import becomes, heard, refused
from tests.serving import Serving

REPLACED = ("ABORTED", "SESSION_REPLACED")


async def declare(
    session: Desk, *sids: str, time: Timestamp | None = None
) -> Timestamp:
    """Declare workers, now or as it was at a time; return when they count as declared."""
    await session.say(declare=pb.Declare(connected_worker_sids=sids, declare_time=time))
    (told,) = await session.until(lambda each: each.declare_times)
    assert isinstance(told, Timestamp)
    return told


async def lost(session: Desk) -> dict[str, tuple[str, str]]:
    """Read on until the session lost workers; return code and reason of each."""
    return refused(
        await session.until(lambda each: each.HasField("unsubscribed") and each)
    )


async def test_who_is_cut_before_hearing_of_a_later_session_takes_nobody_back(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as later:
        async with desk(serving.client) as cut:
            first = await declare(cut, ann, bob)
            await declare(later, ann)
        async with desk(serving.client) as resumed:
            again = await declare(resumed, ann, bob, time=first)
            assert await lost(resumed) == {ann: REPLACED}
            await becomes(serving.client, bob, "CONNECTED")
        # The end of it means nothing for whoever it did not get.
        await becomes(serving.client, bob, "GRACE")
        await heard(later)
        assert not any(each.HasField("unsubscribed") for each in later.seen)
        await becomes(serving.client, ann, "CONNECTED")

    assert again == first
    await becomes(serving.client, ann, "GRACE")


async def test_a_resumed_session_has_its_workers_though_the_cut_one_seems_to_live(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as stale, desk(serving.client) as resumed:
        first = await declare(stale, ann)
        await declare(resumed, ann, time=first)
        assert await lost(stale) == {ann: REPLACED}
        await heard(resumed)
        assert not any(each.HasField("unsubscribed") for each in resumed.seen)


async def test_the_later_of_two_cut_sessions_has_the_worker_whoever_is_back_first(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as one, desk(serving.client) as two:
        # All of it within one microsecond of the virtual clock.
        first = await declare(one, ann)
        second = await declare(two, ann)
    assert first.ToMicroseconds() < second.ToMicroseconds()
    serving.clock.advance(limits.SECOND)
    await serving.restart()
    for order in ((first, second), (second, first)):
        async with desk(serving.client) as one, desk(serving.client) as two:
            sessions = [one, two]
            for session, time in zip(sessions, order, strict=True):
                await declare(session, ann, time=time)
            loser = sessions[order.index(first)]
            assert await lost(loser) == {ann: REPLACED}


async def test_who_is_declared_anew_is_in_the_later_session(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as one, desk(serving.client) as two:
        await declare(one, ann)
        await declare(two, ann)
        await lost(one)
        await declare(one, ann)
        assert await lost(two) == {ann: REPLACED}


async def test_a_time_in_the_future_makes_nobody_later_than_all_that_follow(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    now = serving.clock.now()
    time = Timestamp()
    time.FromMicroseconds(now + 3600 * limits.SECOND)
    async with desk(serving.client) as one, desk(serving.client) as two:
        told = await declare(one, ann, time=time)
        await declare(two, ann)
        assert await lost(one) == {ann: REPLACED}

    assert told.ToMicroseconds() <= now


async def test_where_both_ring_a_resumed_session_has_the_worker_too(
    serving: Serving,
) -> None:
    workspace = serving.client.workspace
    (row,) = (await workspace.ListWorkspaces()).workspaces
    policies = {"second_session": "SECOND_SESSION_ALL_RING"}
    await workspace.UpdateWorkspace(sid=row.sid, policies=policies)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as one:
        first = await declare(one, ann)
        async with desk(serving.client) as two:
            await declare(two, ann)
            async with desk(serving.client) as resumed:
                await declare(resumed, ann, time=first)
                for session in (one, two, resumed):
                    await heard(session)
                    seen = session.seen
                    assert not any(each.HasField("unsubscribed") for each in seen)


async def test_each_declaration_is_answered_in_its_place(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        for sids in ([ann], [], [bob], ["WK" + "0" * 32]):
            await session.say(declare=pb.Declare(connected_worker_sids=sids))
        await heard(session)

    times = [each for response in session.seen for each in response.declare_times]
    assert len(times) == 3
    assert sorted(each.ToMicroseconds() for each in times) == [
        each.ToMicroseconds() for each in times
    ]


async def test_a_time_before_there_was_any_is_refused(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        time = Timestamp(seconds=-1)
        await session.say(
            declare=pb.Declare(connected_worker_sids=[ann], declare_time=time)
        )
        found = await refusal(session.read())

    assert found.fields.keys() == {"declare.declare_time"}
