"""What every store keeps to; written against store/interface.py alone.

A backend takes part by adding a `Backend` to BACKENDS.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from flexcore.domain import limits
from flexcore.domain.errors import OutOfRange
from flexcore.domain.log import ChangeSet
from flexcore.domain.model import (
    Activity,
    Claim,
    Conversation,
    Interaction,
    InteractionParticipant,
    Invite,
    Key,
    Message,
    Participant,
    Reservation,
    Row,
    Task,
    Worker,
    WorkerChannel,
)
from flexcore.domain.states import (
    ChannelStatus,
    OutboxState,
    ReservationStatus,
    TaskStatus,
)
from flexcore.store.interface import (
    FIRST_PURGE,
    Callback,
    CommitRefused,
    Found,
    InboxState,
    LogPlace,
    Pair,
    Store,
    StoreCorrupt,
)
from flexcore.store.sqlite import SqliteStore
from flexcore.store.tables import TABLES
from tests.factories import (
    ACCOUNT,
    KINDS,
    TIME,
    WORKER,
    WORKFLOW,
    make_commit,
    make_conversation,
    make_inbox,
    make_interaction,
    make_interaction_channel,
    make_interaction_participant,
    make_invite,
    make_message,
    make_outbox,
    make_participant,
    make_request,
    make_reservation,
    make_row,
    make_sid,
    make_task,
    make_worker,
    make_worker_channel,
)

OTHER = make_sid("AC", 2)


class Backend(NamedTuple):
    """How to open a store on a place, and how to damage what it holds there."""

    open: Callable[[Path], Store]
    #: run one SQL statement behind the store's back
    damage: Callable[[Path, str], None]


def _damage_sqlite(place: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(place / "flexcore.db")) as connection:
        connection.execute(statement)
        connection.commit()


BACKENDS = {"sqlite": Backend(SqliteStore, _damage_sqlite)}


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(backend: Backend, place: Path) -> Iterator[Store]:
    store = backend.open(place)
    store.open_account(ACCOUNT)
    store.open_account(OTHER)
    yield store
    store.close()


def write(store: Store, *commits: object) -> None:
    assert store.commit(commits) == {}


def fetch(store: Store, key: str, account_sid: str = ACCOUNT) -> Found:
    delivered: list[tuple[str, Found]] = []
    store.fetch(account_sid, key, lambda *found: delivered.append(found))

    assert [delivered_key for delivered_key, _ in delivered] == [key]
    return delivered[0][1]


def read_log(
    store: Store, after: int = 0, subject: str = "", bytes_max: int = 1 << 20
) -> list[ChangeSet]:
    return list(store.read_log(ACCOUNT, after, subject, bytes_max))


# --- accounts --------------------------------------------------------------------------


def test_new_account_begins_at_sequence_zero_and_epoch_one(store: Store) -> None:
    recovery = store.recover(ACCOUNT)

    assert store.bounds(ACCOUNT) == (0, 0)
    assert (recovery.epoch, recovery.head_sequence, recovery.watermark) == (1, 0, 0)
    assert (recovery.rows, recovery.outbox) == ([], [])


def test_opening_an_account_again_changes_nothing(store: Store) -> None:
    write(store, make_commit(0, make_task()))
    store.open_account(ACCOUNT)

    assert store.bounds(ACCOUNT) == (0, 1)
    assert store.accounts() == [ACCOUNT, OTHER]


def test_an_epoch_is_named_by_its_time_and_the_one_before_has_an_end(
    store: Store,
) -> None:
    write(store, make_commit(0, make_task()))
    store.begin_epochs(1_000)
    store.begin_epochs(500)  # a clock that was set back

    recovery = store.recover(ACCOUNT)
    assert recovery.epoch == 1_001
    assert recovery.past_epochs == {1: 1, 1_000: 1}
    assert store.recover(OTHER).past_epochs == {1: 0, 1_000: 0}


def test_old_epochs_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAST_EPOCHS", 2)
    for now in range(10, 14):
        store.begin_epochs(now)

    for sid in (ACCOUNT, OTHER):
        assert store.recover(sid).past_epochs.keys() == {11, 12}


def test_the_owner_before_can_commit_nothing(store: Store) -> None:
    store.begin_epochs(1_000)
    refused = store.commit([make_commit(0, make_task())])

    assert refused.keys() == {ACCOUNT}
    assert store.bounds(ACCOUNT) == (0, 0)


def test_unknown_account_has_no_bounds(store: Store) -> None:
    with pytest.raises(ValueError, match="has no state here"):
        store.bounds(make_sid("AC", 3))


# --- commits ---------------------------------------------------------------------------


def test_reader_sees_a_commit_once_it_returned(store: Store) -> None:
    task = make_task()
    write(store, make_commit(0, task))

    assert fetch(store, task.sid) == [task]
    assert store.list(ACCOUNT, Task, {}, None, 10) == [task]
    assert [change.resources for change in read_log(store)] == [(task,)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_row_comes_back_as_it_was_written(
    store: Store, kind: type[Row]
) -> None:
    row = make_row(kind)
    write(store, make_commit(0, row))
    where = {}
    with contextlib.suppress(AttributeError):
        where = {"conversation_sid": row.conversation_sid}
    for column in ("worker_sid", "interaction_sid"):
        if hasattr(row, column):
            where = {column: getattr(row, column)}

    assert store.list(ACCOUNT, kind, where, None, 10) == [row]


def test_commits_of_one_batch_are_applied_in_order(store: Store) -> None:
    first = make_task()
    second = first.evolve(version=2, status=TaskStatus.CANCELED)
    write(store, make_commit(0, first), make_commit(1, second))

    assert fetch(store, first.sid) == [second]
    assert [change.resources for change in read_log(store)] == [(first,), (second,)]


def test_older_version_never_overwrites_a_newer_one(store: Store) -> None:
    newer = make_task(version=5, priority=5)
    write(store, make_commit(0, newer))
    write(store, make_commit(1, newer.evolve(version=4, priority=4)))

    assert fetch(store, newer.sid) == [newer]


def test_empty_batch_is_no_commit(store: Store) -> None:
    write(store)

    assert store.bounds(ACCOUNT) == (0, 0)


def test_gap_in_the_sequence_is_refused(store: Store) -> None:
    refused = store.commit([make_commit(1, make_task())])

    assert list(refused) == [ACCOUNT]
    assert isinstance(refused[ACCOUNT], CommitRefused)
    assert "is at sequence 0" in str(refused[ACCOUNT])
    assert store.bounds(ACCOUNT) == (0, 0)


def test_sequence_that_was_given_before_is_refused(store: Store) -> None:
    write(store, make_commit(0, make_task()))

    assert ACCOUNT in store.commit([make_commit(0, make_task())])


def test_stale_epoch_is_refused_and_other_accounts_commit(store: Store) -> None:
    mine, theirs = make_task(), make_task()
    refused = store.commit(
        [
            make_commit(0, mine, epoch=0),
            make_commit(0, theirs, account_sid=OTHER),
        ]
    )

    assert list(refused) == [ACCOUNT]
    assert "is at epoch 1, not 0" in str(refused[ACCOUNT])
    assert fetch(store, mine.sid) is None
    assert fetch(store, theirs.sid, OTHER) == [theirs]
    assert store.bounds(OTHER) == (0, 1)


def test_refused_commit_takes_all_of_its_account_and_nothing_of_others(
    store: Store,
) -> None:
    good, bad, theirs = make_task(), make_task(), make_task()
    refused = store.commit(
        [
            make_commit(0, theirs, account_sid=OTHER),
            make_commit(
                0,
                good,
                request=make_request(),
                outbox=(make_outbox(sid="OB1"),),
                pairs=(Pair("+1", "+2", "CH1"),),
                subjects=(WORKER,),
                watermark=TIME,
            ),
            make_commit(5, bad),
            make_commit(1, make_task(), account_sid=OTHER),
        ]
    )

    assert list(refused) == [ACCOUNT]
    assert store.bounds(ACCOUNT) == (0, 0)
    assert store.bounds(OTHER) == (0, 2)
    assert store.recover(ACCOUNT).rows == []
    assert store.recover(ACCOUNT).watermark == 0
    for key in (good.sid, "request|SK1|CreateTask|r-1", "outbox|OB1", "pair|+1 +2"):
        assert fetch(store, key) is None
    assert read_log(store) == []
    assert read_log(store, subject=WORKER) == []


def test_refused_account_commits_again_from_its_head(store: Store) -> None:
    write(store, make_commit(0, make_task()))
    assert ACCOUNT in store.commit([make_commit(7, make_task())])
    write(store, make_commit(1, make_task()))

    assert store.bounds(ACCOUNT) == (0, 2)


def test_value_the_store_cannot_hold_refuses_its_account_only(store: Store) -> None:
    refused = store.commit(
        [
            make_commit(0, make_task(create_time=2**63)),
            make_commit(0, make_task(), account_sid=OTHER),
        ]
    )

    assert list(refused) == [ACCOUNT]
    assert store.bounds(OTHER) == (0, 1)


def test_account_without_a_state_is_refused(store: Store) -> None:
    nobody = make_sid("AC", 9)
    refused = store.commit([make_commit(0, make_task(), account_sid=nobody)])

    assert "has no state here" in str(refused[nobody])


def test_change_set_of_another_account_is_refused(store: Store) -> None:
    commit = make_commit(0, make_task())
    commit.account_sid = OTHER

    assert list(store.commit([commit])) == [OTHER]


def test_commit_without_a_body_is_encoded_by_the_store(store: Store) -> None:
    task = make_task()
    write(store, make_commit(0, task, body=b""))

    assert read_log(store)[0].resources == (task,)


def test_accounts_do_not_see_each_other(store: Store) -> None:
    task = make_task()
    write(store, make_commit(0, task))

    assert fetch(store, task.sid, OTHER) is None
    assert store.list(OTHER, Task, {}, None, 10) == []
    assert list(store.read_log(OTHER, 0, "", 1 << 20)) == []


def test_watermark_only_rises(store: Store) -> None:
    write(store, make_commit(0, watermark=TIME + 5))
    write(store, make_commit(0, watermark=TIME + 3))

    assert store.recover(ACCOUNT).watermark == TIME + 5


def test_watermark_covers_the_time_of_every_change_set(store: Store) -> None:
    write(store, make_commit(0, make_task(), time=TIME + 9, watermark=TIME))

    assert store.recover(ACCOUNT).watermark == TIME + 9


def test_two_messages_of_one_conversation_never_share_an_index(store: Store) -> None:
    write(store, make_commit(0, make_message(index=0)))

    assert ACCOUNT in store.commit([make_commit(1, make_message(index=0))])


# --- machinery -------------------------------------------------------------------------


def test_pair_is_bound_until_it_is_released(store: Store) -> None:
    write(store, make_commit(0, pairs=(Pair("+1", "+2", "CH1"),)))
    bound = fetch(store, "pair|+1 +2")
    write(store, make_commit(0, pairs=(Pair("+1", "+2", ""),)))

    assert bound == "CH1"
    assert fetch(store, "pair|+1 +2") is None


def test_binding_a_pair_again_to_its_conversation_changes_nothing(store: Store) -> None:
    pair = Pair("+1", "+2", "CH1")
    write(store, make_commit(0, pairs=(pair,)))
    write(store, make_commit(0, pairs=(pair, pair)))

    assert fetch(store, "pair|+1 +2") == "CH1"


def test_pair_of_another_conversation_is_refused(store: Store) -> None:
    write(store, make_commit(0, pairs=(Pair("+1", "+2", "CH1"),)))
    refused = store.commit([make_commit(0, pairs=(Pair("+1", "+2", "CH2"),))])

    assert "belong to another conversation" in str(refused[ACCOUNT])
    assert fetch(store, "pair|+1 +2") == "CH1"


def test_pair_may_move_once_it_was_released(store: Store) -> None:
    write(store, make_commit(0, pairs=(Pair("+1", "+2", "CH1"),)))
    moved = (Pair("+1", "+2", ""), Pair("+1", "+2", "CH2"))
    write(store, make_commit(0, pairs=moved))

    assert fetch(store, "pair|+1 +2") == "CH2"


def test_same_pair_belongs_to_each_account_on_its_own(store: Store) -> None:
    write(store, make_commit(0, pairs=(Pair("+1", "+2", "CH1"),)))
    write(store, make_commit(0, account_sid=OTHER, pairs=(Pair("+1", "+2", "CH2"),)))

    assert fetch(store, "pair|+1 +2") == "CH1"
    assert fetch(store, "pair|+1 +2", OTHER) == "CH2"


def test_request_is_found_by_its_key(store: Store) -> None:
    request = make_request(request_id="a|b")
    write(store, make_commit(0, make_task(), request=request))

    assert fetch(store, "request|SK1|CreateTask|a|b") == request
    assert fetch(store, "request|SK2|CreateTask|a|b") is None


def test_request_that_succeeded_before_is_refused(store: Store) -> None:
    write(store, make_commit(0, make_task(), request=make_request()))
    refused = store.commit([make_commit(1, make_task(), request=make_request())])

    assert list(refused) == [ACCOUNT]
    assert store.bounds(ACCOUNT) == (0, 1)


def test_dead_letter_of_the_inbox_commits_without_a_change_set(store: Store) -> None:
    entry = make_inbox(state=InboxState.DEAD, reason="no such address")
    write(store, make_commit(0, inbox=entry))

    assert fetch(store, "inbox|e1|SM1") == entry
    assert store.bounds(ACCOUNT) == (0, 0)


def test_webhook_that_was_taken_before_is_refused(store: Store) -> None:
    write(store, make_commit(0, inbox=make_inbox()))

    assert ACCOUNT in store.commit([make_commit(0, inbox=make_inbox(time=TIME + 1))])


def test_outbox_entry_is_found_until_it_is_done(store: Store) -> None:
    entry = make_outbox(sid="OB1")
    write(store, make_commit(0, outbox=(entry,)))
    first = fetch(store, "outbox|OB1")
    done = make_outbox(sid="OB1", state=OutboxState.DONE)
    write(store, make_commit(0, outbox=(done,)))

    assert first == entry
    assert fetch(store, "outbox|OB1") is None


def test_callback_is_an_outbox_entry_like_others(store: Store) -> None:
    callback = Callback(make_sid("WR", 1), ("https://a.org", "https://b.org"), True)
    entry = make_outbox(sid="OB1", pair="callback", callback=callback)
    write(store, make_commit(0, outbox=(entry,)))

    assert fetch(store, "outbox|OB1") == entry
    assert store.recover(ACCOUNT).outbox == [entry]


def test_dead_outbox_entry_stays_and_is_not_recovered(store: Store) -> None:
    entry = make_outbox(sid="OB1", state=OutboxState.DEAD, reason="blocked")
    write(store, make_commit(0, outbox=(entry,)))

    assert fetch(store, "outbox|OB1") == entry
    assert store.recover(ACCOUNT).outbox == []


def test_living_outbox_entries_are_recovered_by_pair_and_sequence(store: Store) -> None:
    entries = [
        make_outbox(pair="b", sequence=1),
        make_outbox(pair="a", sequence=9, state=OutboxState.UNKNOWN),
        make_outbox(pair="a", sequence=2, state=OutboxState.ATTEMPTING),
    ]
    write(store, make_commit(0, outbox=tuple(entries)))

    assert store.recover(ACCOUNT).outbox == [entries[2], entries[1], entries[0]]


# --- the log ---------------------------------------------------------------------------


def test_log_is_read_after_a_sequence_and_in_order(store: Store) -> None:
    rows = [make_task() for _ in range(4)]
    write(store, *(make_commit(index, row) for index, row in enumerate(rows)))

    assert [change.last_sequence for change in read_log(store, 1)] == [2, 3, 4]
    assert read_log(store, 4) == []


def test_log_of_a_subject_holds_its_change_sets_only(store: Store) -> None:
    write(
        store,
        make_commit(0, make_task(), subjects=(WORKER, "CH1")),
        make_commit(1, make_task()),
        make_commit(2, make_task(), subjects=(WORKER, WORKER)),
    )

    assert [c.last_sequence for c in read_log(store, 0, WORKER)] == [1, 3]
    assert [c.last_sequence for c in read_log(store, 1, WORKER)] == [3]
    assert [c.last_sequence for c in read_log(store, 0, "CH1")] == [1]
    assert read_log(store, 0, "CH2") == []


def test_log_read_stops_at_its_bytes_and_gives_at_least_one(store: Store) -> None:
    big = [make_task(attributes='{"a":"' + "x" * 1_000 + '"}') for _ in range(3)]
    write(store, *(make_commit(index, row) for index, row in enumerate(big)))

    assert len(read_log(store, bytes_max=1)) == 1
    assert len(read_log(store, bytes_max=2_000)) == 2


@pytest.mark.parametrize("subject", ["", WORKER, "CH2"])
@pytest.mark.parametrize("bytes_max", [1, 1 << 20])
def test_log_sequences_are_those_of_what_read_log_returns(
    store: Store, subject: str, bytes_max: int
) -> None:
    write(
        store,
        make_commit(0, make_task(), subjects=(WORKER,)),
        make_commit(1, make_task()),
        make_commit(2, make_task(), subjects=(WORKER,)),
    )

    for after in range(4):
        assert store.log_sequences(ACCOUNT, after, subject, bytes_max) == [
            each.last_sequence for each in read_log(store, after, subject, bytes_max)
        ]


def test_a_time_is_found_in_the_log(store: Store) -> None:
    task = make_task()
    rows = [task.evolve(version=number) for number in (1, 2, 3, 4, 5)]
    times = (10, 20, 20, 30, 50)
    commits = [
        make_commit(2 * number, row, row, time=time)
        for number, (row, time) in enumerate(zip(rows, times, strict=True))
    ]
    write(store, *commits)

    found = {time: store.find_time(ACCOUNT, time).after for time in (9, 10, 11, 20, 21)}
    assert found == {9: 0, 10: 0, 11: 2, 20: 2, 21: 6}
    assert store.find_time(ACCOUNT, 30) == LogPlace(6, 0, 10)
    assert store.find_time(ACCOUNT, 51) == LogPlace(10, 0, 10)
    assert store.find_time(OTHER, 51) == LogPlace(0, 0, 0)


def test_a_time_before_the_log_is_where_the_log_begins(store: Store) -> None:
    old, new = 10, 10 + limits.LOG_RETENTION
    task = make_task()
    write(store, make_commit(0, task, time=old))
    write(store, make_commit(1, task.evolve(version=2), time=new))
    assert store.clean_up(ACCOUNT, 1, new + 1) > 0

    assert store.find_time(ACCOUNT, old) == LogPlace(1, 1, new)
    assert store.find_time(ACCOUNT, new + 1) == LogPlace(2, 1, new)


def test_change_set_is_found_by_its_last_sequence(store: Store) -> None:
    write(store, make_commit(0, make_task(), make_task()))
    change_set = store.change_set(ACCOUNT, 2)

    assert change_set is not None
    assert (change_set.first_sequence, change_set.last_sequence) == (1, 2)
    assert store.change_set(ACCOUNT, 1) is None


@pytest.mark.parametrize("subject", ["", WORKER])
def test_damaged_log_row_is_an_error_and_never_skipped(
    backend: Backend, place: Path, subject: str
) -> None:
    store = backend.open(place)
    store.open_account(ACCOUNT)
    for head in range(3):
        write(store, make_commit(head, make_task(), subjects=(WORKER,)))
    store.close()
    backend.damage(
        place,
        "UPDATE log SET body = CAST(replace(body, x'74', x'75') AS BLOB)"
        " WHERE last_sequence = 2",
    )
    store = backend.open(place)
    try:
        with pytest.raises(StoreCorrupt, match="change set 2 to 2 has checksum"):
            read_log(store, 0, subject)
        with pytest.raises(StoreCorrupt):
            store.change_set(ACCOUNT, 2)
        assert [c.last_sequence for c in read_log(store, 2, subject)] == [3]
    finally:
        store.close()


def test_log_row_in_another_place_is_an_error(backend: Backend, place: Path) -> None:
    store = backend.open(place)
    store.open_account(ACCOUNT)
    write(store, make_commit(0, make_task()))
    store.close()
    backend.damage(place, "UPDATE log SET first_sequence = 5, last_sequence = 5")
    store = backend.open(place)
    try:
        with pytest.raises(StoreCorrupt, match="change set 5 to 5 holds 1 to 1"):
            store.change_set(ACCOUNT, 5)
    finally:
        store.close()


@pytest.mark.parametrize("missing", [1, 2])
def test_missing_log_row_is_an_error_and_no_silent_gap(
    backend: Backend, place: Path, missing: int
) -> None:
    store = backend.open(place)
    store.open_account(ACCOUNT)
    for head in range(3):
        write(store, make_commit(head, make_task()))
    store.close()
    backend.damage(place, f"DELETE FROM log WHERE last_sequence = {missing}")  # noqa: S608
    store = backend.open(place)
    try:
        with pytest.raises(StoreCorrupt, match=f"sequences {missing} to {missing}"):
            read_log(store)
    finally:
        store.close()


# --- lists -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", ["", "workspace_sid", "workflow_sid", "task_queue_sid", "status"]
)
def test_list_pages_by_creation_through_equal_times(store: Store, column: str) -> None:
    times = [TIME, TIME, TIME, TIME + 1, TIME - 1]
    tasks = [make_task(create_time=time) for time in times]
    write(store, make_commit(0, *reversed(tasks)))
    where = {column: getattr(tasks[0], column)} if column else {}
    expected = sorted(tasks, key=lambda task: (task.create_time, task.sid))
    found: list[Row] = []
    after = None
    for _ in range(4):
        page = store.list(ACCOUNT, Task, where, after, 2)
        found += page
        if page:
            after = TABLES[Task].orders[""].place(page[-1])

    assert found == expected


@pytest.mark.parametrize(
    "where",
    [
        {"workspace_sid": "WS1"},
        {"workflow_sid": "WW1"},
        {"task_queue_sid": "WQ1"},
        {"status": "pending"},
        {"workspace_sid": "WS1", "status": "pending"},
        {"task_queue_sid": "WQ1", "status": "pending"},
        {"task_queue_sid": "WQ1", "workflow_sid": "WW1", "status": "pending"},
    ],
)
def test_list_of_tasks_keeps_to_every_filter(
    store: Store, where: dict[str, str]
) -> None:
    tasks = [
        make_task(
            workspace_sid=f"WS{number & 1}",
            workflow_sid=f"WW{number >> 1 & 1}",
            task_queue_sid=f"WQ{number >> 2 & 1}",
            status=(TaskStatus.PENDING, TaskStatus.COMPLETED)[number >> 3 & 1],
        )
        for number in range(16)
    ]
    write(store, make_commit(0, *tasks))
    expected = [
        task
        for task in tasks
        if all(getattr(task, name) == value for name, value in where.items())
    ]

    assert store.list(ACCOUNT, Task, where, None, 100) == expected


def test_list_follows_a_row_that_moved(store: Store) -> None:
    task = make_task(task_queue_sid="WQ1")
    moved = task.evolve(version=2, task_queue_sid="WQ2", status=TaskStatus.RESERVED)
    write(store, make_commit(0, task))
    write(store, make_commit(1, moved))

    assert store.list(ACCOUNT, Task, {"task_queue_sid": "WQ1"}, None, 10) == []
    assert store.list(ACCOUNT, Task, {"task_queue_sid": "WQ2"}, None, 10) == [moved]
    assert store.list(ACCOUNT, Task, {"status": "pending"}, None, 10) == []


@pytest.mark.parametrize("column", ["task_sid", "worker_sid", "status"])
def test_list_of_reservations_keeps_to_its_filter(store: Store, column: str) -> None:
    mine = make_reservation(
        task_sid="WT1", worker_sid="WK1", status=ReservationStatus.REJECTED
    )
    write(store, make_commit(0, mine, make_reservation()))

    where = {column: getattr(mine, column)}
    assert store.list(ACCOUNT, Reservation, where, None, 10) == [mine]


@pytest.mark.parametrize(
    "where", [{}, {"task_queue_sid": "WQ1"}, {"workflow_sid": "WW1"}]
)
@pytest.mark.parametrize("order_by", ["", "create_time desc"])
def test_list_of_several_statuses_is_in_one_order(
    store: Store, where: dict[str, str], order_by: str
) -> None:
    statuses = (TaskStatus.PENDING, TaskStatus.RESERVED, TaskStatus.COMPLETED)
    tasks = [
        make_task(
            create_time=TIME + number // 2,
            status=statuses[number % 3],
            task_queue_sid="WQ1",
            workflow_sid="WW1",
        )
        for number in range(12)
    ]
    write(store, make_commit(0, *tasks))
    asked = {**where, "status": ("pending", "completed")}
    found: list[Row] = []
    after = None
    while page := store.list(ACCOUNT, Task, asked, after, 3, order_by):
        found += page
        after = TABLES[Task].orders[order_by].place(page[-1])

    expected = [task for task in tasks if task.status is not TaskStatus.RESERVED]
    expected.sort(key=lambda task: (task.create_time, task.sid))
    assert found == (expected[::-1] if order_by else expected)


@pytest.mark.parametrize(
    "where", [{}, {"task_queue_sid": "WQ1"}, {"workflow_sid": "WW1"}]
)
@pytest.mark.parametrize("order_by", TABLES[Task].orders)
def test_tasks_are_listed_in_the_order_they_are_served(
    store: Store, order_by: str, where: dict[str, str]
) -> None:
    statuses = (TaskStatus.PENDING, TaskStatus.RESERVED, TaskStatus.COMPLETED)
    tasks = [
        make_task(
            priority=number % 3,
            virtual_start_time=TIME - number // 2,
            create_time=TIME + number,
            status=statuses[number % 5 % 3],
            task_queue_sid=f"WQ{number % 4 > 0:d}",
            workflow_sid=f"WW{number % 6 > 0:d}",
        )
        for number in range(24)
    ]
    write(store, make_commit(0, *tasks))
    asked = {**where, "status": ("pending", "reserved")}
    order = TABLES[Task].orders[order_by]
    found: list[Row] = []
    after = None
    while page := store.list(ACCOUNT, Task, asked, after, 3, order_by):
        found += page
        after = order.place(page[-1])

    shown = [
        task
        for task in tasks
        if task.status is not TaskStatus.COMPLETED
        and all(getattr(task, name) == value for name, value in where.items())
    ]
    shown.sort(key=lambda task: task.sid, reverse=order.descending)
    shown.sort(key=lambda task: order.place(task)[0])
    assert found == shown


@pytest.mark.parametrize("order_by", TABLES[Worker].orders)
def test_workers_are_listed_by_when_their_activity_began(
    store: Store, order_by: str
) -> None:
    workers = [
        make_worker(
            friendly_name=f"Worker {number}",
            create_time=TIME + number,
            activity_time=TIME - number // 2,
        )
        for number in range(6)
    ]
    write(store, make_commit(0, *workers))
    order = TABLES[Worker].orders[order_by]
    expected = sorted(workers, key=lambda row: row.sid, reverse=order.descending)
    expected.sort(key=lambda row: order.place(row)[0])

    assert store.list(ACCOUNT, Worker, {}, None, 10, order_by) == expected
    where = {"folded_name": "worker 3"}
    assert store.list(ACCOUNT, Worker, where, None, 10, order_by) == [workers[3]]


def test_order_that_does_not_exist_is_a_bug_of_ours(store: Store) -> None:
    with pytest.raises(ValueError, match="has no order"):
        store.list(ACCOUNT, Worker, {}, None, 10, "priority")


def test_list_of_messages_goes_by_index(store: Store) -> None:
    messages = [
        make_message(index=index, create_time=TIME - index, conversation_sid="CH1")
        for index in range(12)
    ]
    other = make_message(index=0, conversation_sid="CH2")
    write(store, make_commit(0, other, *reversed(messages)))
    where = {"conversation_sid": "CH1"}
    first = store.list(ACCOUNT, Message, where, None, 10)
    rest = store.list(ACCOUNT, Message, where, ((9,), first[-1].sid), 10)

    assert first == messages[:10]
    assert rest == messages[10:]


def test_participant_that_was_removed_is_listed_no_more(store: Store) -> None:
    conversation = make_conversation()
    stays, goes = (
        make_participant(conversation_sid=conversation.sid, identity=name)
        for name in ("alice", "bob")
    )
    gone = goes.evolve(version=2, remove_time=TIME)
    write(store, make_commit(0, conversation, stays, goes))
    write(store, make_commit(3, gone))
    where = {"conversation_sid": conversation.sid}

    assert store.list(ACCOUNT, Participant, where, None, 10) == [stays]
    assert store.list(ACCOUNT, Participant, {"identity": "bob"}, None, 10) == []
    assert fetch(store, goes.sid) == [conversation, stays, gone]


@pytest.mark.parametrize("column", ["identity", "address"])
def test_participants_are_listed_by_who_they_are(store: Store, column: str) -> None:
    rows = [
        make_participant(identity="alice"),
        make_participant(address="+15551234567"),
        make_participant(identity="bob"),
    ]
    write(store, make_commit(0, *rows))
    value = {"identity": "alice", "address": "+15551234567"}[column]

    expected = [row for row in rows if getattr(row, column) == value]
    assert store.list(ACCOUNT, Participant, {column: value}, None, 10) == expected


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (Task, {"worker_sid": "WK1"}),
        (Task, {"invite_sid": "KG1"}),
        (Message, {"index": "1"}),
        (Worker, {"friendly_name": "alice"}),
    ],
)
def test_column_that_is_no_filter_is_a_bug_of_ours(
    store: Store, kind: type[Row], where: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="has no filter"):
        store.list(ACCOUNT, kind, where, None, 10)


@pytest.mark.parametrize("kind", [Message, Participant, WorkerChannel, Invite])
def test_kind_that_must_be_narrowed_is_not_listed_whole(
    store: Store, kind: type[Row]
) -> None:
    with pytest.raises(ValueError, match="needs one of"):
        store.list(ACCOUNT, kind, {}, None, 10)


# --- look-ups --------------------------------------------------------------------------


def test_task_and_reservation_find_the_task_with_all_its_reservations(
    store: Store,
) -> None:
    task = make_task()
    reservations = [
        make_reservation(task_sid=task.sid, status=status, create_time=TIME + index)
        for index, status in enumerate(ReservationStatus)
    ]
    write(store, make_commit(0, task, make_reservation(), *reservations))

    assert fetch(store, task.sid) == [task, *reservations]
    assert fetch(store, reservations[3].sid) == [task, *reservations]


def test_conversation_and_participant_find_the_conversation_with_participants(
    store: Store,
) -> None:
    conversation = make_conversation(create_time=TIME + 5)
    participants = [
        make_participant(conversation_sid=conversation.sid) for _ in range(2)
    ]
    message = make_message(conversation_sid=conversation.sid)
    write(store, make_commit(0, conversation, make_participant(), *participants))
    write(store, make_commit(4, message))

    assert fetch(store, conversation.sid) == [conversation, *participants]
    assert fetch(store, participants[1].sid) == [conversation, *participants]
    assert fetch(store, message.sid) == [message]


def test_parts_of_an_interaction_find_all_of_it(store: Store) -> None:
    interaction = make_interaction()
    of_it = {"interaction_sid": interaction.sid}
    parts = [
        interaction,
        make_interaction_channel(**of_it),
        make_interaction_participant(**of_it),
        make_interaction_participant(**of_it),
        make_invite(**of_it),
    ]
    write(store, make_commit(0, *parts, make_invite(), make_interaction()))

    for part in parts:
        assert fetch(store, part.sid) == parts


@pytest.mark.parametrize(
    "key",
    [
        *(
            make_sid(prefix, 404)
            for prefix in ("WT", "WR", "CH", "MB", "KD", "KG", "IM")
        ),
        "pair|+1 +2",
        "request|a|b|c",
        "inbox|a|b",
        "outbox|OB404",
    ],
)
def test_look_up_of_nothing_finds_none(store: Store, key: str) -> None:
    assert fetch(store, key) is None


def test_look_up_of_a_sid_that_no_resource_has_is_a_bug_of_ours(store: Store) -> None:
    with pytest.raises(ValueError, match="no resource has a sid like"):
        fetch(store, make_sid("ZZ"))


# --- recovery --------------------------------------------------------------------------


def test_recovery_holds_all_configuration(store: Store) -> None:
    work = {
        *(Task, Reservation, Conversation, Participant, Message, Interaction, Invite),
        InteractionParticipant,
    }
    names = {"InteractionChannel", "Receipt"}
    rows = [
        make_row(kind)
        for kind in KINDS
        if kind not in work and kind.__name__ not in names
    ]
    write(store, make_commit(0, *rows))

    assert sorted(store.recover(ACCOUNT).rows, key=str) == sorted(rows, key=str)


def test_recovery_holds_open_work_and_leaves_finished_work(store: Store) -> None:
    tasks = {status: make_task(status=status) for status in TaskStatus}
    offers = [make_reservation(task_sid=task.sid) for task in tasks.values()]
    write(store, make_commit(0, *tasks.values(), *offers))
    recovered = store.recover(ACCOUNT).rows
    left = [row for row in recovered if isinstance(row, Task)]

    assert {row.status for row in left} == {
        TaskStatus.PENDING,
        TaskStatus.RESERVED,
        TaskStatus.ASSIGNED,
        TaskStatus.WRAPPING,
    }
    assert {row.task_sid for row in recovered if isinstance(row, Reservation)} == {
        row.sid for row in left
    }


def test_recovery_holds_all_reservations_of_an_open_task(store: Store) -> None:
    """Whoever deletes the task deletes them, and has to know them."""
    task = make_task(status=TaskStatus.RESERVED)
    offers = [make_reservation(task_sid=task.sid, status=s) for s in ReservationStatus]
    write(store, make_commit(0, task, *offers))

    assert store.recover(ACCOUNT).rows == [task, *offers]


def test_recovery_leaves_finished_work_that_is_to_be_deleted(store: Store) -> None:
    write(store, make_commit(0, make_task(**FINISHED, purge_time=TIME)))

    assert store.recover(ACCOUNT).rows == []


# --- what is to be deleted -------------------------------------------------------------

FINISHED = {"status": TaskStatus.COMPLETED}


def test_purges_come_by_time_and_older_tasks_first(store: Store) -> None:
    times = (TIME + 2, TIME + 1, 0, TIME + 2, TIME + 1)
    tasks = [make_task(**FINISHED, purge_time=time) for time in times]
    write(store, make_commit(0, *tasks))

    found = store.purges(ACCOUNT, FIRST_PURGE, 10)

    assert [purge.sid for purge in found] == [tasks[n].sid for n in (1, 4, 0, 3)]
    assert [purge.place[0] - TIME for purge in found] == [1, 1, 2, 2]


def test_purges_go_on_at_any_place(store: Store) -> None:
    tasks = [make_task(**FINISHED, purge_time=TIME) for _ in range(5)]
    write(store, make_commit(0, *tasks))
    whole = store.purges(ACCOUNT, FIRST_PURGE, 10)

    for number, purge in enumerate(whole):
        assert store.purges(ACCOUNT, purge.place, 2) == whole[number : number + 2]
    assert store.purges(ACCOUNT, (TIME, 0), 10) == whole
    assert store.purges(ACCOUNT, (TIME + 1, 0), 10) == []


def test_purges_of_another_account_are_its_own(store: Store) -> None:
    write(store, make_commit(0, make_task(**FINISHED, purge_time=TIME)))

    assert store.purges(OTHER, FIRST_PURGE, 10) == []


def make_open_interaction(
    status: TaskStatus, channel_status: ChannelStatus
) -> list[Row]:
    """An interaction with everything below it, and its task."""
    conversation = make_conversation()
    interaction = make_interaction(conversation_sid=conversation.sid)
    of_it = {"interaction_sid": interaction.sid}
    invite = make_invite(**of_it)
    return [
        conversation,
        make_participant(conversation_sid=conversation.sid),
        interaction,
        make_interaction_channel(status=channel_status, **of_it),
        make_interaction_participant(**of_it),
        make_task(status=status, invite_sid=invite.sid),
        invite,
    ]


@pytest.mark.parametrize(
    ("status", "channel_status"),
    [
        (TaskStatus.PENDING, ChannelStatus.ACTIVE),
        (TaskStatus.WRAPPING, ChannelStatus.CLOSED),
    ],
)
def test_recovery_of_an_open_task_holds_its_interaction_and_conversation(
    store: Store, status: TaskStatus, channel_status: ChannelStatus
) -> None:
    rows = make_open_interaction(status, channel_status)
    write(store, make_commit(0, *rows, make_conversation(), make_participant()))

    assert store.recover(ACCOUNT).rows == rows


def test_recovery_holds_an_active_channel_without_an_open_task(store: Store) -> None:
    rows = make_open_interaction(TaskStatus.COMPLETED, ChannelStatus.ACTIVE)
    write(store, make_commit(0, *rows))

    expected = [row for row in rows if not isinstance(row, Task)]
    assert store.recover(ACCOUNT).rows == expected


def test_recovery_leaves_an_interaction_that_is_over(store: Store) -> None:
    rows = make_open_interaction(TaskStatus.COMPLETED, ChannelStatus.CLOSED)
    write(store, make_commit(0, *rows))

    assert store.recover(ACCOUNT).rows == []


def test_recovery_is_of_one_account(store: Store) -> None:
    rows = make_open_interaction(TaskStatus.PENDING, ChannelStatus.ACTIVE)
    write(store, make_commit(0, *rows, account_sid=OTHER))

    assert store.recover(ACCOUNT).rows == []


def test_recovery_after_a_restart_equals_the_one_before(
    backend: Backend, place: Path
) -> None:
    store = backend.open(place)
    store.open_account(ACCOUNT)
    rows = make_open_interaction(TaskStatus.ASSIGNED, ChannelStatus.ACTIVE)
    write(
        store,
        make_commit(
            0, *rows, make_worker_channel(), outbox=(make_outbox(),), watermark=TIME + 1
        ),
    )
    before = store.recover(ACCOUNT)
    store.close()
    store = backend.open(place)
    after = store.recover(ACCOUNT)
    store.close()

    assert before == after
    assert (after.head_sequence, after.watermark) == (8, TIME + 1)


def test_directory_keeps_claims_by_address(store: Store) -> None:
    claim = make_row(Claim, sid="whatsapp:+15550000001")
    moved = claim.evolve(version=2, account_sid=OTHER)
    write(store, make_commit(0, claim))
    write(store, make_commit(1, moved))

    assert store.recover(ACCOUNT).rows == [moved]
    assert store.list(ACCOUNT, Claim, {"account_sid": OTHER}, None, 10) == [moved]
    assert fetch(store, claim.sid) == [moved]


# --- retention -------------------------------------------------------------------------

LATE = TIME + 30 * limits.DAY


def clean_up_all(store: Store, now: int) -> int:
    deleted = 0
    while step := store.clean_up(ACCOUNT, 1, now):
        deleted += step
    return deleted


def test_clean_up_deletes_the_log_in_steps_and_raises_the_floor(store: Store) -> None:
    rows = limits.CLEANUP_ROWS + 10
    write(
        store,
        *(
            make_commit(head, make_task(), time=TIME, subjects=(WORKER,))
            for head in range(rows)
        ),
        make_commit(rows, make_task(), time=LATE, subjects=(WORKER,)),
    )
    first = store.clean_up(ACCOUNT, 1, LATE)
    floor = store.bounds(ACCOUNT)[0]
    second = store.clean_up(ACCOUNT, 1, LATE)

    assert (first, floor) == (limits.CLEANUP_ROWS, limits.CLEANUP_ROWS)
    assert second == 10
    assert store.bounds(ACCOUNT) == (rows, rows + 1)
    assert [c.last_sequence for c in read_log(store, rows)] == [rows + 1]
    assert [c.last_sequence for c in read_log(store, rows, WORKER)] == [rows + 1]
    assert store.clean_up(ACCOUNT, 1, LATE) == 0


def test_log_younger_than_its_retention_stays(store: Store) -> None:
    write(store, make_commit(0, make_task()))

    assert store.clean_up(ACCOUNT, 1, TIME + limits.LOG_RETENTION) == 0
    assert store.clean_up(ACCOUNT, 1, TIME + limits.LOG_RETENTION + 1) == 1


@pytest.mark.parametrize("subject", ["", WORKER])
def test_read_below_the_floor_is_out_of_range(store: Store, subject: str) -> None:
    for head in range(3):
        write(store, make_commit(head, make_task(), time=TIME if head < 2 else LATE))
    clean_up_all(store, LATE)
    with pytest.raises(OutOfRange, match="sequence 1 is below 2"):
        read_log(store, 1, subject)

    assert [c.last_sequence for c in read_log(store, 2)] == [3]


def test_clean_up_leaves_the_rows_themselves(store: Store) -> None:
    task = make_task()
    write(store, make_commit(0, task))
    clean_up_all(store, LATE)

    assert store.bounds(ACCOUNT) == (1, 1)
    assert fetch(store, task.sid) == [task]
    write(store, make_commit(1, make_task()))


def test_requests_and_inbox_are_forgotten_in_steps_after_their_retention(
    store: Store,
) -> None:
    rows = limits.CLEANUP_ROWS + 1
    old = [
        make_commit(
            0,
            request=make_request(request_id=f"old-{number}"),
            inbox=make_inbox(channel_message_sid=f"old-{number}"),
        )
        for number in range(rows)
    ]
    now = TIME + limits.REQUEST_RETENTION
    young = make_commit(
        0,
        request=make_request(request_id="young", time=now),
        inbox=make_inbox(channel_message_sid="young", time=now),
    )
    write(store, *old, young)

    assert store.clean_up(ACCOUNT, 1, now) == 0
    assert store.clean_up(ACCOUNT, 1, now + 1) == limits.CLEANUP_ROWS
    assert store.clean_up(ACCOUNT, 1, now + 1) == 1
    assert fetch(store, "request|SK1|CreateTask|old-0") is None
    assert fetch(store, "request|SK1|CreateTask|young") is not None
    assert fetch(store, "inbox|e1|old-0") is not None
    late = TIME + limits.INBOX_RETENTION + 1
    assert clean_up_all(store, late) == rows + 1
    assert fetch(store, "inbox|e1|old-0") is None
    assert fetch(store, "inbox|e1|young") is not None


def test_clean_up_with_a_stale_epoch_is_refused(store: Store) -> None:
    write(store, make_commit(0, make_task()))
    with pytest.raises(CommitRefused, match="is at epoch 1, not 2"):
        store.clean_up(ACCOUNT, 2, LATE)

    assert store.bounds(ACCOUNT) == (0, 1)


def test_clean_up_leaves_other_accounts_alone(store: Store) -> None:
    write(store, make_commit(0, make_task(), account_sid=OTHER, request=make_request()))
    clean_up_all(store, LATE)

    assert store.bounds(OTHER) == (0, 1)
    assert fetch(store, "request|SK1|CreateTask|r-1", OTHER) is not None


# --- settings and threads --------------------------------------------------------------


def test_store_says_how_durable_it_is(store: Store) -> None:
    assert store.facts()["synchronous"] == "FULL"
    assert int(store.facts()["data_version"]) >= 1


def test_checkpoint_keeps_what_was_committed(store: Store) -> None:
    task = make_task()
    write(store, make_commit(0, task, make_row(Activity), make_row(Key)))
    store.checkpoint()

    assert fetch(store, task.sid) == [task]


def test_lists_and_look_ups_go_on_while_another_thread_commits(store: Store) -> None:
    def commits() -> None:
        for head in range(200):
            write(store, make_commit(head, make_task(workflow_sid=WORKFLOW)))
            store.checkpoint()

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(commits)
        lengths = [0]
        while not done.done():
            rows = store.list(ACCOUNT, Task, {"workflow_sid": WORKFLOW}, None, 1_000)
            head = store.bounds(ACCOUNT)[1]
            assert lengths[-1] <= len(rows) <= head
            lengths.append(len(rows))
        done.result()

    assert len(store.list(ACCOUNT, Interaction, {}, None, 10)) == 0
    assert store.bounds(ACCOUNT) == (0, 200)
