"""The errors that reach a client, in one small tree.

    DovetailError
    |- UserError      400 404 409 413 422 429: the request is at fault; names the field
    |  `- ContextOverflow  400: the prompt is too long; keeps both counts
    `- EngineError    500 503: the server is at fault; says whether a retry can help

Anything else that escapes is a bug and is answered as a 500 without its text.
"""

from __future__ import annotations


class DovetailError(Exception):
    """Base of every error that is shown to a client.

    Args:
        message: one or two sentences: what is wrong and what to do.
        status: the HTTP status it maps to.
        code: a stable machine-readable word, e.g. ``context_length_exceeded``.
        param: the request field at fault, as a path (``messages[2].content``), if any.
    """

    default_status = 500
    default_code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status if status is not None else self.default_status
        self.code = code if code is not None else self.default_code
        self.param = param


class UserError(DovetailError):
    """The request cannot be served as it is; resending it unchanged will not help."""

    default_status = 400
    default_code = "invalid_request"


class ContextOverflow(UserError):
    """The prompt leaves no room for an answer. Both numbers are kept, since every protocol words this in its own way."""

    default_code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, limit: int, param: str) -> None:
        super().__init__(
            f"This model's maximum context length is {limit} tokens, but the prompt has {prompt_tokens} tokens "
            "and at least one must be left for the answer. Please shorten it.",
            param=param,
        )
        self.prompt_tokens = prompt_tokens
        self.limit = limit


class EngineError(DovetailError):
    """The server failed; the same request may well succeed later."""

    default_status = 503
    default_code = "engine_unavailable"


class ModelError(DovetailError):
    """A model directory cannot be served (raised before anything listens)."""

    default_status = 500
    default_code = "model_error"
