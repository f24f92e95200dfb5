"""Senders: business addresses at a carrier, with the credentials to reach it."""

from urllib.parse import urlsplit

from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.errors import AlreadyExists, InvalidArgument
from flexcore.domain.model import Sender
from flexcore.engine.commands import CreateSender, UpdateSender
from flexcore.engine.decision import Decision
from flexcore.engine.setup.workspaces import Rows, refuse_full, required
from flexcore.engine.vault import Vault

#: protocols a sender can speak; each has a handler in channels/
PROVIDERS = ("twilio",)


class Senders:
    """The handlers that touch credentials, which they keep sealed."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def create(self, decision: Decision, command: CreateSender) -> Rows:
        """Create a sender and the unguessable id of its webhook URLs."""
        address = str(parse_address(command.address, "address"))
        if command.provider not in PROVIDERS:
            raise InvalidArgument(
                "provider", f"{command.provider!r} is not one of {', '.join(PROVIDERS)}"
            )
        taken = decision.state.where(Sender, "address", address)
        if taken:
            raise AlreadyExists(
                f"address {address} has the sender {taken[0].sid}",
                metadata={"sid": taken[0].sid, "field": "address"},
            )
        count = decision.state.count_of(Sender)
        account = decision.state.account_sid
        refuse_full(count, limits.SENDERS_MAX, "senders", account)
        sid = decision.ids.sid("XE")
        token = required(command.auth_token, "auth_token")
        row = Sender(
            sid=sid,
            address=address,
            provider=command.provider,
            endpoint_id=decision.ids.secret(16),
            base_url=_url(command.base_url, "base_url"),
            public_url=_url(command.public_url, "public_url"),
            carrier_account_sid=required(
                command.carrier_account_sid, "carrier_account_sid"
            ),
            sealed_auth_token=self._vault.seal(token, sid),
            deduplicates=command.deduplicates,
        )
        return (decision.create(row, "sender.created"),)

    def update(self, decision: Decision, command: UpdateSender) -> Rows:
        """Change where and how a sender reaches its carrier."""
        row = decision.get(command.sid, Sender)
        decision.expect(row, command.expected_version)
        changes: dict[str, object] = {}
        if command.base_url is not None:
            changes["base_url"] = _url(command.base_url, "base_url")
        if command.public_url is not None:
            changes["public_url"] = _url(command.public_url, "public_url")
        if command.carrier_account_sid is not None:
            changes["carrier_account_sid"] = required(
                command.carrier_account_sid, "carrier_account_sid"
            )
        if command.auth_token is not None:
            token = required(command.auth_token, "auth_token")
            changes["sealed_auth_token"] = self._vault.seal(token, row.sid)
        if command.deduplicates is not None:
            changes["deduplicates"] = command.deduplicates
        return (decision.change(row, "sender.updated", **changes),)


def _url(text: str, field: str) -> str:
    """Return a base URL without its trailing slash."""
    parts = urlsplit(text)
    if len(text) > limits.URL_CHARS or parts.scheme not in ("http", "https"):
        raise InvalidArgument(field, "must be an http or https URL of 2048 characters")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidArgument(field, "must have a host and no user, query or fragment")
    return text.rstrip("/")
