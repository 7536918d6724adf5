"""The log: one line a record on standard error."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import orjson
import structlog

from spanloom.config import Settings


def _json_line(facts: dict[str, Any], **_: object) -> str:
    try:
        return orjson.dumps(facts, default=repr).decode()
    except TypeError:  # a lone surrogate in somebody's text, or a huge number
        return json.dumps(facts, default=repr)


class _NamedLogger(structlog.WriteLogger):
    """Writes lines to standard error; the name is for `add_logger_name`."""

    def __init__(self, name: str = "spanloom") -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure_logging(settings: Settings) -> None:
    """Log one line a record on standard error, also for libraries; console is for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json_line),
        ]
    else:
        # Rich's tracebacks take seconds on the event loop, and show the values of variables, also
        # keys.
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        last = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # Not through logging's records and handlers, which cost three times as much for each line.
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=_NamedLogger,
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )
