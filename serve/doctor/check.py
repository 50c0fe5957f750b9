"""One thing that was looked at, and what came of it. Knows nothing of what is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "note", "warn", "bad"]
"""``bad``: the server does not start, or must not. ``warn``: it serves, worse or less safely than it could."""


@dataclass(frozen=True)
class Check:
    """``fix``: what to do, where something can be done."""

    name: str
    state: State
    said: str
    fix: str = ""
