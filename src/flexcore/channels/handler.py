"""What a provider's protocol is to the rest of the house: one small interface.

A handler turns webhooks into commands and outbox entries into requests. The kind of an
address (`whatsapp:`, `messenger:`, bare = SMS) selects a row of the capability table in
`domain/addresses.py`; it never selects other code.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from flexcore.engine.commands import ReceiveMessage, ReceiveStatus
from flexcore.engine.port import Endpoint, Transport


class Webhook(msgspec.Struct, frozen=True):
    """A request as it arrived.

    `url` is the endpoint's public URL with path and query as called: what the carrier
    signed. `headers` and `query` are looked up by name.
    """

    endpoint_id: str
    endpoint: Endpoint
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class Acknowledgement(msgspec.Struct, frozen=True):
    """The body a carrier expects when its webhook was taken."""

    body: bytes
    content_type: str


class Handler(Transport, Protocol):
    """One provider's protocol; sends and finds as the outbox's `Transport`."""

    @property
    def acknowledgement(self) -> Acknowledgement:
        """What to answer once the command is durable."""
        ...

    def parse_inbound(self, webhook: Webhook) -> ReceiveMessage:
        """Return the command a message webhook stands for.

        Unauthenticated when its signature does not fit; InvalidArgument when it names
        no message. Anything else wrong with it is for the engine to put down.
        """
        ...

    def parse_status(self, webhook: Webhook) -> ReceiveStatus | None:
        """Return the command a status webhook stands for, None when it says no news.

        Raises like `parse_inbound`; InvalidArgument also when it names no receipt.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
