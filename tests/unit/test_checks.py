"""`check_account` finds what is wrong, whatever it is, and nothing where all is well."""

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flexcore.domain.clock import VirtualClock
from flexcore.domain.log import (
    ChangeSet,
    decode_change_set,
    decode_row,
    encode_change_set,
    encode_row,
)
from flexcore.domain.states import Connectivity
from flexcore.engine import commands as c
from flexcore.engine.checks import check_account
from flexcore.store.interface import Callback, Commit
from flexcore.store.sqlite import SqliteStore
from tests.engines import Running
from tests.factories import make_outbox, make_sid
from tests.staff import add_task, hire, interact, offers_of, outbound


@pytest.fixture
async def account_sid(tmp_path: Path, clock: VirtualClock) -> str:
    """A data folder with something of everything in it, at rest."""
    running = await Running(tmp_path / "data", clock).start()
    await outbound(running)
    await interact(running)
    bob = await hire(running, "bob")
    await add_task(running)
    (reservation,) = offers_of(running, bob)
    await running.submit(c.AcceptReservation(sid=reservation.sid))
    await running.submit(c.CompleteTask(sid=reservation.task_sid))
    for _ in range(3):
        await add_task(running)
    await running.close()
    return running.principal.account_sid


@pytest.fixture
def database(tmp_path: Path, account_sid: str) -> Iterator[sqlite3.Connection]:
    """The data folder's database, behind the store's back."""
    assert account_sid
    path = tmp_path / "data" / "flexcore.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield connection


def check(data: Path, account_sid: str) -> list[str]:
    store = SqliteStore(data)
    try:
        return check_account(store, account_sid)
    finally:
        store.close()


async def test_nothing_is_wrong_with_what_was_written(
    tmp_path: Path, account_sid: str
) -> None:
    assert check(tmp_path / "data", account_sid) == []


#: a statement, and what must be said of what it leaves
DAMAGE = (
    (
        "DELETE FROM log WHERE last_sequence = (SELECT max(last_sequence) FROM log)",
        "the log ends at",
    ),
    (
        "DELETE FROM log WHERE first_sequence > 9 AND last_sequence < 25",
        "are missing",
    ),
    ("UPDATE log SET body = zeroblob(length(body))", "checksum"),
    ("DELETE FROM log_subject WHERE subject LIKE 'WK%'", "the narrow log of WK"),
    ("DELETE FROM message", "counts 1 messages and has []"),
    ("DELETE FROM pair", "takes part in CH"),
    (
        "INSERT INTO pair SELECT account, address, '+155599', conversation_sid FROM pair",
        "its address takes part in None",
    ),
    ("UPDATE pair SET conversation_sid = 'CH1'", "is bound, its address takes part"),
    ("DELETE FROM receipt", "is for receipt DY"),
    ("DELETE FROM sender", "is for sender XE"),
    ("DELETE FROM task WHERE status = 'completed'", "not in its table"),
    ("DELETE FROM task WHERE status = 'assigned'", "not in its table"),
    ("DELETE FROM invite", "not in its table"),
    ("UPDATE account_state SET head_sequence = head_sequence + 1", "the log ends at"),
    ("UPDATE account_state SET watermark = 1", "the watermark 1 is below"),
    (
        "UPDATE task SET purge_time = 5 WHERE status = 'completed'",
        "is to be deleted at 5 and says otherwise",
    ),
)


@pytest.mark.parametrize(("statement", "says"), DAMAGE)
async def test_damage_to_the_tables_is_found(
    tmp_path: Path,
    account_sid: str,
    database: sqlite3.Connection,
    statement: str,
    says: str,
) -> None:
    assert database.execute(statement).rowcount > 0
    database.commit()

    found = check(tmp_path / "data", account_sid)

    assert any(says in text for text in found), found


#: which rows, what is changed of them, and what must be said of it
WRONG_ROWS = (
    ("worker", {"friendly_name": "eve"}, "differs between its table and the log"),
    (
        "worker",
        {"connectivity": Connectivity.GRACE},
        "is in grace without a deadline",
    ),
    ("worker", {"taken_out": True}, "is taken out and untracked"),
    ("worker", {"next_activity_sid": "WA1"}, "is available in error"),
    ("task WHERE status = 'reserved'", {"status": "assigned"}, "make it reserved"),
    ("task WHERE status = 'pending'", {"deadline": 0}, "is pending without a deadline"),
    (
        "reservation WHERE status = 'pending'",
        {"status": "completed"},
        "make it pending",
    ),
    (
        "reservation WHERE status = 'pending'",
        {"deadline": 0},
        "is pending without a deadline",
    ),
    ("reservation WHERE status = 'accepted'", {"worker_sid": "WK1"}, "is held by WK1"),
    ("interaction_participant", {"status": "left"}, "nobody attends to KD"),
    ("conversation", {"state": "closed"}, "is open, its conversation CH"),
    ("conversation", {"channel_sid": ""}, "does not name it"),
    (
        "task WHERE status = 'completed'",
        {"purge_time": 5},
        "is to be deleted and not in line for it",
    ),
)


