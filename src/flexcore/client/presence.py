"""Who is connected, as a session says it, and says it again after a cut."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.v1 import routing_service_pb2 as pb


@dataclass(slots=True, eq=False)
class Declaration:
    """Workers who were said to be connected at once, and when, once the server told it.

    Said again with that time it takes nobody from a session that had them later.
    """

    time: Timestamp | None = None


class Presence:
    """Whom a session vouches for, and what the server has to be told of that."""

    def __init__(self) -> None:
        self._connected: dict[str, Declaration] = {}
        #: said to be untracked, perhaps to nobody: it is said once more with a new session
        self._untracked: set[str] = set()
        #: what the server was told in this connection and has not answered
        self._said: deque[Declaration] = deque()

    @property
    def connected(self) -> Sequence[str]:
        """The workers it vouches for."""
        return tuple(self._connected)

    def connect(self, worker_sids: Iterable[str]) -> Declaration:
        """Vouch for workers; what is returned is to be said."""
        declaration = Declaration()
        fresh = [sid for sid in worker_sids if sid not in self._connected]
        self._connected.update(dict.fromkeys(fresh, declaration))
        self._untracked.difference_update(fresh)
        return declaration

    def disconnect(self, worker_sids: Iterable[str], *, untrack: bool) -> pb.Declare:
        """Vouch for workers no more, and return how that is said."""
        gone = list(worker_sids)
        self.forget(gone)
        if not untrack:
            return pb.Declare(disconnected_worker_sids=gone)
        self._untracked.update(gone)
        return pb.Declare(untracked_worker_sids=gone)

    def forget(self, worker_sids: Iterable[str]) -> None:
        """Vouch for workers no more, as the server knows."""
        for sid in worker_sids:
            self._connected.pop(sid, None)

    def say(self, declaration: Declaration) -> pb.Declare | None:
        """Return how a declaration is said; None if it was, or concerns nobody now."""
        sids = [sid for sid, each in self._connected.items() if each is declaration]
        if not sids or declaration in self._said:
            return None
        return self._declare(declaration, sids)

    def say_again(self) -> Iterator[pb.Declare]:
        """Yield what a new session has to be told."""
        self._said.clear()
        if self._untracked:
            yield pb.Declare(untracked_worker_sids=sorted(self._untracked))
            self._untracked.clear()
        declared: dict[Declaration, list[str]] = {}
        for sid, declaration in self._connected.items():
            declared.setdefault(declaration, []).append(sid)
        for declaration, sids in declared.items():
            yield self._declare(declaration, sids)

    def answered(self, time: Timestamp) -> None:
        """Take the server's answer to the next declaration."""
        self._said.popleft().time = time

    def _declare(self, declaration: Declaration, sids: Sequence[str]) -> pb.Declare:
        self._said.append(declaration)
        return pb.Declare(connected_worker_sids=sids, declare_time=declaration.time)
