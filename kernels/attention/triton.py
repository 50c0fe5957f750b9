"""Paged attention of a ragged batch on a GPU: prompt chunks, single rows and drafts by one kernel.

A program takes a tile of rows (some query rows of one sequence, all query heads of one key head) and walks over its keys by the
block table, 64 at a time, with a running softmax in float32. Where there are few rows, several programs share a tile's keys and a
second kernel joins their parts in order. Slots that a row may not see are never used, those that its sequence does not own never
read.

Bytes moved while decoding: keys and values once, ``4 * context * kv_heads * D`` in bfloat16, half of that in a cache of 8 bits; the floor
is that over the copy bandwidth (wanted: 80 %). Prompts: ``4 * T * context * H * D / 2`` operations against the matrix rate (wanted: 60 %
of torch's flash attention). Not run on a GPU yet.

With an invariant plan every row is reduced in the same order whatever stands beside it: tiles of one size, splits at multiples of
512 keys, joined by the same operations whether one program walks over all of them or several do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels import gpu
from dovetail.kernels.attention.device_plan import KEYS, SPLIT_KEYS, TILE, DevicePlan, Tiles
from dovetail.kernels.gpu import power_of_two


@dataclass(frozen=True)
class Launch:
    """Keys of a tile, warps, and how many tiles are on their way."""

    keys: int
    warps: int
    stages: int


LAUNCHES = {"few": Launch(KEYS, 4, 2), "many": Launch(KEYS, 8, 2), "tight": Launch(32, 8, 1)}
"""For tiles of few rows, whose keys may be split, for those of prompts, and where neither fits. benchmarks/gpu/tune.py tries others."""
_WIDE, _ROOM = 128, 160 * 1024
"""Heads wider than this need so much shared memory for more than the tightest tiles."""
_LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _bounds(context, queries, parts, WINDOW: tl.constexpr, SPLIT: tl.constexpr, BLOCK_N: tl.constexpr):
    """Where the splits of a sequence begin, and how many keys each has."""
    base = context * 0
    if WINDOW > 0:
        base = tl.maximum(context - queries - WINDOW + 1, 0) // BLOCK_N * BLOCK_N
    size = base * 0 + SPLIT
    if SPLIT == 0:
        size = tl.cdiv(tl.cdiv(context - base, parts), BLOCK_N) * BLOCK_N
    else:
        base = base * 0
    return base, size


@triton.jit
def _like(factor, sum):
    return tl.broadcast_to(tl.expand_dims(factor, -1), sum.shape)


@triton.jit
def _join(top, total, sum, new_top, new_total, new_sum):
    """Two parts of one row's softmax. Fused operations are written out: both callers must round alike."""
    joined = tl.maximum(top, new_top)
    at = tl.where(joined == float("-inf"), 0.0, joined)
    old, new = tl.exp2(top - at), tl.exp2(new_top - at)
    joined_total = tl.fma(total, old, new_total * new)
    return joined, joined_total, tl.fma(sum, _like(old, sum), new_sum * _like(new, sum))


@triton.jit
def _finish(top, total, sum, sinks_ptr, head, real, SINKS: tl.constexpr):
    """The weighted mean, a sink taking its share of the weight."""
    if SINKS:
        sink = tl.load(sinks_ptr + head, mask=real, other=0.0).to(tl.float32) * _LOG2E
        joined = tl.maximum(top, sink)
        old = tl.exp2(top - joined)
        total = total * old + tl.exp2(sink - joined)
        sum = sum * tl.expand_dims(old, -1)
    return sum / tl.expand_dims(tl.where(total == 0.0, 1.0, total), -1)


