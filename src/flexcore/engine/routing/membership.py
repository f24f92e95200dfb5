"""Who belongs to which queue, in plain rows and expressions."""

from typing import Any

from flexcore.domain.expressions import Context, Expression, parse
from flexcore.domain.model import Activity, TaskQueue, Worker
from flexcore.engine.decision import decoded
from flexcore.engine.setup.policies import dialect_of, policies_of
from flexcore.engine.state import State


def belongs(state: State, worker: Worker, queue: TaskQueue) -> bool:
    """Say whether a worker satisfies the expression of a queue."""
    return target_of(state, queue).evaluate(attributes_of(state, worker))


def target_of(state: State, queue: TaskQueue) -> Expression:
    """Return the expression of a queue, in the dialect of its workspace."""
    dialect = dialect_of(policies_of(state, queue.workspace_sid))
    return parse(queue.target_workers, Context.WORKER, dialect=dialect)


def attributes_of(state: State, worker: Worker) -> dict[str, Any]:
    """Return the attributes of a worker with what is known besides."""
    activity = state.need(worker.activity_sid, Activity)
    return decoded(worker.attributes) | {
        "sid": worker.sid,
        "friendly_name": worker.friendly_name,
        "activity_sid": worker.activity_sid,
        "activity_name": activity.friendly_name,
    }
