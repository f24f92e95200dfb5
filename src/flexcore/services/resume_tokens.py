"""Resume tokens: a place in one stream, in a text that only this server can write.

A token is all there is: the server keeps nothing of a stream that ended. It says whose log
it is a place in, in which epoch of it, after which sequence, and of which stream with which
filter (a hash); it is signed, so that what it says can be believed.
"""

import binascii
import hmac

import msgspec

from flexcore.domain.errors import InvalidArgument
from flexcore.domain.ids import fingerprint
from flexcore.engine.commands import Principal
from flexcore.engine.port import Port
from flexcore.services.paging import from_text, to_text

_FIELD = "resume_token"


class _Place(msgspec.Struct, frozen=True, array_like=True):
    account_sid: str
    epoch: int
    sequence: int
    stream: bytes


class _Signed(msgspec.Struct, frozen=True, array_like=True):
    place: msgspec.Raw
    signature: bytes


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_signed = msgspec.msgpack.Decoder(_Signed).decode
_decode_place = msgspec.msgpack.Decoder(_Place).decode


def stream_hash(rpc: str, of: object) -> bytes:
    """Return what tells a stream from another: its RPC and what it is filtered by."""
    return fingerprint(_encode((rpc, of)))


class SetHash:
    """The hash of a stream of several subjects, which come and go; O(1) each.

    A sum of hashes does not depend on order, and who could find two sets with the same sum
    would confuse nobody but himself.
    """

    def __init__(self, rpc: str) -> None:
        self._rpc = rpc
        self._sum = 0

    def add(self, sid: str) -> None:
        """Count a subject in."""
        self._sum += int.from_bytes(stream_hash(self._rpc, sid))

    def remove(self, sid: str) -> None:
        """Count a subject out."""
        self._sum -= int.from_bytes(stream_hash(self._rpc, sid))

    @property
    def digest(self) -> bytes:
        """The hash of those counted in; empty of none, who have no place."""
        if not self._sum:
            return b""
        return fingerprint(self._sum.to_bytes(32, signed=True))


class ResumeTokens:
    """Writes and reads the tokens of one stream of one account."""

    def __init__(self, port: Port, principal: Principal, stream: bytes) -> None:
        self._port = port
        self._principal = principal
        self._epoch = port.log_end(principal).epoch
        #: may change while the stream lives, if its filter does
        self.stream = stream
        #: what was written last; the heartbeats of a quiet account say it again and again
        self._place: tuple[int, bytes] | None = None
        self._token = ""

    def write(self, sequence: int) -> str:
        """Return the token of a place: opaque, URL-safe; empty for a stream of nothing."""
        if not self.stream:
            return ""
        if self._place != (sequence, self.stream):
            self._place = (sequence, self.stream)
            self._token = self._signed(*self._place)
        return self._token

    def _signed(self, sequence: int, stream: bytes) -> str:
        account_sid = self._principal.account_sid
        place = _encode(_Place(account_sid, self._epoch, sequence, stream))
        return to_text(_encode(_Signed(msgspec.Raw(place), self._port.sign(place))))

    def read(self, token: str) -> int:
        """Return the sequence of a place.

        InvalidArgument when the token was altered or is of another stream, OutOfRange when
        it was written by a log that this one did not grow from.
        """
        found = self._open(token)
        same = found.account_sid == self._principal.account_sid
        if not same or found.stream != self.stream:
            text = "belongs to another stream or another filter"
            raise InvalidArgument(_FIELD, text)
        self._port.check_epoch(self._principal, found.epoch, found.sequence)
        return found.sequence

    def _open(self, token: str) -> _Place:
        try:
            signed = _decode_signed(from_text(token))
            body = bytes(signed.place)
            found = _decode_place(body)
        except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
            raise InvalidArgument(_FIELD, "not a resume token") from error
        if not hmac.compare_digest(self._port.sign(body), signed.signature):
            raise InvalidArgument(_FIELD, "was not written by this server, or altered")
        return found
