"""Root-mean-square normalisation on a GPU, with or without the residual addition before it: one program per row.

Bytes moved: ``rms_norm`` reads and writes a row once (4N bytes in bfloat16), ``add_rms_norm`` reads two and writes two (8N); the
weight stays in the L2 cache. The floor is that over the copy bandwidth. Wanted: 85 % of it. Not run on a GPU yet.

A row's result depends on nothing but the row: the block is chosen by N alone.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.gpu import power_of_two


@triton.jit
def _rms_norm(
    out_ptr,
    total_ptr,
    x_ptr,
    delta_ptr,
    weight_ptr,
    x_row,
    delta_row,
    width,
    eps,
    ADDS: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < width
    x = tl.load(x_ptr + row * x_row + at, mask=inside, other=0.0)
    if ADDS:
        delta = tl.load(delta_ptr + row * delta_row + at, mask=inside, other=0.0)
        x = (x.to(tl.float32) + delta.to(tl.float32)).to(x.dtype)
        tl.store(total_ptr + row * width + at, x, mask=inside)
    wide = x.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / width + eps)
    weight = tl.load(weight_ptr + at, mask=inside, other=0.0).to(tl.float32)
    scaled = wide * scale
    if not WIDE:
        scaled = scaled.to(out_ptr.dtype.element_ty).to(tl.float32)
    tl.store(out_ptr + row * width + at, (scaled * weight).to(out_ptr.dtype.element_ty), mask=inside)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As the reference, for any number of dimensions; the last one is dense."""
    rows = x.reshape(-1, x.shape[-1])
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    _launch(out, None, rows, None, weight, eps)
    return out.view(x.shape)


def add_rms_norm(x: Tensor, delta: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """As the reference; ``x`` and ``delta`` ``[rows, N]``, dense in N."""
    total, out = (torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(2))
    _launch(out, total, x, delta, weight, eps)
    return total, out


def _launch(out: Tensor, total: Tensor | None, x: Tensor, delta: Tensor | None, weight: Tensor, eps: float) -> None:
    rows, width = x.shape
    if not rows:
        return
    block = power_of_two(width)
    _rms_norm[(rows,)](
        out,
        out if total is None else total,
        x,
        x if delta is None else delta,
        weight,
        x.stride(0),
        0 if delta is None else delta.stride(0),
        width,
        eps,
        ADDS=delta is not None,
        WIDE=weight.dtype != x.dtype,
        BLOCK=block,
        num_warps=min(16, max(1, block // 512)),
    )
