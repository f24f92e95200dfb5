"""X-Twilio-Signature: how a carrier proves that a form came from it.

The signature covers the URL exactly as called and every field of the form: for each
distinct key in ascending order, each of its distinct values in ascending order, key and
value run together; HMAC-SHA1 with the account's auth token, in Base64. Fields are bytes
here: what is checked is what arrived, not what some decoder made of it.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

HEADER = "X-Twilio-Signature"

_DEFAULT_PORTS = {"https": "443", "http": "80"}
_URL = re.compile(r"(https?)://([^/?#]*?)(?::([0-9]+))?([/?#].*)?", re.DOTALL)

Fields = list[tuple[bytes, bytes]]


def parse_form(body: bytes) -> Fields:
    """Split a form into its fields in order, blank values and duplicates included."""
    pairs = (part.partition(b"=") for part in body.split(b"&") if part)
    return [(_decoded(key), _decoded(value)) for key, _, value in pairs]


def sign(url: str, fields: Iterable[tuple[bytes, bytes]], token: str) -> str:
    """Return the header value for a form sent to `url`."""
    form = b"".join(key + value for key, value in sorted(set(fields)))
    text = url.encode("utf-8", "surrogateescape") + form
    return base64.b64encode(hmac.digest(token.encode(), text, "sha1")).decode()


def verify(url: str, fields: Fields, token: str, signature: str) -> bool:
    """Tell whether `signature` fits, in constant time.

    Carriers disagree on whether a default port belongs to the URL, so both spellings
    are tried.
    """
    given = signature.encode("utf-8", "surrogateescape")
    fits = False
    for spelling in _spellings(url):
        expected = sign(spelling, fields, token).encode()
        fits |= hmac.compare_digest(expected, given)
    return fits


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _spellings(url: str) -> tuple[str, ...]:
    parts = _URL.fullmatch(url)
    if parts is None:
        return (url,)
    scheme, host, port, rest = parts.groups("")
    default = _DEFAULT_PORTS[scheme]
    if port not in ("", default):
        return (url,)
    return f"{scheme}://{host}{rest}", f"{scheme}://{host}:{default}{rest}"
