"""The client puts parts together: what it hands on is whole, though they are cut."""

import asyncio
from typing import Any

import grpc
import pytest

from flexcore.client import resuming
from flexcore.domain import limits
from tests.api.test_parts import PATIENCE, add_queues, load, numbers
from tests.serving import Serving


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a message hold a few tasks of 600 bytes."""
    monkeypatch.setattr(limits, "STREAM_MESSAGE_BYTES", 6_000)


class Cut:
    """A call that is cut behind its first message."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._read = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def read(self) -> Any:
        if self._read:
            self._call.cancel()
            return grpc.aio.EOF
        self._read = True
        return await self._call.read()


class Cutting:
    """A service, of which the first call of one RPC is cut."""

    def __init__(self, service: Any, rpc: str) -> None:
        self._service = service
        self._rpc = rpc
        self.cut: list[Cut] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._service, name)
        return call if name != self._rpc or self.cut else self._open

    def _open(self, **fields: Any) -> Cut:
        self.cut.append(Cut(getattr(self._service, self._rpc)(**fields)))
        return self.cut[-1]


@pytest.fixture
def cutting(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the client's first call of an RPC be cut."""
    monkeypatch.setattr(resuming, "BACKOFF_SECONDS", 0.001)

    def cut(rpc: str) -> Cutting:
        found = Cutting(serving.client.routing, rpc)
        monkeypatch.setattr(serving.client, "routing", found)
        return found

    return cut


async def test_reservations_come_once_though_a_snapshot_is_cut(
    serving: Serving, cutting: Any
) -> None:
    ann = await load(serving, "ann", 12, 600)
    cut = cutting("StreamReservations")
    reservations = serving.client.reservations(ann)
    events = aiter(reservations)
    async with asyncio.timeout(PATIENCE):
        found = [await anext(events) for _ in range(12)]
        await serving.client.workspace.UpdateWorker(sid=ann, friendly_name="Ann")
        last = await anext(events)
    await events.aclose()

    assert len(cut.cut) == reservations.resumed == 1
    assert len({each.task.sid for each in found}) == 12
    assert all(each.snapshot for each in found)
    assert (last.type, last.snapshot) == ("worker.updated", False)


async def test_a_session_hands_on_whole_snapshots_though_one_is_cut(
    serving: Serving, cutting: Any
) -> None:
    ann = await load(serving, "ann", 12, 600)
    cut = cutting("AgentSession")
    async with serving.client.agent_session() as session, asyncio.timeout(PATIENCE):
        await session.subscribe([ann])
        stood = await anext(session)
        await serving.client.workspace.UpdateWorker(sid=ann, friendly_name="Ann")
        last = await anext(session)

    assert len(cut.cut) == session.resumed == 1
    assert session.missed == 0
    assert stood.snapshot is not None
    assert sorted(numbers(stood.snapshot)) == list(range(12))
    assert last.type == "worker.updated"


async def test_a_view_of_statistics_is_whole_though_its_parts_are_cut(
    serving: Serving, cutting: Any
) -> None:
    sid = await add_queues(serving, 80)
    cut = cutting("WatchStatistics")
    views = aiter(serving.client.statistics(sid))
    async with asyncio.timeout(PATIENCE):
        view = await anext(views)
    await views.aclose()

    assert len(cut.cut) == 1
    assert len(view.task_queues) == 81
