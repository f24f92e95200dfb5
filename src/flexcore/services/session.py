"""Who is calling: set by the interceptor, read by the servicers.

Every call runs in a task of its own, so a context variable is as good as an argument
and cannot be seen by another call.
"""

import base64
import binascii
from collections.abc import Iterable
from contextvars import ContextVar

import msgspec

from flexcore.domain.errors import PermissionDenied, Unauthenticated
from flexcore.engine.commands import Principal
from flexcore.engine.port import Port


class Session(msgspec.Struct, frozen=True):
    """A principal, and the credential that can be checked again."""

    principal: Principal
    key_sid: str
    secret: str

    def check(self, port: Port) -> None:
        """Raise Unauthenticated if the key was revoked since."""
        port.authenticate(self.key_sid, self.secret)


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
            key_sid, secret = _credential(str(value))
            return Session(port.authenticate(key_sid, secret), key_sid, secret)
    raise Unauthenticated("authorization: no credential")


def refreshed(port: Port, before: Session, token: str) -> Session:
    """Return the session of another credential, which must be of the same account."""
    key_sid, secret = _credential(f"Bearer {token}")
    after = Session(port.authenticate(key_sid, secret), key_sid, secret)
    if after.principal.account_sid != before.principal.account_sid:
        raise PermissionDenied("AgentSession", "token: belongs to another account")
    return after


def _credential(value: str) -> tuple[str, str]:
    """Read `Bearer <key sid>.<secret>` or `Basic base64(<key sid>:<secret>)`."""
    scheme, _, text = value.partition(" ")
    separator = "."
    if scheme.lower() == "basic":
        separator = ":"
        try:
            text = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unauthenticated("authorization: not base64 of text") from error
    elif scheme.lower() != "bearer":
        raise Unauthenticated("authorization: neither Basic nor Bearer")
    key_sid, found, secret = text.partition(separator)
    if not (key_sid and found and secret):
        raise Unauthenticated(f"authorization: no key sid{separator}secret")
    return key_sid, secret
