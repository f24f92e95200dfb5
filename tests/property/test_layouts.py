"""Rows as bytes, against protobuf: a message whose fields are set one by one."""

import enum
import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as AnyMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from flexcore.domain import limits, model
from flexcore.domain.log import Cause, ChangeSet, Event
from flexcore.domain.plans import DEFAULT_FILTER, EXHAUSTION, RESTART, ROUTED
from flexcore.domain.states import WAITING_TASK, ReservationStatus
from flexcore.services.convert_routing import place_to_proto
from flexcore.services.convert_rows import LAYOUTS, TO_PROTO
from flexcore.services.encoded import encode
from flexcore.services.excerpt import Excerpt
from flexcore.v1 import event_pb2
from tests.unit.test_convert import BESIDE

#: where a field of a message comes from if not from the row's field of that name
FROM: Mapping[str, Callable[[Any], Any]] = {
    "Task.timeout": lambda row: row.timeout_seconds,
    "Task.deadline": lambda row: row.status in WAITING_TASK and row.deadline,
    "Task.routing_targets": lambda row: row.routes,
    "Task.routing_target_index": lambda row: None if row.route < 0 else row.route,
    "Task.step": lambda row: row,
    "RoutingTarget.wait": lambda route: route.wait_seconds,
    "RoutingStep.place": lambda row: place(row)["place"],
    "RoutingStep.filter_index": lambda row: place(row)["filter_index"],
    "RoutingStep.target_index": lambda row: place(row)["target_index"],
    "RoutingStep.start_time": lambda row: row.step_start,
    "RoutingStep.deadline": lambda row: row.step_deadline,
    "Reservation.deadline": lambda row: (
        row.status is ReservationStatus.PENDING and row.deadline
    ),
    "WorkerChannel.last_offered_time": lambda row: row.last_offered,
    "WorkerChannel.last_released_time": lambda row: row.last_released,
    "Event.place_sid": lambda event: event.place,
    "Event.place_time": lambda event: event.since,
    "Event.known_worker": lambda event: "" if of_capacity(event) else event.value,
    "Event.previous_capacity": lambda event: (
        int(event.value) if of_capacity(event) and event.value else None
    ),
}
#: what `told` sets
TOLD_BESIDE = {"Event.sequence", "ChangeSet.resources"}
#: what a field may hold, by name, if not whatever its type can
ONLY: Mapping[str, st.SearchStrategy[Any]] = {
    "InteractionParticipant.type": st.sampled_from(["customer", "agent"]),
    "Task.step_filter": st.sampled_from(
        [0, 1, 2**31 - 1, DEFAULT_FILTER, EXHAUSTION, RESTART, ROUTED]
    ),
    "Task.route": st.integers(-1, 2**31 - 1),
    "Event.type": st.sampled_from(["task.created", "worker.capacity.update"]),
    "Event.value": st.sampled_from(["", "0", "50"]),
}

#: numbers of 64 bits, and the last words of what times are called
LONG_FIELDS = frozenset({"version", "sequence", "index", "message_count"})
TIMED = frozenset(
    {"time", "deadline", "until", "since", "start", "offered", "released"}
)

RESOURCE = event_pb2.Resource.DESCRIPTOR
RESOURCES = st.deferred(lambda: st.one_of(*map(rows, LAYOUTS)))

SHORT = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 127, 128, 16_384])
LONG = st.integers(-(2**63), 2**63 - 1) | SHORT
#: as far as a Timestamp and a Duration go
TIMES = st.just(0) | st.integers(-62_135_596_800, 253_402_300_799).flatmap(
    lambda second: st.integers(0, 999_999).map(
        lambda rest: second * limits.SECOND + rest
    )
)
SECONDS = st.just(0) | st.integers(0, 315_576_000_000)
TEXTS = st.text(max_size=5) | st.sampled_from(["é" * 64, "x" * 127, "x" * 200])


def place(row: model.Task) -> Any:
    return place_to_proto(row.step_filter, row.step_target)


def of_capacity(event: Event) -> bool:
    return event.type == "worker.capacity.update"


def fill(message: AnyMessage, row: Any) -> None:
    """Set the fields of a message one by one."""
    for field in message.DESCRIPTOR.fields:
        name = f"{message.DESCRIPTOR.name}.{field.name}"
        if field.name in BESIDE or name in TOLD_BESIDE:
            continue
        value = FROM[name](row) if name in FROM else getattr(row, field.name)
        if field.is_repeated and field.message_type is None:
            getattr(message, field.name).extend(value)
        elif field.is_repeated:
            for each in value:
                fill(getattr(message, field.name).add(), each)
        elif field.message_type is None:
            if value is not None:
                setattr(message, field.name, number_of(field, value))
        elif value or name == "Task.virtual_start_time":
            set_message(getattr(message, field.name), value)


