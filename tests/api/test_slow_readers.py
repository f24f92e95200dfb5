"""Who does not read, or does not acknowledge: ended in time, at nobody else's cost."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from flexcore.domain import limits
from flexcore.engine import commands as c
from flexcore.engine.cursor import Cursor
from flexcore.services import routing
from flexcore.services.agent_session import AgentSession
from flexcore.v1 import worker_requests_pb2
from tests.api.refusals import refusal
from tests.api.test_agent_session import Desk, desk, hire
from tests.factories import make_sid
from tests.serving import Serving
from tests.staff import until

#: real seconds after which a message that was to come at once is called missing
PATIENCE = 10
#: bytes that make a worker heavy: some dozens of events fill any window
FILLING = 32_000
#: changes after which nobody can be behind for want of them
CHANGES_MAX = 2_000


def numbers_of(responses: Iterable[Any]) -> list[int]:
    """Return which changes some responses tell of, whatever the stream."""
    told: list[Any] = []
    for response in responses:
        told += getattr(response, "events", ())
        for each in getattr(response, "change_sets", ()):
            told += each.resources
    return [json.loads(each.worker.attributes)["n"] for each in told]


class Work:
    """Changes a worker again and again, before the eyes of those who keep up.

    They are another stream of the worker, another session, and whoever watches events.
    """

    def __init__(self, serving: Serving, worker_sid: str, session: Desk) -> None:
        self._client = serving.client
        self._sid = worker_sid
        self._session = session
        self._streams: list[Any] = []
        self.changes = 0

    async def begin(self) -> None:
        """Open the streams of all who keep up."""
        await self._session.subscribe(self._sid)
        await self._session.snapshots(1)
        self._streams = [
            self._client.routing.StreamReservations(worker_sid=self._sid),
            self._client.event.WatchEvents(worker_sid=self._sid, start_now=True),
        ]
        for stream in self._streams:
            await stream.read()

    async def go_on(self) -> None:
        """Change the worker; all are told of it before anything else happens."""
        number, self.changes = self.changes, self.changes + 1
        attributes = json.dumps({"n": number, "x": "x" * FILLING})
        await self._client.workspace.UpdateWorker(sid=self._sid, attributes=attributes)
        for reader in (self._session, *self._streams):
            told: list[Any] = []
            while not numbers_of(told):  # a heartbeat may come before it
                async with asyncio.timeout(PATIENCE):
                    told = [await reader.read()]
            assert numbers_of(told) == [number]
        await self._session.ack(self._session.seen[-1].events[-1].sequence)

    def end(self) -> None:
        for stream in self._streams:
            stream.cancel()


def cursors(serving: Serving) -> list[Cursor]:
    """Return those of all streams that are open, the oldest first."""
    accounts = serving.server.engine.accounts().values()
    return [cursor for account in accounts for cursor in account.tail._open]


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[AgentSession]:
    """The sessions of the server, in the order they were opened."""
    found: list[AgentSession] = []

    class Known(AgentSession):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            found.append(self)

    monkeypatch.setattr(routing, "AgentSession", Known)
    return found


async def test_who_does_not_read_is_ended_with_the_token_and_others_do_not_wait(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it over one connection."""
    monkeypatch.setattr(limits, "STREAM_WRITE_TIMEOUT", limits.SECOND // 2)
    (ann,) = await hire(serving, "ann")
    open_stream = serving.client.routing.StreamReservations
    slow = open_stream(worker_sid=ann)
    seen = [await slow.read()]
    await until(lambda: bool(cursors(serving)))
    (cursor,) = cursors(serving)
    async with desk(serving.client) as session:
        work, behind = Work(serving, ann, session), 0
        await work.begin()
        while cursor in cursors(serving):
            assert work.changes < CHANGES_MAX
            await work.go_on()
            behind = max(behind, cursor.behind)
        for _ in range(5):
            await work.go_on()
        assert len(cursors(serving)) == 3
        work.end()

    refused = await refusal(to_the_end(slow, seen))
    token = refused.metadata["resume_token"]
    resumed = open_stream(worker_sid=ann, resume_token=token)
    rest: list[Any] = []
    while work.changes - 1 not in numbers_of(rest[-1:]):
        rest.append(await resumed.read())
    resumed.cancel()

    # What was on its way when the stream ended is behind the token.
    tokens = [response.resume_token for response in seen]
    before = seen[: tokens.index(token) + 1]
    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]
    assert behind > 5
    assert numbers_of([*before, *rest]) == [*range(work.changes)]


async def to_the_end(stream: Any, seen: list[Any]) -> None:
    while True:
        seen.append(await stream.read())


async def test_who_does_not_acknowledge_is_ended_in_time_and_others_do_not_wait(
    serving: Serving, sessions: list[AgentSession]
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as slow, desk(serving.client) as session:
        await slow.subscribe(ann)
        await slow.snapshots(1)
        work = Work(serving, ann, session)
        await work.begin()
        ended = asyncio.ensure_future(refusal(slow.until(lambda _: False)))
        while not any(each._feed._window._closed for each in sessions):
            assert work.changes < CHANGES_MAX
            await work.go_on()
        started = serving.clock.now()
        while not ended.done():
            assert serving.clock.now() < started + 30 * limits.SECOND
            serving.clock.advance(limits.SECOND)
            await work.go_on()
        took = serving.clock.now() - started
        for _ in range(5):
            await work.go_on()
        work.end()
        refused = await ended
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=refused.metadata["resume_token"])
        while len(numbers_of([*slow.seen, *resumed.seen])) < work.changes:
            (*_, event) = await resumed.events(1)
            await resumed.ack(event.sequence)

    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]
    assert took >= limits.SESSION_ACK_TIMEOUT
    assert numbers_of([*slow.seen, *resumed.seen]) == [*range(work.changes)]


