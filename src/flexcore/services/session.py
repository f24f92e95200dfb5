"""Who is calling: set by the interceptor, read by the servicers.

Every call runs in a task of its own, so a context variable is as good as an argument
and cannot be seen by another call.
"""

import base64
import binascii
from collections.abc import Iterable
from contextvars import ContextVar

import msgspec
from msgspec import structs

from flexcore.domain.errors import NotFound, PermissionDenied, Unauthenticated
from flexcore.engine.commands import Principal
from flexcore.engine.port import Port


class Session(msgspec.Struct, frozen=True):
    """A principal, and the credential that can be checked again."""

    principal: Principal
    credential: str

    def check(self, port: Port) -> None:
        """Raise Unauthenticated if the credential expired or was revoked since."""
        port.authenticate(self.credential)

    def acting_for(self, worker_sid: str) -> "Session":
        """Return what a command is given with that has to be about one worker.

        NotFound when the credential is another worker's.
        """
        if self.principal.worker_sid not in ("", worker_sid):
            raise NotFound("worker", worker_sid)
        principal = structs.replace(self.principal, worker_sid=worker_sid)
        return structs.replace(self, principal=principal)


_SESSION: ContextVar[Session] = ContextVar("session")

begin = _SESSION.set
session = _SESSION.get


def caller() -> Principal:
    """Return the principal of the call that is being served."""
    return _SESSION.get().principal


def open_session(port: Port, metadata: Iterable[tuple[str, str | bytes]]) -> Session:
    """Find the credential of a call and who it stands for; Unauthenticated if none."""
    for name, value in metadata:
        if name == "authorization":
            credential = _credential(str(value))
            return Session(port.authenticate(credential), credential)
    raise Unauthenticated("authorization: no credential")


def refreshed(port: Port, before: Session, credential: str) -> Session:
    """Return the session of another credential, which must stand for the same."""
    after = Session(port.authenticate(credential), credential)
    if after.principal.account_sid != before.principal.account_sid:
        raise PermissionDenied("AgentSession", "token: belongs to another account")
    if after.principal.worker_sid != before.principal.worker_sid:
        text = "token: a worker's token is replaced by one of the same worker, a key by a key"
        raise PermissionDenied("AgentSession", text)
    return after


def _credential(value: str) -> str:
    """Read `Bearer <key sid>.<secret>`, `Bearer <token>`, or Basic with a key."""
    scheme, _, text = value.partition(" ")
    if scheme.lower() == "bearer":
        return text
    if scheme.lower() != "basic":
        raise Unauthenticated("authorization: neither Basic nor Bearer")
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthenticated("authorization: not base64 of text") from error
    key_sid, found, secret = decoded.partition(":")
    if not found or "." in decoded:
        raise Unauthenticated("authorization: no <key sid>:<secret>")
    return f"{key_sid}.{secret}"
