"""SiLU of one half times the other half, in plain torch. Knows nothing of layers or models."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def silu_mul(gate_up: Tensor) -> Tensor:
    """``silu(gate) * up`` for a fused projection.

    Args:
        gate_up: ``[T, 2 * N]``: the gate in the first half of each row, up in the second.

    Returns:
        ``[T, N]`` in the type of ``gate_up``.
    """
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up
