"""Token counts as OpenAI reports them. Counts nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dovetail.serve.types import Request, Usage


class Answer(Protocol):
    """Whatever was made by one engine request."""

    usage: Usage


def usage_of(
    requests: Sequence[Request], outputs: Sequence[Answer], answers: int = 1, reasoning_tokens: int | None = None
) -> dict[str, Any]:
    """One ``usage`` for a whole request; each prompt, which counts once, has ``answers`` outputs in a row.

    Rejected prediction tokens are part of no other count: they cost time, not budget. ``reasoning_tokens`` None: the
    endpoint tells no reasoning from text.
    """
    prompt_tokens = sum(len(request.prompt) for request in requests[::answers])
    completion_tokens = sum(output.usage.completion_tokens for output in outputs)
    predicted = sum(output.usage.predicted for output in outputs)
    confirmed = sum(output.usage.predicted_accepted for output in outputs)
    cached = [output.usage.cached_tokens for output in outputs]
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": sum(min(cached[first : first + answers]) for first in range(0, len(cached), answers))
        },
        "completion_tokens_details": {
            **({"reasoning_tokens": reasoning_tokens} if reasoning_tokens is not None else {}),
            "accepted_prediction_tokens": confirmed,
            "rejected_prediction_tokens": predicted - confirmed,
        },
    }