# --- what is held meanwhile ------------------------------------------------------------


async def change(serving: Serving, sids: list[str], rounds: int) -> None:
    """Let something happen to each worker, many times."""
    engine = serving.server.engine
    assert serving.server.first_key is not None
    who = engine.authenticate(".".join(serving.server.first_key))
    for first in range(0, rounds, 10):
        updates = (
            c.UpdateWorker(sid=sid, attributes=f'{{"n":{n}}}')
            for n in range(first, first + 10)
            for sid in sids
        )
        await asyncio.gather(*(engine.submit(who, update) for update in updates))


def held(session: AgentSession) -> dict[str, int]:
    """Return what a session holds of what it has not told: how many, and bytes."""
    feed, said, workers = session._feed, session._commands, session._workers
    return {
        "events": len(feed._queue),
        "event bytes": sum(len(told.field) for told in feed._queue),
        "on their way": feed._window._events,
        "messages on their way": len(feed._window._sent),
        "commands": sum(map(len, said._lanes.values())),
        "answers": len(said._results),
        "workers to be told of": workers._asked_workers + len(workers._lost),
    }


async def test_who_does_not_acknowledge_is_ended_in_time_when_nothing_happens_too(
    serving: Serving,
    monkeypatch: pytest.MonkeyPatch,
    sessions: list[AgentSession],
) -> None:
    """With nothing to write, it is a heartbeat that finds what was not acknowledged."""
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as slow:
        await slow.subscribe(ann)
        await slow.snapshots(1)
        await change(serving, [ann], 3)
        await until(lambda: bool(sessions[0]._feed._window._closed))
        ended = asyncio.ensure_future(refusal(slow.until(lambda _: False)))
        serving.clock.advance(30 * limits.SECOND)
        refused = await asyncio.wait_for(ended, PATIENCE)

    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]


async def test_a_session_that_acknowledges_nothing_holds_a_bounded_piece_of_the_log(
    serving: Serving, sessions: list[AgentSession]
) -> None:
    sids = await hire(serving, *(f"w{n}" for n in range(10)))
    async with desk(serving.client) as slow:
        await slow.subscribe(*sids)
        await slow.snapshots(len(sids))
        (session,) = sessions
        await change(serving, sids, 100)
        await slow.events(limits.SESSION_UNACKED_EVENTS)
        await until(lambda: bool(session._feed._window._closed))
        early, missing = held(session), session._cursor.behind
        await change(serving, sids, 200)
        await until(lambda: session._cursor.behind >= missing + 2_000)

        assert held(session) == early
    assert early["events"] <= limits.STREAM_MESSAGE_EVENTS
    assert early["event bytes"] <= 2 * limits.LOG_READ_BYTES
    assert early["on their way"] == limits.SESSION_UNACKED_EVENTS


async def test_a_session_that_reads_nothing_holds_a_bounded_piece_of_everything(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, sessions: list[AgentSession]
) -> None:
    monkeypatch.setattr(limits, "STREAM_WRITE_TIMEOUT", limits.MINUTE)
    sids = await hire(serving, *(f"w{n}" for n in range(10)))
    nobody = [make_sid("WK", n) for n in range(1_000)]
    async with desk(serving.client) as slow:
        await slow.subscribe(*sids)
        await slow.snapshots(len(sids))
        (session,) = sessions
        await change(serving, sids, 100)
        for _ in range(3):
            await slow.subscribe(*nobody)

        async def command() -> None:
            for n in range(CHANGES_MAX):
                # The answers are so large that no library takes many of them.
                update = worker_requests_pb2.UpdateWorkerRequest(
                    sid=sids[n % len(sids)], attributes=json.dumps({"x": "x" * FILLING})
                )
                await slow.command(f"{n}", update.sid, update_worker=update)

        commanding = asyncio.create_task(command())
        answers = session._commands._results
        await until(lambda: len(answers) == limits.SESSION_COMMANDS)
        missing = session._cursor.behind
        await change(serving, sids, 200)
        await until(lambda: session._cursor.behind >= missing + 2_000)
        await until(lambda: len(answers) == limits.SESSION_COMMANDS)
        owed = held(session)
        commanding.cancel()
        await asyncio.gather(commanding, return_exceptions=True)

    assert 0 < owed["events"] <= limits.STREAM_MESSAGE_EVENTS
    assert owed["event bytes"] <= 2 * limits.LOG_READ_BYTES
    assert owed["on their way"] <= limits.SESSION_UNACKED_EVENTS
    assert (owed["commands"], owed["answers"]) == (0, limits.SESSION_COMMANDS)
    assert owed["workers to be told of"] == 3_000 <= limits.SESSION_UNTOLD
