"""`flexcore phone`: a customer's phone in a terminal, and the carrier behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.failures import USAGE, Fail
from flexcore.cli.options import Workspace
from flexcore.terminal import Terminal, typed

if TYPE_CHECKING:
    from flexcore.phone import Carrier, Phone

#: the business number of a machine where nobody configured one
BUSINESS = "+15550009999"
#: where the carrier of such a number listens
PORT = 7790
#: the carrier's account on this machine
CARRIER_ACCOUNT = "AC" + "d" * 32


@asks
async def phone(
    talk: Talk,
    number: Annotated[str, typer.Argument(help="The customer's: +15550001111.")],
    *,
    workspace: Workspace = "",
    business: Annotated[
        str,
        typer.Option(
            envvar="FLEXCORE_BUSINESS",
            help="The business number to write to; may be left out when there is one.",
        ),
    ] = "",
    dev: Annotated[
        bool | None,
        typer.Option(
            envvar="FLEXCORE_DEV",
            help="Be the carrier of the business number, made if there is none; "
            "left out: if the server on this machine runs with --dev.",
        ),
    ] = None,
    auth_token: Annotated[
        str,
        typer.Option(
            envvar="FLEXCORE_AUTH_TOKEN",
            help="The sender's auth token, to be its carrier without --dev.",
        ),
    ] = "",
    port: Annotated[
        int,
        typer.Option(envvar="FLEXCORE_PORT", help="Where the carrier listens."),
    ] = PORT,
) -> None:
    """Write to the business as a customer; each line is a message."""
    from flexcore.phone import Carrier

    number = _number(number)
    plan = await _plan(talk, business, dev=dev, auth_token=auth_token, port=port)
    carrier = Carrier(plan.carrier_account_sid, plan.auth_token)
    try:
        base_url = await _listen(carrier, plan.port)
        sender = (
            await _own(talk, plan, base_url, workspace) if plan.dev else plan.sender
        )
        carrier.connect(sender.address, sender.inbound_url)
        terminal = Terminal(json_output=talk.output.json)
        await converse(carrier.phone(number), sender.address, typed(), terminal)
        await carrier.settle()
    finally:
        await carrier.close()


def _number(text: str) -> str:
    """Return the customer's address as carriers write it; said before anything is made."""
    from flexcore.domain.addresses import parse_address
    from flexcore.domain.errors import InvalidArgument

    try:
        return str(parse_address(text, "number"))
    except InvalidArgument as error:
        raise Fail(error.text, USAGE) from error


async def converse(
    phone: "Phone", business: str, lines: AsyncIterator[str], terminal: Terminal
) -> None:
    """Send every line, show every message received, until the lines end."""
    printer = asyncio.create_task(_show_received(phone, terminal))
    try:
        text = f"{phone.number} writes to {business}; end with Ctrl-D"
        terminal.show("ready", text, "dim", number=phone.number, business=business)
        async for line in lines:
            if line.strip():
                await _say(phone, business, line, terminal)
    finally:
        printer.cancel()
        await asyncio.gather(printer, return_exceptions=True)


async def _say(phone: "Phone", business: str, line: str, terminal: Terminal) -> None:
    from flexcore.domain.errors import FailedPrecondition, Unavailable

    try:
        sid = await phone.send(business, line)
    except (FailedPrecondition, Unavailable) as error:
        terminal.show("refused", f"not taken: {error.text}", "red", text=error.text)
    else:
        # A terminal has shown the line as it was typed.
        if terminal.json:
            terminal.show("sent", line, body=line, message_sid=sid)


async def _show_received(phone: "Phone", terminal: Terminal) -> None:
    while True:
        text = await phone.received.get()
        said = " ".join((text.body, *text.media))
        terminal.show(
            "received",
            f"{text.sent_from}: {said}",
            "cyan",
            sent_from=text.sent_from,
            body=text.body,
            media=list(text.media),
            message_sid=text.sid,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Whose carrier this process is going to be; `sender` is None to be made."""

    business: str
    sender: Any
    dev: bool
    carrier_account_sid: str
    auth_token: str
    port: int
    public_url: str


async def _plan(
    talk: Talk, business: str, *, dev: bool | None, auth_token: str, port: int
) -> _Plan:
    here = _server_here(talk)
    dev = here.get("dev", False) if dev is None else dev
    sender = await _sender(talk, business)
    if dev:
        from flexcore.domain.clock import SystemClock
        from flexcore.domain.ids import Ids

        auth_token = Ids(SystemClock()).secret()
    elif sender is None:
        raise Fail("there is no such sender; pass --dev to make one for this machine")
    elif not auth_token:
        raise Fail("--auth-token of the sender is needed, or --dev", USAGE)
    else:
        port = urlsplit(sender.base_url).port or port
    return _Plan(
        business=business or BUSINESS,
        sender=sender,
        dev=dev,
        carrier_account_sid=sender.carrier_account_sid if sender else CARRIER_ACCOUNT,
        auth_token=auth_token,
        port=port,
        public_url=here.get("http", ""),
    )


async def _listen(carrier: "Carrier", port: int) -> str:
    try:
        return await carrier.start(port)
    except OSError as error:
        raise Fail(
            f"port {port} is taken, maybe by another phone; pass --port and --business"
        ) from error


def _server_here(talk: Talk) -> dict[str, Any]:
    """Return what a server on this machine left in its data folder, if one did."""
    from flexcore.client import CREDENTIALS_FILE

    path = talk.data / CREDENTIALS_FILE
    here: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return here


async def _sender(talk: Talk, business: str) -> Any:
    """Return the sender of a business number, or the only one; None if there is none."""
    senders = [each async for each in talk.every("channel", "ListSenders", "senders")]
    found: list[Any] = [
        each for each in senders if business in ("", getattr(each, "address", ""))
    ]
    if len(found) > 1:
        names = ", ".join(each.address for each in found[:5])
        raise Fail(f"there are {len(found)} senders, pass --business: {names}", USAGE)
    return found[0] if found else None


async def _own(talk: Talk, plan: _Plan, base_url: str, workspace: str) -> Any:
    """Point the sender at this process; make it, and its configuration, if need be."""
    if plan.sender is not None:
        response = await talk.call(
            "channel",
            "UpdateSender",
            sid=plan.sender.sid,
            base_url=base_url,
            auth_token=plan.auth_token,
        )
        return response.sender
    if not plan.public_url:
        raise Fail("the server is not on this machine; pass --data of one that is")
    response = await talk.call(
        "channel",
        "CreateSender",
        address=plan.business,
        provider="twilio",
        base_url=base_url,
        public_url=plan.public_url,
        carrier_account_sid=plan.carrier_account_sid,
        auth_token=plan.auth_token,
    )
    await _configure(talk, plan.business, workspace)
    return response.sender


async def _configure(talk: Talk, business: str, workspace: str) -> None:
    """Make first messages to a number start interactions, unless it is configured."""
    service, field = "ListAddressConfigurations", "address_configurations"
    known = talk.every("channel", service, field)
    if business not in [getattr(each, "address", "") async for each in known]:
        await talk.call(
            "channel",
            "CreateAddressConfiguration",
            address=business,
            workspace_sid=workspace,
            auto_creation="AUTO_CREATION_INTERACTION",
        )
