"""Which row goes into which table, and what each table can be asked for.

The one place that knows. A table has the columns every row has (account, sid, version,
create_time, body), and a column for each field that a query needs; a column has the name
of its field, a table that of its noun.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter

import msgspec

from flexcore.domain.ids import SID_PATTERN
from flexcore.domain.log import encode_row
from flexcore.domain.model import (
    Account,
    Activity,
    AddressConfiguration,
    Claim,
    Conversation,
    Interaction,
    InteractionChannel,
    InteractionParticipant,
    Invite,
    Key,
    Message,
    Participant,
    Receipt,
    Reservation,
    Row,
    Sender,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)

Parameters = tuple[str | int | bytes, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table.

    A list must be narrowed by one of `leads`, the most selective first, unless they hold
    the empty one; the other `filters` narrow it further. `fixed` columns are those an
    update never changes. The rows of a child are looked up by the `root` of its
    aggregate.
    """

    kind: type[Row]
    name: str
    prefix: str = ""
    columns: tuple[str, ...] = ()
    fixed: frozenset[str] = frozenset()
    leads: tuple[str, ...] = ("",)
    filters: frozenset[str] = frozenset()
    list_key: str = "create_time"
    aggregate: bool = False
    root: str = ""
    values: Callable[[Row], tuple[str | int, ...]]

    def parameters(self, account_sid: str, row: Row) -> Parameters:
        """Return what `upsert_<name>` is given."""
        return (account_sid, *self.values(row), encode_row(row))

    def list_query(self, where: Mapping[str, str]) -> str:
        """Return the name of the query that lists rows; ValueError if there is none."""
        unknown = where.keys() - self.filters
        if unknown:
            raise ValueError(
                f"a {self.name} has no filter {', '.join(sorted(unknown))}"
            )
        for lead in self.leads:
            if not lead:
                return f"list_{self.name}"
            if lead in where:
                return f"list_{self.name}_by_{lead}"
        raise ValueError(f"a list of {self.name} needs one of {', '.join(self.leads)}")

    def list_parameters(
        self,
        account_sid: str,
        where: Mapping[str, str],
        after: tuple[int, str] | None,
        limit: int,
    ) -> dict[str, str | int | None]:
        """Return what a list query is given; -1 is no limit."""
        after_key, after_sid = after or (-1, "")
        return {
            **dict.fromkeys(self.filters),
            **where,
            "account": account_sid,
            "after_key": after_key,
            "after_sid": after_sid,
            "limit": limit,
        }


def _table(
    kind: type[Row],
    prefix: str = "",
    columns: str = "",
    *,
    changing: str = "",
    leads: tuple[str, ...] = ("",),
    filters: str | None = None,
    list_key: str = "create_time",
    aggregate: bool = False,
    root: str = "",
) -> Table:
    """Make a table of words: `columns`, those `changing`, and `filters` among them."""
    names = tuple(columns.split())
    return Table(
        kind=kind,
        name=str(kind.__struct_config__.tag),
        prefix=prefix,
        columns=names,
        fixed=frozenset(names) - frozenset(changing.split()),
        leads=leads,
        filters=frozenset(names if filters is None else filters.split()),
        list_key=list_key,
        aggregate=aggregate,
        root=root,
        values=attrgetter("sid", "version", "create_time", *names),
    )


_ALL = (
    _table(Account, "AC"),
    _table(Key, "SK", "account_sid"),
    _table(Claim, "", "account_sid", changing="account_sid"),
    _table(Workspace, "WS"),
    _table(Activity, "WA", "workspace_sid"),
    _table(TaskChannel, "TC", "workspace_sid"),
    _table(TaskQueue, "WQ", "workspace_sid"),
    _table(Workflow, "WW", "workspace_sid"),
    _table(Worker, "WK", "workspace_sid activity_sid", changing="activity_sid"),
    _table(WorkerChannel, "WC", "worker_sid", leads=("worker_sid",)),
    _table(
        Task,
        "WT",
        "workspace_sid workflow_sid task_queue_sid status invite_sid",
        changing="task_queue_sid status",
        leads=("task_queue_sid", "workflow_sid", "status", ""),
        filters="workspace_sid workflow_sid task_queue_sid status",
        aggregate=True,
    ),
    _table(
        Reservation,
        "WR",
        "workspace_sid task_sid worker_sid status",
        changing="status",
        leads=("task_sid", "worker_sid", "status", ""),
        root="task",
    ),
    _table(
        Conversation,
        "CH",
        "state",
        changing="state",
        leads=("state", ""),
        aggregate=True,
    ),
    _table(
        Participant,
        "MB",
        "conversation_sid identity address remove_time",
        changing="identity address remove_time",
        leads=("conversation_sid", "identity", "address"),
        filters="conversation_sid identity address",
        root="conversation",
    ),
    _table(
        Message,
        "IM",
        "conversation_sid index",
        leads=("conversation_sid",),
        filters="conversation_sid",
        list_key="index",
    ),
    _table(
        Receipt,
        "DY",
        "conversation_sid message_sid",
        leads=("message_sid", "conversation_sid"),
    ),
    _table(
        Interaction,
        "KD",
        "workspace_sid conversation_sid",
        leads=("conversation_sid", ""),
        aggregate=True,
    ),
    _table(
        InteractionChannel,
        "UO",
        "interaction_sid status",
        changing="status",
        leads=("interaction_sid",),
        filters="interaction_sid",
        root="interaction",
    ),
    _table(
        InteractionParticipant,
        "UT",
        "interaction_sid channel_sid",
        leads=("channel_sid", "interaction_sid"),
        root="interaction",
    ),
    _table(
        Invite,
        "KG",
        "interaction_sid status",
        changing="status",
        leads=("interaction_sid",),
        root="interaction",
    ),
    _table(AddressConfiguration, "IG", "address"),
    _table(Sender, "XE", "address"),
)

TABLES: Mapping[type[Row], Table] = {table.kind: table for table in _ALL}
_PREFIXES: Mapping[str, Table] = {table.prefix: table for table in _ALL if table.prefix}


def table_of(sid: str) -> Table:
    """Return the table a sid's row is in; a claim's sid is an address."""
    if not SID_PATTERN.match(sid):
        return TABLES[Claim]
    table = _PREFIXES.get(sid[:2])
    if table is None:
        raise ValueError(f"no resource has a sid like {sid}")
    return table


#: what an account keeps in memory whole, in the order it is read
CONFIGURATION: tuple[type[Row], ...] = (
    Account,
    Key,
    Claim,
    Workspace,
    Activity,
    TaskChannel,
    TaskQueue,
    Workflow,
    Worker,
    AddressConfiguration,
    Sender,
)
