"""Address configurations and senders as protos; secrets are never among them."""

from flexcore.domain.model import AddressConfiguration, Sender
from flexcore.engine.port import DeadLetter
from flexcore.services.convert import seconds_to_proto, texts, time_to_proto
from flexcore.v1 import channel_pb2

AUTO_CREATION_TEXT = {
    number: text or "default"
    for number, text in texts(channel_pb2.AutoCreation, "AUTO_CREATION").items()
}
AUTO_CREATION = {text: number for number, text in AUTO_CREATION_TEXT.items() if number}


def address_configuration_to_proto(
    row: AddressConfiguration,
) -> channel_pb2.AddressConfiguration:
    """Convert an address configuration."""
    return channel_pb2.AddressConfiguration(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        address=row.address,
        friendly_name=row.friendly_name,
        auto_creation=AUTO_CREATION[row.auto_creation],
        workspace_sid=row.workspace_sid,
        workflow_sid=row.workflow_sid,
        task_channel_sid=row.task_channel_sid,
        attributes=row.attributes,
        priority=row.priority,
        timeout=seconds_to_proto(row.timeout_seconds),
    )


def sender_to_proto(row: Sender) -> channel_pb2.Sender:
    """Convert a sender, with the URLs its carrier has to call."""
    inbound_url = (
        f"{row.public_url.rstrip('/')}/inbound/{row.provider}/{row.endpoint_id}"
    )
    return channel_pb2.Sender(
        sid=row.sid,
        version=row.version,
        create_time=time_to_proto(row.create_time),
        update_time=time_to_proto(row.update_time),
        address=row.address,
        provider=row.provider,
        base_url=row.base_url,
        public_url=row.public_url,
        carrier_account_sid=row.carrier_account_sid,
        deduplicates=row.deduplicates,
        inbound_url=inbound_url,
        status_url=f"{inbound_url}/status",
    )


def dead_letter_to_proto(letter: DeadLetter) -> channel_pb2.DeadLetter:
    """Convert a dead letter."""
    return channel_pb2.DeadLetter(
        sid=letter.sid,
        channel_message_sid=letter.channel_message_sid,
        create_time=time_to_proto(letter.time),
        reason=letter.reason,
    )
