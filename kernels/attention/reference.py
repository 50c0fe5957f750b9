"""Paged attention and cache writes in plain torch.

Sequences with the same number of new rows and similar contexts share one SDPA call. Padding never reads a slot that the
sequence does not own: a padded key position repeats the sequence's last one and is masked, so whatever lies in unused
slots (NaN included) cannot reach a result. Knows nothing of requests, models or how slots were allotted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.attention.batch import AttentionBatch
from dovetail.kernels.attention.open import attend_openly

MAX_PADDING = 1.25
"""A group may gather at most this multiple of the key positions it needs."""
_FP8_MAX = 448.0


@dataclass(frozen=True)
class AttentionGroup:
    """G sequences that share one SDPA call.

    ``rows``: int64 ``[G * Q]``, or a slice for a run of rows. ``slots``: int64 ``[G * K]`` of the flattened cache, or a
    slice where one sequence's slots are consecutive (then nothing is copied). ``mask``: bool ``[G, 1, Q, K]``, True =
    may look; None where every row sees all K. ``causal``: Q == K, plain triangle.
    """

    size: int
    queries: int
    keys: int
    rows: Tensor | slice
    slots: Tensor | slice
    mask: Tensor | None
    causal: bool


@dataclass(frozen=True)
class AttentionPlan:
    """The part of paged attention that is the same for every layer with the same window."""

    groups: tuple[AttentionGroup, ...]


def plan_attention(
    batch: AttentionBatch,
    block_size: int,
    window: int | None = None,
    device: torch.device | str = "cpu",
    members: Sequence[int] | None = None,
) -> AttentionPlan:
    """Work out once per forward pass which rows look at which slots.

    Args:
        batch: the ragged batch; query rows are the last rows of their sequence (bottom-right causal alignment).
        block_size: slots per cache block.
        window: a row at position p sees positions p - window + 1 .. p; None: all of 0 .. p.
        device: where the cache lives.
        members: the sequences to plan for; None: all.
    """
    starts, contexts = batch.query_starts, batch.context_lens
    by_queries: defaultdict[int, list[int]] = defaultdict(list)
    for sequence in range(len(contexts)) if members is None else members:
        context = contexts[sequence]
        queries = starts[sequence + 1] - starts[sequence]
        if not 0 < queries <= context:
            raise ValueError(f"sequence {sequence} has {queries} new rows and a context of {context}")
        by_queries[queries].append(sequence)
    tables = batch.block_tables.to("cpu", torch.int64)
    groups = []
    for queries, alike in by_queries.items():
        for group in _similar(alike, [_span(contexts[s], queries, window)[1] for s in alike]):
            groups.append(_plan_group(group, queries, starts, contexts, tables, block_size, window, device))
    return AttentionPlan(tuple(groups))


def attend(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    plan: AttentionPlan,
    scale: float,
    out: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of planned rows over the cache.

    Args:
        q: ``[T, H, D]``.
        k_cache, v_cache: ``[num_blocks, block_size, kv_heads, D]``; H is a multiple of kv_heads.
        plan: from :func:`plan_attention` for this batch.
        scale: factor on the scores.
        out: where the planned rows go; None: a fresh tensor.
        softcap: scores become ``softcap * tanh(score / softcap)``; None: they stay.
        sinks: ``[H]``: a score of each head that takes part in its softmax and adds nothing; None: there is none.

    Returns:
        ``[T, H, D]``.
    """
    heads, width = q.shape[1], q.shape[2]
    kv_heads = k_cache.shape[2]
    if out is None:
        out = torch.empty_like(q, memory_format=torch.contiguous_format)
    for group in plan.groups:
        # One query row per sequence: the heads that share a key head become its rows, which halves the time on CPU.
        fold = group.queries == 1
        layout = (group.size, kv_heads, heads // kv_heads, width) if fold else (group.size, group.queries, heads, width)
        if softcap is not None or sinks is not None:
            k, v = _gather(k_cache, group).to(q.dtype), _gather(v_cache, group).to(q.dtype)
            each = q[group.rows].reshape(group.size, group.queries, heads, width).transpose(1, 2)
            result = attend_openly(each, k, v, _allowed(group, q.device), scale, softcap, sinks)
            out[group.rows] = result.transpose(1, 2).reshape(-1, heads, width)
            continue
        queries = q[group.rows].reshape(layout)
        result = F.scaled_dot_product_attention(
            queries if fold else queries.transpose(1, 2),
            _gather(k_cache, group).to(q.dtype),
            _gather(v_cache, group).to(q.dtype),
            attn_mask=group.mask,
            is_causal=group.causal,
            scale=scale,
            enable_gqa=heads != kv_heads and not fold,
        )
        out[group.rows] = (result if fold else result.transpose(1, 2)).reshape(-1, heads, width)
    return out


def _allowed(group: AttentionGroup, device: torch.device) -> Tensor | None:
    """The group's mask, the plain triangle too; None: every row sees all keys."""
    if not group.causal:
        return group.mask
    return torch.ones(group.queries, group.keys, dtype=torch.bool, device=device).tril()


def _gather(cache: Tensor, group: AttentionGroup) -> Tensor:
    """The keys or values of a group, ``[G, kv_heads, K, D]``."""
    flat = cache.view(-1, *cache.shape[2:])
    # index_select: indexing by a tensor takes eight times as long on CPU.
    rows = flat[group.slots] if isinstance(group.slots, slice) else flat.index_select(0, group.slots)
    return rows.view(group.size, group.keys, *cache.shape[2:]).transpose(1, 2)


def write_kv(k: Tensor, v: Tensor, k_cache: Tensor, v_cache: Tensor, slots: Tensor) -> None:
    """Store new keys and values in place.

    Args:
        k, v: ``[T, kv_heads, D]``.
        k_cache, v_cache: ``[num_blocks, block_size, kv_heads, D]``, contiguous; they may have a narrower type.
        slots: int64 ``[T]``, ``block * block_size + offset``, all different.
    """
    for new, cache in ((k, k_cache), (v, v_cache)):
        flat = cache.view(-1, *new.shape[1:])
        if cache.dtype == torch.float8_e4m3fn:  # copied as bytes: torch has no such operation for this type
            narrow = new.float().clamp(-_FP8_MAX, _FP8_MAX).to(cache.dtype)
            flat.view(torch.uint8).index_copy_(0, slots, narrow.view(torch.uint8))
        else:
            flat.index_copy_(0, slots, new.to(cache.dtype))


def copy_slots(cache: Tensor, sources: Tensor, targets: Tensor) -> None:
    """Copy slots of the keys or values of one layer.

    Args:
        cache: ``[num_blocks, block_size, kv_heads, D]``, contiguous.
        sources, targets: int64 ``[C]``; no target is a source too, and none comes twice.
    """
    # As bytes: not every narrow type can be indexed.
    flat = cache.view(-1, *cache.shape[2:]).view(torch.uint8)
    flat.index_copy_(0, targets, flat.index_select(0, sources))


def _span(context: int, queries: int, window: int | None) -> tuple[int, int]:
    """First key position that any of the rows sees, and how many there are from it to the end."""
    first = 0 if window is None else max(0, context - queries - window + 1)
    return first, context - first


def _similar(members: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Split ``members`` so that padding each part to its longest gathers at most MAX_PADDING of what is needed."""
    order = sorted(range(len(members)), key=lambda i: lengths[i])
    part: list[int] = []
    needed = 0
    for i in order:
        if part and lengths[i] * (len(part) + 1) > MAX_PADDING * (needed + lengths[i]):
            yield part
            part, needed = [], 0
        part.append(members[i])
        needed += lengths[i]
    if part:
        yield part


def _plan_group(
    members: Sequence[int],
    queries: int,
    starts: Sequence[int],
    contexts: Sequence[int],
    tables: Tensor,
    block_size: int,
    window: int | None,
    device: torch.device | str,
) -> AttentionGroup:
    spans = [_span(contexts[s], queries, window) for s in members]
    keys = max(length for _, length in spans)
    first = torch.tensor([first for first, _ in spans]).unsqueeze(1)
    last = torch.tensor([contexts[s] - 1 for s in members]).unsqueeze(1)
    position = torch.arange(keys).unsqueeze(0) + first
    readable = position.clamp(max=last)
    blocks = tables[torch.tensor(members)].gather(1, readable // block_size)
    slots = (blocks * block_size + readable % block_size).flatten()
    rows: Tensor | slice
    if len(members) == 1:
        rows = slice(starts[members[0]], starts[members[0]] + queries)
    else:
        rows = (torch.tensor([starts[s] for s in members]).unsqueeze(1) + torch.arange(queries)).flatten().to(device)
    causal = len(members) == 1 and queries == keys and (window is None or window >= keys)
    mask = None
    if not causal:
        limit = last - (queries - 1) + torch.arange(queries).unsqueeze(0)
        allowed = position.unsqueeze(1) <= limit.unsqueeze(2)
        if window is not None:
            allowed &= position.unsqueeze(1) > limit.unsqueeze(2) - window
        mask = None if bool(allowed.all()) else allowed.unsqueeze(1).to(device)
    run = bool((slots[1:] - slots[:-1] == 1).all())
    where = slice(int(slots[0]), int(slots[-1]) + 1) if run and len(members) == 1 else slots.to(device)
    return AttentionGroup(len(members), queries, keys, rows, where, mask, causal and queries > 1)
