"""Business addresses: what a first message starts, and who carries it."""

from flexcore.domain.model.row import Row


class AddressConfiguration(
    Row, frozen=True, gc=False, kw_only=True, tag="address_configuration"
):
    """What a first message to a business address starts.

    `auto_creation` is `none` (dead letter), `default` (a conversation) or `interaction`
    (a conversation, its interaction, an invite and a task).
    """

    address: str
    friendly_name: str = ""
    auto_creation: str = "default"
    workspace_sid: str = ""
    workflow_sid: str = ""
    task_channel_sid: str = ""
    attributes: str = "{}"
    priority: int = 0
    timeout_seconds: int = 0


class Sender(Row, frozen=True, gc=False, kw_only=True, tag="sender"):
    """A business address at a carrier: where to send, and how its webhooks are signed.

    `endpoint_id` is the unguessable part of its webhook URLs; `deduplicates` says that
    the carrier drops a repeated client reference, so that an unknown send may be resent.
    """

    address: str
    provider: str
    endpoint_id: str
    base_url: str
    public_url: str
    carrier_account_sid: str
    sealed_auth_token: bytes
    deduplicates: bool = False
