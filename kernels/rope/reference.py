"""Rotary position embedding in plain torch, on the two halves of each head (the "NeoX" layout).

Knows how to turn rows by given angles; how a model derives its frequencies is models/rotary.py.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_angles(
    positions: Tensor, inverse_frequencies: Tensor, scale: float | Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles.

    Args:
        positions: int64 ``[T]``.
        inverse_frequencies: float32 ``[D / 2]``, radians per position.
        scale: factor on both results, one or ``[D / 2]`` (YaRN's and LongRoPE's attention factor; 1 otherwise).
        dtype: type of the results; the angles themselves are float32.

    Returns:
        ``(cos, sin)``, each ``[T, D / 2]``.
    """
    angles = positions.to(torch.float32).unsqueeze(-1) * inverse_frequencies
    return (angles.cos() * scale).to(dtype), (angles.sin() * scale).to(dtype)


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each head's pairs ``(x[i], x[i + D / 2])`` by the row's angles.

    Args:
        x: ``[T, H, D]``.
        cos, sin: ``[T, D / 2]``, the type of ``x``.

    Returns:
        ``[T, H, D]``, a fresh tensor.
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
