"""A batch as clients see it: what it is asked with, and its states. Runs nothing."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dovetail.serve.api.batches.lines import LineError
from dovetail.serve.api.batches.upload import LONGEST, SHORTEST
from dovetail.serve.api.chat.body import Metadata
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.ids import fresh
from dovetail.serve.api.records import Record

KIND = "batch"
LIVE = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
Ending = Literal["completed", "expired", "cancelled"]
Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations", "/v1/edits"
]
UNSCHEDULED: frozenset[Endpoint] = frozenset({"/v1/moderations"})
"""Endpoints whose requests wait for no model, and so have no priority."""

_WINDOW = re.compile(r"([1-9]\d{0,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


class ExpiresAfter(BaseModel):
    """How long the output files are kept."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=SHORTEST, le=LONGEST)]


class BatchBody(BaseModel):
    """The body of POST /v1/batches."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    input_file_id: str
    endpoint: Endpoint
    completion_window: str
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None

    @property
    def seconds(self) -> int:
        """How long it may take."""
        found = _WINDOW.fullmatch(self.completion_window)
        seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
        if not 0 < seconds <= LONGEST:
            refuse("completion_window", "must be a time such as 24h, 90m or 600s, of 30 days at most")
        return seconds


def fresh_batch(body: BatchBody) -> Record:
    """A batch that nobody has looked at yet."""
    now = int(time.time())
    kept = body.output_expires_after
    return {
        "id": fresh("batch"),
        "object": "batch",
        "endpoint": body.endpoint,
        "model": None,
        "errors": None,
        "input_file_id": body.input_file_id,
        "completion_window": body.completion_window,
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "in_progress_at": None,
        "expires_at": now + body.seconds,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": body.metadata,
        "output_expires_after": None if kept is None else {"anchor": kept.anchor, "seconds": kept.seconds},
    }


def move(batch: Record, status: str) -> None:
    """Give it another state, and the time of that."""
    batch["status"] = status
    batch[f"{status}_at"] = int(time.time())


def fail(batch: Record, errors: list[LineError]) -> None:
    """Its file cannot be used."""
    move(batch, "failed")
    batch["errors"] = {"object": "list", "data": errors}


def kept_seconds(batch: Record) -> int | None:
    """How long its output files are kept."""
    policy: dict[str, Any] | None = batch["output_expires_after"]
    return None if policy is None else int(policy["seconds"])
