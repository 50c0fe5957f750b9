from __future__ import annotations

import pytest
import torch

from dovetail.kernels.ops import rms_norm


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 5, 33), (0, 8)])
def test_agrees_with_torch(shape: tuple[int, ...]) -> None:
    x, weight = torch.randn(shape), torch.randn(shape[-1])
    expected = torch.nn.functional.rms_norm(x, (shape[-1],), weight, 1e-5)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), expected)


def test_half_precision_keeps_float32_statistics() -> None:
    x = torch.full((1, 64), 300.0, dtype=torch.float16)  # squares overflow float16
    out = rms_norm(x, torch.ones(64, dtype=torch.float16), 1e-6)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out, torch.ones(1, 64, dtype=torch.float16))
