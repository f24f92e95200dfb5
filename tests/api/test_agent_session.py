"""AgentSession: many workers over one stream, their snapshots, events and commands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from flexcore.client import Client
from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from flexcore.v1 import worker_requests_pb2
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving

#: real seconds after which a message is called missing
PATIENCE = 10


class Desk:
    """A session as a backend without a library holds it; acknowledges when told to."""

    def __init__(self, client: Client) -> None:
        self._call = client.routing.AgentSession()
        self.token = ""
        self.seen: list[pb.AgentSessionResponse] = []

    async def say(self, **fields: Any) -> None:
        await self._call.write(pb.AgentSessionRequest(**fields))

    async def subscribe(self, *sids: str, token: str = "") -> None:
        await self.say(subscribe=pb.Subscribe(worker_sids=sids, resume_token=token))

    async def ack(self, sequence: int) -> None:
        await self.say(ack_events=pb.AckEvents(sequence=sequence))

    async def command(self, command_id: str, worker_sid: str, **fields: Any) -> None:
        command = pb.AgentCommand(
            command_id=command_id, worker_sid=worker_sid, **fields
        )
        await self.say(command=command)

    async def read(self) -> pb.AgentSessionResponse:
        async with asyncio.timeout(PATIENCE):
            response = await self._call.read()
        if response is grpc.aio.EOF:
            raise EOFError
        self.seen.append(response)
        self.token = response.resume_token
        return response

    async def until(self, done: Callable[[pb.AgentSessionResponse], Any]) -> Any:
        """Read until a message is what is waited for; return what `done` says of it."""
        while not (found := done(await self.read())):
            pass
        return found

    async def snapshots(self, count: int) -> dict[str, pb.ReservationSnapshot]:
        found: dict[str, pb.ReservationSnapshot] = {}
        while len(found) < count:
            response = await self.read()
            if response.HasField("snapshot"):
                found[response.snapshot.worker.sid] = response.snapshot
        return found

    async def events(self, count: int) -> list[pb.ReservationEvent]:
        found: list[pb.ReservationEvent] = []
        while len(found) < count:
            found += (await self.read()).events
        return found

    async def results(self, count: int) -> list[pb.CommandResult]:
        found: list[pb.CommandResult] = []
        while len(found) < count:
            found += (await self.read()).results
        return found

    def close(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def desk(client: Client) -> AsyncIterator[Desk]:
    found = Desk(client)
    try:
        yield found
    finally:
        found.close()


async def hire(serving: Serving, *names: str) -> list[str]:
    make = serving.client.workspace.CreateWorker
    return [
        str((await make(friendly_name=name, activity="Available")).worker.sid)
        for name in names
    ]


def away(sid: str, n: int = 0) -> dict[str, Any]:
    """Return a command that changes a worker's attributes."""
    request = worker_requests_pb2.UpdateWorkerRequest(
        sid=sid, attributes=f'{{"n":{n}}}'
    )
    return {"update_worker": request}


def status_of(result: pb.CommandResult) -> tuple[str, str]:
    """Return code and reason of a refused command."""
    assert result.WhichOneof("result") == "status", result
    status = status_pb2.Status.FromString(result.status)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return code_pb2.Code.Name(status.code), info.reason


def fields_of(result: pb.CommandResult) -> tuple[str, ...]:
    """Return the fields that the refusal of a command names."""
    bad = error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(result.status).details:
        detail.Unpack(bad)
    return tuple(each.field for each in bad.field_violations)


def worker_of(event: pb.ReservationEvent) -> str:
    return (
        event.worker.sid
        or event.reservation.worker_sid
        or event.worker_channel.worker_sid
    )


# --- who is told of --------------------------------------------------------------------


async def test_each_worker_comes_as_a_snapshot_and_then_as_changes(
    serving: Serving,
) -> None:
    ann, bob, eve = await hire(serving, "ann", "bob", "eve")
    update = serving.client.workspace.UpdateWorker
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        stood = await session.snapshots(2)
        for sid in (ann, eve, bob):
            await update(sid=sid, attributes='{"a":1}')
        events = await session.events(2)

    assert stood.keys() == {ann, bob}
    assert stood[ann].activities
    assert stood[ann].worker_channels
    assert [worker_of(event) for event in events] == [ann, bob]
    sequences = [event.sequence for event in events]
    assert sequences == sorted(sequences)


