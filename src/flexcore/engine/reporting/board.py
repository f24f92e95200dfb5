"""How things stand, for those who watch: read once, however many they are.

A board is a workspace that somebody watches. It reads memory when the log has news, once a
second at most, and notes in which round each figure last changed. So who watches has no
queue: the round that was given last says what is new, and a slow reader has the newest.
Nothing here changes with time alone, so where nothing happens nothing is read.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.model import TaskChannel, TaskQueue
from flexcore.domain.statistics import RealTime, Scope, Standings
from flexcore.engine import commands as c
from flexcore.engine.account import Account
from flexcore.engine.reporting import standing

if TYPE_CHECKING:
    from flexcore.engine.port import LogCursor


class Board:
    """How things stand with one workspace, as it was read last."""

    def __init__(
        self, account: Account, workspace_sid: str, clock: Clock, alarm: Alarm
    ) -> None:
        self._account = account
        self._workspace_sid = workspace_sid
        self._clock = clock
        self._alarm = alarm
        self._watchers: dict[LogCursor, None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        #: grows when something is found to have changed; 0 until it was first read
        self._round = 0
        #: who has not seen this round needs everything: a queue was deleted
        self._whole = 1
        self._time = 0
        self._found: dict[str, RealTime] = {}
        self._changed: dict[str, int] = {}
        self._names: dict[str, str] = {}
        #: what was given in this round, to whom had seen which and asked for which queues
        self._given: dict[tuple[int, Sequence[str]], Standings] = {}

    async def watch(self, sids: Sequence[str]) -> AsyncGenerator[Standings, None]:
        """Yield everything, then what changed since; nothing but a time is a heartbeat."""
        cursor = self._account.tail.open(None)
        self._watchers[cursor] = None
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="board")
        seen = 0
        try:
            while not cursor.ended:
                if self._error is not None:
                    raise self._error
                if self._round > seen:
                    found = self._since(seen, sids)
                    seen = self._round
                    if not (found.whole or found.workspace or found.task_queues):
                        continue
                elif await cursor.wait():
                    continue
                else:
                    found = Standings(time=self._clock.now())
                cursor.beaten()
                yield found
        finally:
            cursor.close()
            del self._watchers[cursor]

    @property
    def failed(self) -> bool:
        """Say whether it ended, such as with its workspace."""
        return self._error is not None

    @property
    def watched(self) -> bool:
        """Say whether anybody watches."""
        return bool(self._watchers)

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _since(self, seen: int, sids: Sequence[str]) -> Standings:
        """Return what changed after a round; who asks for the same gets the same."""
        given = self._given.get((seen, sids))
        if given is None:
            whole = seen < self._whole
            new = {
                sid: self._found[sid]
                for sid in (self._workspace_sid, *(sids or self._found))
                if sid in self._found and (whole or self._changed[sid] > seen)
            }
            given = self._given[seen, sids] = Standings(
                time=self._time,
                whole=whole,
                workspace=new.pop(self._workspace_sid, None),
                task_queues=new,
                channel_names=self._names,
            )
        return given

    # reading

    async def _read(self) -> None:
        """Read whenever the log has news, until nobody watches."""
        log = self._account.tail.open(None, ("",))
        try:
            while True:
                next_time = self._clock.now() + limits.STATISTICS_INTERVAL
                self._take(await self._look())
                await self._sleep_until(next_time)
                # What the matcher is still to be told changes figures without an event.
                while not (self._account.decider.matching.behind or await log.wait()):
                    log.beaten()
        except Exception as error:  # noqa: BLE001  # raised to everybody who watches
            self._error = error
            self._wake()
        finally:
            log.close()

    async def _look(self) -> dict[str, RealTime]:
        """Return how things stand when that is durable; others run between queues."""
        account, sid = self._account, self._workspace_sid
        state = account.state
        found = {sid: self._read_one(Scope.WORKSPACE, sid)}
        for number, queue in enumerate(state.where(TaskQueue, "workspace_sid", sid), 1):
            if number % limits.STATISTICS_QUEUES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if queue.sid in state.rows:  # else it was deleted meanwhile
                found[queue.sid] = self._read_one(Scope.TASK_QUEUE, queue.sid)
        self._time = self._clock.now()
        await account.submit(c.Principal(account.sid, "server"), c.Get(sid=sid))
        return found

    def _read_one(self, scope: Scope, sid: str) -> RealTime:
        """Return how one stands: what was found before if it is the same."""
        new = standing.real_time(self._account.decider, scope, sid)
        old = self._found.get(sid)
        return old if old == new and old is not None else new

    def _take(self, found: dict[str, RealTime]) -> None:
        """Note what changed, and tell who watches if anything did."""
        changed = [sid for sid, new in found.items() if self._found.get(sid) is not new]
        deleted = self._found.keys() - found.keys()
        if not changed and not deleted:
            return
        self._round += 1
        if deleted:
            self._whole = self._round
        self._changed = {
            sid: self._changed[sid] for sid in found if sid in self._changed
        } | dict.fromkeys(changed, self._round)
        rows = self._account.state.where(
            TaskChannel, "workspace_sid", self._workspace_sid
        )
        self._names = {row.sid: row.unique_name for row in rows}
        self._found = found
        self._given = {}
        self._wake()

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake()

    async def _sleep_until(self, time: int) -> None:
        if time <= self._clock.now():
            return
        over = asyncio.Event()
        handle = self._alarm.call_at(time, over.set)
        try:
            await over.wait()
        finally:
            handle.cancel()


class Boards:
    """The boards of all accounts that somebody watches."""

    def __init__(self, clock: Clock, alarm: Alarm) -> None:
        self._clock = clock
        self._alarm = alarm
        self._boards: dict[tuple[str, str], Board] = {}

    async def watch(
        self,
        account: Account,
        principal: c.Principal,
        workspace_sid: str,
        sids: Sequence[str],
    ) -> AsyncGenerator[Standings, None]:
        """Yield how a workspace stands, with the queues named or all."""
        gets = (c.Get(sid=sid) for sid in (workspace_sid, *sids))
        answers = await asyncio.gather(*(account.submit(principal, g) for g in gets))
        for answer in answers[1:]:
            (queue,) = answer.rows
            if getattr(queue, "workspace_sid", "") != workspace_sid:
                text = f"{queue.sid} is not in {workspace_sid}"
                raise InvalidArgument("task_queue_sids", text)
        key = (account.sid, workspace_sid)
        board = self._boards.get(key)
        if board is None or board.failed:
            board = Board(account, workspace_sid, self._clock, self._alarm)
            self._boards[key] = board
        watching = board.watch(sids)
        try:
            async for standings in watching:
                yield standings
        finally:
            await watching.aclose()
            if not board.watched and self._boards.get(key) is board:
                del self._boards[key]
                await board.close()
