"""Workers: who they are, what they do, and how much of what they take."""

from flexcore.domain import limits
from flexcore.domain.attributes import canonical, changed, check_attributes
from flexcore.domain.errors import AlreadyExists, FlexcoreError, InvalidArgument
from flexcore.domain.model import (
    Activity,
    Reservation,
    TaskChannel,
    Worker,
    WorkerChannel,
)
from flexcore.domain.states import ReservationStatus
from flexcore.engine.commands import (
    BatchCreateWorkers,
    CreateWorker,
    DeleteWorker,
    GetWorker,
    GetWorkerChannel,
    UpdateWorker,
    UpdateWorkerChannel,
)
from flexcore.engine.decision import Decision
from flexcore.engine.routing import missed_offers, offer_endings, routes
from flexcore.engine.setup.activities import resolve_activity
from flexcore.engine.setup.intent import move_after_work, move_to
from flexcore.engine.setup.rooms import add_room, give_rooms
from flexcore.engine.setup.workspaces import (
    Rows,
    refuse_full,
    refuse_used,
    required,
    resolve_workspace,
)


def create_worker(decision: Decision, command: CreateWorker) -> Rows:
    """Create a worker with room for one task on every channel."""
    worker = _add(decision, command)
    channels = decision.state.where(TaskChannel, "workspace_sid", worker.workspace_sid)
    return (worker, *(add_room(decision, worker, row) for row in channels))


def _add(decision: Decision, command: CreateWorker) -> Worker:
    """Create a worker who has no room yet."""
    workspace = resolve_workspace(decision, command.workspace_sid)
    name = required(command.friendly_name, "friendly_name")
    attributes = check_attributes(command.attributes)
    count = decision.state.count(Worker, "workspace_sid", workspace.sid)
    refuse_full(count, limits.WORKERS_MAX, "workers", workspace.sid)
    activity = resolve_activity(
        decision, workspace.sid, command.activity or workspace.default_activity_sid
    )
    worker = Worker(
        sid=decision.ids.sid("WK"),
        workspace_sid=workspace.sid,
        friendly_name=name,
        attributes=canonical(attributes),
        activity_sid=activity.sid,
        activity_time=decision.now,
        available_time=decision.now if activity.available else 0,
        order=decision.next_sequence,
    )
    _refuse_name(decision, worker)
    return decision.create(worker, "worker.created")


def create_workers(decision: Decision, command: BatchCreateWorkers) -> Rows:
    """Create workers in order, all or none; an error says which one is at fault."""
    if len(command.workers) > limits.BATCH_MAX:
        raise InvalidArgument("workers", f"at most {limits.BATCH_MAX} at once")
    created = []
    for number, one in enumerate(command.workers):
        try:
            created.append(_add(decision, one))
        except InvalidArgument as error:
            beside = ("workspace_sid",)  # is that of all
            raise error.below(f"workers[{number}]", beside) from error
        except FlexcoreError as error:
            error.metadata["index"] = str(number)
            raise
    give_rooms(decision, created)
    return tuple(created)


def delete_worker(decision: Decision, command: DeleteWorker) -> Rows:
    """Delete a worker who holds nothing, with the worker's channels.

    A task that waits for nobody else goes on to its next routing target at once.
    """
    worker = decision.get(command.sid, Worker)
    decision.expect(worker, command.expected_version)
    waiting = routes.waiting_for(decision.state, worker)
    crowd = waiting if len(waiting) > limits.SENT_ON_MAX else []
    held = [(Reservation, "open_worker_sid", worker.sid)]
    refuse_used(decision, worker, held, *crowd)
    for channel in decision.state.where(WorkerChannel, "worker_sid", worker.sid):
        decision.delete(channel)
    decision.delete(worker, "worker.deleted")
    for task in waiting:
        routes.go_on(decision, task)
    return (worker,)


def get_worker(decision: Decision, command: GetWorker) -> Rows:
    """Return a worker, its activity, its channels and what it holds of them."""
    worker = decision.get(command.sid, Worker)
    state = decision.state
    return (
        worker,
        state.need(worker.activity_sid, Activity),
        *state.where(WorkerChannel, "worker_sid", worker.sid),
        *state.where(Reservation, "open_worker_sid", worker.sid),
    )


