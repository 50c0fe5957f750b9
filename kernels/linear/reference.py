"""What the kernel computes, in plain torch: dequantise all of it, multiply. Knows nothing of models."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.linear.packed import Packed, unpack


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
