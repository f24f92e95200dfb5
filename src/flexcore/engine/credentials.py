"""Credentials: whom a key or a worker's token stands for.

Asked with every call, and again while a stream lives: so a token's signature is verified
once, and what may change since (the time, its key, its worker) each time.
"""

import hmac
from collections.abc import Mapping

from flexcore.domain import limits
from flexcore.domain.access_tokens import (
    AccessToken,
    expired,
    is_token,
    key_of,
    read_token,
)
from flexcore.domain.clock import Clock
from flexcore.domain.errors import Unauthenticated
from flexcore.domain.model import Key, Worker
from flexcore.engine.account import Account
from flexcore.engine.commands import Principal
from flexcore.engine.directory import DIRECTORY_SID
from flexcore.engine.vault import Vault


class Credentials:
    """Reads credentials as they stand after `Bearer`."""

    def __init__(
        self, accounts: Mapping[str, Account], vault: Vault, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._vault = vault
        self._clock = clock
        #: tokens with a good signature and their keys, those verified last at the end
        self._verified: dict[str, tuple[str, AccessToken]] = {}

    def check(self, credential: str) -> Principal:
        """Return who asks; Unauthenticated unless the credential is good now."""
        if len(credential) > limits.CREDENTIAL_CHARS:
            raise Unauthenticated(
                f"authorization: longer than {limits.CREDENTIAL_CHARS} characters"
            )
        if is_token(credential):
            return self._worker(credential)
        key_sid, _, secret = credential.partition(".")
        if not (key_sid and secret):
            raise Unauthenticated("authorization: no <key sid>.<secret>, and no token")
        key = self._key(key_sid)
        known = self._vault.open(key.sealed_secret, key.sid) if key else ""
        same = hmac.compare_digest(known.encode(), secret.encode())
        if key is None or not same:
            raise Unauthenticated("the key is unknown or its secret is wrong")
        _refuse_revoked(key)
        return Principal(key.account_sid, key.sid, key.operator)

    def _key(self, sid: str) -> Key | None:
        return self._accounts[DIRECTORY_SID].state.find(sid, Key)

    def _worker(self, token: str) -> Principal:
        key_sid, claims = self._verified.get(token) or self._verify(token)
        now = self._clock.now()
        if claims.expire_time <= now:
            del self._verified[token]
            raise expired(claims.expire_time, now)
        key = self._key(key_sid)
        assert key is not None, "keys are revoked, never deleted"
        _refuse_revoked(key)
        worker_sid = claims.grants.worker_sid
        if self._accounts[key.account_sid].state.find(worker_sid, Worker) is None:
            raise Unauthenticated("token: its key's account has no such worker")
        return Principal(key.account_sid, worker_sid, worker_sid=worker_sid)

    def _verify(self, token: str) -> tuple[str, AccessToken]:
        """Read a token, and remember that its signature is good."""
        key = self._key(key_of(token))
        if key is None:
            raise Unauthenticated("token: its key is unknown")
        secret = self._vault.open(key.sealed_secret, key.sid)
        claims = read_token(token, secret, self._clock.now())
        if claims.sub not in ("", key.account_sid):
            raise Unauthenticated("token: sub is not the account of its key")
        if len(self._verified) >= limits.TOKENS_CACHED:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = (key.sid, claims)
        return key.sid, claims


def _refuse_revoked(key: Key) -> None:
    if key.revoke_time:
        raise Unauthenticated(f"key {key.sid} was revoked; ask for another")
