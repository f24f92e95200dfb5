"""What an account keeps in memory, and what it may forget."""

import pytest

from flexcore.domain.model import Conversation, Message, Participant, Reservation, Row
from flexcore.domain.states import (
    ChannelStatus,
    InviteStatus,
    ReservationStatus,
    TaskStatus,
)
from flexcore.engine.state import State
from tests.factories import (
    ACCOUNT,
    make_conversation,
    make_interaction,
    make_interaction_channel,
    make_invite,
    make_message,
    make_participant,
    make_reservation,
    make_sid,
    make_task,
)

NOTHING_PENDING = 1 << 62


@pytest.fixture
def state() -> State:
    return State(ACCOUNT)


def write(state: State, *rows: Row) -> int:
    """Write rows with one decision, and return its stamp."""
    state.stamp += 1
    for row in rows:
        state.put(row)
        state.note(row)
    return state.stamp


def finished_task() -> tuple[Row, Row]:
    task = make_task(status=TaskStatus.COMPLETED)
    return task, make_reservation(task_sid=task.sid, status=ReservationStatus.COMPLETED)


# --- dropping --------------------------------------------------------------------------


def test_finished_work_is_dropped_whole_and_oldest_first(state: State) -> None:
    aggregates = [finished_task() for _ in range(3)]
    for rows in aggregates:
        write(state, *rows)

    state.shrink(NOTHING_PENDING, entries=1)

    assert set(state.rows) == {row.sid for row in aggregates[2]}
    assert state.count(Reservation, "task_sid", aggregates[0][0].sid) == 0


def test_what_is_not_durable_is_never_dropped(state: State) -> None:
    old = finished_task()
    durable = write(state, *old)
    new = finished_task()
    write(state, *new)

    state.shrink(durable, entries=0)

    assert set(state.rows) == {row.sid for row in new}


def test_what_is_read_does_not_make_undurable_work_droppable(state: State) -> None:
    """A fetch of one reservation brings the rest of its task's rows along."""
    task = make_task(status=TaskStatus.COMPLETED)
    durable = write(state)
    write(state, task)
    earlier = make_reservation(task_sid=task.sid, status=ReservationStatus.TIMEOUT)
    state.deliver(earlier.sid, [task.evolve(version=0), earlier])

    state.shrink(durable, entries=0)

    assert state.rows[task.sid] == task


def test_what_was_only_read_is_dropped_without_waiting_for_a_commit(
    state: State,
) -> None:
    state.stamp = 7  # decisions that wrote nothing: no commit will report them
    fetched = [finished_task() for _ in range(3)]
    for rows in fetched:
        state.deliver(rows[0].sid, list(rows))

    state.shrink(0, entries=1)

    assert set(state.rows) == {row.sid for row in fetched[2]}


@pytest.mark.parametrize(
    "status",
    [TaskStatus.PENDING, TaskStatus.RESERVED, TaskStatus.ASSIGNED, TaskStatus.WRAPPING],
)
def test_open_tasks_stay(state: State, status: TaskStatus) -> None:
    task = make_task(status=status)
    write(state, task)

    state.shrink(NOTHING_PENDING, entries=0)

    assert task.sid in state.rows


def interaction_rows(
    channel_status: ChannelStatus, task_status: TaskStatus
) -> list[Row]:
    conversation_sid, interaction_sid = make_sid("CH"), make_sid("KD")
    channel = make_interaction_channel(
        interaction_sid=interaction_sid,
        conversation_sid=conversation_sid,
        status=channel_status,
    )
    task = make_task(status=task_status)
    return [
        make_conversation(sid=conversation_sid, channel_sid=channel.sid),
        make_participant(conversation_sid=conversation_sid),
        make_interaction(
            sid=interaction_sid,
            conversation_sid=conversation_sid,
            channel_sid=channel.sid,
        ),
        channel,
        make_invite(
            interaction_sid=interaction_sid,
            task_sid=task.sid,
            status=InviteStatus.ACCEPTED,
        ),
        task,
    ]


