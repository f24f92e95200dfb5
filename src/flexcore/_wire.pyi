"""Rows as the bytes of protobuf messages.

It knows how protobuf writes fields, nothing of protobuf's library nor of flexcore.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, final

TEXT: int
"""A string."""
SHORT: int
"""A whole number of 32 bits."""
INTEGER: int
"""A whole number of 64 bits, or a bool."""
WORD: int
"""A word of an enum; `how` has the number of every word."""
TIME: int
"""Microseconds, as a Timestamp."""
SECONDS: int
"""Seconds, as a Duration."""
MESSAGE: int
"""A message; `how` is its Encoder."""

Field: TypeAlias = tuple[
    int, int, str | Callable[[Any], Any], Mapping[Any, int] | Encoder | None, bool, bool
]
"""Number, kind, the row's attribute or what is made of the row, how, optional, repeated."""

@final
class Encoder:
    """How rows of a kind are written: their fields, in this order."""

    def __init__(self, fields: Iterable[Field]) -> None:
        """Note the fields; ValueError for a kind there is not, TypeError without `how`."""
    def encode(self, row: object) -> bytes:
        """Return the fields of a row; O(bytes).

        What is None is left out, and of what is not optional also what is 0, empty or
        false. ValueError for a word that has no number, TypeError and OverflowError for
        what a field cannot hold.
        """

def delimited(field: int, data: bytes) -> bytes:
    """Return a field that holds a text or the fields of a message."""

def integer(field: int, number: int) -> bytes:
    """Return a field that holds a whole number of 64 bits."""
