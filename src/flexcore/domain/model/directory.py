"""Accounts, their keys, and the addresses they claim."""

from flexcore.domain.model.row import Row


class Account(Row, frozen=True, gc=False, kw_only=True, tag="account"):
    """A tenant, and the unit of ownership."""

    friendly_name: str
    epoch: int = 1


class Key(Row, frozen=True, gc=False, kw_only=True, tag="key"):
    """An API key; `sealed_secret` is encrypted with the data folder's key file."""

    account_sid: str
    friendly_name: str
    sealed_secret: bytes
    operator: bool = False
    revoke_time: int = 0


class Claim(Row, frozen=True, gc=False, kw_only=True, tag="claim"):
    """A business address that belongs to one account; `sid` is the address itself."""

    account_sid: str
