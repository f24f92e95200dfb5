"""The one place that draws random numbers: sids, endpoint ids, secrets.

A sid is two letters and 32 lower-case hex digits. Those minted here are a UUIDv7 after
the prefix, which keeps B-trees tight; imported ones are not, so nothing orders by sid.
"""

import hashlib
import random
import re
import secrets
from typing import Protocol

from flexcore.domain.clock import Clock

#: resource name by prefix; the prefix is what a sid says about itself
RESOURCES = {
    "AC": "account",
    "SK": "key",
    "WS": "workspace",
    "WA": "activity",
    "TC": "task channel",
    "WQ": "task queue",
    "WW": "workflow",
    "WV": "workflow revision",
    "WK": "worker",
    "WC": "worker channel",
    "WT": "task",
    "WR": "reservation",
    "KD": "interaction",
    "UO": "interaction channel",
    "UT": "interaction participant",
    "KG": "invite",
    "CH": "conversation",
    "MB": "participant",
    "IM": "message",
    "DY": "receipt",
    "IG": "address configuration",
    "XE": "sender",
    "OB": "outbox entry",
}

SID_PATTERN = re.compile(r"[A-Z]{2}[0-9a-f]{32}\Z")


class Randomness(Protocol):
    """A source of random bits."""

    def getrandbits(self, k: int, /) -> int:
        """Return `k` random bits."""
        ...


class Ids:
    """Mints sids in time order; `secret` draws what must not be guessed."""

    def __init__(self, clock: Clock, randomness: Randomness | None = None) -> None:
        self._clock = clock
        self._bits = (randomness or random.Random(secrets.randbits(256))).getrandbits
        self._seeded = randomness is not None

    def sid(self, prefix: str) -> str:
        """Return `prefix` and a UUIDv7 in hex."""
        milliseconds = self._clock.now() // 1_000 & 0xFFFF_FFFF_FFFF
        low = self._bits(74)
        value = milliseconds << 80 | 7 << 76 | (low >> 62) << 64
        value |= 2 << 62 | low & 0x3FFF_FFFF_FFFF_FFFF
        return f"{prefix}{value:032x}"

    def secret(self, size: int = 32) -> str:
        """Return `size` unguessable bytes in hex (repeatable only when seeded)."""
        if self._seeded:
            return f"{self._bits(size * 8):0{size * 2}x}"
        return secrets.token_hex(size)

    def nonce(self, size: int) -> bytes:
        """Return `size` unguessable bytes."""
        return bytes.fromhex(self.secret(size))


def fingerprint(data: bytes) -> bytes:
    """Return the hash that tells one request from another (16 bytes)."""
    return hashlib.blake2b(data, digest_size=16).digest()
