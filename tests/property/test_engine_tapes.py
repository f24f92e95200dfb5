"""Engine against oracle: random tapes, and the tapes on which they differed once."""

from collections import Counter

import pytest

from flexcore.domain.states import RESERVATION, TASK
from tests.property.generator import Step
from tests.property.tape import Divergence, Tape, replay, run, shortened

TAPES = 2_000
#: how often each transition has to fire in a run
FIRED_LEAST = 50

COMPANY: list[Step] = [
    ("create_worker", {"activity": "Available", "attributes": "{}"}),
    ("create_worker", {"activity": "Available", "attributes": "{}"}),
    (
        "create_workflow",
        {"filters": [], "default": {"queue": 0}, "reservation_timeout": 5},
    ),
]


def create_task(timeout: int = 0) -> Step:
    return "create_task", {
        "workflow": 1,
        "channel": "chat",
        "attributes": "{}",
        "priority": 0,
        "timeout": timeout,
    }


@pytest.mark.slow
def test_engine_agrees_with_the_oracle(capsys: pytest.CaptureFixture[str]) -> None:
    fired: Counter[tuple[str, str, str]] = Counter()
    refused: Counter[str] = Counter()
    steps = 0
    for seed in range(TAPES):
        try:
            pair = run(seed)
        except Divergence as divergence:
            found = f"{divergence}\nShortened: {shortened(divergence)}"
            pytest.fail(found, pytrace=False)
        fired += pair.model.fired
        refused += pair.refused
        steps += len(pair.tape.steps)
    lines = [
        f"  {machine:11} {status:8} {cause:9} {times:7,}"
        for (machine, status, cause), times in sorted(fired.items())
    ]
    lines[:0] = ["", f"{TAPES:,} tapes, {steps:,} steps, refused {dict(refused)}"]
    with capsys.disabled():
        print("\n".join(lines))  # noqa: T201  # a long run prints what it did

    table = {
        (machine, status.value, cause)
        for machine, states in (("task", TASK), ("reservation", RESERVATION))
        for status, causes in states.items()
        for cause in causes
    }
    assert table == set(fired)
    assert {key: n for key, n in fired.items() if n < FIRED_LEAST} == {}
    assert min(refused.values()) >= FIRED_LEAST


@pytest.mark.parametrize("seed", range(4))
def test_offers_made_together_time_out_in_the_order_they_were_made(seed: int) -> None:
    replay(
        Tape(
            seed,
            1000,
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


def test_task_due_together_with_its_offer_is_canceled_and_nobody_goes_offline() -> None:
    due = 1_700_000_005_000_000
    pair = replay(
        Tape(1, 1000, [*COMPANY, create_task(timeout=5), ("pass_time", {"now": due})])
    )

    assert pair.model.tasks[0].status == "canceled"
    assert {worker.activity for worker in pair.model.workers} == {"Available"}


@pytest.mark.parametrize("seed", range(4))
def test_offers_are_taken_back_in_the_order_they_were_made(seed: int) -> None:
    back = {"worker": 0, "activity": "Offline", "reject": True}
    away = {"worker": 1, "activity": "Offline"}
    replay(
        Tape(
            seed,
            1000,
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


def test_taking_offers_back_without_a_change_of_activity_is_refused() -> None:
    pair = replay(
        Tape(1, 1000, [*COMPANY, ("update_worker", {"worker": 0, "reject": True})])
    )

    assert pair.refused == {"invalid_argument": 1}


@pytest.mark.parametrize("seed", range(4))
def test_rebuilt_matcher_equals_the_live_one_whatever_the_sids(seed: int) -> None:
    queues: list[Step] = [
        ("create_queue", {"expression": f"level >= {level}"}) for level in range(4)
    ]
    replay(Tape(seed, 1000, [*COMPANY, *queues, create_task(), ("restart", {})]))
