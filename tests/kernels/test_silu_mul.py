from __future__ import annotations

import torch

from dovetail.kernels.ops import silu_mul


def test_gate_comes_first() -> None:
    gate, up = torch.randn(5, 7), torch.randn(5, 7)
    torch.testing.assert_close(silu_mul(torch.cat((gate, up), dim=-1)), gate * torch.sigmoid(gate) * up)