def update_worker(decision: Decision, command: UpdateWorker) -> Rows:
    """Change name, attributes or activity; open reservations stay as they are."""
    worker = decision.get(command.sid, Worker)
    decision.expect(worker, command.expected_version)
    if command.friendly_name is not None:
        name = required(command.friendly_name, "friendly_name")
        renamed = worker.evolve(friendly_name=name)
        if renamed.name_key != worker.name_key:
            _refuse_name(decision, renamed)
        worker = decision.update(worker, renamed, "worker.updated")
    worker = _update_attributes(decision, worker, command)
    if command.activity is not None:
        _change_activity(decision, worker, command.activity, command)
    else:
        for field in ("reject_pending_reservations", "after_current_work"):
            if getattr(command, field):
                raise InvalidArgument(field, "is only for a change of activity")
        missed_offers.seen(decision, worker.sid)
    return (worker, *decision.state.where(WorkerChannel, "worker_sid", worker.sid))


def _change_activity(
    decision: Decision, worker: Worker, text: str, command: UpdateWorker
) -> None:
    """Move a worker now, or once the present work is done; offers may go before."""
    activity = resolve_activity(decision, worker.workspace_sid, text)
    if command.reject_pending_reservations and activity.available:
        raise InvalidArgument(
            "reject_pending_reservations",
            f"is for activities that are not available, {activity.friendly_name} is",
        )
    move = move_after_work if command.after_current_work else move_to
    worker = move(decision, worker, activity)
    if command.reject_pending_reservations:
        _reject_pending(decision, worker)


def _reject_pending(decision: Decision, worker: Worker) -> None:
    held = decision.state.where(Reservation, "open_worker_sid", worker.sid)
    for row in sorted(held, key=lambda row: row.order):
        if row.status == ReservationStatus.PENDING:
            offer_endings.refuse(decision, row, "reject", "rejected")


def _update_attributes(
    decision: Decision, worker: Worker, command: UpdateWorker
) -> Worker:
    text = changed(worker.attributes, command.attributes, command.attributes_patch)
    if text == worker.attributes:
        return worker
    return decision.change(worker, "worker.attributes.update", attributes=text)


def get_worker_channel(decision: Decision, command: GetWorkerChannel) -> Rows:
    """Return a channel of a worker and the reservations the worker holds."""
    channel = _resolve_channel(decision, command.worker_sid, command.task_channel)
    state = decision.state
    return channel, *state.where(Reservation, "open_worker_sid", channel.worker_sid)


def _resolve_channel(decision: Decision, worker_sid: str, text: str) -> WorkerChannel:
    """Return a worker's channel by its sid, or that or the name of its task channel."""
    worker = decision.get(worker_sid, Worker)
    for row in decision.state.where(WorkerChannel, "worker_sid", worker.sid):
        if text in (row.sid, row.task_channel_sid, row.task_channel_unique_name):
            return row
    raise InvalidArgument("task_channel", f"{text!r} is no channel of {worker.sid}")


def update_worker_channel(decision: Decision, command: UpdateWorkerChannel) -> Rows:
    """Change capacity or availability; what the worker already holds stays."""
    channel = _resolve_channel(decision, command.worker_sid, command.task_channel)
    decision.expect(channel, command.expected_version)
    capacity = command.configured_capacity
    if capacity is not None and capacity != channel.configured_capacity:
        if not 0 <= capacity <= limits.CAPACITY_MAX:
            raise InvalidArgument(
                "configured_capacity",
                f"must be 0 to {limits.CAPACITY_MAX}, is {capacity}",
            )
        before = channel.configured_capacity
        channel = decision.change(channel, configured_capacity=capacity)
        decision.emit("worker.capacity.update", channel, value=str(before))
    available = command.available
    if available is not None and available != channel.available:
        channel = decision.change(
            channel, "worker.channel.availability.update", available=available
        )
    missed_offers.seen(decision, channel.worker_sid)
    return (channel,)


def _refuse_name(decision: Decision, worker: Worker) -> None:
    taken = decision.state.where(Worker, "name_key", worker.name_key)
    if taken:
        raise AlreadyExists(
            f"friendly_name {worker.friendly_name!r} is taken by {taken[0].sid}",
            metadata={"sid": taken[0].sid, "field": "friendly_name"},
        )
