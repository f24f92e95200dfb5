"""The directory: an account of its own, above the others.

It knows which accounts there are, their keys, and which business address belongs to
which account. It is decided, logged and recovered like any account.
"""

from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.errors import AlreadyExists, FailedPrecondition, NotFound, Reason
from flexcore.domain.model import Account, Claim, Key
from flexcore.engine.commands import (
    ClaimAddress,
    CreateAccount,
    CreateKey,
    ReleaseAddress,
    RevokeKey,
)
from flexcore.engine.decision import Decision
from flexcore.engine.setup.workspaces import Rows, refuse_full, required
from flexcore.engine.vault import Vault

#: the directory's own account sid; no credential belongs to it
DIRECTORY_SID = "AC" + "0" * 32


class Directory:
    """The handlers of the directory."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def create_account(self, decision: Decision, command: CreateAccount) -> Rows:
        """Create a tenant."""
        name = required(command.friendly_name, "friendly_name")
        count = decision.state.count_of(Account)
        directory = decision.state.account_sid
        refuse_full(count, limits.ACCOUNTS_MAX, "accounts", directory)
        row = Account(sid=decision.ids.sid("AC"), friendly_name=name)
        return (decision.create(row, "account.created"),)

    def create_key(self, decision: Decision, command: CreateKey) -> Rows:
        """Create a key; its secret is drawn here and kept sealed."""
        account = decision.get(command.account_sid, Account)
        keys = decision.state.where(Key, "account_sid", account.sid)
        count = sum(not key.revoke_time for key in keys)
        refuse_full(count, limits.KEYS_MAX, "keys", account.sid)
        sid = decision.ids.sid("SK")
        row = Key(
            sid=sid,
            account_sid=account.sid,
            friendly_name=required(command.friendly_name, "friendly_name"),
            sealed_secret=self._vault.seal(decision.ids.secret(), sid),
            operator=command.operator,
        )
        return (decision.create(row, "key.created"),)

    def revoke_key(self, decision: Decision, command: RevokeKey) -> Rows:
        """End the use of a key; revoking it again changes nothing."""
        key = decision.get(command.sid, Key)
        if key.account_sid != command.account_sid:
            raise NotFound("key", command.sid)
        if key.revoke_time:
            return (key,)
        _refuse_last(decision, key)
        return (decision.change(key, "key.revoked", revoke_time=decision.now),)

    def claim_address(self, decision: Decision, command: ClaimAddress) -> Rows:
        """Give a business address to an account; it can have only one."""
        address = str(parse_address(command.address, "address"))
        claim = decision.state.find(address, Claim)
        if claim is None:
            row = Claim(sid=address, account_sid=command.account_sid)
            return (decision.create(row, "address.claimed"),)
        if claim.account_sid == command.account_sid:
            return (claim,)
        if claim.account_sid:
            raise AlreadyExists(
                f"address {address} belongs to another account",
                metadata={"field": "address"},
            )
        return (
            decision.change(claim, "address.claimed", account_sid=command.account_sid),
        )

    def release_address(self, decision: Decision, command: ReleaseAddress) -> Rows:
        """Take back a claim that nothing came of."""
        claim = decision.state.find(command.address, Claim)
        if claim is None or claim.account_sid != command.account_sid:
            return ()
        return (decision.change(claim, "address.released", account_sid=""),)


def _refuse_last(decision: Decision, key: Key) -> None:
    """Refuse to lock an account, or all operators, out."""
    living = [row for row in decision.state.of_kind(Key) if not row.revoke_time]
    own = [row for row in living if row.account_sid == key.account_sid]
    operators = [row for row in living if row.operator]
    for keys, whose in (
        (own, f"of account {key.account_sid}"),
        (operators, "of an operator"),
    ):
        if keys == [key]:
            raise FailedPrecondition(
                f"key {key.sid} is the last {whose}; create another first",
                reason=Reason.RESOURCE_REQUIRED,
                metadata={"sid": key.sid},
            )
