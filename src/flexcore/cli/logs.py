"""Logging of the server, set up once and before the first gRPC object.

Lines are for operators and may be kept for long, so they hold nothing personal: fields
that are not known are left out, and what looks like an address is masked wherever it
stands, tracebacks included.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

LEVELS = ("debug", "info", "warning", "error")

#: fields that may be written; anything else was not thought about
FIELDS = frozenset(
    {
        "account",
        "code",
        "command",
        "error",
        "error_id",
        "event",
        "exception",
        "gap_seconds",
        "level",
        "logger",
        "method",
        "reason",
        "sid",
        "text",
        "timestamp",
    }
)

_PHONE = re.compile(r"\+[0-9]{5,15}")
_MESSENGER = re.compile(r"(?i)(messenger|chat):[^\s'\",|)]+")

Event = MutableMapping[str, Any]


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream`, the standard error by default.

    A terminal gets text, anything else one JSON object per line.
    """
    stream = stream or sys.stderr
    renderer: Any = structlog.processors.JSONRenderer()
    if stream.isatty():
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=plain)
    ours: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        without_persons,
    ]
    structlog.configure(
        processors=[*ours, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # Lines of libraries take the same way as ours.
            foreign_pre_chain=ours,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def without_persons(_logger: object, _method: str, event: Event) -> Event:
    """Leave out unknown fields and mask addresses in the others."""
    for name in list(event):
        if name.startswith("_"):
            continue
        if name not in FIELDS:
            del event[name]
        elif isinstance(event[name], str):
            event[name] = _masked(event[name])
    return event


def _masked(text: str) -> str:
    text = _PHONE.sub(lambda found: f"+...{found[0][-2:]}", text)
    return _MESSENGER.sub(r"\1:...", text)
