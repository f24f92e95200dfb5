"""Who vouches for which worker: what agent sessions say, kept while they last.

Nothing of this is stored. What it comes to, connected or not, is written down by
NotePresence whenever a worker's row says otherwise; so a note that is lost on the way, or
undone with a commit, is made again with the next heartbeat.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, Handle
from flexcore.domain.errors import (
    Aborted,
    FlexcoreError,
    NotFound,
    Reason,
    ResourceExhausted,
)
from flexcore.domain.model import Worker
from flexcore.domain.states import Connectivity
from flexcore.engine.account import Account
from flexcore.engine.commands import Answer, NotePresence, Principal
from flexcore.engine.routing.presence import batches
from flexcore.engine.setup.policies import policies_of

if TYPE_CHECKING:
    import asyncio


class _Said(Enum):
    """What a worker is, once nobody vouches for them and their row is to say so."""

    #: what follows from the row alone
    NOTHING = auto()
    #: somebody who was there and is gone
    VOUCHED = auto()
    #: nobody's matter
    FORGET = auto()


class Vouching:
    """The sessions of one account, and what is to be written down of their workers."""

    def __init__(self, account: Account, clock: Clock, alarm: Alarm) -> None:
        self._account = account
        self._clock = clock
        self._alarm = alarm
        #: of each worker, and when each session declared it first
        self._sessions: dict[str, dict[Voucher, int]] = {}
        self._declared = 0
        #: workers to be looked at, and what was said of them that their rows may not say
        self._unsettled: dict[str, _Said] = {}
        #: those of them that are being written down
        self._noting: dict[str, _Said] = {}
        self._retry: Handle | None = None
        self._closed = False

    def open(self, ended: Callable[[], None]) -> "Voucher":
        """Return what a session says it with; `ended` is called when it loses workers."""
        return Voucher(self, self._clock, self._alarm, ended)

    def close(self) -> None:
        """Write nothing more: the sessions end because the server does."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()

    def refusal(self, worker_sid: str) -> FlexcoreError | None:
        """Return why nobody can vouch for a worker."""
        found = self._account.state.find(worker_sid, Worker)
        return None if found else NotFound("worker", worker_sid)

    def declared(self, first: int) -> int:
        """Return when workers count as declared: now, or when they were `first`.

        No two declarations have one time, so the same time is the same declaration.
        """
        now = self._clock.now()
        if first:
            return min(first, now)
        self._declared = max(now, self._declared + 1)
        return self._declared

    def add(
        self, voucher: "Voucher", worker_sid: str, time: int
    ) -> FlexcoreError | None:
        """Let a session vouch for a worker, or return why not.

        If one session is to have the worker, that is the one that declared it last: a
        session that was cut says again when it did, and takes nothing from a later one.
        """
        state = self._account.state
        worker = state.need(worker_sid, Worker)
        sessions = self._sessions.setdefault(worker_sid, {})
        if policies_of(state, worker.workspace_sid).second_session == "latest_wins":
            others = [each for each in sessions if each is not voucher]
            if any(sessions[each] > time for each in others):
                return _replaced(worker_sid)
            for other in others:
                other.lose(worker_sid)
                del sessions[other]
        sessions[voucher] = time
        return None

    def remove(self, voucher: "Voucher", worker_sid: str) -> None:
        """Let a session vouch for a worker no more."""
        sessions = self._sessions.get(worker_sid)
        if sessions is not None:
            sessions.pop(voucher, None)
            if not sessions:
                del self._sessions[worker_sid]

    def settle(self, worker_sids: Iterable[str], *, forget: bool = False) -> None:
        """Look at workers, and write down what their rows do not say yet."""
        for sid in worker_sids:
            said = self._said(sid, forget=forget)
            waits = sid in self._noting or sid in self._unsettled
            # A row that is about to change says nothing yet.
            if waits or self._cause(sid, said):
                self._unsettled[sid] = said
        self._note()

    def _said(self, worker_sid: str, *, forget: bool) -> _Said:
        """Return what was said last: to be forgotten is over with the next vouching."""
        if self._vouched(worker_sid):
            return _Said.VOUCHED
        if forget:
            return _Said.FORGET
        return self._unsettled.get(worker_sid, _Said.NOTHING)

    def _note(self) -> None:
        """Write down what one decision may; what is left follows its answer."""
        if self._noting or self._closed or self._retry is not None:
            return
        cause, sids = self._next()
        if not sids:
            return
        few = next(batches(self._account.state, sids))
        self._noting = {sid: self._unsettled.pop(sid) for sid in few}
        command = NotePresence(cause=cause, worker_sids=few)
        answer = self._account.submit(Principal(self._account.sid, ""), command)
        answer.add_done_callback(self._noted)

    def _next(self) -> tuple[str, list[str]]:
        """Return a cause, and workers it is true of: as many as one decision may take.

        After a restart everybody comes back, and each note would look at all who wait.
        """
        common, sids = "", list[str]()
        for sid, said in list(self._unsettled.items()):
            cause = self._cause(sid, said)
            if not cause:
                del self._unsettled[sid]
            elif cause == (common := common or cause):
                sids.append(sid)
                if len(sids) == limits.PRESENCE_AT_ONCE:
                    break
        return common, sids

    def _vouched(self, worker_sid: str) -> bool:
        sessions = self._sessions.get(worker_sid, ())
        return any(not each.silent for each in sessions)

    def _cause(self, worker_sid: str, said: _Said) -> str:
        """Return what has become of a worker that the row does not say; "" if nothing."""
        worker = self._account.state.find(worker_sid, Worker)
        if worker is None:
            return ""
        connected = worker.connectivity is Connectivity.CONNECTED
        if self._vouched(worker_sid):
            return "" if connected else "connect"
        if said is _Said.FORGET:
            untracked = worker.connectivity is Connectivity.UNTRACKED
            return "" if untracked else "forget"
        if connected:
            return "silence"
        # Whoever came and went before it was written down has a grace period too.
        return "connect" if said is _Said.VOUCHED else ""

    def _noted(self, answer: "asyncio.Future[Answer]") -> None:
        undone, self._noting = self._noting, {}
        if not answer.cancelled() and answer.exception() is None:
            # Who was connected by it may have gone meanwhile.
            self.settle(undone)
            return
        since = self._unsettled.items()
        later = {sid: said for sid, said in since if said is not _Said.NOTHING}
        self._unsettled = dict(since) | undone | later
        if not self._closed:
            due = self._clock.now() + limits.FAILURE_WAIT
            self._retry = self._alarm.call_at(due, self._again)

    def _again(self) -> None:
        self._retry = None
        self._note()


