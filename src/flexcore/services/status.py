"""The one place where a refusal becomes a gRPC status.

A status travels in trailing metadata, for which clients allow 8 KiB by default; a text
or a list of violations that would not fit is cut.
"""

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError, Kind

DOMAIN: Final = "flexcore.dev"

#: characters of the text of a status; percent-encoded, one takes up to twelve bytes
TEXT_CHARS: Final = 200
#: bytes of all field violations together
VIOLATIONS_BYTES: Final = 2_048

_CODES: Final = {kind: grpc.StatusCode[kind.name] for kind in Kind}


def code_of(error: FlexcoreError) -> grpc.StatusCode:
    """Return the code a refusal is answered with."""
    return _CODES[error.kind]


def status_of(error: FlexcoreError) -> grpc.Status:
    """Return what a call is ended with."""
    status: grpc.Status = rpc_status.to_status(status_to_proto(error))
    return status


def status_to_proto(error: FlexcoreError) -> status_pb2.Status:
    """Return the whole status: code, text, ErrorInfo, and what else is known."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason.value, domain=DOMAIN, metadata=error.metadata
        )
    ]
    if error.violations:
        details.append(_bad_request(error))
    if error.retry_after is not None:
        details.append(_retry_info(error.retry_after))
    return status_pb2.Status(
        code=code_pb2.Code.Value(error.kind.name),
        message=_cut(error.text),
        details=[_pack(detail) for detail in details],
    )


def _bad_request(error: FlexcoreError) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for field, text in error.violations:
        request.field_violations.add(field=_cut(field), description=_cut(text))
        if request.ByteSize() > VIOLATIONS_BYTES:
            del request.field_violations[-1]
            break
    return request


def _retry_info(microseconds: int) -> error_details_pb2.RetryInfo:
    seconds, rest = divmod(microseconds, limits.SECOND)
    delay = Duration(seconds=seconds, nanos=rest * 1_000)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _pack(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 3]}..."
