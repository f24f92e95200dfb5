"""The SQL agrees with the tables, the tables with the rows, and no list scans."""

import re
from pathlib import Path

import apsw
import pytest

from flexcore.domain.states import ConversationState, InviteStatus, TaskStatus
from flexcore.store import migrations, queries
from flexcore.store.queries import parse
from flexcore.store.tables import TABLES, Table, table_of
from tests.factories import KINDS, make_row, make_sid

SOURCES = Path(queries.__file__).parent
TABLE_LIST = list(TABLES.values())
LISTS = [
    (table, lead, order_by)
    for table in TABLE_LIST
    for order_by, order in table.orders.items()
    for lead in table.leads
    if not lead or not order.suffix or table.split
]


@pytest.fixture(scope="module")
def connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrations.migrate(connection, migrations.load(), "data")
    return connection


def plan(connection: apsw.Connection, name: str) -> str:
    cursor = connection.execute(
        "EXPLAIN QUERY PLAN " + queries.load()[name],
        dict.fromkeys(re.findall(r":(\w+)", queries.load()[name])) or None,
        can_cache=False,
    )
    return "\n".join(str(row[3]) for row in cursor)


def numbered_plan(connection: apsw.Connection, name: str) -> str:
    statement = queries.load()[name]
    count = max(
        (int(number) for number in re.findall(r"\?(\d+)", statement)), default=0
    )
    cursor = connection.execute("EXPLAIN QUERY PLAN " + statement, (1,) * count)
    return "\n".join(str(row[3]) for row in cursor)


def test_every_kind_of_row_has_a_table() -> None:
    assert set(TABLES) == set(KINDS)


@pytest.mark.parametrize("table", TABLE_LIST, ids=lambda table: table.name)
def test_table_has_the_columns_it_says(
    connection: apsw.Connection, table: Table
) -> None:
    columns = connection.execute(
        "SELECT name FROM pragma_table_info(?)", (table.name,)
    ).fetchall()
    expected = ("account", "sid", "version", "create_time", *table.columns, "body")

    # A column that a migration adds stands behind the body.
    assert sorted(name for (name,) in columns) == sorted(expected)
    assert all(hasattr(make_row(table.kind), name) for name in table.columns)
    assert table.filters <= set(table.columns)
    assert table.fixed <= set(table.columns)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_update_changes_every_column_that_is_not_fixed(
    connection: apsw.Connection, kind: type
) -> None:
    table = TABLES[kind]
    other = {
        "status": TaskStatus.CANCELED,
        "state": ConversationState.CLOSED,
        "remove_time": 7,
        "purge_time": 7,
        "priority": 7,
        "virtual_start_time": 7,
        "activity_time": 7,
        "update_time": 7,
    }
    if table.name == "invite":
        other["status"] = InviteStatus.CANCELED
    before = make_row(kind)
    changing = [name for name in table.columns if name not in table.fixed]
    #: a column that is made of a field
    made_of = {"folded_name": "friendly_name"}
    changes = {made_of.get(name, name): other.get(name, "changed") for name in changing}
    after = before.evolve(version=2, **changes)
    statement = queries.load()[f"upsert_{table.name}"]
    connection.execute(statement, table.parameters("AC1", before))
    connection.execute(statement, table.parameters("AC1", after))
    names = ", ".join(f'"{name}"' for name in ("sid", "version", "create_time"))
    extra = "".join(f', "{name}"' for name in table.columns)
    found = connection.execute(
        f"SELECT {names}{extra} FROM {table.name} WHERE sid = ?",  # noqa: S608
        (before.sid,),
    ).fetchone()

    assert found == table.values(after)