@pytest.mark.parametrize(
    ("channel_status", "task_status"),
    [
        (ChannelStatus.ACTIVE, TaskStatus.COMPLETED),
        (ChannelStatus.CLOSED, TaskStatus.WRAPPING),
    ],
)
def test_what_open_work_can_touch_stays(
    state: State, channel_status: ChannelStatus, task_status: TaskStatus
) -> None:
    """An open channel, or a task not finished, keeps interaction and conversation."""
    rows = interaction_rows(channel_status, task_status)
    write(state, *rows)

    state.shrink(NOTHING_PENDING, entries=0)

    *kept, task = rows
    assert {row.sid for row in kept} <= state.rows.keys()
    assert (task.sid in state.rows) == (task_status != TaskStatus.COMPLETED)


def test_what_ended_work_kept_is_dropped_once_it_ended(state: State) -> None:
    """The decision that ends it touches task and interaction, not the conversation."""
    rows = interaction_rows(ChannelStatus.CLOSED, TaskStatus.WRAPPING)
    write(state, *rows)
    state.shrink(NOTHING_PENDING, entries=0)
    *_, invite, task = rows
    write(state, task.evolve(status=TaskStatus.COMPLETED), invite.evolve(version=2))

    state.shrink(NOTHING_PENDING, entries=0)

    assert state.rows == {}


def test_open_work_beyond_the_limit_is_not_looked_at_with_every_commit(
    state: State,
) -> None:
    write(state, *(make_task() for _ in range(100)))
    state.shrink(NOTHING_PENDING, entries=10)
    write(state, make_task())

    state.shrink(NOTHING_PENDING, entries=10)

    assert len(state._droppable) <= 11
    assert len(state.rows) == 101


def test_messages_and_other_conversations_are_a_cache(state: State) -> None:
    conversation = make_conversation()
    message = make_message(conversation_sid=conversation.sid)
    write(state, conversation, message)

    state.shrink(NOTHING_PENDING, entries=1)

    assert state.find(conversation.sid, Conversation) is None
    assert state.find(message.sid, Message) == message


# --- look-ups --------------------------------------------------------------------------


def test_absence_is_an_entry(state: State) -> None:
    assert not state.knows("pair|a|b")

    state.deliver("pair|a|b", None)

    assert state.knows("pair|a|b")
    assert state.lookup("pair|a|b") is None


def test_a_sid_that_does_not_exist_is_an_entry(state: State) -> None:
    sid = make_sid("WT")

    state.deliver(sid, None)

    assert state.knows(sid)
    assert sid not in state.rows


def test_a_fetch_never_overwrites_an_entry(state: State) -> None:
    state.stamp = 1
    state.remember("pair|a|b", "CH1")
    row = make_task(version=3)
    write(state, row)

    state.deliver("pair|a|b", None)
    state.deliver(row.sid, [row.evolve(version=2)])

    assert state.lookup("pair|a|b") == "CH1"
    assert state.rows[row.sid] == row


def test_a_fetch_brings_what_is_missing_of_an_aggregate(state: State) -> None:
    conversation = make_conversation(version=2)
    write(state, conversation)
    participant = make_participant(conversation_sid=conversation.sid)

    state.deliver(participant.sid, [conversation.evolve(version=1), participant])

    assert state.rows[conversation.sid] == conversation
    assert state.where(Participant, "conversation_sid", conversation.sid) == [
        participant
    ]


def test_look_ups_are_bounded_and_the_oldest_is_dropped(state: State) -> None:
    for name in "abc":
        state.deliver(name, None)
    state.lookup("a")

    state.shrink(NOTHING_PENDING, entries=2)

    assert [state.knows(name) for name in "abc"] == [True, False, True]


def test_undurable_look_ups_stay(state: State) -> None:
    """The store would say that the pair is still free."""
    state.deliver("pair|a|b", None)
    state.stamp = 1
    before = state.remember("pair|a|b", "CH1")

    state.shrink(0, entries=0)
    assert state.lookup("pair|a|b") == "CH1"

    state.restore("pair|a|b", before)
    assert state.lookup("pair|a|b") is None
    state.shrink(0, entries=0)
    assert not state.knows("pair|a|b")
