"""Scripted edit outputs for the tests of this folder: an engine that writes them, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from dovetail.serve.engine.fake import Step
from dovetail.serve.types import ConstraintReport, FinishEvent, Request, RollbackEvent, TokensEvent, Usage

URL = "/v1/edits"
CALC = "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return add(a, a)\n"
REPORT = ConstraintReport(min_z=0.25, sum_log_z=-2.0, rollbacks=1, forced=9, resampled=2, truncated=False)


def writes(
    *steps: str | int, reason: str = "stop", report: ConstraintReport = REPORT
) -> Callable[[Request], Iterator[Step]]:
    """Emits texts; a number goes back to that many characters (all ASCII, so tokens too)."""

    def script(request: Request) -> Iterator[Step]:
        count = 0
        for step in steps:
            if isinstance(step, int):
                count = step
                yield RollbackEvent(request_id="", keep_tokens=step, keep_chars=step)
            else:
                count += len(step)
                tokens = tuple(step.encode())
                origins = ("forced",) + ("sampled",) * (len(tokens) - 1)
                yield TokensEvent(request_id="", tokens=tokens, text=step, origins=origins)
        usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=count, drafted=20, accepted=15)
        yield FinishEvent(request_id="", reason=reason, usage=usage, constraint=report)  # type: ignore[arg-type]

    return script


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found
