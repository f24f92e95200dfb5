"""What is written as bytes is what protobuf would have written."""

from typing import Any

import msgspec
import pytest

from flexcore import _wire
from flexcore.domain.model import Message, Row, Task
from flexcore.domain.parts import Media
from flexcore.domain.states import TaskStatus
from flexcore.services.convert import time_to_proto
from flexcore.services.convert_rows import TO_PROTO, encode_row
from flexcore.services.layout import Layout
from flexcore.v1 import conversation_pb2, event_pb2, routing_pb2, routing_service_pb2
from tests.factories import TIME, make_row

#: where a number takes one byte more, in 32 and in 64 bits
NUMBERS = [0, 1, 127, 128, 16_383, 16_384, 2**31 - 1, 2**32, 2**63 - 1, -1, -(2**63)]
TEXTS = ["", "a", "\0a\0", "ä€😀", "x" * 127, "x" * 128, "x" * 16_383, "é" * 16_384]


class Fields(msgspec.Struct):
    """A row with a field of every type there is."""

    type: str = ""
    sid: str = ""
    version: int = 0
    place_time: int = 0
    previous_capacity: int | None = None


FIELDS = Layout(
    event_pb2.Event, beside=("sequence", "place_sid", "reason", "known_worker")
)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_those_of_protobuf(number: int) -> None:
    expected = event_pb2.Event(version=number)

    assert FIELDS.encode(Fields(version=number)) == expected.SerializeToString()
    if number:
        assert _wire.integer(3, number) == expected.SerializeToString()


@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_texts_are_those_of_protobuf(text: str) -> None:
    expected = event_pb2.Event(sid=text)

    assert FIELDS.encode(Fields(sid=text)) == expected.SerializeToString()
    if text:
        assert _wire.delimited(2, text.encode()) == expected.SerializeToString()


@pytest.mark.parametrize("time", [0, 1, 999_999, 1_000_000, TIME + 7, -1, -1_500_000])
def test_times_are_those_of_protobuf(time: int) -> None:
    expected = event_pb2.Event(place_time=time_to_proto(time))

    assert FIELDS.encode(Fields(place_time=time)) == expected.SerializeToString()


@pytest.mark.parametrize("capacity", [None, 0, 7, -1, 2**31 - 1, -(2**31)])
def test_an_optional_field_may_be_nothing_or_none(capacity: int | None) -> None:
    expected = event_pb2.Event(previous_capacity=capacity)
    row = Fields(previous_capacity=capacity)

    assert FIELDS.encode(row) == expected.SerializeToString()


@pytest.mark.parametrize("length", [0, 100, 200, 20_000])
def test_messages_within_messages_may_be_of_any_size(length: int) -> None:
    media = tuple(Media(f"https://{'x' * (length + n)}", "image/png") for n in range(3))
    message = TO_PROTO[Message](make_row(Message, media=media))

    assert [each.url for each in message.media] == [each.url for each in media]


@pytest.mark.parametrize("kind", TO_PROTO, ids=lambda kind: kind.__name__)
def test_a_row_is_encoded_as_it_is_converted(kind: type[Row]) -> None:
    row = make_row(kind)
    found = type(TO_PROTO[kind](row)).FromString(encode_row(row, TIME + 61_000_000))
    expected = TO_PROTO[kind](row)
    if isinstance(found, routing_pb2.Task):
        expected.age.FromSeconds(61)

    assert found == expected


def test_a_task_that_is_new_has_an_age_of_nothing() -> None:
    row = make_row(Task, create_time=TIME)
    found = routing_pb2.Task.FromString(encode_row(row, TIME))

    assert found.HasField("age")
    assert found.age.seconds == 0


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (Fields(version=2**63), OverflowError),
        (Fields(version=-(2**63) - 1), OverflowError),
        (Fields(previous_capacity=2**31), OverflowError),
        (Fields(previous_capacity=-(2**31) - 1), OverflowError),
        (Fields(sid=7), TypeError),
        (Fields(version="7"), TypeError),
        (Fields(version=7.5), TypeError),
        (Fields(place_time=7.5), TypeError),
        (Fields(sid="\ud800"), UnicodeEncodeError),
        (object(), AttributeError),
    ],
    ids=[
        "too large",
        "too small",
        "too large for 32 bits",
        "too small for 32 bits",
        "no text",
        "no number",
        "no whole number",
        "no whole time",
        "no UTF-8",
        "no row",
    ],
)
def test_what_a_field_cannot_hold_is_refused(row: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        FIELDS.encode(row)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (_wire.MESSAGE, TypeError),
        (_wire.WORD, TypeError),
        (_wire.TEXT - 1, ValueError),
        (_wire.MESSAGE + 1, ValueError),
    ],
)
def test_an_encoder_is_made_of_kinds_there_are_with_what_they_need(
    kind: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        _wire.Encoder([(1, kind, "sid", None, False, False)])


def test_a_word_without_a_number_is_refused() -> None:
    layout = Layout(
        conversation_pb2.ReceiptEntry,
        beside=("time", "error_code"),
        status={TaskStatus.PENDING: 3, "other": 4},
    )

    class Status(msgspec.Struct):
        status: str

    assert layout.message(Status(TaskStatus.PENDING)).status == 3
    assert layout.message(Status("other")).status == 4
    assert layout.message(Status("pending")).status == 3
    with pytest.raises(ValueError, match="not in tuple"):
        layout.encode(Status("unheard of"))


def test_a_layout_names_fields_there_are() -> None:
    with pytest.raises(AssertionError, match="Event has no price"):
        Layout(event_pb2.Event, price="sid")


def test_a_layout_refuses_fields_of_types_it_cannot_write() -> None:
    with pytest.raises(AssertionError, match="status is of a type"):
        Layout(routing_service_pb2.Unsubscribed)


def test_a_layout_refuses_numbers_that_repeat() -> None:
    """Protobuf packs them, which a layout cannot."""
    request = routing_service_pb2.GetTaskQueueStatisticsRequest
    names = {field.name for field in request.DESCRIPTOR.fields}
    with pytest.raises(AssertionError, match="split_by_wait_time repeats"):
        Layout(request, beside=names - {"split_by_wait_time"})


def test_a_field_may_have_the_largest_number_there_is() -> None:
    assert _wire.integer(2**29 - 1, 1) == bytes.fromhex("f8ffffff0f01")
    assert _wire.delimited(2**29 - 1, b"a") == bytes.fromhex("faffffff0f0161")
