"""Pages of a workspace document, read on the read side a slice at a time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from flexcore.domain import limits
from flexcore.domain.documents.writer import SECTIONS, write_document
from flexcore.domain.ids import fingerprint
from flexcore.domain.model import (
    Activity,
    Row,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from flexcore.engine.commands import Place, Principal
from flexcore.engine.port import Port
from flexcore.services.paging import read_token, write_token
from flexcore.services.session import caller

#: what the sids of each section begin with
_PREFIXES: Mapping[type[Row], str] = {
    Activity: "WA",
    TaskChannel: "TC",
    TaskQueue: "WQ",
    Workflow: "WW",
    Worker: "WK",
}
#: bytes of an entry besides its longest text, roughly
_ENTRY_BYTES = 300


async def export_page(
    port: Port, workspace: Workspace, page_size: int, page_token: str
) -> tuple[str, str]:
    """Return a document of a page's entries, and the token of the next page."""
    principal = caller()
    of = fingerprint(f"export {principal.account_sid} {workspace.sid}".encode())
    after = read_token(page_token, of) if page_token else None
    most = min(page_size or limits.PAGE_SIZE_MAX, limits.PAGE_SIZE_MAX)
    rows: list[Row] = []
    rooms: dict[str, Sequence[Row]] = {}
    size = 0
    async for row, held in _entries(port, principal, workspace.sid, after):
        if len(rows) == most or size >= limits.EXPORT_BYTES:
            token = write_token(of, ((rows[-1].create_time,), rows[-1].sid))
            break
        rows.append(row)
        rooms[row.sid] = held
        size += _weight(row)
    else:
        token = ""
    return write_document(rows if page_token else [workspace, *rows], rooms), token


async def _entries(
    port: Port, principal: Principal, workspace_sid: str, after: Place | None
) -> AsyncIterator[tuple[Row, Sequence[Row]]]:
    """Yield what comes after a place, section by section; workers with their channels.

    A place is that of a row, whose sid says in which section it is.
    """
    begun = after is None
    for kind in SECTIONS:
        if not begun and after is not None and after[1][:2] != _PREFIXES[kind]:
            continue
        place, begun = (None, True) if begun else (after, True)
        where = {"workspace_sid": workspace_sid}
        while True:
            size = limits.EXPORT_SLICE_ROWS
            page = await port.list(principal, kind, where, place, size)
            for found in zip(
                page.rows, await _rooms(port, principal, page.rows), strict=True
            ):
                yield found
            if page.after is None:
                break
            place = page.after


async def _rooms(
    port: Port, principal: Principal, rows: Sequence[Row]
) -> Sequence[Sequence[Row]]:
    """Return the worker channels of each row that is a worker."""

    async def of(row: Row) -> Sequence[Row]:
        if not isinstance(row, Worker):
            return ()
        where, most = {"worker_sid": row.sid}, limits.TASK_CHANNELS_MAX
        return (await port.list(principal, WorkerChannel, where, None, most)).rows

    return await asyncio.gather(*map(of, rows))


def _weight(row: Row) -> int:
    """Return about how many bytes an entry takes."""
    text = ""
    if isinstance(row, Workflow):
        text = row.configuration
    elif isinstance(row, Worker):
        text = row.attributes
    elif isinstance(row, TaskQueue):
        text = row.target_workers
    return len(text) + _ENTRY_BYTES
