"""What a refused call says, as far as callers act on it."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def error_reason(error: grpc.RpcError) -> str:
    """Return the reason a call was refused for, as in error.proto; "" if it has none."""
    info = _error_info(error)
    return info.reason if info else ""


def _error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
