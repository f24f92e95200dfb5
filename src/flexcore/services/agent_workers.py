"""The workers of an agent session: who is told of, and for whom it vouches.

What the backend says of them is taken at once. What it is told of that waits for its place
in the feed, and so does what it asks for.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from flexcore.domain import limits
from flexcore.domain.errors import (
    FlexcoreError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from flexcore.engine import commands
from flexcore.engine.commands import Principal
from flexcore.engine.port import LogCursor, Port, Voucher
from flexcore.services.agent_feed import AgentFeed
from flexcore.services.convert import time_from_proto
from flexcore.v1 import routing_service_pb2 as pb

#: what a declaration may say of a worker
_DECLARED = (
    "connected_worker_sids",
    "disconnected_worker_sids",
    "untracked_worker_sids",
)


class AgentWorkers:
    """Who comes to one session and who leaves it."""

    def __init__(
        self,
        port: Port,
        principal: Principal,
        cursor: LogCursor,
        voucher: Voucher,
        feed: AgentFeed,
    ) -> None:
        self._port = port
        self._principal = principal
        self._cursor = cursor
        self._voucher = voucher
        self._feed = feed
        #: whether somebody was to be subscribed; afterwards there is no going back
        self._begun = False
        #: who is to be told of, or no more, and how many workers these are
        self._asked: deque[pb.Subscribe | pb.Unsubscribe] = deque()
        self._asked_workers = 0
        #: when those of each declaration were declared first, to be told
        self._declared: list[int] = []
        #: workers the session does not vouch for though nobody asked, and why
        self._lost: deque[tuple[str, FlexcoreError]] = deque()

    # what the backend says

    def declare(self, declare: pb.Declare) -> None:
        """Vouch for workers, or no more."""
        _check_once(declare)

        def own(sids: Iterable[str]) -> Sequence[str]:
            mine, others = self._own(sids)
            self._lost += ((sid, NotFound("worker", sid)) for sid in others)
            return mine

        self._disconnect(own(declare.disconnected_worker_sids))
        self._disconnect(own(declare.untracked_worker_sids), forget=True)
        connected = own(declare.connected_worker_sids)
        first = self._voucher.connect(connected, time_from_proto(declare.declare_time))
        if declare.connected_worker_sids:
            self._declared.append(first)
        for sid in filter(self._voucher.vouches, connected):
            # It need not be told of them, but has to hear that they are deleted.
            self._cursor.watch(sid)
        self._lost += self._voucher.take_lost()
        # Who is declared anew was not told yet that another session had taken it.
        self._lost = deque(
            lost for lost in self._lost if not self._voucher.vouches(lost[0])
        )
        self._check_untold()

    def _disconnect(self, sids: Sequence[str], *, forget: bool = False) -> None:
        self._voucher.disconnect(sids, forget=forget)
        for sid in sids:
            if sid not in self._feed.workers:
                self._cursor.unwatch(sid)

    def ask(self, asked: pb.Subscribe | pb.Unsubscribe) -> None:
        """Take a wish; it is fulfilled when the feed is there."""
        self._asked.append(asked)
        self._asked_workers += max(1, len(asked.worker_sids))
        self._check_untold()

    def _next_asked(self) -> pb.Subscribe | pb.Unsubscribe:
        asked = self._asked.popleft()
        self._asked_workers -= max(1, len(asked.worker_sids))
        return asked

    def _check_untold(self) -> None:
        """End a session that says more than it is told; behind it waits what it says next.

        To wait instead would be to wait for an acknowledgment and not to read it.
        """
        untold = self._asked_workers + len(self._lost) + len(self._declared)
        if untold > limits.SESSION_UNTOLD:
            most = limits.SESSION_UNTOLD
            raise self._feed.behind(f"more than {most} workers are to be told of")

    # who comes and who leaves

    @property
    def waiting(self) -> bool:
        """Say whether something is to be told of who comes or leaves."""
        return bool(self._asked or self._lost or self._declared)

    def take_declared(self) -> list[int]:
        """Return when those of each declaration were declared first, to be written."""
        declared, self._declared = self._declared, []
        return declared

    async def change(self) -> bool:
        """Let the next ones come or leave; False if nobody may now."""
        if self._feed.waiting:
            return False
        if self._drop_lost():
            return True
        near = self._cursor.behind <= limits.SESSION_SUBSCRIBE_BEHIND
        if not (self._asked and near):
            return False
        asked = self._next_asked()
        if isinstance(asked, pb.Subscribe):
            await self._subscribe(asked)
        else:
            self._unsubscribe(asked)
        return True

    def _drop_lost(self) -> bool:
        """Leave a worker that the session lost; say whether there was one."""
        self._lost += self._voucher.take_lost()
        if not self._lost:
            return False
        sid, error = self._lost.popleft()
        self._feed.leave((sid,), error)
        return True

    def _unsubscribe(self, asked: pb.Unsubscribe) -> None:
        sids = list(dict.fromkeys(asked.worker_sids))
        told = self._feed.workers
        self._disconnect([sid for sid in sids if sid not in told])
        self._feed.leave([sid for sid in sids if sid in told])

    async def _subscribe(self, asked: pb.Subscribe) -> None:
        told = self._feed.workers
        wanted, others = self._own(
            sid for sid in dict.fromkeys(asked.worker_sids) if sid not in told
        )
        for sid in others:
            self._feed.leave((sid,), NotFound("worker", sid))
        later, self._begun = self._begun, True
        if asked.resume_token and later:
            text = "only the first Subscribe of a session may have one"
            raise InvalidArgument("subscribe.resume_token", text)
        if asked.resume_token and self._feed.resume(asked.resume_token, wanted):
            await self._feed.say(pb.AgentSessionResponse())
            return
        room = limits.SESSION_WORKERS - len(told)
        if wanted[room:]:
            text = f"{limits.SESSION_WORKERS} workers are subscribed, the most allowed"
            limit = {"limit": str(limits.SESSION_WORKERS)}
            error = ResourceExhausted(text, metadata=limit)
            self._feed.leave(wanted[room:], error)
        for first in range(0, len(wanted[:room]), limits.SESSION_SNAPSHOTS):
            await self._join(wanted[:room][first : first + limits.SESSION_SNAPSHOTS])
            while await self._feed.write_next():
                pass

    async def _join(self, sids: Sequence[str]) -> None:
        """Take snapshots; each has its place in the feed."""
        answers = await asyncio.gather(
            *(
                self._port.submit(self._principal, commands.Snapshot(sid=sid))
                for sid in sids
            ),
            return_exceptions=True,
        )
        for sid, answer in zip(sids, answers, strict=True):
            if isinstance(answer, NotFound):
                self._feed.leave((sid,), answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._feed.join(sid, answer)

    def _own(self, wanted: Iterable[str]) -> tuple[list[str], list[str]]:
        """Tell apart for whom a worker's token is and is not: a place needs no snapshot."""
        wanted, mine = list(wanted), self._principal.worker_sid
        if not self._principal.is_worker:
            return wanted, []
        own = [sid for sid in wanted if sid == mine]
        return own, [sid for sid in wanted if sid != mine]


def _check_once(declare: pb.Declare) -> None:
    """Raise InvalidArgument when one declaration says two things of a worker."""
    said: dict[str, str] = {}
    for field in _DECLARED:
        for number, sid in enumerate(getattr(declare, field)):
            if said.setdefault(sid, field) != field:
                text = f"{sid} is in {said[sid]} too"
                raise InvalidArgument(f"declare.{field}[{number}]", text)
