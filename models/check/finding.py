"""What a part of the check found. Knows no part."""

from __future__ import annotations

from dataclasses import dataclass


class CannotCheck(Exception):
    """The check cannot be made here; the message says why and what to do."""


@dataclass(frozen=True)
class Finding:
    """``agrees`` None: this part says nothing, for it could not be looked at."""

    part: str
    agrees: bool | None
    said: str
