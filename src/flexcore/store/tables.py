"""Which row goes into which table, and what each table can be asked for.

The one place that knows. A table has the columns every row has (account, sid, version,
create_time, body), and a column for each field that a query needs; a column has the name
of its field, a table that of its noun.
"""

from collections.abc import Callable, Iterator, Mapping
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
    WorkflowRevision,
    Workspace,
)
from flexcore.domain.states import ReservationStatus, TaskStatus
from flexcore.store.interface import Where

Parameters = tuple[str | int | bytes, ...]


class Order(msgspec.Struct, frozen=True):
    """An order of a list: `key` gives each row's place in it, by what queries order by.

    One that is `sorted` reads all rows of a status to find a page of them.
    """

    suffix: str
    key: Callable[[Row], int]
    descending: bool = False
    sorted: bool = False

    def before_all(self) -> tuple[int, str]:
        """Return the place that is before the first row."""
        return (_LAST, "\U0010ffff") if self.descending else (-_LAST, "")


_LAST = 2**63 - 1


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table.

    A list must be narrowed by one of `leads`, the most selective first, unless they hold
    the empty one; the other `filters` narrow it further. A list of a table with a `split`
    column is one search for each of the values asked for. `fixed` columns are those an
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
    split: str = ""
    splits: tuple[str, ...] = ()
    orders: Mapping[str, Order] = {}
    aggregate: bool = False
    root: str = ""
    values: Callable[[Row], tuple[str | int, ...]]

    def parameters(self, account_sid: str, row: Row) -> Parameters:
        """Return what `upsert_<name>` is given."""
        return (account_sid, *self.values(row), encode_row(row))

    def list_query(self, where: Mapping[str, object], order_by: str = "") -> str:
        """Return the name of the query that lists rows; ValueError if there is none."""
        order = self.orders.get(order_by)
        if order is None:
            raise ValueError(f"a list of {self.name} has no order {order_by}")
        unknown = where.keys() - self.filters
        if unknown:
            raise ValueError(
                f"a {self.name} has no filter {', '.join(sorted(unknown))}"
            )
        for lead in self.leads:
            if not lead:
                return f"list_{self.name}{order.suffix}"
            if lead in where and (self.split or not order.suffix):
                return f"list_{self.name}_by_{lead}{order.suffix}"
        raise ValueError(f"a list of {self.name} needs one of {', '.join(self.leads)}")

    def list_parameters(
        self,
        account_sid: str,
        where: Where,
        after: tuple[int, str] | None,
        limit: int,
        order_by: str = "",
    ) -> Iterator[Mapping[str, str | int | None]]:
        """Yield what a list query is given, for each search; a limit of -1 is none."""
        order = self.orders[order_by]
        after_key, after_sid = after or order.before_all()
        given = dict.fromkeys(self.filters) | dict(where)
        asked = given.pop(self.split, None) or self.splits
        common = {
            **given,
            "account": account_sid,
            "after_key": after_key,
            "after_sid": after_sid,
            "limit": limit,
        }
        if not self.split:
            yield common
            return
        for value in (asked,) if isinstance(asked, str) else asked:
            yield {**common, self.split: value}


def _table(
    kind: type[Row],
    prefix: str = "",
    columns: str = "",
    *,
    changing: str = "",
    leads: tuple[str, ...] = ("",),
    filters: str | None = None,
    splits: tuple[str, ...] = (),
    list_key: str = "create_time",
    orders: Mapping[str, Order] | None = None,
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
        split="status" if splits else "",
        splits=splits,
        orders={"": Order("", attrgetter(list_key)), **(orders or {})},
        aggregate=aggregate,
        root=root,
        values=attrgetter("sid", "version", "create_time", *names),
    )


def _urgency(row: Row) -> int:
    assert isinstance(row, Task)
    return -row.priority


_NEWEST = Order("_newest", attrgetter("create_time"), descending=True)
_START = attrgetter("virtual_start_time")
_TASK_ORDERS = {
    "create_time desc": _NEWEST,
    "priority desc": Order("_most_urgent", _urgency, sorted=True),
    "priority": Order("_least_urgent", _urgency, descending=True, sorted=True),
    "virtual_start_time": Order("_first_started", _START, sorted=True),
    "virtual_start_time desc": Order(
        "_last_started", _START, descending=True, sorted=True
    ),
}
_WORKER_ORDERS = {
    "create_time desc": _NEWEST,
    "activity_time": Order("_longest", attrgetter("activity_time")),
    "activity_time desc": Order(
        "_latest", attrgetter("activity_time"), descending=True
    ),
}
_QUEUE_ORDERS = {
    "create_time desc": _NEWEST,
    "update_time": Order("_first_changed", attrgetter("update_time")),
    "update_time desc": Order(
        "_last_changed", attrgetter("update_time"), descending=True
    ),
}

_ALL = (
    _table(Account, "AC"),
    _table(Key, "SK", "account_sid"),
    _table(Claim, "", "account_sid", changing="account_sid"),
    _table(Workspace, "WS"),
    _table(Activity, "WA", "workspace_sid"),
    _table(TaskChannel, "TC", "workspace_sid"),
    _table(
        TaskQueue,
        "WQ",
        "workspace_sid update_time",
        changing="update_time",
        filters="workspace_sid",
        orders=_QUEUE_ORDERS,
    ),
    _table(Workflow, "WW", "workspace_sid"),
    _table(WorkflowRevision, "WV", "workflow_sid", leads=("workflow_sid", "")),
    _table(
        Worker,
        "WK",
        "workspace_sid activity_sid activity_time folded_name",
        changing="activity_sid activity_time folded_name",
        leads=("folded_name", ""),
        filters="workspace_sid activity_sid folded_name",
        orders=_WORKER_ORDERS,
    ),
    _table(WorkerChannel, "WC", "worker_sid", leads=("worker_sid",)),
    _table(
        Task,
        "WT",
        "workspace_sid workflow_sid task_queue_sid status invite_sid purge_time"
        " priority virtual_start_time",
        changing="task_queue_sid status purge_time priority virtual_start_time",
        leads=("task_queue_sid", "workflow_sid", ""),
        filters="workspace_sid workflow_sid task_queue_sid status",
        splits=tuple(TaskStatus),
        orders=_TASK_ORDERS,
        aggregate=True,
    ),
    _table(
        Reservation,
        "WR",
        "workspace_sid task_sid worker_sid status",
        changing="status",
        leads=("task_sid", "worker_sid", ""),
        splits=tuple(ReservationStatus),
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
    WorkflowRevision,
    Worker,
    AddressConfiguration,
    Sender,
)
