from __future__ import annotations

import cmath

import pytest
import torch

from dovetail.kernels.ops import apply_rope, rope_angles


@pytest.mark.parametrize("scale", [1.0, 1.25])
def test_turns_each_pair_like_a_complex_number(scale: float) -> None:
    positions, frequencies = torch.tensor([0, 1, 5, 4097]), torch.tensor([1.0, 0.1, 0.003])
    x = torch.randn(4, 2, 6)
    cos, sin = rope_angles(positions, frequencies, scale, torch.float32)
    out = apply_rope(x, cos, sin)
    for row in range(4):
        for head in range(2):
            for pair in range(3):
                angle = float(positions[row].float() * frequencies[pair])
                turned = complex(x[row, head, pair], x[row, head, pair + 3]) * cmath.exp(1j * angle) * scale
                assert abs(turned - complex(out[row, head, pair], out[row, head, pair + 3])) < 1e-5
