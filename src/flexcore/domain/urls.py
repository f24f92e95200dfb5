"""URLs that users give and the server calls: which ones it would.

A courtesy to whoever types one. What keeps the server from calling what only it can reach
is `channels/egress.py`, which looks again, at the address, when a socket opens.
"""

from urllib.parse import urlsplit

from flexcore.domain import limits
from flexcore.domain.errors import InvalidArgument

#: where https is answered
PORTS = frozenset({443, 8443})
#: what this machine is called by itself
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def check_url(text: str, field: str, *, allow_loopback: bool) -> str:
    """Return a URL that would be called; nothing stays nothing.

    With `allow_loopback` also one of this machine, by http and on any port.
    """
    refusal = _refusal(text, allow_loopback=allow_loopback) if text else ""
    if refusal:
        raise InvalidArgument(field, refusal)
    return text


def _refusal(text: str, *, allow_loopback: bool) -> str:
    """Return what is wrong with a URL, or nothing."""
    if len(text) > limits.URL_CHARS:
        return f"{len(text)} characters, at most {limits.URL_CHARS} are allowed"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "must be printable ASCII without spaces"
    try:
        parts = urlsplit(text)
        port = 443 if parts.port is None else parts.port
    except ValueError:
        return "is no URL"
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        return "must have a host, and no user, password or fragment"
    here = parts.hostname in LOOPBACK_NAMES and parts.scheme in ("http", "https")
    called = parts.scheme == "https" and port in PORTS
    if called or (here and allow_loopback):
        return ""
    return "must be https on port 443 or 8443"
