"""The client with tokens: minted without a server, renewed before and after they expire."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from flexcore.client import Client, connect, error_reason, resuming, worker_token
from flexcore.client import credential as credential_module
from flexcore.domain import limits
from flexcore.domain.clock import SystemClock
from tests.api.test_client import take
from tests.api.test_client_sessions import until
from tests.api.token_holders import first_key, hire, token_of
from tests.factories import make_sid
from tests.serving import Serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS_MAX", 0.01)


class Backend:
    """Hands out tokens of a worker, good from the server's now; counts them."""

    def __init__(self, serving: Serving, worker_sid: str) -> None:
        self.given = 0
        self._serving = serving
        self._worker_sid = worker_sid

    def __call__(self) -> str:
        self.given += 1
        # Two of the same second would be the same text.
        self._serving.clock.advance(limits.SECOND)
        return token_of(self._serving, self._worker_sid)


async def reaches(serving: Serving, done: Callable[[], bool]) -> None:
    """Let everybody go on until something is so."""
    async with asyncio.timeout(10):
        while not done():
            await serving.client.workspace.ListWorkspaces()


# --- minting ---------------------------------------------------------------------------


async def test_a_minted_token_is_good(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    serving.clock.advance(SystemClock().now() - serving.clock.now())
    client = await serving.connect(worker_token(".".join(first_key(serving)), ann))

    assert (await client.workspace.GetWorker(sid=ann)).worker.sid == ann
    serving.clock.advance(16 * limits.MINUTE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.workspace.GetWorker(sid=ann)
    assert error_reason(caught.value) == "CREDENTIAL_EXPIRED"


@pytest.mark.parametrize(
    ("key", "worker_sid", "minutes", "field"),
    [
        (make_sid("SK", 1), make_sid("WK", 1), 15, "key"),
        ("nonsense.secret", make_sid("WK", 1), 15, "key"),
        ("a.b.c", make_sid("WK", 1), 15, "key"),
        (f"{make_sid('SK', 1)}.{'a' * 64}", make_sid("WT", 1), 15, "worker_sid"),
        (f"{make_sid('SK', 1)}.{'a' * 64}", "ann", 15, "worker_sid"),
        (f"{make_sid('SK', 1)}.{'a' * 64}", make_sid("WK", 1), 0, "minutes"),
        (f"{make_sid('SK', 1)}.{'a' * 64}", make_sid("WK", 1), 1441, "minutes"),
    ],
)
def test_what_no_server_would_take_is_not_minted(
    key: str, worker_sid: str, minutes: int, field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        worker_token(key, worker_sid, minutes)


# --- renewing --------------------------------------------------------------------------


async def test_a_source_may_be_awaited(serving: Serving) -> None:
    ann = await hire(serving, "ann")

    async def ask() -> str:
        return token_of(serving, ann)

    async with connect(serving.server.target, ask) as client:
        assert (await client.workspace.GetWorker(sid=ann)).worker.sid == ann


async def test_a_source_that_fails_at_first_is_told_by_connect(
    serving: Serving,
) -> None:
    def fail() -> str:
        raise LookupError("nobody is signed in")

    with pytest.raises(LookupError, match="nobody is signed in"):
        await connect(serving.server.target, fail)


async def until_expired(serving: Serving, opened: Callable[[], int]) -> None:
    """Let time pass until a stream was opened again."""
    before = opened()
    serving.clock.advance(14 * limits.MINUTE)
    async with asyncio.timeout(10):
        while opened() == before:
            serving.clock.advance(limits.HEARTBEAT_INTERVAL)
            await serving.client.workspace.ListWorkspaces()


async def test_streams_go_on_with_the_next_token(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    backend = Backend(serving, ann)
    async with connect(serving.server.target, backend) as client:
        reservations = client.reservations(ann)
        events, told = aiter(reservations), []
        for n in range(6):
            reading = asyncio.ensure_future(take(events, 1))
            await reaches(serving, lambda: streams_open(serving) > 0)
            if n % 2:
                await until_expired(serving, lambda: reservations.resumed)
            await serving.client.workspace.UpdateWorker(
                sid=ann, attributes=f'{{"n":{n}}}'
            )
            told += await reading
        await events.aclose()

    assert [one.worker.attributes for one in told] == [f'{{"n":{n}}}' for n in range(6)]
    assert reservations.missed == 0
    assert backend.given == 4


async def test_a_token_that_is_no_better_is_the_last(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    given: list[str] = []

    def ask() -> str:
        # This machine's clock is an hour behind the server's, from now on.
        late = limits.HOUR if given else 0
        serving.clock.advance(late)
        given.append(token_of(serving, ann))
        serving.clock.advance(late)
        return given[-1]

    async with connect(serving.server.target, ask) as client:
        events = aiter(client.reservations(ann))
        reading = asyncio.ensure_future(anext(events))
        await reaches(serving, lambda: streams_open(serving) > 0)
        serving.clock.advance(15 * limits.MINUTE)
        await reaches(serving, reading.done)
        error = reading.exception()

    assert isinstance(error, grpc.aio.AioRpcError)
    assert error_reason(error) == "CREDENTIAL_EXPIRED"
    assert len(given) == 2


def streams_open(serving: Serving) -> int:
    accounts = serving.server.engine.accounts().values()
    return sum(len(account.tail._open) for account in accounts)


async def test_a_session_is_told_of_each_token_before_the_last_one_expires(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_module, "RENEW_AFTER", 1e-5)
    ann = await hire(serving, "ann")
    backend = Backend(serving, ann)
    async with (
        connect(serving.server.target, backend) as client,
        client.agent_session() as session,
    ):
        await session.subscribe([ann])
        await until(session, "snapshot")
        told = count_refreshes(session, monkeypatch)
        for activity in ("Offline", "Available", "Offline", "Available"):
            before = len(told)
            # The second one told from now on was asked for after it.
            await reaches(serving, lambda b=before: len(told) >= b + 2)
            serving.clock.advance(14 * limits.MINUTE)
            change = {"sid": ann, "activity": activity}
            await session.command(ann, update_worker=change)
            await until(session, "worker.activity.update")
        assert (session.resumed, session.missed) == (0, 0)

    assert all(told)


def count_refreshes(session: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list to which every answered refresh_token is added."""
    answers: list[Any] = []
    command = session.command

    async def spy(worker_sid: str, **request: Any) -> Any:
        answer = await command(worker_sid, **request)
        if "refresh_token" in request:
            answers.append(answer is not None)
        return answer

    monkeypatch.setattr(session, "command", spy)
    return answers


async def test_a_source_that_fails_is_asked_again(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_module, "RENEW_AFTER", 1e-5)
    monkeypatch.setattr(credential_module, "RETRY_SECONDS", 0.01)
    ann = await hire(serving, "ann")
    backend = Backend(serving, ann)
    asked = 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        if asked in (2, 3):
            raise ConnectionError("the backend restarts")
        return backend()

    async with connect(serving.server.target, ask) as client:
        first = client.credential.text
        await reaches(serving, lambda: backend.given >= 2)
        assert client.credential.text != first
        await works(client, ann)

    assert asked >= 4


async def works(client: Client, worker_sid: str) -> None:
    assert (await client.workspace.GetWorker(sid=worker_sid)).worker.sid == worker_sid