@triton.jit
def _piece(
    q, top, total, sum, lo, hi, position, k_ptr, v_ptr, table_ptr, kv_head, scale, cap,
    BLOCK_SIZE: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
    WINDOW: tl.constexpr, CAPPED: tl.constexpr, EXACT: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """A tile's running softmax after the keys ``lo`` to ``hi``. Not ``MASKED``: whole tiles of keys, which every row sees."""
    at = tl.arange(0, BLOCK_D)
    for start in range(lo, hi, BLOCK_N):
        key = start + tl.arange(0, BLOCK_N)
        inside = key < hi
        full = tl.broadcast_to((at < WIDTH)[None, :], [BLOCK_N, BLOCK_D])
        if MASKED:
            block = tl.load(table_ptr + key // BLOCK_SIZE, mask=inside, other=0).to(tl.int64)
            full = full & inside[:, None]
        else:
            block = tl.load(table_ptr + key // BLOCK_SIZE).to(tl.int64)
        slot = (block * BLOCK_SIZE + key % BLOCK_SIZE) * (KV_HEADS * WIDTH) + kv_head * WIDTH
        k = tl.load(k_ptr + slot[:, None] + at[None, :], mask=full, other=0.0).to(q.dtype)
        v = tl.load(v_ptr + slot[:, None] + at[None, :], mask=full, other=0.0).to(q.dtype)
        if EXACT:
            score = tl.dot(q, tl.trans(k), input_precision="ieee")
        else:
            score = tl.dot(q, tl.trans(k))
        if CAPPED:
            score = cap * (2.0 * tl.sigmoid(2.0 * (score * scale) / cap) - 1.0) * _LOG2E
        else:
            score = score * (scale * _LOG2E)
        if MASKED:
            seen = inside[None, :] & (key[None, :] <= position[:, None])
            if WINDOW > 0:
                seen = seen & (key[None, :] > position[:, None] - WINDOW)
            score = tl.where(seen, score, float("-inf"))
        new_top = tl.maximum(top, tl.max(score, axis=1))
        level = tl.where(new_top == float("-inf"), 0.0, new_top)
        weight = tl.exp2(score - level[:, None])
        keep = tl.exp2(top - level)
        total = total * keep + tl.sum(weight, axis=1)
        if EXACT:
            sum = sum * keep[:, None] + tl.dot(weight, v, input_precision="ieee")
        else:
            sum = sum * keep[:, None] + tl.dot(weight.to(v.dtype), v)
        top = new_top
    return top, total, sum


@triton.jit
def _walk(
    q, lo, middle, hi, position, k_ptr, v_ptr, table_ptr, kv_head, scale, cap,
    BLOCK_SIZE: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, WINDOW: tl.constexpr, CAPPED: tl.constexpr, EXACT: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    """Softmax of a tile over the keys ``lo`` to ``hi``, of which every row sees those before ``middle``.

    Invariant rows look at every key alike: the same key is before the middle in one batch and behind it in another.
    """
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    sum = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    rest = lo
    if SPLIT == 0 and WINDOW == 0:
        rest = tl.maximum(lo, tl.minimum(middle, hi) // BLOCK_N * BLOCK_N)
        top, total, sum = _piece(
            q, top, total, sum, lo, rest, position, k_ptr, v_ptr, table_ptr, kv_head, scale, cap,
            BLOCK_SIZE, KV_HEADS, WIDTH, BLOCK_D, BLOCK_N, WINDOW, CAPPED, EXACT, False,
        )  # fmt: skip
    return _piece(
        q, top, total, sum, rest, hi, position, k_ptr, v_ptr, table_ptr, kv_head, scale, cap,
        BLOCK_SIZE, KV_HEADS, WIDTH, BLOCK_D, BLOCK_N, WINDOW, CAPPED, EXACT, True,
    )  # fmt: skip


@triton.jit
def _attend(
    out_ptr, sums_ptr, tops_ptr, q_ptr, k_ptr, v_ptr, tables_ptr, tiles_ptr, starts_ptr, contexts_ptr, sinks_ptr,
    scale, cap, q_row, q_head, table_width, parts,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    QUERIES: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, WINDOW: tl.constexpr, SPLIT: tl.constexpr,
    PARTIAL: tl.constexpr, SINKS: tl.constexpr, CAPPED: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    tile, kv_head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    sequence = tl.load(tiles_ptr + 2 * tile)
    first_query = tl.load(tiles_ptr + 2 * tile + 1)
    start = tl.load(starts_ptr + sequence)
    queries = tl.load(starts_ptr + sequence + 1) - start
    context = tl.load(contexts_ptr + sequence)
    GROUP: tl.constexpr = HEADS // KV_HEADS
    rows = tl.arange(0, BLOCK_M)
    query = first_query + rows // GROUP
    head = kv_head * GROUP + rows % GROUP
    real = (rows < QUERIES * GROUP) & (query < queries)
    position = context - queries + query
    at = tl.arange(0, BLOCK_D)
    row = (start + query).to(tl.int64)
    mask = real[:, None] & (at < WIDTH)[None, :]
    q = tl.load(q_ptr + row[:, None] * q_row + head[:, None] * q_head + at[None, :], mask=mask, other=0.0)
    end = tl.minimum(context - queries + first_query + QUERIES, context)
    middle = context - queries + first_query + 1
    low = end * 0
    if WINDOW > 0:
        low = tl.maximum(context - queries + first_query - WINDOW + 1, 0) // BLOCK_N * BLOCK_N
    table = tables_ptr + sequence.to(tl.int64) * table_width
    if PARTIAL:
        base, size = _bounds(context, queries, parts, WINDOW, SPLIT, BLOCK_N)
        lo, hi = tl.maximum(base + part * size, low), tl.minimum(base + part * size + size, end)
        if lo < hi:
            top, total, sum = _walk(
                q, lo, middle, hi, position, k_ptr, v_ptr, table, kv_head, scale, cap,
                BLOCK_SIZE, KV_HEADS, WIDTH, BLOCK_D, BLOCK_M, BLOCK_N, WINDOW, CAPPED, EXACT, SPLIT,
            )  # fmt: skip
            place = (row * HEADS + head) * parts + part
            tl.store(tops_ptr + 2 * place, top, mask=real)
            tl.store(tops_ptr + 2 * place + 1, total, mask=real)
            tl.store(sums_ptr + place[:, None] * WIDTH + at[None, :], sum, mask=mask)
    else:
        first = low if SPLIT == 0 else low // SPLIT * SPLIT
        step = end if SPLIT == 0 else SPLIT
        top, total, sum = _walk(
            q, low, middle, tl.minimum(first + step, end), position, k_ptr, v_ptr, table, kv_head, scale, cap,
            BLOCK_SIZE, KV_HEADS, WIDTH, BLOCK_D, BLOCK_M, BLOCK_N, WINDOW, CAPPED, EXACT, SPLIT,
        )  # fmt: skip
        if SPLIT > 0:
            for lo in range(first + SPLIT, end, SPLIT):
                new_top, new_total, new_sum = _walk(
                    q, lo, middle, tl.minimum(lo + SPLIT, end), position, k_ptr, v_ptr, table, kv_head, scale, cap,
                    BLOCK_SIZE, KV_HEADS, WIDTH, BLOCK_D, BLOCK_M, BLOCK_N, WINDOW, CAPPED, EXACT, SPLIT,
                )  # fmt: skip
                top, total, sum = _join(top, total, sum, new_top, new_total, new_sum)
        out = _finish(top, total, sum, sinks_ptr, head, real, SINKS)
        place = (row * HEADS + head)[:, None] * WIDTH + at[None, :]
        tl.store(out_ptr + place, out.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _reduce(
    out_ptr, sums_ptr, tops_ptr, tiles_ptr, starts_ptr, contexts_ptr, sinks_ptr, parts,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
    WINDOW: tl.constexpr, SPLIT: tl.constexpr, SINKS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Joins the parts of one row and head: in order where rows are invariant, else all at once."""
    sequence = tl.load(tiles_ptr + 2 * tl.program_id(0))
    query = tl.load(tiles_ptr + 2 * tl.program_id(0) + 1) + tl.program_id(1)
    head = tl.program_id(2)
    start = tl.load(starts_ptr + sequence)
    queries = tl.load(starts_ptr + sequence + 1) - start
    context = tl.load(contexts_ptr + sequence)
    if query < queries:
        position = context - queries + query
        base, size = _bounds(context, queries, parts, WINDOW, SPLIT, BLOCK_N)
        low = position * 0
        if WINDOW > 0:
            low = tl.maximum(position - WINDOW + 1, 0)
        at = tl.arange(0, BLOCK_D)
        row = (start + query).to(tl.int64) * HEADS + head
        one = tl.arange(0, 1)
        first, last = (low - base) // size, (position - base) // size
        top = tl.full([1], float("-inf"), tl.float32)
        total = tl.zeros([1], tl.float32)
        sum = tl.zeros([1, BLOCK_D], tl.float32)
        if SPLIT == 0:
            part = tl.arange(0, PARTS)
            real = (part >= first) & (part <= last)
            place = row * parts + part
            tops = tl.load(tops_ptr + 2 * place, mask=real, other=float("-inf"))
            totals = tl.load(tops_ptr + 2 * place + 1, mask=real, other=0.0)
            sums = tl.load(
                sums_ptr + place[:, None] * WIDTH + at[None, :], mask=real[:, None] & (at < WIDTH)[None, :], other=0.0
            )
            top = tl.maximum(top, tl.max(tops, axis=0))
            level = tl.where(top == float("-inf"), 0.0, top)
            weight = tl.exp2(tops - level)
            total += tl.sum(totals * weight, axis=0)
            sum += tl.sum(sums * weight[:, None], axis=0)[None, :]
        else:
            for number in range(first, last + 1):
                place = row * parts + number
                new_top = tl.load(tops_ptr + 2 * place + one)
                new_total = tl.load(tops_ptr + 2 * place + 1 + one)
                new_sum = tl.load(sums_ptr + place * WIDTH + at, mask=at < WIDTH, other=0.0)[None, :]
                top, total, sum = _join(top, total, sum, new_top, new_total, new_sum)
        out = _finish(top, total, sum, sinks_ptr, head + one, one == 0, SINKS)
        place = row * WIDTH + one[:, None] + at[None, :]
        tl.store(out_ptr + place, out.to(out_ptr.dtype.element_ty), mask=(at < WIDTH)[None, :])


def attend(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    plan: DevicePlan,
    scale: float,
    *,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """As the reference; ``q`` dense in its last dimension, the caches dense and of any floating type."""
    heads, width = q.shape[1], q.shape[2]
    out = torch.empty((q.shape[0], heads, width), dtype=q.dtype, device=q.device)
    for tiles in plan.tiles(heads, k_cache.shape[2]):
        _launch(out, q, k_cache, v_cache, plan, tiles, scale, softcap, sinks)
    return out


def _chosen(width: int, tiles: Tiles, plan: DevicePlan) -> Launch:
    """Invariant rows have one for all tiles."""
    if width > _WIDE and gpu.shared_memory(tiles.where.device) < _ROOM:
        return LAUNCHES["tight"]
    return LAUNCHES["many" if tiles.rows > TILE and not plan.invariant else "few"]


def _launch(
    out: Tensor,
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    plan: DevicePlan,
    tiles: Tiles,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> None:
    (rows, heads, width), (block_size, kv_heads) = q.shape, k_cache.shape[1:3]
    parts, count = tiles.splits, len(tiles.where)
    sums = tops = out
    if parts > 1:
        sums = torch.empty((rows, heads, parts, width), dtype=torch.float32, device=q.device)
        tops = torch.empty((rows, heads, parts, 2), dtype=torch.float32, device=q.device)
    lengths, window, split = plan.lengths, plan.window or 0, SPLIT_KEYS if plan.invariant else 0
    block_d = max(16, power_of_two(width))
    sink = q if sinks is None else sinks
    launch = _chosen(block_d, tiles, plan)
    _attend[(count, kv_heads, parts)](
        out, sums, tops, q, k_cache, v_cache, plan.tables, tiles.where, lengths.query_starts, lengths.context_lens, sink,
        scale, softcap or 1.0, q.stride(0), q.stride(1), plan.tables.stride(0), parts,
        HEADS=heads, KV_HEADS=kv_heads, WIDTH=width, BLOCK_D=block_d, BLOCK_SIZE=block_size,
        QUERIES=tiles.queries, BLOCK_M=tiles.rows, BLOCK_N=launch.keys, WINDOW=window, SPLIT=split, PARTIAL=parts > 1,
        SINKS=sinks is not None, CAPPED=softcap is not None, EXACT=q.dtype == torch.float32,
        num_warps=launch.warps, num_stages=launch.stages,
    )  # fmt: skip
    if parts > 1:
        _reduce[(count, tiles.queries, heads)](
            out, sums, tops, tiles.where, lengths.query_starts, lengths.context_lens, sink, parts,
            HEADS=heads, KV_HEADS=kv_heads, WIDTH=width, BLOCK_D=block_d, BLOCK_N=launch.keys,
            WINDOW=window, SPLIT=split, SINKS=sinks is not None, PARTS=power_of_two(parts),
            num_warps=1 if split else 4,
        )  # fmt: skip


@triton.jit
def _copy(k_ptr, v_ptr, sources_ptr, targets_ptr, NUMBERS: tl.constexpr, BLOCK: tl.constexpr):
    """One slot of the keys (program 0 of it) or of the values."""
    source = tl.load(sources_ptr + tl.program_id(0)).to(tl.int64) * NUMBERS
    target = tl.load(targets_ptr + tl.program_id(0)).to(tl.int64) * NUMBERS
    at = tl.arange(0, BLOCK)
    inside = at < NUMBERS
    if tl.program_id(1) == 0:
        tl.store(k_ptr + target + at, tl.load(k_ptr + source + at, mask=inside), mask=inside)
    else:
        tl.store(v_ptr + target + at, tl.load(v_ptr + source + at, mask=inside), mask=inside)


def copy_slots(k_cache: Tensor, v_cache: Tensor, sources: Tensor, targets: Tensor) -> None:
    """As the reference, for both caches of a layer in one launch; nobody reads a slot that is a source and a target, or a target twice."""
    size = k_cache[0, 0].nbytes
    kind = torch.int32 if size % 4 == 0 else torch.uint8  # bits, whatever they stand for
    slots = k_cache.shape[0] * k_cache.shape[1]
    k, v = k_cache.view(slots, -1).view(kind), v_cache.view(slots, -1).view(kind)
    numbers = size // kind.itemsize
    if len(sources):
        _copy[(len(sources), 2)](k, v, sources, targets, NUMBERS=numbers, BLOCK=power_of_two(numbers), num_warps=1)
