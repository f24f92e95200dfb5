"""Secrets at rest: sealed with AES-256-GCM under the data folder's key file."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flexcore.domain.ids import Ids

_NONCE_BYTES = 12


class Vault:
    """Seals and opens secrets; `context` ties a secret to the row it belongs to."""

    def __init__(self, key: bytes, ids: Ids) -> None:
        self._cipher = AESGCM(key)
        self._ids = ids

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
