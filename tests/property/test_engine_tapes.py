"""Engine against oracle: random tapes, and the tapes on which they differed once."""

from collections import Counter
from typing import Any

import pytest

from flexcore.domain.semantics import POLICIES
from flexcore.domain.states import CONNECTIVITY, RESERVATION, TASK
from flexcore.engine.commands import Mutation
from tests.model_rows import SECOND, WORDS
from tests.property import choices
from tests.property.generator import Step
from tests.property.tape import Divergence, Pair, Tape, replay, run, shortened

TAPES = 2_000
#: how often each transition, branch and type of event has to come in a run
FIRED_LEAST = 50

#: policies that are numbers decide something while they are 0 and while they are not
SWITCHED = (
    "refusal_seconds",
    "wrap_limit_seconds",
    "assigned_limit_seconds",
    "priority_boost_seconds",
    "retention_seconds",
)
#: what else may happen on the way
BRANCHES = (
    "one",
    "several",
    "entered too late",
    "entered anew",
    "entered anew later",
    "ranked by its step",
    "re-evaluated",
    "re-evaluated later",
    "skipped",
    "skipped out of its filter",
    "not skipped",
    "skipping asked anew",
    "exhausted into a queue",
    "exhausted, cancel",
    "exhausted, default",
    "exhausted, repeat",
    "refused too seldom",
    "refusal over",
    "refusals end with none",
    "refusals end with step",
    "refusals end with queue",
    "missed too few",
    "came back",
    "oldest refusal forgotten",
    "removed in steps",
    "sent on",
    "passing steps one by one",
    "answered too late",
    "fallback asked",
    "to leave after work",
    "left after work",
    "vanished in steps",
    "sent to the queue of the vanished",
    "default activity",
)
#: what no tape asks of routing: whole workspaces, and what messaging is about
ELSEWHERE = frozenset(
    [
        "CreateWorkspace",
        "DeleteWorkspace",
        "ImportWorkspace",
        "CreateDefaults",
        "AttemptSend",
        "ReportSend",
        "AddParticipant",
        "CloseConversation",
        "CloseInteractionChannel",
        "CreateConversation",
        "CreateInteraction",
        "CreateInvite",
        "ReceiveMessage",
        "ReceiveStatus",
        "RemoveParticipant",
        "ReplayDeadLetter",
        "SendMessage",
        "CreateAddressConfiguration",
        "UpdateAddressConfiguration",
        "CreateSender",
        "UpdateSender",
        "CreateAccount",
        "CreateKey",
        "RevokeKey",
        "ClaimAddress",
        "ReleaseAddress",
    ]
)
ANSWERS = ("accept", "reject", "failed", "later", "nothing")
LINKS = ("worker", "worker at once", "queue", "workflow", "gone")
EVENTS = (
    *(f"task.{name}" for name in ("created", "updated", "canceled", "deleted")),
    *(f"task.{name}" for name in ("wrapup", "wrapup-overdue", "completed", "purged")),
    *(f"task.{name}" for name in ("system-deleted", "refusal-expired", "routed")),
    "task.purging",
    "task.hold-expired",
    "task.requeued",
    *(f"reservation.callback-{name}" for name in ("failed", "undecided")),
    *(f"reservation.{name}" for name in ("created", "extended", "task-updated")),
    *(f"reservation.{name}" for name in ("accepted", "rejected", "timeout")),
    *(f"reservation.{name}" for name in ("canceled", "rescinded", "wrapup")),
    *(f"reservation.{name}" for name in ("completed", "failed")),
    *(f"task-queue.{name}" for name in ("entered", "moved", "timeout")),
    *(f"workflow.{name}" for name in ("entered", "target-matched", "step-kept")),
    *(f"workflow.{name}" for name in ("timeout", "skipped", "exhausted")),
    "workflow.known-worker-missing",
    *(f"worker.{name}" for name in ("created", "updated", "deleted", "missed-offer")),
    *(f"worker.{name}" for name in ("attributes.update", "activity.update")),
    "worker.connectivity.update",
)

#: when a tape begins
START = 1_700_000_000 * SECOND
COMPANY: list[Step] = [
    ("create_worker", {"activity": "Available", "attributes": "{}"}),
    ("create_worker", {"activity": "Available", "attributes": "{}"}),
    (
        "create_workflow",
        {"filters": [], "default": {"queue": 0}, "reservation_timeout": 5},
    ),
]


def create_task(timeout: int = 0, **fields: Any) -> Step:
    return "create_task", {
        "workflow": 1,
        "channel": "chat",
        "attributes": "{}",
        "priority": 0,
        "timeout": timeout,
        **fields,
    }


def to_worker(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "worker", "number": number, **more}


def workflow(*targets: dict[str, Any]) -> Step:
    return "create_workflow", {
        "filters": [{"expression": None, "targets": list(targets)}],
        "default": None,
        "reservation_timeout": 5,
    }