async def test_a_changed_task_is_told_of_to_whoever_has_it(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    routing = serving.client.routing
    task = (await routing.CreateTask()).task
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        stood = await session.snapshots(2)
        (holder,) = [sid for sid in stood if stood[sid].tasks]
        (offer,) = stood[holder].reservations
        await routing.UpdateTask(sid=task.sid, attributes='{"vip":true}')
        await routing.AcceptReservation(sid=offer.sid)
        await routing.UpdateTask(sid=task.sid, attributes_patch='{"paid":1}')
        events = await session.events(3)

    assert [worker_of(event) for event in events] == [holder] * 3
    assert [event.type for event in events] == [
        "reservation.task-updated",
        "reservation.accepted",
        "reservation.task-updated",
    ]
    assert [event.task.attributes for event in events[::2]] == [
        '{"vip":true}',
        '{"paid":1,"vip":true}',
    ]
    assert events[0].reservation == offer


async def test_a_worker_who_joins_later_misses_nothing_and_nobody_else_does(
    serving: Serving,
) -> None:
    """Snapshots lie between events: what they hold is not told again, the rest is."""
    sids = await hire(serving, *(f"w{n}" for n in range(6)))
    update = serving.client.workspace.UpdateWorker
    rounds = 8

    async def work() -> None:
        for n in range(rounds):
            for sid in sids:
                await update(sid=sid, attributes=f'{{"n":{n}}}')

    async with desk(serving.client) as session:
        working = asyncio.create_task(work())
        for sid in sids:
            await session.subscribe(sid)
        stands: dict[str, str] = {}
        told: list[int] = []
        last = f'{{"n":{rounds - 1}}}'
        while len(stands) < len(sids) or set(stands.values()) != {last}:
            response = await session.read()
            if response.HasField("snapshot"):
                worker = response.snapshot.worker
                assert worker.sid not in stands
                stands[worker.sid] = worker.attributes or '{"n":-1}'
            for event in response.events:
                told.append(event.sequence)
                before = stands[event.worker.sid]
                if before not in ("{}", '{"n":-1}'):
                    # One change after the other, none left out.
                    number = int(before.removeprefix('{"n":').rstrip("}"))
                    assert event.worker.attributes == f'{{"n":{number + 1}}}'
                stands[event.worker.sid] = event.worker.attributes
        await working

    assert told == sorted(set(told))


async def test_who_is_unsubscribed_is_told_of_no_more(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    update = serving.client.workspace.UpdateWorker
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        await session.snapshots(2)
        await session.say(unsubscribe=pb.Unsubscribe(worker_sids=[ann]))
        left = await session.until(lambda each: each.HasField("unsubscribed") and each)
        await update(sid=ann, attributes='{"a":1}')
        await update(sid=bob, attributes='{"a":1}')
        (event,) = await session.events(1)

    assert list(left.unsubscribed.worker_sids) == [ann]
    assert not left.unsubscribed.status
    assert worker_of(event) == bob


async def test_an_unknown_worker_is_told_and_the_others_are_subscribed(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    nobody = make_sid("WK", 1)
    async with desk(serving.client) as session:
        await session.subscribe(nobody, ann)
        assert (await session.snapshots(1)).keys() == {ann}
        (left,) = [m.unsubscribed for m in session.seen if m.HasField("unsubscribed")]

    assert list(left.worker_sids) == [nobody]
    status = status_pb2.Status.FromString(left.status)
    assert status.code == code_pb2.NOT_FOUND


async def test_a_worker_who_is_deleted_takes_no_room(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_WORKERS", 2)
    ann, bob, eve = await hire(serving, "ann", "bob", "eve")
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        await session.snapshots(2)
        before = session.token
        await serving.client.workspace.UpdateWorker(sid=ann, activity="Offline")
        await serving.client.workspace.DeleteWorker(sid=ann)
        told = await session.events(2)
        left = await session.until(lambda each: each.HasField("unsubscribed") and each)
        await session.subscribe(eve)
        assert (await session.snapshots(1)).keys() == {eve}
    async with desk(serving.client) as resumed:
        # Of one who was deleted since, too.
        await resumed.subscribe(ann, bob, token=before)
        assert await resumed.events(2) == told
        again = await resumed.until(lambda each: each.HasField("unsubscribed") and each)

    assert told[1].type == "worker.deleted"
    assert left.unsubscribed == again.unsubscribed
    assert list(left.unsubscribed.worker_sids) == [ann]
    status = status_pb2.Status.FromString(left.unsubscribed.status)
    assert status.code == code_pb2.NOT_FOUND


async def test_more_workers_than_a_session_has_room_for_are_not_subscribed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_WORKERS", 2)
    sids = await hire(serving, "ann", "bob", "eve")
    async with desk(serving.client) as session:
        await session.subscribe(*sids)
        left = await session.until(lambda each: each.HasField("unsubscribed") and each)
        stood = await session.snapshots(2)

    assert list(left.unsubscribed.worker_sids) == sids[2:]
    status = status_pb2.Status.FromString(left.unsubscribed.status)
    assert status.code == code_pb2.RESOURCE_EXHAUSTED
    assert stood.keys() == set(sids[:2])


# --- tokens ----------------------------------------------------------------------------


async def test_a_session_goes_on_after_its_token(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await session.subscribe(ann, bob)
        await session.snapshots(2)
    for sid in (bob, ann):
        await serving.client.workspace.UpdateWorker(sid=sid, attributes='{"a":1}')
    await serving.restart()
    async with desk(serving.client) as resumed:
        # In whatever order they are named.
        await resumed.subscribe(bob, ann, token=session.token)
        events = await resumed.events(2)

    assert [worker_of(event) for event in events] == [bob, ann]
    assert not any(each.HasField("snapshot") for each in resumed.seen)


async def test_a_token_is_that_of_its_workers_and_no_others(serving: Serving) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        of_one = session.token
        await session.subscribe(bob)
        await session.snapshots(1)
        of_both = session.token
        await session.say(unsubscribe=pb.Unsubscribe(worker_sids=[bob]))
        await session.until(lambda each: each.HasField("unsubscribed"))
        again_of_one = session.token

    good = [((ann,), of_one), ((ann, bob), of_both), ((ann,), again_of_one)]
    for sids, token in good:
        async with desk(serving.client) as resumed:
            await resumed.subscribe(*sids, token=token)
            assert not (await resumed.read()).HasField("snapshot")
    for sids, token in [((ann, bob), of_one), ((ann,), of_both), ((bob,), of_one)]:
        async with desk(serving.client) as resumed:
            await resumed.subscribe(*sids, token=token)
            refused = await refusal(resumed.read())
            assert [*refused] == ["INVALID_ARGUMENT", "FIELD_INVALID"]


async def test_a_session_that_tells_of_nobody_is_at_no_place(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.command("first", ann, **away(ann))
        await session.results(1)
        assert session.token == ""
        await session.subscribe(ann)
        await session.snapshots(1)
        assert session.token
        await session.say(unsubscribe=pb.Unsubscribe(worker_sids=[ann]))
        await session.until(lambda each: each.HasField("unsubscribed"))
        assert session.token == ""


async def test_a_session_far_behind_gets_new_snapshots(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_BEHIND_EVENTS", 2)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
    for n in range(3):
        await serving.client.workspace.UpdateWorker(sid=ann, attributes=f'{{"n":{n}}}')
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=session.token)
        stood = await resumed.snapshots(1)

    assert stood[ann].worker.attributes == '{"n":2}'
    assert not any(each.events for each in resumed.seen)


# --- the window ------------------------------------------------------------------------


async def test_no_more_is_sent_than_is_acknowledged(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 5)
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        for n in range(12):
            await serving.client.workspace.UpdateWorker(
                sid=ann, attributes=f'{{"n":{n}}}'
            )
        first = await session.events(5)
        # An answer is no event and passes by those that wait.
        await session.command("ping", ann, **away(ann, 99))
        await session.results(1)
        assert sum(len(each.events) for each in session.seen) == 5

        await session.ack(first[2].sequence)
        await session.ack(first[-1].sequence)
        second = await session.events(5)
        await session.ack(second[-1].sequence)
        third = await session.events(3)

    numbers = [event.worker.attributes for event in (*first, *second, *third)]
    assert numbers == [f'{{"n":{n}}}' for n in (*range(12), 99)]


async def test_who_does_not_acknowledge_is_ended_with_the_token(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_UNACKED_EVENTS", 2)
    ann, bob = await hire(serving, "ann", "bob")
    update = serving.client.workspace.UpdateWorker
    async with desk(serving.client) as stalled, desk(serving.client) as other:
        for session in (stalled, other):
            await session.subscribe(ann)
            await session.snapshots(1)
        for n in range(5):
            await update(sid=ann, attributes=f'{{"n":{n}}}')
            (event,) = await other.events(1)
            await other.ack(event.sequence)
        await stalled.events(2)

        ended = asyncio.ensure_future(refusal(_to_the_end(stalled)))
        for _ in range(100):
            serving.clock.advance(limits.HEARTBEAT_INTERVAL)
            await asyncio.wait((ended,), timeout=0.05)
            if ended.done():
                break
        refused = await ended

    assert [*refused] == ["RESOURCE_EXHAUSTED", "READER_BEHIND"]
    async with desk(serving.client) as resumed:
        await resumed.subscribe(ann, token=refused.metadata["resume_token"])
        (first,) = await resumed.events(2) and [resumed.seen[-1].events[0]]
    assert first.worker.attributes == '{"n":2}'
    assert bob


async def _to_the_end(session: Desk) -> None:
    while True:
        await session.read()


# --- commands --------------------------------------------------------------------------


async def test_an_agents_day_goes_over_the_session(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    task = (await serving.client.routing.CreateTask()).task
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        (offer,) = (await session.snapshots(1))[ann].reservations
        await session.command(
            "1", ann, accept_reservation=pb.AcceptReservationRequest(sid=offer.sid)
        )
        await session.command(
            "2", ann, wrap_reservation=pb.WrapReservationRequest(sid=offer.sid)
        )
        complete = pb.CompleteReservationRequest(sid=offer.sid, disposition="sold")
        await session.command("3", ann, complete_reservation=complete)
        await session.command("4", ann, **away(ann))
        results = await session.results(4)

    assert [result.command_id for result in results] == ["1", "2", "3", "4"]
    assert [result.WhichOneof("result") for result in results] == [
        "accept_reservation",
        "wrap_reservation",
        "complete_reservation",
        "update_worker",
    ]
    done = (await serving.client.routing.GetTask(sid=task.sid)).task
    assert done.disposition == "sold"


async def test_commands_reject_and_claim(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    task = (await serving.client.routing.CreateTask()).task
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        (offer,) = (await session.snapshots(1))[ann].reservations
        reject = pb.RejectReservationRequest(sid=offer.sid, activity="Unavailable")
        await session.command("no", ann, reject_reservation=reject)
        claim = pb.ClaimTaskRequest(sid=task.sid, worker_sid=ann)
        await session.command("mine", ann, claim_task=claim)
        await session.command("back", ann, **_activity(ann, "Available"))
        no, mine, _ = await session.results(3)

    assert no.reject_reservation.reservation.sid == offer.sid
    assert status_of(mine) == ("FAILED_PRECONDITION", "NOT_ELIGIBLE")


def _activity(sid: str, activity: str) -> dict[str, Any]:
    request = worker_requests_pb2.UpdateWorkerRequest(sid=sid, activity=activity)
    return {"update_worker": request}


async def test_a_command_said_again_has_one_effect_and_one_answer(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.command("once", ann, **away(ann))
        await session.command("once", ann, **away(ann))
        first, again = await session.results(2)
    async with desk(serving.client) as later:
        await later.command("once", ann, **away(ann))
        (after,) = await later.results(1)
        await later.command("once", ann, **away(ann, 2))
        (other,) = await later.results(1)

    assert first == again == after
    assert status_of(other) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert fields_of(other) == ("command_id",)
    worker = (await serving.client.workspace.GetWorker(sid=ann)).worker
    assert worker.version == first.update_worker.worker.version


async def test_a_refused_command_says_what_the_unary_call_would(
    serving: Serving,
) -> None:
    ann, bob = await hire(serving, "ann", "bob")
    nobody = make_sid("WR", 1)
    invalid = ("INVALID_ARGUMENT", "FIELD_INVALID")
    malformed = pb.AcceptReservationRequest(sid="x", version=-1)
    nowhere = worker_requests_pb2.UpdateWorkerRequest(sid=ann, activity="Nowhere")
    #: the worker and the command, how it is refused, and which fields are named
    commands: dict[
        str, tuple[str, dict[str, Any], tuple[str, str], tuple[str, ...]]
    ] = {
        "gone": (
            ann,
            {"accept_reservation": pb.AcceptReservationRequest(sid=nobody)},
            ("NOT_FOUND", "RESOURCE_NOT_FOUND"),
            (),
        ),
        "malformed": (
            ann,
            {"accept_reservation": malformed},
            invalid,
            ("sid", "version"),
        ),
        "nowhere": (ann, {"update_worker": nowhere}, invalid, ("activity",)),
        "of another": (ann, away(bob), invalid, ("sid",)),
        "of no worker": ("x", away(bob), invalid, ("worker_sid",)),
        "of nobody": ("", away(bob), invalid, ("worker_sid",)),
        "nothing": (ann, {}, invalid, ("command",)),
    }
    async with desk(serving.client) as session:
        for name, (sid, fields, *_) in commands.items():
            await session.command(name, sid, **fields)
        results = await session.results(len(commands))
        refused = {
            result.command_id: (status_of(result), fields_of(result))
            for result in results
        }
        # The session lives on.
        await session.command("fine", ann, **away(ann))
        await session.results(1)

    assert refused == {
        name: (wanted, fields) for name, (_, _, wanted, fields) in commands.items()
    }


async def test_a_worker_may_have_so_many_commands_waiting(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_WORKER_COMMANDS", 4)
    ann, bob = await hire(serving, "ann", "bob")
    async with desk(serving.client) as session:
        for n in range(12):
            await session.command(f"{n}", ann, **away(ann, n))
        await session.command("bob", bob, **away(bob))
        results = await session.results(13)

    taken = [r.command_id for r in results if r.worker_sid == ann and not r.status]
    refused = [r for r in results if r.status]
    assert taken == sorted(taken, key=int)
    assert len(taken) >= 4
    assert refused
    assert {status_of(r) for r in refused} == {("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")}
    assert [r.worker_sid for r in results if r.command_id == "bob"] == [bob]


async def test_a_session_goes_on_with_another_credential(serving: Serving) -> None:
    admin = serving.client.admin
    keys = [await admin.CreateKey(friendly_name=name) for name in ("old", "new")]
    old, new = [f"{made.key.sid}.{made.secret}" for made in keys]
    (ann,) = await hire(serving, "ann")
    async with desk(await serving.connect(old)) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        bad = pb.RefreshTokenRequest(token=f"{new}x")
        await session.command("bad", "", refresh_token=bad)
        good = pb.RefreshTokenRequest(token=new)
        await session.command("good", "", refresh_token=good)
        refused, taken = await session.results(2)
        await admin.RevokeKey(sid=keys[0].key.sid)
        await session.command("on", ann, **away(ann))
        await session.results(1)

        await admin.RevokeKey(sid=keys[1].key.sid)
        await session.command("off", ann, **away(ann))
        ended = await refusal(_to_the_end(session))

    assert status_of(refused) == ("UNAUTHENTICATED", "CREDENTIAL_INVALID")
    assert taken.WhichOneof("result") == "refresh_token"
    assert ended.code == "UNAUTHENTICATED"


# --- ends ------------------------------------------------------------------------------


async def test_what_makes_no_sense_ends_a_session(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    here_and_away = pb.Declare(
        connected_worker_sids=[ann], disconnected_worker_sids=[ann]
    )
    nonsense: dict[str, dict[str, Any]] = {
        "request": {},
        "subscribe.worker_sids[0]": {"subscribe": pb.Subscribe(worker_sids=["x"])},
        "resume_token": {"subscribe": pb.Subscribe(resume_token="x")},
        "ack_events.sequence": {"ack_events": pb.AckEvents(sequence=-1)},
        "command.command_id": {"command": pb.AgentCommand(worker_sid=ann)},
        "declare.disconnected_worker_sids[0]": {"declare": here_and_away},
    }
    for field, fields in nonsense.items():
        async with desk(serving.client) as session:
            await session.say(**fields)
            refused = await refusal(session.read())
            assert (refused.code, set(refused.fields)) == ("INVALID_ARGUMENT", {field})


async def test_what_never_happened_cannot_be_acknowledged(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.command("last", ann, **away(ann))
        (result,) = await session.results(1)
        head = result.update_worker.sequence
        await session.ack(head)
        await session.ack(head + 1)
        refused = await refusal(session.until(lambda each: each.go_away))

    assert refused.code == "INVALID_ARGUMENT"
    assert refused.fields == {
        "ack_events.sequence": f"{head + 1} is no event's, the log ends at {head}"
    }


async def test_bytes_that_are_no_message_end_a_session(serving: Serving) -> None:
    path = "/flexcore.v1.RoutingService/AgentSession"
    open_session = serving.client.grpc_channel.stream_stream(path)
    codes = []
    for metadata in (serving.client.credential.metadata, ()):
        call = open_session(iter([b"\xff\xff\xff"]), metadata=metadata)
        codes.append((await refusal(call.read())).code)

    assert codes == ["INVALID_ARGUMENT", "UNAUTHENTICATED"]


async def test_another_accounts_workers_and_tokens_are_nobodys(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="other")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="other")
    stranger = await serving.connect(f"{made.key.sid}.{made.secret}")
    async with desk(serving.client) as session, desk(stranger) as other:
        await session.subscribe(ann)
        await session.snapshots(1)
        await other.subscribe(ann)
        left = await other.until(lambda each: each.HasField("unsubscribed") and each)
        await other.command("x", ann, **away(ann))
        (result,) = await other.results(1)
    async with desk(stranger) as other:
        await other.subscribe(ann, token=session.token)
        refused = await refusal(other.read())

    assert list(left.unsubscribed.worker_sids) == [ann]
    assert status_of(result) == ("NOT_FOUND", "RESOURCE_NOT_FOUND")
    assert refused.fields.keys() == {"resume_token"}


async def test_an_idle_session_beats_and_moves_its_token(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        before = session.token
        await hire(serving, "bob")
        reading = asyncio.ensure_future(session.read())
        while not reading.done():
            serving.clock.advance(limits.HEARTBEAT_INTERVAL)
            await asyncio.wait((reading,), timeout=0.05)
        beat = await reading

    assert not beat.events
    assert beat.complete
    assert beat.resume_token != before


async def test_a_server_that_stops_sends_a_session_away(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.subscribe(ann)
        await session.snapshots(1)
        await serving.server.engine.end_streams()
        assert (await session.until(lambda each: each.go_away and each)).resume_token
        with pytest.raises(EOFError):
            await session.read()


async def test_a_half_closed_session_is_answered_and_ends(serving: Serving) -> None:
    (ann,) = await hire(serving, "ann")
    async with desk(serving.client) as session:
        await session.command("last", ann, **away(ann))
        await session._call.done_writing()
        assert len(await session.results(1)) == 1
        with pytest.raises(EOFError):
            await session.read()


async def test_sessions_that_ended_leave_no_task_and_no_cursor(
    serving: Serving,
) -> None:
    (ann,) = await hire(serving, "ann")
    tails = [account.tail for account in serving.server.engine.accounts().values()]
    for _ in range(20):
        async with desk(serving.client) as session:
            await session.subscribe(ann)
            await session.snapshots(1)
            await session.command("x", ann, **away(ann))
    # The server learns of a cancellation before it answers what was asked later.
    for _ in range(1_000):
        if not any(tail._open for tail in tails):
            break
        await serving.client.admin.GetServerInfo()

    assert [cursor for tail in tails for cursor in tail._open] == []
    strands = [strand for tail in tails for strand in tail._strands.values()]
    assert not any(strand.readers for strand in strands)
