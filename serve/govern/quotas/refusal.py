"""How a caller is told that a quota is used up."""

from __future__ import annotations

from dovetail.serve.errors import UserError


class QuotaExceeded(UserError):
    """A 429. ``retry_after``: seconds after which the same request fits, if the caller asks nothing else."""

    default_status = 429
    default_code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
