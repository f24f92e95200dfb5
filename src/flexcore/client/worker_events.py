"""What an agent session tells: events of workers, and why a command was refused."""

from dataclasses import dataclass

from google.rpc import code_pb2, error_details_pb2, status_pb2

from flexcore.v1 import routing_service_pb2 as pb


class CommandRefused(Exception):
    """What a command was refused with, as the unary call would have been."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        #: the name of the code, such as FAILED_PRECONDITION
        self.code = code_pb2.Code.Name(status.code)
        #: the reason, as in error.proto
        self.reason = ""
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                self.reason = info.reason


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """One thing that happened to a worker; or to an activity, and `worker_sid` is empty.

    The type is that of `event`; or `snapshot`, which says how things stand; or
    `unsubscribed`, after which nothing comes of the worker, with a `refusal` if nobody
    asked for it: its reason is SESSION_REPLACED when the worker sits elsewhere now.
    """

    worker_sid: str
    type: str
    event: pb.ReservationEvent | None = None
    snapshot: pb.ReservationSnapshot | None = None
    refusal: CommandRefused | None = None
