"""Rows and protos say the same, field by field, and secrets stay inside."""

import enum
import types
import typing
from typing import Any

import msgspec
import pytest

from flexcore.domain import model, parts
from flexcore.domain.log import Cause, ChangeSet, Event, LogFilter
from flexcore.domain.semantics import POLICIES, Semantics, resolved
from flexcore.domain.states import ReservationStatus, TaskStatus
from flexcore.engine.commands import Answer
from flexcore.engine.routing.eligibility import CONDITIONS
from flexcore.services.convert import seconds_to_proto, time_from_proto, time_to_proto
from flexcore.services.convert_event import conversation_events, worker_events
from flexcore.services.convert_policy import policies_from_proto, policies_to_proto
from flexcore.services.convert_rows import TO_PROTO, answer_to_proto
from flexcore.services.convert_workspace import add_load
from flexcore.services.encoded import encode
from flexcore.services.excerpt import Excerpt, change_set_to_proto
from flexcore.v1 import (
    conversation_service_pb2,
    event_pb2,
    explanation_pb2,
    policy_pb2,
    routing_pb2,
    routing_service_pb2,
    rules_pb2,
)
from tests.factories import KINDS, TASK, TIME, WORKER, make_row, make_sid

#: fields of rows that are the engine's own business
INSIDE = {
    "epoch",
    "order",
    "skip_pending",
    "names",
    "cursor",
    "re_evaluate_time",
    "leaving",
    "spread_order",
    "spread_time",
    "sealed_secret",
    "sealed_auth_token",
    "endpoint_id",
    "callback_secret",
    "taken_out",
}
#: fields that have another name outside
RENAMED = {
    "timeout_seconds": "timeout",
    "task_reservation_timeout_seconds": "task_reservation_timeout",
    "last_offered": "last_offered_time",
    "last_released": "last_released_time",
    "wait_seconds": "wait",
    "step_filter": "step",
    "step_target": "step",
    "step_start": "step",
    "step_deadline": "step",
    "routes": "routing_targets",
    "route": "routing_target_index",
}
#: what a field that is not any text, by name, may hold
WORDS = {
    "type": "agent",
    "auto_creation": "interaction",
    "task_order": "LIFO",
    "prioritize_queue_order": "LIFO",
    "policies": {"worker_order": "round_robin", "refusal_limit": 7},
}
#: fields that are not the row's: told beside it where they are known
BESIDE = {
    "assigned_tasks",
    "available_capacity_percentage",
    "age",
    "work_state",
    "activity_name",
    "default_activity_name",
    "timeout_activity_name",
    "task_queue_friendly_name",
    "workflow_friendly_name",
}


def filled(kind: type[model.Row]) -> model.Row:
    """Make a row none of whose fields has its default."""
    hints = typing.get_type_hints(kind)
    values = {
        field.name: value(hints[field.name], field.name)
        for field in msgspec.structs.fields(kind)
    }
    return kind(**values)