class Counts:
    """What a run of tapes did, and how often."""

    def __init__(self) -> None:
        self.fired: Counter[tuple[str, ...]] = Counter()
        self.refused: Counter[str] = Counter()
        self.steps = 0

    def add(self, pair: Pair) -> None:
        self.fired.update(pair.model.fired)
        for (name, value), times in pair.model.decided.items():
            self.fired[name, str(value)] += times
        for command, times in pair.subject.done.items():
            self.fired["command", command] += times
        for event, times in pair.happened.items():
            self.fired["event", event] += times
        self.refused += pair.refused
        self.steps += len(pair.tape.steps)

    def lines(self) -> list[str]:
        return [
            f"  {' '.join(key):50} {times:9,}"
            for key, times in sorted(self.fired.items())
        ]


def expected_to_fire() -> set[tuple[str, ...]]:
    transitions = {
        (machine, status.value, cause)
        for machine, states in (
            ("task", TASK),
            ("reservation", RESERVATION),
            ("connectivity", CONNECTIVITY),
        )
        for status, causes in states.items()
        for cause in causes
    }
    words = {
        (name, str(word))
        for name, words in WORDS.items()
        # These two decide in every expression, which is not counted; of sessions the
        # engine's core knows nothing.
        if name not in ("type_mismatch", "missing_array", "second_session")
        for word in words
    }
    switched = {(name, state) for name in SWITCHED for state in ("on", "off")}
    rest = {
        "branch": BRANCHES,
        "link": LINKS,
        "event": EVENTS,
        "callback": ANSWERS,
        "command": [each.__name__ for each in Mutation.__subclasses__()],
    }
    named = {(kind, name) for kind, names in rest.items() for name in names}
    named -= {("command", name) for name in ELSEWHERE}
    return transitions | words | switched | named


def test_tapes_choose_among_all_policies() -> None:
    # Of sessions the engine's core knows nothing.
    assert choices.POLICIES.keys() == POLICIES.keys() - {"second_session"}
    assert {name for name, each in POLICIES.items() if each.queue} == set(
        choices.OF_QUEUES
    )


