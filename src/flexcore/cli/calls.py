"""What every command that asks a server shares: its options, its client, its end."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from flexcore.cli import options
from flexcore.cli.failures import UNREACHABLE, Fail, refusal, reported
from flexcore.cli.output import Output

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from flexcore.client import Client

#: how long a command waits for a server that does not answer
CONNECT_SECONDS = 3.0
PAGE_SIZE = 1_000

P = ParamSpec("P")


class Talk:
    """One command's conversation with a server."""

    def __init__(self, client: "Client", output: Output, data: Path) -> None:
        self.client = client
        self.output = output
        self.data = data
        #: the fields of the last request, to show an expression that was refused
        self.asked: dict[str, Any] = {}

    async def call(self, service: str, rpc: str, **fields: Any) -> Any:
        """Make a unary call; fields that are None are not sent."""
        self.asked = {
            name: value for name, value in fields.items() if value is not None
        }
        return await getattr(getattr(self.client, service), rpc)(**self.asked)

    async def every(
        self, service: str, rpc: str, field: str, most: int = 0, **where: Any
    ) -> AsyncIterator["Message"]:
        """Yield what a list RPC has in `field`, page by page; `most` of it unless 0."""
        token, left = "", most
        while True:
            size = min(left, PAGE_SIZE) if most else PAGE_SIZE
            page = await self.call(
                service, rpc, page_size=size, page_token=token, **where
            )
            for message in getattr(page, field):
                yield message
            left -= len(getattr(page, field))
            token = page.next_page_token
            if not token or (most and left <= 0):
                return


def asks(
    command: Callable[Concatenate[Talk, P], Awaitable[None]],
) -> Callable[..., None]:
    """Make a command of a coroutine, with the options every client has."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        common = {each.name: given.pop(each.name) for each in _COMMON}
        with reported(json_output=common["json_output"]):
            asyncio.run(_talk(command, common, given))

    own = list(inspect.signature(command).parameters.values())[1:]
    parameters = [*own, *_COMMON]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _client_options(
    *,
    data: options.Data = options.DATA,
    address: options.ServerAddress = "",
    key: options.ApiKey = "",
    json_output: options.Json = False,
) -> None:
    """The options every client has; only its signature is used."""


_COMMON = tuple(inspect.signature(_client_options).parameters.values())


async def _talk(
    command: Callable[..., Awaitable[None]],
    common: dict[str, Any],
    given: dict[str, Any],
) -> None:
    import grpc

    output = Output(json_output=common["json_output"])
    client = await _connect(common["address"], common["key"], common["data"])
    talk = Talk(client, output, common["data"])
    try:
        await command(talk, **given)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, talk.asked) from error
    finally:
        await client.close()


async def _connect(address: str, key: str, data: Path) -> "Client":
    from flexcore.client import CREDENTIALS_FILE, CredentialsMissing, connect

    left = data / CREDENTIALS_FILE
    if not key and not left.exists():
        raise Fail(
            f"no server has run here: {left} does not exist; start one with `flexcore "
            "serve`, or pass --data of one on this machine, or --address and --key"
        )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connect(address or None, key or None, data)
    except CredentialsMissing as error:
        raise Fail(f"{error}; or pass --key, or --data") from error
    except (ConnectionError, TimeoutError) as error:
        asked = f" at {address}" if address else ""
        raise Fail(
            f"no server answers{asked}; start one with `flexcore serve`, or pass "
            "--address or --data",
            UNREACHABLE,
        ) from error
