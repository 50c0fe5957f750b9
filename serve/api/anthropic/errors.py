"""Errors in the shape, and where clients react to it in the very words, of the Messages API."""

from __future__ import annotations

import re
from typing import Any

from dovetail.serve.api.http import sse
from dovetail.serve.errors import ContextOverflow, DovetailError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_INDEX = re.compile(r"\[(\d+)\]")


def body_of(error: DovetailError, request_id: str = "") -> dict[str, Any]:
    """The body that Anthropic's clients read; places as they write them: ``messages.1.content.0``."""
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    if isinstance(error, ContextOverflow):
        # Claude Code compacts the conversation when it reads this sentence.
        message = f"prompt is too long: {error.prompt_tokens} tokens > {error.limit - 1} maximum"
    else:
        message = _INDEX.sub(r".\1", error.message)
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def sse_error(error: DovetailError, request_id: str = "") -> bytes:
    """The same body as an event."""
    return sse.typed("error", body_of(error, request_id))
