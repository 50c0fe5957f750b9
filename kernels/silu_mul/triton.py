"""``silu_mul`` on a GPU: one program per row and piece of a row.

Bytes moved: two halves read, one written (6N bytes per row in bfloat16); the floor is that over the copy bandwidth. Wanted: 85 % of
it. Not run on a GPU yet.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.gpu import power_of_two

_PIECE = 2048


@triton.jit
def _silu_mul(out_ptr, x_ptr, x_row, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < width
    gate = tl.load(x_ptr + row * x_row + at, mask=inside, other=0.0)
    up = tl.load(x_ptr + row * x_row + width + at, mask=inside, other=0.0)
    wide = gate.to(tl.float32)
    active = (wide * tl.sigmoid(wide)).to(gate.dtype).to(tl.float32)
    tl.store(out_ptr + row * width + at, (active * up.to(tl.float32)).to(gate.dtype), mask=inside)


def silu_mul(gate_up: Tensor) -> Tensor:
    """As the reference; ``gate_up`` ``[rows, 2 * N]``, dense in its last dimension."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((rows, width), dtype=gate_up.dtype, device=gate_up.device)
    if rows:
        block = min(_PIECE, power_of_two(width))
        _silu_mul[(rows, triton.cdiv(width, block))](
            out, gate_up, gate_up.stride(0), width, BLOCK=block, num_warps=min(8, max(1, block // 256))
        )
    return out
