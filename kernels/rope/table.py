"""The angles of all positions so far, so that a step looks them up. Knows no model: the frequencies are given."""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.rope.reference import rope_angles


class AngleTable:
    """Cosines and sines by position, float32 on the CPU; grows by doubling when a longer context comes."""

    def __init__(self, inverse_frequencies: Tensor, scale: float | Tensor) -> None:
        self._frequencies, self._scale = inverse_frequencies, scale
        self._table = torch.empty((0, 2 * len(inverse_frequencies)))

    def up_to(self, positions: int) -> Tensor:
        """``[positions or more, D]``: half of each row cosines, half sines."""
        if len(self._table) < positions:
            every = torch.arange(max(positions, 2 * len(self._table), 1024))
            self._table = torch.cat(rope_angles(every, self._frequencies, self._scale, torch.float32), dim=1)
        return self._table
