"""Experts on a GPU: rows sorted by expert without asking the host, then one grouped product per matrix.

A program computes a tile of one expert's rows. Every expert's rows are padded to whole tiles, and the number of tiles is bounded by
the number of rows and experts alone, so the launch can be captured in a graph. Bytes moved while decoding: the weights of the experts
that were chosen, once; README.md has the floor. Not run on a GPU yet.

A row's result depends on the row alone: the tile size is one, K is not split, and a row's experts are summed in the order they were
chosen in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.linear.device import CHUNK
from dovetail.kernels.linear.triton import KINDS, sum_chunks
from dovetail.kernels.moe.reference import Experts
from dovetail.kernels.moe.stored import StoredExperts

_FEW, _MANY = 16, 64


@dataclass(frozen=True)
class Sorted:
    """Choices by expert. ``places``: int64 ``[tiles * rows]``, numbers of choices (row * chosen per row + rank), -1: padding;
    ``experts``: int64 ``[tiles]``, each tile's expert, -1: no rows are left for it."""

    places: Tensor
    experts: Tensor
    rows: int


def sort_by_expert(chosen: Tensor, experts: int, rows: int) -> Sorted:
    """Tiles of ``rows`` choices that go to the same expert. ``chosen``: ``[T, K]``, the experts of every row."""
    flat = chosen.reshape(-1).long()
    device = flat.device
    counts = torch.zeros(experts, dtype=torch.int64, device=device).scatter_add_(0, flat, torch.ones_like(flat))
    ends = ((counts + rows - 1) // rows).cumsum(0)  # in tiles
    order = flat.sort(stable=True)
    first_tile = ends - (counts + rows - 1) // rows
    rank = torch.arange(len(flat), device=device) - (counts.cumsum(0) - counts)[order.values]
    tiles = len(flat) // rows + min(experts, len(flat))
    places = torch.full((tiles * rows,), -1, dtype=torch.int64, device=device)
    places.scatter_(0, first_tile[order.values] * rows + rank, order.indices)
    owner = torch.searchsorted(ends, torch.arange(tiles, device=device), right=True)
    return Sorted(places, torch.where(owner < experts, owner, -1), rows)


@triton.jit
def _grouped(
    out_ptr, x_ptr, words_ptr, scales_ptr, offsets_ptr, bias_ptr, places_ptr, experts_ptr, rows, outputs, all_outputs, columns, x_row,
    words_row, groups, bias_stride,
    PER_ROW: tl.constexpr, KIND: tl.constexpr, GROUP: tl.constexpr, BIASED: tl.constexpr, EXACT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(1)
    expert = tl.load(experts_ptr + tile)
    if expert >= 0:
        place = tl.load(places_ptr + tile * BLOCK_M + tl.arange(0, BLOCK_M))
        real = place >= 0
        row = tl.where(real, place // PER_ROW, rows)
        n = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
        inside = n < outputs
        sums = sum_chunks(
            x_ptr, words_ptr, scales_ptr, offsets_ptr, row, tl.where(inside, expert * outputs + n, all_outputs), 0, columns,
            rows, all_outputs, columns, x_row, words_row, groups, KIND, GROUP, EXACT, BLOCK_M, BLOCK_N, BLOCK_K,
        )  # fmt: skip
        if KIND == 3:
            scale = tl.load(scales_ptr + expert * outputs + n, mask=inside, other=0.0)
            sums = sums * scale.to(tl.float32)[None, :]
        if BIASED:
            bias = tl.load(bias_ptr + expert * bias_stride + n, mask=inside, other=0.0)
            sums += bias.to(tl.float32)[None, :]
        mask = real[:, None] & inside[None, :]
        tl.store(out_ptr + place[:, None] * outputs + n[None, :], sums.to(out_ptr.dtype.element_ty), mask=mask)


def grouped_linear(x: Tensor, weight: Tensor | StoredExperts, bias: Tensor | None, by: Sorted, choices: int) -> Tensor:
    """Every choice's row times its expert's matrix.

    Args:
        x: ``[T, K]``, or ``[choices, K]`` where every choice has a row of its own.
        weight: ``[E, N, K]``, dense, or in few bits.
        bias: ``[E, N]``.
        by: the choices, sorted.
        choices: how many there are.

    Returns:
        ``[choices, N]``, in the order of the choices before they were sorted.
    """
    count, outputs, columns = weight.shape
    out = torch.empty((choices, outputs), dtype=x.dtype, device=x.device)
    if isinstance(weight, StoredExperts):
        held = weight.weight
        words, scales, group, kind = held.words, held.scales, held.group, KINDS[held.storage]
        offsets = held.offsets
    else:
        words, scales, offsets, group, kind = weight.view(-1, columns), None, None, CHUNK, KINDS[None]
    block_n = 64
    _grouped[(triton.cdiv(outputs, block_n), len(by.experts))](
        out, x, words, x if scales is None else scales, x if offsets is None else offsets, x if bias is None else bias,
        by.places, by.experts, x.shape[0], outputs, count * outputs, columns, x.stride(0),
        words.stride(0), 0 if scales is None else scales.shape[1], 0 if bias is None else bias.stride(0),
        PER_ROW=choices // x.shape[0], KIND=kind, GROUP=group, BIASED=bias is not None, EXACT=x.dtype == torch.float32,
        BLOCK_M=by.rows, BLOCK_N=block_n, BLOCK_K=CHUNK, num_warps=4, num_stages=3,
    )  # fmt: skip
    return out


def mix_experts(x: Tensor, chosen: Tensor, shares: Tensor, experts: Experts, *, invariant: bool = False) -> Tensor:
    """As the reference."""
    rows, per_row = chosen.shape
    if not rows:
        return torch.empty_like(x)
    count = len(experts.down)
    many = invariant or rows * per_row > _FEW * count
    by = sort_by_expert(chosen, count, _MANY if many else _FEW)
    inner = experts.activate(grouped_linear(x, experts.gate_up, experts.gate_up_bias, by, rows * per_row))
    outer = grouped_linear(inner, experts.down, experts.down_bias, by, rows * per_row).view(rows, per_row, -1)
    total = outer[:, 0].float() * shares[:, 0, None].float()
    for rank in range(1, per_row):
        total = torch.addcmul(total, outer[:, rank].float(), shares[:, rank, None].float())
    return total.to(x.dtype)
