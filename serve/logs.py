"""How log lines look, and where they go: standard error, as text or as one JSON object a line. Knows nothing of what is logged.

Lines of other libraries' loggers look the same. A traceback shows code and no values: values may be somebody's text.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from dovetail.serve.config.server import LogFormat, LogLevel


def configure_logging(level: LogLevel, form: LogFormat, stream: TextIO | None = None, **fields: Any) -> None:
    """For this process. ``fields``: on every line; None: they are left out. What is bound to the request at hand is on each of its lines."""
    stream = stream if stream is not None else sys.stderr
    kept = {name: value for name, value in fields.items() if value is not None}

    def add_kept(logger: object, method: str, event: Any) -> Any:
        return {**kept, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_kept,
        structlog.processors.add_log_level,
        *_look(form),
    ]
    render = _renderer(form, stream)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(stream),
        processors=[*shared, render],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=()), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, getattr(logging, level.upper())))


def _look(form: LogFormat) -> list[Processor]:
    if form == "json":
        return [structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"), structlog.processors.format_exc_info]
    return [structlog.processors.TimeStamper(fmt="%H:%M:%S")]


def _renderer(form: LogFormat, stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(default=str)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and "NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
    )
