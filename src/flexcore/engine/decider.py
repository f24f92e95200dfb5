"""The deciding core of an account: state + command + time give an answer and a commit.

Synchronous and deterministic: it awaits nothing, reads no clock, and given the same
state, commands, times and ids it decides the same. `Account` feeds it; tests and the
simulator drive it directly.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import FlexcoreError, InvalidArgument, NotFound, Reason
from flexcore.domain.ids import RESOURCES, Ids, fingerprint
from flexcore.domain.log import Cause, encode_rows
from flexcore.domain.model import (
    Conversation,
    Reservation,
    Row,
    Task,
    TaskChannel,
    Worker,
    Workflow,
)
from flexcore.engine import commands as c
from flexcore.engine.decision import Decision, request_key
from flexcore.engine.directory import Directory
from flexcore.engine.messaging import (
    address_configurations,
    conversations,
    inbound,
    interactions,
    messages,
    participants,
    receipts,
)
from flexcore.engine.messaging.senders import Senders
from flexcore.engine.ownership import refuse_others
from flexcore.engine.reporting.figures import Figures
from flexcore.engine.routing import (
    callback_answers,
    callbacks,
    offer_endings,
    offers,
    presence,
    re_evaluation,
    reservations,
    steps,
    tasks,
)
from flexcore.engine.routing.matching import Matching
from flexcore.engine.setup import (
    activities,
    imports,
    queues,
    rooms,
    task_channels,
    workers,
    workflows,
    workspaces,
)
from flexcore.engine.state import State
from flexcore.engine.timers import Deadlines, deadline_of
from flexcore.engine.vault import Vault
from flexcore.store.interface import Commit, Found, RequestEntry

Handler = Callable[[Decision, Any], tuple[Row, ...]]


def handlers(
    vault: Vault, *, allow_loopback: bool = False
) -> Mapping[type[c.Command], Handler]:
    """Return who decides each command of an account.

    With `allow_loopback` URLs of this machine are taken.
    """
    senders = Senders(vault)
    return {
        **_BOTH,
        **_SET_UP,
        **_ROUTING,
        **_CONVERSATIONS,
        c.CreateSender: senders.create,
        c.UpdateSender: senders.update,
        **{
            command: partial(decide, allow_loopback=allow_loopback)
            for command, decide in _NAMING_URLS.items()
        },
    }


def directory_handlers(vault: Vault) -> Mapping[type[c.Command], Handler]:
    """Return who decides each command of the directory."""
    directory = Directory(vault)
    return {
        **_BOTH,
        c.CreateAccount: directory.create_account,
        c.CreateKey: directory.create_key,
        c.RevokeKey: directory.revoke_key,
        c.ClaimAddress: directory.claim_address,
        c.ReleaseAddress: directory.release_address,
    }


#: what made a command that no caller sent
_CAUSES: Mapping[type[c.Command], Cause] = {
    c.Tick: Cause.TIMER,
    c.ShiftOffers: Cause.POLICY,
    c.NotePresence: Cause.POLICY,
    c.ReceiveMessage: Cause.PROVIDER,
    c.ReceiveStatus: Cause.PROVIDER,
    c.AttemptSend: Cause.PROVIDER,
    c.ReportSend: Cause.PROVIDER,
    c.AttemptCallback: Cause.PROVIDER,
    c.ReportCallback: Cause.PROVIDER,
}

#: who takes the refusal of a command that nobody could be told of
_REFUSALS: Mapping[type[c.Command], Callable[..., tuple[Row, ...]]] = {
    c.ReceiveMessage: inbound.refuse_message,
    c.ReportCallback: callback_answers.refuse_answer,
}

#: what one offer touches: task, reservation, worker channel, and invite or queue
_OFFERED_RESOURCES = 4
#: offers one decision makes, fewer beside a command that itself changes more than there
#: is left; more follow in decisions of their own
OFFERS_PER_DECISION = limits.CHANGE_SET_RESOURCES // (_OFFERED_RESOURCES + 1)
#: the matcher is asked for so many at a time, until their tasks have so many bytes
_OFFERS_AT_ONCE = 8
_OFFERED_BYTES = limits.CHANGE_SET_BYTES // 2


class Decided(msgspec.Struct):
    """What a decision came to: an answer, and what has to be written, if anything.

    A repeated request is answered from `repeats`.
    """

    rows: tuple[Row, ...] = ()
    commit: Commit | None = None
    repeats: RequestEntry | None = None


class Decider:
    """State, matcher and deadlines of one account, and the one way to change them."""

    def __init__(
        self, state: State, ids: Ids, handlers: Mapping[type[c.Command], Handler]
    ) -> None:
        self.state = state
        self.ids = ids
        self.matching = Matching.rebuilt(state)
        self.figures = Figures.rebuilt(state.of_kind(Task))
        self.deadlines = Deadlines()
        for row in state.rows.values():
            self.deadlines.follow(row)
        self._handlers = handlers

    def deliver(self, key: str, found: Found) -> None:
        """Take in what the store found, deadlines included."""
        for row in self.state.deliver(key, found):
            self.deadlines.follow(row)

    def shrink(self, durable: int, now: int) -> list[int]:
        """Give up what need not be in memory; return the deadlines that went with it."""
        dropped = self.state.shrink(durable, now=now)
        for row in dropped:
            self.deadlines.forget(row.sid)
        return [due for row in dropped if (due := deadline_of(row))]

    def decide(self, principal: c.Principal, command: c.Command, now: int) -> Decided:
        """Decide one command; raises the domain errors, then nothing has changed."""
        refuse_others(self.state, principal, command)
        request_id = getattr(command, "request_id", "")
        method = type(command).__name__
        if not request_id:
            return self._run(principal, command, now)
        key = request_key(principal.actor, method, request_id)
        mark = fingerprint(
            msgspec.msgpack.encode(msgspec.structs.replace(command, request_id=""))
        )
        before = self.state.lookup(key)
        if isinstance(before, RequestEntry):
            return self._repeat(before, mark)
        entry = RequestEntry(
            actor=principal.actor,
            method=method,
            request_id=request_id,
            fingerprint=mark,
            sequence=0,
            time=now,
        )
        return self._run(principal, command, now, entry)

    def _repeat(self, entry: RequestEntry, mark: bytes) -> Decided:
        """Say that the answer is the one that was given before."""
        if entry.fingerprint != mark:
            raise InvalidArgument(
                "request_id",
                f"{entry.request_id} was used for another {entry.method} request",
                reason=Reason.REQUEST_ID_REUSED,
            )
        return Decided(repeats=entry)

    def _run(
        self,
        principal: c.Principal,
        command: c.Command,
        now: int,
        request: RequestEntry | None = None,
    ) -> Decided:
        handler = self._handlers[type(command)]
        decision = self._begin(principal, command, now)
        try:
            rows = _undone(decision, handler, command)
        except FlexcoreError as error:
            refuse = _REFUSALS.get(type(command))
            if refuse is None:
                raise
            decision = self._begin(principal, command, now)
            rows = _undone(decision, partial(refuse, error=error), command)
        return self._settle(decision, rows, request)

    def _begin(self, principal: c.Principal, command: c.Command, now: int) -> Decision:
        return Decision(
            self.state,
            self.ids,
            now,
            actor=principal.actor,
            cause=_CAUSES.get(type(command), Cause.REQUEST),
            command_id=getattr(command, "request_id", ""),
        )

    def _settle(
        self,
        decision: Decision,
        rows: tuple[Row, ...],
        request: RequestEntry | None = None,
    ) -> Decided:
        """Let the matcher follow, note deadlines, and close the decision."""
        try:
            decision.check_limits()
        except FlexcoreError:
            decision.undo()
            raise
        try:
            self._match(decision)
            rows = tuple(self.state.rows.get(row.sid, row) for row in rows)
            commit = None
            if request is not None or not decision.empty():
                commit = self._commit(decision, rows, request)
        except BaseException:
            # A bug of ours: rows go back, and the matcher follows from the rows.
            decision.undo()
            self.matching = Matching.rebuilt(self.state)
            raise
        for sid, before in decision.touched.items():
            if sid in decision.deleted:
                self.deadlines.forget(sid)
                self.figures.follow(before, None)
            else:
                row = self.state.rows[sid]
                self.deadlines.follow(row)
                self.figures.follow(before, row)
        for entry in decision.outbox.values():
            self.state.follow(entry)
        return Decided(rows, commit)

    def _match(self, decision: Decision) -> None:
        """Let offers follow, and tasks go on that shall not wait where nobody is."""
        self.matching.sync(decision.unsynced())
        self.matching.catch_up()
        if self.matching.behind:
            return
        left = limits.CHANGE_SET_RESOURCES - len(decision.touched)
        room = min(OFFERS_PER_DECISION, left // _OFFERED_RESOURCES)
        while self.matching.pending and room > 0:
            room -= self._offer(decision, room)
            if not self.matching.unsettled:
                room -= self._skip(decision)

    def _offer(self, decision: Decision, room: int) -> int:
        """Write offers down as long as there are any and the decision has room."""
        count = size = 0
        while self.matching.unsettled and count < room and size < _OFFERED_BYTES:
            few = min(_OFFERS_AT_ONCE, room - count)
            for found in self.matching.match(decision.now, few):
                offers.make_found(decision, found)
                count += 1
                size += len(self.state.need(found.task_sid, Task).attributes)
        decision.unsynced()  # what the matcher did itself need not be told
        return room if size >= _OFFERED_BYTES else count

    def _skip(self, decision: Decision) -> int:
        """Ask skip_if of the steps that tasks entered and nobody could take them in."""
        asked = self.matching.unplaced()
        if not asked:
            return 0
        for task in asked:
            step = steps.step_of(self.state, task)
            condition = None if step is None else step.target.skip_if
            if condition and condition.evaluate(self.matching.counts(task)):
                steps.skip_step(decision, task)
            else:
                decision.change(task, "workflow.step-kept", skip_pending=False)
        self.matching.sync(decision.unsynced())
        return len(asked)

    def _commit(
        self,
        decision: Decision,
        rows: tuple[Row, ...],
        request: RequestEntry | None,
    ) -> Commit:
        if request is not None:
            entry = msgspec.structs.replace(
                request,
                sequence=decision.last_sequence,
                answer=b"" if decision.has_events else encode_rows(rows),
            )
            decision.request = entry
            key = request_key(entry.actor, entry.method, entry.request_id)
            decision.remember(key, entry)
        return decision.commit(rows)

    def due(self, now: int) -> bool:
        """Say whether a deadline has passed that `expire_next` would act on."""
        first = self.deadlines.first()
        return first is not None and first[0] <= now

    def expire_next(self, now: int) -> Decided:
        """Decide the earliest deadline that has passed."""
        first = self.deadlines.first()
        assert first is not None
        sid = first[2]
        decision = Decision(self.state, self.ids, now, cause=Cause.TIMER)
        row = self.state.rows.get(sid)
        try:
            if isinstance(row, Reservation):
                offer_endings.expire(decision, row)
            elif isinstance(row, Task):
                tasks.expire_task(decision, row)
            elif isinstance(row, Worker):
                presence.expire(decision, row)
            elif isinstance(row, Workflow):
                re_evaluation.go_on(decision, row)
            elif isinstance(row, TaskChannel):
                rooms.go_on(decision, row)
        except BaseException:
            decision.undo()
            raise
        if sid not in decision.touched:
            self.deadlines.forget(sid)
        return self._settle(decision, ())

    def postpone_next(self, now: int) -> None:
        """Try the earliest deadline again later, which `expire_next` failed to decide.

        Given up, its row would wait for ever: nothing else would come back to it.
        """
        first = self.deadlines.first()
        assert first is not None
        self.deadlines.postpone(first[2], now + limits.FAILURE_WAIT)

    def watermark(self, now: int) -> Decided:
        """Write down the time, so that a restart knows how long nobody could answer."""
        decision = Decision(self.state, self.ids, now)
        decision.watermark = now
        return Decided(commit=decision.commit(()))


def _undone(
    decision: Decision, handler: Handler, command: c.Command
) -> tuple[Row, ...]:
    """Return what a handler answers; what it raises has changed nothing."""
    try:
        return handler(decision, command)
    except BaseException:
        decision.undo()
        raise


def get(decision: Decision, command: c.Get) -> tuple[Row, ...]:
    """Return one resource as decided."""
    row = decision.state.rows.get(command.sid)
    if row is None:
        raise NotFound(RESOURCES.get(command.sid[:2], "resource"), command.sid)
    return (row,)


def snapshot(decision: Decision, command: c.Snapshot) -> tuple[Row, ...]:
    """Return what a narrow stream starts from."""
    if command.sid.startswith("WK"):
        return reservations.snapshot(decision, decision.get(command.sid, Worker))
    conversation = decision.get(command.sid, Conversation)
    return conversations.snapshot(decision, conversation)


def tick(decision: Decision, command: c.Tick) -> tuple[Row, ...]:
    """Do nothing: deadlines and offers that were due are decided around it."""
    return ()


#: who decides what, for accounts and the directory
_BOTH: Mapping[type[c.Command], Handler] = {
    c.Get: get,
    c.Tick: tick,
}

#: workspaces and what they hold
_SET_UP: Mapping[type[c.Command], Handler] = {
    c.CreateDefaults: workspaces.create_defaults,
    c.CreateWorkspace: workspaces.create_workspace,
    c.UpdateWorkspace: workspaces.update_workspace,
    c.DeleteWorkspace: workspaces.delete_workspace,
    c.CreateActivity: activities.create_activity,
    c.UpdateActivity: activities.update_activity,
    c.DeleteActivity: activities.delete_activity,
    c.CreateTaskChannel: task_channels.create_task_channel,
    c.UpdateTaskChannel: task_channels.update_task_channel,
    c.DeleteTaskChannel: task_channels.delete_task_channel,
    c.CreateTaskQueue: queues.create_task_queue,
    c.UpdateTaskQueue: queues.update_task_queue,
    c.DeleteTaskQueue: queues.delete_task_queue,
    c.DeleteWorkflow: workflows.delete_workflow,
    c.CreateWorker: workers.create_worker,
    c.BatchCreateWorkers: workers.create_workers,
    c.GetWorker: workers.get_worker,
    c.GetWorkerChannel: workers.get_worker_channel,
    c.UpdateWorker: workers.update_worker,
    c.DeleteWorker: workers.delete_worker,
    c.UpdateWorkerChannel: workers.update_worker_channel,
}

#: what may name URLs that are called later
_NAMING_URLS: Mapping[type[c.Command], Callable[..., tuple[Row, ...]]] = {
    c.ImportWorkspace: imports.import_workspace,
    c.CreateWorkflow: workflows.create_workflow,
    c.UpdateWorkflow: workflows.update_workflow,
}

#: tasks and reservations
_ROUTING: Mapping[type[c.Command], Handler] = {
    c.Snapshot: snapshot,
    c.CreateTask: tasks.create_task,
    c.UpdateTask: tasks.update_task,
    c.BatchCreateTasks: tasks.create_tasks,
    c.CancelTask: tasks.cancel_task,
    c.DeleteTask: tasks.delete_task,
    c.ClaimTask: reservations.claim_task,
    c.WrapTask: tasks.wrap_task,
    c.CompleteTask: tasks.complete_task,
    c.AcceptReservation: reservations.accept_reservation,
    c.RejectReservation: reservations.reject_reservation,
    c.ShiftOffers: reservations.shift_offers,
    c.NotePresence: presence.note_presence,
    c.AttemptCallback: callbacks.attempt_callback,
    c.ReportCallback: callback_answers.report_callback,
}

#: conversations, interactions, channels
_CONVERSATIONS: Mapping[type[c.Command], Handler] = {
    c.CreateConversation: conversations.create_conversation,
    c.CloseConversation: conversations.close_conversation,
    c.AddParticipant: participants.add_participant,
    c.RemoveParticipant: participants.remove_participant,
    c.SendMessage: messages.send_message,
    c.CreateInteraction: interactions.create_interaction,
    c.CreateInvite: interactions.create_invite,
    c.CloseInteractionChannel: interactions.close_interaction_channel,
    c.CreateAddressConfiguration: (address_configurations.create_address_configuration),
    c.UpdateAddressConfiguration: (address_configurations.update_address_configuration),
    c.ReceiveMessage: inbound.receive_message,
    c.ReceiveStatus: receipts.receive_status,
    c.AttemptSend: receipts.attempt_send,
    c.ReportSend: receipts.report_send,
    c.ReplayDeadLetter: receipts.replay_dead_letter,
}
