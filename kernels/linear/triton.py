"""Rows times stored weights on a GPU: 8 and 4 bits, and floats with a fixed order of sums.

A program computes a tile of the result and walks along a part of K, 128 weights at a time. Few rows have few tiles: then K is split,
every part has programs of its own, and a second kernel adds the parts in order. How K is split depends on the matrix and the
device alone, and a program that walks along all of it adds the parts in the same order: no atomics, the same bits.

Bytes moved, floors and shares: README.md. Not run on a GPU yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.gpu import power_of_two, processors
from dovetail.kernels.linear.device import CHUNK, DeviceWeight
from dovetail.kernels.linear.reference import FP8_MAX

FEW, ROWS = 16, 64
"""Rows of a tile: of few, and of any number. An invariant product has tiles of one size."""
MANY = 256
"""Rows from which on it pays to write the weights out as floats, or to round the activations to 8 bits, for torch's product."""
KINDS = {None: 0, "int8": 1, "int4": 2, "fp8": 3}


@dataclass(frozen=True)
class Launch:
    """Outputs of a tile, warps, and how many tiles are on their way."""

    outputs: int
    warps: int
    stages: int


LAUNCHES = {"few": Launch(64, 4, 3), "many": Launch(64, 4, 3)}
"""For tiles of few rows, and for others. benchmarks/gpu/tune.py tries others."""
_MOST_PARTS, _LEAST_CHUNKS = 16, 4
_FP8_MAX = tl.constexpr(FP8_MAX)


