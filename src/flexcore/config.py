"""What a server is told: read once, in the command line, then passed down as values."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path


class ConfigError(Exception):
    """The options do not make a server; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, option: str) -> "Address":
        """Read `host:port`; an IPv6 host stands in brackets."""
        host, colon, port = text.rpartition(":")
        # isdigit alone takes a superscript too, which int does not read.
        digits = port.isascii() and port.isdigit()
        if not (colon and digits) or int(port) > 65_535:
            raise ConfigError(f"{option}: {text!r} is not host:port")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    @property
    def loopback(self) -> bool:
        """Say whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """The options of `flexcore serve`, checked."""

    data: Path
    grpc: Address = Address("127.0.0.1", 7700)
    http: Address = Address("127.0.0.1", 7780)
    #: listen beyond loopback without TLS
    insecure: bool = False
    #: let senders reach carriers by plain http on loopback; serve gRPC reflection
    dev: bool = False
    synchronous: str = "FULL"

    def __post_init__(self) -> None:
        for option, address in (("--grpc", self.grpc), ("--http", self.http)):
            if not address.loopback and not self.insecure:
                raise ConfigError(
                    f"{option}: {address} can be reached from other machines and there "
                    "is no TLS; use a loopback address, or pass --insecure and put a "
                    "proxy in front"
                )
        if self.synchronous not in ("FULL", "NORMAL"):
            raise ConfigError(
                f"--synchronous: {self.synchronous!r} is not FULL or NORMAL"
            )
