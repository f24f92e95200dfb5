"""Which row goes into which table, and what each table can be asked for.

The one place that knows. A table has the columns every row has (account, sid, version,
create_time, body), and a column for each field that a query needs; a column has the name
of its field, a table that of its noun.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
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
from flexcore.store.interface import Place, Where

Parameters = tuple[str | int | bytes, ...]


class Order(msgspec.Struct, frozen=True):
    """An order of a list: `by` columns, each with 1, or -1 for the greatest first.

    They are two at most; 0 is for one that only its query asks for. Equal rows go by sid.
    One that is `sorted` shares its query with others: the signs are parameters, so the
    query reads all rows it might return to find a page of them. Another one walks along an
    index, and back if it is `descending`.
    """

    suffix: str
    by: tuple[tuple[str, int], ...]
    sorted: bool = False

    @property
    def descending(self) -> bool:
        """Whether it walks along its index from the end, sids included."""
        return not self.sorted and self.by[0][1] < 0

    def place(self, row: Row) -> Place:
        """Return where a row is, and every row behind it has a greater place."""
        return tuple(sign * getattr(row, name) for name, sign in self.by), row.sid

    def before_all(self) -> Place:
        """Return the place that is before the first row."""
        return (-(2**63) + 1,) * len(self.by), ""

    def parameters(self, after: Place) -> Mapping[str, str | int]:
        """Return what its query is given to begin after a place."""
        keys, sid = after
        signs = {f"by_{name}": sign for name, sign in self.by} if self.sorted else {}
        return {
            **signs,
            **dict(zip(("after_key", "after_next"), keys, strict=False)),
            "after_sid": sid,
        }


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

    @property
    def _unsorted(self) -> Mapping[str, int]:
        """What a sorting query is given for the columns that do not count."""
        sorting = (each for each in self.orders.values() if each.sorted)
        return {f"by_{name}": 0 for each in sorting for name, _ in each.by}

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
        after: Place | None,
        limit: int,
        order_by: str = "",
    ) -> Iterator[Mapping[str, str | int | None]]:
        """Yield what a list query is given, for each search; a limit of -1 is none."""
        order = self.orders[order_by]
        given = dict.fromkeys(self.filters) | dict(where)
        asked = given.pop(self.split, None) or self.splits
        common = {
            **given,
            **self._unsorted,
            **order.parameters(after or order.before_all()),
            "account": account_sid,
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
        orders=orders or {"": Order("", ((list_key, 1),))},
        aggregate=aggregate,
        root=root,
        values=attrgetter("sid", "version", "create_time", *names),
    )


def _either_way(name: str, suffix: str, back: str) -> Mapping[str, Order]:
    """Return the two orders that walk along the index of a column."""
    return {
        name: Order(suffix, ((name, 1),)),
        f"{name} desc": Order(back, ((name, -1),)),
    }


def _sorted(*names: str) -> Mapping[str, Order]:
    """Return the orders by each of some columns, of a table that is small."""
    return {
        name + turn: Order("", ((name, sign),), sorted=True)
        for name, (turn, sign) in product(names, _TURNS)
    }


def _as_created(orders: Mapping[str, Order]) -> Mapping[str, Order]:
    """Name the order of creation by nothing: it is the one of who asks for none."""
    return {
        "" if name == "create_time" else name: each for name, each in orders.items()
    }


_TURNS = (("", 1), (" desc", -1))
_CREATION = _as_created(_either_way("create_time", "", "_newest"))
_SMALL = _as_created(_sorted("create_time"))


def _task_orders() -> Mapping[str, Order]:
    """Return orders by creation, and those of open tasks: by priority, start, or both."""

    def order(*by: tuple[str, int]) -> Order:
        return Order("_sorted", by, sorted=True)

    found = dict(_CREATION)
    times = tuple(product(("create_time", "virtual_start_time"), _TURNS))
    for turn, sign in _TURNS:
        urgent = ("priority", sign)
        found[f"priority{turn}"] = order(urgent, ("create_time", 1))
        for name, (time_turn, time_sign) in times:
            by = (urgent, (name, time_sign))
            found[f"priority{turn}, {name}{time_turn}"] = order(*by)
        started = ("virtual_start_time", sign)
        found[f"virtual_start_time{turn}"] = order(("priority", 0), started)
    return found


_ALL = (
    _table(Account, "AC"),
    _table(Key, "SK", "account_sid"),
    _table(Claim, "", "account_sid", changing="account_sid"),
    _table(Workspace, "WS", orders=_SMALL),
    _table(Activity, "WA", "workspace_sid", orders=_SMALL),
    _table(TaskChannel, "TC", "workspace_sid", orders=_SMALL),
    _table(
        TaskQueue,
        "WQ",
        "workspace_sid update_time",
        changing="update_time",
        filters="workspace_sid",
        orders=_as_created(_sorted("create_time", "update_time")),
    ),
    _table(Workflow, "WW", "workspace_sid", orders=_SMALL),
    _table(
        WorkflowRevision,
        "WV",
        "workflow_sid",
        leads=("workflow_sid", ""),
        orders=_SMALL,
    ),
    _table(
        Worker,
        "WK",
        "workspace_sid activity_sid activity_time folded_name",
        changing="activity_sid activity_time folded_name",
        leads=("folded_name", ""),
        filters="workspace_sid activity_sid folded_name",
        orders={**_CREATION, **_either_way("activity_time", "_longest", "_latest")},
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
        orders=_task_orders(),
        aggregate=True,
    ),
    _table(
        Reservation,
        "WR",
        "workspace_sid task_sid worker_sid status",
        changing="status",
        leads=("task_sid", "worker_sid", ""),
        splits=tuple(ReservationStatus),
        orders=_CREATION,
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
