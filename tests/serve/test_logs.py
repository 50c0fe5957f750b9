"""Log lines: one JSON object each where that is asked for, with the request they belong to, and without anybody's text."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from dovetail.serve.logs import configure_logging

SECRET = "what somebody typed"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; what was configured before comes back."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failing() -> None:
    typed = SECRET
    raise ValueError(len(typed))


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_shows_no_values(stream: io.StringIO, form: Any) -> None:
    configure_logging("info", form, stream)
    try:
        failing()
    except ValueError as error:
        structlog.get_logger("dovetail").error("it broke", exc_info=error)
        logging.getLogger("a.library").error("it broke there", exc_info=error)
    told = stream.getvalue()
    assert told.count("ValueError: 19") == 2
    assert told.count("in failing") == 2
    assert SECRET not in told


def test_each_line_is_an_object_whoever_logs(stream: io.StringIO) -> None:
    configure_logging("warning", "json", stream, process="engine", model=None)
    structlog.get_logger("dovetail").info("not this one")
    logging.getLogger("other").info("nor this")
    with bound_contextvars(request_id="r-1"):
        structlog.get_logger("dovetail").warning("two\nlines", path=io, secs=1.5)
    logging.getLogger("other").warning("of %s", "another library")
    first, second = lines(stream)
    assert (first["event"], first["request_id"], first["secs"], first["level"]) == ("two\nlines", "r-1", 1.5, "warning")
    assert (second["event"], second["process"]) == ("of another library", "engine")
    assert "request_id" not in second
    assert "model" not in second
    assert first["time"].endswith("Z")
