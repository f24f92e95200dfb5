"""The server: builds everything out of its parts, in one visible place, and drains it.

store -> engine -> services (gRPC) and http (webhooks)
             '-> outbox -> channels (carriers, receivers of callbacks)
"""

import asyncio
import gc
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from flexcore.channels.callbacks import CallbackCaller
from flexcore.channels.twilio import TwilioHandler
from flexcore.config import Config, ConfigError
from flexcore.domain import limits
from flexcore.domain.clock import Alarm, Clock, SystemClock
from flexcore.domain.ids import Ids
from flexcore.engine.alarm import LoopAlarm
from flexcore.engine.engine import Engine, first_start
from flexcore.engine.messaging.outbox import Outbox
from flexcore.engine.messaging.sending import Sending
from flexcore.engine.routing.calls import Calls
from flexcore.engine.vault import Vault
from flexcore.http.app import make_app, start
from flexcore.services.registry import SERVICE_NAMES, add_services, build_interceptor
from flexcore.store.folder import DataFolderError
from flexcore.store.interface import OutboxEntry
from flexcore.store.sqlite import SqliteStore

log = structlog.get_logger(__name__)

CREDENTIALS_FILE = "credentials.json"
_KEY_FILE = "secrets.key"
_KEY_BYTES = 32
#: objects made and not yet gone before the collector looks; with Python's 700 it meets what
#: calls and streams only hold while they wait, and takes it for something that stays
_COLLECT_AFTER = 10_000

