"""Filters: what a list asks of single rows, and what it leaves to its table.

Columns of the table (store/tables.py) are the store's to filter by; of everything else a
test is made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from flexcore.domain import limits
from flexcore.domain.attributes import check_attributes
from flexcore.domain.expressions import Context, Dialect, Expression, parse
from flexcore.domain.model import (
    Activity,
    Row,
    Task,
    TaskQueue,
    Worker,
    Workflow,
    Workspace,
)
from flexcore.domain.semantics import resolved
from flexcore.engine.command import Filter
from flexcore.engine.decision import decoded
from flexcore.engine.routing.steps import task_values
from flexcore.engine.setup.policies import dialect_of
from flexcore.store.interface import Store
from flexcore.store.tables import TABLES

Test: TypeAlias = Callable[[Any], bool]
#: makes a test of a filter's value, or has the store filter and makes none
Maker: TypeAlias = Callable[[Any], Test | None]


def values_of(value: Filter) -> tuple[Filter, ...]:
    """Return the values a filter allows."""
    return value if isinstance(value, tuple) else (value,)


class Filters:
    """Filters of one list: columns of its table, and tests of single rows."""

    def __init__(
        self, store: Store, account_sid: str, kind: type[Row], named: Sequence[Row]
    ) -> None:
        self.columns: dict[str, str | tuple[str, ...]] = {}
        self.tests: list[Test] = []
        self._store = store
        self._account_sid = account_sid
        self._kind = kind
        self._named = named
        self._dialects: dict[str, Dialect] = {}
        self._makers: Mapping[str, Maker] = _MAKERS[kind](self)

    def add(self, name: str, value: Filter) -> None:
        """Filter by one thing more."""
        make = self._makers.get(name)
        if make is not None:
            test = make(value)
            if test is not None:
                self.tests.append(test)
        else:
            assert isinstance(value, str | tuple), name
            self.columns[name] = value

    # what may be asked of whom

    def of_anybody(self) -> Mapping[str, Maker]:
        """Return how filters of rows with a friendly name are made."""
        if "friendly_name" not in self._kind.__struct_fields__:
            return {}
        return {"friendly_name": _called}

    def of_activity(self) -> Mapping[str, Maker]:
        """Return how filters of activities are made."""
        return {
            "friendly_name": _called,
            "available": lambda value: lambda row: row.available == value,
        }

    def of_worker(self) -> Mapping[str, Maker]:
        """Return how filters of workers are made."""
        return {
            "friendly_name": self._worker_called,
            "activity_name": self._activity_named,
            "available": lambda value: lambda row: (row.available_time > 0) == value,
            "task_queue_sid": lambda _: self._members(
                [row for row in self._named if isinstance(row, TaskQueue)]
            ),
            "task_queue_name": lambda name: self._members(
                [row for row in self._all(TaskQueue) if _called(name)(row)]
            ),
            "target_workers_expression": self._satisfying,
        }

    def of_queue(self) -> Mapping[str, Maker]:
        """Return how filters of task queues are made."""
        return {
            "friendly_name": _called,
            "worker_sid": self._queues_of_worker,
            "worker_attributes": self._queues_of_attributes,
        }

    def of_task(self) -> Mapping[str, Maker]:
        """Return how filters of tasks are made."""
        return {
            "workflow_name": lambda name: self._in(Workflow, "workflow_sid", name),
            "task_queue_name": lambda name: self._in(TaskQueue, "task_queue_sid", name),
            "task_channel": lambda text: (
                lambda row: text in (row.task_channel_sid, row.task_channel_unique_name)
            ),
            "priority": lambda value: lambda row: row.priority == value,
            "routing_target": lambda sid: (
                lambda row: any(link.sid == sid for link in row.routes)
            ),
            "attributes_expression": self._tasks_satisfying,
        }

    # names

    def _worker_called(self, name: str) -> None:
        """Have the store find a worker by name: an index knows it."""
        self.columns["folded_name"] = name.casefold()

    def _in(self, kind: type[Row], field: str, name: str) -> Test:
        called = _called(name)
        sids = {row.sid for row in self._all(kind) if called(row)}
        return lambda row: getattr(row, field) in sids

    def _activity_named(self, name: str) -> Test:
        return self._in(Activity, "activity_sid", name)

    def _all(self, kind: type[Row]) -> Iterator[Any]:
        """Yield every row of a kind of which there are not many."""
        after = None
        while True:
            rows = self._store.list(
                self._account_sid, kind, {}, after, limits.PAGE_SIZE_MAX
            )
            yield from rows
            if len(rows) < limits.PAGE_SIZE_MAX:
                return
            after = TABLES[kind].orders[""].place(rows[-1])

    # expressions

    def _dialect(self, workspace_sid: str) -> Dialect:
        """Return how a workspace reads expressions."""
        if not self._dialects:
            self._dialects = {
                row.sid: dialect_of(resolved(row.semantics, row.policies))
                for row in self._all(Workspace)
            }
        return self._dialects.get(workspace_sid, Dialect())

    def _satisfied(
        self, text: str, context: Context, field: str, values: Callable[[Any], Any]
    ) -> Test:
        """Return whether a row satisfies an expression; refused if it is none."""
        parse(text, context, field)

        def test(row: Any) -> bool:
            dialect = self._dialect(row.workspace_sid)
            return parse(text, context, field, dialect).evaluate(values(row))

        return test

    def _seen_of_worker(self) -> Callable[[Worker], dict[str, Any]]:
        """Return what says which values expressions see of a worker."""
        names = {row.sid: row.friendly_name for row in self._all(Activity)}

        def values(worker: Worker) -> dict[str, Any]:
            return decoded(worker.attributes) | {
                "sid": worker.sid,
                "friendly_name": worker.friendly_name,
                "activity_sid": worker.activity_sid,
                "activity_name": names.get(worker.activity_sid, ""),
            }

        return values

    def _satisfying(self, text: str) -> Test:
        field = "target_workers_expression"
        return self._satisfied(text, Context.WORKER, field, self._seen_of_worker())

    def _tasks_satisfying(self, text: str) -> Test:
        field = "attributes_expression"
        return self._satisfied(text, Context.TASK, field, task_values)

    def _members(self, queues: list[TaskQueue]) -> Test:
        """Return whether a worker is a member of one of some queues."""
        seen = self._seen_of_worker()

        def test(row: Worker) -> bool:
            mine = [each for each in queues if each.workspace_sid == row.workspace_sid]
            values = seen(row) if mine else {}
            return any(self._target(each).evaluate(values) for each in mine)

        return test

    def _queues_of_worker(self, _: str) -> Test:
        workers = [row for row in self._named if isinstance(row, Worker)]
        seen = self._seen_of_worker()
        values = {row.workspace_sid: seen(row) for row in workers}
        return lambda row: (
            row.workspace_sid in values
            and self._target(row).evaluate(values[row.workspace_sid])
        )

    def _queues_of_attributes(self, text: str) -> Test:
        values = check_attributes(text, "worker_attributes")
        return lambda row: self._target(row).evaluate(values)

    def _target(self, queue: TaskQueue) -> Expression:
        dialect = self._dialect(queue.workspace_sid)
        return parse(queue.target_workers, Context.WORKER, dialect=dialect)


def _called(name: str) -> Test:
    folded = name.casefold()
    return lambda row: row.friendly_name.casefold() == folded


_MAKERS: Mapping[type[Row], Callable[[Filters], Mapping[str, Maker]]] = {
    **dict.fromkeys(TABLES, Filters.of_anybody),
    Activity: Filters.of_activity,
    Worker: Filters.of_worker,
    TaskQueue: Filters.of_queue,
    Task: Filters.of_task,
}
