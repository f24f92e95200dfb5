"""Assignment callbacks with a real engine, store and receiver: asked, answered, broken."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flexcore.domain import limits
from flexcore.domain.model import (
    Activity,
    Reservation,
    Task,
    Worker,
    Workflow,
    Workspace,
)
from flexcore.domain.parts import CallbackReason
from flexcore.domain.states import OutboxState
from flexcore.engine import commands as c
from flexcore.engine.checks import check_account
from flexcore.engine.routing.callbacks import entry_sid
from flexcore.engine.state import State
from flexcore.store.interface import OutboxEntry
from tests.house import House
from tests.receiver import Receiver

ACCEPT = {"instruction": "accept"}
#: nobody listens there
NOWHERE = "http://127.0.0.1:9/offers"


class Floor(House):
    """A house with one worker, whose workflow asks somebody."""

    async def open(self, *urls: str, workers: int = 1, seconds: int = 120) -> None:
        first, fallback = (*urls, "", "")[:2]
        self.workflow = next(self.state.of_kind(Workflow))
        await self.submit(
            c.UpdateWorkflow(
                sid=self.workflow.sid,
                assignment_callback_url=first,
                fallback_assignment_callback_url=fallback,
                task_reservation_timeout_seconds=seconds,
            )
        )
        workspace = next(self.state.of_kind(Workspace))
        self.workers = [
            (
                await self.submit(
                    c.CreateWorker(
                        workspace_sid=workspace.sid,
                        friendly_name=f"worker {number}",
                        activity="Available",
                        attributes='{"contact":"x y&z"}',
                    )
                )
            ).rows[0]
            for number in range(workers)
        ]

    @property
    def state(self) -> State:
        return self.engine.accounts()[self.principal.account_sid].state

    async def task(self, **fields: Any) -> Task:
        """Create a task, which is offered at once."""
        (task,) = (await self.submit(c.CreateTask(**fields))).rows
        assert isinstance(task, Task)
        return task

    async def advance(self, seconds: float) -> None:
        """Move time a second at once, as often as the time is written down."""
        whole, rest = divmod(seconds, 1)
        for step in (*[1] * int(whole), rest):
            await super().advance(step)

    def offers(self, task: Task) -> list[Reservation]:
        rows = self.state.where(Reservation, "task_sid", task.sid)
        return sorted(rows, key=lambda row: row.order)

    async def ended(self, task: Task, *statuses: str) -> list[Reservation]:
        """Wait until the offers of a task have these statuses, and nobody is asked."""

        def reached() -> bool:
            return tuple(row.status for row in self.offers(task)) == statuses

        await self.until(lambda: reached() and not self.living())
        return self.offers(task)

    def living(self) -> list[OutboxEntry]:
        """Return what of the outbox is on disk and not done."""
        return self.store.recover(self.principal.account_sid).outbox

    async def events(self, *types: str) -> list[str]:
        """Return which events of these types the log has, in order."""
        await self.submit(c.Tick())
        log = self.store.read_log(self.principal.account_sid, 0, "", 1 << 24)
        every = [event.type for change_set in log for event in change_set.events]
        return [event for event in every if event.startswith(types)]


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    async with Floor(tmp_path) as floor:
        yield floor


# asked


async def test_offer_is_told_with_the_fields_of_taskrouter(floor: Floor) -> None:
    async with Receiver(ACCEPT) as receiver:
        await floor.open(receiver.url)
        await floor.task(attributes='{"a":"ü"}', priority=7)
        task = await floor.task(attributes='{"a":1}')
        await floor.until(lambda: len(receiver.calls) == 1)
        first = floor.offers(await floor.get(receiver.calls[0].form["TaskSid"], Task))
        await floor.ended(task)

    worker = await floor.get(first[0].worker_sid, Worker)
    assert receiver.calls[0].form == {
        "Timestamp": str(first[0].create_time // limits.SECOND),
        "AccountSid": floor.principal.account_sid,
        "WorkspaceSid": worker.workspace_sid,
        "WorkflowSid": floor.workflow.sid,
        "TaskQueueSid": first[0].task_queue_sid,
        "WorkerSid": worker.sid,
        "WorkerAttributes": '{"contact":"x y&z"}',
        "TaskSid": first[0].task_sid,
        "TaskAttributes": '{"a":"ü"}',
        "TaskAge": "0",
        "TaskPriority": "7",
        "ReservationSid": first[0].sid,
    }
    form = "application/x-www-form-urlencoded"
    assert receiver.calls[0].headers["Content-Type"] == form


async def test_nobody_is_asked_about_a_claim_or_without_a_url(floor: Floor) -> None:
    await floor.open()
    task = await floor.task()
    silent = (floor.offers(task)[0].status, floor.living())
    await floor.submit(
        c.UpdateWorkflow(sid=floor.workflow.sid, assignment_callback_url=NOWHERE)
    )
    waiting = await floor.task(task_channel="chat")
    await floor.until(lambda: bool(floor.offers(waiting)))

    assert silent == ("pending", [])
    queue_sid = task.task_queue_sid
    await floor.submit(c.UpdateTaskQueue(sid=queue_sid, max_reserved_workers=0))
    claimed = await floor.task(task_channel="sms")
    worker_sid = floor.workers[0].sid
    await floor.submit(c.ClaimTask(sid=claimed.sid, worker_sid=worker_sid))
    assert floor.state.knows(f"outbox|{entry_sid(floor.offers(waiting)[0].sid)}")
    assert not floor.state.knows(f"outbox|{entry_sid(floor.offers(claimed)[0].sid)}")


async def test_signature_proves_id_time_and_body_also_while_the_secret_changes(
    floor: Floor,
) -> None:
    secrets: list[str] = []

    async def ask() -> None:
        await floor.ended(await floor.task(), "accepted")
        workspace = next(floor.state.of_kind(Workspace))
        account_sid = floor.principal.account_sid
        newest = floor.engine.callback_secrets(account_sid, workspace)[0]
        secrets.append(f"whsec_{b64encode(newest).decode()}")
        await floor.submit(
            c.UpdateWorkspace(sid=workspace.sid, rotate_callback_secret=True)
        )

    async with Receiver(ACCEPT) as receiver:
        await floor.open(receiver.url, workers=3)
        for _ in range(3):
            await ask()

    found = [[call.signed_by(secret) for secret in secrets] for call in receiver.calls]
    assert found == [
        [[True], [False], [False]],
        [[False, True], [True, False], [False, False]],
        [[False, False], [False, True], [True, False]],
    ]


async def test_secrets_of_two_accounts_differ_though_both_imported_one_workspace(
    floor: Floor,
) -> None:
    workspace = next(floor.state.of_kind(Workspace))
    secrets = [
        secret
        for account_sid in ("AC" + "1" * 32, "AC" + "2" * 32)
        for number in (0, 1, 7)
        for secret in floor.engine.callback_secrets(
            account_sid, workspace.evolve(callback_secret=number)
        )
    ]

    # Of the first there is one, then the newest and the one before.
    assert [len(secrets), len(set(secrets))] == [10, 8]
    assert {len(secret) for secret in secrets} == {32}


# answered


async def test_accept_assigns_the_task_as_the_call_does(floor: Floor) -> None:
    async with Receiver(ACCEPT) as receiver:
        await floor.open(receiver.url)
        task = await floor.task()
        (offer,) = await floor.ended(task, "accepted")

    assert (await floor.get(task.sid, Task)).status == "assigned"
    assert offer.callback_problems == ()
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("named", ["", "Unavailable"])
async def test_reject_gives_the_task_back_and_may_move_the_worker(
    floor: Floor, named: str
) -> None:
    async with Receiver() as receiver:
        await floor.open(receiver.url)
        rows = floor.state.of_kind(Activity)
        sids = {row.friendly_name: row.sid for row in rows}
        answer = {"instruction": "reject"}
        receiver.answers = [answer | ({"activity_sid": sids[named]} if named else {})]
        task = await floor.task()
        await floor.ended(task, "rejected")

    worker = await floor.get(floor.workers[0].sid, Worker)
    assert worker.activity_sid == sids[named or "Available"]
    assert (await floor.get(task.sid, Task)).refusals[0].worker_sid == worker.sid


@pytest.mark.parametrize(
    "answer", [web.Response(), web.Response(text="  \n"), {}, {"instruction": None}]
)
async def test_answer_without_instruction_leaves_the_offer_to_others(
    floor: Floor, answer: Any
) -> None:
    said = isinstance(answer, dict)
    async with Receiver(answer) as receiver:
        await floor.open(receiver.url, NOWHERE)
        (offer,) = await floor.ended(await floor.task(), "pending")

    found = [problem.reason for problem in offer.callback_problems]
    assert found == [CallbackReason.INSTRUCTION_MISSING] * said
    told = ["reservation.callback-undecided"] * said
    assert await floor.events("reservation.callback") == told
    await floor.submit(c.AcceptReservation(sid=offer.sid))


async def test_answer_that_comes_after_the_end_of_the_offer_does_nothing(
    floor: Floor,
) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        await floor.open(receiver.url)
        task = await floor.task()
        await floor.until(lambda: bool(receiver.calls))
        await floor.submit(c.RejectReservation(sid=floor.offers(task)[0].sid))
        receiver.open.set()
        await floor.ended(task, "rejected")

    assert await floor.events("reservation.accepted", "reservation.call") == []


async def test_answer_that_comes_after_the_deadline_does_nothing(floor: Floor) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        await floor.open(receiver.url, seconds=3)
        task = await floor.task()
        await floor.until(lambda: bool(receiver.calls))
        await floor.advance(3)
        receiver.open.set()
        await floor.ended(task, "timeout")

    assert await floor.events("reservation.accepted") == []


async def test_first_of_several_receivers_wins_and_the_others_are_rescinded(
    floor: Floor,
) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        await floor.open(receiver.url, workers=2)
        queue_sid = (await floor.task(priority=1)).task_queue_sid
        await floor.until(lambda: len(receiver.calls) == 1)
        await floor.submit(c.UpdateTaskQueue(sid=queue_sid, max_reserved_workers=2))
        task = await floor.task(task_channel="chat")
        await floor.until(lambda: len(receiver.calls) == 3)
        receiver.open.set()
        await floor.until(lambda: not floor.living())

    statuses = sorted(row.status for row in floor.offers(task))
    assert statuses == ["accepted", "rescinded"]


# broken


BROKEN: list[tuple[Any, CallbackReason]] = [
    (web.Response(status=500), CallbackReason.STATUS),
    (web.Response(status=204), CallbackReason.STATUS),
    (web.Response(status=302, headers={"Location": "/"}), CallbackReason.STATUS),
    (web.Response(text='{"instruction":"accept"}'), CallbackReason.CONTENT_TYPE),
    (web.json_response(text="{accept"), CallbackReason.UNPARSABLE),
    (web.json_response(text="[" * 20_000), CallbackReason.UNPARSABLE),
    (["accept"], CallbackReason.UNPARSABLE),
    ({"instruction": "acept"}, CallbackReason.INSTRUCTION_UNKNOWN),
    ({"instruction": ["accept"]}, CallbackReason.INSTRUCTION_UNKNOWN),
    ({"instruction": "dequeue"}, CallbackReason.INSTRUCTION_UNSUPPORTED),
    (
        {"instruction": "reject", "activity_sid": "WA" + "0" * 32},
        CallbackReason.ACTIVITY_INVALID,
    ),
    ({"instruction": "reject", "activity_sid": 5}, CallbackReason.ACTIVITY_INVALID),
    (web.json_response(text='"' + "x" * 70_000 + '"'), CallbackReason.UNREACHABLE),
]


@pytest.mark.parametrize(("answer", "reason"), BROKEN)
async def test_answer_that_is_none_is_noted_and_the_fallback_asked(
    floor: Floor, answer: Any, reason: CallbackReason
) -> None:
    async with Receiver(answer) as broken, Receiver(ACCEPT) as fallback:
        await floor.open(broken.url, fallback.url)
        (offer,) = await floor.ended(await floor.task(), "accepted")

    (problem,) = offer.callback_problems
    assert (problem.reason, problem.fallback) == (reason, False)
    assert 0 < len(problem.text) <= limits.REASON_CHARS
    assert await floor.events("reservation.callback") == ["reservation.callback-failed"]
    # The other one is asked the same.
    assert broken.calls[0].id == fallback.calls[0].id
    assert broken.calls[0].form == fallback.calls[0].form


async def test_receiver_that_says_nothing_for_five_seconds_is_unreachable(
    floor: Floor,
) -> None:
    floor.caller._egress._timeout_seconds = 0.05
    async with Receiver(ACCEPT) as slow, Receiver(ACCEPT) as fallback:
        slow.open.clear()
        await floor.open(slow.url, fallback.url)
        (offer,) = await floor.ended(await floor.task(), "accepted")

    assert [p.reason for p in offer.callback_problems] == [CallbackReason.UNREACHABLE]
    assert limits.CALLBACK_TIMEOUT == 5 * limits.SECOND


@pytest.mark.parametrize(("drops", "status"), [(1, "accepted"), (2, "canceled")])
async def test_receiver_that_drops_a_connection_is_asked_once_more(
    floor: Floor, drops: int, status: str
) -> None:
    asked = 0

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal asked
        asked += 1
        await reader.read(64 * 1024)
        if asked > drops:
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            body = '{"instruction":"accept"}'
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await floor.open(f"http://127.0.0.1:{port}/")
        (offer,) = await floor.ended(await floor.task(), status)

    assert asked == 2
    assert len(offer.callback_problems) == drops - 1


async def test_offer_that_nobody_answers_for_is_canceled_and_its_worker_is_free(
    floor: Floor,
) -> None:
    await floor.open(NOWHERE, NOWHERE)
    task = await floor.task()
    (offer,) = await floor.ended(task, "canceled")

    assert [p.fallback for p in offer.callback_problems] == [False, True]
    assert offer.reason == "Assignment callback failed"
    worker = await floor.get(offer.worker_sid, Worker)
    assert (worker.missed_offers, worker.activity_sid) == (
        0,
        floor.workers[0].activity_sid,  # type: ignore[attr-defined]
    )
    assert (await floor.get(task.sid, Task)).refusals == ()
    other = await floor.task(routes=())
    await floor.ended(other, "canceled")


@pytest.mark.parametrize("semantics", ["strict", "compat"])
async def test_task_is_offered_again_later_each_time_and_at_once_after_an_answer(
    floor: Floor, semantics: str
) -> None:
    await floor.open(NOWHERE)
    workspace = next(floor.state.of_kind(Workspace))
    await floor.submit(c.UpdateWorkspace(sid=workspace.sid, semantics=semantics))
    task = await floor.task()
    for count, wait in enumerate(
        (*limits.CALLBACK_HOLDS, limits.CALLBACK_HOLDS[-1]), 1
    ):
        await floor.ended(task, *["canceled"] * count)
        seconds = wait / limits.SECOND
        await floor.advance(seconds - 0.001)
        held = len(floor.offers(task))
        await floor.advance(0.001)
        await floor.until(lambda count=count: len(floor.offers(task)) == count + 1)

        assert held == count
    async with Receiver({"instruction": "reject"}, ACCEPT) as receiver:
        await floor.submit(
            c.UpdateWorkflow(
                sid=floor.workflow.sid, assignment_callback_url=receiver.url
            )
        )
        await floor.ended(task, *["canceled"] * (count + 1))
        await floor.advance(60)
        await floor.until(lambda: len(receiver.calls) >= 1)
        await floor.until(lambda: not floor.living())

    row = await floor.get(task.sid, Task)
    assert (row.callback_failures, row.hold_time) == (0, 0)


async def test_held_task_can_be_claimed_and_says_why_it_waits(floor: Floor) -> None:
    await floor.open(NOWHERE)
    task = await floor.task()
    await floor.ended(task, "canceled")

    found = await floor.engine.explain(floor.principal, task.sid)
    assert found.text == (
        "held back: the assignment callback of its last offer came to nothing; last:"
        " no connection: ClientConnectorError at 127.0.0.1"
    )
    assert found.next_text == "it may be offered again"
    claim = c.ClaimTask(sid=task.sid, worker_sid=floor.workers[0].sid)
    await floor.submit(claim)
    row = await floor.get(task.sid, Task)
    assert (row.status, row.hold_time) == ("assigned", 0)


async def test_slow_receiver_keeps_another_one_waiting_for_nothing(
    floor: Floor,
) -> None:
    async with Receiver(ACCEPT) as slow, Receiver(ACCEPT) as fast:
        slow.open.clear()
        most = limits.CALLBACKS_IN_FLIGHT
        await floor.open(slow.url, workers=most + 2)
        for _ in range(most + 1):
            await floor.task()
        await floor.until(lambda: len(slow.calls) == most)
        waiting = [e.state for e in floor.living()].count(OutboxState.READY)
        await floor.submit(
            c.UpdateWorkflow(sid=floor.workflow.sid, assignment_callback_url=fast.url)
        )
        task = await floor.task(task_channel="chat")
        await floor.until(lambda: floor.offers(task)[0].status == "accepted")
        slow.open.set()
        await floor.until(lambda: not floor.living())

    assert waiting == 1
    assert len(slow.calls) == most + 1


# cut off


async def test_callback_that_was_cut_off_is_made_again_with_the_same_id(
    floor: Floor,
) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        await floor.open(receiver.url)
        task = await floor.task()
        await floor.until(lambda: bool(receiver.calls))
        before = [(e.state, e.attempts) for e in floor.living()]
        problems = check_account(floor.store, floor.principal.account_sid)
        await floor.crash()
        receiver.open.set()
        await floor.ended(task, "accepted")

    assert (before, problems) == ([(OutboxState.ATTEMPTING, 1)], [])
    assert len(receiver.calls) == 2
    assert len({call.id for call in receiver.calls}) == 1


async def test_callback_of_an_offer_that_is_over_is_dropped_after_a_crash(
    floor: Floor,
) -> None:
    async with Receiver(ACCEPT) as receiver:
        receiver.open.clear()
        await floor.open(receiver.url)
        task = await floor.task()
        await floor.until(lambda: bool(receiver.calls))
        await floor.submit(c.AcceptReservation(sid=floor.offers(task)[0].sid))
        await floor.crash()
        await floor.ended(task, "accepted")

    assert len(receiver.calls) == 1
    assert floor.living() == []
