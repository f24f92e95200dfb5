"""Pages of lists: sizes, and tokens that belong to one filter of one account."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument
from flexcore.domain.ids import fingerprint
from flexcore.domain.model import Row
from flexcore.engine.commands import Filter, Page, Place, Principal
from flexcore.engine.port import DeadLetter, Port
from flexcore.services.session import caller

R = TypeVar("R", bound=Row)


class PageToken(msgspec.Struct, frozen=True, array_like=True):
    """Where the next page begins, and the hash of the list it is a page of."""

    of: bytes
    keys: tuple[int, ...]
    sid: str


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(PageToken).decode


async def list_page(
    port: Port,
    request: Any,
    kind: type[Row],
    where: Mapping[str, Filter | None],
    order_by: str = "",
    *,
    start: Place | None = None,
    principal: Principal | None = None,
) -> tuple[Page, str]:
    """Read a page as `request` asks; return it with the token of the next one.

    Empty texts, no statuses and None in `where` do not filter. `start` is where the first
    page begins; `principal` is the caller, unless an operator looks into another account.
    """
    principal = principal or caller()
    given: dict[str, Filter] = {
        name: value
        for name, value in where.items()
        if value is not None and value not in ("", ())
    }
    order_by = "" if order_by == "create_time" else order_by
    scope = (principal.account_sid, kind.__name__, given, order_by, start)
    digest = fingerprint(_encode(scope))
    after = read_token(request.page_token, digest) if request.page_token else start
    size = min(request.page_size or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)
    page = await port.list(principal, kind, given, after, size, order_by)
    return page, write_token(digest, page.after) if page.after else ""


def page_of(rows: Sequence[R], request: Any, of: str) -> tuple[Sequence[R], str]:
    """Return a page of rows that are here already, with the token of the next one."""
    sign = -1 if request.order_by == "create_time desc" else 1
    digest = fingerprint(_encode((caller().account_sid, "rows of", of, sign)))
    places = sorted(((sign * row.create_time,), row.sid, row) for row in rows)
    if request.page_token:
        after = read_token(request.page_token, digest)
        places = [place for place in places if place[:2] > after]
    size = min(request.page_size or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)
    page = places[:size]
    token = write_token(digest, page[-1][:2]) if len(places) > size else ""
    return [row for *_, row in page], token


def dead_letter_page(port: Port, request: Any) -> tuple[Sequence[DeadLetter], str]:
    """Read a page of dead letters; return it with the token of the next one."""
    principal = caller()
    digest = fingerprint(_encode((principal.account_sid, "dead letters")))
    before = None
    if request.page_token:
        (time,), sid = read_token(request.page_token, digest)
        before = time, sid
    size = min(request.page_size or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)
    letters = port.dead_letters(principal, before, size + 1)
    page = letters[:size]
    if len(letters) <= size:
        return page, ""
    time, sid = page[-1].place
    return page, write_token(digest, ((time,), sid))


def write_token(of: bytes, place: Place) -> str:
    """Return a page token: opaque, URL-safe."""
    return to_text(_encode(PageToken(of, *place)))


def read_token(token: str, of: bytes) -> Place:
    """Return where a page begins; InvalidArgument unless the token is one `of` this."""
    try:
        found = _decode(from_text(token))
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise InvalidArgument("page_token", "not a token of a list") from error
    if found.of != of:
        text = "belongs to another list or another filter"
        raise InvalidArgument("page_token", text)
    return found.keys, found.sid


def to_text(token: bytes) -> str:
    """Write bytes as URL-safe text."""
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """Read what `to_text` wrote; ValueError or binascii.Error otherwise."""
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