def number_of(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None or not isinstance(value, str):
        return value
    prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return field.enum_type.values_by_name[prefix + value.upper()].number


def set_message(message: AnyMessage, value: Any) -> None:
    kind = message.DESCRIPTOR.name
    if kind == "Timestamp":
        message.FromMicroseconds(value)  # type: ignore[attr-defined]
    elif kind == "Duration":
        message.FromSeconds(value)  # type: ignore[attr-defined]
    else:
        message.SetInParent()
        fill(message, value)


def told(change_set: ChangeSet) -> event_pb2.ChangeSet:
    """Return what a stream without a filter tells of a change set."""
    message = event_pb2.ChangeSet()
    fill(message, change_set)
    for sequence, event in enumerate(message.events, change_set.first_sequence):
        event.sequence = sequence
    fields = {each.message_type.name: each.name for each in RESOURCE.fields}
    for row in change_set.resources:
        resource = getattr(message.resources.add(), fields[type(row).__name__])
        resource.SetInParent()
        fill(resource, row)
        if isinstance(row, model.Task):
            age = (change_set.time - row.create_time) // limits.SECOND
            resource.age.FromSeconds(age)
    return message


def in_any_order(messages: Iterable[AnyMessage]) -> list[bytes]:
    return sorted(each.SerializeToString(deterministic=True) for each in messages)


@functools.cache
def rows(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a struct, of all that its fields can hold."""
    drawn = {
        name: values(hint, name)
        for name, hint in typing.get_type_hints(kind).items()
        if name in kind.__struct_fields__
    }
    only = {name: ONLY.get(f"{kind.__name__}.{name}") for name in drawn}
    return st.builds(
        kind,
        **drawn | {name: found for name, found in only.items() if found is not None},
    )


def values(hint: Any, name: str) -> st.SearchStrategy[Any]:
    if isinstance(hint, types.UnionType):
        some = [each for each in typing.get_args(hint) if each is not types.NoneType]
        return st.none() | st.one_of(values(each, name) for each in some)
    if typing.get_origin(hint) is tuple:
        return st.lists(values(typing.get_args(hint)[0], name), max_size=3).map(tuple)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if issubclass(hint, msgspec.Struct):
        return rows(hint)
    return {str: TEXTS, bool: st.booleans(), int: numbers(name)}[hint]


def numbers(name: str) -> st.SearchStrategy[int]:
    if name.endswith("_seconds"):
        return SECONDS
    if name.rpartition("_")[2] in TIMED:
        return TIMES
    return LONG if name in LONG_FIELDS else SHORT


@pytest.mark.parametrize("kind", LAYOUTS, ids=lambda kind: kind.__name__)
@settings(max_examples=60)
@given(data=st.data())
def test_a_row_is_written_as_protobuf_writes_it(
    kind: type[model.Row], data: st.DataObject
) -> None:
    row = data.draw(rows(kind))
    expected = type(TO_PROTO[kind](row))()
    fill(expected, row)

    assert LAYOUTS[kind].encode(row) == expected.SerializeToString(deterministic=True)
    assert TO_PROTO[kind](row) == expected


@settings(max_examples=100)
@given(
    head=st.fixed_dictionaries(
        {
            "first_sequence": st.integers(1, 2**62),
            "last_sequence": st.integers(1, 2**62),
            "time": TIMES,
            "command_id": TEXTS,
            "actor": TEXTS,
            "cause": st.sampled_from(Cause),
        }
    ),
    events=st.lists(rows(Event), min_size=1, max_size=4).map(tuple),
    resources=st.lists(RESOURCES, max_size=3, unique_by=lambda row: row.sid).map(tuple),
    data=st.data(),
)
def test_a_change_set_is_told_as_protobuf_would_tell_it(
    head: Any, events: Any, resources: Any, data: st.DataObject
) -> None:
    sids = [row.sid for row in resources]
    deleted = data.draw(st.lists(st.sampled_from(sids), unique=True)) if sids else []
    change_set = ChangeSet(
        account_sid="AC1",
        events=events,
        resources=resources,
        deleted=tuple(deleted),
        **head,
    )
    excerpt = Excerpt(change_set, encode(change_set))
    expected, joined = told(change_set), event_pb2.ChangeSet()
    for part in excerpt.parts(1):
        # What is repeated is added to what there is.
        joined.MergeFromString(part)

    assert event_pb2.ChangeSet.FromString(excerpt.whole) == expected
    assert joined.events == expected.events
    assert in_any_order(joined.resources) == in_any_order(expected.resources)
    assert sorted(joined.deleted) == sorted(deleted)
