"""Rows through their chosen experts, in plain torch. Knows nothing of routers or layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.moe.stored import StoredExperts


@dataclass(frozen=True)
class Experts:
    """All experts of a layer. ``gate_up``: ``[E, 2 * I, D]``, of every expert gate rows, then up rows; ``down``: ``[E, D, I]``;
    biases ``[E, 2 * I]`` and ``[E, D]``. ``activate``: ``[M, 2 * I]`` to ``[M, I]``."""

    gate_up: Tensor | StoredExperts
    down: Tensor | StoredExperts
    gate_up_bias: Tensor | None
    down_bias: Tensor | None
    activate: Callable[[Tensor], Tensor]


def mix_experts(x: Tensor, chosen: Tensor, shares: Tensor, experts: Experts) -> Tensor:
    """The weighted sum of each row's experts.

    Args:
        x: ``[T, D]``.
        chosen: int64 ``[T, K]``: experts of each row, all different.
        shares: ``[T, K]``: their weights.
        experts: of this layer.

    Returns:
        ``[T, D]`` in the type of ``x``.
    """
    total = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for expert in range(len(experts.down)):
        rows, ranks = (chosen == expert).nonzero(as_tuple=True)
        if len(rows):
            biases = [None if each is None else each[expert] for each in (experts.gate_up_bias, experts.down_bias)]
            inner = experts.activate(F.linear(x[rows], experts.gate_up[expert], biases[0]))
            out = F.linear(inner, experts.down[expert], biases[1])
            total.index_add_(0, rows, out.float() * shares[rows, ranks, None].float())
    return total.to(x.dtype)