@pytest.mark.parametrize(
    ("table", "lead", "order_by"),
    LISTS,
    ids=[f"{table.name}-{lead}-{order_by}" for table, lead, order_by in LISTS],
)
def test_list_searches_and_does_not_sort_what_may_be_many(
    connection: apsw.Connection, table: Table, lead: str, order_by: str
) -> None:
    found = plan(connection, table.list_query({lead: "x"} if lead else {}, order_by))
    configuration = table.name in {
        *("account", "key", "claim", "workspace", "activity", "task_channel"),
        *("task_queue", "workflow", "workflow_revision"),
        *("address_configuration", "sender"),
    } or (table.name, lead) == ("worker", "folded_name")

    assert "SCAN" not in found
    sorts = configuration or table.orders[order_by].sorted
    assert sorts or "USE TEMP B-TREE FOR ORDER BY" not in found
    if lead and not configuration:
        assert f"INDEX {table.name}_" in found
        assert f"{lead}=?" in found


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in queries.load()
        if name.startswith(
            ("get_", "root_", "aggregate_", "read_", "recover_", "delete_")
        )
        or name == "list_outbox_living"
    ),
)
def test_look_up_searches(connection: apsw.Connection, name: str) -> None:
    found = numbered_plan(connection, name)
    scans = [line for line in found.splitlines() if line.startswith("SCAN")]
    # A scan of what a sub-query has just found is none of a table.
    found_before = re.compile(r"SCAN (\(subquery-\d+\)|open_interaction)")

    assert [line for line in scans if not found_before.fullmatch(line)] == []


def test_recovery_reads_open_work_only(connection: apsw.Connection) -> None:
    nouns = [name for name in queries.load() if name.startswith("recover_")]
    plans = {name: numbered_plan(connection, name) for name in nouns}

    assert [name for name in nouns if "_create_time" in plans[name]] == []
    for noun in ("task", "reservation"):
        assert "INDEX task_status" in plans[f"recover_{noun}"]
    assert "INDEX reservation_task" in plans["recover_reservation"].splitlines()[0]
    for noun in ("interaction", "conversation"):
        assert "sid=?" in plans[f"recover_{noun}"].splitlines()[0]
    assert "INDEX interaction_channel_active" in plans["recover_invite"]
    assert "SEARCH task USING INDEX task_status" in plans["recover_invite"]


def test_purges_are_found_in_their_order(
    connection: apsw.Connection,
) -> None:
    found = numbered_plan(connection, "list_task_purge")

    assert found == (
        "SEARCH task USING INDEX task_purge_time (account=? AND purge_time>?)"
    )


def test_every_query_is_used() -> None:
    sources = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    made = {
        name
        for table in TABLE_LIST
        for name in (
            f"upsert_{table.name}",
            *(
                table.list_query({lead: ""} if lead else {}, order_by)
                for of, lead, order_by in LISTS
                if of is table
            ),
            *([f"aggregate_{table.name}"] if table.aggregate else []),
            *([f"root_of_{table.name}"] if table.root else []),
            *([] if table.aggregate or table.root else [f"get_{table.name}"]),
        )
    }
    recovered = {
        f"recover_{name}"
        for name in re.findall(r'^    "(\w+)",$', sources, re.MULTILINE)
    }
    loaded = set(queries.load())

    assert made <= loaded
    # Not every resource can be deleted.
    deleting = {f"delete_{table.name}" for table in TABLE_LIST}
    unused = loaded - made - recovered - deleting
    assert {name for name in unused if f'"{name}"' not in sources} == set()


def test_query_file_must_say_what_each_query_does() -> None:
    with pytest.raises(ValueError, match="begins with"):
        parse("SELECT 1;")
    with pytest.raises(ValueError, match="query two is not one statement"):
        parse("-- two -- both at once\nSELECT 1; SELECT 2;")

    assert parse("-- one -- it\nSELECT 1;\n") == [("one", "SELECT 1")]


def test_table_is_known_by_the_sid() -> None:
    assert {
        table.name: table_of(make_sid(table.prefix)).name
        for table in TABLE_LIST
        if table.prefix
    } == {table.name: table.name for table in TABLE_LIST if table.prefix}
    assert table_of("whatsapp:+15550000001").name == "claim"
