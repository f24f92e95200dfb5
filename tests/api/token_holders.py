"""Workers who come in with tokens of their own."""

from typing import Any

from flexcore.client import Client
from flexcore.domain import limits
from flexcore.domain.access_tokens import write_token
from flexcore.v1 import worker_requests_pb2
from tests.serving import Serving

SECONDS = 1_700_000_000


def first_key(serving: Serving) -> tuple[str, str]:
    assert serving.server.first_key is not None
    return serving.server.first_key


def token_of(serving: Serving, worker_sid: str, minutes: int = 15) -> str:
    lifetime = minutes * limits.MINUTE
    return write_token(*first_key(serving), worker_sid, serving.clock.now(), lifetime)


async def hire(serving: Serving, name: str, workspace_sid: str = "") -> str:
    made = await serving.client.workspace.CreateWorker(
        friendly_name=name, activity="Available", workspace_sid=workspace_sid
    )
    return str(made.worker.sid)


async def as_worker(serving: Serving, worker_sid: str) -> Client:
    return await serving.connect(token_of(serving, worker_sid))


async def offer_to(serving: Serving, worker_sid: str) -> Any:
    """Return a reservation that one worker is offered."""
    task = await serving.client.routing.CreateTask(
        routing_targets=[{"sid": worker_sid}]
    )
    listed = await serving.client.routing.ListReservations(task_sid=task.task.sid)
    (found,) = listed.reservations
    assert found.worker_sid == worker_sid
    return found


def update(worker_sid: str, **fields: Any) -> dict[str, Any]:
    request = worker_requests_pb2.UpdateWorkerRequest(sid=worker_sid, **fields)
    return {"update_worker": request}
