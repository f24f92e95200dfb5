"""The options of the command line; each can also be given by its environment variable."""

from pathlib import Path
from typing import Annotated

import typer

from flexcore.config import Address, Config, ConfigError

DATA = Path("flexcore-data")
GRPC = "127.0.0.1:7700"
HTTP = "127.0.0.1:7780"

Data = Annotated[Path, typer.Option(envvar="FLEXCORE_DATA", help="The data folder.")]
Json = Annotated[
    bool,
    typer.Option(
        "--json", envvar="FLEXCORE_JSON", help="Print one JSON object per line."
    ),
]

# Of the server

Grpc = Annotated[
    str,
    typer.Option(metavar="HOST:PORT", envvar="FLEXCORE_GRPC", help="Serve gRPC here."),
]
Http = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT", envvar="FLEXCORE_HTTP", help="Take webhooks here."
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="FLEXCORE_INSECURE",
        help="Listen beyond this machine although there is no TLS.",
    ),
]
Dev = Annotated[
    bool,
    typer.Option(
        "--dev",
        envvar="FLEXCORE_DEV",
        help="Allow carriers by plain http on loopback; serve gRPC reflection.",
    ),
]
Synchronous = Annotated[
    str,
    typer.Option(
        metavar="FULL|NORMAL",
        envvar="FLEXCORE_SYNCHRONOUS",
        help="NORMAL is faster and may lose the last commits in a power cut.",
    ),
]
LogLevel = Annotated[
    str,
    typer.Option(
        metavar="debug|info|warning|error",
        envvar="FLEXCORE_LOG_LEVEL",
        help="Write log lines of this level and above.",
    ),
]

# Of its clients

Workspace = Annotated[
    str,
    typer.Option(
        "--workspace",
        metavar="WS...",
        envvar="FLEXCORE_WORKSPACE",
        help="The workspace; may be left out when there is one.",
    ),
]
InWorkspace = Annotated[
    str,
    typer.Option(
        "--workspace",
        metavar="WS...",
        envvar="FLEXCORE_WORKSPACE",
        help="Only those of this workspace.",
    ),
]
ServerAddress = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        envvar="FLEXCORE_ADDRESS",
        help="The server's gRPC address; else the one the data folder names.",
    ),
]
ApiKey = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="SID.SECRET",
        envvar="FLEXCORE_KEY",
        help="An API key or a worker's token; else the key in the data folder.",
    ),
]


def config(
    data: Path, grpc: str, http: str, insecure: bool, dev: bool, synchronous: str
) -> Config:
    """Return the checked options of a server; a usage error says what is wrong."""
    try:
        return Config(
            data=data,
            grpc=Address.parse(grpc, "--grpc"),
            http=Address.parse(http, "--http"),
            insecure=insecure,
            dev=dev,
            synchronous=synchronous,
        )
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
