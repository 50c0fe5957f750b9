"""Answers about files and batches."""

from __future__ import annotations

from typing import Literal

from dovetail.serve.api.schemas.responses import OutputTokensDetails
from dovetail.serve.api.schemas.shared import CachedTokens, PageOf, Wire


class File(Wire):
    """A file of requests or of answers."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None


class BatchError(Wire):
    """A line that cannot be used; ``line`` counts from 1."""

    code: str
    message: str
    line: int | None
    param: str | None


class BatchErrors(Wire):
    """Why a batch failed."""

    object: Literal["list"]
    data: list[BatchError]


class RequestCounts(Wire):
    """How many requests there are, and how many are done."""

    total: int
    completed: int
    failed: int


class BatchUsage(Wire):
    """Tokens of all answers together."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class Batch(Wire):
    """A file of requests being run, and when each state began."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    usage: BatchUsage | None = None


class FilePage(PageOf[File]):
    """One page of files, the newest first unless ``order`` says otherwise."""


class BatchPage(PageOf[Batch]):
    """One page of batches, the newest first unless ``order`` says otherwise."""