@pytest.mark.slow
def test_engine_agrees_with_the_oracle(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts()
    for seed in range(TAPES):
        try:
            counts.add(run(seed))
        except Divergence as divergence:
            found = f"{divergence}\nShortened: {shortened(divergence)}"
            pytest.fail(found, pytrace=False)
    with capsys.disabled():
        head = f"{TAPES:,} tapes, {counts.steps:,} steps, refused {counts.refused}"
        print("", head, *counts.lines(), sep="\n")  # noqa: T201  # says what it did

    fired = counts.fired
    assert {key for key in fired if len(key) == 3} <= expected_to_fire()
    assert {
        key: fired[key] for key in expected_to_fire() if fired[key] < FIRED_LEAST
    } == {}
    assert min(counts.refused.values()) >= FIRED_LEAST


@pytest.mark.parametrize("seed", range(4))
def test_offers_made_together_time_out_in_the_order_they_were_made(seed: int) -> None:
    pair = replay(
        Tape(
            seed,
            [
                *COMPANY,
                ("update_channel", {"worker": 0, "channel": "chat", "capacity": 0}),
                ("update_channel", {"worker": 1, "channel": "chat", "capacity": 0}),
                create_task(),
                create_task(),
                create_task(),
                ("update_channel", {"worker": 0, "channel": "chat", "capacity": 3}),
                ("update_channel", {"worker": 1, "channel": "chat", "capacity": 1}),
                ("pass_time", {"now": 1_700_000_005_000_000}),
            ],
        )
    )

    assert pair.happened["reservation.timeout"] >= 3


def test_task_due_together_with_its_offer_is_canceled_and_nobody_goes_offline() -> None:
    due = 1_700_000_005_000_000
    pair = replay(
        Tape(1, [*COMPANY, create_task(timeout=5), ("pass_time", {"now": due})])
    )

    assert pair.model.tasks[0].status == "canceled"
    assert {worker.activity for worker in pair.model.workers} == {"Available"}


@pytest.mark.parametrize("seed", range(4))
def test_offers_are_taken_back_in_the_order_they_were_made(seed: int) -> None:
    back = {"worker": 0, "activity": "Offline", "reject": True}
    away = {"worker": 1, "activity": "Offline"}
    pair = replay(
        Tape(
            seed,
            [
                *COMPANY,
                ("update_worker", {"worker": 0, "activity": "Offline"}),
                ("update_worker", away),
                ("update_channel", {"worker": 0, "channel": "chat", "capacity": 3}),
                *(create_task() for _ in range(3)),
                ("update_worker", {"worker": 0, "activity": "Available"}),
                ("update_worker", back),
            ],
        )
    )

    assert pair.happened["reservation.rejected"] == 3


def test_taking_offers_back_without_a_change_of_activity_is_refused() -> None:
    pair = replay(Tape(1, [*COMPANY, ("update_worker", {"worker": 0, "reject": True})]))

    assert pair.refused == {"invalid_argument": 1}


@pytest.mark.parametrize("seed", range(4))
def test_rebuilt_matcher_equals_the_live_one_whatever_the_sids(seed: int) -> None:
    queues: list[Step] = [
        ("create_queue", {"expression": f"level >= {level}"}) for level in range(4)
    ]
    pair = replay(Tape(seed, [*COMPANY, *queues, create_task(), ("restart", {})]))

    assert len(pair.model.queues) == 5
    assert pair.happened["reservation.created"] > 0


def test_going_from_link_to_link_is_told() -> None:
    routes = (to_worker(0, wait=3), to_worker(1, wait=3))
    away: list[Step] = [
        ("update_worker", {"worker": worker, "activity": "Offline"})
        for worker in (0, 1)
    ]
    pair = replay(Tape(1, [*COMPANY, *away, create_task(routes=routes)]))

    assert pair.model.tasks[0].reason == "RoutingTarget not available"


def test_removed_task_frees_its_worker_at_the_time_it_is_removed() -> None:
    pair = replay(
        Tape(
            1,
            [
                *COMPANY,
                create_task(),
                ("pass_time", {"now": START + 3 * SECOND}),
                ("delete_task", {"task": 0}),
            ],
        )
    )

    assert pair.happened["task.deleted"] == 1
    assert pair.happened["reservation.canceled"] == 1


def test_answer_that_is_late_for_a_task_in_no_queue_is_refused() -> None:
    routes = (to_worker(0, ignore_capacity=True), to_worker(0))
    late: list[Step] = [
        ("pass_time", {"now": START + 5 * SECOND}),
        ("accept", {"reservation": 0}),
    ]
    away: Step = ("update_worker", {"worker": 0, "activity": "Offline"})
    pair = replay(Tape(1, [*COMPANY, away, create_task(routes=routes), *late]))

    assert pair.refused == {"failed_precondition": 1}


def test_refusal_of_a_removed_worker_ends_for_expressions_too() -> None:
    away: Step = ("update_worker", {"worker": 1, "activity": "Offline"})
    refused = {"queue": 0, "expression": "'x' IN task.refused_by"}
    pair = replay(
        Tape(
            1,
            [
                COMPANY[0],
                COMPANY[1],
                ("update_workspace", {"policies": {"refusal_seconds": 20}}),
                workflow(refused),
                (
                    "update_workflow",
                    {"workflow": 1, **plan({"queue": 0, "timeout": 1})},
                ),
                away,
                create_task(),
                ("reject", {"reservation": 0}),
                ("update_workflow", {"workflow": 1, **plan(refused)}),
                ("delete_worker", {"worker": 0}),
                ("pass_time", {"now": START + 10 * SECOND}),
            ],
        )
    )

    assert pair.happened["worker.deleted"] == 1
    assert pair.happened["task.refusal-expired"] == 1


def plan(*targets: dict[str, Any]) -> dict[str, Any]:
    return {**workflow(*targets)[1], "re_evaluate": True}


def test_older_of_two_tasks_of_equal_rank_goes_first() -> None:
    boost = {"priority_boost_seconds": 10}
    full: list[Step] = [
        ("update_channel", {"worker": worker, "channel": "chat", "capacity": 0})
        for worker in (0, 1)
    ]
    pair = replay(
        Tape(
            1,
            [
                *COMPANY,
                *full,
                ("update_workspace", {"policies": boost}),
                create_task(priority=1),
                create_task(start=START - 10 * SECOND),
                ("update_channel", {"worker": 0, "channel": "chat", "capacity": 1}),
            ],
        )
    )

    assert pair.model.reservations[0].task == 1


def test_step_is_skipped_by_who_comes_back_to_it_and_finds_nobody() -> None:
    pair = replay(
        Tape(
            1,
            [
                COMPANY[0],
                workflow({"queue": 0, "timeout": 5, "skip_if": "1 == 1"}, {"queue": 0}),
                create_task(timeout=3),
                ("reject", {"reservation": 0}),
            ],
        )
    )

    assert pair.model.tasks[0].step == (0, 1)


@pytest.mark.parametrize("seed", range(4))
def test_oldest_tasks_are_re_evaluated_first_whatever_the_sids(seed: int) -> None:
    changed = {"filters": [], "default": {"queue": 0, "priority": 3}}
    step: Step = (
        "update_workflow",
        {"workflow": 1, **changed, "reservation_timeout": 5, "re_evaluate": True},
    )
    tasks = [create_task() for _ in range(5)]
    pair = replay(Tape(seed, [*COMPANY, *tasks, step], {"RE_EVALUATE_TASKS": 1}))

    assert pair.happened["workflow.entered"] == 10
