"""Layouts: which field of a row each field of its proto is, said once.

A layout writes a row's proto as bytes, as streams send it by the thousand: setting the
fields of a message object one by one costs ten times as much. Whoever needs the object
has it read from the bytes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from operator import itemgetter
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore import _wire

M = TypeVar("M", bound=Message)

#: the number of every word of an enum
Numbers: TypeAlias = Mapping[Any, int]
#: a field of the row of that name, or what is to be made of the row
Of: TypeAlias = str | Callable[[Any], Any]
#: where a field comes from if not from the row's field of that name, how it is written if
#: that does not follow from its type, or both
Source: TypeAlias = "Of | Numbers | Layout[Any] | tuple[Of, Numbers | Layout[Any]]"

_MESSAGES = {
    Timestamp.DESCRIPTOR.full_name: _wire.TIME,
    Duration.DESCRIPTOR.full_name: _wire.SECONDS,
}
_PLAIN = {
    FieldDescriptor.TYPE_STRING: _wire.TEXT,
    FieldDescriptor.TYPE_BOOL: _wire.INTEGER,
    FieldDescriptor.TYPE_INT32: _wire.SHORT,
    FieldDescriptor.TYPE_INT64: _wire.INTEGER,
    FieldDescriptor.TYPE_ENUM: _wire.SHORT,
}


class Layout(Generic[M]):
    """How rows of a kind are written.

    Every field of the proto comes from the row's field of that name, unless `sources` say
    otherwise or it is told `beside`, by who knows it. Fields that are 0, empty or false
    are left out, unless it is `always` written; those with presence (`optional`) when they
    are None.
    """

    def __init__(
        self,
        proto: type[M],
        beside: Iterable[str] = (),
        always: Collection[str] = (),
        **sources: Source,
    ) -> None:
        self._proto = proto
        fields = {
            field.name: field
            for field in proto.DESCRIPTOR.fields
            if field.name not in beside
        }
        unknown = sources.keys() - fields.keys()
        assert not unknown, f"{proto.DESCRIPTOR.name} has no {', '.join(unknown)}"
        made = (
            _field(field, sources.get(name, name), always=name in always)
            for name, field in fields.items()
        )
        # By number, as protobuf writes them.
        self._encoder = _wire.Encoder(sorted(made, key=itemgetter(0)))
        #: returns the proto of a row as bytes
        self.encode = self._encoder.encode

    def message(self, row: object) -> M:
        """Return the proto of a row."""
        return self._proto.FromString(self.encode(row))

    @property
    def encoder(self) -> _wire.Encoder:
        """What writes it as a part of another one."""
        return self._encoder


def _field(field: Any, source: Source, *, always: bool) -> "_wire.Field":
    of: Of
    how: Numbers | Layout[Any] | None
    if isinstance(source, tuple):
        of, how = source
    elif isinstance(source, Mapping | Layout):
        of, how = field.name, source
    else:
        of, how = source, None
    optional = always or (field.has_presence and field.message_type is None)
    written = how.encoder if isinstance(how, Layout) else how
    kind = _kind(field, how)
    # Numbers would have to be packed.
    alone = not field.is_repeated or kind in (_wire.TEXT, _wire.MESSAGE)
    assert alone, f"{field.name} repeats what nobody needed to repeat so far"
    return field.number, kind, of, written, optional, field.is_repeated


def _kind(field: Any, how: Numbers | Layout[Any] | None) -> int:
    if isinstance(how, Layout):
        return _wire.MESSAGE
    if how is not None:
        return _wire.WORD
    if field.message_type is not None:
        return _MESSAGES[field.message_type.full_name]
    assert field.type in _PLAIN, f"{field.name} is of a type nobody needed so far"
    return _PLAIN[field.type]
