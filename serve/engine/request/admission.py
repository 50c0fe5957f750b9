"""Whether a request can be served at all, by its engine's sizes, and how a refusal is told. Knows no other request."""

from __future__ import annotations

from dovetail.serve.errors import DovetailError, UserError
from dovetail.serve.types import ErrorEvent, Request


def check_request(request: Request, longest: int, vocab_size: int) -> None:
    """Raises UserError if not. ``longest``: tokens of prompt and output together."""
    pooled = request.pooling is not None
    made = 0 if pooled else request.sampling.max_tokens
    total = len(request.prompt) + made
    if not request.prompt:
        raise UserError("the prompt is empty; send at least one token", param="prompt")
    if made < 1 and not pooled:
        raise UserError("max_tokens must be at least 1", param="max_tokens")
    if total > longest:
        raise UserError(
            f"the prompt has {len(request.prompt)} tokens and max_tokens is {request.sampling.max_tokens}, together "
            f"more than the {longest} that fit; shorten the prompt or lower max_tokens",
            code="context_length_exceeded",
            param="prompt",
        )
    if not all(0 <= token < vocab_size for token in request.prompt):
        raise UserError("the prompt holds a token id outside the vocabulary", param="prompt")


def error_event(request_id: str, error: DovetailError) -> ErrorEvent:
    """The last event of a request that ``error`` ends."""
    return ErrorEvent(
        request_id=request_id, status=error.status, code=error.code, message=error.message, param=error.param
    )