def value(hint: Any, name: str) -> object:
    if name in WORDS:
        return WORDS[name]
    if isinstance(hint, types.UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        inner = typing.get_type_hints(hint)
        return hint(**{key: value(each, key) for key, each in inner.items()})
    if typing.get_origin(hint) is tuple:
        return (value(typing.get_args(hint)[0], name),)
    return {str: f"the {name}", int: TIME + len(name), bool: True, bytes: b"sealed"}[
        hint
    ]


def small(row: model.Row) -> model.Row:
    """Give 32-bit fields a value that fits."""
    names = {"priority", "error_code", "candidates", "assignment_count"}
    names |= {"configured_capacity", "max_reserved_workers", "missed_offers", "number"}
    names |= {"step_filter", "step_target", "route", "re_evaluate_left"}
    names |= {"callback_failures"}
    changes: dict[str, object] = {n: 7 for n in names if hasattr(row, n)}
    if isinstance(row, model.Task):
        changes["routes"] = (parts.Route(make_sid("WK", 1), 7, True),)
        changes["refusals"] = (parts.Refusal(WORKER, 7, True, TIME),)
    return row.evolve(**changes)


@pytest.mark.parametrize("kind", TO_PROTO, ids=lambda kind: kind.__name__)
def test_no_field_of_a_resource_is_left_out(kind: type[model.Row]) -> None:
    row = small(filled(kind))
    if hasattr(row, "timeline"):
        entry = parts.ReceiptEntry(row.status, TIME, 7)
        row = row.evolve(timeline=(entry,))
    message = TO_PROTO[kind](row)
    shown = {field.name for field, _ in message.ListFields()}

    assert {field.name for field in message.DESCRIPTOR.fields} - BESIDE == shown
    known = {field.name for field in msgspec.structs.fields(kind)} - INSIDE
    assert {RENAMED.get(name, name) for name in known} <= shown


@pytest.mark.parametrize("kind", TO_PROTO, ids=lambda kind: kind.__name__)
def test_texts_numbers_and_times_are_those_of_the_row(kind: type[model.Row]) -> None:
    row = small(filled(kind))
    message = TO_PROTO[kind](row.evolve(timeline=()) if "timeline" in dir(row) else row)

    for name in row.__struct_fields__:
        if name in INSIDE or name in RENAMED or name == "timeline":
            continue
        expected, found = getattr(row, name), getattr(message, name)
        if name in ("task_order", "prioritize_queue_order"):
            assert found == policy_pb2.TASK_ORDER_LIFO
        elif isinstance(expected, enum.Enum):
            enum_type = message.DESCRIPTOR.fields_by_name[name].enum_type
            word = enum_type.values_by_number[found].name
            assert word.endswith(f"_{expected.name}")
        elif type(found).__name__ == "Timestamp":
            assert time_from_proto(found) == expected
        elif isinstance(expected, int) or isinstance(found, str):
            assert found == expected


def test_every_kind_but_claims_has_a_proto() -> None:
    assert set(KINDS) - set(TO_PROTO) == {model.Claim}


def test_no_secret_is_in_any_proto() -> None:
    for kind, convert in TO_PROTO.items():
        sent = convert(make_row(kind)).SerializeToString()
        assert b"sealed" not in sent


def test_a_sender_shows_the_urls_its_carrier_calls() -> None:
    row = make_row(model.Sender, public_url="https://desk.example.org")
    sender = TO_PROTO[model.Sender](row)

    assert sender.inbound_url == f"https://desk.example.org/inbound/twilio/{'e' * 32}"
    assert sender.status_url == sender.inbound_url + "/status"


@pytest.mark.parametrize("semantics", Semantics)
def test_every_policy_is_the_same_there_and_back(semantics: Semantics) -> None:
    values = msgspec.structs.asdict(resolved(semantics))
    message = policies_to_proto(values)

    assert {field.name for field in message.DESCRIPTOR.fields} == POLICIES.keys()
    assert policies_from_proto(message) == values
    assert policies_from_proto(policies_to_proto({})) == {}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_may_have_the_values_the_table_allows(name: str) -> None:
    field = policy_pb2.Policies.DESCRIPTOR.fields_by_name[name]
    policy = POLICIES[name]

    if field.enum_type:
        words = [each.name for each in field.enum_type.values if each.number]
        prefix = f"{name}_".upper()
        shown = {word.removeprefix(prefix).lower() for word in words}
        assert shown == set(policy.words)
    elif policy.range is not None:
        rules = field.GetOptions().Extensions[rules_pb2.rules]
        assert (rules.min, rules.max) == policy.range
    else:
        assert field.cpp_type == field.CPPTYPE_BOOL


def test_a_workspace_shows_what_is_set_and_what_follows() -> None:
    row = make_row(model.Workspace, policies={"refusal_limit": 7})
    shown = TO_PROTO[model.Workspace](row)

    assert policies_from_proto(shown.policies) == {"refusal_limit": 7}
    assert shown.effective_policies.refusal_limit == 7
    assert shown.effective_policies.wrap_limit_seconds == 3_600


@pytest.mark.parametrize(
    ("statuses", "capacity", "assigned", "left"),
    [
        ("", 3, 0, 100),
        ("pending wrapping", 3, 0, 33),
        ("accepted accepted", 3, 2, 33),
        ("accepted rejected", 1, 1, 0),
        ("accepted accepted", 1, 2, 0),
        ("", 0, 0, 0),
        ("accepted", 0, 1, 0),
    ],
)
def test_a_worker_channel_tells_what_it_holds(
    statuses: str, capacity: int, assigned: int, left: int
) -> None:
    channel = make_row(model.WorkerChannel, configured_capacity=capacity)
    held = [
        make_row(model.Reservation, status=ReservationStatus(status))
        for status in statuses.split()
    ]
    elsewhere = make_row(
        model.Reservation,
        status=ReservationStatus.ACCEPTED,
        task_channel_sid=make_sid("TC", 2),
    )
    shown = TO_PROTO[model.WorkerChannel](channel)
    assert not shown.HasField("assigned_tasks")

    add_load([shown], [*held, elsewhere])
    assert shown.assigned_tasks == assigned
    assert shown.available_capacity_percentage == left


def test_a_task_has_an_age_when_it_is_told_of() -> None:
    task = make_row(model.Task)
    second = 1_000_000
    answer = Answer(17, (task,), time=TIME + 61 * second + 999_999)

    told = answer_to_proto(routing_service_pb2.CreateTaskResponse(), answer)
    assert told.task.age.seconds == 61
    assert told.task.age.nanos == 0
    change_set = make_change_set([("task.created", task)])
    shown = change_set_to_proto(change_set)
    assert shown is not None
    assert shown.resources[0].task.HasField("age")
    assert not TO_PROTO[model.Task](task).HasField("age")


def test_a_task_is_at_one_of_its_routing_targets_or_at_none() -> None:
    task = make_row(model.Task, routes=(parts.Route(WORKER, 0, True),), route=0)

    assert TO_PROTO[model.Task](task).routing_target_index == 0
    assert TO_PROTO[model.Task](task).HasField("routing_target_index")
    nowhere = TO_PROTO[model.Task](task.evolve(route=-1))
    assert not nowhere.HasField("routing_target_index")


def test_times_keep_their_microseconds() -> None:
    for time in (1, 999_999, TIME + 123_456, -1, -2_208_988_800_000_000):
        proto = time_to_proto(time)
        assert proto is not None
        assert time_from_proto(proto) == time
    assert time_to_proto(0) is None
    assert seconds_to_proto(0) is None


def test_a_task_has_a_deadline_until_it_is_assigned() -> None:
    waiting = make_row(model.Task, deadline=TIME)

    assert TO_PROTO[model.Task](waiting).HasField("deadline")
    assigned = waiting.evolve(status=TaskStatus.ASSIGNED)
    assert not TO_PROTO[model.Task](assigned).HasField("deadline")


def test_a_reservation_has_a_deadline_while_it_is_pending() -> None:
    pending = make_row(model.Reservation, deadline=TIME)

    assert TO_PROTO[model.Reservation](pending).HasField("deadline")
    accepted = pending.evolve(status=ReservationStatus.ACCEPTED)
    assert not TO_PROTO[model.Reservation](accepted).HasField("deadline")


def test_an_answer_fills_the_fields_its_rows_are_for() -> None:
    rows = (make_row(model.Reservation), make_row(model.Task), make_row(model.Invite))
    response = answer_to_proto(
        routing_service_pb2.AcceptReservationResponse(), Answer(17, rows)
    )

    assert response.sequence == 17
    assert response.reservation.sid == rows[0].sid
    assert response.task.sid == rows[1].sid
    assert not response.HasField("participant")


def make_change_set(
    events: list[tuple[str, model.Row]], *others: model.Row
) -> ChangeSet:
    rows = {row.sid: row for _, row in events} | {row.sid: row for row in others}
    return ChangeSet(
        account_sid=make_sid("AC", 1),
        first_sequence=10,
        last_sequence=9 + len(events),
        time=TIME,
        command_id="c1",
        actor="SK1",
        cause=Cause.TIMER,
        events=tuple(Event(name, row.sid, row.version) for name, row in events),
        resources=tuple(rows.values()),
    )


def test_a_worker_sees_its_own_reservations_with_their_tasks() -> None:
    mine = make_row(model.Reservation, task_sid=TASK)
    other = make_row(model.Reservation, worker_sid=make_sid("WK", 2))
    task = make_row(model.Task, sid=TASK)
    channel = make_row(model.WorkerChannel)
    change_set = make_change_set(
        [
            ("task.created", task),
            ("reservation.created", mine),
            ("reservation.created", other),
            ("worker.capacity.update", channel),
        ]
    )

    told = worker_events(change_set, encode, (WORKER,), ())
    fields = b"".join(field for _, field in told)
    session = routing_service_pb2.AgentSessionResponse.FromString(fields)
    stream = routing_service_pb2.StreamReservationsResponse.FromString(fields)
    assert list(session.events) == list(stream.events)
    first, second = session.events
    assert [first.sequence, second.sequence] == [sequence for sequence, _ in told]
    assert time_from_proto(first.time) == TIME
    assert (first.type, first.sequence) == ("reservation.created", 11)
    assert (first.reservation.sid, first.task.sid) == (mine.sid, TASK)
    assert (second.sequence, second.worker_channel.sid) == (13, channel.sid)
    assert not second.HasField("reservation")


def test_a_worker_sees_the_activities_of_its_workspace_alone() -> None:
    here = make_row(model.Activity)
    there = make_row(model.Activity, workspace_sid=make_sid("WS", 2))
    change_set = make_change_set(
        [("activity.updated", there), ("activity.updated", here)]
    )

    told = worker_events(change_set, encode, (), (here.workspace_sid,))
    fields = b"".join(field for _, field in told)
    (event,) = routing_service_pb2.AgentSessionResponse.FromString(fields).events
    assert (event.type, event.activity.sid) == ("activity.updated", here.sid)


def test_a_conversation_sees_what_is_said_in_it() -> None:
    message = make_row(model.Message)
    elsewhere = make_row(model.Message, conversation_sid=make_sid("CH", 2))
    change_set = make_change_set(
        [("message.added", elsewhere), ("message.added", message)]
    )

    sid = message.conversation_sid
    ((sequence, field),) = conversation_events(change_set, encode, sid)
    response = conversation_service_pb2.WatchConversationResponse.FromString(field)
    (event,) = response.events
    assert sequence == 11
    assert (event.sequence, event.message.sid) == (11, message.sid)


def test_a_change_set_shows_each_event_and_resource_once() -> None:
    task, claim = make_row(model.Task), make_row(model.Claim)
    change_set = make_change_set(
        [("task.created", task), ("workflow.entered", task)], claim
    )

    shown = change_set_to_proto(change_set)
    assert shown is not None
    assert [event.sequence for event in shown.events] == [10, 11]
    assert [each.WhichOneof("resource") for each in shown.resources] == ["task"]
    assert shown.cause == event_pb2.CHANGE_SET_CAUSE_TIMER


def test_what_is_said_beside_an_event_is_encoded() -> None:
    moved = Event("task-queue.moved", "WT1", 2, place="WQ1", since=TIME)
    missing = Event("workflow.known-worker-missing", "WT1", 3, reason="r", value="who")
    capacity = Event("worker.capacity.update", "WC1", 4, value="0")
    change_set = make_change_set([])
    told = msgspec.structs.replace(change_set, events=(moved, missing, capacity))
    found = event_pb2.ChangeSet.FromString(b"".join(encode(told).events)).events

    assert (found[0].place_sid, found[0].place_time) == ("WQ1", time_to_proto(TIME))
    assert (found[1].reason, found[1].known_worker) == ("r", "who")
    assert (found[2].previous_capacity, found[2].known_worker) == (0, "")
    assert not found[1].HasField("previous_capacity")
    assert [each.sequence for each in found] == [10, 11, 12]


def of_types(*types: str) -> LogFilter:
    return LogFilter(types=frozenset(types))


def test_a_large_change_set_is_cut_into_parts_that_are_the_whole_together() -> None:
    tasks = [
        make_row(model.Task, attributes=f'{{"a":"{"x" * 900}"}}') for _ in range(9)
    ]
    silent = make_row(model.Worker)
    events = [("task.created", task) for task in tasks]
    change_set = make_change_set([*events, events[0]], silent)
    whole = change_set_to_proto(change_set)
    assert whole is not None

    excerpt = Excerpt(change_set, encode(change_set))
    parts = excerpt.parts(3_500)
    assert len(parts) > 2
    assert len(parts) < sum(map(len, parts)) / 2_000
    assert max(map(len, parts)) < 4_000
    joined = event_pb2.ChangeSet()
    for part in map(event_pb2.ChangeSet.FromString, parts):
        assert (part.first_sequence, part.last_sequence) == (10, 19)
        joined.events.extend(part.events)
        joined.resources.extend(part.resources)
    assert list(joined.events) == list(whole.events)
    assert list(joined.resources) == list(whole.resources)
    assert list(excerpt.parts(1 << 20)) == [excerpt.whole]


def test_a_filter_leaves_out_events_their_resources_and_empty_change_sets() -> None:
    task, worker = make_row(model.Task), make_row(model.Worker)
    change_set = make_change_set(
        [("task.created", task), ("worker.created", worker), ("task.canceled", task)]
    )

    by_noun = change_set_to_proto(change_set, of_types("task"))
    assert by_noun is not None
    assert [event.sequence for event in by_noun.events] == [10, 12]
    assert [each.task.sid for each in by_noun.resources] == [task.sid]
    assert (by_noun.first_sequence, by_noun.last_sequence) == (10, 12)
    by_type = change_set_to_proto(change_set, of_types("worker.created"))
    assert by_type is not None
    assert [event.type for event in by_type.events] == ["worker.created"]
    assert change_set_to_proto(change_set, of_types("conversation")) is None


def test_a_filter_tells_as_deleted_what_its_events_speak_of() -> None:
    task, worker = make_row(model.Task), make_row(model.Worker)
    told = make_change_set([("task.purged", task), ("worker.deleted", worker)])
    change_set = msgspec.structs.replace(told, deleted=(task.sid, worker.sid))

    shown = change_set_to_proto(change_set, of_types("worker"))
    assert shown is not None
    assert list(shown.deleted) == [worker.sid]
    assert [each.worker.sid for each in shown.resources] == [worker.sid]


def test_the_statuses_of_the_wire_are_those_of_the_domain() -> None:
    words = {
        name.removeprefix("TASK_STATUS_") for name, _ in routing_pb2.TaskStatus.items()
    }

    assert words == {status.name for status in TaskStatus} | {"UNSPECIFIED"}


def test_conditions_have_the_order_workers_are_asked_in() -> None:
    names = [name for name, number in explanation_pb2.Condition.items() if number]

    assert [name.removeprefix("CONDITION_").lower() for name in names] == [*CONDITIONS]
