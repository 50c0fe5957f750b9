"""What the kernels compute, in plain torch: dequantise all of it, multiply. Knows nothing of models."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.linear.packed import Packed, unpack

FP8_MAX = 448.0
"""The largest float8_e4m3fn."""


def linear(x: Tensor, packed: Packed, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``.

    Args:
        x: float32 ``[M, columns]``.
        packed: ``[rows, columns]``.
        bias: float32 ``[rows]``.

    Returns:
        float32 ``[M, rows]``.
    """
    return F.linear(x, unpack(packed), bias)


def round_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """float8_e4m3fn ``[M, K]`` and float32 ``[M, 1]``: a row is its scale times the first, of which the largest is 448."""
    top = x.abs().amax(1, keepdim=True).to(torch.float32)
    scales = torch.where(top == 0, 1.0, top / FP8_MAX)
    return (x.to(torch.float32) / scales).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn), scales


def scaled_linear(x: Tensor, words: Tensor, scales: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` with both sides in 8-bit floats, in the type of ``x``.

    Args:
        x: ``[M, K]``; rounded by rows.
        words: float8_e4m3fn ``[N, K]``.
        scales: ``[N, 1]``: a row of weights is its scale times its words.
        bias: ``[N]``.
    """
    rounded, own = round_rows(x)
    out = F.linear(rounded.to(torch.float32) * own, words.to(torch.float32) * scales.to(torch.float32))
    return out.to(x.dtype) if bias is None else out.to(x.dtype) + bias
