"""How log rows and outbox entries are read back: checked, or not at all."""

import zlib

import msgspec

from flexcore.domain.log import ChangeSet, decode_change_set
from flexcore.store.interface import OutboxEntry, StoreCorrupt

#: first_sequence, last_sequence, checksum, body
LogRow = tuple[int, int, int, bytes]

encode_outbox = msgspec.msgpack.Encoder().encode
decode_outbox = msgspec.msgpack.Decoder(OutboxEntry).decode


def decode_log_row(account_sid: str, row: LogRow) -> ChangeSet:
    """Return the change set of a log row; StoreCorrupt if it is not what was written."""
    first, last, checksum, body = row
    found = zlib.crc32(body)
    if found != checksum:
        raise StoreCorrupt(
            f"log of account {account_sid}: change set {first} to {last} has checksum"
            f" {found}, and {checksum} was written"
        )
    change_set = decode_change_set(body)
    if (change_set.first_sequence, change_set.last_sequence) != (first, last):
        raise StoreCorrupt(
            f"log of account {account_sid}: change set {first} to {last} holds"
            f" {change_set.first_sequence} to {change_set.last_sequence}"
        )
    return change_set
