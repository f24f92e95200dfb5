"""The log: what a change set is, and how it is written down.

A change set is everything one command changed: its events in order, and each touched
resource once, as it is afterwards. Sequences count events and have no gaps within an
account, so a change set spans `first_sequence` to `last_sequence`. Streams, webhooks,
statistics, audit and replay all read this one log.
"""

from enum import StrEnum

import msgspec

from flexcore.domain.model import Resource


class Cause(StrEnum):
    """What made a change set happen."""

    REQUEST = "request"
    TIMER = "timer"
    PROVIDER = "provider"
    POLICY = "policy"


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One fact: its type, the resource, and the resource's version afterwards."""

    type: str
    sid: str
    version: int


class ChangeSet(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One log row.

    `answer` names the resources that the caller was given, so that a repeated request
    is answered from here; `beside` are those among them that were not touched.
    `subjects` are the workers and conversations a narrow stream
    of which must see this change set.
    """

    account_sid: str
    first_sequence: int
    last_sequence: int
    time: int
    command_id: str
    actor: str
    cause: Cause
    events: tuple[Event, ...]
    resources: tuple[Resource, ...]
    answer: tuple[str, ...] = ()
    beside: tuple[Resource, ...] = ()
    subjects: tuple[str, ...] = ()

    def rows(self) -> dict[str, Resource]:
        """Return the touched resources by sid."""
        return {row.sid: row for row in self.resources}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ChangeSet)
_row_decoder = msgspec.msgpack.Decoder(Resource)

encode_change_set = _encoder.encode
decode_change_set = _decoder.decode
encode_row = _encoder.encode
decode_row = _row_decoder.decode
encode_rows = _encoder.encode
decode_rows = msgspec.msgpack.Decoder(tuple[Resource, ...]).decode
