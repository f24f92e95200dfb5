"""What every conversion needs: times, durations, enums. `0`, `""` and unset mean none."""

import functools
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.domain import limits

if TYPE_CHECKING:
    # The stubs' name for the class of every generated enum.
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

V = TypeVar("V", bound=int)


@functools.lru_cache(1024)  # most of what a change set shows happened at one time
def time_to_proto(microseconds: int) -> Timestamp | None:
    """Return a time, or None for 0."""
    if not microseconds:
        return None
    seconds, rest = divmod(microseconds, limits.SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


def duration_to_proto(microseconds: int) -> Duration | None:
    """Return a duration, or None for 0."""
    if not microseconds:
        return None
    seconds, rest = divmod(microseconds, limits.SECOND)
    return Duration(seconds=seconds, nanos=rest * 1_000)


def time_from_proto(time: Timestamp) -> int:
    """Return microseconds; what is finer is cut."""
    return time.seconds * limits.SECOND + time.nanos // 1_000


def given_time(request: Any, field: str) -> int | None:
    """Return the time a field holds, or None when it was not given."""
    found = given(request, field)
    return None if found is None else time_from_proto(found)


def seconds_to_proto(seconds: int) -> Duration | None:
    """Return a duration, or None for 0."""
    return Duration(seconds=seconds) if seconds else None


def numbers(
    enum: "_EnumTypeWrapper[V]", prefix: str, kind: type[StrEnum]
) -> Mapping[StrEnum, V]:
    """Return the proto's number for every member of `kind`; ValueError if one lacks."""
    return {member: enum.Value(f"{prefix}_{member.name}") for member in kind}


def texts(enum: "_EnumTypeWrapper[V]", prefix: str) -> Mapping[V, str]:
    """Return the domain's word for every number of `enum`; "" for the unspecified."""
    found = {number: name.removeprefix(f"{prefix}_") for name, number in enum.items()}
    return {
        number: "" if name == "UNSPECIFIED" else name.lower()
        for number, name in found.items()
    }


def words(text: Mapping[V, str], numbers_given: Iterable[V]) -> tuple[str, ...]:
    """Return the domain's words for numbers of an enum, each once."""
    return tuple(sorted({text[number] for number in numbers_given}))


def given(request: Any, field: str) -> Any:
    """Return what a field holds, or None when it was not given."""
    return getattr(request, field) if request.HasField(field) else None