@triton.jit
def load_run(
    x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, k, words, shift, rows, outputs, columns, x_row, words_row, groups,
    KIND: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """A run of activations and the weights that go with it: ``[M, K]`` and ``[N, K]``; the scale of 8-bit floats is left out."""
    x = tl.load(x_ptr + m[:, None] * x_row + k[None, :], mask=(m < rows)[:, None] & (k < columns)[None, :], other=0.0)
    mask = (n < outputs)[:, None] & (k < columns)[None, :]
    stored = tl.load(words_ptr + n[:, None] * words_row + words[None, :], mask=mask, other=0.0)
    if KIND == 2:
        stored = (stored >> shift) & 15
    if KIND == 1 or KIND == 2:
        at = n[:, None] * groups + (k // GROUP)[None, :]
        wide = stored.to(tl.float32) * tl.load(scales_ptr + at, mask=mask, other=0.0).to(tl.float32)
        if KIND == 2:
            wide += tl.load(offsets_ptr + at, mask=mask, other=0.0).to(tl.float32)
        return x, wide.to(x.dtype)
    else:
        return x, stored.to(x.dtype)


@triton.jit
def sum_chunks(
    x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, first, end, rows, outputs, columns, x_row, words_row, groups,
    KIND: tl.constexpr, GROUP: tl.constexpr, EXACT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):  # fmt: skip
    """``[M, N]`` over the weights ``first`` to ``end`` in K, whole chunks."""
    sums = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    half: tl.constexpr = BLOCK_K // 2
    for start in range(first, end, BLOCK_K):
        for side in tl.static_range(2):
            k = start + side * half + tl.arange(0, half)
            words = k
            if KIND == 2:
                words = start // 2 + tl.arange(0, half)
            x, weight = load_run(
                x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, k, words, 4 * side, rows, outputs, columns, x_row,
                words_row, groups, KIND, GROUP,
            )  # fmt: skip
            if EXACT:
                sums = tl.dot(x, tl.trans(weight), sums, input_precision="ieee")
            else:
                sums = tl.dot(x, tl.trans(weight), sums)
    return sums


@triton.jit
def finish_sums(sums, scales_ptr, bias_ptr, n, outputs, KIND: tl.constexpr, BIASED: tl.constexpr):
    """With the scale of 8-bit floats, one for each output, and the bias."""
    if KIND == 3:
        sums = sums * tl.load(scales_ptr + n, mask=n < outputs, other=0.0).to(tl.float32)[None, :]
    if BIASED:
        sums = sums + tl.load(bias_ptr + n, mask=n < outputs, other=0.0).to(tl.float32)[None, :]
    return sums


@triton.jit
def _linear(
    out_ptr, x_ptr, words_ptr, scales_ptr, offsets_ptr, bias_ptr, rows, outputs, columns, x_row, words_row, groups,
    length, parts,
    KIND: tl.constexpr, GROUP: tl.constexpr, BIASED: tl.constexpr, EXACT: tl.constexpr, PARTIAL: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    m, n = m.to(tl.int64), n.to(tl.int64)
    mask = (m < rows)[:, None] & (n < outputs)[None, :]
    if PARTIAL:
        part = tl.program_id(2)
        sums = sum_chunks(
            x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, part * length, tl.minimum(part * length + length, columns),
            rows, outputs, columns, x_row, words_row, groups, KIND, GROUP, EXACT, BLOCK_M, BLOCK_N, BLOCK_K,
        )  # fmt: skip
        tl.store(out_ptr + (part * rows + m[:, None]) * outputs + n[None, :], sums, mask=mask)
    else:
        total = sum_chunks(
            x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, 0, tl.minimum(length, columns),
            rows, outputs, columns, x_row, words_row, groups, KIND, GROUP, EXACT, BLOCK_M, BLOCK_N, BLOCK_K,
        )  # fmt: skip
        for part in range(1, parts):
            total += sum_chunks(
                x_ptr, words_ptr, scales_ptr, offsets_ptr, m, n, part * length, tl.minimum(part * length + length, columns),
                rows, outputs, columns, x_row, words_row, groups, KIND, GROUP, EXACT, BLOCK_M, BLOCK_N, BLOCK_K,
            )  # fmt: skip
        total = finish_sums(total, scales_ptr, bias_ptr, n, outputs, KIND, BIASED)
        tl.store(out_ptr + m[:, None] * outputs + n[None, :], total.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _add_parts(
    out_ptr, sums_ptr, scales_ptr, bias_ptr, rows, outputs, parts,
    KIND: tl.constexpr, BIASED: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One row's parts, in order."""
    row = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.load(sums_ptr + row * outputs + n, mask=n < outputs, other=0.0)[None, :]
    for part in range(1, parts):
        total += tl.load(sums_ptr + (part * rows + row) * outputs + n, mask=n < outputs, other=0.0)[None, :]
    total = finish_sums(total, scales_ptr, bias_ptr, n, outputs, KIND, BIASED)
    place = out_ptr + row * outputs + n[None, :]
    tl.store(place, total.to(out_ptr.dtype.element_ty), mask=(n < outputs)[None, :])


@triton.jit
def _unpack(
    out_ptr, words_ptr, scales_ptr, offsets_ptr, columns, words_row, groups,
    KIND: tl.constexpr, GROUP: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One row of the weights, as floats."""
    n = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    inside = k < columns
    if KIND == 2:
        chunk: tl.constexpr = 128
        word = k // chunk * (chunk // 2) + k % (chunk // 2)
        stored = tl.load(words_ptr + n * words_row + word, mask=inside, other=0)
        stored = (stored >> (k % chunk // (chunk // 2) * 4).to(tl.uint8)) & 15
    else:
        stored = tl.load(words_ptr + n * words_row + k, mask=inside, other=0.0)
    at = n * groups + k // GROUP
    wide = stored.to(tl.float32) * tl.load(scales_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if KIND == 2:
        wide += tl.load(offsets_ptr + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + n * columns + k, wide.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _round_rows(out_ptr, scales_ptr, x_ptr, x_row, columns, BLOCK: tl.constexpr):
    """A row in 8-bit floats, and its scale."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_row + k, mask=k < columns, other=0.0).to(tl.float32)
    top = tl.max(tl.abs(x), axis=0)
    scale = tl.where(top == 0.0, 1.0, top / _FP8_MAX)
    tl.store(scales_ptr + row, scale)
    tl.store(
        out_ptr + row * columns + k,
        tl.clamp(x / scale, -_FP8_MAX, _FP8_MAX).to(out_ptr.dtype.element_ty),
        mask=k < columns,
    )


def linear(x: Tensor, weight: DeviceWeight, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``: ``[M, columns]``, dense in K, to ``[M, rows]``, both in the type that is computed in."""
    if x.shape[0] > MANY and not weight.invariant and weight.storage is not None:
        if weight.storage == "fp8" and x.dtype == torch.bfloat16 and not any(side % 16 for side in weight.shape):
            return scaled_linear(x, weight, bias)
        return F.linear(x, unpack(weight), bias)
    rows, (outputs, columns) = x.shape[0], weight.shape
    out = torch.empty((rows, outputs), dtype=x.dtype, device=x.device)
    if not rows:
        return out
    block_m = FEW if rows <= FEW and not weight.invariant else ROWS
    launch = LAUNCHES["few" if block_m == FEW else "many"]
    block_n = min(32, launch.outputs) if outputs <= 4096 else launch.outputs
    length, parts = split(outputs, columns, block_n, x.device)
    partial = parts > 1 and rows <= ROWS
    sums = torch.empty((parts, rows, outputs), dtype=torch.float32, device=x.device) if partial else out
    scales = x if weight.scales is None else weight.scales
    biases, kind = x if bias is None else bias, KINDS[weight.storage]
    _linear[(triton.cdiv(outputs, block_n), triton.cdiv(rows, block_m), parts if partial else 1)](
        sums, x, weight.words, scales, scales if weight.offsets is None else weight.offsets, biases,
        rows, outputs, columns, x.stride(0), weight.words.stride(0), scales.shape[1], length, parts,
        KIND=kind, GROUP=weight.group, BIASED=bias is not None, EXACT=x.dtype == torch.float32, PARTIAL=partial,
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=CHUNK, num_warps=launch.warps, num_stages=launch.stages,
    )  # fmt: skip
    if partial:
        block = min(1024, power_of_two(outputs))
        _add_parts[(triton.cdiv(outputs, block), rows)](
            out,
            sums,
            scales,
            biases,
            rows,
            outputs,
            parts,
            KIND=kind,
            BIASED=bias is not None,
            BLOCK_N=block,
            num_warps=4,
        )
    return out


def split(outputs: int, columns: int, block_n: int, device: torch.device | str) -> tuple[int, int]:
    """Weights in K of each part, and how many parts: as many as keep the device busy with one tile of rows."""
    chunks = -(-columns // CHUNK)
    wanted = 2 * processors(device) // -(-outputs // block_n)
    each = -(-chunks // max(1, min(wanted, chunks // _LEAST_CHUNKS, _MOST_PARTS)))
    return each * CHUNK, -(-chunks // each)


def unpack(weight: DeviceWeight) -> Tensor:
    """``[rows, columns]`` in the type that is computed in, as the reference; of weights in few bits."""
    rows, columns = weight.shape
    out = torch.empty((rows, columns), dtype=weight.compute, device=weight.words.device)
    assert weight.scales is not None
    _unpack[(rows, triton.cdiv(columns, 1024))](
        out, weight.words, weight.scales, weight.scales if weight.offsets is None else weight.offsets,
        columns, weight.words.stride(0), weight.scales.shape[1],
        KIND=KINDS[weight.storage], GROUP=weight.group, BLOCK_K=1024, num_warps=4,
    )  # fmt: skip
    return out


def round_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """As the reference."""
    rows, columns = x.shape
    out = torch.empty((rows, columns), dtype=torch.float8_e4m3fn, device=x.device)
    scales = torch.empty((rows, 1), dtype=torch.float32, device=x.device)
    if rows:
        block = power_of_two(columns)
        _round_rows[(rows,)](out, scales, x, x.stride(0), columns, BLOCK=block, num_warps=min(16, max(1, block // 512)))
    return out, scales


def scaled_linear(x: Tensor, weight: DeviceWeight, bias: Tensor | None = None) -> Tensor:
    """Both sides in 8-bit floats, a scale for each row of either: what torch has a product for."""
    assert weight.scales is not None
    rounded, scales = round_rows(x)
    out = torch._scaled_mm(rounded, weight.words.T, scales, weight.scales.T.float(), out_dtype=x.dtype)
    return out if bias is None else out + bias
