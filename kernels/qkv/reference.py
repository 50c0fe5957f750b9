"""Split, normalise, turn and store the fused query-key-value projection, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.attention.reference import write_kv
from dovetail.kernels.rms_norm.reference import rms_norm
from dovetail.kernels.rope.reference import apply_rope


def prepare_qkv(
    qkv: Tensor,
    norms: tuple[Tensor, Tensor] | None,
    eps: float,
    angles: tuple[Tensor, Tensor],
    slots: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
) -> Tensor:
    """Queries ready for attention; keys and values go to the cache.

    Args:
        qkv: ``[T, (H + 2 * kv_heads) * D]``: all query heads, then key heads, then value heads.
        norms: weights ``[D]`` of each head's query and key normalisation, for models that have one.
        eps: of that normalisation.
        angles: cosine and sine, each ``[T, D / 2]``.
        slots: int64 ``[T]``: where each row's key and value go.
        k_cache, v_cache: ``[num_blocks, block_size, kv_heads, D]``, written in place.

    Returns:
        ``[T, H, D]``.
    """
    kv_heads, width = k_cache.shape[2:]
    heads = qkv.view(qkv.shape[0], -1, width)
    q, k, v = torch.split(heads, [heads.shape[1] - 2 * kv_heads, kv_heads, kv_heads], dim=1)
    if norms is not None:
        q, k = rms_norm(q, norms[0], eps), rms_norm(k, norms[1], eps)
    write_kv(apply_rope(k, *angles), v, k_cache, v_cache, slots)
    return apply_rope(q, *angles)
