"""The agent's console: what it makes of the events of its worker."""

import json

import pytest

from flexcore.agent import Desk
from flexcore.client import ReservationEvent
from flexcore.terminal import Terminal
from flexcore.v1 import routing_pb2
from tests.factories import make_sid

RESERVATION = routing_pb2.Reservation(
    sid=make_sid("WR", 1), task_sid=make_sid("WT", 1), candidates=1
)


def told(capsys: pytest.CaptureFixture[str], *types: str) -> list[str]:
    """Return what the console says of events of one reservation, in order."""
    desk = Desk(None, (make_sid("WK", 1), "ann"), Terminal(json_output=True))  # type: ignore[arg-type]  # nothing is asked
    for kind in types:
        desk._see(ReservationEvent(f"reservation.{kind}", RESERVATION))
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


def test_offer_that_is_extended_still_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told(capsys, "created", "extended", "timeout") == ["offered", "timeout"]


def test_offer_that_is_canceled_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "created", "canceled") == ["offered", "canceled"]


def test_offer_is_shown_without_the_sids_of_its_attributes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = routing_pb2.Task(attributes='{"conversationSid":"CH1","customer":"Zoë"}')
    desk = Desk(None, (make_sid("WK", 1), "ann"), Terminal())  # type: ignore[arg-type]  # nothing is asked

    desk._see(ReservationEvent("reservation.created", RESERVATION, task))

    assert ' {"customer": "Zoë"}, one of 1' in capsys.readouterr().out
