"""How messages fare on their way out, and what is done about those given up."""

from pathlib import Path

import pytest

from flexcore.domain import limits
from flexcore.domain.clock import VirtualClock
from flexcore.domain.errors import ResourceExhausted
from flexcore.domain.model import Receipt, Sender
from flexcore.domain.states import ReceiptStatus
from flexcore.engine import commands as c
from flexcore.store.interface import OutboxEntry
from tests.engines import Running
from tests.staff import outbound


async def test_repeated_replay_of_a_dead_letter_is_answered_like_the_first(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    entry = await outbound(running)
    await running.submit(c.AttemptSend(sid=entry.sid))
    await running.submit(c.ReportSend(sid=entry.sid, outcome="refused", text="no"))
    replay = c.ReplayDeadLetter(sid=entry.sid, request_id="once")
    first = await running.submit(replay)
    again = await running.submit(replay)

    assert again.repeated
    assert (again.sequence, again.rows) == (first.sequence, first.rows)
    (receipt,) = (await running.submit(c.Get(sid=entry.receipt_sid))).rows
    assert isinstance(receipt, Receipt)
    timeline = [line.status.value for line in receipt.timeline]
    assert timeline == ["queued", "failed", "queued"]
    await running.close()


async def sent(running: Running) -> OutboxEntry:
    """Have a message taken by the carrier, as SM1."""
    entry = await outbound(running)
    await running.submit(c.AttemptSend(sid=entry.sid))
    done = c.ReportSend(sid=entry.sid, outcome="sent", channel_message_sid="SM1")
    await running.submit(done)
    return entry


async def status(running: Running, entry: OutboxEntry, endpoint_id: str) -> str:
    """Have a webhook say `delivered`; return what the receipt says afterwards."""
    await running.submit(
        c.ReceiveStatus(
            endpoint_id=endpoint_id,
            receipt_sid=entry.receipt_sid,
            channel_message_sid="SM1",
            status=ReceiptStatus.DELIVERED,
        )
    )
    (receipt,) = (await running.submit(c.Get(sid=entry.receipt_sid))).rows
    assert isinstance(receipt, Receipt)
    return receipt.status.value


async def test_only_the_sender_a_message_left_by_can_report_on_it(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    entry = await sent(running)
    (sender,) = (await running.submit(c.Get(sid=entry.sender_sid))).rows
    assert isinstance(sender, Sender)

    assert await status(running, entry, "another endpoint") == "sent"
    assert await status(running, entry, sender.endpoint_id) == "delivered"
    await running.close()


async def test_dead_letter_that_is_replayed_and_taken_is_sent(
    tmp_path: Path, clock: VirtualClock
) -> None:
    running = await Running(tmp_path / "data", clock).start()
    entry = await outbound(running)
    await running.submit(c.AttemptSend(sid=entry.sid))
    await running.submit(c.ReportSend(sid=entry.sid, outcome="refused", text="no"))
    await running.submit(c.ReplayDeadLetter(sid=entry.sid))
    await running.submit(c.AttemptSend(sid=entry.sid))
    done = c.ReportSend(sid=entry.sid, outcome="sent", channel_message_sid="SM1")
    await running.submit(done)

    (receipt,) = (await running.submit(c.Get(sid=entry.receipt_sid))).rows
    assert isinstance(receipt, Receipt)
    assert receipt.status.value == "sent"
    timeline = [line.status.value for line in receipt.timeline]
    assert timeline == ["queued", "failed", "queued", "sent"]
    await running.close()


async def test_messages_that_wait_for_a_carrier_are_bounded(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNSENT_MAX", 2)
    running = await Running(tmp_path / "data", clock).start()
    entry = await outbound(running)
    (receipt,) = (await running.submit(c.Get(sid=entry.receipt_sid))).rows
    assert isinstance(receipt, Receipt)
    say = c.SendMessage(
        conversation_sid=receipt.conversation_sid, author="system", body="more"
    )
    await running.submit(say)

    with pytest.raises(ResourceExhausted, match=r"2 messages from .* wait"):
        await running.submit(say)
    await running.submit(c.AttemptSend(sid=entry.sid))
    await running.submit(c.ReportSend(sid=entry.sid, outcome="sent"))
    await running.submit(say)
    await running.close()
