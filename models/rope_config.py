"""A model's rotary parameters as its configuration gives them. Knows no formulas and no torch: see rotary.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RopeType = Literal["default", "linear", "llama3", "yarn"]


@dataclass(frozen=True)
class RopeConfig:
    """Rotary parameters; those that a type does not use are None.

    ``factor``: by how much the context was stretched beyond ``original_length`` tokens. ``attention_factor``: YaRN's
    factor on cosine and sine, if the configuration fixes it.
    """

    theta: float
    type: RopeType = "default"
    factor: float | None = None
    original_length: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
