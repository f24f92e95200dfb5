"""The outbox runner with a real engine, store and carrier: nothing lost, nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from flexcore.carrier import Fault
from flexcore.domain import limits
from flexcore.domain.model import Receipt
from flexcore.domain.states import OutboxState
from flexcore.engine import commands as c
from flexcore.phone import Phone
from flexcore.store.interface import OutboxEntry
from tests.house import ANN, House

UNKNOWN_WAIT = limits.UNKNOWN_WAIT / limits.SECOND


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House(tmp_path) as house:
        yield house


def bodies(house: House) -> list[str]:
    return [sent.body for sent in house.carrier.sent.values()]


def received(phone: Phone) -> list[str]:
    return [phone.received.get_nowait().body for _ in range(phone.received.qsize())]


def entries(house: House) -> list[OutboxEntry]:
    """Return what of the outbox is on disk and not dead."""
    return house.store.recover(house.principal.account_sid).outbox


def states(house: House) -> list[OutboxState]:
    return [entry.state for entry in entries(house)]


def waits(house: House) -> bool:
    """Tell whether the one entry was attempted and is to be attempted again."""
    return [(e.state, e.attempts > 0) for e in entries(house)] == [
        (OutboxState.READY, True)
    ]


async def test_messages_of_a_pair_leave_in_order_one_after_the_other(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    conversation = await house.add_conversation()
    house.carrier.inject(Fault.HOLD)
    receipts = [await house.say(conversation, body) for body in ("one", "two", "three")]
    await house.until(lambda: bool(house.carrier.sent))
    waiting = bodies(house), states(house)
    house.carrier.release()
    for receipt in receipts:
        await house.receipt(receipt, "delivered")

    ready = OutboxState.READY
    assert waiting == (["one"], [OutboxState.ATTEMPTING, ready, ready])
    assert received(phone) == ["one", "two", "three"]
    assert entries(house) == []


async def test_pairs_do_not_wait_for_each_other(house: House) -> None:
    await house.add_sender()
    slow = await house.add_conversation()
    fast = await house.add_conversation("+15550001112")
    house.carrier.phone("+15550001112")
    house.carrier.inject(Fault.NO_CALLBACKS)
    house.carrier.inject(Fault.HOLD)
    await house.say(slow, "slow")
    await house.until(lambda: bool(house.carrier.sent))

    await house.receipt(await house.say(fast, "fast"), "delivered")
    assert bodies(house) == ["slow", "fast"]


async def test_sends_in_flight_of_an_account_are_bounded(house: House) -> None:
    count = limits.SENDS_IN_FLIGHT + 6
    await house.add_sender()
    conversations = [
        await house.add_conversation(f"+1555100{index:04}") for index in range(count)
    ]
    house.carrier.inject(Fault.HOLD, limits.SENDS_IN_FLIGHT)
    receipts = [await house.say(sid, "hello") for sid in conversations]
    await house.until(lambda: len(house.carrier.sent) == limits.SENDS_IN_FLIGHT)
    attempting = states(house).count(OutboxState.ATTEMPTING)
    house.carrier.release()
    for receipt in receipts:
        await house.receipt(receipt, "undelivered")

    assert attempting == limits.SENDS_IN_FLIGHT
    assert len(house.carrier.sent) == count


async def test_message_that_was_not_taken_is_sent_again_when_it_is_due(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    house.carrier.inject(Fault.SLOW_DOWN)
    receipt = await house.say(await house.add_conversation(), "hello")
    await house.until(lambda: waits(house))
    # The carrier said two seconds, which is more than the first backoff.
    await house.advance(1.9)
    early = bodies(house)
    await house.advance(0.2)
    await house.receipt(receipt, "delivered")

    assert early == []
    assert received(phone) == ["hello"]


async def test_refused_message_fails_with_its_code_and_the_next_one_goes(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    conversation = await house.add_conversation()
    house.carrier.inject(Fault.REFUSE)
    refused = await house.say(conversation, "refused")
    taken = await house.say(conversation, "taken")

    assert (await house.receipt(refused, "failed")).error_code == 21610
    await house.receipt(taken, "delivered")
    assert received(phone) == ["taken"]


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.FAIL_AFTER])
async def test_message_whose_answer_was_lost_is_found_and_not_sent_twice(
    house: House, fault: Fault
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    house.carrier.inject(Fault.NO_CALLBACKS)
    house.carrier.inject(fault)
    receipt = await house.say(await house.add_conversation(), "hello")
    await house.until(lambda: states(house) == [OutboxState.UNKNOWN])
    await house.advance(UNKNOWN_WAIT)
    await house.until(lambda: entries(house) == [])

    sent = next(iter(house.carrier.sent))
    assert received(phone) == ["hello"]
    assert (await house.get(receipt, Receipt)).channel_message_sid == sent


async def test_status_of_the_carrier_settles_a_message_whose_answer_was_lost(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    house.carrier.inject(Fault.DROP_AFTER)
    receipt = await house.say(await house.add_conversation(), "hello")
    await house.receipt(receipt, "delivered")
    await house.until(lambda: entries(house) == [])

    sent = next(iter(house.carrier.sent))
    assert received(phone) == ["hello"]
    assert (await house.get(receipt, Receipt)).channel_message_sid == sent


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.FAIL_BEFORE])
async def test_message_that_got_lost_is_sent_again_once_its_absence_is_proven(
    house: House, fault: Fault
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    conversation = await house.add_conversation()
    # The same words a moment ago: these are not the lost message.
    await house.receipt(await house.say(conversation, "ok"), "delivered")
    house.carrier.inject(fault)
    receipt = await house.say(conversation, "ok")
    await house.until(lambda: states(house) == [OutboxState.UNKNOWN])
    await house.advance(UNKNOWN_WAIT)
    await house.until(lambda: waits(house))
    before = bodies(house)
    await house.advance(2)
    await house.receipt(receipt, "delivered")

    assert before == ["ok"]
    assert received(phone) == ["ok", "ok"]


async def test_unknown_message_holds_back_the_next_of_its_pair(house: House) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    conversation = await house.add_conversation()
    house.carrier.inject(Fault.NO_CALLBACKS)
    house.carrier.inject(Fault.DROP_AFTER)
    await house.say(conversation, "one")
    two = await house.say(conversation, "two")
    await house.until(lambda: OutboxState.UNKNOWN in states(house))
    held = bodies(house)
    await house.advance(UNKNOWN_WAIT)
    await house.receipt(two, "delivered")

    assert held == ["one"]
    assert received(phone) == ["one", "two"]


async def test_carrier_that_deduplicates_is_asked_again_and_sends_once(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender(deduplicates=True)
    house.carrier.inject(Fault.NO_CALLBACKS)
    house.carrier.inject(Fault.DROP_AFTER)
    receipt = await house.say(await house.add_conversation(), "hello")
    await house.until(lambda: waits(house))
    await house.advance(2)
    await house.until(lambda: entries(house) == [])
    await house.receipt(receipt, "sent")

    assert received(phone) == ["hello"]


@pytest.mark.parametrize("deduplicates", [False, True])
async def test_crash_between_attempt_and_report_sends_nothing_twice(
    house: House, deduplicates: bool
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender(deduplicates=deduplicates)
    house.carrier.inject(Fault.NO_CALLBACKS)
    house.carrier.inject(Fault.HOLD)
    receipt = await house.say(await house.add_conversation(), "hello")
    await house.until(lambda: bool(house.carrier.sent))
    await house.crash()
    await house.until(lambda: states(house) == [OutboxState.UNKNOWN])
    await house.advance(UNKNOWN_WAIT)
    # It is asked for or sent again, unless a status of the carrier settles it before.
    await house.until(lambda: entries(house) == [] or waits(house))
    await house.advance(2)
    await house.until(lambda: entries(house) == [])

    sent = next(iter(house.carrier.sent))
    assert received(phone) == ["hello"]
    assert (await house.get(receipt, Receipt)).channel_message_sid == sent


async def test_what_was_ready_before_a_crash_leaves_after_it_in_order(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    conversation = await house.add_conversation()
    house.carrier.inject(Fault.SLOW_DOWN)
    await house.say(conversation, "one")
    await house.until(lambda: waits(house))
    two = await house.say(conversation, "two")
    await house.crash()
    await house.advance(2)
    await house.receipt(two, "delivered")

    assert received(phone) == ["one", "two"]


async def test_message_is_given_up_after_its_attempts_and_can_be_replayed(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    house.carrier.inject(Fault.SLOW_DOWN, limits.SEND_ATTEMPTS)
    receipt = await house.say(await house.add_conversation(), "hello")
    for attempt in range(1, limits.SEND_ATTEMPTS):
        await house.until(lambda n=attempt: [e.attempts for e in entries(house)] == [n])
        await house.until(lambda: waits(house))
        sid = entries(house)[0].sid
        await house.advance(8 * 3600)
    await house.receipt(receipt, "failed")
    dead = house.found(f"outbox|{sid}")
    await house.submit(c.ReplayDeadLetter(sid=sid))
    await house.receipt(receipt, "delivered")

    assert isinstance(dead, OutboxEntry)
    assert (dead.state, dead.attempts) == (OutboxState.DEAD, limits.SEND_ATTEMPTS)
    assert received(phone) == ["hello"]


async def test_close_lets_what_is_under_way_end_and_starts_nothing_more(
    house: House,
) -> None:
    phone = house.carrier.phone(ANN)
    await house.add_sender()
    conversation = await house.add_conversation()
    house.carrier.inject(Fault.NO_CALLBACKS)
    house.carrier.inject(Fault.HOLD)
    await house.say(conversation, "one")
    await house.say(conversation, "two")
    await house.until(lambda: bool(house.carrier.sent))
    closing = asyncio.create_task(house.outbox.close())
    await house.submit(c.Tick())
    house.carrier.release()
    await closing

    assert received(phone) == ["one"]
    assert [(e.body, e.state) for e in entries(house)] == [("two", OutboxState.READY)]


async def test_sender_that_cannot_be_reached_from_outside_is_refused(
    house: House,
) -> None:
    sender = await house.add_sender()
    receipt = await house.say(await house.add_conversation(), "hello")
    await house.receipt(receipt, "undelivered")
    await house.submit(c.UpdateSender(sid=sender.sid, base_url="https://10.0.0.1"))
    receipt = await house.say(await house.add_conversation("+15550001113"), "hello")

    assert (await house.receipt(receipt, "failed")).error_code == 0


async def test_every_outbox_value_survives_being_written_down(house: House) -> None:
    account = house.engine.carrier_account(
        house.principal.account_sid, (await house.add_sender()).sid
    )

    encoded = msgspec.msgpack.encode(account)
    assert msgspec.msgpack.decode(encoded, type=type(account)) == account
