"""How a caller is told that a credential opens nothing, or not this."""

from __future__ import annotations

from dovetail.serve.errors import UserError


def unauthenticated(message: str, code: str = "invalid_api_key") -> UserError:
    """A 401."""
    return UserError(message, status=401, code=code)


def forbidden(message: str, code: str = "not_allowed", param: str | None = None) -> UserError:
    """A 403."""
    return UserError(message, status=403, code=code, param=param)
