"""What a destructive command would do, in words for the person who is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """``kind`` names the rule, ``effect`` says what would happen, ``command`` is the part of the line that does it."""

    kind: str
    effect: str
    command: str
