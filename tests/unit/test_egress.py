"""What may be called, and what a failed call says about its request."""

import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from flexcore.channels.egress import (
    Egress,
    Forbidden,
    Lost,
    NotSent,
    check_url,
    denied,
)
from flexcore.domain import limits

AUTH = ("AC", "token")


@pytest.mark.parametrize(
    "address",
    [
        *("0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.168.1.1", "198.18.0.1", "224.0.0.1"),
        *("192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "255.255.255.255"),
        *("::", "::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("2001::1", "2001:db8::1"),
    ],
)
def test_insider_address_is_denied(address: str) -> None:
    assert denied(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"],
)
def test_public_address_is_not_denied(address: str) -> None:
    assert not denied(address)


def test_loopback_is_allowed_for_development_and_its_neighbors_are_not() -> None:
    assert not denied("127.0.0.1", allow_loopback=True)
    assert not denied("::ffff:127.0.0.1", allow_loopback=True)
    assert denied("10.0.0.1", allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        *("http://carrier.example", "https://carrier.example:22"),
        *("https://user@carrier.example", "ftp://carrier.example", "nonsense"),
    ],
)
def test_url_other_than_plain_https_is_forbidden(url: str) -> None:
    with pytest.raises(Forbidden):
        check_url(url)
    with pytest.raises(Forbidden):
        check_url(url, allow_http_loopback=True)


def test_loopback_by_http_is_allowed_for_development_only() -> None:
    check_url("https://carrier.example/x")
    check_url("http://127.0.0.1:9000/x", allow_http_loopback=True)

    with pytest.raises(Forbidden):
        check_url("http://127.0.0.1:9000/x")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"]
)
async def test_insider_host_is_forbidden_after_its_name_is_resolved(host: str) -> None:
    egress = Egress()
    with pytest.raises(Forbidden, match="not a public address"):
        await egress.request("GET", f"https://{host}/", auth=AUTH)
    await egress.close()


async def test_refused_connection_proves_that_nothing_was_sent() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    egress = Egress(allow_http_loopback=True)
    with pytest.raises(NotSent):
        await egress.request("GET", f"http://127.0.0.1:{free}/", auth=AUTH)
    await egress.close()


async def test_connection_that_never_opens_proves_that_nothing_was_sent() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
        egress = Egress(allow_http_loopback=True, timeout_seconds=0.1)
        with pytest.raises(NotSent):
            await egress.request("GET", f"http://127.0.0.1:{port}/", auth=AUTH)
        await egress.close()
        for other in others:
            other.close()


Serve = Callable[[web.Request], Awaitable[web.Response]]


async def serve(handler: Serve) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def test_reply_that_never_comes_is_lost() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        egress = Egress(allow_http_loopback=True, timeout_seconds=0.1)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Lost):
            await egress.request("POST", url, auth=AUTH, form=[("a", "b")])
        await egress.close()


async def test_reply_above_the_limit_is_lost() -> None:
    async def flood(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(limits.RESPONSE_BYTES + 1))

    runner, url = await serve(flood)
    egress = Egress(allow_http_loopback=True)
    with pytest.raises(Lost):
        await egress.request("GET", url, auth=AUTH)
    await egress.close()
    await runner.cleanup()


async def test_redirect_is_not_followed_and_request_carries_what_it_should() -> None:
    seen: list[web.Request] = []

    async def redirect(request: web.Request) -> web.Response:
        assert await request.text() == "a=1&a=%2B2"
        seen.append(request)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    runner, url = await serve(redirect)
    egress = Egress(allow_http_loopback=True)
    reply = await egress.request(
        "POST", url, auth=AUTH, form=[("a", "1"), ("a", "+2")], headers={"X-A": "b"}
    )
    await egress.close()
    await runner.cleanup()

    assert (reply.status, reply.headers["location"]) == (307, "/elsewhere")
    assert [request.path for request in seen] == ["/"]
    assert seen[0].headers["X-A"] == "b"
    assert seen[0].headers["Authorization"] == "Basic QUM6dG9rZW4="
