"""Garbage is refused with a code that says whose fault it is, and changes nothing."""

import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    MethodDescriptor,
)
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from tests.api.world import METHODS, STREAMS, World, build, path_of
from tests.serving import Serving

BLAMES_THE_SERVER = {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
#: what a call may be given without being refused for its size
LONG = "x" * (1024 * 1024 - 1024)
DEEP = '{"a":' * 10_000 + "1" + "}" * 10_000
TEXTS = (
    LONG,
    DEEP,
    "\0",
    "\u2028",
    "\ufeff{}",
    "{" * 60_000,
    '{"a":1e999}',
    '{"a":' + "9" * 5_000 + "}",
    '{"a":NaN}',
    '{"\\ud800":1}',
    "WT" + "0" * 32 + "\n",
    "+" + "9" * 300,
    "'; DROP TABLE task; --",
    "(" * 4_000,
    "NOT " * 1_000 + "a",
    "a[99999999999999999999]==1",
)
NUMBERS = (-(2**63), -(2**31), -1, 2**31 - 1, 2**63 - 1)
#: no text, and no message
NOT_UTF8 = b"\x0a\x02\xff\xfe"
BYTES = (b"\xff\xff\xff", b"\x0a", NOT_UTF8, b"\x0b" * 200)


def texts(field: FieldDescriptor) -> Iterator[Any]:
    for text in TEXTS:
        yield [text] if field.is_repeated else text


def spoiled(world: World, rpc: str) -> Iterator[bytes]:
    """Yield requests with one field that is garbage each, and bytes that are."""
    for field in METHODS[rpc].input_type.fields:
        for value in garbage(field):
            # What does not even fit into the field is no request.
            try:
                request = world.request(rpc, **{field.name: value})
            except ValueError:
                continue
            yield request.SerializeToString()
    yield from BYTES
    yield from _random(METHODS[rpc])


def garbage(field: FieldDescriptor) -> Iterator[Any]:
    """Yield bad values of a field; of a message, messages with one bad field each."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from texts(field)
    elif field.message_type and field.message_type.file.package == "flexcore.v1":
        for value in _messages(field.message_type):
            yield [value] if field.is_repeated else value
    elif field.message_type and not field.is_repeated:
        kind = GetMessageClass(field.message_type)
        bounds = ((-(2**63), -1), (2**63 - 1, 2**31 - 1), (1, -(2**31)))
        yield from (kind(seconds=s, nanos=n) for s, n in bounds)
    elif field.cpp_type in _INTEGERS:
        for number in NUMBERS:
            yield [number] if field.is_repeated else number


def _messages(descriptor: Descriptor) -> Iterator[Message]:
    kind = GetMessageClass(descriptor)
    yield kind()
    for field in descriptor.fields:
        for value in garbage(field):
            try:
                yield kind(**{field.name: value})
            except ValueError:
                continue


_INTEGERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_ENUM,
)


def _random(method: MethodDescriptor) -> Iterator[bytes]:
    """Yield random bytes, most of which decode: unknown fields are kept, not refused."""
    draw, kind = random.Random(method.name), GetMessageClass(method.input_type)
    found = 0
    while found < 10:
        data = draw.randbytes(draw.randrange(1, 12))
        if _decodes(kind(), data):
            found += 1
            yield data


def _decodes(message: Message, data: bytes) -> bool:
    try:
        message.ParseFromString(data)
    except DecodeError:
        return False
    return True


async def code_of(world: World, rpc: str, data: bytes, key: str) -> str:
    """Send bytes; return the code, of a stream when its first message is there."""
    channel, path = world.client.grpc_channel, path_of(METHODS[rpc])
    metadata = (("authorization", f"Bearer {key}"),)
    try:
        if rpc in STREAMS:
            stream = channel.unary_stream(path)(data, metadata=metadata, timeout=10)
            await stream.read()
            stream.cancel()
            return "OK"
        await channel.unary_unary(path)(data, metadata=metadata, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.slow
async def test_garbage_is_never_the_servers_fault(serving: Serving) -> None:
    world = await build(serving, serving.client)
    assert serving.server.first_key is not None
    key = ".".join(serving.server.first_key)
    odd = {}
    for rpc in METHODS:
        for data in spoiled(world, rpc):
            code = await code_of(world, rpc, data, key)
            if code in BLAMES_THE_SERVER:
                odd[rpc, bytes(data[:40])] = code

    assert odd == {}


@pytest.mark.parametrize("data", BYTES)
async def test_bytes_that_are_no_request_are_a_bad_argument(
    serving: Serving, data: bytes
) -> None:
    assert serving.server.first_key is not None
    key = ".".join(serving.server.first_key)
    world = World(serving, serving.client, 1)

    assert await code_of(world, "CreateTask", data, key) == "INVALID_ARGUMENT"
    assert await code_of(world, "CreateTask", data, "nonsense") == "UNAUTHENTICATED"
