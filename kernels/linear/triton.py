"""Rows times stored weights on a GPU: 8 and 4 bits, and floats with a fixed order of sums.

A program computes a tile of the result and walks along K, 128 weights at a time; nobody else adds to it. Bytes moved: the weights once
(1 + 2 / group bytes per weight in 8 bits, 0.5 + 4 / group in 4), read again for every 64 rows; the floor is that over the copy
bandwidth. Floats through torch's own product are faster where the order of sums may depend on the number of rows. Not run on a GPU yet.

A row's result depends on the row alone: one tile size for any number of rows, no split of K.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.linear.device import CHUNK, DeviceWeight

_ROWS = 64
_KINDS = {None: 0, "int8": 1, "int4": 2}


@triton.jit
def _run(
    x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, k, words, shift, rows, outputs, columns, x_row, words_row, groups,
    KIND: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """A run of activations and the weights that go with it: ``[M, K]`` and ``[N, K]``."""
    x = tl.load(x_ptr + m[:, None] * x_row + k[None, :], mask=(m < rows)[:, None] & (k < columns)[None, :], other=0.0)
    mask = (n < outputs)[:, None] & (k < columns)[None, :]
    stored = tl.load(words_ptr + n[:, None] * words_row + words[None, :], mask=mask, other=0)
    if KIND == 2:
        stored = (stored >> shift) & 15
    if KIND > 0:
        at = n[:, None] * groups + (k // GROUP)[None, :]
        wide = stored.to(tl.float32) * tl.load(scales_ptr + at, mask=mask, other=0.0).to(tl.float32)
        if KIND == 2:
            wide += tl.load(offsets_ptr + at, mask=mask, other=0.0).to(tl.float32)
        return x, wide.to(x.dtype)
    else:
        return x, stored


@triton.jit
def _linear(
    out_ptr, x_ptr, words_ptr, scales_ptr, offsets_ptr, bias_ptr, rows, outputs, columns, x_row, words_row, groups,
    KIND: tl.constexpr, GROUP: tl.constexpr, BIASED: tl.constexpr, EXACT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    m, n = m.to(tl.int64), n.to(tl.int64)
    sums = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    half: tl.constexpr = BLOCK_K // 2
    for first in range(0, columns, BLOCK_K):
        for part in tl.static_range(2):
            k = first + part * half + tl.arange(0, half)
            words = k
            if KIND == 2:
                words = first // 2 + tl.arange(0, half)
            x, weight = _run(
                x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, k, words, 4 * part, rows, outputs, columns, x_row,
                words_row, groups, KIND, GROUP,
            )  # fmt: skip
            if EXACT:
                sums = tl.dot(x, tl.trans(weight), sums, input_precision="ieee")
            else:
                sums = tl.dot(x, tl.trans(weight), sums)
    if BIASED:
        sums += tl.load(bias_ptr + n, mask=n < outputs, other=0.0).to(tl.float32)[None, :]
    mask = (m < rows)[:, None] & (n < outputs)[None, :]
    tl.store(out_ptr + m[:, None] * outputs + n[None, :], sums.to(out_ptr.dtype.element_ty), mask=mask)


def linear(x: Tensor, weight: DeviceWeight, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``: ``[M, columns]``, dense in K, to ``[M, rows]``, both in the type that is computed in."""
    rows, (outputs, columns) = x.shape[0], weight.shape
    out = torch.empty((rows, outputs), dtype=x.dtype, device=x.device)
    if not rows:
        return out
    scales = weight.words if weight.scales is None else weight.scales
    block_n = 64 if outputs >= 8192 else 32
    _linear[(triton.cdiv(outputs, block_n), triton.cdiv(rows, _ROWS))](
        out,
        x,
        weight.words,
        scales,
        scales if weight.offsets is None else weight.offsets,
        x if bias is None else bias,
        rows,
        outputs,
        columns,
        x.stride(0),
        weight.words.stride(0),
        scales.shape[1],
        KIND=_KINDS[weight.storage],
        GROUP=weight.group,
        BIASED=bias is not None,
        EXACT=x.dtype == torch.float32,
        BLOCK_M=_ROWS,
        BLOCK_N=block_n,
        BLOCK_K=CHUNK,
        num_warps=4,
        num_stages=3,
    )
    return out
