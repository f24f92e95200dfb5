"""`flexcore status`, `flexcore key`, `flexcore token`: the server, and who may ask it."""

from typing import Annotated

import typer

from flexcore.cli.calls import Talk, asks
from flexcore.cli.failures import Fail
from flexcore.domain import limits

key = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
token = typer.Typer(help="Tokens: sign one for a worker.", no_args_is_help=True)

Account = Annotated[
    str,
    typer.Option(
        metavar="AC...",
        envvar="FLEXCORE_ACCOUNT",
        help="Another account's; needs an operator's key.",
    ),
]


@asks
async def status(talk: Talk) -> None:
    """Say what the server says about itself."""
    response = await talk.call("admin", "GetServerInfo")
    info = response.server_info
    fsync = "on" if info.synchronous.upper() == "FULL" else "off"
    if talk.output.json:
        talk.output.message(info)
        return
    target = talk.client.target
    typer.echo(f"flexcore {info.version}  grpc {target}  fsync {fsync}")
    started = info.start_time.ToJsonString()
    typer.echo(f"since {started}  accounts {info.account_count}")
    typer.echo(
        f"open tasks {info.open_task_count}  events {info.head_sequence}  "
        f"commits {info.commit_count}  dead letters {info.dead_letter_count}"
    )


@key.command()
@asks
async def create(
    talk: Talk,
    name: Annotated[str, typer.Argument(help="For people.")],
    *,
    account: Account = "",
    operator: Annotated[
        bool,
        typer.Option(
            "--operator",
            envvar="FLEXCORE_OPERATOR",
            help="May create accounts and manage all keys.",
        ),
    ] = False,
) -> None:
    """Create a key and show its secret, which nothing shows again."""
    response = await talk.call(
        "admin",
        "CreateKey",
        friendly_name=name,
        account_sid=account,
        operator=operator,
    )
    sid, secret = response.key.sid, response.secret
    talk.output.line(f"{sid}.{secret}", {"key_sid": sid, "secret": secret})


@key.command("list")
@asks
async def list_keys(talk: Talk, *, account: Account = "") -> None:
    """List the keys, revoked ones included."""
    keys = [
        k async for k in talk.every("admin", "ListKeys", "keys", account_sid=account)
    ]
    columns = ("sid", "friendly_name", "operator", "create_time", "revoke_time")
    talk.output.table(keys, columns)


@key.command()
@asks
async def revoke(
    talk: Talk,
    sid: Annotated[str, typer.Argument(metavar="SK...", help="The key.")],
    *,
    account: Account = "",
) -> None:
    """End the use of a key at once."""
    if "." in sid:
        raise Fail("name the key by its sid alone; its secret is not needed")
    response = await talk.call("admin", "RevokeKey", sid=sid, account_sid=account)
    talk.output.message(response.key)


@token.command("worker")
@asks
async def token_worker(
    talk: Talk,
    sid: Annotated[str, typer.Argument(metavar="WK...", help="The worker.")],
    *,
    minutes: Annotated[
        int,
        typer.Option(
            min=1,
            max=limits.TOKEN_LIFETIME_MAX // limits.MINUTE,
            envvar="FLEXCORE_MINUTES",
            help="How long it is good.",
        ),
    ] = limits.TOKEN_LIFETIME_DEFAULT // limits.MINUTE,
) -> None:
    """Sign a token that lets its holder be this worker."""
    from flexcore.client import worker_token

    # Signing asks no server; that the worker is there is better known now.
    await talk.call("workspace", "GetWorker", sid=sid)
    try:
        signed = worker_token(talk.client.credential.text, sid, minutes)
    except ValueError as error:
        raise Fail(f"a token is signed with a key: {error}") from error
    talk.output.line(signed, {"worker_sid": sid, "token": signed})