@pytest.mark.parametrize(("rows", "changes", "says"), WRONG_ROWS)
async def test_rows_that_contradict_each_other_are_found(
    tmp_path: Path,
    account_sid: str,
    database: sqlite3.Connection,
    rows: str,
    changes: dict[str, object],
    says: str,
) -> None:
    table = rows.split(maxsplit=1)[0]
    bodies = database.execute(
        f"SELECT rowid, body FROM {rows}"  # noqa: S608 no outside input
    ).fetchall()
    assert bodies
    for rowid, body in bodies:
        changed = encode_row(decode_row(body).evolve(**changes))
        database.execute(
            f"UPDATE {table} SET body = ? WHERE rowid = ?",  # noqa: S608 likewise
            (changed, rowid),
        )
    database.commit()

    found = check(tmp_path / "data", account_sid)

    assert any(says in text for text in found), found


def renamed(change_set: ChangeSet, before: str, after: str) -> ChangeSet:
    events = [
        type(event)(event.type.replace(before, after), event.sid, event.version)
        for event in change_set.events
    ]
    return with_(change_set, events=tuple(events))


def with_(change_set: ChangeSet, **changes: object) -> ChangeSet:
    fields = {name: getattr(change_set, name) for name in ChangeSet.__struct_fields__}
    return ChangeSet(**{**fields, **changes})


#: what is done to every change set, and what must be said of it
WRONG_LOGS = (
    (
        lambda c_: renamed(c_, "reservation.created", "reservation.accepted"),
        "was accepted twice",
    ),
    (lambda c_: with_(c_, events=c_.events[:-1]), "holds"),
    (lambda c_: with_(c_, resources=c_.resources[:-1]), "and does not hold it"),
    (lambda c_: with_(c_, time=10**15 - c_.last_sequence), "is older than"),
    (
        lambda c_: with_(
            c_, resources=tuple(row.evolve(version=1) for row in c_.resources)
        ),
        "from version 1 to 1",
    ),
)


@pytest.mark.parametrize(("change", "says"), WRONG_LOGS)
async def test_a_log_that_cannot_be_is_found(
    tmp_path: Path,
    account_sid: str,
    database: sqlite3.Connection,
    change: Callable[[ChangeSet], ChangeSet],
    says: str,
) -> None:
    for rowid, body in database.execute(
        "SELECT rowid, body FROM log WHERE account = ?", (account_sid,)
    ).fetchall():
        changed = encode_change_set(change(decode_change_set(body)))
        database.execute(
            "UPDATE log SET body = ?, checksum = ? WHERE rowid = ?",
            (changed, zlib.crc32(changed), rowid),
        )
    database.commit()

    found = check(tmp_path / "data", account_sid)

    assert any(says in text for text in found), found


async def test_a_worker_with_more_work_than_room_is_found(
    tmp_path: Path, account_sid: str, database: sqlite3.Connection
) -> None:
    """The log says how much room there was when the offer was made."""
    for rowid, body in database.execute(
        "SELECT rowid, body FROM log WHERE account = ?", (account_sid,)
    ).fetchall():
        change_set = decode_change_set(body)
        rows = tuple(
            row.evolve(configured_capacity=0) if row.sid.startswith("WC") else row
            for row in change_set.resources
        )
        changed = encode_change_set(with_(change_set, resources=rows))
        database.execute(
            "UPDATE log SET body = ?, checksum = ? WHERE rowid = ?",
            (changed, zlib.crc32(changed), rowid),
        )
    database.commit()

    found = check(tmp_path / "data", account_sid)

    assert any("who has room for 0" in text for text in found), found


async def test_callback_about_an_offer_that_never_was_is_found(
    tmp_path: Path, account_sid: str
) -> None:
    store = SqliteStore(tmp_path / "data")
    callback = Callback(make_sid("WR", 1), ("https://a.example.org/",))
    entry = make_outbox(sid="OB1", callback=callback)
    epoch = store.recover(account_sid).epoch
    refused = store.commit(
        [Commit(account_sid=account_sid, epoch=epoch, change_set=None, outbox=(entry,))]
    )
    store.close()

    assert refused == {}
    found = check(tmp_path / "data", account_sid)
    assert found == [f"OB1 asks about {callback.reservation_sid}, which never was"]
