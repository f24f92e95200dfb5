"""The one way out: every request to the outside world leaves through here.

A base URL is configuration of a tenant, so it must not become a way to reach what only
this machine can reach: https on the usual ports, no redirect, no proxy, and every address
is tested just before its socket connects, after DNS, so that a name cannot change its
mind in between. And whoever sends must know whether a failed request may have been
taken: `NotSent` is raised only if nothing was written.
"""

import base64
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from flexcore import __version__
from flexcore.domain import limits
from flexcore.domain.urls import LOOPBACK_NAMES, PORTS

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"),
        *("192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2001:db8::/32"),
        *("2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]


class Forbidden(Exception):
    """The URL, or an address its name stands for, is none we may call."""


class NotSent(Exception):
    """The request failed before anything of it was written."""


class Lost(Exception):
    """The request failed after it may have been written: nobody knows its effect."""


class Dropped(Lost):
    """The other side closed the connection and answered nothing."""


class Reply(msgspec.Struct, frozen=True):
    """What came back; `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Egress:
    """A client session behind the guard; opened with the first request."""

    def __init__(
        self,
        *,
        allow_http_loopback: bool = False,
        timeout_seconds: float = limits.SEND_TIMEOUT / limits.SECOND,
    ) -> None:
        self._allow_loopback = allow_http_loopback
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        form: Sequence[tuple[str, str]] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one request and read its bounded reply; a form may be encoded already.

        Raises Forbidden, NotSent, Lost or Dropped; texts name no header and no field.
        """
        check_url(url, allow_http_loopback=self._allow_loopback)
        progress = SimpleNamespace(connected=False)
        try:
            async with self._open().request(
                method,
                url,
                data=_encoded(form),
                headers={**_authorization(auth), **(headers or {})},
                allow_redirects=False,
                trace_request_ctx=progress,
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(getattr(error, "os_error", None), _AddressDenied):
                raise Forbidden(f"{URL(url).host} is not a public address") from error
            failure = _failure(error, connected=progress.connected)
            raise failure(f"{type(error).__name__} at {URL(url).host}") from error

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=limits.CONNECTIONS_MAX, socket_factory=self._socket
                ),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_seconds,
                    sock_connect=limits.CONNECT_TIMEOUT / limits.SECOND,
                ),
                headers={
                    "User-Agent": f"flexcore/{__version__}",
                    "Accept-Encoding": "identity",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                trace_configs=[_connection_trace()],
            )
        return self._session

    def _socket(self, info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if denied(address[0], allow_loopback=self._allow_loopback):
            raise _AddressDenied("the address is not public")
        return socket.socket(family, kind, protocol)


def _failure(error: Exception, *, connected: bool) -> type[Exception]:
    """Return what a failed request is, by what may have been written."""
    if not connected:
        return NotSent
    closed = isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError)
    return Dropped if closed else Lost


def _encoded(
    form: Sequence[tuple[str, str]] | bytes | None,
) -> aiohttp.FormData | bytes | None:
    return form if form is None or isinstance(form, bytes) else aiohttp.FormData(form)


def _authorization(auth: tuple[str, str] | None) -> Mapping[str, str]:
    return {} if auth is None else {"Authorization": basic(*auth)}


def basic(user: str, password: str) -> str:
    """Return the value of a Basic authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def check_url(url: str, *, allow_http_loopback: bool = False) -> None:
    """Raise Forbidden unless `url` is https on port 443 or 8443 without userinfo.

    With `allow_http_loopback` http and any port of this machine will do too.
    """
    parts = URL(url)
    if parts.user is not None or parts.password is not None:
        raise Forbidden("the URL holds a user or a password")
    if allow_http_loopback and parts.host in LOOPBACK_NAMES:
        return
    if parts.scheme != "https" or parts.port not in PORTS:
        raise Forbidden("the URL is not https on port 443 or 8443")


def denied(address: str, *, allow_loopback: bool = False) -> bool:
    """Tell whether an IP address is one that only insiders can reach."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if allow_loopback and ip.is_loopback:
        return False
    return any(ip in network for network in _DENIED)


class _AddressDenied(OSError):
    """Raised where a socket would be opened; the connector wraps it."""


async def _read(response: aiohttp.ClientResponse) -> Reply:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limits.RESPONSE_BYTES:
            raise aiohttp.ClientPayloadError("the reply is too large")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status, headers, bytes(body))


def _connection_trace() -> aiohttp.TraceConfig:
    """Note on the request's own context that it has a connection to write to."""

    async def connected(_session: object, context: SimpleNamespace, _: object) -> None:
        context.trace_request_ctx.connected = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace
