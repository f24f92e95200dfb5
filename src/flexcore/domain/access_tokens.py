"""Access tokens: what a key hands to one worker, for a while.

A JWT, signed with the secret of an API key by whoever holds it, so that handing one out asks
no server. It can do less than the key (engine/ownership.py), and ends with it.

    header  {"alg": "HS256", "typ": "JWT", "kid": "SK..."}
    claims  {"iat": ..., "exp": ..., "grants": {"worker_sid": "WK..."}}

`sub` may name the account and `nbf` when it begins; then both have to be right.
"""

from typing import Annotated, Any, Final

import jwt
import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import Reason, Unauthenticated

_ALGORITHM: Final = "HS256"
#: times are checked here, by the clock that is given
_OPTIONS: Final[Any] = {
    "require": ["exp", "iat"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
_Sid = Annotated[str, msgspec.Meta(pattern=r"^WK[0-9a-f]{32}\Z")]


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token is for: to be one worker. An unknown grant is refused, not passed over."""

    worker_sid: _Sid


class AccessToken(msgspec.Struct, frozen=True):
    """The claims of a token that is good."""

    grants: Grants
    iat: _Seconds
    exp: _Seconds
    nbf: _Seconds = 0
    sub: str = ""

    @property
    def expire_time(self) -> int:
        """When it ends, in microseconds."""
        return self.exp * limits.SECOND


def is_token(credential: str) -> bool:
    """Say whether a credential is a token; that of a key has one dot."""
    return credential.count(".") == 2


def write_token(
    key_sid: str,
    secret: str,
    worker_sid: str,
    now: int,
    lifetime: int = limits.TOKEN_LIFETIME_DEFAULT,
) -> str:
    """Return a token for a worker; times in microseconds."""
    start = now // limits.SECOND
    claims = {
        "iat": start,
        "exp": start + lifetime // limits.SECOND,
        "grants": {"worker_sid": worker_sid},
    }
    return jwt.encode(claims, secret, _ALGORITHM, headers={"kid": key_sid})


def key_of(token: str) -> str:
    """Return the sid of the key a token says it is signed with."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Unauthenticated("token: not a JWT") from error
    key_sid = header.get("kid")
    if not isinstance(key_sid, str):
        raise Unauthenticated("token: its header names no key as kid")
    return key_sid


def lifetime_of(credential: str) -> int:
    """Return for how many seconds a token is good in all, unverified; 0 of what is none."""
    try:
        claims = jwt.decode(credential, options={"verify_signature": False})
        found = msgspec.convert(claims, AccessToken)
    except (jwt.PyJWTError, msgspec.ValidationError):
        return 0
    return max(0, found.exp - found.iat)


def read_token(token: str, secret: str, now: int) -> AccessToken:
    """Return what a token says; Unauthenticated unless it is good now."""
    try:
        claims = jwt.decode(token, secret, [_ALGORITHM], options=_OPTIONS)
        found = msgspec.convert(claims, AccessToken)
    except jwt.InvalidAlgorithmError as error:
        raise Unauthenticated(f"token: not signed with {_ALGORITHM}") from error
    except jwt.InvalidSignatureError as error:
        raise Unauthenticated("token: the signature is not its key's") from error
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise Unauthenticated(f"token: {_text(error)}") from error
    _check_times(found, now)
    return found


def _check_times(token: AccessToken, now: int) -> None:
    """Hold a token against the clock: others' may be wrong by TOKEN_LEEWAY."""
    if token.expire_time <= now:
        raise expired(token.expire_time, now)
    latest = (now + limits.TOKEN_LEEWAY) // limits.SECOND
    if token.iat > latest or token.nbf > latest:
        raise Unauthenticated("token: iat or nbf is in the future")
    most = limits.TOKEN_LIFETIME_MAX // limits.SECOND
    if token.exp - token.iat > most:
        text = (
            f"token: lives for {token.exp - token.iat} seconds, at most {most} allowed"
        )
        raise Unauthenticated(text)


def expired(expire_time: int, now: int) -> Unauthenticated:
    """Return the refusal of a token that has ended."""
    ago = (now - expire_time) / limits.SECOND
    return Unauthenticated(
        f"token: expired {ago:.0f} s ago; ask for another",
        reason=Reason.CREDENTIAL_EXPIRED,
    )


def _text(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
