"""Rows through their chosen experts, in plain torch. Knows nothing of routers or layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.silu_mul.reference import silu_mul


def mix_experts(x: Tensor, chosen: Tensor, shares: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """The weighted sum of each row's experts.

    Args:
        x: ``[T, D]``.
        chosen: int64 ``[T, K]``: experts of each row, all different.
        shares: ``[T, K]``: their weights.
        gate_up: ``[E, 2 * I, D]``: of every expert, gate rows, then up rows.
        down: ``[E, D, I]``.

    Returns:
        ``[T, D]`` in the type of ``x``.
    """
    total = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for expert in range(gate_up.shape[0]):
        rows, ranks = (chosen == expert).nonzero(as_tuple=True)
        if len(rows):
            out = F.linear(silu_mul(F.linear(x[rows], gate_up[expert])), down[expert])
            total.index_add_(0, rows, out.float() * shares[rows, ranks, None].float())
    return total.to(x.dtype)
