"""Pieces of messages: fields of a response, encoded, and how many of them one carries.

What is larger than a message comes in several. They are joined as they are written: of
what is large, no more than a message is encoded at a time.
"""

from collections.abc import Iterable, Iterator

from flexcore.domain import limits


def fits(count: int, size: int) -> bool:
    """Say whether one message may carry so many pieces of so many bytes."""
    most = limits.STREAM_MESSAGE_EVENTS
    return count <= most and size <= limits.STREAM_MESSAGE_BYTES


def messages_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join pieces, in order, as many to each message as fit: one at least."""
    message: list[bytes] = []
    size = 0
    for piece in pieces:
        if message and not fits(len(message) + 1, size + len(piece)):
            yield b"".join(message)
            message, size = [], 0
        message.append(piece)
        size += len(piece)
    if message:
        yield b"".join(message)
