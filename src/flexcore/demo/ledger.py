"""The account's log as the director reads it, to hold the server to its word."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from flexcore.client import Client
from flexcore.demo.actors import PATIENCE_SECONDS, Violated

#: pause before a stream that was cut is opened again
_PAUSE_SECONDS = 0.05


class Ledger:
    """Follows the log through every cut, and refuses a gap or a repeat."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.change_sets: list[Any] = []
        self.resumed = 0

    def start(self) -> None:
        """Begin with the oldest change set."""
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def head(self) -> int:
        """The sequence of the newest event read."""
        return self.change_sets[-1].last_sequence if self.change_sets else 0

    def events(self, kind: str, sid: str = "") -> list[Any]:
        """Return the events of a type, of one resource if it is given."""
        return [
            event
            for change_set in self.change_sets
            for event in change_set.events
            if event.type == kind and sid in ("", event.sid)
        ]

    def of_worker(self, worker_sid: str) -> list[tuple[int, str]]:
        """Return what the worker's reservation stream has to have given."""
        return [
            (event.sequence, event.type)
            for change_set in self.change_sets
            for event in change_set.events
            for row in change_set.resources
            if row.reservation.sid == event.sid
            and row.reservation.worker_sid == worker_sid
        ]

    async def until(self, what: str, found: Callable[[Any], bool]) -> Any:
        """Return the first change set of this kind, past or to come."""

        def first() -> Any:
            return next((each for each in self.change_sets if found(each)), None)

        def settled() -> bool:
            return self._failure is not None or first() is not None

        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._news:
                await self._news.wait_for(settled)
        except TimeoutError as error:
            raise Violated(f"the log never showed {what}") from error
        if self._failure is not None:
            raise Violated(str(self._failure)) from self._failure
        return first()

    async def _follow(self) -> None:
        token = ""
        while True:
            stream = self._client.event.WatchEvents(resume_token=token)
            try:
                while (response := await stream.read()) is not grpc.aio.EOF:
                    await self._take(response.change_sets)
                    token = response.resume_token
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    await self._fail(error)
                    return
            except Violated as error:
                await self._fail(error)
                return
            finally:
                stream.cancel()
            self.resumed += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _take(self, change_sets: Any) -> None:
        for change_set in change_sets:
            if change_set.first_sequence != self.head + 1:
                raise Violated(
                    f"the log went from event {self.head} to {change_set.first_sequence}"
                )
            self.change_sets.append(change_set)
        async with self._news:
            self._news.notify_all()

    async def _fail(self, error: BaseException) -> None:
        self._failure = error
        async with self._news:
            self._news.notify_all()
