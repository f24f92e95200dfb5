"""The data folder: its schema, its lock, and what it refuses to open."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from flexcore.domain.log import encode_row
from flexcore.store import migrations
from flexcore.store.folder import DataFolderError
from flexcore.store.migrations import Migration, migrate
from flexcore.store.sqlite import SqliteStore
from tests.factories import ACCOUNT, make_commit, make_task, make_worker

STEPS = [
    Migration(1, "start", "CREATE TABLE one (a INTEGER); CREATE INDEX i ON one (a);"),
    Migration(2, "more", "ALTER TABLE one ADD COLUMN b TEXT;"),
    Migration(3, "most", "CREATE TABLE two (c BLOB);"),
]


def schema(connection: apsw.Connection) -> list[tuple]:
    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        )
    ]
    columns = [
        (name, *column)
        for name in names
        for column in connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,))
    ]
    rest = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        " WHERE type <> 'table' ORDER BY name"
    ).fetchall()
    return columns + rest


@pytest.mark.parametrize("chain", [migrations.load(), STEPS], ids=["ours", "longer"])
def test_migrated_database_equals_a_fresh_one(chain: list[Migration]) -> None:
    fresh = apsw.Connection(":memory:")
    migrate(fresh, chain, "data")
    for stop in range(len(chain) + 1):
        old = apsw.Connection(":memory:")
        migrate(old, chain[:stop], "data")

        assert migrate(old, chain, "data") == len(chain)
        assert schema(old) == schema(fresh)


def test_migrating_again_changes_nothing() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, STEPS, "data")
    before = connection.total_changes()
    migrate(connection, STEPS, "data")

    assert connection.total_changes() == before


def test_failed_migration_leaves_the_one_before() -> None:
    connection = apsw.Connection(":memory:")
    broken = Migration(2, "broken", "CREATE TABLE half (a); CREATE TABLE one (a);")
    with pytest.raises(apsw.SQLError):
        migrate(connection, [STEPS[0], broken], "data")
    migrate(connection, STEPS, "data")

    assert not connection.in_transaction
    names = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert ("half",) not in names
    assert ("two",) in names


def test_migration_that_was_edited_is_refused() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection, STEPS, "data")
    edited = [STEPS[0], Migration(2, "more", STEPS[1].text + "-- later"), STEPS[2]]

    with pytest.raises(DataFolderError, match=r"migration 2 \(more\) with checksum"):
        migrate(connection, edited, "data")


def test_our_migrations_have_not_been_edited() -> None:
    """A released migration stays as it is; a new one adds a line here."""
    released: dict[str, int] = {}

    found = {step.name: step.checksum for step in migrations.load()}
    assert {name: found[name] for name in released} == released


def test_newer_database_is_refused_naming_both_versions(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "data").close()
    ours = len(migrations.load())
    connection = apsw.Connection(str(tmp_path / "data" / "flexcore.db"))
    connection.execute(
        "INSERT INTO schema_migration VALUES (?1, 'later', 1), (?1 + 1, 'last', 2)",
        (ours + 1,),
    )
    connection.close()
    expected = (
        f"data folder {tmp_path}/data has schema version {ours + 2}, and this"
        f" flexcore knows versions up to {ours}; use a newer flexcore"
    )

    with pytest.raises(DataFolderError) as refusal:
        SqliteStore(tmp_path / "data")
    assert str(refusal.value) == expected
    with pytest.raises(DataFolderError, match="schema version"):  # the lock is free
        SqliteStore(tmp_path / "data")


def test_second_opener_is_refused_naming_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("./flexcore-data")
    opener = (
        "from flexcore.store.sqlite import SqliteStore\n"
        "try: SqliteStore('./flexcore-data')\n"
        "except Exception as error: print(error)\n"
    )
    result = subprocess.run(  # noqa: S603 - the text is above
        [sys.executable, "-c", opener], capture_output=True, text=True, check=True
    )
    with pytest.raises(DataFolderError) as refusal:
        SqliteStore("./flexcore-data")
    store.close()

    expected = (
        f"data folder ./flexcore-data is in use by process {os.getpid()};"
        " stop it or pass --data"
    )
    assert result.stdout.strip() == expected
    assert str(refusal.value) == expected
    SqliteStore("./flexcore-data").close()


def test_data_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a" / "data")
    store.open_account(ACCOUNT)
    store.commit([make_commit(0, make_task())])
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "a" / "data").iterdir()
    }
    store.close()

    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        ("flexcore.db", "flexcore.db-wal", "flexcore.db-shm", "flexcore.lock"), 0o600
    )


def test_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataFolderError, match="cannot be created: Not a directory"):
        SqliteStore(tmp_path / "file" / "data")


def test_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "flexcore.db").write_bytes(b"no database" * 1_000)

    with pytest.raises(DataFolderError, match=r"cannot be opened: .*not a database"):
        SqliteStore(tmp_path)


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_synchronous_is_read_back(tmp_path: Path, synchronous: str) -> None:
    store = SqliteStore(tmp_path, synchronous)
    facts = store.facts()
    store.close()

    assert facts["synchronous"] == synchronous
    assert facts["journal_mode"] == "wal"
    assert facts["data_version"] == str(len(migrations.load()))


def test_synchronous_off_cannot_be_configured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="synchronous is FULL or NORMAL, not OFF"):
        SqliteStore(tmp_path, "OFF")


def test_a_sqlite_with_the_wal_reset_bug_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")

    with pytest.raises(DataFolderError, match=r"3\.51\.2.*3\.51\.3 is needed"):
        SqliteStore(tmp_path)
    assert not any(tmp_path.iterdir())


def test_checkpoint_moves_the_log_once_it_is_long(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, checkpoint_pages=20)
    store.open_account(ACCOUNT)
    wal = tmp_path / "flexcore.db-wal"
    sizes = []
    for head in range(60):
        store.commit([make_commit(head, make_task())])
        store.checkpoint()
        sizes.append(wal.stat().st_size)
    store.close()

    assert sizes == [sizes[0]] * 60
    assert not wal.exists()


def test_commit_never_waits_for_a_checkpoint(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.open_account(ACCOUNT)
    store.checkpoint()
    before = (tmp_path / "flexcore.db").stat()
    store.commit([make_commit(0, make_task(attributes="x" * 1_000_000))])
    store.checkpoint()
    after = (tmp_path / "flexcore.db").stat()
    store.close()

    assert before.st_size == after.st_size
    assert (tmp_path / "flexcore.db").stat().st_size > 2_000_000


def test_connections_that_read_cannot_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    readers = (store._reader._connection, store._fetcher._connection)
    read_only = [connection.readonly("main") for connection in readers]
    store.close()

    assert read_only == [True, True]


def test_rows_that_are_there_get_the_columns_a_migration_adds(tmp_path: Path) -> None:
    """A list orders and filters by them; what was written before must be found too."""
    steps = migrations.load()
    connection = apsw.Connection(str(tmp_path / "old.db"))
    migrate(connection, steps[:1], "data")
    task = make_task(priority=7)
    worker = make_worker(friendly_name="Ada", activity_time=9)
    connection.execute(
        "INSERT INTO task VALUES ('AC1', ?, 1, 2, 'WS1', 'WW1', 'WQ1', 'pending', '', ?)",
        (task.sid, encode_row(task)),
    )
    connection.execute(
        "INSERT INTO worker VALUES ('AC1', ?, 1, 2, 'WS1', 'WA1', ?)",
        (worker.sid, encode_row(worker)),
    )
    migrate(connection, steps, "data")

    assert connection.execute(
        "SELECT priority, virtual_start_time FROM task"
    ).fetchall() == [(7, task.virtual_start_time)]
    assert connection.execute(
        "SELECT activity_time, folded_name FROM worker"
    ).fetchall() == [(9, "ada")]
