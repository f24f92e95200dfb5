"""What the data folder's key is for: secrets are sealed with it, tokens signed.

Secrets at rest with AES-256-GCM; what is handed out and has to come back unaltered with
HMAC-SHA256. What only has to be the same each time is not kept at all, but derived.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flexcore.domain.ids import Ids

_NONCE_BYTES = 12
_DERIVED_BYTES = 32
_SIGNATURE_BYTES = 16


class Vault:
    """Seals and opens secrets; `context` ties a secret to the row it belongs to."""

    def __init__(self, key: bytes, ids: Ids) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self._ids = ids
        self._signing_key = self.derive("resume tokens")

    def seal(self, secret: str, context: str) -> bytes:
        """Return nonce and ciphertext."""
        nonce = self._ids.nonce(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> str:
        """Return the secret; ValueError if the key file is not the one it was sealed with."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, body, context.encode()).decode()
        except InvalidTag as error:
            raise ValueError(
                "a stored secret does not open with this data folder's key file"
            ) from error

    def derive(self, context: str) -> bytes:
        """Return the secret of a context: the same each time, and no clue to another."""
        kdf = HKDF(SHA256(), _DERIVED_BYTES, salt=None, info=context.encode())
        return kdf.derive(self._key)

    def sign(self, body: bytes) -> bytes:
        """Return what proves that this server wrote `body`: 128 bits."""
        return hmac.digest(self._signing_key, body, hashlib.sha256)[:_SIGNATURE_BYTES]
