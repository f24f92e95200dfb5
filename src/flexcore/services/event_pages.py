"""Pages of the log: what ListEvents shows of it."""

from typing import Any

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.fold import known_types
from flexcore.domain.ids import fingerprint
from flexcore.domain.log import LogFilter
from flexcore.engine.port import Port
from flexcore.services.convert import time_from_proto
from flexcore.services.excerpt import change_set_to_proto
from flexcore.services.paging import read_token, write_token
from flexcore.services.session import caller
from flexcore.v1 import event_service_pb2 as pb

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
#: what a filter may name: types of events, and their first words for all that begin so
_NAMED = known_types() | {each.partition(".")[0] for each in known_types()}


async def list_events(
    port: Port, request: pb.ListEventsRequest
) -> pb.ListEventsResponse:
    """Return the change sets of a page; it ends early when they are large."""
    log_filter = filter_of(request)
    window = time_from_proto(request.start_time), time_from_proto(request.end_time)
    digest = fingerprint(_encode((caller().account_sid, "events", log_filter, window)))
    after = _place(request.page_token, digest) if request.page_token else None
    size = min(request.page_size or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)
    page = await port.events(caller(), log_filter, window, after, size)
    response = pb.ListEventsResponse()
    position, written = page.after, 0
    for change_set in page.change_sets:
        found = change_set_to_proto(change_set, log_filter)
        assert found is not None
        written += found.ByteSize()
        if written > limits.LIST_BYTES and response.change_sets:
            position = response.change_sets[-1].last_sequence
            break
        response.change_sets.append(found)
    if position is not None:
        response.next_page_token = write_token(digest, ((position,), str(page.until)))
    return response


def filter_of(request: Any) -> LogFilter:
    """Return the filter of a request for events."""
    for number, each in enumerate(request.types):
        # Misspelled, it would tell of nothing for ever.
        if each not in _NAMED:
            refusal = f"{each!r} is no type of event, nor the first word of one"
            raise InvalidArgument(f"types[{number}]", refusal)
    names = (name for name in LogFilter.__struct_fields__ if name != "types")
    return LogFilter(
        types=frozenset(request.types),
        **{name: getattr(request, name) for name in names},
    )


def _place(token: str, digest: bytes) -> tuple[int, int]:
    """Return where the page before ended, and where the list does."""
    (position,), until = read_token(token, digest)
    if not until.isdecimal():
        raise InvalidArgument("page_token", "not a token of a list")
    return position, int(until)