class Voucher:
    """What one session says of its workers; a heartbeat speaks for all of them."""

    def __init__(
        self, vouching: Vouching, clock: Clock, alarm: Alarm, ended: Callable[[], None]
    ) -> None:
        self._vouching = vouching
        self._clock = clock
        self._alarm = alarm
        self._ended = ended
        self._workers: dict[str, None] = {}
        self._lost: list[tuple[str, FlexcoreError]] = []
        self._beaten = 0
        #: when all of them were last looked at
        self._settled = 0
        self._waking: Handle | None = None
        #: whether nothing was heard for so long that it vouches for nobody
        self.silent = False

    def connect(self, worker_sids: Iterable[str], first: int = 0) -> int:
        """Vouch for workers from now on; those it cannot vouch for are lost at once.

        `first` is when they were declared first, 0 if that is now; returns that time.
        """
        time = self._vouching.declared(first)
        fresh = []
        for sid in worker_sids:
            refusal = self._refusal(sid) or self._vouching.add(self, sid, time)
            if refusal is not None:
                self._lost.append((sid, refusal))
                self._ended()
                continue
            self._workers[sid] = None
            fresh.append(sid)
        self.beat()
        self._vouching.settle(fresh)
        return time

    def _refusal(self, worker_sid: str) -> FlexcoreError | None:
        most = limits.SESSION_WORKERS
        if worker_sid not in self._workers and len(self._workers) >= most:
            text = f"{most} workers are declared, the most allowed"
            return ResourceExhausted(text, metadata={"limit": str(most)})
        return self._vouching.refusal(worker_sid)

    def disconnect(self, worker_sids: Iterable[str], *, forget: bool = False) -> None:
        """Vouch for workers no more; with `forget` that means nothing about them."""
        sids = list(worker_sids)
        for sid in sids:
            self._workers.pop(sid, None)
            self._vouching.remove(self, sid)
        self._vouching.settle(sids, forget=forget)

    def vouches(self, worker_sid: str) -> bool:
        """Say whether it is said to vouch for a worker, silent or not."""
        return worker_sid in self._workers

    def beat(self) -> None:
        """Vouch for all of them again."""
        self._beaten = self._clock.now()
        if self.silent or self._beaten >= self._settled + limits.PRESENCE_SETTLED:
            self.silent = False
            self._settled = self._beaten
            self._vouching.settle(self._workers)
        if self._workers and self._waking is None:
            self._wake()

    def _wake(self) -> None:
        """Fall silent when nothing was heard for too long."""
        due = self._beaten + limits.PRESENCE_SILENCE
        if self._clock.now() < due:
            self._waking = self._alarm.call_at(due, self._wake)
            return
        self._waking = None
        self.silent = True
        self._vouching.settle(self._workers)

    def lose(self, worker_sid: str) -> None:
        """Leave a worker to a later session."""
        del self._workers[worker_sid]
        self._lost.append((worker_sid, _replaced(worker_sid)))
        self._ended()

    def take_lost(self) -> Sequence[tuple[str, FlexcoreError]]:
        """Return the workers it does not vouch for though nobody asked, and why."""
        lost, self._lost = self._lost, []
        return lost

    def close(self) -> None:
        """End with the session."""
        if self._waking is not None:
            self._waking.cancel()
        self.disconnect(list(self._workers))


def _replaced(worker_sid: str) -> Aborted:
    return Aborted(
        f"worker {worker_sid} is in a later session",
        reason=Reason.SESSION_REPLACED,
        metadata={"sid": worker_sid},
    )