#: channel arguments; why each is what it is stands in ARCHITECTURE.md, "gRPC settings"
GRPC_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.max_concurrent_streams", limits.STREAMS_MAX),
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    ("grpc.http2.ping_timeout_ms", 8_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


class Server:
    """One process: a data folder, a gRPC port, an HTTP port."""

    def __init__(
        self, config: Config, clock: Clock | None = None, alarm: Alarm | None = None
    ) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self._alarm = alarm or LoopAlarm(self._clock, asyncio.get_running_loop())
        self.grpc_port = 0
        self.http_port = 0
        self.serving = False
        #: the key of a first start, printed once
        self.first_key: tuple[str, str] | None = None

    async def start(self) -> None:
        """Open the data, recover, and serve."""
        config = self.config
        self._store = SqliteStore(config.data, config.synchronous)
        try:
            self._build_engine()
            try:
                await self._welcome()
                await self._serve_http()
                await self._serve_grpc()
                self._write_credentials()
            except BaseException:
                await self.engine.close()
                raise
        except BaseException:
            self._store.close()
            raise
        # Recovered rows live as long as the process: the collector need not walk them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)

    def _build_engine(self) -> None:
        ids = Ids(self._clock)
        fresh = not self._store.accounts()
        if fresh:
            _require_no_key(self.config.data)
        vault = Vault(_key_file(self.config.data, ids, fresh=fresh), ids)
        self._handler = TwilioHandler(allow_http_loopback=self.config.dev)
        self._caller = CallbackCaller(allow_http_loopback=self.config.dev)
        self.engine = Engine(
            self._store,
            self._clock,
            self._alarm,
            ids,
            vault,
            self._put_outbox,
            allow_loopback=self.config.dev,
        )
        self._outbox = Outbox(
            self.engine.submit_as_account,
            Sending(self.engine.carrier_account, {"twilio": self._handler}),
            Calls(self._caller, self.engine.callback_secrets),
            self._clock,
            self._alarm,
        )
        self.engine.start()

    def _put_outbox(self, account_sid: str, entries: Sequence[OutboxEntry]) -> None:
        self._outbox.put(account_sid, entries)

    async def _welcome(self) -> None:
        # A start that was cut short may have left a key that nobody was ever shown.
        if self.engine.empty or "secret" not in _credentials(self.config.data):
            key = await first_start(self.engine)
            self.first_key = (key.sid, self.engine.key_secret(key))

    async def _serve_http(self) -> None:
        app = make_app(self.engine, {"twilio": self._handler}, lambda: self.serving)
        address = self.config.http
        try:
            self._runner, self.http_port = await start(app, address.host, address.port)
        except OSError as error:
            # A name that is not found has a number of its own, and a text.
            known = isinstance(error, socket.gaierror) or error.errno is None
            why = error.strerror if known else os.strerror(error.errno or 0)
            raise ConfigError(f"--http: cannot listen on {address}: {why}") from error

    async def _serve_grpc(self) -> None:
        self._grpc = grpc.aio.server(
            interceptors=(build_interceptor(self.engine),), options=GRPC_OPTIONS
        )
        add_services(self._grpc, self.engine)
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if self.config.dev:
            names = (*SERVICE_NAMES, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._grpc)
        try:
            self.grpc_port = self._grpc.add_insecure_port(str(self.config.grpc))
        except RuntimeError as error:
            raise ConfigError(
                f"--grpc: cannot listen on {self.config.grpc}; is another server running?"
            ) from error
        await self._grpc.start()
        for name in ("", *SERVICE_NAMES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self.serving = True

    def _write_credentials(self) -> None:
        """Leave address and first key where the client library finds them."""
        path = self.config.data / CREDENTIALS_FILE
        known = _credentials(self.config.data)
        if self.first_key is not None:
            known |= {"key_sid": self.first_key[0], "secret": self.first_key[1]}
        host = self.config.grpc.host
        known["address"] = (
            f"[{host}]:{self.grpc_port}"
            if ":" in host
            else (f"{host}:{self.grpc_port}")
        )
        known["http"] = f"http://{self.config.http.host}:{self.http_port}"
        known["dev"] = self.config.dev
        _write_private(path, json.dumps(known, indent=2).encode() + b"\n")

    async def stop(self) -> None:
        """Drain: say so, end streams with their tokens, finish, flush, close."""
        self.serving = False
        await self._health.enter_graceful_shutdown()
        await self.engine.end_streams()
        await self._grpc.stop(limits.DRAIN_TIME / limits.SECOND)
        await self._runner.cleanup()
        await self._outbox.close()
        await self.engine.close()
        await self._handler.close()
        await self._caller.close()
        self._store.close()

    @property
    def target(self) -> str:
        """Where a client on this machine connects to."""
        return f"{self.config.grpc.host}:{self.grpc_port}"


def _credentials(data: Path) -> dict[str, object]:
    """Return what an earlier start left for clients; empty before the first."""
    path = data / CREDENTIALS_FILE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise DataFolderError(
            f"{path} is not JSON; remove it, the next start writes it anew"
        ) from error
    if not isinstance(found, dict):
        raise DataFolderError(
            f"{path} is not an object; remove it, the next start writes it anew"
        )
    return found


def _require_no_key(data: Path) -> None:
    """Refuse to begin anew where a server was: its database was left out of a copy."""
    if "secret" in _credentials(data):
        path = data / CREDENTIALS_FILE
        raise DataFolderError(
            f"{path} holds a key, and the database is empty; restore flexcore.db from "
            f"where the data folder was copied, or remove {path} to begin anew"
        )


def _key_file(data: Path, ids: Ids, *, fresh: bool) -> bytes:
    """Return the key secrets are sealed with; drawn on the first start only."""
    path = data / _KEY_FILE
    if not path.exists():
        if not fresh:
            raise DataFolderError(
                f"{path} is missing, and no key or carrier's secret can be read "
                "without it; restore it from where the data folder was copied"
            )
        _write_private(path, ids.nonce(_KEY_BYTES))
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise DataFolderError(
            f"{path} is not a key file of {_KEY_BYTES} bytes; restore it from where the "
            "data folder was copied"
        )
    return key


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file whole, readable by its owner only."""
    new = path.with_suffix(".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    # The name lives in the folder: without this a power cut may take the file back.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
