"""What an engine has counted since its start, over all its requests (see types.Stats for the meanings)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Totals:
    """Counters that only grow. ``finished``: ended requests by reason."""

    steps: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    rollbacks: int = 0
    sat_out: int = 0
    overruled: int = 0
    finished: Counter[str] = field(default_factory=Counter)
