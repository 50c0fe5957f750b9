"""Root-mean-square normalisation in plain torch. Knows nothing of layers or models."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Scale the last dimension of ``x`` to unit root mean square, then by ``weight``.

    Args:
        x: ``[..., N]``, any floating type; the statistics are computed in float32.
        weight: ``[N]``; one of a wider type than ``x`` is multiplied before the result is rounded.
        eps: added to the mean square.

    Returns:
        ``[..., N]`` in the type of ``x``.
    """
    wide = x.to(torch.float32)
    scaled = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return scaled.to(x.dtype) * weight if weight.dtype == x.dtype else (scaled * weight).to(x.dtype)


def add_rms_norm(x: Tensor, delta: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x + delta``, and that normalised: what stands between two blocks of a layer."""
    total = x + delta
    return total, rms_norm(total, weight, eps)
