"""Few rows per sequence by the C++ kernel over the block tables, many by tiles of bfloat16 where the processor has them and the
caller allows it, the rest by the reference. Knows nothing of requests.

The kernel wants float32 on the CPU. What cannot be known when a batch is planned (the cache's type) is settled when the
plan is used, so the reference's share is worked out on demand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.attention import reference
from dovetail.kernels.attention.batch import AttentionBatch
from dovetail.kernels.cpu.library import library

FEW_ROWS = 32
"""New rows of a sequence up to which the kernel is used: decode rows and drafts. Prompt chunks gain from SDPA's GEMM."""


class AttentionPlan:
    """The part of paged attention that is the same for every layer with the same window."""

    def __init__(
        self,
        batch: AttentionBatch,
        block_size: int,
        window: int | None,
        device: torch.device | str = "cpu",
        *,
        invariant: bool = False,
    ) -> None:
        self._batch, self._block_size, self._device = batch, block_size, device
        self.window, self.invariant = window, invariant
        each: list[tuple[int, int, int, int]] = []
        few: list[tuple[int, int, int, int]] = []
        many: list[int] = []
        starts = batch.query_starts
        for sequence, context in enumerate(batch.context_lens):
            queries = starts[sequence + 1] - starts[sequence]
            if not 0 < queries <= context:
                raise ValueError(f"sequence {sequence} has {queries} new rows and a context of {context}")
            each.append((sequence, starts[sequence], queries, context))
            if queries <= FEW_ROWS or invariant:
                few.append(each[-1])
            else:
                many.append(sequence)
        self.few = torch.tensor(few, dtype=torch.int64)
        """Sequences with few rows, int64 ``[count, 4]``: row of the block table, first query row, query rows, context."""
        self.each = torch.tensor(each, dtype=torch.int64) if many else self.few
        """All sequences in the same form."""
        self.tables = batch.block_tables.to("cpu", torch.int64).contiguous()
        self._many = many
        self._made: dict[bool, reference.AttentionPlan] = {}

    def by_reference(self, *, all_rows: bool) -> reference.AttentionPlan:
        """The reference's plan for every sequence, or for those that have more than few rows."""
        if all_rows not in self._made:
            members = None if all_rows else self._many
            self._made[all_rows] = reference.plan_attention(
                self._batch, self._block_size, self.window, self._device, members
            )
        return self._made[all_rows]


def attend(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    plan: AttentionPlan,
    scale: float,
    *,
    rounded: bool = False,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """As :func:`reference.attend`; ``rounded``: prompts may be computed with bfloat16 operands where that is faster, which it
    is not with ``softcap`` or ``sinks``: of those the tiles know nothing."""
    native = library()
    fits = q.dtype == k_cache.dtype == torch.float32 and q.device.type == "cpu"
    if native is None or not fits:
        return reference.attend(
            q, k_cache, v_cache, plan.by_reference(all_rows=True), scale, softcap=softcap, sinks=sinks
        )
    rows, heads, width = q.shape
    rounded = rounded and softcap is None and sinks is None and not plan.invariant
    tiles = rounded and bool(native.dovetail_attention_tiles(width))
    sequences = plan.each if tiles else plan.few
    if not len(sequences):
        return reference.attend(
            q, k_cache, v_cache, plan.by_reference(all_rows=True), scale, softcap=softcap, sinks=sinks
        )
    if q.stride(2) != 1 or q.stride(1) != width:
        q = q.contiguous()
    out = torch.empty((rows, heads, width))
    native.dovetail_attention(
        out.data_ptr(),
        q.data_ptr(),
        q.stride(0),
        k_cache.data_ptr(),
        v_cache.data_ptr(),
        plan.tables.data_ptr(),
        plan.tables.shape[1],
        sequences.data_ptr(),
        len(sequences),
        heads,
        k_cache.shape[2],
        width,
        k_cache.shape[1],
        plan.window or 0,
        scale,
        softcap or 0.0,
        sinks.data_ptr() if sinks is not None else None,
        int(rounded),
        torch.get_num_threads(),
    )
    if tiles:
        return out
    rest = plan.by_reference(all_rows=False)
    return reference.attend(q, k_cache, v_cache, rest, scale, out, softcap, sinks) if rest.groups else out
