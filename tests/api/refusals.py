"""What a refused call tells its caller, unpacked, and held to what error.proto says."""

import re
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

ERRORS = Path(__file__).parents[2] / "protos/flexcore/v1/error.proto"


#: keys that error.proto shows and says when they are missing
SOMETIMES = {"RESOURCE_EXISTS": {"sid"}, "LIMIT_EXCEEDED": {"sid"}}


class Example(NamedTuple):
    """What error.proto shows for a reason."""

    code: str
    keys: set[str]


@cache
def examples() -> dict[str, Example]:
    """Return what error.proto shows for each reason."""
    found = {}
    for block in ERRORS.read_text().split("ERROR_REASON_"):
        code = re.search(r"^  //     ([A-Z_]+)\b", block, re.MULTILINE)
        shown = re.search(r'reason: "([A-Z_]+)",[\s/]*metadata: \{([^}]*)\}', block)
        if code and shown:
            keys = set(re.findall(r'"(\w+)":', shown[2]))
            found[shown[1]] = Example(code[1], keys)
    return found


@dataclass
class Refusal:
    code: str
    text: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    #: what is wrong, by field
    fields: dict[str, str] = field(default_factory=dict)
    retry: bool = False

    def __iter__(self) -> Any:
        return iter((self.code, self.reason))


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Await a call that must fail as documented; return what it was refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    found = unpacked(caught.value)
    if found.reason:
        example = examples()[found.reason]
        must = example.keys - SOMETIMES.get(found.reason, set())
        assert found.code == example.code, found.reason
        assert found.metadata.keys() >= must, found.text
    return found


def unpacked(error: grpc.aio.AioRpcError) -> Refusal:
    found = Refusal(error.code().name, error.details() or "")
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            found.reason, found.domain = info.reason, info.domain
            found.metadata = dict(info.metadata)
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            each = request.field_violations
            found.fields = {one.field: one.description for one in each}
        found.retry |= detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    return found
