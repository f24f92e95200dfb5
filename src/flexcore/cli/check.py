"""`flexcore check`: is what lies in a data folder what it has to be?"""

import sys
from pathlib import Path
from typing import Any

from flexcore import __version__
from flexcore.cli import options
from flexcore.cli.failures import Fail, reported
from flexcore.cli.output import Output
from flexcore.config import Config


def check(
    *,
    data: options.Data = options.DATA,
    grpc: options.Grpc = options.GRPC,
    http: options.Http = options.HTTP,
    insecure: options.Insecure = False,
    dev: options.Dev = False,
    synchronous: options.Synchronous = "FULL",
    json_output: options.Json = False,
) -> None:
    """Check a data folder that no server is using.

    Recomputes what must be true of it, names what is not, and shows the settings.
    """
    config = options.config(data, grpc, http, insecure, dev, synchronous)
    output = Output(json_output=json_output)
    with reported(json_output=json_output):
        wrong = _check(config, output)
        if wrong:
            raise Fail(f"{wrong} invariants do not hold in {data}")


def _check(config: Config, output: Output) -> int:
    from flexcore.domain.errors import FlexcoreError
    from flexcore.engine.checks import check_account
    from flexcore.store.sqlite import SqliteStore

    _require_data(config.data)
    try:
        store = SqliteStore(config.data, config.synchronous)
    except FlexcoreError as error:
        raise Fail(error.text) from error
    wrong = 0
    try:
        settings = _settings(config, store.facts())
        for name, value in settings.items():
            output.line(f"{name:<16} {value}", {name: value})
        for sid in _tracked(store.accounts(), output):
            found = check_account(store, sid)
            wrong += len(found)
            head = store.bounds(sid)[1]
            text = "\n".join((f"{sid}  {head} events  {len(found)} wrong", *found))
            output.line(text, {"account": sid, "events": head, "wrong": list(found)})
    finally:
        store.close()
    return wrong


def _require_data(data: Path) -> None:
    """Refuse a folder without data: opening it would make it one."""
    if not (data / "flexcore.db").is_file():
        raise Fail(f"{data} is no data folder; pass --data")


def _settings(config: Config, facts: Any) -> dict[str, str]:
    return {
        "flexcore": __version__,
        "data": str(config.data),
        "grpc": str(config.grpc),
        "http": str(config.http),
        "insecure": str(config.insecure).lower(),
        "dev": str(config.dev).lower(),
        **facts,
    }


def _tracked(accounts: list[str], output: Output) -> Any:
    """Return the accounts, with a progress bar when somebody is looking."""
    if output.json or not sys.stderr.isatty():
        return accounts
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(accounts, "checking", console=console, transient=True)
